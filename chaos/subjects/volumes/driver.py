"""Our CSI driver over a Ceph pool of its own, put on a cluster for the length of a replay."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import NodeExec, SharesFolder
from chaos.clusters.base import Cluster
from chaos.clusters.shape import SHARED
from chaos.clusters.way.client import is_ready, read_csi_drivers
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses
from chaos.subjects.volumes.pool import CLASS, DRIVER, NAMESPACE, POD
from chaos.workloads.base import RUN_LABEL, create, manifest
from chaos.workloads.ports import check_free
from chaos.workloads.web import remove_namespace

FOLDER = "rbd-lock"  # of the shared folder: one folder a volume
ROLE = "kube-ordeal-csi-rbd-lock"
FILES = ("ceph", "class", "rbac", "controller", "node", "claim")
FIRST_CLAIM = "first"
MONITOR_PORTS = (3300, 6789)  # Ceph's documentation, "Network configuration reference"
SERVES_WITHIN_S = 180.0
GIVEN_BACK_WITHIN_S = 30.0  # how long the driver is kept for volumes that are still being given back
GONE_WITHIN_S = 40.0
LINES_SAID = 5  # of the driver, where its first volume did not come
KUBELET = "/var/lib/kubelet"
PLUGIN = f"{KUBELET}/plugins/{DRIVER}"
FORGET_PLUGIN = f"rm -rf {PLUGIN} {KUBELET}/plugins_registry/{DRIVER}-reg.sock"


def folder_of(cluster: SharesFolder) -> Path:
    """Where this machine has the volumes' data. Raises OrdealError where the cluster shares no folder."""
    return Path(cluster.shared_folder()) / FOLDER


class _Shared(Cluster, NodeExec, SharesFolder, Protocol): ...


class InstallRbdLockPlan(msgspec.Struct, frozen=True):
    """The control-plane node on which the Ceph pool runs, and its address."""

    node: str
    address: str


@fault
@dataclass(frozen=True, slots=True)
class InstallRbdLock:
    """Install the driver: a Ceph pool, the StorageClass ordeal-rbd-lock, its controller and its nodes' part.

    `image` holds Ceph and the driver (`kube-ordeal image build --workloads ceph`). Known-bad are: `release_lock` false
    (a node that gives a volume back keeps its lock), `fence` false (no lock is taken), `attach` false (no
    VolumeAttachments, so that Kubernetes does not ask who has the volume). Undo takes all of it away, with what is left
    of its volumes.
    """

    kind: ClassVar[str] = "install-rbd-lock"
    counterpart: ClassVar[str] = "remove_rbd_lock"
    needs: ClassVar[tuple[type, ...]] = (NodeExec, SharesFolder)
    uses: ClassVar[Uses] = Uses()
    image: str
    release_lock: bool = True
    fence: bool = True
    attach: bool = True

    def plan(self, cluster: _Shared) -> InstallRbdLockPlan:
        cluster.shared_folder()
        planes = [n for n in cluster.nodes() if n.control_plane]
        if not planes:
            raise OrdealError(f"cluster {cluster.ref.name} has no control-plane node on which the Ceph pool could run")
        with cluster.api() as client:
            there = [d.metadata.name for d in k8s.StorageV1Api(client).list_csi_driver().items if d.metadata]
        if DRIVER in there:
            raise OrdealError(
                f"cluster {cluster.ref.name} has the CSI driver {DRIVER} already: another run uses it, or left it "
                "behind; run `kube-ordeal undo`"
            )
        check_free(cluster, [planes[0].name], MONITOR_PORTS, "the Ceph pool's monitor")
        return InstallRbdLockPlan(planes[0].name, planes[0].address)

    def apply(self, cluster: _Shared, saved: InstallRbdLockPlan) -> None:
        words = {True: "true", False: "false"}
        given = {
            "namespace": NAMESPACE,
            "run": "rbd-lock",
            "image": self.image,
            "node": saved.node,
            "address": saved.address,
            "shared": f"{SHARED}/{FOLDER}",
            "attach": words[self.attach],
            "release_lock": words[self.release_lock],
            "fence": words[self.fence],
        }
        driver, claim = FILES[:-1], FILES[-1:]
        what = f"the Ceph pool and the driver {DRIVER} to serve"
        try:
            _create(cluster, driver, given)
            eventually(lambda: not _lacking(cluster), within_s=SERVES_WITHIN_S, what=what)
            # Ready pods are not enough: it was seen that all were Ready, and no claim was bound for two minutes. The
            # first claim comes only now: the provisioner doubles its wait, from 15 s on, with each try that fails.
            _create(cluster, claim, given)
            eventually(lambda: _bound(cluster), within_s=SERVES_WITHIN_S, what=what)
        except WaitedInVainError as error:
            lacking = _lacking(cluster)
            why = f"{_listed(lacking)}; {_pool_says(cluster)}" if lacking else _why_unbound(cluster)
            raise OrdealError(f"{error}; {why}") from error
        with cluster.api() as client:
            k8s.CoreV1Api(client).delete_namespaced_persistent_volume_claim(FIRST_CLAIM, NAMESPACE)
            eventually(lambda: not _volumes(client), within_s=SERVES_WITHIN_S, what="the first volume to be deleted")

    def landed(self, cluster: _Shared, saved: InstallRbdLockPlan) -> bool:
        return not _lacking(cluster)

    @staticmethod
    def lasts(cluster: _Shared, saved: InstallRbdLockPlan) -> bool:
        with cluster.api() as client:
            try:
                return bool(k8s.StorageV1Api(client).read_csi_driver(DRIVER))
            except ApiException as error:
                if error.status == 404:
                    return False
                raise

    @staticmethod
    def undo(cluster: _Shared, saved: InstallRbdLockPlan) -> None:
        """First our pods and their volumes, while there is a driver to give them back; then it; then the folder."""
        for namespace in _users(cluster):
            remove_namespace(cluster, namespace)
        with suppress(WaitedInVainError):
            eventually(
                lambda: not list(_in_use(cluster)), within_s=GIVEN_BACK_WITHIN_S, what="the volumes to be given back"
            )
        _forget_volumes(cluster)
        _delete_all(cluster)
        with suppress(WaitedInVainError):  # its pods hold what is to be removed from the nodes
            eventually(lambda: not _there(cluster), within_s=GONE_WITHIN_S, what=f"namespace {NAMESPACE} to be gone")
        for node in cluster.nodes():
            cluster.node_exec(node.name, ["sh", "-c", FORGET_PLUGIN], check=False)
        shutil.rmtree(folder_of(cluster), ignore_errors=True)

    @staticmethod
    def undone(cluster: _Shared, saved: InstallRbdLockPlan) -> bool:
        if folder_of(cluster).exists() or _there(cluster):
            return False
        left = [cluster.node_exec(n.name, ["test", "-e", PLUGIN], check=False).code == 0 for n in cluster.nodes()]
        return not any(left)  # a node that is off has nothing that could be looked at, nor can it do anything


