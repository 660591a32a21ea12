"""What a restarted kubelet must leave alone: every verdict, on literal histories."""

import pytest

from chaos.judge.base import Invariant, Verdict, judge
from chaos.record.history import History
from chaos.record.records import IN_SYNC, Blind, FaultStep, NodeChange, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.kubelets.promises import (
    chance_s,
    containers_kept,
    crashed_starts_again,
    no_pod_rejected,
    pods_stay_ready,
)
from chaos.subjects.kubelets.records import (
    ContainerKilled,
    KubeletPods,
    KubeletProcess,
    NodeContainers,
    RunningContainer,
)

NODE, SHAPES, FAULT = "worker", "shapes", "restart-kubelet"
OLD, NEW = KubeletProcess(0, NODE, 10, 1000), KubeletProcess(6, NODE, 11, 1500)
ALL = ("ns/pod-u1", "ns/pod-u2")
HAS_ALL = KubeletPods(8, NODE, 1500, ALL)
RESTART = (FaultStep(5, FAULT, "planned"), FaultStep(6, FAULT, "landed"))
CRASH = FaultStep(30, "crash-containers", "planned")
SAW_ALL = Sample(60, IN_SYNC, "watch:pods", 1.0)
ONE, TWO = RunningContainer("u1", "a" * 64, 100), RunningContainer("u2", "b" * 64, 200)
BEFORE = NodeContainers(1, NODE, (ONE, TWO))
KILLED = ContainerKilled(31, NODE, "plain", "u1", ONE.id)


def pod(at: float, uid: str = "u1", *, ready: bool = True, phase: str = "Running", reason: str = "") -> PodChange:
    changed = "listed" if at == 0 else "modified"
    return PodChange(at, "ns", f"pod-{uid}", uid, changed, SHAPES, phase=phase, node=NODE, ready=ready, reason=reason)


PODS = (pod(0, "u1"), pod(0, "u2"))
STORY: tuple[Record, ...] = (*PODS, OLD, BEFORE, *RESTART, NEW, HAS_ALL, CRASH, SAW_ALL)


def looks(*records: Record) -> tuple[Verdict, str]:
    return verdict(pods_stay_ready(SHAPES, NODE, fault=FAULT, seen_s=12), *records)


def verdict(invariant: Invariant, *records: Record) -> tuple[Verdict, str]:
    found = judge(invariant, History.of_records(records))
    return found.verdict, found.reason if found.verdict is Verdict.VIOLATED else ""


OF_RESTART = [
    pods_stay_ready(SHAPES, NODE, fault=FAULT, seen_s=12),
    no_pod_rejected(SHAPES, NODE, fault=FAULT, seen_s=12),
    containers_kept(SHAPES, NODE, fault=FAULT, seen_s=12),
]


