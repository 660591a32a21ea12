"""What moves volumes, and our CSI driver, on a real kind cluster: each is undone, also of a killed run."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import CoreV1Api, RbacAuthorizationV1Api, StorageV1Api

from chaos.basics.waiting import eventually
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.way.client import read_csi_drivers
from chaos.harm.base import inject
from chaos.harm.drain import DrainNode
from chaos.hosts import workload_images
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.subjects.volumes import pool as rbd_lock
from chaos.subjects.volumes.driver import InstallRbdLock
from chaos.subjects.volumes.handover import MarkOutOfService, UpdateElsewhere
from chaos.subjects.volumes.workload import RECREATE, VolumeWriter, watched
from chaos.workloads.web import Deployed, Web, remove_namespace
from tests.comparing import wait_as_before
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone, fault_of
from tests.moments import Moments

KINDS = (InstallRbdLock.kind, DrainNode.kind, UpdateElsewhere.kind, MarkOutOfService.kind)
# Without the folder kubernetes.io, which a kubelet makes at its first CSI volume and keeps.
PLUGINS = "/var/lib/kubelet/plugins"
LOOK = f"ls -A -I kubernetes.io {PLUGINS} {PLUGINS}_registry; findmnt -rno TARGET | grep -c rbd-lock"


@pytest.fixture(scope="module")
def cluster(stateful_cluster: KindCluster) -> KindCluster:
    return stateful_cluster


@pytest.fixture(scope="module")
def image(cluster: KindCluster) -> str:
    chosen = workload_images.choose("ceph", report=print)
    cluster.load_image(chosen)
    return chosen


@pytest.fixture(scope="module")
def web(cluster: KindCluster) -> Iterator[Deployed]:
    namespace = f"it-web-{time.time():.0f}"
    try:
        yield Web(replicas=3).deploy(cluster, "it", namespace)
    finally:
        remove_namespace(cluster, namespace)


def picture(cluster: KindCluster) -> dict[str, object]:
    """Nodes, what storage the API knows of, and what the driver leaves on a node and on this machine."""
    with cluster.api() as client:
        core, storage = CoreV1Api(client), StorageV1Api(client)
        nodes: list[Any] = core.list_node().items
        drivers = read_csi_drivers(client)
        named: dict[str, list[Any]] = {
            "volumes": core.list_persistent_volume().items,
            "attachments": storage.list_volume_attachment().items,
            "drivers": storage.list_csi_driver().items,
            "classes": storage.list_storage_class().items,
            "namespaces": core.list_namespace().items,
            "roles": RbacAuthorizationV1Api(client).list_cluster_role().items,
            "bindings": RbacAuthorizationV1Api(client).list_cluster_role_binding().items,
        }
    return {
        **{name: sorted(each.metadata.name for each in there) for name, there in named.items()},
        "drivers on nodes": drivers,
        "cordoned": {n.metadata.name: bool(n.spec.unschedulable) for n in nodes},
        "taints": {n.name: n.taints for n in cluster.nodes()},
        "on the nodes": {
            n.metadata.name: cluster.node_exec(n.metadata.name, ["sh", "-c", LOOK], check=False).out for n in nodes
        },
        "shared": sorted(str(path) for path in Path(cluster.shared_folder()).rglob("*")),
    }


@contextmanager
def ready_for(cluster: KindCluster, kind: str) -> Iterator[None]:
    """For a node that is to be out of service: one whose kubelet does not report."""
    if kind != MarkOutOfService.kind:
        yield
        return
    node = cluster.workers[-1]
    with ExitStack() as stack:
        stack.callback(lambda: eventually(lambda: sound(cluster, node), within_s=90, what=f"{node} Ready"))
        stack.callback(cluster.node_exec, node, ["systemctl", "start", "kubelet"])
        cluster.node_exec(node, ["systemctl", "stop", "kubelet"])
        # Its taints come one after the other, in either order.
        eventually(lambda: unreachable(cluster, node), within_s=90, what=f"{node} to be tainted as unreachable")
        yield


def unreachable(cluster: KindCluster, node: str) -> bool:
    both = {f"node.kubernetes.io/unreachable:{effect}" for effect in ("NoSchedule", "NoExecute")}
    return any(n.name == node and both <= {*n.taints} for n in cluster.nodes())


def sound(cluster: KindCluster, node: str) -> bool:
    """Whether the node is Ready, and no taint of the time when it was not is left."""
    return any(n.name == node and n.ready == "True" and not n.taints for n in cluster.nodes())


def node_that_runs(web: Deployed) -> str:
    """A node with a pod of the workload: each drain and each update leaves its pods somewhere else."""
    eventually(web.ready, within_s=90, what="the web workload to be Ready")
    with web.cluster.api() as client:
        pods: list[Any] = CoreV1Api(client).list_namespaced_pod(web.namespace).items
    return str(next(p.spec.node_name for p in pods if p.metadata.deletion_timestamp is None))


def arguments(cluster: KindCluster, kind: str, image: str, web: Deployed) -> dict[str, Any]:
    node, runs = cluster.workers[-1], node_that_runs(web)
    by_kind: dict[str, dict[str, Any]] = {
        InstallRbdLock.kind: {"image": image},
        DrainNode.kind: {"node": runs},
        # From where it runs: where it is kept away already, there is nothing to update.
        UpdateElsewhere.kind: {"workloads": [f"{web.namespace}/{web.name}"], "node": runs},
        MarkOutOfService.kind: {"node": node},
    }
    return by_kind[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_lands_and_is_undone(cluster: KindCluster, journal: Journal, image: str, web: Deployed, kind: str) -> None:
    eventually(web.ready, within_s=90, what="the web workload to be Ready")  # one of its pods may be on that node
    with ready_for(cluster, kind):
        before = picture(cluster)
        with done_and_undone(fault_of(kind, arguments(cluster, kind, image, web)), cluster, journal):
            pass
        wait_as_before(lambda: picture(cluster), before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_is_undone(
    cluster: KindCluster, image: str, web: Deployed, kind: str, moment: int, moments: Moments
) -> None:
    with ready_for(cluster, kind):
        before = picture(cluster)
        within_s = 30.0 if kind == InstallRbdLock.kind else 2.0
        kill_and_undo(cluster, kind, arguments(cluster, kind, image, web), moments, within_s=within_s)
        wait_as_before(lambda: picture(cluster), before)


@pytest.mark.nightly("a pod that writes meanwhile is one more case of a fault that is tried without")
def test_a_volume_in_use_does_not_keep_the_driver_from_being_removed(
    cluster: KindCluster, journal: Journal, image: str
) -> None:
    """Undone while a pod writes into a volume: the volume goes, its data with it, and nothing hangs."""
    before, namespace = picture(cluster), f"it-writer-{time.time():.0f}"
    try:
        with inject(InstallRbdLock(image), cluster, journal, History()):
            writer = VolumeWriter(RECREATE, rbd_lock.CLASS, cluster.workers[0]).deploy(cluster, "it", namespace)
            volume = watched(writer).volume
            assert [lock.node for lock in rbd_lock.locks(cluster)[volume]] == [cluster.workers[0]]
    finally:
        remove_namespace(cluster, namespace)
    wait_as_before(lambda: picture(cluster), before)
