"""An upgrade in place, judged: what went, which node was back when, whether it was resumed, what ran meanwhile."""

import pytest

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.records import Blind, FaultStep, NodeChange, PodChange, Sample
from chaos.record.registry import Record
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
from tests.judge.histories import could_not_see_the_end, fault, history, pod, saw_the_end
from tests.subjects.upgrade.kubelets import NEW, OLD, node

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
NEWER = "v1.36.3"


def system(at: float, name: str, **more: object) -> PodChange:
    values: dict[str, object] = {"phase": "Running", "node": "cp", **more}
    return PodChange(at, "kube-system", name, f"uid-{name}", "modified", **values)  # type: ignore[arg-type]


class TestOnlyDrainedPodsEvicted:
    there = (node(0), node(10, unschedulable=True), node(20))

    def judged(self, *records: object, apart: tuple[str, ...] = (), ours: tuple[str, ...] | None = None) -> Finding:
        return judge(only_drained_pods_evicted(apart=apart, ours=ours), history(*records))  # type: ignore[arg-type]

    def test_an_eviction_from_a_cordoned_node_is_what_a_drain_does(self) -> None:
        found = self.judged(
            self.there, pod(0, "a"), pod(11, "a", "modified", deleting=True, reason=BY_EVICTION), saw_the_end()
        )
        assert (found.verdict, found.figures["evicted"]) == (HELD, 1)

    def test_the_cordon_may_be_seen_a_little_later(self) -> None:
        gone = pod(9.5, "a", "modified", deleting=True, reason=BY_EVICTION)
        assert self.judged(self.there, pod(0, "a"), gone, saw_the_end()).verdict is HELD

    @pytest.mark.parametrize(
        ("gone", "reason"),
        [
            (pod(5, "a", "modified", deleting=True, reason=BY_EVICTION), "not-drained"),
            (pod(25, "a", "modified", deleting=True, reason=BY_EVICTION), "not-drained"),
            (pod(11, "a", "modified", deleting=True), "not-by-eviction"),
            (pod(11, "a", "deleted"), "not-by-eviction"),
            (pod(11, "a", "modified", deleting=True, reason="DeletionByTaintManager"), "taint-eviction"),
            (pod(11, "a", "modified", phase="Failed"), "failed"),
        ],
    )
    def test_any_other_end_is_violated(self, gone: PodChange, reason: str) -> None:
        found = self.judged(self.there, pod(0, "a"), gone, saw_the_end())
        assert (found.verdict, found.reason) == (VIOLATED, reason)
        assert "ns/a" in found.sentence

    def test_what_kubeadm_replaces_is_its_own(self) -> None:
        own = [
            system(12, name, deleting=True)
            for name in ("etcd-cp", "kube-apiserver-cp", "kube-proxy-x7z", "coredns-1-2", "upgrade-health-check-17")
        ]
        found = self.judged(self.there, *own, saw_the_end())
        assert (found.verdict, found.figures["replaced_by_kubeadm"]) == (HELD, 5)
        assert self.judged(self.there, system(12, "flannel-1", deleting=True), saw_the_end()).verdict is VIOLATED
        elsewhere = pod(12, "etcd-cp", "deleted", node="cp")  # of a namespace that kubeadm has nothing to do with
        assert self.judged(self.there, elsewhere, saw_the_end()).verdict is VIOLATED

    def test_pods_that_come_and_go_anyway_are_apart_and_so_are_those_that_went_before(self) -> None:
        records = [self.there, pod(5, "a", "deleted", workload="jobs"), pod(0, "b", deleting=True), saw_the_end()]
        assert self.judged(*records, apart=("jobs",)).verdict is HELD
        assert self.judged(*records).verdict is VIOLATED

    def test_of_others_on_a_cluster_of_the_users_only_what_a_lost_node_takes_is_judged(self) -> None:
        theirs = [
            system(12, "flannel-1", deleting=True),
            pod(5, "b", "deleted", workload="shop"),
            pod(6, "c", "modified", workload="", deleting=True, reason=BY_EVICTION),
        ]
        found = self.judged(self.there, pod(0, "a"), theirs, saw_the_end(), ours=("web",))
        assert (found.verdict, found.figures["of_others"]) == (HELD, 3)
        for workload in ("web", "shop"):
            lost = pod(7, "d", "modified", workload=workload, deleting=True, reason="DeletionByTaintManager")
            found = self.judged(self.there, pod(0, "a"), theirs, lost, saw_the_end(), ours=("web",))
            assert (found.verdict, found.reason) == (VIOLATED, "taint-eviction")
        deleted = pod(11, "a", "modified", deleting=True)
        assert self.judged(self.there, pod(0, "a"), deleted, saw_the_end(), ours=("web",)).reason == "not-by-eviction"

    def test_unknown(self) -> None:
        assert self.judged(self.there, saw_the_end()).verdict is UNKNOWN
        assert self.judged(self.there, pod(0, "a"), could_not_see_the_end()).verdict is UNKNOWN
        assert self.judged(self.there, pod(0, "a"), saw_the_end(100.0, "pods")).verdict is UNKNOWN


