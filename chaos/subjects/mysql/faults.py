"""Volumes of ours on the nodes' own file systems, with a StorageClass of our own: what a stateful workload claims."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import NodeExec, NodeNetwork, OwnFileSystems
from chaos.clusters.base import Cluster
from chaos.clusters.shape import VOLUME
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Capability, Uses
from chaos.subjects.mysql.workload import CLOCK_FILE, CLOCK_VOLUME, clock_offset_s
from chaos.workloads.base import RUN_LABEL, WORKLOAD_LABEL

OURS = "kube-ordeal/volumes"  # the label of what is made here


class _WithVolumes(Cluster, OwnFileSystems, NodeExec, Protocol): ...


class ProvideVolumesPlan(msgspec.Struct, frozen=True):
    """A volume a node: the name of their StorageClass, and the folder on each node that holds the data."""

    nodes: tuple[str, ...]
    name: str
    folder: str
    size_bytes: int


@fault
@dataclass(frozen=True, slots=True)
class ProvideVolumes:
    """One local PersistentVolume of `size_bytes` a node, in a folder on its own file system at VOLUME, and a
    StorageClass `name` that binds them when a pod comes (kubernetes.io/no-provisioner, WaitForFirstConsumer).

    Undo takes both away, and the data: nothing else is in those folders. It needs no controller manager: a claim of
    ours that no pod uses any more goes with its volume. A volume that somebody else has claimed stays until it is free.
    """

    kind: ClassVar[str] = "provide-volumes"
    counterpart: ClassVar[str] = "remove_volumes"
    needs: ClassVar[tuple[type, ...]] = (OwnFileSystems, NodeExec)
    uses: ClassVar[Uses] = Uses(capabilities=(Capability.DAC_OVERRIDE,), labels=True)
    nodes: tuple[str, ...]
    size_bytes: int
    name: str = "kube-ordeal-local"

    def plan(self, cluster: _WithVolumes) -> ProvideVolumesPlan:
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
        return ProvideVolumesPlan(self.nodes, self.name, folder, self.size_bytes)

    def apply(self, cluster: _WithVolumes, saved: ProvideVolumesPlan) -> None:
        name, folder = saved.name, saved.folder
        for node in saved.nodes:
            cluster.node_exec(node, ["mkdir", "-p", folder])
        with cluster.api() as client:
            storage: Any = k8s.StorageV1Api(client)
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
            core: Any = k8s.CoreV1Api(client)
            for node in saved.nodes:
                core.create_persistent_volume(_volume(saved, node))

    def landed(self, cluster: _WithVolumes, saved: ProvideVolumesPlan) -> bool:
        folder = saved.folder
        with cluster.api() as client:
            there = len(_volumes(client, saved.name)) == len(saved.nodes)
            made = there and _found(client, saved.name)
        return made and all(
            cluster.node_exec(node, ["test", "-d", folder], check=False).code == 0 for node in saved.nodes
        )

    @staticmethod
    def lasts(cluster: _WithVolumes, saved: ProvideVolumesPlan) -> bool:
        with cluster.api() as client:
            return len(_volumes(client, saved.name)) == len(saved.nodes) and _found(client, saved.name)

    @staticmethod
    def undo(cluster: _WithVolumes, saved: ProvideVolumesPlan) -> None:
        name = saved.name
        with cluster.api() as client:
            for volume in _volumes(client, name):
                _let_go(client, volume)
            _ignoring_missing(lambda: k8s.StorageV1Api(client).delete_storage_class(name))
            if _volumes(client, name):
                return  # a claim holds one: its data is in use
        for node in saved.nodes:
            cluster.node_exec(node, ["rm", "-rf", saved.folder], timeout_s=60)

    @staticmethod
    def undone(cluster: _WithVolumes, saved: ProvideVolumesPlan) -> bool:
        name = saved.name
        with cluster.api() as client:
            if _volumes(client, name) or _found(client, name):
                return False
        folder = saved.folder
        return all(cluster.node_exec(n, ["test", "-e", folder], check=False).code == 1 for n in saved.nodes)


def _volume(saved: ProvideVolumesPlan, node: str) -> dict[str, object]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{saved.name}-{node}", "labels": {OURS: saved.name}},
        "spec": {
            "capacity": {"storage": str(saved.size_bytes)},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": saved.name,
            "local": {"path": saved.folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def _volumes(client: Any, name: str) -> list[str]:
    found: Any = k8s.CoreV1Api(client).list_persistent_volume(label_selector=f"{OURS}={name}")
    return [volume.metadata.name for volume in found.items]


def _found(client: Any, name: str) -> bool:
    """Whether there is a StorageClass of that name."""
    try:
        k8s.StorageV1Api(client).read_storage_class(name)
    except ApiException as error:
        if error.status == 404:
            return False
        raise
    return True


def _let_go(client: Any, volume: str) -> None:
    """Delete a volume, and its claim where that is ours and no pod is left that could use it.

    Their finalizers wait for the controller manager, which may be away; without a user there is nothing to protect.
    """
    core: Any = k8s.CoreV1Api(client)
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


RIGHT = "+0"
LARGEST_S = 400 * 24 * 3600
OFF_BY_S = 0.4


class _Reachable(Cluster, NodeExec, NodeNetwork, Protocol): ...


class TurnClockPlan(msgspec.Struct, frozen=True):
    """The pod, by name and UID, and its workload; `path`: the file on its node that the offset is read from."""

    node: str
    namespace: str
    pod: str
    uid: str
    workload: str
    path: str
    offset_s: float


@fault
@dataclass(frozen=True, slots=True)
class TurnClock:
    """Turn the clock of the server in `pod` by `offset_s` seconds against its node's; negative is back.

    The server was started under libfaketime, which reads the offset from a file of the pod at each look at the clock
    (manifests/mysql.yaml). The file is written from the node's side. It has landed when the server itself says so.
    A server that was restarted meanwhile has the right clock: its start writes the file anew.
    """

    kind: ClassVar[str] = "turn-clock"
    counterpart: ClassVar[str] = "turn_clock_back"
    needs: ClassVar[tuple[type, ...]] = (NodeExec, NodeNetwork)
    uses: ClassVar[Uses] = Uses(labels=True)
    namespace: str
    pod: str
    offset_s: float

    def plan(self, cluster: _Reachable) -> TurnClockPlan:
        if isinstance(self.offset_s, bool) or not 0 < abs(self.offset_s) <= LARGEST_S:
            raise OrdealError(
                f"the clock can't be turned by {self.offset_s} s: say a number of seconds, negative for back, of at "
                f"most {LARGEST_S:g}"
            )
        pod = _pod(cluster, self.namespace, self.pod)
        if pod is None:
            raise OrdealError(f"there is no pod {self.namespace}/{self.pod} on cluster {cluster.ref.name}")
        name = (pod.metadata.labels or {}).get(WORKLOAD_LABEL, "")
        volumes = {v.name for v in pod.spec.volumes or [] if v.empty_dir is not None}
        if not name or CLOCK_VOLUME not in volumes:
            raise OrdealError(
                f"{self.namespace}/{self.pod} is no database of ours: only the clock of a server that this suite has "
                "deployed is turned"
            )
        if not pod.status.pod_ip or pod.status.phase != "Running":
            raise OrdealError(f"{self.namespace}/{self.pod} does not run ({pod.status.phase}), so it has no clock")
        folder = f"/var/lib/kubelet/pods/{pod.metadata.uid}/volumes/kubernetes.io~empty-dir/{CLOCK_VOLUME}"
        path = f"{folder}/{CLOCK_FILE.rsplit('/', 1)[1]}"
        said = cluster.node_exec(pod.spec.node_name, ["cat", path], check=False)
        if said.code != 0:
            raise OrdealError(
                f"the server of {self.namespace}/{self.pod} reads its clock from no file: deploy it with own_clock"
            )
        if said.out.strip() != RIGHT:
            raise OrdealError(
                f"the clock of {self.pod} is turned by {said.out.strip()} s already: run `kube-ordeal undo`"
            )
        return TurnClockPlan(
            node=pod.spec.node_name,
            namespace=self.namespace,
            pod=self.pod,
            uid=pod.metadata.uid,
            workload=name,
            path=path,
            offset_s=self.offset_s,
        )

    def apply(self, cluster: _Reachable, saved: TurnClockPlan) -> None:
        _write(cluster, saved, f"{saved.offset_s:+g}")

    def landed(self, cluster: _Reachable, saved: TurnClockPlan) -> bool:
        return abs(_offset_s(cluster, saved) - saved.offset_s) < OFF_BY_S

    @staticmethod
    def lasts(cluster: _Reachable, saved: TurnClockPlan) -> bool:
        """By the file, which a server that starts again writes anew."""
        return cluster.node_exec(saved.node, ["cat", saved.path]).out.strip() == f"{saved.offset_s:+g}"

    @staticmethod
    def undo(cluster: _Reachable, saved: TurnClockPlan) -> None:
        if _is_there(cluster, saved):
            _write(cluster, saved, RIGHT)

    @staticmethod
    def undone(cluster: _Reachable, saved: TurnClockPlan) -> bool:
        """By the file: the server may be away just now, and reads it when it is back."""
        said = cluster.node_exec(saved.node, ["cat", saved.path], check=False)
        return said.out.strip() == RIGHT if said.code == 0 else not _is_there(cluster, saved)


def _pod(cluster: Cluster, namespace: str, name: str) -> Any:
    with cluster.api() as client:
        try:
            return k8s.CoreV1Api(client).read_namespaced_pod(name, namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise


def _is_there(cluster: NodeExec, saved: TurnClockPlan) -> bool:
    """Whether the pod's folder is still on its node: the file goes with the pod."""
    folder = saved.path.rsplit("/", 1)[0]
    return cluster.node_exec(saved.node, ["test", "-d", folder], check=False).code == 0


def _write(cluster: NodeExec, saved: TurnClockPlan, offset: str) -> None:
    """By a rename, so that a look at the clock never finds half of it; the server's user may write it anew."""
    script = 'printf "%s\\n" "$2" > "$1.kube-ordeal"; chmod 0666 "$1.kube-ordeal"; mv "$1.kube-ordeal" "$1"'
    cluster.node_exec(saved.node, ["sh", "-ec", script, "write", saved.path, offset])


def _offset_s(cluster: Cluster, saved: TurnClockPlan) -> float:
    """How far the server's clock is from this machine's, which is the nodes'. Raises OrdealError."""
    pod = _pod(cluster, saved.namespace, saved.pod)
    if pod is None or pod.metadata.uid != saved.uid or not pod.status.pod_ip:
        raise OrdealError(f"{saved.pod} is not the pod whose clock was turned any more")
    namespace, workload = saved.namespace, saved.workload
    return clock_offset_s(cluster, namespace, workload, saved.pod, str(pod.status.pod_ip))
