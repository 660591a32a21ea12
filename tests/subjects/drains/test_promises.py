"""Whether a drain ended, what stopped it, and what it cost: every verdict, on literal histories."""

from chaos.judge.base import Finding, Invariant, Verdict, judge
from chaos.record.history import History
from chaos.record.records import IN_SYNC, Blind, FaultStep, NodeChange, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.drains.drainer import REFUSALS
from chaos.subjects.drains.promises import (
    blocker_named,
    cordoned_takes_none,
    drained_in_time,
    no_budget_overdrawn,
    one_node_waits,
)
from chaos.subjects.drains.records import EvictionAnswered

FAULT = "drain-node"
LANDED, UNDONE = FaultStep(1, FAULT, "landed"), FaultStep(60, FAULT, "undone")
SAW = (Sample(61, IN_SYNC, "watch:pods", 1.0), Sample(61, IN_SYNC, "watch:nodes", 1.0))
WITHIN_S = 30.0


def node(at: float, name: str, *, cordoned: bool) -> NodeChange:
    return NodeChange(at, name, "modified", "True", unschedulable=cordoned)


def pod(
    at: float, name: str, *, on: str = "a", change: str = "modified", ready: bool = True, going: bool = False
) -> PodChange:
    return PodChange(at, "ns", name, f"uid-{name}", change, workload="web", node=on, ready=ready, deleting=going)


def asked(at: float, name: str, code: int = 201, budget: str = "", on: str = "a") -> EvictionAnswered:
    return EvictionAnswered(at, "ns", name, f"uid-{name}", on, "web", code, budget, "said")


CORDONED, TOOK_AGAIN = node(1, "a", cordoned=True), node(59, "a", cordoned=False)
THERE = (pod(0, "web-1", change="listed"), pod(0, "web-2", change="listed", on="b"))
REFUSED = asked(2, "web-1", 429, "web-1")
GONE = pod(9, "web-1", change="deleted", going=True)


def finding(invariant: Invariant, *records: Record) -> Finding:
    return judge(invariant, History.of_records(records))


def drained(*records: Record) -> tuple[Verdict, str]:
    found = finding(drained_in_time(FAULT, within_s=WITHIN_S), LANDED, CORDONED, *THERE, *records)
    return found.verdict, found.reason


def test_a_drain_that_is_over_in_time_keeps_the_promise() -> None:
    found = finding(
        drained_in_time(FAULT, within_s=WITHIN_S), LANDED, CORDONED, *THERE, REFUSED, GONE, TOOK_AGAIN, UNDONE, *SAW
    )
    assert (found.verdict, found.figures["drained_after_s"], found.figures["refused"]) == (Verdict.HELD, 8.0, 1)


def test_each_way_in_which_a_drain_does_not_end_has_its_reason() -> None:
    late = asked(40, "web-1", 429, "web-1")
    crashes = pod(0.5, "web-1", ready=False)
    for records, reason in (
        ((crashes, late), "budget-of-unhealthy"),
        ((late,), "no-budget-left"),
        ((asked(40, "web-1", 500),), "two-budgets"),
        ((asked(2, "web-1"), pod(3, "web-1", going=True), Sample(40, REFUSALS, "apiserver", 1)), "pod-stays"),
        ((pod(40, "web-3"),), "not-asked"),
        ((asked(2, "web-1"), pod(40, "web-3")), "not-asked"),
        ((crashes, late, pod(50, "web-1", change="deleted")), "budget-of-unhealthy"),
    ):
        assert drained(*records, TOOK_AGAIN, UNDONE, *SAW) == (Verdict.VIOLATED, reason), records


def test_what_stops_a_drain_is_in_the_sentence() -> None:
    found = finding(
        drained_in_time(FAULT, within_s=WITHIN_S),
        LANDED,
        CORDONED,
        *THERE,
        asked(40, "web-1", 429, "web-1"),
        UNDONE,
        *SAW,
    )
    assert "ns/web-1: refused with 429 by the budget web-1" in found.sentence
    assert found.figures["stayed"] == 1


def test_of_a_drain_of_which_too_little_was_seen_nobody_knows() -> None:
    hole = Blind(4, "watch:pods", 40, "the API server was away")
    early = node(20, "a", cordoned=False)
    for records in (
        (REFUSED, early, UNDONE, *SAW),  # given up before the time was over
        (GONE, TOOK_AGAIN, UNDONE, *SAW),  # nothing was refused
        (REFUSED, hole, asked(41, "web-1", 429, "web-1"), TOOK_AGAIN, UNDONE, *SAW),  # it may be another pod's name
        (REFUSED, GONE, TOOK_AGAIN, UNDONE),  # nobody says that all was seen
    ):
        assert drained(*records)[0] is Verdict.UNKNOWN, records
    promise = drained_in_time(FAULT, within_s=WITHIN_S)
    assert finding(promise, CORDONED, *THERE, REFUSED, GONE, *SAW).verdict is Verdict.UNKNOWN  # it never landed
    assert finding(promise, LANDED, *THERE, REFUSED, GONE, UNDONE, *SAW).verdict is Verdict.UNKNOWN  # not cordoned