def _create(cluster: Cluster, names: Sequence[str], given: Mapping[str, str]) -> None:
    """Create what the manifests of those names hold."""
    with cluster.api() as client:
        for name in names:
            create(client, manifest(f"csi-rbd-lock/{name}.yaml").substitute(given))


def _there(cluster: Cluster) -> bool:
    """Whether the driver's namespace, or what Kubernetes is told of it, is there."""
    with cluster.api() as client:
        namespaces = [n.metadata.name for n in k8s.CoreV1Api(client).list_namespace().items if n.metadata]
        drivers = [d.metadata.name for d in k8s.StorageV1Api(client).list_csi_driver().items if d.metadata]
    return NAMESPACE in namespaces or DRIVER in drivers


def _lacking(cluster: Cluster) -> list[str]:
    """What of the driver does not serve yet."""
    with cluster.api() as client:
        core, apps = k8s.CoreV1Api(client), k8s.AppsV1Api(client)
        pod: Any = core.read_namespaced_pod_status(POD, NAMESPACE).status
        controller: Any = apps.read_namespaced_deployment_status("controller", NAMESPACE).status
        drivers = read_csi_drivers(client)
    lacking = []
    if pod.phase in {"Failed", "Succeeded"}:
        raise OrdealError(f"the Ceph pool ended; {_pool_says(cluster)}")
    if not is_ready(pod):
        lacking.append("the Ceph pool")
    if not controller.ready_replicas:
        lacking.append("the controller")
    with_driver = {node for node, there in drivers.items() if DRIVER in there}
    lacking += [f"the driver on {n.name}" for n in cluster.nodes() if n.ready == "True" and n.name not in with_driver]
    return lacking


def _bound(cluster: Cluster) -> bool:
    """Whether the first claim has its volume."""
    with cluster.api() as client:
        claim: Any = k8s.CoreV1Api(client).read_namespaced_persistent_volume_claim(FIRST_CLAIM, NAMESPACE)
    return bool(claim.status.phase == "Bound")


def _listed(lacking: Sequence[str]) -> str:
    return f"lacking are: {', '.join(lacking)}"


