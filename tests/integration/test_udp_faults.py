"""Faults of UDP endpoints and of kube-proxy on a real kind cluster: they land, are undone, also after a killed run."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.kind.cluster import KindCluster
from chaos.harm.base import registered
from chaos.harm.daemon import StopDaemon
from chaos.record.journal import Journal
from chaos.subjects.udp.faults import DeleteService, LosePod, TakeOutOfService
from chaos.subjects.udp.workload import Answerers, add_pod, endpoints
from chaos.workloads.web import Deployed, remove_namespace
from tests.comparing import wait_as_before
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone
from tests.integration.picture import picture, picture_of_still
from tests.moments import Moments

NAMESPACE = "it-udp"
KINDS = (TakeOutOfService.kind, LosePod.kind, StopDaemon.kind, DeleteService.kind)


@pytest.fixture(scope="module")
def udp(kind_cluster: KindCluster) -> Iterator[Deployed]:
    """Two endpoints on the last worker."""
    try:
        yield Answerers(kind_cluster.workers[-1], 2).deploy(kind_cluster, "it", NAMESPACE)
    finally:
        remove_namespace(kind_cluster, NAMESPACE)


def given(cluster: KindCluster, udp: Deployed, kind: str) -> dict[str, Any]:
    if kind == StopDaemon.kind:
        return {"node": cluster.workers[0], "daemon": "kube-proxy"}
    if kind == DeleteService.kind:
        return {"namespace": udp.namespace, "name": udp.name}
    return {"namespace": udp.namespace, "pod": min(endpoints(udp).values())}


def all_there(cluster: KindCluster, udp: Deployed) -> None:
    """Both endpoints, made anew where a test has lost one."""
    for _ in range(len(udp.pods()), udp.replicas):
        add_pod(udp, f"udp-{uuid.uuid4().hex[:6]}", cluster.workers[-1])
    eventually(lambda: len(endpoints(udp)) == udp.replicas, within_s=60, what="both endpoints")


@pytest.mark.parametrize("kind", KINDS)
def test_lands_and_is_undone(kind_cluster: KindCluster, journal: Journal, udp: Deployed, kind: str) -> None:
    all_there(kind_cluster, udp)
    with done_and_undone(registered()[kind](**given(kind_cluster, udp, kind)), kind_cluster, journal):
        assert len(endpoints(udp)) == {StopDaemon.kind: 2, DeleteService.kind: 0}.get(kind, 1)
    if kind != LosePod.kind:
        eventually(lambda: len(endpoints(udp)) == 2, within_s=60, what="both endpoints")


@pytest.mark.nightly("a killed run of four faults more, each of which is undone by nothing or by one command")
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_is_undone(
    kind_cluster: KindCluster, udp: Deployed, kind: str, moment: int, moments: Moments
) -> None:
    all_there(kind_cluster, udp)
    before = replace(picture_of_still(kind_cluster), routes={})  # another pod has a route of its own
    kill_and_undo(kind_cluster, kind, given(kind_cluster, udp, kind), moments)
    all_there(kind_cluster, udp)
    wait_as_before(lambda: replace(picture(kind_cluster), routes={}), before)
