"""Whether rules follow the endpoints, and kube-proxy says where they don't: every verdict, on literal histories."""

from chaos.judge.base import Invariant, Verdict, judge
from chaos.record.history import History
from chaos.record.records import Blind, FaultStep, Sample
from chaos.record.registry import Record
from chaos.subjects.stale_rules.promises import changes_arrive_afterwards, endpoint_changes_arrive, health_says_so
from chaos.subjects.stale_rules.records import NodeRules, ProxyState

FAULT, NODE, SERVICE = "leave-chain", "a", "web"
LANDED, UNDONE = FaultStep(5, FAULT, "landed"), FaultStep(100, FAULT, "undone")
END = Sample(200, "the-end", "x", 1.0)
ARRIVE = endpoint_changes_arrive(SERVICE, NODE, within_s=15)
AFTER = changes_arrive_afterwards(SERVICE, NODE, within_s=30, fault=FAULT)
HEALTH = health_says_so(SERVICE, NODE, within_s=75, fault=FAULT)


def rules(at: float, wanted: str, written: str) -> NodeRules:
    return NodeRules(at, NODE, SERVICE, tuple(wanted.split()), tuple(written.split()))


def proxy(at: float, failures: int = 0, health: int = 200, state: str = "S", started: str = "1") -> ProxyState:
    return ProxyState(at, NODE, health, failures, state, started)


BEFORE, CHANGED = rules(0, "1 2", "1 2"), rules(10, "2", "1 2")
WELL, FAILS, UNWELL = proxy(0), proxy(11, 1), proxy(71, 3, 503)


def judged(promised: Invariant, *records: Record) -> tuple[Verdict, str]:
    found = judge(promised, History.of_records(records))
    return found.verdict, found.reason


def test_a_change_that_arrives_in_time_is_held() -> None:
    assert judged(ARRIVE, WELL, BEFORE, CHANGED, rules(12, "2", "2"), END) == (Verdict.HELD, "")
    # Others took its place before it could be there.
    others = (rules(11, "2 3", "1 2"), rules(12, "2 3", "2 3"))
    assert judged(ARRIVE, WELL, BEFORE, CHANGED, *others, END)[0] is Verdict.HELD


def test_a_change_that_does_not_arrive_is_laid_to_who_kept_it() -> None:
    assert judged(ARRIVE, WELL, BEFORE, CHANGED, FAILS, END) == (Verdict.VIOLATED, "restore-failed")
    # It failed for a change that others took the place of, and tries again half a minute later.
    others = rules(16, "2 3", "1 2")
    assert judged(ARRIVE, WELL, BEFORE, CHANGED, FAILS, others, END) == (Verdict.VIOLATED, "restore-failed")
    assert judged(ARRIVE, WELL, proxy(9, state="T"), BEFORE, CHANGED, END) == (Verdict.VIOLATED, "proxy-stopped")
    assert judged(ARRIVE, WELL, BEFORE, CHANGED, END) == (Verdict.VIOLATED, "not-written")


def test_where_nobody_can_say_whether_it_arrived_in_time_it_is_unknown() -> None:
    late = (WELL, BEFORE, CHANGED, rules(40, "2", "2"), END)
    hole = Blind(12, "rules:a", 30, "the node was away")
    for records in (
        (WELL, BEFORE, END),  # nothing changed
        (WELL, BEFORE, CHANGED, Sample(15, "the-end", "x", 1.0)),  # not looked at for long enough
        late,  # it may have waited for a processor
        (*late, hole),
        (WELL, BEFORE, CHANGED, FAILS, hole, END),
        (WELL, BEFORE, CHANGED, rules(12, "2", "2"), hole, END),
    ):
        assert judged(ARRIVE, *records)[0] is Verdict.UNKNOWN, records


def test_afterwards_it_counts_from_when_rules_could_be_written_again() -> None:
    under = (LANDED, WELL, BEFORE, CHANGED, FAILS, UNDONE)
    assert judged(AFTER, *under, rules(120, "2", "2"), END) == (Verdict.HELD, "")
    assert judged(AFTER, *under, proxy(105, 4), END) == (Verdict.VIOLATED, "restore-failed")
    assert judged(AFTER, *under, proxy(99, 3, state="T"), END) == (Verdict.VIOLATED, "proxy-stopped")
    for records in (
        (WELL, BEFORE, CHANGED, FAILS, END),  # it never landed
        (LANDED, WELL, BEFORE, UNDONE, END),  # nothing changed under it
        (*under, rules(150, "2", "2"), END),  # late, and nothing kept it
        (*under, proxy(110, started="2"), rules(120, "2", "2"), END),  # it was started anew
    ):
        assert judged(AFTER, *records)[0] is Verdict.UNKNOWN, records


def test_health_that_says_so_in_time_is_held() -> None:
    assert judged(HEALTH, LANDED, WELL, BEFORE, CHANGED, FAILS, UNWELL, UNDONE, END) == (Verdict.HELD, "")


def test_health_that_stays_well_or_says_so_late_is_a_lie() -> None:
    under = (LANDED, WELL, BEFORE, CHANGED, FAILS, UNDONE, END)
    assert judged(HEALTH, *under) == (Verdict.VIOLATED, "said-healthy")
    assert judged(HEALTH, *under, proxy(95, 4, 503)) == (Verdict.VIOLATED, "said-healthy")


def test_where_health_need_not_have_said_anything_it_is_unknown() -> None:
    early = FaultStep(60, FAULT, "undone")
    for records in (
        (WELL, BEFORE, CHANGED, FAILS, UNWELL, END),  # it never landed
        (LANDED, WELL, BEFORE, FAILS, UNDONE, END),  # nothing changed
        (LANDED, WELL, BEFORE, CHANGED, UNDONE, END),  # rules could be written
        (LANDED, WELL, BEFORE, CHANGED, FAILS, early, END),  # undone too soon
        (LANDED, WELL, BEFORE, CHANGED, FAILS, Blind(60, "rules:a", 90, "away"), UNDONE, END),
    ):
        assert judged(HEALTH, *records)[0] is Verdict.UNKNOWN, records


def test_health_is_counted_from_the_first_change_whatever_came_after_it() -> None:
    other = rules(50, "2 3", "1 2")
    records: list[Record] = [BEFORE, WELL, LANDED, CHANGED, FAILS, other, proxy(91, 5, 503), UNDONE, END]
    found = HEALTH.judge(History.of_records(records))
    assert (found.verdict, found.reason, found.figures["said_after_s"]) == (Verdict.VIOLATED, "said-healthy", 81.0)