class TestNodesUpgraded:
    begun = (KubeletReplaced(10, "worker", "1.35.4"),)

    def judged(self, *records: object, versions: tuple[str, ...] = ("1.35.4",)) -> Finding:
        return judge(nodes_upgraded(("worker",), versions, within_s=30), history(*records))  # type: ignore[arg-type]

    def test_ready_with_the_new_kubelet_is_held_and_measured(self) -> None:
        found = self.judged(node(0), self.begun, node(11), node(14, "False", NEW), node(17, "True", NEW), saw_the_end())
        assert (found.verdict, found.figures["ready_s_worker"]) == (HELD, 7)

    def test_each_version_has_its_own_span_and_the_slowest_counts(self) -> None:
        found = self.judged(
            node(0), self.begun, node(15, "True", NEW), KubeletReplaced(50, "worker", "1.36.3"),
            node(51, "False", NEWER), node(70, "True", NEWER), saw_the_end(), versions=("1.35.4", "1.36.3"),
        )  # fmt: skip
        assert (found.verdict, found.figures["ready_s_worker"]) == (HELD, 20)

    @pytest.mark.parametrize(
        ("after", "reason"),
        [
            ([], "old-version"),
            ([node(12, "True", OLD)], "old-version"),
            ([node(12, "Unknown", NEW)], "not-ready"),
            ([node(12, "True", NEW), node(13, "False", NEW)], "not-ready"),
            ([node(12, "True", NEW), node(13, "False", NEW), node(45, "True", NEW)], "late"),
            ([node(12, "True", NEW, unschedulable=True)], "cordoned"),
        ],
    )
    def test_any_other_end_is_violated(self, after: list[Record], reason: str) -> None:
        found = self.judged(node(0), self.begun, after, saw_the_end())
        assert (found.verdict, found.reason) == (VIOLATED, reason)

    def test_unknown(self) -> None:
        back = node(12, "True", NEW)
        assert self.judged(node(0), back, saw_the_end()).verdict is UNKNOWN  # its kubelet was never replaced
        assert self.judged(self.begun, saw_the_end()).verdict is UNKNOWN
        assert self.judged(node(0), self.begun, back, could_not_see_the_end()).verdict is UNKNOWN
        blind = Blind(20, "watch:nodes", 60, "frozen", complete=True)
        assert self.judged(node(0), self.begun, blind, node(61, "True", NEW), saw_the_end()).verdict is UNKNOWN


