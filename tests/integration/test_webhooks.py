"""Runs that are killed while a webhook serves or is lost, and what is left of it after `kube-ordeal undo`."""

from dataclasses import asdict

import pytest
from kubernetes.client import CoreV1Api

from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.harm.base import inject
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.run.pool import Pool
from chaos.subjects.webhooks.faults import PROCESS, SLOW, LoseWebhook, ServeWebhook, admits, port_of
from chaos.workloads.base import create_namespace
from tests.integration.crash import kill_and_undo
from tests.moments import Moments

OWN, ASKED = "webhook", "default"


@pytest.fixture(scope="module")
def cluster(pool: Pool) -> SimulatedCluster:
    made = pool.acquire(SIMULATED, Shape(workers=1))
    assert isinstance(made, SimulatedCluster)
    with made.api() as client:
        create_namespace(CoreV1Api(client), OWN, {})
    return made


def test_a_run_that_is_killed_while_the_webhook_is_lost_is_undone(
    cluster: SimulatedCluster, journal: Journal, moments: Moments
) -> None:
    with inject(ServeWebhook(OWN, ASKED), cluster, journal, History(), watched=False):
        kill_and_undo(cluster, LoseWebhook.kind, asdict(LoseWebhook(OWN, ASKED)), moments)
        assert cluster.beside().runs(PROCESS)
        with cluster.api() as client:
            assert admits(client, ASKED)
    assert port_of(cluster) is None


@pytest.mark.nightly("the same way back as of a webhook that is lost")
def test_a_run_that_is_killed_while_a_webhook_serves_is_undone(cluster: SimulatedCluster, moments: Moments) -> None:
    kill_and_undo(cluster, ServeWebhook.kind, asdict(ServeWebhook(OWN, ASKED)), moments)
    assert port_of(cluster) is None
    assert not cluster.beside().runs(PROCESS)
    assert not cluster.beside().runs(SLOW)
