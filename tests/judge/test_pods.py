"""Pods of a workload: terminated, restarted, replaced, or not seen well enough to say."""

from collections.abc import Callable

import msgspec
import pytest

from chaos.judge.base import Finding, Invariant, Verdict, judge
from chaos.judge.pods import no_container_restarted, nothing_terminated, same_pods
from chaos.record.doubts import NoChance
from chaos.record.history import Window
from chaos.record.records import Blind, ClusterEvent, NodeChange, PodChange
from tests.judge.histories import could_not_see_the_end, fault, history, pod, saw_the_end

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
ALL = [nothing_terminated("web"), no_container_restarted("web"), same_pods("web")]
each = pytest.mark.parametrize("invariant", ALL, ids=lambda i: i.name)


def judged(invariant: Invariant, *records: object) -> Finding:
    return judge(invariant, history(*records))  # type: ignore[arg-type]


# --- what all three have in common


@each
def test_a_quiet_workload_is_held(invariant: Invariant) -> None:
    assert judged(invariant, pod(0, "a"), pod(0, "b"), pod(5, "a", "modified"), saw_the_end()).verdict is HELD


@each
def test_no_pod_is_unknown(invariant: Invariant) -> None:
    assert judged(invariant, saw_the_end()).verdict is UNKNOWN
    assert judged(invariant, pod(0, "a", workload="other"), saw_the_end()).verdict is UNKNOWN


@each
def test_without_the_recorders_last_word_it_is_unknown(invariant: Invariant) -> None:
    assert judged(invariant, pod(0, "a")).verdict is UNKNOWN
    assert judged(invariant, pod(0, "a"), saw_the_end(100, "nodes")).verdict is UNKNOWN
    assert judged(invariant, pod(0, "a"), saw_the_end(50), could_not_see_the_end(100)).verdict is UNKNOWN
    assert judged(invariant, pod(0, "a"), could_not_see_the_end(50), saw_the_end(100)).verdict is HELD


@each
def test_incomplete_blindness_is_unknown_complete_is_not(invariant: Invariant) -> None:
    blind = Blind(3.0, "watch:pods", 9.0, "the API server does not answer", complete=False)
    assert judged(invariant, pod(0, "a"), blind, saw_the_end()).verdict is UNKNOWN
    complete = msgspec.structs.replace(blind, complete=True)
    assert judged(invariant, pod(0, "a"), complete, saw_the_end()).verdict is HELD
    elsewhere = msgspec.structs.replace(blind, source="watch:nodes")
    assert judged(invariant, pod(0, "a"), elsewhere, saw_the_end()).verdict is HELD


@pytest.mark.parametrize("make", [nothing_terminated, no_container_restarted, same_pods])
def test_a_fault_that_never_landed_is_unknown(make: Callable[..., Invariant]) -> None:
    assert judged(make("web", fault="cut"), pod(0, "a"), saw_the_end()).verdict is UNKNOWN


@pytest.mark.parametrize("make", [nothing_terminated, no_container_restarted, same_pods])
def test_a_window_is_held_by_what_happened_in_it_alone(make: Callable[..., Invariant]) -> None:
    records = [pod(0, "a"), pod(20, "a", "modified", deleting=True), pod(21, "a", "deleted"), *saw_the_end()]
    assert judged(make("web", window=Window(5, 10)), *records).verdict is HELD
    early = [pod(0, "a"), *saw_the_end(7)]
    assert judged(make("web", window=Window(5, 10)), *early).verdict is UNKNOWN


# --- nothing terminated


