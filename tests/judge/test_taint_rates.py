"""Taints and terminations by zone: within the documented rate, beyond it, or not seen well enough to say."""

from dataclasses import replace
from typing import Any

import pytest

from chaos.clusters.shape import Timers
from chaos.judge.base import Finding, Verdict, judge
from chaos.judge.taint_rates import (
    ZoneState,
    rate_of,
    rate_shows,
    taints_taken_back,
    taints_within_rate,
    taking_back_shows,
    terminations_within_rate,
)
from chaos.record.history import History
from chaos.record.records import Blind, NodeChange
from chaos.record.registry import Record
from tests.judge.histories import could_not_see_the_end, fault, history, pod, saw_the_end

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
UNREACHABLE = "node.kubernetes.io/unreachable:NoExecute"
NOT_READY = "node.kubernetes.io/not-ready:NoExecute"
DOCUMENTED = Timers(monitor_period_s=2)


def node(
    at: float, name: str, ready: str = "True", *taints: str, zone: str = "a", change: str = "modified"
) -> NodeChange:
    return NodeChange(at, name, change, ready, taints=taints, zone=zone)


def zone_of(size: int, away: int, zone: str = "a", at: float = 12) -> list[Record]:
    """A zone whose first nodes go away at one moment."""
    listed = [node(0, f"{zone}{n}", zone=zone, change="listed") for n in range(size)]
    return [*listed, *(node(at, f"{zone}{n}", "Unknown", zone=zone) for n in range(away))]


def tainted(times: list[float], zone: str = "a", taint: str = UNREACHABLE) -> list[Record]:
    """One more node of the zone gets the taint at each of the times."""
    return [node(at, f"{zone}{n}", "Unknown", taint, zone=zone) for n, at in enumerate(times)]


def other_zone() -> list[Record]:
    return zone_of(3, 0, zone="z")


def judged(state: ZoneState, *records: Record, until: float = 60) -> Finding:
    """The fault lasts from 10 s to `until`; the nodes go away at 12 s."""
    history_ = history(*records, *fault(10, until, "stop-heartbeats"), saw_the_end(until + 10, "nodes"))
    return judge(taints_within_rate("a", state, documented=DOCUMENTED), history_)


# --- which state, and what it allows


@pytest.mark.parametrize(
    ("size", "away", "state", "allowed"),
    [
        (100, 50, ZoneState.NORMAL, 6),  # 50 s at 0.1/s, and the token that the queue begins with
        (100, 55, ZoneState.LARGE_PARTIAL, 1),  # 2 s normal, the 2 s until the controller looks again, then 0.01/s
        (51, 30, ZoneState.LARGE_PARTIAL, 1),
        (50, 30, ZoneState.SMALL_PARTIAL, 1),
        (100, 100, ZoneState.FULL, 6),
    ],
)
def test_a_zones_state_allows_what_is_documented(size: int, away: int, state: ZoneState, allowed: int) -> None:
    times = [13.0 + n for n in range(allowed)]
    within = judged(state, *zone_of(size, away), *tainted(times), *other_zone())
    beyond = judged(state, *zone_of(size, away), *tainted([*times, 50]), *other_zone())
    assert (within.verdict, within.figures["allowed"]) == (HELD, allowed)
    assert (beyond.verdict, beyond.reason) == (VIOLATED, "beyond-rate")


def test_measured_rate_is_told() -> None:
    finding = judged(ZoneState.NORMAL, *zone_of(100, 50), *tainted([20, 30, 40, 50]), *other_zone())
    assert finding.figures["taints"] == 4
    assert finding.figures["measured_per_s"] == pytest.approx(4 / 50)
    assert finding.figures["away"] == 50


def test_a_long_undo_after_which_the_zone_is_in_the_state_again_hides_no_measured_time() -> None:
    all_away = [node(55, f"a{n}", "Unknown") for n in range(50, 100)]
    back = [node(58, f"a{n}") for n in range(100)]
    finding = judged(ZoneState.NORMAL, *zone_of(100, 50), *all_away, *back, *other_zone(), until=150)
    assert (finding.verdict, finding.figures["away"], finding.figures["in_state_s"]) == (HELD, 54, 45.0)


