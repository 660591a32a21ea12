"""One server's clock and volumes of ours on a real kind cluster: each lands, is undone, also of a killed run."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import CoreV1Api, StorageV1Api

from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.shape import VOLUME
from chaos.errors import OrdealError
from chaos.harm.base import inject
from chaos.hosts import workload_images
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.subjects.mysql.faults import ProvideVolumes, TurnClock
from chaos.subjects.mysql.workload import MySQL, clock_offset_s, members
from chaos.workloads.web import Deployed, remove_namespace
from tests.comparing import differences, wait_as_before
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone, fault_of
from tests.moments import Moments

MIB = 1024**2
KINDS = (TurnClock.kind, ProvideVolumes.kind)
LOOK = f"ls -A {VOLUME}; cat /var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/clock/offset; date +%Y"


@pytest.fixture(scope="module")
def cluster(stateful_cluster: KindCluster) -> KindCluster:
    return stateful_cluster


@pytest.fixture(scope="module")
def mysql(cluster: KindCluster) -> Iterator[Deployed]:
    image = workload_images.choose("mysql", report=print)
    cluster.load_image(image)
    namespace = f"it-mysql-{time.time():.0f}"
    try:
        yield MySQL(image, own_clock=True).deploy(cluster, "it", namespace)
    finally:
        remove_namespace(cluster, namespace)


def picture(cluster: KindCluster) -> dict[str, object]:
    """What storage the API knows of, what lies on the nodes' volumes, and what the servers' clocks are."""
    with cluster.api() as client:
        volumes: list[Any] = CoreV1Api(client).list_persistent_volume().items
        classes: list[Any] = StorageV1Api(client).list_storage_class().items
    return {
        "volumes": sorted(v.metadata.name for v in volumes),
        "classes": sorted(c.metadata.name for c in classes),
        "inside": {n.name: cluster.node_exec(n.name, ["sh", "-c", LOOK], check=False).out for n in cluster.nodes()},
    }


def given(cluster: KindCluster, mysql: Deployed, kind: str) -> dict[str, Any]:
    return {
        TurnClock.kind: {"namespace": mysql.namespace, "pod": "mysql-0", "offset_s": -3600.0},
        ProvideVolumes.kind: {"nodes": list(cluster.workers), "size_bytes": 500 * MIB, "name": "it-local"},
    }[kind]


def offsets_s(mysql: Deployed) -> dict[str, float]:
    return {
        m.name: clock_offset_s(mysql.cluster, mysql.namespace, mysql.name, m.name, m.address) for m in members(mysql)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_lands_and_is_undone(cluster: KindCluster, mysql: Deployed, journal: Journal, kind: str) -> None:
    before = picture(cluster)
    with done_and_undone(fault_of(kind, given(cluster, mysql, kind)), cluster, journal):
        assert picture(cluster) != before
        off_s = offsets_s(mysql)
        assert abs(off_s["mysql-0"] - (-3600.0 if kind == TurnClock.kind else 0.0)) < 1.0
        assert max(abs(off_s["mysql-1"]), abs(off_s["mysql-2"])) < 1.0
    assert differences(before, picture(cluster)) == ""
    assert max(map(abs, offsets_s(mysql).values())) < 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_is_undone(
    cluster: KindCluster, mysql: Deployed, kind: str, moment: int, moments: Moments
) -> None:
    before = picture(cluster)
    kill_and_undo(cluster, kind, given(cluster, mysql, kind), moments, within_s=2.0)
    wait_as_before(lambda: picture(cluster), before)


def test_a_clock_is_not_turned_twice(cluster: KindCluster, mysql: Deployed, journal: Journal) -> None:
    fault = TurnClock(mysql.namespace, "mysql-0", -60.0)
    with inject(fault, cluster, journal, History()), pytest.raises(OrdealError, match="turned by -60 s already"):
        fault.plan(cluster)


def test_a_class_that_is_missing_is_told_before_anything_is_made(cluster: KindCluster, mysql: Deployed) -> None:
    with pytest.raises(OrdealError, match=r"has no StorageClass no-such-class; it has "):
        MySQL("image", storage_class="no-such-class", volume_bytes=MIB).deploy(cluster, "it", "it-never-made")
    with cluster.api() as client:
        namespaces: list[Any] = CoreV1Api(client).list_namespace().items
    assert "it-never-made" not in {n.metadata.name for n in namespaces}