@pytest.mark.parametrize("invariant", OF_RESTART, ids=lambda each: each.name)
class TestOfTheRestart:
    def test_where_nothing_changes_it_is_kept(self, invariant: Invariant) -> None:
        assert verdict(invariant, *STORY) == (Verdict.HELD, "")

    def test_what_comes_of_killed_containers_does_not_count(self, invariant: Invariant) -> None:
        later = (pod(32, ready=False, phase="Failed"), NodeContainers(32, NODE, (TWO,)))
        assert verdict(invariant, *STORY, *later) == (Verdict.HELD, "")

    @pytest.mark.parametrize(
        "left",
        [
            lambda each: not isinstance(each, FaultStep) or each.step != "landed",  # it never landed
            lambda each: not isinstance(each, KubeletPods),  # nobody knows what the new kubelet has
            lambda each: each is not NEW,  # no look saw another process, but what it has is its own
            lambda each: not isinstance(each, PodChange),  # no pod was there
        ],
    )
    def test_where_too_little_was_seen_nobody_knows(self, invariant: Invariant, left: object) -> None:
        assert callable(left)
        kept = [each for each in STORY if left(each)]
        expected = Verdict.HELD if len(kept) == len(STORY) - 1 and NEW not in kept else Verdict.UNKNOWN
        if invariant.name == "containers-kept" and not any(isinstance(each, PodChange) for each in kept):
            expected = Verdict.HELD  # it is about the node, whose containers were all seen
        assert verdict(invariant, *kept)[0] is expected

    def test_a_kubelet_that_lacks_a_pod_had_no_chance(self, invariant: Invariant) -> None:
        story = [each if each is not HAS_ALL else KubeletPods(8, NODE, 1500, ("ns/pod-u1",)) for each in STORY]
        assert verdict(invariant, *story)[0] is Verdict.UNKNOWN

    def test_what_the_old_kubelet_said_is_no_chance(self, invariant: Invariant) -> None:
        story = [each if each is not HAS_ALL else KubeletPods(8, NODE, 1000, ALL) for each in STORY]
        assert verdict(invariant, *story)[0] is Verdict.UNKNOWN

    def test_one_that_had_them_for_too_short_had_none(self, invariant: Invariant) -> None:
        story = [each if each is not HAS_ALL else KubeletPods(20, NODE, 1500, ALL) for each in STORY]
        assert verdict(invariant, *story)[0] is Verdict.UNKNOWN


def test_a_pod_that_is_not_ready_for_a_moment_breaks_it() -> None:
    assert looks(*STORY, pod(9, ready=False), pod(14)) == (Verdict.VIOLATED, "not-ready")
    found = judge(OF_RESTART[0], History.of_records([*STORY, pod(9, ready=False), pod(14)]))
    assert found.figures["longest_s"] == 5
    assert found.figures["first_s"] == 4


def node_is(at: float, ready: str, name: str = NODE) -> NodeChange:
    return NodeChange(at, name, "modified", ready)


def test_the_pods_of_a_node_that_is_not_ready_itself_tell_nothing() -> None:
    lost = pod(9, ready=False)
    assert looks(*STORY, node_is(8, "Unknown"), lost)[0] is Verdict.UNKNOWN
    assert looks(*STORY, node_is(8, "False"), lost)[0] is Verdict.UNKNOWN
    for other in (node_is(8, "True"), node_is(10, "Unknown"), node_is(2, "Unknown"), node_is(8, "Unknown", "another")):
        assert looks(*STORY, other, lost) == (Verdict.VIOLATED, "not-ready")


def test_a_pod_that_was_not_ready_before_does_not() -> None:
    ill = [pod(0, "u1", ready=False), pod(9, "u1", ready=False), *(each for each in STORY if each is not PODS[0])]
    assert looks(*ill)[0] is Verdict.HELD
    nobody = [each for each in ill if each is not PODS[1]]
    assert looks(*nobody)[0] is Verdict.UNKNOWN


def test_without_the_recorders_word_nobody_knows() -> None:
    assert looks(*(each for each in STORY if each is not SAW_ALL))[0] is Verdict.UNKNOWN


@pytest.mark.parametrize(("reason", "expected"), [("NodeAffinity", "node-affinity"), ("OutOfcpu", "rejected")])
def test_a_pod_that_fails_is_refused(reason: str, expected: str) -> None:
    failed = pod(9, ready=False, phase="Failed", reason=reason)
    assert verdict(OF_RESTART[1], *STORY, failed) == (Verdict.VIOLATED, expected)


def test_a_container_in_the_place_of_another_was_restarted() -> None:
    other = NodeContainers(10, NODE, (RunningContainer("u1", "c" * 64, 300), TWO))
    assert verdict(OF_RESTART[2], *STORY, other) == (Verdict.VIOLATED, "restarted")


def test_one_that_is_new_beside_them_is_none() -> None:
    more = NodeContainers(10, NODE, (ONE, TWO, RunningContainer("u3", "c" * 64, 300)))
    assert verdict(OF_RESTART[2], *STORY, more)[0] is Verdict.HELD