def test_two_nodes_away_are_never_partial() -> None:
    """One control plane and two dead workers: two thirds are away, and the state stays normal."""
    finding = judged(ZoneState.SMALL_PARTIAL, *zone_of(3, 2), *tainted([14]), *other_zone())
    assert finding.verdict is UNKNOWN
    assert "small-partial for 0 s" in finding.sentence


def test_a_burst_at_the_beginning_counts_though_the_state_comes_later() -> None:
    """Raised rates taint every node while the zone is still normal; the partial state then sees none."""
    burst = tainted([12.0 + n / 100 for n in range(40)])
    finding = judged(ZoneState.LARGE_PARTIAL, *zone_of(100, 60, at=12.5), *burst, *other_zone())
    assert (finding.verdict, finding.reason) == (VIOLATED, "beyond-rate")


def test_one_key_in_place_of_the_other_is_no_new_taint() -> None:
    swapped = [
        node(20, "a0", "Unknown", UNREACHABLE),
        node(21, "a0", "False", NOT_READY),
        node(22, "a0", "Unknown", UNREACHABLE),
    ]
    finding = judged(ZoneState.NORMAL, *zone_of(100, 50), *swapped, *other_zone())
    assert finding.figures["taints"] == 1


def test_taints_of_another_zone_do_not_count() -> None:
    elsewhere = [node(15 + n, f"z{n}", "Unknown", UNREACHABLE, zone="z") for n in range(20)]
    finding = judged(ZoneState.NORMAL, *zone_of(100, 50), *zone_of(60, 0, zone="z"), *elsewhere)
    assert (finding.verdict, finding.figures["taints"]) == (HELD, 0)


def test_no_effect_but_no_execute_counts() -> None:
    no_schedule = [node(15 + n, f"a{n}", "Unknown", "node.kubernetes.io/unreachable:NoSchedule") for n in range(40)]
    assert judged(ZoneState.NORMAL, *zone_of(100, 50), *no_schedule, *other_zone()).verdict is HELD


# --- not enough to say


def test_a_zone_that_never_reached_the_state_is_unknown() -> None:
    assert judged(ZoneState.FULL, *zone_of(100, 50), *other_zone()).verdict is UNKNOWN


def test_a_state_that_lasted_too_short_is_unknown() -> None:
    assert judged(ZoneState.LARGE_PARTIAL, *zone_of(100, 60), *other_zone(), until=25).verdict is UNKNOWN


def test_too_few_nodes_away_to_break_the_bound_is_unknown() -> None:
    finding = judged(ZoneState.NORMAL, *zone_of(100, 4), *other_zone())
    assert finding.verdict is UNKNOWN
    assert "too few" in finding.sentence


def test_a_fault_that_never_landed_is_unknown() -> None:
    seen = history(*zone_of(100, 50), *other_zone(), saw_the_end(70, "nodes"))
    assert judge(taints_within_rate("a", ZoneState.NORMAL, documented=DOCUMENTED), seen).verdict is UNKNOWN


def test_a_zone_without_nodes_is_unknown() -> None:
    assert judged(ZoneState.NORMAL, *other_zone()).verdict is UNKNOWN


@pytest.mark.parametrize(
    "end",
    [
        [],
        [could_not_see_the_end(70)],
        [saw_the_end(70, "pods")],
        [saw_the_end(70, "nodes"), Blind(30, "watch:nodes", 40, "cut", complete=False)],
    ],
    ids=["no last word", "not in sync", "another resource's word", "a gap"],
)
def test_what_the_recorder_cannot_vouch_for_is_unknown(end: list[Any]) -> None:
    seen = [*zone_of(100, 50), *other_zone(), *fault(10, 60)]
    assert (
        judge(taints_within_rate("a", ZoneState.NORMAL, documented=DOCUMENTED), history(*seen, *end)).verdict is UNKNOWN
    )


def test_a_gap_does_not_hide_what_was_seen_beyond_the_rate() -> None:
    gap = Blind(30, "watch:nodes", 40, "cut", complete=False)
    finding = judged(ZoneState.NORMAL, *zone_of(100, 50), *tainted([13.0 + n for n in range(20)]), *other_zone(), gap)
    assert finding.verdict is VIOLATED


