"""A drain that budgets refuse, and pods that are held, on a simulated cluster: undone, also of a killed run."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from kubernetes.client import CoreV1Api

from chaos.clusters.base import SIMULATED, Cluster
from chaos.clusters.shape import Shape
from chaos.harm.base import Fault
from chaos.harm.drain import DrainNode, refusals
from chaos.record.journal import Journal
from chaos.run.pool import Pool
from chaos.subjects.drains.faults import HoldPods
from chaos.subjects.drains.workload import GuardedPods, PodBudget
from chaos.workloads.web import Deployed, remove_namespace
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone
from tests.moments import Moments


@pytest.fixture(scope="module")
def cluster(pool: Pool) -> Cluster:
    return pool.acquire(SIMULATED, Shape(workers=1))


@pytest.fixture(scope="module")
def kept(cluster: Cluster) -> Iterator[Deployed]:
    """A workload of which a budget keeps every pod."""
    namespace = f"it-kept-{time.time():.0f}"
    try:
        yield GuardedPods("kept", 2, (PodBudget("100%"),)).deploy(cluster, "it", namespace)
    finally:
        remove_namespace(cluster, namespace)


def seen(cluster: Cluster, kept: Deployed) -> tuple[bool, list[Any]]:
    """Whether a node is cordoned, and each pod with its finalizers: those that were there before."""
    with cluster.api() as client:
        nodes: Any = CoreV1Api(client).list_node().items
    pods = sorted((p.metadata.uid, p.metadata.deletion_timestamp, p.metadata.finalizers) for p in kept.pods())
    return any(n.spec.unschedulable for n in nodes), pods


def faults(cluster: Cluster, kept: Deployed) -> tuple[DrainNode, HoldPods]:
    node = next(n.name for n in cluster.nodes() if not n.control_plane)
    return DrainNode(node, refused=True), HoldPods(kept.namespace)


@pytest.mark.parametrize("number", [0, 1], ids=["drain-node", "hold-pods"])
def test_it_lands_and_is_undone_also_of_a_killed_run(
    cluster: Cluster, kept: Deployed, journal: Journal, moments: Moments, number: int
) -> None:
    harm: Fault[Any] = faults(cluster, kept)[number]
    before, counted = seen(cluster, kept), refusals(cluster)
    with done_and_undone(harm, cluster, journal):
        assert seen(cluster, kept) != before
    assert seen(cluster, kept) == before
    assert (refusals(cluster) > counted) == isinstance(harm, DrainNode)
    kill_and_undo(cluster, harm.kind, asdict(faults(cluster, kept)[number]), moments)
    assert seen(cluster, kept) == before
