"""Old objects in etcd, and a control plane that is started anew on them: undone, also of a killed run."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import AppsV1Api, CoreV1Api

from chaos.basics.waiting import eventually
from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.record.journal import Journal
from chaos.run.pool import Pool
from chaos.subjects.aged.faults import PlantAged, StartAnew
from chaos.subjects.aged.stored import is_aged, service_key
from chaos.subjects.aged.workload import ORDERED, PINNED_TO, SERVICES, Museum
from chaos.workloads.web import Deployed, remove_namespace
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone, fault_of
from tests.moments import Moments

KINDS = (PlantAged.kind, StartAnew.kind)


@pytest.fixture(scope="module")
def cluster(pool: Pool) -> SimulatedCluster:
    made = pool.acquire(SIMULATED, Shape(workers=1))
    assert isinstance(made, SimulatedCluster)
    return made


@pytest.fixture(scope="module")
def museum(cluster: SimulatedCluster) -> Iterator[Deployed]:
    namespace = f"it-museum-{time.time():.0f}"
    try:
        yield Museum().deploy(cluster, "it", namespace)
    finally:
        remove_namespace(cluster, namespace)


def picture(cluster: SimulatedCluster, museum: Deployed) -> tuple[Any, ...]:
    """How etcd has each Service, which components run, which nodes have the label, how many revisions there are."""
    keys = [service_key(museum.namespace, name) for name in SERVICES]
    running = [(of := cluster.control_process(each)) and of.state() != "gone" for each in cluster.components()]
    with cluster.api() as client:
        nodes: Any = CoreV1Api(client).list_node(label_selector=PINNED_TO).items
        revisions: Any = AppsV1Api(client).list_namespaced_controller_revision(museum.namespace).items
    aged = [is_aged(key, cluster.etcd_get(key)) for key in keys]
    return aged, running, [each.metadata.name for each in nodes], len(revisions)


def arguments(kind: str, museum: Deployed) -> dict[str, Any]:
    if kind == StartAnew.kind:
        return {"takes_label": PINNED_TO}
    return {"namespace": museum.namespace, "services": [*SERVICES], "sets": [ORDERED]}


@pytest.mark.parametrize("kind", KINDS)
def test_it_lands_and_is_undone_also_of_a_killed_run(
    cluster: SimulatedCluster, museum: Deployed, journal: Journal, moments: Moments, kind: str
) -> None:
    before = picture(cluster, museum)
    assert before[:3] == ([False] * len(SERVICES), [True] * len(cluster.components()), ["control-plane"])
    with done_and_undone(fault_of(kind, arguments(kind, museum)), cluster, journal):
        assert picture(cluster, museum) != before
    assert picture(cluster, museum) == before
    kill_and_undo(cluster, kind, arguments(kind, museum), moments, within_s=8.0 if kind == StartAnew.kind else 3.0)
    eventually(lambda: picture(cluster, museum) == before, within_s=60, what="all to be as before")