# --- terminations


def losing(count: int, first: float = 20) -> list[Record]:
    """Pods on so many nodes: each listed, then marked for deletion; two on the first node."""
    pods: list[Record] = []
    for n in range(count):
        for extra in range(2 if n == 0 else 1):
            name = f"p{n}-{extra}"
            pods += [pod(0, name, node=f"a{n}"), pod(first + n, name, "modified", node=f"a{n}", deleting=True)]
    return pods


def judged_terminations(*records: Record) -> Finding:
    seen: History = history(*records, *fault(10, 60), saw_the_end(70, "nodes"), saw_the_end(70, "pods"))
    return judge(terminations_within_rate("a", ZoneState.NORMAL, documented=DOCUMENTED), seen)


def test_nodes_that_lose_pods_are_counted_once_each() -> None:
    finding = judged_terminations(*zone_of(100, 50), *other_zone(), *losing(6))
    assert (finding.verdict, finding.figures["terminations"]) == (HELD, 6)


def test_more_nodes_losing_pods_than_allowed_is_violated() -> None:
    finding = judged_terminations(*zone_of(100, 50), *other_zone(), *losing(7))
    assert (finding.verdict, finding.reason) == (VIOLATED, "beyond-rate")


def test_terminations_need_the_pods_to_have_been_seen() -> None:
    seen = history(*zone_of(100, 50), *other_zone(), *losing(2), *fault(10, 60), saw_the_end(70, "nodes"))
    finding = judge(terminations_within_rate("a", ZoneState.NORMAL, documented=DOCUMENTED), seen)
    assert finding.verdict is UNKNOWN


def test_pods_on_their_way_out_before_do_not_count() -> None:
    leaving = [pod(0, f"p{n}", node=f"a{n}", deleting=True) for n in range(30)]
    assert judged_terminations(*zone_of(100, 50), *other_zone(), *leaving).figures["terminations"] == 0


# --- taken back


def all_away(*records: Record, end: list[Record] | None = None) -> Finding:
    seen = history(*records, *fault(10, 60), end or saw_the_end(70, "nodes"))
    return judge(taints_taken_back(documented=DOCUMENTED, within_s=6), seen)


TAINTED_THEN_ALL_AWAY = [
    *zone_of(10, 6),
    node(20, "a0", "Unknown", UNREACHABLE),
    *(node(30, f"a{n}", "Unknown") for n in range(6, 10)),
]


def test_taints_that_go_in_time_are_held() -> None:
    finding = all_away(*TAINTED_THEN_ALL_AWAY, node(31.5, "a0", "Unknown"))
    assert (finding.verdict, finding.figures["taken_back_s"]) == (HELD, 1.5)


def test_a_taint_that_stays_is_violated() -> None:
    finding = all_away(*TAINTED_THEN_ALL_AWAY)
    assert (finding.verdict, finding.reason) == (VIOLATED, "taints-left")


def test_a_taint_that_comes_meanwhile_is_violated() -> None:
    finding = all_away(*TAINTED_THEN_ALL_AWAY, node(31, "a0", "Unknown"), node(45, "a3", "Unknown", UNREACHABLE))
    assert (finding.verdict, finding.reason) == (VIOLATED, "tainted-anew")


def test_one_a_zone_that_the_last_pass_gave_may_stay() -> None:
    finding = all_away(*TAINTED_THEN_ALL_AWAY, node(30.1, "a7", "Unknown", UNREACHABLE), node(31.5, "a0", "Unknown"))
    assert (finding.verdict, finding.figures["left_by_the_last_pass"]) == (HELD, 1)


def test_more_than_that_is_violated() -> None:
    given = [node(30.1, "a7", "Unknown", UNREACHABLE), node(30.2, "a8", "Unknown", UNREACHABLE)]
    finding = all_away(*TAINTED_THEN_ALL_AWAY, *given, node(31.5, "a0", "Unknown"))
    assert (finding.verdict, finding.reason) == (VIOLATED, "taints-left")


