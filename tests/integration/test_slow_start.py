"""etcd that stands still, or is ended, as an API server starts: undone on a simulated cluster, also of a killed run."""

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.record.journal import Journal
from chaos.run.pool import Pool
from chaos.subjects.slow_start.asking import APISERVER, ETCD, readiness
from chaos.subjects.slow_start.faults import StallEtcdAtStart, state_of
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone
from tests.moments import Moments

AWAY = {False: "stopped", True: "gone"}


@pytest.fixture(scope="module")
def cluster(pool: Pool) -> SimulatedCluster:
    made = pool.acquire(SIMULATED, Shape(workers=1))
    assert isinstance(made, SimulatedCluster)
    return made


def is_whole(cluster: SimulatedCluster) -> bool:
    runs = all(state_of(cluster, name) == "running" for name in (APISERVER, ETCD))
    return runs and readiness(cluster).ready and all(node.ready == "True" for node in cluster.nodes())


@pytest.mark.parametrize("ended", [False, pytest.param(True, marks=pytest.mark.nightly("its twin is tried"))])
def test_it_lands_and_is_undone_also_of_a_killed_run(
    cluster: SimulatedCluster, journal: Journal, moments: Moments, ended: bool
) -> None:
    with done_and_undone(StallEtcdAtStart(ended=ended), cluster, journal):
        assert state_of(cluster, ETCD) == AWAY[ended]
    eventually(lambda: is_whole(cluster), within_s=120, what="the cluster to be whole")
    kill_and_undo(cluster, StallEtcdAtStart.kind, {"ended": ended}, moments)
    eventually(lambda: is_whole(cluster), within_s=120, what="the cluster to be whole, after a killed run")
