"""The museum: objects as a cluster has them that is older than its version, and what is done to them there."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import EtcdBehind
from chaos.clusters.base import Cluster
from chaos.record.history import History
from chaos.subjects.aged.records import AgedStored, Touched
from chaos.subjects.aged.stored import Planted, is_aged
from chaos.workloads.base import WORKLOAD_LABEL, create, creating, manifest
from chaos.workloads.web import READY_WITHIN_S, Deployed

NAME = "museum"
SERVICES = ADDRESS, HEADLESS = ("old-address", "old-headless")  # as manifests/simulated/museum.yaml has them, and so on
ORDERED, ORDERED_REPLICAS, MENDED, MENDED_REPLICAS, PINNED = "ordered", 3, "mended", 2, "pinned"
SERVES, JOINS, SERVED_BY, OLD = "serves", "joins", "kube-ordeal/served-by", "old"
ADDRESSES = {SERVES: "192.0.2.1", JOINS: "192.0.2.2"}  # TEST-NET-1: nobody has them
CONDITION = "kube-ordeal/Touched"
PINNED_TO = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True, slots=True)
class Museum:
    """Two Services with a pod, and another one that they select as soon as it is touched; a StatefulSet of three; one
    whose first revision finds no node; a DaemonSet on the control plane's nodes.
    """

    name: str = NAME

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it, and wait until all that can be Ready is. Raises OrdealError, WaitedInVainError."""
        filled = manifest("simulated/museum.yaml").substitute(
            namespace=namespace, run=run, image=cluster.images.busybox
        )
        with cluster.api() as client, creating(self.name, cluster):
            create(client, filled)

        def started() -> bool:
            with cluster.api() as client:
                pods: list[Any] = k8s.CoreV1Api(client).list_namespaced_pod(namespace).items
                daemon: Any = k8s.AppsV1Api(client).read_namespaced_daemon_set_status(PINNED, namespace).status
            ready = sum(any(c.type == "Ready" and c.status == "True" for c in p.status.conditions or ()) for p in pods)
            nodes = daemon.desired_number_scheduled
            wanted = len(ADDRESSES) + ORDERED_REPLICAS + nodes
            return bool(nodes and ready == wanted and len(pods) == wanted + MENDED_REPLICAS)

        def served() -> bool:
            with cluster.api() as client:
                named: Any = k8s.CoreV1Api(client).list_namespaced_endpoints(namespace).items
            return sum(any(subset.addresses for subset in each.subsets or ()) for each in named) == len(SERVICES)

        eventually(started, within_s=READY_WITHIN_S, what=f"the pods of {self.name} to be Ready")
        for name, address in ADDRESSES.items():
            eventually(
                partial(_addressed, cluster, namespace, name, address), within_s=60, what=f"{name} to be {address}"
            )
        eventually(served, within_s=READY_WITHIN_S, what=f"the Services of {self.name} to have endpoints")
        return Deployed(self.name, namespace, "", 0, cluster)


def _addressed(cluster: Cluster, namespace: str, name: str, address: str) -> bool:
    """Give a pod an address, as its kubelet does. A simulated one has its own for all, on loopback, which no endpoint
    may have (pkg/apis/core/validation, ValidateEndpointIP).
    """
    with cluster.api() as client:
        core = k8s.CoreV1Api(client)
        pod: Any = client.sanitize_for_serialization(core.read_namespaced_pod(name, namespace))
        pod["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
        core.replace_namespaced_pod_status(name, namespace, pod)
    return True


def write_services(museum: Deployed) -> None:
    """Write each Service once as it is read: what the API server fills in on reading is stored then."""
    with museum.cluster.api() as client:
        core = k8s.CoreV1Api(client)
        for name in SERVICES:
            service: Any = core.read_namespaced_service(name, museum.namespace)
            core.replace_namespaced_service(name, museum.namespace, service)


def orphan(museum: Deployed) -> None:
    """Let the DaemonSet's pods belong to nobody, as those that were made before it: it has to adopt them, and a
    controller manager that runs does so at once.
    """
    with museum.cluster.api() as client:
        core = k8s.CoreV1Api(client)
        pods: Any = core.list_namespaced_pod(museum.namespace, label_selector=f"{WORKLOAD_LABEL}={PINNED}").items
        for pod in pods:
            core.patch_namespaced_pod(pod.metadata.name, museum.namespace, {"metadata": {"ownerReferences": None}})


def ask_etcd(cluster: EtcdBehind, history: History, objects: tuple[Planted, ...]) -> None:
    """Write down how etcd has each of them now."""
    for each in objects:
        history.add(AgedStored(history.now(), each.key, is_aged(each.key, cluster.etcd_get(each.key))))


def select(museum: Deployed, history: History, *, joins: bool) -> None:
    """From now on the Services select one more pod, or no longer."""
    for name in SERVICES:
        _touched(history, f"Service/{name}", f"it selects {JOINS} {'now' if joins else 'no longer'}")
    label = {"metadata": {"labels": {SERVED_BY: OLD if joins else "nothing"}}}
    with museum.cluster.api() as client:
        k8s.CoreV1Api(client).patch_namespaced_pod(JOINS, museum.namespace, label)


def touch(museum: Deployed, history: History) -> None:
    """Give each Service a condition, as a load balancer's controller does, so that a watch event brings it; let the
    StatefulSet whose first revision finds no node find some; change how many revisions the DaemonSet keeps.

    It has to be the Service's status: a write of anything else fills in what it lacks (pkg/registry/core/service/
    storage, `beginUpdate`), and then nothing is old about it any more.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    seen = {"type": CONDITION, "status": "True", "reason": "Touched", "message": "", "lastTransitionTime": now}
    selector = {"kubernetes.io/hostname": None, "kubernetes.io/os": "linux"}
    with museum.cluster.api() as client:
        core, apps = k8s.CoreV1Api(client), k8s.AppsV1Api(client)
        for name in SERVICES:
            _touched(history, f"Service/{name}", "it has a condition")
            core.patch_namespaced_service_status(name, museum.namespace, {"status": {"conditions": [seen]}})
        _touched(history, f"StatefulSet/{MENDED}", "its pods find nodes now")
        template = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
        apps.patch_namespaced_stateful_set(MENDED, museum.namespace, template)
        _touched(history, f"DaemonSet/{PINNED}", "how many revisions it keeps")
        apps.patch_namespaced_daemon_set(PINNED, museum.namespace, {"spec": {"revisionHistoryLimit": 5}})


def _touched(history: History, name: str, what: str) -> None:
    history.add(Touched(history.now(), name, what))