def test_what_an_earlier_pass_gave_may_not_stay() -> None:
    """Nodes that went away 2 s apart, the monitor period, went away in two passes."""
    earlier = [
        r for r in TAINTED_THEN_ALL_AWAY if not (isinstance(r, NodeChange) and r.name == "a6" and r.ready != "True")
    ]
    finding = all_away(
        *earlier,
        node(28, "a6", "Unknown"),
        node(28.1, "a6", "Unknown", UNREACHABLE),
        node(31.5, "a0", "Unknown"),
    )
    assert (finding.verdict, finding.reason) == (VIOLATED, "taints-left")
    assert "a6" in finding.sentence


def test_nothing_to_take_back_is_unknown() -> None:
    without = [r for r in TAINTED_THEN_ALL_AWAY if not (isinstance(r, NodeChange) and r.taints)]
    assert all_away(*without).verdict is UNKNOWN


def test_while_one_node_of_another_zone_lives_nothing_must_be_taken_back() -> None:
    assert all_away(*TAINTED_THEN_ALL_AWAY, *other_zone()).verdict is UNKNOWN


def test_all_away_for_too_short_is_unknown() -> None:
    assert all_away(*TAINTED_THEN_ALL_AWAY, node(31.5, "a0", "Unknown"), node(33, "a9", "True")).verdict is UNKNOWN


def test_taken_back_but_the_end_not_seen_is_unknown() -> None:
    assert (
        all_away(*TAINTED_THEN_ALL_AWAY, node(31.5, "a0", "Unknown"), end=could_not_see_the_end(70)).verdict is UNKNOWN
    )


def test_rates_are_the_timers() -> None:
    raised = replace(DOCUMENTED, eviction_rate=7.0, secondary_eviction_rate=3.0)
    assert [rate_of(state, raised) for state in ZoneState] == [7.0, 3.0, 0.0, 7.0, 0.0]


# --- to the last figure


def test_what_is_held_tells_the_time_in_the_state_and_its_rate() -> None:
    finding = judged(ZoneState.NORMAL, *zone_of(100, 50), *tainted([20, 30, 40, 50]), *other_zone())
    assert finding.sentence == ("zone a was normal for 50 s with 50 nodes away: 4 taints, 6 allowed (0.1/s documented)")
    assert finding.figures == {
        "zone": "a",
        "nodes": 100,
        "away": 50,
        "documented_per_s": 0.1,
        "allowed": 6,
        "taints": 4,
        "taints_in_state": 4,
        "in_state_s": 50.0,
        "measured_per_s": 0.08,
    }


def test_what_is_violated_tells_the_time_of_all_states() -> None:
    burst = tainted([12.0 + n / 100 for n in range(4)])
    finding = judged(ZoneState.LARGE_PARTIAL, *zone_of(100, 60, at=20.0625), *burst, *other_zone())
    assert finding.sentence == "zone a: 4 taints, 2 were allowed in 50 s"
    assert (finding.figures["taints_in_state"], finding.figures["in_state_s"]) == (0, 39.938)
    never = judged(ZoneState.FULL, *zone_of(100, 50), *tainted([13.0 + n for n in range(7)]), *other_zone())
    assert never.sentence == "zone a: 7 taints, 6 were allowed in 50 s"
    assert (never.figures["away"], never.figures["allowed"]) == (0, 6)
    assert never.proof == tuple(tainted([13.0 + n for n in range(7)]))


def test_the_lower_rate_begins_a_period_late() -> None:
    slow = replace(DOCUMENTED, monitor_period_s=10)
    seen = history(*zone_of(100, 55), *tainted([13, 14]), *other_zone(), *fault(10, 60), saw_the_end(70, "nodes"))
    finding = judge(taints_within_rate("a", ZoneState.LARGE_PARTIAL, documented=slow), seen)
    assert (finding.verdict, finding.figures["allowed"]) == (HELD, 2)


