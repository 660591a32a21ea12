"""Volumes of ours on the nodes' own file systems, with a StorageClass of our own: what a stateful workload claims."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar, Protocol

from kubernetes.client import CoreV1Api, StorageV1Api
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import VOLUME, Cluster, NodeExec, OwnFileSystems
from chaos.errors import OrdealError
from chaos.faults.base import fault
from chaos.faults.target import ready_worker
from chaos.journal import Saved
from chaos.workloads.base import RUN_LABEL

OURS = "kube-ordeal/volumes"  # the label of what is made here


class _WithVolumes(Cluster, OwnFileSystems, NodeExec, Protocol): ...


@fault
@dataclass(frozen=True, slots=True)
class ProvideVolumes:
    """One local PersistentVolume of `size_bytes` a node, in a folder on its own file system at VOLUME, and a
    StorageClass `name` that binds them when a pod comes (kubernetes.io/no-provisioner, WaitForFirstConsumer).

    Undo takes both away, and the data: nothing else is in those folders. It needs no controller manager: a claim of
    ours that no pod uses any more goes with its volume. A volume that somebody else has claimed stays until it is free.
    """

    kind: ClassVar[str] = "provide-volumes"
    needs: ClassVar[tuple[type, ...]] = (OwnFileSystems, NodeExec)
    nodes: tuple[str, ...]
    size_bytes: int
    name: str = "kube-ordeal-local"

    def plan(self, cluster: _WithVolumes) -> Saved:
        if not self.nodes:
            raise OrdealError("no node was named for the volumes")
        with cluster.api() as client:
            if _found(client, self.name):
                raise OrdealError(
                    f"cluster {cluster.ref.name} has a StorageClass {self.name} already, which is not of this run: run "
                    "`kube-ordeal undo`, or name another"
                )
        for node in self.nodes:
            ready_worker(cluster, node, "it is given no volume")
            if VOLUME not in {f.path for f in cluster.own_file_systems(node)}:
                raise OrdealError(
                    f"{node} has no file system of its own at {VOLUME}, so a full volume would fill this machine's "
                    "disk: ask for a cluster whose workers have one"
                )
            free_bytes = _free_bytes(cluster, node)
            if free_bytes < self.size_bytes:
                raise OrdealError(
                    f"{VOLUME} of {node} has {free_bytes >> 20} MiB free, and the volume is to have "
                    f"{self.size_bytes >> 20} MiB: free some space"
                )
        folder = str(PurePosixPath(VOLUME) / self.name)
        return {"nodes": list(self.nodes), "name": self.name, "folder": folder, "size_bytes": self.size_bytes}

    def apply(self, cluster: _WithVolumes, saved: Saved) -> None:
        name, folder = str(saved["name"]), str(saved["folder"])
        for node in _nodes(saved):
            cluster.node_exec(node, ["mkdir", "-p", folder])
        with cluster.api() as client:
            storage: Any = StorageV1Api(client)
            storage.create_storage_class(
                {
                    "apiVersion": "storage.k8s.io/v1",
                    "kind": "StorageClass",
                    "metadata": {"name": name, "labels": {OURS: name}},
                    "provisioner": "kubernetes.io/no-provisioner",
                    "volumeBindingMode": "WaitForFirstConsumer",
                    "reclaimPolicy": "Retain",
                }
            )
            core: Any = CoreV1Api(client)
            for node in _nodes(saved):
                core.create_persistent_volume(_volume(saved, node))

    def landed(self, cluster: _WithVolumes, saved: Saved) -> bool:
        folder = str(saved["folder"])
        with cluster.api() as client:
            there = len(_volumes(client, str(saved["name"]))) == len(_nodes(saved))
            made = there and _found(client, str(saved["name"]))
        return made and all(
            cluster.node_exec(node, ["test", "-d", folder], check=False).code == 0 for node in _nodes(saved)
        )

    @staticmethod
    def undo(cluster: _WithVolumes, saved: Saved) -> None:
        name = str(saved["name"])
        with cluster.api() as client:
            for volume in _volumes(client, name):
                _let_go(client, volume)
            _ignoring_missing(lambda: StorageV1Api(client).delete_storage_class(name))
            if _volumes(client, name):
                return  # a claim holds one: its data is in use
        for node in _nodes(saved):
            cluster.node_exec(node, ["rm", "-rf", str(saved["folder"])], timeout_s=60)

    @staticmethod
    def undone(cluster: _WithVolumes, saved: Saved) -> bool:
        name = str(saved["name"])
        with cluster.api() as client:
            if _volumes(client, name) or _found(client, name):
                return False
        folder = str(saved["folder"])
        return all(cluster.node_exec(n, ["test", "-e", folder], check=False).code == 1 for n in _nodes(saved))


def _nodes(saved: Saved) -> list[str]:
    nodes = saved["nodes"]
    assert isinstance(nodes, list)
    return [str(node) for node in nodes]


def _volume(saved: Saved, node: str) -> dict[str, object]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{saved['name']}-{node}", "labels": {OURS: saved["name"]}},
        "spec": {
            "capacity": {"storage": str(saved["size_bytes"])},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": saved["name"],
            "local": {"path": saved["folder"]},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def _volumes(client: Any, name: str) -> list[str]:
    found: Any = CoreV1Api(client).list_persistent_volume(label_selector=f"{OURS}={name}")
    return [volume.metadata.name for volume in found.items]


def _found(client: Any, name: str) -> bool:
    """Whether there is a StorageClass of that name."""
    try:
        StorageV1Api(client).read_storage_class(name)
    except ApiException as error:
        if error.status == 404:
            return False
        raise
    return True


def _let_go(client: Any, volume: str) -> None:
    """Delete a volume, and its claim where that is ours and no pod is left that could use it.

    Their finalizers wait for the controller manager, which may be away; without a user there is nothing to protect.
    """
    core: Any = CoreV1Api(client)
    unprotected = {"metadata": {"finalizers": None}}
    claim = core.read_persistent_volume(volume).spec.claim_ref
    unused = claim is None or _is_unused_and_ours(core, claim.namespace)
    if claim is not None and unused:
        place = (claim.name, claim.namespace)
        _ignoring_missing(lambda: core.delete_namespaced_persistent_volume_claim(*place))
        _ignoring_missing(lambda: core.patch_namespaced_persistent_volume_claim(*place, unprotected))
    _ignoring_missing(lambda: core.delete_persistent_volume(volume))
    if unused:
        _ignoring_missing(lambda: core.patch_persistent_volume(volume, unprotected))


def _is_unused_and_ours(core: Any, namespace: str) -> bool:
    try:
        labels = core.read_namespace(namespace).metadata.labels or {}
    except ApiException as error:
        return bool(error.status == 404)  # it is gone, and its claims with it
    return RUN_LABEL in labels and not core.list_namespaced_pod(namespace, limit=1).items


def _ignoring_missing(delete: Any) -> None:
    try:
        delete()
    except ApiException as error:
        if error.status != 404:
            raise


def _free_bytes(cluster: NodeExec, node: str) -> int:
    said = cluster.node_exec(node, ["df", "--block-size=1", "--output=avail", VOLUME]).out.split()
    return int(said[-1])