def test_where_the_node_was_not_seen_nobody_knows() -> None:
    gap = Blind(9, f"containers:{NODE}", 16, "the node did not answer")
    assert verdict(OF_RESTART[2], *STORY, gap)[0] is Verdict.UNKNOWN
    nothing = [each for each in STORY if each is not BEFORE]
    assert verdict(OF_RESTART[2], *nothing)[0] is Verdict.UNKNOWN


class TestCrashed:
    AGAIN = crashed_starts_again(NODE, within_s=20)
    NEW = NodeContainers(34, NODE, (RunningContainer("u1", "c" * 64, 300), TWO))

    def test_started_in_time(self) -> None:
        assert verdict(self.AGAIN, *STORY, KILLED, NodeContainers(32, NODE, (TWO,)), self.NEW) == (Verdict.HELD, "")

    def test_back_before_the_kill_had_landed(self) -> None:
        quick = NodeContainers(30.5, NODE, self.NEW.containers)
        assert verdict(self.AGAIN, *STORY, quick, KILLED) == (Verdict.HELD, "")

    def test_what_was_there_when_it_was_planned_is_not_it(self) -> None:
        beside = NodeContainers(29, NODE, (ONE, *self.NEW.containers))
        after = NodeContainers(32, NODE, self.NEW.containers)
        assert verdict(self.AGAIN, *STORY, beside, KILLED, after) == (Verdict.VIOLATED, "not-started")

    def test_never(self) -> None:
        assert verdict(self.AGAIN, *STORY, KILLED, NodeContainers(32, NODE, (TWO,))) == (
            Verdict.VIOLATED,
            "not-started",
        )

    def test_late(self) -> None:
        late = NodeContainers(52, NODE, self.NEW.containers)
        assert verdict(self.AGAIN, *STORY, KILLED, late) == (Verdict.VIOLATED, "not-started")

    @pytest.mark.parametrize(
        ("start", "until", "expected"),
        [
            (50, 56, Verdict.UNKNOWN),  # it may have been started in time
            (52, 56, Verdict.VIOLATED),  # it was too late already
            (45, 54, Verdict.VIOLATED),  # the look at its end did not show it yet
        ],
    )
    def test_seen_late_after_a_gap_is_not_started_late(self, start: float, until: float, expected: Verdict) -> None:
        gap = Blind(start, f"containers:{NODE}", until, "the node did not answer")
        late = NodeContainers(56, NODE, self.NEW.containers)
        assert verdict(self.AGAIN, *STORY, KILLED, gap, late)[0] is expected

    def test_another_pods_container_is_not_it(self) -> None:
        other = NodeContainers(34, NODE, (RunningContainer("u3", "c" * 64, 300), TWO))
        assert verdict(self.AGAIN, *STORY, KILLED, other) == (Verdict.VIOLATED, "not-started")

    def test_not_looked_at_for_long_enough(self) -> None:
        early = [each for each in STORY if each.at < 40]
        assert verdict(self.AGAIN, *early, KILLED, Sample(45, "x", "y", 1))[0] is Verdict.UNKNOWN

    def test_a_gap_until_the_end_is_no_look(self) -> None:
        gap = Blind(40, f"containers:{NODE}", 60, "the node did not answer")
        assert verdict(self.AGAIN, *STORY, KILLED, gap)[0] is Verdict.UNKNOWN

    def test_none_was_killed(self) -> None:
        assert verdict(self.AGAIN, *STORY)[0] is Verdict.UNKNOWN


def test_the_chance_is_counted_from_when_it_has_all() -> None:
    assert chance_s(History.of_records([*PODS, OLD]), SHAPES, NODE, FAULT) is None
    assert chance_s(History.of_records([*PODS, OLD, *RESTART, NEW]), SHAPES, NODE, FAULT) is None
    counted = chance_s(History.of_records([*PODS, OLD, *RESTART, NEW, HAS_ALL]), SHAPES, NODE, FAULT)
    assert counted is not None
    assert counted > 0