class TestEachNodeUpgraded:
    """By a command of the user's own, of which nobody knows when it starts a kubelet."""

    ran = (*fault(10, 60, "upgrade-command"), CommandEnded(59, "./upgrade.sh"), *saw_the_end())

    def judged(self, *records: object) -> Finding:
        made = each_node_upgraded(within_s=30, fault="upgrade-command")
        return judge(made, history(node(0), node(0, name="other"), *records))  # type: ignore[arg-type]

    def test_every_node_with_the_new_kubelet_is_held_and_measured(self) -> None:
        away = node(12, "False", OLD, unschedulable=True)
        first = [away, node(15, "False", NEW, unschedulable=True), node(22, "True", NEW), node(30, "True", NEW)]
        found = self.judged(self.ran, first, node(40, "True", NEW, name="other"))
        assert (found.verdict, found.figures["ready_s_worker"], found.figures["ready_s_other"]) == (HELD, 7, 0)
        assert (found.figures["nodes"], found.figures["upgraded"], found.figures["gone"]) == (2, 2, 0)
        assert f"({OLD} before, {NEW} now)" in found.sentence

    def test_nodes_may_be_replaced_by_others(self) -> None:
        gone = [NodeChange(at, name, "deleted", "Unknown", kubelet=OLD) for at, name in ((20, "worker"), (40, "other"))]
        new = [node(15, "False", NEW, "new-1"), node(18, "True", NEW, "new-1"), node(35, "True", NEW, "new-2")]
        found = self.judged(self.ran, gone, new)
        assert (found.verdict, found.figures["gone"], found.figures["ready_s_new-1"]) == (HELD, 2, 3)
        lacking = self.judged(self.ran, gone[:1], new[:2])
        assert (lacking.verdict, lacking.reason) == (VIOLATED, "old-version")

    def test_what_was_upgraded_or_cordoned_before_need_not_be_again(self) -> None:
        before = node(5, "True", NEW, "other", unschedulable=True)
        assert self.judged(before, self.ran, node(20, "True", NEW)).verdict is HELD

    @pytest.mark.parametrize(
        ("after", "reason"),
        [
            ([node(20, "True", NEW)], "old-version"),
            ([node(20, "True", NEW), node(21, "Unknown", OLD, "other")], "not-ready"),
            ([node(20, "True", NEW), node(21, "False", NEW, "other")], "not-ready"),
            ([node(20, "True", NEW), node(21, "False", NEW, "other"), node(52, "True", NEW, "other")], "late"),
            ([node(20, "True", NEW), node(21, "True", NEW, "other", unschedulable=True)], "cordoned"),
            ([node(20, "True", NEW), node(21, "True", OLD, "added"), node(22, "True", NEW, "other")], "old-version"),
        ],
    )
    def test_any_other_end_is_violated(self, after: list[Record], reason: str) -> None:
        found = self.judged(self.ran, after)
        assert (found.verdict, found.reason) == (VIOLATED, reason)

    def test_a_command_that_upgrades_nothing_or_fails_is_unknown(self) -> None:
        assert "nothing was upgraded" in self.judged(self.ran).sentence
        assert self.judged(self.ran).verdict is UNKNOWN
        steps, end = fault(10, 60, "upgrade-command"), saw_the_end()
        assert self.judged(steps, node(20, "True", NEW), end).verdict is UNKNOWN
        failed = self.judged(steps, node(20, "False", NEW), CommandEnded(59, "./upgrade.sh", "exit 1: no quorum"), end)
        assert (failed.verdict, failed.sentence) == (UNKNOWN, "the command did not succeed: exit 1: no quorum")
        assert self.judged(CommandEnded(59, "./upgrade.sh"), end).verdict is UNKNOWN

    def test_what_was_not_seen_is_unknown(self) -> None:
        both = [node(20, "True", NEW), node(21, "True", NEW, "other")]
        steps = [*fault(10, 60, "upgrade-command"), CommandEnded(59, "./upgrade.sh")]
        assert self.judged(steps, both, could_not_see_the_end()).verdict is UNKNOWN
        late = [node(20, "True", NEW), node(21, "False", NEW, "other"), node(58, "True", NEW, "other")]
        blind = Blind(22, "watch:nodes", 57, "frozen", complete=True)
        assert self.judged(self.ran, late, blind).verdict is UNKNOWN


def cut(planned: float = 11, landed: float = 12, undone: float = 20) -> list[Record]:
    return [FaultStep(at, "power-off", s) for at, s in ((planned, "planned"), (landed, "landed"), (undone, "undone"))]


