"""An upgrade in place, judged to the last figure: bounds, sentences, proof."""

import pytest

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.records import Blind, FaultStep, NodeChange, PodChange, Sample
from chaos.subjects.upgrade.promises import (
    BY_EVICTION,
    each_node_upgraded,
    nodes_upgraded,
    only_drained_pods_evicted,
    pods_run_throughout,
    upgrade_resumed,
)
from chaos.subjects.upgrade.records import (
    ASKED,
    ApplyBegun,
    ApplyEnded,
    CommandEnded,
    ControlPlaneVersion,
    KubeletReplaced,
    ManifestPlaced,
    PodNeverRan,
)
from tests.judge.histories import fault, history, pod, saw_the_end
from tests.subjects.upgrade.kubelets import NEW, OLD, node

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN


CORDONED = (node(0), node(10, unschedulable=True), node(20))


def evicted(at: float, name: str = "a", **more: object) -> PodChange:
    return pod(at, name, "modified", deleting=True, reason=BY_EVICTION, **more)


def drained(*records: object, ours: tuple[str, ...] | None = None) -> Finding:
    return judge(only_drained_pods_evicted(ours=ours), history(CORDONED, *records, saw_the_end()))  # type: ignore[arg-type]


def test_what_went_is_counted_by_who_asked_for_it() -> None:
    check = PodChange(12, "kube-system", "upgrade-health-check-1", "u", "deleted", phase="Running", node="worker")
    found = drained(pod(0, "a"), pod(0, "b"), evicted(11), check)
    assert found.figures == {"pods": 3, "evicted": 1, "replaced_by_kubeadm": 1}
    assert found.sentence == "1 pods were evicted from drained nodes, 1 were replaced by kubeadm, no other went"
    ours = drained(pod(0, "a"), evicted(11), pod(3, "b", "deleted", workload="shop"), ours=("web",))
    assert ours.figures == {"pods": 2, "evicted": 1, "replaced_by_kubeadm": 0, "of_others": 1}
    assert ours.sentence.endswith("0 were replaced by kubeadm, no other of ours went; 1 of others went by no taint")


def test_of_several_that_were_wrong_the_worst_kind_is_the_reason_and_its_first_is_named() -> None:
    gone = [
        pod(13, "c", "modified", deleting=True),
        evicted(5),
        pod(12, "b", "modified", deleting=True, node=""),
        pod(4, "d", "modified", phase="Failed"),
    ]
    found = drained(gone)
    assert found.sentence == (
        "4 pods went that no drain asked to go (failed, not-by-eviction, not-drained), such as ns/b on no node "
        "at 12.0 s"
    )
    assert (found.reason, found.figures["wrong"], found.figures["evicted"]) == ("not-by-eviction", 4, 0)
    assert [each.at for each in found.proof] == [4, 5, 12, 13]


@pytest.mark.parametrize(("at", "verdict"), [(8.9, VIOLATED), (9.0, HELD), (21.5, HELD), (21.6, VIOLATED)])
def test_two_watches_may_differ_by_a_second(at: float, verdict: Verdict) -> None:
    """The node is cordoned from 10 to 20 s, and again from 20.5 to 20.6 s."""
    again = [node(20.5, unschedulable=True), node(20.6)]
    assert drained(pod(0, "a"), evicted(at), again).verdict is verdict


def test_the_reason_may_be_seen_a_second_before_the_end() -> None:
    asked = pod(10.5, "a", "modified", reason=BY_EVICTION)
    assert drained(pod(0, "a"), asked, pod(11.5, "a", "modified", deleting=True)).verdict is HELD
    assert drained(pod(0, "a"), asked, pod(11.6, "a", "modified", deleting=True)).verdict is VIOLATED


# --- each node with each version


def upgraded(
    *records: object, versions: tuple[str, ...] = ("1.35.4",), nodes: tuple[str, ...] = ("worker",)
) -> Finding:
    return judge(nodes_upgraded(nodes, versions, within_s=30), history(node(0), *records, saw_the_end()))  # type: ignore[arg-type]


BEGUN = KubeletReplaced(10, "worker", "1.35.4")


def test_the_limit_of_a_kubelet_is_in_time_and_past_it_is_late() -> None:
    held = upgraded(BEGUN, node(12, "False", NEW), node(40, "True", NEW), node(50, "True", NEW))
    assert held.figures == {"nodes": 1, "versions": 1, "ready_s_worker": 30.0}
    assert held.sentence == "each of 1 nodes was Ready with its new kubelet after 30.0 s at the most"
    late = upgraded(BEGUN, node(40.1256, "True", NEW))
    assert (late.reason, late.figures["ready_s_worker"]) == ("late", 30.126)
    assert late.sentence == "worker (1.35.4, 30.1 s): late, allowed were 30 s after the new kubelet was started"
    assert late.proof == (node(40.1256, "True", NEW),)