def test_nodes_that_were_away_before_the_fault_count_from_its_beginning() -> None:
    finding = judged(ZoneState.LARGE_PARTIAL, *zone_of(100, 60, at=5), *tainted([20]), *other_zone())
    assert (finding.verdict, finding.figures["in_state_s"], finding.figures["away"]) == (HELD, 50.0, 60)
    elsewhere = judged(ZoneState.NORMAL, *zone_of(100, 50), *zone_of(90, 80, zone="z", at=5))
    assert (elsewhere.figures["in_state_s"], elsewhere.figures["away"]) == (50.0, 50)


def test_a_node_that_comes_late_is_not_away_before_it_was_seen() -> None:
    alone = [node(15, "a0"), *(node(30 + n, "a0", "Unknown", *[UNREACHABLE] * (n % 2)) for n in range(8))]
    assert judged(ZoneState.NORMAL, *alone).sentence == "zone a: 4 taints, 3 were allowed in 50 s"


@pytest.mark.parametrize(
    ("size", "away", "state"),
    [
        (100, 100, "full"),
        (5, 2, "normal"),  # with two away it is never partial
        (5, 3, "small-partial"),
        (6, 3, "normal"),  # less than 0.55 of them
        (20, 11, "small-partial"),  # 0.55 of them
        (50, 30, "small-partial"),
        (51, 30, "large-partial"),
    ],
)
def test_a_zones_state_is_told_from_how_many_are_away(size: int, away: int, state: str) -> None:
    nodes = [*zone_of(size, away), *other_zone()]
    said = {each: judged(each, *nodes).sentence for each in ZoneState if each is not ZoneState.ALL_FULL}
    assert {each for each, sentence in said.items() if "s only" not in sentence} == {state}


def test_a_state_must_last_as_long_as_is_asked_and_that_is_enough() -> None:
    nodes = [*zone_of(100, 60), *other_zone()]
    short = judged(ZoneState.LARGE_PARTIAL, *nodes, until=31.5)
    assert short.verdict is UNKNOWN
    assert short.sentence == "zone a was large-partial for 20 s only, 20 s are needed to measure a rate"
    assert judged(ZoneState.LARGE_PARTIAL, *nodes, until=32).verdict is HELD


def test_as_many_away_as_are_allowed_are_too_few_to_show_more() -> None:
    few = judged(ZoneState.NORMAL, *zone_of(100, 6), *other_zone())
    assert few.sentence == "only 6 nodes of zone a were away: too few to show more than 6"
    assert judged(ZoneState.NORMAL, *zone_of(100, 7), *other_zone()).verdict is HELD


# --- taken back, to the last figure


def test_what_was_taken_back_tells_all_figures() -> None:
    gone = [node(31.0004, "a0", "Unknown"), node(32.5, "a0", "Unknown")]
    finding = all_away(*TAINTED_THEN_ALL_AWAY, *gone)
    assert finding.figures == {
        "nodes": 10,
        "tainted_before": 1,
        "taken_back_s": 1.0,
        "all_away_s": 30.0,
        "left_by_the_last_pass": 0,
    }
    assert finding.sentence == (
        "all 1 taints were taken back 1.0 s after the last of 10 nodes went away, and none was given in the 30 s "
        "that all were"
    )


def test_what_stays_and_what_comes_are_told_with_their_figures() -> None:
    left = all_away(*TAINTED_THEN_ALL_AWAY)
    assert left.sentence == "1 of 10 nodes still had their taint 6 s after all were away: a0"
    assert (left.figures, left.proof) == (
        {"nodes": 10, "tainted_before": 1, "left": 1},
        (node(20, "a0", "Unknown", UNREACHABLE),),
    )
    anew = all_away(*TAINTED_THEN_ALL_AWAY, node(31, "a0", "Unknown"), node(36.1, "a3", "Unknown", UNREACHABLE))
    assert anew.sentence == "1 nodes were tainted while all were away, first a3"
    assert anew.figures == {"nodes": 10, "tainted": 1}


def test_a_taint_that_goes_at_the_limit_is_in_time() -> None:
    assert all_away(*TAINTED_THEN_ALL_AWAY, node(36, "a0", "Unknown")).verdict is HELD


