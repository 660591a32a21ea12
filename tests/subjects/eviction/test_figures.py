"""A node under disk pressure, judged to the last figure: bounds, sentences, proof."""

from collections.abc import Sequence
from typing import Any

import pytest

from chaos.judge.base import Finding, Invariant, Verdict, judge
from chaos.record.records import Blind, NodeChange, PodChange
from chaos.record.registry import Record
from chaos.subjects.eviction.promises import (
    critical_pods_stay,
    evicted_by_use,
    pressure_clears,
    pressure_reported,
    runs_again,
)
from chaos.subjects.eviction.records import EvictionRanking, KubeletEvicted
from chaos.subjects.eviction.sampler import source_of
from tests.judge.histories import could_not_see_the_end, fault, history, pod, saw_the_end

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
FILL, FAULT = "fill-file-system", fault(10, 50, "fill-file-system")


def found(invariant: Invariant, *records: Record | Sequence[Record]) -> Finding:
    return judge(invariant, history(FAULT, *records, saw_the_end()))


def daemon(at: float, name: str = "kube-proxy", **fields: Any) -> PodChange:
    return pod(at, name, **{"workload": "", **fields})


STAY = critical_pods_stay("worker", FILL, namespaces=("ns",))
THERE = [daemon(0), daemon(0, "flannel")]


def test_each_way_to_be_lost_is_counted_and_the_worst_is_named() -> None:
    lost = [
        daemon(14.0626, "flannel", change="modified", restarts=1),
        daemon(20, change="modified", phase="Failed"),
        daemon(21, change="modified", reason="Evicted"),
    ]
    both = found(STAY, THERE, lost)
    assert both.sentence == (
        "of 2 critical pods on worker: 1 evicted, 1 restarted; kube-proxy at 20.0 s, 10.0 s after the fault landed"
    )
    assert (both.figures, both.proof) == ({"pods": 2, "lost": 2, "first_s": 4.063}, tuple(lost[:2]))
    held = found(STAY, THERE)
    assert held.sentence == "all 2 critical pods on worker stayed (flannel, kube-proxy)"
    assert held.figures == {"pods": 2, "lost": 0}
    none = found(STAY, daemon(10))
    assert none.sentence == "no pod of ns was seen on worker before the fault"


@pytest.mark.parametrize(
    "gone",
    [{"phase": "Succeeded"}, {"phase": "Failed"}, {"change": "deleted"}, {"deleting": True}, {"reason": "Evicted"}],
)
def test_who_had_ended_before_the_fault_was_not_there(gone: dict[str, Any]) -> None:
    over = [daemon(0, "old"), daemon(9, "old", **{"change": "modified", **gone}), daemon(12, "old", change="deleted")]
    assert found(STAY, THERE, over).figures == {"pods": 2, "lost": 0}


def test_a_pod_of_the_node_in_the_faults_time_alone() -> None:
    edges = [daemon(at, change="modified", reason="Evicted") for at in (50.0, 50.1)]
    assert found(STAY, THERE, edges[0]).reason == "evicted"
    assert found(STAY, THERE, edges[1]).verdict is HELD
    fewer = daemon(20, change="modified", containers=())
    assert found(STAY, THERE, fewer).verdict is HELD


def node(at: float, *pressures: str, name: str = "worker") -> NodeChange:
    return NodeChange(at, name, "modified", "True", pressures=pressures)


REPORTED = pressure_reported("worker", FILL, within_s=20)


def test_pressure_at_the_limit_is_reported_in_time() -> None:
    held = found(REPORTED, node(0), node(30.0, "DiskPressure"), node(40, "DiskPressure"))
    assert (held.verdict, held.figures) == (HELD, {"pressure_s": 20.0})
    assert held.sentence == "worker reported DiskPressure 20.0 s after the fault landed, allowed were 20 s"
    late = found(REPORTED, node(0), node(30.0626, "DiskPressure"), node(40, "DiskPressure"))
    assert (late.reason, late.figures, len(late.proof)) == ("late", {"pressure_s": 20.063}, 1)
    never = found(REPORTED, node(0), node(5))
    assert (never.sentence, never.proof) == ("worker never reported DiskPressure", (node(5),))
    cleared = found(REPORTED, node(0, "DiskPressure"), node(5), node(12, "DiskPressure"))
    assert cleared.verdict is HELD
    before = found(REPORTED, node(0), node(5, "DiskPressure"), node(12, "DiskPressure"))
    assert (before.sentence, before.proof) == (
        "worker reported DiskPressure before the fault landed",
        (node(5, "DiskPressure"),),
    )


@pytest.mark.parametrize("seen", [(), (node(31, "DiskPressure"),)], ids=["never", "late"])
def test_pressure_that_may_have_been_missed_is_unknown(seen: tuple[NodeChange, ...]) -> None:
    unseen = history(FAULT, node(0), *seen, could_not_see_the_end())
    assert judge(REPORTED, unseen).verdict is UNKNOWN


