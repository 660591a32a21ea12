"""A node under disk pressure, judged from literal histories."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from chaos.judge.base import Invariant, Judgement, Verdict
from chaos.record.records import Blind, NodeChange
from chaos.record.registry import Record
from chaos.subjects.eviction.promises import (
    critical_pods_stay,
    evicted_by_use,
    pressure_clears,
    pressure_reported,
    runs_again,
)
from chaos.subjects.eviction.records import EvictionRanking, KubeletEvicted
from chaos.subjects.eviction.sampler import source_of, under_pressure
from tests.judge.histories import could_not_see_the_end, fault, history, pod, saw_the_end

FILL = "fill-file-system"
FAULT = fault(10, 50, FILL)


def node(at: float, *pressures: str, name: str = "worker") -> NodeChange:
    return NodeChange(at, name, "modified", "True", pressures=pressures)


def daemon(at: float, name: str = "kube-proxy", **fields: Any) -> Record:
    return pod(at, name, **{"workload": "", **fields})


def judged(invariant: Invariant, *records: Record | Sequence[Record]) -> tuple[Verdict, str]:
    found: Judgement = invariant.judge(history(*records))
    return found.verdict, found.reason


class TestCriticalPodsStay:
    stay = critical_pods_stay("worker", FILL, namespaces=("ns",))
    before: ClassVar[list[Record]] = [daemon(0), daemon(0, "flannel")]

    def test_held_where_nothing_happened_to_them(self) -> None:
        assert judged(self.stay, FAULT, self.before, saw_the_end())[0] is Verdict.HELD

    def test_evicted(self) -> None:
        gone = daemon(20, change="modified", phase="Failed", reason="Evicted", containers=())
        assert judged(self.stay, FAULT, self.before, gone, saw_the_end()) == (Verdict.VIOLATED, "evicted")

    def test_the_kubelet_s_own_condition_tells_an_eviction_too(self) -> None:
        first = daemon(20, change="modified", reason="TerminationByKubelet")
        then = daemon(21, change="deleted", phase="Failed", reason="Evicted")
        assert judged(self.stay, FAULT, self.before, first, then, saw_the_end()) == (Verdict.VIOLATED, "evicted")

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"deleting": True}, "deleted"),
            ({"change": "deleted"}, "deleted"),
            ({"phase": "Failed"}, "failed"),
            ({"restarts": 1}, "restarted"),
            ({"containers": ("another",)}, "restarted"),
        ],
    )
    def test_other_ways_to_be_lost_have_reasons_of_their_own(self, fields: dict[str, Any], reason: str) -> None:
        lost = daemon(20, **{"change": "modified", **fields})
        assert judged(self.stay, FAULT, self.before, lost, saw_the_end()) == (Verdict.VIOLATED, reason)

    def test_an_eviction_outweighs_other_losses(self) -> None:
        lost = [daemon(15, "flannel", change="modified", restarts=1), daemon(20, change="modified", reason="Evicted")]
        assert judged(self.stay, FAULT, self.before, lost, saw_the_end()) == (Verdict.VIOLATED, "evicted")

    def test_what_is_not_on_the_node_not_critical_or_not_in_time_does_not_count(self) -> None:
        others = [daemon(0, "elsewhere", node="another"), pod(0, "web-1")]
        evicted: list[Record] = [
            daemon(20, "elsewhere", node="another", change="modified", reason="Evicted"),
            daemon(60, change="modified", reason="Evicted"),
        ]
        web = critical_pods_stay("worker", FILL, namespaces=("kube-system",))
        assert judged(self.stay, FAULT, self.before, others, evicted, saw_the_end())[0] is Verdict.HELD
        assert judged(web, FAULT, self.before, others, evicted, saw_the_end())[0] is Verdict.UNKNOWN

    def test_one_that_was_on_its_way_out_before_does_not_count(self) -> None:
        old = [daemon(0, "old", deleting=True), daemon(12, "old", change="deleted", deleting=True)]
        assert judged(self.stay, FAULT, self.before, old, saw_the_end())[0] is Verdict.HELD

    def test_unknown_without_the_fault_without_pods_and_without_the_end(self) -> None:
        assert judged(self.stay, self.before, saw_the_end())[0] is Verdict.UNKNOWN
        assert judged(self.stay, FAULT, saw_the_end())[0] is Verdict.UNKNOWN
        assert judged(self.stay, FAULT, self.before, could_not_see_the_end())[0] is Verdict.UNKNOWN

    def test_unknown_where_the_recorder_was_blind(self) -> None:
        blind = Blind(20, "watch:pods", 30, "away")
        assert judged(self.stay, FAULT, self.before, blind, saw_the_end())[0] is Verdict.UNKNOWN


class TestPressureReported:
    reported = pressure_reported("worker", FILL, within_s=20)

    def test_held_with_the_time_that_it_took(self) -> None:
        found = self.reported.judge(history(FAULT, node(0), node(18.5, "DiskPressure"), saw_the_end()))
        assert (found.verdict, found.figures) == (Verdict.HELD, {"pressure_s": 8.5})

    def test_never_and_too_late(self) -> None:
        assert judged(self.reported, FAULT, node(0), saw_the_end()) == (Verdict.VIOLATED, "not-reported")
        late = node(31, "DiskPressure")
        assert judged(self.reported, FAULT, node(0), late, saw_the_end()) == (Verdict.VIOLATED, "late")

    def test_of_another_node_of_another_kind_or_after_the_undo_is_no_report(self) -> None:
        for other in (node(12, "DiskPressure", name="another"), node(12, "MemoryPressure"), node(55, "DiskPressure")):
            assert judged(self.reported, FAULT, node(0), other, saw_the_end()) == (Verdict.VIOLATED, "not-reported")

    def test_unknown_where_it_was_there_before_or_the_node_was_not_seen(self) -> None:
        assert judged(self.reported, FAULT, node(0, "DiskPressure"), saw_the_end())[0] is Verdict.UNKNOWN
        assert judged(self.reported, FAULT, saw_the_end())[0] is Verdict.UNKNOWN
        assert judged(self.reported, node(0), saw_the_end())[0] is Verdict.UNKNOWN
        assert judged(self.reported, FAULT, node(0), could_not_see_the_end())[0] is Verdict.UNKNOWN


class TestEvictedByUse:
    by_use = evicted_by_use("worker", "eater", FILL)
    before: ClassVar[list[Record]] = [
        pod(0, "eater-1", workload="eater"),
        pod(0, "eater-2", workload="eater"),
        pod(0, "web-1"),
    ]
    ranking = EvictionRanking(15, "worker", ("ns/eater-1", "ns/eater-2", "ns/web-1"))

    def evicted(self, *pods: str) -> list[Record]:
        return [KubeletEvicted(20.0 + number, "worker", f"ns/{name}") for number, name in enumerate(pods)]

    def test_held_where_they_went_first(self) -> None:
        order = self.evicted("eater-2", "eater-1", "web-1")
        assert judged(self.by_use, FAULT, self.before, self.ranking, order)[0] is Verdict.HELD

    def test_another_before_them_is_a_violation(self) -> None:
        order = self.evicted("eater-2", "web-1", "eater-1")
        assert judged(self.by_use, FAULT, self.before, self.ranking, order) == (Verdict.VIOLATED, "not-by-use")

    def test_one_that_stays_is_a_violation(self) -> None:
        order = self.evicted("eater-2")
        assert judged(self.by_use, FAULT, self.before, self.ranking, order) == (Verdict.VIOLATED, "not-by-use")

    def test_no_eviction_is_a_violation(self) -> None:
        assert judged(self.by_use, FAULT, self.before, self.ranking) == (Verdict.VIOLATED, "none-evicted")

    def test_unknown_where_the_log_was_not_read_or_nobody_was_there(self) -> None:
        order = self.evicted("eater-2", "eater-1")
        blind = Blind(25, source_of("worker"), 60, "away")
        assert judged(self.by_use, FAULT, self.before, self.ranking, order, blind)[0] is Verdict.UNKNOWN
        assert judged(self.by_use, FAULT, self.ranking, order)[0] is Verdict.UNKNOWN
        assert judged(self.by_use, self.before, self.ranking, order)[0] is Verdict.UNKNOWN

    def test_another_node_s_log_does_not_count(self) -> None:
        others: list[Record] = [KubeletEvicted(20, "another", "ns/eater-1"), EvictionRanking(15, "another", ())]
        assert judged(self.by_use, FAULT, self.before, others) == (Verdict.VIOLATED, "none-evicted")


class TestPressureClears:
    clears = pressure_clears("worker", FILL, within_s=20)

    def test_held_with_the_time_that_it_took(self) -> None:
        found = self.clears.judge(history(FAULT, node(12, "DiskPressure"), node(60), saw_the_end()))
        assert (found.verdict, found.figures) == (Verdict.HELD, {"cleared_s": 10.0})

    def test_stays_and_late(self) -> None:
        assert judged(self.clears, FAULT, node(12, "DiskPressure"), saw_the_end()) == (Verdict.VIOLATED, "stays")
        late = [node(12, "DiskPressure"), node(71)]
        assert judged(self.clears, FAULT, late, saw_the_end()) == (Verdict.VIOLATED, "late")

    def test_one_that_comes_back_counts_until_its_last_end(self) -> None:
        flapping = [node(12, "DiskPressure"), node(55), node(60, "DiskPressure"), node(75)]
        assert judged(self.clears, FAULT, flapping, saw_the_end()) == (Verdict.VIOLATED, "late")

    def test_unknown_where_there_was_none_or_no_undo_or_no_end(self) -> None:
        assert judged(self.clears, FAULT, node(12), saw_the_end())[0] is Verdict.UNKNOWN
        under = [node(12, "DiskPressure"), node(55)]
        assert judged(self.clears, fault(10, None, FILL), under, saw_the_end())[0] is Verdict.UNKNOWN
        assert judged(self.clears, FAULT, under, could_not_see_the_end())[0] is Verdict.UNKNOWN


class TestRunsAgain:
    again = runs_again("eater", FILL, within_s=20)
    before: ClassVar[list[Record]] = [
        pod(0, "eater-1", workload="eater", ready=True),
        pod(0, "eater-2", workload="eater", ready=True),
    ]
    evicted: ClassVar[list[Record]] = [
        pod(20, "eater-1", "modified", workload="eater", ready=False, phase="Failed", reason="Evicted"),
        pod(25, "eater-2", "modified", workload="eater", ready=False, phase="Failed", reason="Evicted"),
    ]

    def new(self, *at: float) -> list[Record]:
        return [pod(when, f"new-{when}", "modified", workload="eater", ready=True) for when in at]

    def test_held_with_the_time_that_it_took(self) -> None:
        found = self.again.judge(history(FAULT, self.before, self.evicted, self.new(55, 62), saw_the_end()))
        assert (found.verdict, found.figures) == (Verdict.HELD, {"pods": 2, "ready_s": 12.0})

    def test_none_lost_is_ready_at_once(self) -> None:
        found = self.again.judge(history(FAULT, self.before, saw_the_end()))
        assert (found.verdict, found.figures["ready_s"]) == (Verdict.HELD, 0.0)

    def test_fewer_at_the_end_and_too_late(self) -> None:
        few = [self.before, self.evicted, self.new(55)]
        assert judged(self.again, FAULT, *few, saw_the_end()) == (Verdict.VIOLATED, "not-running")
        late = [self.before, self.evicted, self.new(55, 71)]
        assert judged(self.again, FAULT, *late, saw_the_end()) == (Verdict.VIOLATED, "late")

    def test_unknown_where_none_was_ready_before_or_the_end_was_not_seen(self) -> None:
        assert judged(self.again, FAULT, self.new(55), saw_the_end())[0] is Verdict.UNKNOWN
        seen = [self.before, self.evicted, self.new(55, 62)]
        assert judged(self.again, FAULT, *seen, could_not_see_the_end())[0] is Verdict.UNKNOWN
        assert judged(self.again, fault(10, None, FILL), *seen, saw_the_end())[0] is Verdict.UNKNOWN


def test_under_pressure_is_what_was_seen_last() -> None:
    assert not under_pressure(history(), "worker")
    assert under_pressure(history(node(1), node(2, "DiskPressure"), node(3, name="another")), "worker")
    assert not under_pressure(history(node(2, "DiskPressure"), node(3)), "worker")


UNDER = [node(0), node(20, "DiskPressure")]
HELD_UP = Blind(65, "watch:nodes", 75, "the API server took 10 s to answer", complete=True)


def test_what_a_node_reports_at_the_end_has_to_be_seen() -> None:
    clears = pressure_clears("worker", FILL, within_s=20)
    missed = Blind(60, "watch:nodes", 90, "the API server was away")
    assert judged(clears, FAULT, UNDER)[0] is Verdict.UNKNOWN
    assert judged(clears, FAULT, UNDER, could_not_see_the_end())[0] is Verdict.UNKNOWN
    assert judged(clears, FAULT, UNDER, missed, saw_the_end())[0] is Verdict.UNKNOWN
    assert judged(clears, FAULT, UNDER, saw_the_end()) == (Verdict.VIOLATED, "stays")


def test_what_was_told_late_may_have_been_in_time() -> None:
    clears = pressure_clears("worker", FILL, within_s=20)
    assert judged(clears, FAULT, UNDER, node(74), HELD_UP, saw_the_end())[0] is Verdict.UNKNOWN
    assert judged(clears, FAULT, UNDER, node(74), saw_the_end()) == (Verdict.VIOLATED, "late")
    early = pressure_clears("worker", FILL, within_s=10)
    assert judged(early, FAULT, UNDER, node(74), HELD_UP, saw_the_end()) == (Verdict.VIOLATED, "late")

    reported = pressure_reported("worker", FILL, within_s=20)
    told: list[Record] = [
        node(0),
        node(35, "DiskPressure"),
        Blind(28, "watch:nodes", 35, "it took long", complete=True),
    ]
    assert judged(reported, FAULT, told, saw_the_end())[0] is Verdict.UNKNOWN
    assert judged(reported, FAULT, told[:2], saw_the_end()) == (Verdict.VIOLATED, "late")

    again = runs_again("eater", FILL, within_s=20)
    eater = [pod(0, "a", ready=True, workload="eater"), pod(20, "a", "deleted", workload="eater")]
    new = pod(74, "b", "modified", ready=True, workload="eater")
    late = Blind(65, "watch:pods", 75, "it took long", complete=True)
    assert judged(again, FAULT, eater, new, late, saw_the_end())[0] is Verdict.UNKNOWN
    assert judged(again, FAULT, eater, new, saw_the_end()) == (Verdict.VIOLATED, "late")


def test_pressure_that_had_no_time_to_be_reported_is_unknown() -> None:
    reported = pressure_reported("worker", FILL, within_s=40)
    assert judged(reported, FAULT, node(0), saw_the_end())[0] is Verdict.UNKNOWN
    short = pressure_reported("worker", FILL, within_s=39)
    assert judged(short, FAULT, node(0), saw_the_end()) == (Verdict.VIOLATED, "not-reported")