def test_a_kubelet_that_was_not_replaced_is_named() -> None:
    found = upgraded(BEGUN, node(12, "True", NEW), versions=("1.35.4", "1.36.3"))
    assert (found.verdict, found.sentence) == (UNKNOWN, "the kubelet of worker was not replaced by that of 1.36.3")
    never = upgraded(KubeletReplaced(10, "other", "1.35.4"), nodes=("other",))
    assert never.sentence == "the kubelet of other was not replaced by that of any"
    for nothing in (upgraded(BEGUN, nodes=()), upgraded(BEGUN, versions=())):
        assert (nothing.verdict, nothing.sentence) == (UNKNOWN, "whether any node was Ready in time could not be seen")


def test_the_worst_reason_is_told_of_all_that_have_it() -> None:
    both = [BEGUN, KubeletReplaced(10, "b", "1.35.4"), node(0, name="b"), node(12, "False", NEW, "b")]
    found = upgraded(*both, node(12, "True", NEW, unschedulable=True), nodes=("worker", "b"))
    assert found.sentence == "b (1.35.4): not-ready, allowed were 30 s after the new kubelet was started"
    assert found.reason == "not-ready"
    assert len(found.proof) == 2


def test_what_a_blindness_hid_is_unsure_only_where_it_touches_the_wait() -> None:
    back = node(45, "True", NEW)
    hidden = upgraded(BEGUN, Blind(20, "watch:nodes", 30, "cut", complete=True), back)
    assert (hidden.verdict, hidden.sentence) == (UNKNOWN, "whether worker was Ready in time could not be seen")
    assert upgraded(BEGUN, Blind(46, "watch:nodes", 50, "cut", complete=True), back).reason == "late"


# --- by a command of the user's own


def by_command(*records: object) -> Finding:
    made = each_node_upgraded(within_s=30, fault="upgrade-command")
    steps = (fault(10, 60, "upgrade-command"), CommandEnded(59, "./upgrade.sh"), saw_the_end(), node(0))
    return judge(made, history(*steps, *records))  # type: ignore[arg-type]


def test_a_node_that_is_ready_at_the_limit_is_in_time() -> None:
    held = by_command(node(15, "False", NEW), node(45, "True", NEW))
    assert held.figures == {"nodes": 1, "upgraded": 1, "gone": 0, "ready_s_worker": 30}
    assert held.sentence == (
        f"each of 1 nodes has the new kubelet ({OLD} before, {NEW} now) and was Ready with it after 30.0 s at the most"
    )
    late = by_command(node(15, "False", NEW), node(45.0625, "True", NEW))
    assert (late.reason, late.figures["ready_s_worker"]) == ("late", 30.062)
    assert late.sentence == f"worker ({NEW}): late, allowed were 30 s after the new kubelet was first seen"
    assert late.proof == (node(45.0625, "True", NEW),)


def test_the_state_at_the_faults_beginning_is_before_it() -> None:
    at_once = by_command(node(10, "True", NEW))
    assert at_once.sentence == f"no node has another kubelet than before ({NEW}): nothing was upgraded"
    added = [NodeChange(12, "b", "added", "True", kubelet=OLD), node(15, "True", NEW)]
    assert by_command(*added).reason == "old-version"


def test_the_last_word_of_a_command_counts() -> None:
    failed = CommandEnded(58, "./upgrade.sh", "exit 1: no quorum")
    assert by_command(failed, node(15, "True", NEW)).verdict is HELD
    last = by_command(CommandEnded(59.5, "./upgrade.sh", "exit 1: no quorum"), node(15, "True", NEW))
    assert (last.verdict, len(last.proof)) == (UNKNOWN, 1)


# --- cut short and run again


CUT = [FaultStep(at, "power-off", step) for at, step in ((11, "planned"), (12, "landed"), (20, "undone"))]
FIRST = [ApplyBegun(1, "cp", "1.35.4"), ManifestPlaced(10, "cp", "kube-apiserver", "1.35.4")]
DIED, AGAIN = ApplyEnded(11.9, "cp", "1.35.4", "exit 137: x"), ApplyBegun(40, "cp", "1.35.4")
DONE, RUNS = ApplyEnded(90.0625, "cp", "1.35.4"), ControlPlaneVersion(91, "cp", "1.35.4")