BY_USE = evicted_by_use("worker", "eater", FILL)
EATERS = [pod(0, "eater-1", workload="eater"), pod(0, "eater-2", workload="eater"), pod(0, "web-1")]
RANKING = EvictionRanking(15, "worker", ("ns/eater-1", "ns/eater-2", "ns/web-1"))


def evicted(*names: str) -> list[Record]:
    return [KubeletEvicted(20.0 + number, "worker", f"ns/{name}") for number, name in enumerate(names)]


def test_who_was_evicted_is_told_in_order_with_the_first_ranking() -> None:
    later = EvictionRanking(21, "worker", ())
    wrong = found(BY_USE, EATERS, RANKING, later, evicted("eater-2", "web-1", "eater-1"))
    assert wrong.sentence == (
        "the kubelet of worker evicted ns/web-1 before all of eater; in this order: ns/eater-2, ns/web-1, ns/eater-1"
    )
    assert wrong.figures == {"evicted": 3, "rankings": 2, "greedy": 2}
    assert wrong.proof == (RANKING, *evicted("eater-2", "web-1", "eater-1"))
    few = found(BY_USE, EATERS, RANKING, evicted("eater-2"))
    assert few.sentence == "the kubelet of worker evicted not all of eater; in this order: ns/eater-2"
    held = found(BY_USE, EATERS, RANKING, evicted("eater-2", "eater-1"))
    assert held.sentence.endswith("evicted those that use most first, in this order: ns/eater-2, ns/eater-1")
    for lacking in (evicted("eater-2"), [RANKING]):
        none = found(BY_USE, EATERS, lacking)
        assert (none.sentence, none.figures) == ("the kubelet of worker evicted no pod", {"evicted": 0})


def test_only_a_gap_that_was_never_read_hides_an_eviction() -> None:
    order = evicted("eater-2", "eater-1")
    read = Blind(25, source_of("worker"), 30, "away", complete=True)
    assert found(BY_USE, EATERS, RANKING, order, read).verdict is HELD
    gap = Blind(26, source_of("worker"), 60, "away")
    lost = found(BY_USE, EATERS, RANKING, order, read, gap)
    assert (lost.sentence, lost.proof) == ("worker's log was not read from 26.0 s to 60.0 s: away", (gap,))


CLEARS = pressure_clears("worker", FILL, within_s=20)


def test_pressure_that_clears_at_the_limit_is_in_time() -> None:
    under = node(12, "DiskPressure")
    held = found(CLEARS, under, node(70.0), node(80))
    assert (held.verdict, held.figures) == (HELD, {"cleared_s": 20.0})
    assert held.sentence == "worker's DiskPressure cleared 20.0 s after the fault was undone, allowed were 20 s"
    late = found(CLEARS, under, node(70.0626))
    assert (late.reason, late.figures, late.proof) == ("late", {"cleared_s": 20.063}, (node(70.0626),))
    assert found(CLEARS, under, node(40)).figures == {"cleared_s": 0.0}
    stays = found(CLEARS, under, node(60, "DiskPressure"), node(61, name="another"))
    assert (stays.sentence, stays.proof) == ("worker reports DiskPressure to the end", (node(60, "DiskPressure"),))


AGAIN = runs_again("eater", FILL, within_s=20)
READY = [pod(0, f"eater-{n}", workload="eater", ready=True) for n in (1, 2)]
GONE = [pod(20, f"eater-{n}", "modified", workload="eater", phase="Failed", reason="Evicted") for n in (1, 2)]


def new(*at: float) -> list[Record]:
    return [pod(when, f"new-{when}", "modified", workload="eater", ready=True) for when in at]


def test_as_many_as_before_ready_at_the_limit_run_again() -> None:
    held = found(AGAIN, READY, GONE, new(55, 70.0), pod(80, "web-1", "modified", ready=True))
    assert (held.verdict, held.figures) == (HELD, {"pods": 2, "ready_s": 20.0})
    assert held.sentence == "all 2 pods of eater were Ready 20.0 s after the fault was undone"
    late = found(AGAIN, READY, GONE, new(55, 70.0626, 90))
    assert (late.reason, late.figures) == ("late", {"pods": 2, "ready_s": 20.063})
    few = found(AGAIN, READY, GONE, new(55))
    assert (few.sentence, few.figures) == ("1 of 2 pods of eater are Ready at the end", {"pods": 2, "ready": 1})
    unseen = history(FAULT, READY, GONE, new(55), could_not_see_the_end())
    assert judge(AGAIN, unseen).verdict is UNKNOWN


def test_only_the_last_time_that_all_were_ready_counts() -> None:
    away = pod(60, "new-52", "modified", workload="eater", ready=False)
    assert found(AGAIN, READY, GONE, new(52, 53), away, new(65)).figures == {"pods": 2, "ready_s": 15.0}
