"""The Ceph pool of our CSI driver (manifests/csi-rbd-lock), asked as an operator would: by `rbd` in its pod."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import Cluster
from chaos.clusters.way.podexec import exec_in_pod
from chaos.record import evidence

DRIVER, CLASS = "rbd-lock.kube-ordeal", "ordeal-rbd-lock"
NAMESPACE, POD = "ordeal-csi-rbd-lock", "ceph"
LOCK_PREFIX = "kubelet_lock_magic_"  # and the node's name: what kubelets called their locks (pkg/volume/rbd)
LIST = 'for image in $(rbd ls); do echo "$image $(rbd lock list --format json "$image")"; done'
SHOW = 'for image in $(rbd ls); do echo "# rbd lock list $image"; rbd lock list "$image"; done'


@dataclass(frozen=True, slots=True)
class Lock:
    """A line of `rbd lock list`: the lock's id, and the client that added it."""

    id: str
    locker: str

    @property
    def node(self) -> str:
        """The node whose kubelet, or driver, holds it."""
        return self.id.removeprefix(LOCK_PREFIX)


def serves(cluster: Cluster) -> bool:
    """Whether the pool is there."""
    with cluster.api() as client:
        try:
            k8s.CoreV1Api(client).read_namespaced_pod(POD, NAMESPACE)
        except ApiException as error:
            if error.status == 404:
                return False
            raise
    return True


def locks(cluster: Cluster) -> Mapping[str, tuple[Lock, ...]]:
    """Of each volume, who holds its lock. Raises CommandError, OrdealError."""
    found = {}
    for line in _in_pool(cluster, LIST).splitlines():
        volume, _, listed = line.partition(" ")
        found[volume] = tuple(Lock(each["id"], each["locker"]) for each in json.loads(listed or "[]"))
    return found


def lock_list(cluster: Cluster) -> str:
    """What `rbd lock list` prints of every volume."""
    return _in_pool(cluster, SHOW)


def remove_locks(cluster: Cluster, volume: str) -> tuple[str, ...]:
    """The way back of the post-mortem: `rbd lock remove` of whoever holds the volume. Returns the commands."""
    commands = []
    for lock in locks(cluster).get(volume, ()):
        command = f"rbd lock remove {volume} {lock.id} {lock.locker}"
        _in_pool(cluster, command)
        commands.append(command)
    return tuple(commands)


def _in_pool(cluster: Cluster, script: str) -> str:
    with cluster.api() as client:
        return exec_in_pod(client, NAMESPACE, POD, ["sh", "-ec", script], timeout_s=30).out


@evidence.also
def shown(cluster: Cluster) -> Mapping[str, Callable[[], str]]:
    """Who holds which lock, as an operator would see it, where there is a pool."""
    return {"rbd-lock-list.txt": partial(lock_list, cluster)} if cluster.shape.shared_folder and serves(cluster) else {}
