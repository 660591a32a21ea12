"""A scheduler that stands still, on a simulated cluster: undone, also of a killed run."""

from dataclasses import asdict

from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.record.journal import Journal
from chaos.run.pool import Pool
from chaos.subjects.soak.faults import PauseComponent
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone
from tests.moments import Moments

SCHEDULER = "kube-scheduler"


def state(cluster: SimulatedCluster) -> str:
    process = cluster.control_process(SCHEDULER)
    return "gone" if process is None else process.state()


def test_it_lands_and_is_undone_also_of_a_killed_run(pool: Pool, journal: Journal, moments: Moments) -> None:
    cluster = pool.acquire(SIMULATED, Shape(workers=1))
    assert isinstance(cluster, SimulatedCluster)
    with done_and_undone(PauseComponent(SCHEDULER), cluster, journal):
        assert state(cluster) == "stopped"
    assert state(cluster) == "running"
    kill_and_undo(cluster, PauseComponent.kind, asdict(PauseComponent(SCHEDULER)), moments)
    assert state(cluster) == "running"
