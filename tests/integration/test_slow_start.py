"""etcd that stands still, or is full, as an API server starts: undone on a simulated cluster, also of a killed run."""

import time
from collections.abc import Iterator

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.record.journal import Journal
from chaos.run.pool import Pool
from chaos.subjects.slow_start.asking import APISERVER, readiness
from chaos.subjects.slow_start.faults import StallEtcdAtStart, etcd_state, state_of
from chaos.subjects.slow_start.workload import NodePorts, forget_ports, taken_ports
from chaos.workloads.web import remove_namespace
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone
from tests.moments import Moments

AWAY = {False: "stopped", True: "full"}


@pytest.fixture(scope="module")
def cluster(pool: Pool) -> SimulatedCluster:
    made = pool.acquire(SIMULATED, Shape(workers=1))
    assert isinstance(made, SimulatedCluster)
    return made


def is_whole(cluster: SimulatedCluster) -> bool:
    runs = state_of(cluster, APISERVER) == etcd_state(cluster) == "running"
    return runs and readiness(cluster).ready and all(node.ready == "True" for node in cluster.nodes())


@pytest.fixture(scope="module")
def none_taken(cluster: SimulatedCluster) -> Iterator[bytes]:
    """Which node ports were taken before there was a Service that has one: with that its hook has to write."""
    before, namespace = taken_ports(cluster), f"it-ports-{time.time():.0f}"
    try:
        NodePorts(1).deploy(cluster, "it", namespace)
        yield before
    finally:
        remove_namespace(cluster, namespace)


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.nightly("its twin is tried"))])
def test_it_lands_and_is_undone_also_of_a_killed_run(
    cluster: SimulatedCluster, none_taken: bytes, journal: Journal, moments: Moments, full: bool
) -> None:
    forget_ports(cluster, none_taken)
    with done_and_undone(StallEtcdAtStart(full=full), cluster, journal):
        assert etcd_state(cluster) == AWAY[full]
    eventually(lambda: is_whole(cluster), within_s=120, what="the cluster to be whole")
    forget_ports(cluster, none_taken)
    kill_and_undo(cluster, StallEtcdAtStart.kind, {"full": full}, moments)
    eventually(lambda: is_whole(cluster), within_s=120, what="the cluster to be whole, after a killed run")