def test_a_taint_that_goes_late_is_unknown_and_one_that_goes_no_more_is_left() -> None:
    late = all_away(*TAINTED_THEN_ALL_AWAY, node(36.1, "a0", "Unknown"))
    assert late.verdict is UNKNOWN
    assert late.sentence == (
        "1 of 10 nodes had their taint for longer than 6 s after all were away, 1 of them no more 18.0 s after it"
    )
    assert all_away(*TAINTED_THEN_ALL_AWAY, node(48, "a0", "Unknown")).verdict is UNKNOWN
    assert all_away(*TAINTED_THEN_ALL_AWAY, node(48.1, "a0", "Unknown")).reason == "taints-left"


def test_a_taint_that_had_no_time_to_go_late_is_unknown() -> None:
    assert all_away(*TAINTED_THEN_ALL_AWAY, node(47, "a9", "True")).verdict is UNKNOWN
    assert all_away(*TAINTED_THEN_ALL_AWAY, node(48, "a9", "True")).reason == "taints-left"


def test_a_node_that_is_gone_has_no_taint_left() -> None:
    gone = node(31.5, "a0", "Unknown", UNREACHABLE, change="deleted")
    assert all_away(*TAINTED_THEN_ALL_AWAY, gone).verdict is HELD


def test_nodes_that_go_away_one_after_the_other_are_of_one_pass() -> None:
    listed = zone_of(10, 6)
    before = [node(20, "a0", "Unknown", UNREACHABLE), *(node(30, f"a{n}", "Unknown") for n in range(7, 10))]
    given = [node(29, "a6", "Unknown"), node(29.1, "a6", "Unknown", UNREACHABLE), node(31.5, "a0", "Unknown")]
    finding = all_away(*listed, *before, *given)
    assert (finding.verdict, finding.figures["left_by_the_last_pass"]) == (HELD, 1)
    assert finding.sentence.endswith("; 1 given in the pass that found it so stayed")


def test_all_must_have_been_away_for_as_long_as_the_taints_may_take() -> None:
    taken = node(31.5, "a0", "Unknown")
    assert all_away(*TAINTED_THEN_ALL_AWAY, taken, node(36, "a9")).verdict is HELD
    short = all_away(*TAINTED_THEN_ALL_AWAY, taken, node(35.9, "a9"))
    assert short.sentence == "not all nodes were away for 6 s, so nothing had to be taken back"


def test_the_measured_rate_has_four_digits() -> None:
    full = judged(ZoneState.FULL, *zone_of(100, 100), *tainted([20, 30, 40, 50]), *other_zone())
    assert (full.figures["in_state_s"], full.figures["measured_per_s"]) == (48.0, 0.0833)


def test_a_taint_that_is_given_at_the_limit_is_left_and_not_given_anew() -> None:
    at_limit = all_away(*TAINTED_THEN_ALL_AWAY, node(31, "a0", "Unknown"), node(36, "a7", "Unknown", UNREACHABLE))
    assert (at_limit.verdict, at_limit.figures["left_by_the_last_pass"]) == (HELD, 1)


# --- how long a hold has to last


class Now(History):
    """A history that is recorded still: it is now `at`."""

    at = 0.0

    def now(self) -> float:
        return self.at


def by(at: float, *records: Record | list[Record]) -> History:
    made = Now.of_records(
        each for group in records for each in (group if isinstance(group, list) else [group]) if each.at <= at
    )
    made.at = at
    return made


def test_a_rate_shows_once_enough_nodes_were_away_for_long_enough() -> None:
    lasting = [*fault(10, None), *zone_of(200, 150)]
    other = other_zone()
    for at, is_shown in ((9, False), (41.9, False), (42, True), (50, True)):
        shows = rate_shows(
            by(at, lasting, other), "a", ZoneState.LARGE_PARTIAL, documented=DOCUMENTED, for_s=30, fault="cut"
        )
        assert shows is is_shown, at
    few = [*fault(10, None), *zone_of(200, 4)]
    assert rate_shows(by(30, few, other), "a", ZoneState.NORMAL, documented=DOCUMENTED, for_s=20)
    assert not rate_shows(by(50, few, other), "a", ZoneState.NORMAL, documented=DOCUMENTED, for_s=20)
    none = [*fault(10, None), *zone_of(200, 0)]
    assert not rate_shows(by(50, none, other), "a", ZoneState.NORMAL, documented=DOCUMENTED, for_s=20)
    assert not rate_shows(by(50, zone_of(200, 4), other), "a", ZoneState.NORMAL, documented=DOCUMENTED, for_s=20)