def test_a_refusal_names_its_budget_or_breaks_the_promise() -> None:
    named = blocker_named(FAULT)
    assert finding(named, LANDED, REFUSED, asked(3, "web-1"), UNDONE).verdict is Verdict.HELD
    broken = finding(named, LANDED, REFUSED, asked(3, "web-1", 500), UNDONE)
    assert (broken.verdict, broken.reason, broken.figures["unnamed"]) == (Verdict.VIOLATED, "no-name", 1)
    for records in ((LANDED, asked(3, "web-1"), asked(3, "web-2", 404), UNDONE), (REFUSED,)):
        assert finding(named, *records).verdict is Verdict.UNKNOWN


def test_a_budget_is_not_overdrawn() -> None:
    keeps = no_budget_overdrawn({"web": 1}, fault=FAULT)
    going = pod(3, "web-1", going=True)
    both = pod(4, "web-2", on="b", going=True)
    kept = (*THERE, LANDED, asked(2, "web-1"), going, asked(5, "web-2", 429, "web-1"))
    assert finding(keeps, *kept, UNDONE, *SAW).verdict is Verdict.HELD
    broken = finding(keeps, *kept, both, UNDONE, *SAW)
    assert (broken.verdict, broken.reason, broken.figures["least"]) == (Verdict.VIOLATED, "overdrawn", 0)
    silent = NodeChange(3.5, "b", "modified", "Unknown")
    for records in (
        (*kept, silent, pod(4, "web-2", on="b", ready=False), UNDONE, *SAW),  # its node sent no heartbeat
        (*THERE, LANDED, asked(2, "web-1"), going, UNDONE, *SAW),  # never used up
        (*THERE, LANDED, asked(5, "web-2", 429, "web-1"), UNDONE, *SAW),  # nothing was evicted
        (*kept, UNDONE),  # nobody says that all was seen
        (*kept[:2], *kept[3:], *SAW),  # it never landed
    ):
        assert finding(keeps, *records).verdict is Verdict.UNKNOWN, records


def test_one_node_at_a_time_waits() -> None:
    waits = one_node_waits(FAULT)
    first, again = node(1, "a", cordoned=True), node(20, "a", cordoned=False)
    then, last = node(21, "b", cordoned=True), node(40, "b", cordoned=False)
    assert finding(waits, LANDED, first, again, then, last, UNDONE, *SAW).verdict is Verdict.HELD
    beside = node(19, "b", cordoned=True)
    broken = finding(waits, LANDED, first, beside, again, last, UNDONE, *SAW)
    assert (broken.verdict, broken.reason) == (Verdict.VIOLATED, "two-cordoned")
    assert finding(waits, LANDED, first, beside).verdict is Verdict.VIOLATED  # both still are
    for records in ((LANDED, first, again, UNDONE, *SAW), (LANDED, first, again, then, last, UNDONE), (first, beside)):
        assert finding(waits, *records).verdict is Verdict.UNKNOWN, records


# --- where new pods go


def placed(*records: Record) -> tuple[Verdict, str]:
    found = finding(cordoned_takes_none(FAULT), LANDED, CORDONED, *THERE, *records)
    return found.verdict, found.reason


def test_new_pods_that_find_other_nodes_keep_the_promise() -> None:
    assert placed(pod(9, "new", on=""), pod(10, "new", on="b"), TOOK_AGAIN, UNDONE, *SAW) == (Verdict.HELD, "")


def test_a_new_pod_on_a_cordoned_node_breaks_it() -> None:
    assert placed(pod(9, "new", on=""), pod(10, "new", on="a"), UNDONE, *SAW) == (Verdict.VIOLATED, "took-pods")


def test_what_came_too_soon_too_late_or_not_at_all_says_nothing() -> None:
    undoing = FaultStep(20, FAULT, "undoing")
    for records in (
        (),
        (pod(2, "new", on="a"),),  # the scheduler may not have heard of the cordon
        (pod(9, "new", on=""), undoing, pod(21, "new", on="a")),  # the node takes pods again
        (pod(9, "new", on="b"), Blind(4, "watch:pods", 6, "the API server was away")),
    ):
        assert placed(*records, UNDONE, *SAW)[0] is Verdict.UNKNOWN, records
