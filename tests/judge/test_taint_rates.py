"""Taints and terminations by zone: within the documented rate, beyond it, or not seen well enough to say."""

from dataclasses import replace
from typing import Any

import pytest

from chaos.clusters.shape import Timers
from chaos.judge.base import Finding, Verdict, judge
from chaos.judge.taint_rates import ZoneState, rate_of, taints_taken_back, taints_within_rate, terminations_within_rate
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