def test_taking_back_shows_once_all_were_away_and_no_taint_is_left_or_will_go() -> None:
    away = [*TAINTED_THEN_ALL_AWAY, *fault(10, None)]
    gone = [*away, node(31.5, "a0", "Unknown")]
    for records, at, is_shown in (
        (gone, 36, False),
        (gone, 36.1, True),
        (away, 48, False),
        (away, 48.1, True),
        ([*gone, *other_zone()], 50, False),
        (gone[:-2], 50, False),
    ):
        shows = taking_back_shows(by(at, records), documented=DOCUMENTED, within_s=6)
        assert shows is is_shown, (at, is_shown)


# --- nodes that went late hide none that did not

TWO_TAINTED = [*TAINTED_THEN_ALL_AWAY[:-4], node(21, "a1", "Unknown", UNREACHABLE), *TAINTED_THEN_ALL_AWAY[-4:]]
LATE = node(40, "a0", "Unknown")


def test_a_node_that_keeps_its_taint_is_violated_though_another_lost_it_late() -> None:
    finding = all_away(*TWO_TAINTED, LATE)
    assert (finding.verdict, finding.reason) == (VIOLATED, "taints-left")
    assert finding.sentence == "1 of 10 nodes still had their taint 6 s after all were away: a1"
    assert finding.proof == (node(21, "a1", "Unknown", UNREACHABLE),)


def test_where_all_of_them_went_late_it_is_unknown() -> None:
    assert all_away(*TWO_TAINTED, LATE, node(41, "a1", "Unknown")).verdict is UNKNOWN


def test_a_node_tainted_anew_is_violated_though_another_lost_its_taint_late() -> None:
    for name in ("a3", "a0"):
        finding = all_away(*TAINTED_THEN_ALL_AWAY, LATE, node(45, name, "Unknown", UNREACHABLE))
        assert (finding.verdict, finding.reason) == (VIOLATED, "tainted-anew"), name


def test_those_the_last_pass_gave_are_judged_by_how_many_of_them_stay() -> None:
    given = [node(30.1, "a7", "Unknown", UNREACHABLE), node(30.2, "a8", "Unknown", UNREACHABLE)]
    taken = node(31.5, "a0", "Unknown")
    assert all_away(*TAINTED_THEN_ALL_AWAY, *given, taken, node(40, "a7", "Unknown")).verdict is UNKNOWN
    assert all_away(*TAINTED_THEN_ALL_AWAY, *given, LATE).reason == "taints-left"


@pytest.mark.parametrize(
    ("blind", "told", "verdict"),
    [
        (Blind(45, "watch:nodes", 50, "held up", complete=True), [node(50.5, "a0", "Unknown")], UNKNOWN),
        (Blind(45, "watch:nodes", 50, "held up", complete=True), [], VIOLATED),
        (Blind(49, "watch:nodes", 50, "held up", complete=True), [node(50.5, "a0", "Unknown")], VIOLATED),
        (Blind(45, "watch:nodes", 50, "cut", complete=False), [], UNKNOWN),
        (Blind(50, "watch:nodes", 55, "cut", complete=False), [], VIOLATED),
        (Blind(45, "watch:pods", 50, "cut", complete=False), [], VIOLATED),
    ],
)
def test_a_taint_that_may_have_gone_while_nobody_looked_is_not_left(
    blind: Blind, told: list[Record], verdict: Verdict
) -> None:
    assert all_away(*TAINTED_THEN_ALL_AWAY, blind, *told).verdict is verdict


def test_a_taint_that_was_there_when_the_recording_lost_sight_is_not_left() -> None:
    assert all_away(*TAINTED_THEN_ALL_AWAY, end=could_not_see_the_end(70)).verdict is UNKNOWN