def resumed(*records: object) -> Finding:
    return judge(upgrade_resumed(("1.35.4",), fault="power-off"), history(*records))  # type: ignore[arg-type]


def test_what_was_resumed_is_told_with_its_tries() -> None:
    tries = [AGAIN, ApplyEnded(50, "cp", "1.35.4", "exit 1: etcd"), ApplyBegun(60, "cp", "1.35.4")]
    found = resumed(FIRST, DIED, CUT, tries, DONE, RUNS, ApplyBegun(95, "cp", "1.35.4"))
    assert found.figures == {"versions": 1, "resumed_s_1.35.4": 70.062, "tries_1.35.4": 2}
    assert found.sentence == (
        "cut short in the middle, the upgrade to 1.35.4 was run again and done 70 s after the control plane's node "
        "was back"
    )


def test_what_could_not_be_resumed_says_the_last_words() -> None:
    failed = [ApplyEnded(50, "cp", "1.35.4", "exit 1: first"), ApplyEnded(90, "cp", "1.35.4", "exit 1: last")]
    found = resumed(FIRST, DIED, CUT, AGAIN, *failed)
    assert found.sentence == "the upgrade to 1.35.4 was cut short and could not be resumed: 1.35.4 exit 1: last"
    assert (found.proof, found.figures) == (tuple(failed), {"tries": 1})
    old = [ControlPlaneVersion(89, "cp", "1.35.4"), ControlPlaneVersion(91, "cp", "1.34.4")]
    wrong = resumed(FIRST, DIED, CUT, AGAIN, DONE, *old, ControlPlaneVersion(99, "cp", "1.35.4"))
    assert wrong.sentence == "after the upgrade to 1.35.4 the API server is 1.34.4"
    assert (wrong.proof, wrong.figures) == ((old[1],), {"tries": 1})


@pytest.mark.parametrize("at", [10.9, 20.1])
def test_an_end_before_the_fault_or_after_it_was_not_cut_short_by_it(at: float) -> None:
    found = resumed(FIRST, ApplyEnded(at, "cp", "1.35.4", "exit 1: x"), CUT, AGAIN, DONE, RUNS)
    assert (found.verdict, found.sentence) == (
        UNKNOWN,
        "the upgrade to 1.35.4 was not cut short by power-off: 1.35.4 exit 1: x",
    )


@pytest.mark.parametrize("at", [11.0, 20.0])
def test_an_end_at_the_faults_edges_was_cut_short(at: float) -> None:
    assert resumed(FIRST, ApplyEnded(at, "cp", "1.35.4", "exit 1: x"), CUT, AGAIN, DONE, RUNS).verdict is HELD


def test_only_a_fault_after_the_first_manifest_is_in_the_middle() -> None:
    early = [FaultStep(at, "power-off", step) for at, step in ((2, "planned"), (3, "landed"), (4, "undone"))]
    found = resumed(FIRST, DIED, early, AGAIN, DONE, RUNS)
    assert found.sentence == "the fault power-off did not land in the upgrade to 1.35.4, or was not undone"
    assert resumed(FIRST, DIED, early, CUT, AGAIN, DONE, RUNS).verdict is HELD
    nothing = resumed(FIRST[:1], DIED, CUT)
    assert (nothing.sentence, nothing.proof) == ("no upgrade to 1.35.4 was seen in its middle", (DIED,))


# --- pods that were asked for


def test_pods_that_ran_in_time_to_the_limit_and_past_it() -> None:
    ran = [Sample(float(at), ASKED, f"p{at}", 58.0 + at) for at in range(3)]
    held = judge(pods_run_throughout(within_s=60), history(ran, Sample(1.0, "another", "x", 99.0)))
    assert (held.verdict, held.figures) == (HELD, {"pods": 3, "slowest_s": 60.0})
    assert held.sentence == "each of 3 pods asked for meanwhile ran, the slowest after 60.0 s"
    slow, never = Sample(9.0, ASKED, "p9", 60.0626), PodNeverRan(9, "p8", "in vain")
    broken = judge(pods_run_throughout(within_s=60), history(ran, slow, never))
    assert broken.sentence == "of 5 pods asked for 1 never ran and 1 took longer than 60 s"
    assert (broken.figures, broken.proof) == ({"never": 1, "slow": 1, "slowest_s": 60.063}, (never, slow))
    few = judge(pods_run_throughout(within_s=60), history(ran[:2]))
    assert (few.verdict, few.sentence) == (UNKNOWN, "only 2 pods were asked for")
