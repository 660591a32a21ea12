"""Faults of a kubelet and its containers on a real kind cluster: they land, are undone, also after a killed run."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.clusters.kind.cluster import KindCluster
from chaos.record.journal import Journal
from chaos.subjects.kubelets.faults import KILL, CrashContainers, RestartKubelet, SetNodeLabel
from chaos.subjects.kubelets.sampler import look
from chaos.subjects.kubelets.workload import LABEL, VALUE, Shapes, ready
from chaos.workloads.web import Deployed, remove_namespace
from tests.comparing import wait_as_before
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone
from tests.integration.picture import picture, picture_of_still, wait_in_touch
from tests.moments import Moments

NAMESPACE, OF_A_TEST = "it-shapes", f"{LABEL}-of-a-test"
KINDS = (RestartKubelet.kind, CrashContainers.kind, SetNodeLabel.kind)


@pytest.fixture(scope="module")
def shapes(kind_cluster: KindCluster, journal: Journal) -> Iterator[Deployed]:
    """Pods of each shape on the last worker, which has the label that one of them asks for."""
    worker = kind_cluster.workers[-1]
    with done_and_undone(SetNodeLabel(worker, LABEL, VALUE), kind_cluster, journal):
        try:
            yield Shapes(worker).deploy(kind_cluster, "it", NAMESPACE)
        finally:
            remove_namespace(kind_cluster, NAMESPACE)


def given(cluster: KindCluster, kind: str) -> dict[str, Any]:
    worker = cluster.workers[-1]
    if kind == SetNodeLabel.kind:
        return {"node": worker, "key": OF_A_TEST, "value": "b"}
    return {"node": worker, "workload": "shapes"} if kind == CrashContainers.kind else {"node": worker}


@pytest.mark.parametrize("how", ["restart", KILL])
def test_a_kubelet_is_restarted_and_containers_stay(
    kind_cluster: KindCluster, journal: Journal, shapes: Deployed, how: str
) -> None:
    worker = kind_cluster.workers[-1]
    containers, kubelet = look(kind_cluster, worker)
    assert len(containers) >= 2 * shapes.replicas  # each with its sandbox
    with done_and_undone(RestartKubelet(worker, how), kind_cluster, journal):
        now, another = look(kind_cluster, worker)
    assert another != kubelet
    assert now == containers
    wait_in_touch(kind_cluster)


def test_killed_containers_are_others(kind_cluster: KindCluster, journal: Journal, shapes: Deployed) -> None:
    worker = kind_cluster.workers[-1]
    before = {each.id for each in look(kind_cluster, worker)[0]}
    with done_and_undone(CrashContainers(worker, shapes.name), kind_cluster, journal):
        pass

    def others() -> int:
        return len({each.id for each in look(kind_cluster, worker)[0]} - before)

    eventually(lambda: others() == shapes.replicas, within_s=120, what="another container in each one's place")
    eventually(lambda: ready(shapes), within_s=120, what="the pods to be Ready again")
    assert len(before - {each.id for each in look(kind_cluster, worker)[0]}) == shapes.replicas


@pytest.mark.nightly("a killed run of three faults more, each of which is undone by nothing or by one command")
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_is_undone(
    kind_cluster: KindCluster, shapes: Deployed, kind: str, moment: int, moments: Moments
) -> None:
    eventually(lambda: ready(shapes), within_s=120, what="the pods to be Ready")
    before = picture_of_still(kind_cluster)
    kill_and_undo(kind_cluster, kind, given(kind_cluster, kind), moments)
    wait_as_before(lambda: picture(kind_cluster), before)
    eventually(lambda: ready(shapes), within_s=120, what="the pods to be Ready again")
    with kind_cluster.api() as client:
        node: Any = k8s.CoreV1Api(client).read_node(kind_cluster.workers[-1])
    assert OF_A_TEST not in node.metadata.labels