def _pool_says(cluster: Cluster) -> str:
    with cluster.api() as client:
        return f"the Ceph pool says: {_last_lines(k8s.CoreV1Api(client), POD, 'ceph')}"


def _last_lines(core: "k8s.CoreV1Api", pod: str, container: str) -> str:
    """The end of a container's log in one line, or why there is none."""
    try:
        said = core.read_namespaced_pod_log(pod, NAMESPACE, container=container, tail_lines=LINES_SAID)
    except ApiException as error:  # it was not started yet
        said = error.body or error.reason
    return " | ".join(str(said).strip().splitlines()) or "nothing"


def _why_unbound(cluster: Cluster) -> str:
    """What is said of a first claim without a volume: the claim's last events, and the driver's last lines."""
    with cluster.api() as client:
        core = k8s.CoreV1Api(client)
        about = f"involvedObject.name={FIRST_CLAIM}"
        events: list[Any] = core.list_namespaced_event(NAMESPACE, field_selector=about).items
        controllers: list[Any] = core.list_namespaced_pod(NAMESPACE, label_selector="app=controller").items
        said = [_last_lines(core, p.metadata.name, "driver") for p in controllers] or ["nothing"]
    told = [f"{event.reason}: {event.message}" for event in events[-LINES_SAID:]] or ["nothing"]
    return (
        f"{_listed([f'a volume for the claim {FIRST_CLAIM}'])}; of the claim Kubernetes says: {' | '.join(told)}; "
        f"the driver says: {' | '.join(said)}"
    )


def _volumes(client: ApiClient) -> list[Any]:
    """The PersistentVolumes of the driver."""
    there: list[Any] = k8s.CoreV1Api(client).list_persistent_volume().items
    return [v for v in there if v.spec.csi is not None and v.spec.csi.driver == DRIVER]


def _users(cluster: Cluster) -> tuple[str, ...]:
    """The namespaces of our own workloads that claim the driver's volumes."""
    with cluster.api() as client:
        claimed = {v.spec.claim_ref.namespace for v in _volumes(client) if v.spec.claim_ref is not None}
        ours = k8s.CoreV1Api(client).list_namespace(label_selector=RUN_LABEL).items
    return tuple(sorted(str(n.metadata.name) for n in ours if n.metadata and n.metadata.name in claimed - {NAMESPACE}))


def _attachments(client: ApiClient) -> list[Any]:
    there: list[Any] = k8s.StorageV1Api(client).list_volume_attachment().items
    return [a for a in there if a.spec.attacher == DRIVER]


def _in_use(cluster: Cluster) -> Iterator[str]:
    """What still needs the driver: volumes, attachments, and mounts that a kubelet which reports knows of."""
    with cluster.api() as client:
        yield from (volume.metadata.name for volume in _volumes(client))
        yield from (attachment.metadata.name for attachment in _attachments(client))
        nodes: list[Any] = k8s.CoreV1Api(client).list_node().items
    for node in nodes:
        ready = is_ready(node.status)
        yield from (used for used in node.status.volumes_in_use or () if ready and f"/{DRIVER}^" in used)


def _forget_volumes(cluster: Cluster) -> None:
    """Delete what is left of volumes and attachments, whoever has a finalizer on it; the data goes with the folder."""
    bare: dict[str, object] = {"metadata": {"finalizers": None}}
    with cluster.api() as client:
        core, storage = k8s.CoreV1Api(client), k8s.StorageV1Api(client)
        for attachment in _attachments(client):
            with _unless_gone():
                storage.delete_volume_attachment(attachment.metadata.name)
                storage.patch_volume_attachment(attachment.metadata.name, bare)
        for volume in _volumes(client):
            with _unless_gone():
                core.delete_persistent_volume(volume.metadata.name)
                core.patch_persistent_volume(volume.metadata.name, bare)


def _delete_all(cluster: Cluster) -> None:
    with cluster.api() as client:
        storage, rbac = k8s.StorageV1Api(client), k8s.RbacAuthorizationV1Api(client)
        for delete, name in (
            (storage.delete_storage_class, CLASS),
            (storage.delete_csi_driver, DRIVER),
            (rbac.delete_cluster_role_binding, ROLE),
            (rbac.delete_cluster_role, ROLE),
            (k8s.CoreV1Api(client).delete_namespace, NAMESPACE),
        ):
            with _unless_gone():
                delete(name)


@contextmanager
def _unless_gone() -> Iterator[None]:
    """What is gone already is no error when it is to be deleted."""
    try:
        yield
    except ApiException as error:
        if error.status not in {404, 409}:
            raise