class TestUpgradeResumed:
    first = (ApplyBegun(1, "cp", "1.35.4"), ManifestPlaced(10, "cp", "kube-apiserver", "1.35.4"))
    died = ApplyEnded(11.9, "cp", "1.35.4", "exit 137: nobody is left to ask why")
    again = ApplyBegun(40, "cp", "1.35.4")
    done = ApplyEnded(90, "cp", "1.35.4")
    version = ControlPlaneVersion(91, "cp", "1.35.4")

    def judged(self, *records: object, versions: tuple[str, ...] = ("1.35.4",)) -> Finding:
        return judge(upgrade_resumed(versions, fault="power-off"), history(*records))  # type: ignore[arg-type]

    def test_resumed_is_held_and_measured(self) -> None:
        found = self.judged(self.first, self.died, cut(), self.again, self.done, self.version)
        assert (found.verdict, found.figures["resumed_s_1.35.4"], found.figures["tries_1.35.4"]) == (HELD, 70, 1)

    def test_a_second_step_is_judged_by_its_own_fault(self) -> None:
        second = [
            ApplyBegun(101, "cp", "1.36.3"),
            ManifestPlaced(110, "cp", "kube-scheduler", "1.36.3"),
            ApplyEnded(112, "cp", "1.36.3", "exit 137: x"),
            ApplyBegun(130, "cp", "1.36.3"),
            ApplyEnded(150, "cp", "1.36.3"),
            ControlPlaneVersion(151, "cp", "1.36.3"),
        ]
        one = [self.first, self.died, cut(), self.again, self.done, self.version]
        versions = ("1.35.4", "1.36.3")
        found = self.judged(*one, second, cut(111, 113, 120), versions=versions)
        assert (found.verdict, found.figures["resumed_s_1.36.3"]) == (HELD, 30)
        assert self.judged(*one, second, versions=versions).verdict is UNKNOWN

    def test_a_second_try_that_fails_is_violated(self) -> None:
        failed = ApplyEnded(90, "cp", "1.35.4", "exit 1: etcd is not healthy")
        found = self.judged(self.first, self.died, cut(), self.again, failed)
        assert (found.verdict, found.reason) == (VIOLATED, "not-resumed")
        assert "etcd is not healthy" in found.sentence

    def test_an_api_server_of_another_version_is_violated(self) -> None:
        old = ControlPlaneVersion(91, "cp", "1.34.4")
        found = self.judged(self.first, self.died, cut(), self.again, self.done, old)
        assert (found.verdict, found.reason) == (VIOLATED, "wrong-version")

    def test_unknown_where_it_was_not_cut_short_in_the_middle_or_not_tried_again(self) -> None:
        rest = [self.again, self.done, self.version]
        over = ApplyEnded(10.5, "cp", "1.35.4")
        failed_before = ApplyEnded(10.5, "cp", "1.35.4", "exit 1: preflight")
        assert self.judged(self.first, over, cut(), *rest).verdict is UNKNOWN
        assert self.judged(self.first, failed_before, cut(), *rest).verdict is UNKNOWN
        assert self.judged(self.first[:1], self.died, cut(), *rest).verdict is UNKNOWN
        assert self.judged(self.first, self.died, *rest).verdict is UNKNOWN
        assert self.judged(self.first, self.died, cut()).verdict is UNKNOWN
        assert self.judged(self.first, self.died, cut(), self.again, self.done).verdict is UNKNOWN
        assert self.judged(self.first, self.died, cut(), *rest, versions=()).verdict is UNKNOWN


class TestPodsRunThroughout:
    def judged(self, *records: Record) -> Finding:
        return judge(pods_run_throughout(within_s=60), history(*records))

    def test_all_ran_in_time(self) -> None:
        found = self.judged(*(Sample(at, ASKED, f"asked-for-{at}", 2.5 + at) for at in range(3)))
        assert (found.verdict, found.figures["slowest_s"], found.figures["pods"]) == (HELD, 4.5, 3)

    def test_one_that_never_ran_or_was_slow_is_violated(self) -> None:
        ran = [Sample(at, ASKED, f"asked-for-{at}", 2.5) for at in range(3)]
        for bad in (PodNeverRan(9, "asked-for-9", "in vain"), Sample(9, ASKED, "asked-for-9", 61.0)):
            found = self.judged(*ran, bad)
            assert (found.verdict, found.reason) == (VIOLATED, "no-start")

    def test_too_few_to_say(self) -> None:
        assert self.judged().verdict is UNKNOWN
        assert (
            self.judged(Sample(1, ASKED, "asked-for-1", 2.5), Sample(2, ASKED, "asked-for-2", 2.5)).verdict is UNKNOWN
        )