def terminated(*records: object) -> Finding:
    return judged(nothing_terminated("web"), *records, saw_the_end())


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (pod(7, "a", "modified", deleting=True), "deleted"),
        (pod(7, "a", "deleted"), "deleted"),
        (pod(7, "a", "modified", phase="Failed", reason="Evicted"), "evicted"),
        (pod(7, "a", "modified", phase="Failed"), "failed"),
        (pod(7, "a", "modified", deleting=True, reason="EvictionByEvictionAPI"), "evicted"),
        (pod(7, "a", "modified", deleting=True, reason="DeletionByTaintManager"), "taint-eviction"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_each_end_of_a_pod_has_its_reason(last: PodChange, reason: str) -> None:
    finding = terminated(pod(0, "a"), pod(0, "b"), last)
    assert (finding.verdict, finding.reason) == (VIOLATED, reason)
    assert finding.figures == {"pods": 2, "terminated": 1, "first_s": 7}
    assert finding.proof == (last,)
    assert "1 of 2 pods of web" in finding.sentence


def test_the_taint_managers_event_tells_the_reason_too() -> None:
    event = ClusterEvent(6.9, "Pod/ns/a", "TaintManagerEviction", "Marking for deletion Pod ns/a")
    assert terminated(pod(0, "a"), event, pod(7, "a", "modified", deleting=True)).reason == "taint-eviction"
    other = msgspec.structs.replace(event, regarding="Pod/ns/b")
    assert terminated(pod(0, "a"), other, pod(7, "a", "modified", deleting=True)).reason == "deleted"


def test_one_taint_eviction_among_deletions_gives_the_reason() -> None:
    finding = terminated(
        pod(0, "a"),
        pod(0, "b"),
        pod(6, "a", "modified", deleting=True),
        pod(7, "b", "modified", deleting=True, reason="DeletionByTaintManager"),
    )
    assert finding.reason == "taint-eviction"
    assert finding.figures["terminated"] == 2
    assert finding.figures["first_s"] == 6


def test_a_pod_counts_once() -> None:
    finding = terminated(
        pod(0, "a"),
        pod(6, "a", "modified", deleting=True),
        pod(7, "a", "modified", deleting=True),
        pod(8, "a", "deleted"),
    )
    assert finding.figures["terminated"] == 1


def test_a_pod_that_was_on_its_way_out_before_does_not_count() -> None:
    leaving = pod(0, "old", deleting=True)
    assert terminated(leaving, pod(0, "a"), pod(3, "old", "deleted")).verdict is HELD
    assert terminated(leaving, pod(3, "old", "deleted")).verdict is UNKNOWN


def test_a_pod_that_came_and_went_counts() -> None:
    assert terminated(pod(0, "a"), pod(4, "b", "added"), pod(5, "b", "deleted")).verdict is VIOLATED


def test_a_violation_that_was_seen_is_one_however_blind_the_rest() -> None:
    blind = Blind(3.0, "watch:pods", 9.0, "frozen", complete=False)
    finding = judged(nothing_terminated("web"), pod(0, "a"), pod(2, "a", "deleted"), blind)
    assert finding.verdict is VIOLATED


def test_a_restart_is_no_termination() -> None:
    assert terminated(pod(0, "a"), pod(7, "a", "modified", restarts=1, containers=("a-2",))).verdict is HELD


# --- no container restarted


def restarted(*records: object) -> Finding:
    return judged(no_container_restarted("web"), *records, saw_the_end())


def test_another_container_id_is_a_restart_even_with_the_same_count() -> None:
    finding = restarted(pod(0, "a"), pod(0, "b"), pod(7, "a", "modified", containers=("a-2",)))
    assert (finding.verdict, finding.reason) == (VIOLATED, "restarted")
    assert finding.figures["pods_restarted"] == 1
    assert "first in a at 7.0 s" in finding.sentence


def test_a_higher_count_is_a_restart_even_with_the_same_id() -> None:
    assert restarted(pod(0, "a"), pod(7, "a", "modified", restarts=1)).reason == "restarted"


def test_a_container_that_stopped_and_stayed_away() -> None:
    finding = restarted(pod(0, "a"), pod(7, "a", "modified", containers=()))
    assert (finding.verdict, finding.reason) == (VIOLATED, "stopped")


def test_a_status_that_is_lost_for_a_while_is_no_restart() -> None:
    records = [pod(0, "a"), pod(5, "a", "modified", containers=()), pod(7, "a", "modified")]
    assert restarted(*records).verdict is HELD


def test_containers_that_end_with_their_pod_are_no_restart() -> None:
    records = [pod(0, "b"), pod(0, "a"), pod(5, "a", "modified", deleting=True, containers=()), pod(7, "a", "deleted")]
    assert restarted(*records).verdict is HELD


def test_a_pod_that_is_still_starting_is_judged_from_when_it_is_complete() -> None:
    starting = [
        pod(1, "a", "added", containers=()),
        pod(2, "a", "modified", containers=("x",)),
        pod(3, "a", "modified", containers=("x", "y")),
    ]
    assert restarted(*starting).verdict is HELD
    assert restarted(*starting, pod(4, "a", "modified", containers=("y", "z"))).reason == "restarted"
    assert restarted(*starting, pod(4, "a", "modified", containers=("y",))).reason == "stopped"


def test_pods_without_any_container_seen_are_unknown() -> None:
    assert restarted(pod(0, "a", containers=())).verdict is UNKNOWN


# --- same pods


def compared(*records: object) -> Finding:
    return judged(same_pods("web"), *records, saw_the_end())


def test_a_replaced_pod_is_violated_and_counted() -> None:
    finding = compared(pod(0, "a"), pod(0, "b"), pod(5, "c", "added"), pod(6, "a", "deleted"))
    assert (finding.verdict, finding.reason) == (VIOLATED, "replaced")
    assert finding.figures == {"pods": 2, "lost": 1, "new": 1}


def test_the_same_name_with_another_uid_is_another_pod() -> None:
    reborn = PodChange(7, "ns", "a", "another-uid", "added", workload="web")
    assert compared(pod(0, "a"), pod(6, "a", "deleted"), reborn).verdict is VIOLATED


def test_a_recording_that_began_before_the_workload_is_unknown() -> None:
    assert compared(pod(3, "a", "added")).verdict is UNKNOWN


# --- the chance that pods are terminated

UNREACHABLE = "node.kubernetes.io/unreachable:NoExecute"


def node(at: float, name: str, *taints: str, change: str = "modified") -> NodeChange:
    return NodeChange(at, name, change, "Unknown" if taints else "True", taints=taints)


def kept(*records: object, tolerated_s: float | None = 12, **span: object) -> Finding:
    return judged(nothing_terminated("web", tolerated_s=tolerated_s, **span), pod(0, "a"), *records)  # type: ignore[arg-type]


def test_a_node_that_was_tainted_past_the_toleration_was_a_chance() -> None:
    assert kept(node(10, "worker", UNREACHABLE), node(22.1, "worker"), saw_the_end()).verdict is HELD
    assert kept(node(10, "worker", UNREACHABLE), saw_the_end()).verdict is HELD


def test_without_the_chance_nothing_is_proven() -> None:
    short = kept(node(10, "worker", UNREACHABLE), node(22, "worker"), saw_the_end())
    assert short.verdict is UNKNOWN
    assert "(the longest was 12.0 s on worker)" in short.sentence
    never = kept(node(10, "worker"), saw_the_end())
    assert never.verdict is UNKNOWN
    assert "(none was at all)" in never.sentence
    other_taint = node(10, "worker", "node.kubernetes.io/unreachable:NoSchedule")
    assert kept(other_taint, saw_the_end()).verdict is UNKNOWN


def test_only_nodes_with_pods_of_the_workload_are_a_chance() -> None:
    assert kept(node(10, "another", UNREACHABLE), saw_the_end()).verdict is UNKNOWN
    assert kept(node(10, "another", UNREACHABLE), tolerated_s=None).verdict is UNKNOWN  # the end was not seen
    assert kept(node(10, "another", UNREACHABLE), saw_the_end(), tolerated_s=None).verdict is HELD


def test_two_short_taints_are_no_long_one() -> None:
    twice = [node(10, "worker", UNREACHABLE), node(18, "worker"), node(19, "worker", UNREACHABLE), node(27, "worker")]
    assert kept(*twice, saw_the_end()).verdict is UNKNOWN


def test_the_taint_counts_within_the_faults_time_alone() -> None:
    steps = fault(5.0, 20.0)
    assert kept(node(10, "worker", UNREACHABLE), steps, saw_the_end(), fault="cut").verdict is UNKNOWN
    assert kept(node(7, "worker", UNREACHABLE), steps, saw_the_end(), fault="cut").verdict is HELD


def test_pods_that_are_terminated_are_so_with_and_without_a_taint() -> None:
    gone = pod(15, "a", "modified", deleting=True)
    assert kept(gone, saw_the_end()).verdict is VIOLATED


def test_harm_that_reached_only_some_of_its_nodes_has_not_tried_it() -> None:
    tainted = [node(10, "worker", UNREACHABLE), node(30, "worker")]
    missed = NoChance(29, "other", 0.0, 12)
    assert kept(*tainted, saw_the_end()).verdict is HELD
    found = kept(*tainted, missed, saw_the_end())
    assert found.verdict is UNKNOWN
    assert "(other for 0.0 s)" in found.sentence
    assert kept(*tainted, missed, pod(15, "a", "modified", deleting=True), saw_the_end()).verdict is VIOLATED


# --- to the last figure


def test_what_was_terminated_is_told_with_all_its_figures() -> None:
    ended = [pod(6.0626, "b", "modified", deleting=True, node=""), pod(7, "a", "modified", reason="Evicted")]
    finding = terminated(pod(0, "a"), pod(0, "b"), pod(0, "c"), ended, pod(8, "b", "deleted"))
    assert (finding.reason, finding.proof) == ("evicted", tuple(ended))
    assert finding.sentence == (
        "2 of 3 pods of web were terminated (1 by deleted, 1 by evicted), first b on no node at 6.1 s"
    )
    assert finding.figures == {"pods": 3, "terminated": 2, "first_s": 6.063}
    one = terminated(pod(0, "a"), pod(7, "a", "modified", phase="Failed"))
    assert one.sentence == "1 of 1 pods of web were terminated (1 by failed), first a on worker at 7.0 s"
    held = terminated(pod(0, "a"), pod(0, "b"))
    assert (held.sentence, held.figures) == (
        "none of 2 pods of web was terminated",
        {"pods": 2, "terminated": 0},
    )


def test_only_a_node_of_this_workload_was_its_chance() -> None:
    other = pod(0, "x", workload="other", node="another")
    assert kept(other, node(10, "another", UNREACHABLE), saw_the_end()).verdict is UNKNOWN
    long_, short = node(10, "w2", UNREACHABLE), [node(10, "worker", UNREACHABLE), node(15, "worker")]
    assert kept(pod(0, "b", node="w2"), long_, short, saw_the_end()).verdict is HELD
    both = kept(pod(0, "b", node="w2"), short, node(10, "w2", UNREACHABLE), node(13.5, "w2"), saw_the_end())
    assert both.sentence == (
        "no node with a pod of web was tainted NoExecute for longer than the 12 s that are tolerated by default "
        "(the longest was 5.0 s on worker), so that nothing had the chance to be terminated"
    )
    assert [(each.name, each.at) for each in both.proof if isinstance(each, NodeChange)] == [
        ("worker", 10), ("w2", 10), ("w2", 13.5), ("worker", 15),
    ]  # fmt: skip


def test_a_pod_that_ended_before_the_span_began_does_not_count_and_one_at_its_edges_does() -> None:
    span = nothing_terminated("web", window=Window(10.0, 20.0))
    for at, verdict in [(9.9, HELD), (10.0, VIOLATED), (20.0, VIOLATED), (20.1, HELD)]:
        gone = pod(at, "a", "modified", deleting=True)
        assert judged(span, pod(0, "a"), pod(0, "b"), gone, saw_the_end()).verdict is verdict, at
    assert judged(span, pod(0, "a"), pod(9, "a", "deleted"), saw_the_end()).sentence == "no pod of web was seen"


def test_containers_are_judged_in_the_span_alone() -> None:
    span = no_container_restarted("web", window=Window(10.0, 20.0))
    for at, verdict in [(9.9, HELD), (10.0, VIOLATED), (20.0, VIOLATED), (20.1, HELD)]:
        again = pod(at, "a", "modified", containers=("a-2",), restarts=1)
        assert judged(span, pod(0, "a"), again, saw_the_end()).verdict is verdict, at


def test_restarts_and_stops_are_counted_and_the_first_is_named() -> None:
    again = [pod(8, "a", "modified", restarts=1), pod(7.0626, "b", "modified", containers=("b-2",))]
    stopped = pod(5, "c", "modified", containers=())
    finding = restarted(pod(0, "a"), pod(0, "b"), pod(0, "c"), pod(0, "d"), again, stopped)
    assert finding.sentence == "containers restarted in 2 pods of web, first in b at 7.1 s"
    assert finding.figures == {"pods_restarted": 2, "pods_stopped": 1, "pods_kept": 1, "first_s": 7.063}
    assert finding.proof == (again[1], again[0])
    alone = restarted(pod(0, "c"), pod(0, "d"), stopped)
    assert alone.sentence == "containers stopped in 1 pods of web, first in c at 5.0 s"
    held = restarted(pod(0, "a", containers=("a-1", "a-2")), pod(0, "d"))
    assert (held.figures, held.sentence) == (
        {"pods": 2, "containers": 3},
        "all 3 containers in 2 pods of web are the ones that ran before",
    )


def test_pods_are_compared_at_the_spans_edges() -> None:
    span = same_pods("web", window=Window(10.0, 20.0))
    for at, verdict in [(9.9, UNKNOWN), (10.0, VIOLATED), (20.0, VIOLATED), (20.1, HELD)]:
        gone = pod(at, "a", "deleted")
        assert judged(span, pod(0, "a"), gone, saw_the_end()).verdict is verdict, at
    for at, verdict in [(9.9, HELD), (10.0, VIOLATED), (20.0, VIOLATED), (20.1, HELD)]:
        assert judged(span, pod(0, "a"), pod(at, "b", "added"), saw_the_end()).verdict is verdict, at


def test_what_was_replaced_is_named() -> None:
    new, old = pod(5, "c", "added"), pod(0, "a")
    finding = compared(old, pod(0, "b"), new, pod(6, "a", "deleted"))
    assert finding.sentence == "of 2 pods of web 1 are gone, and 1 are new (a)"
    assert finding.proof == (old, new)
    assert compared(old, new).sentence == "of 1 pods of web 0 are gone, and 1 are new (c)"
    held = compared(old, pod(0, "b"))
    assert (held.sentence, held.figures) == ("the 2 pods of web are the same as before", {"pods": 2})
