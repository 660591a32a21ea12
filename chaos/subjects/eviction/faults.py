"""A static pod on one node: one that its kubelet runs from a file, without the API server."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
import yaml
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import NodeExec, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import is_ready
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Uses

MANIFESTS = "/etc/kubernetes/manifests"  # staticPodPath as kubeadm sets it
NAMESPACE = "kube-system"


class _Shell(Cluster, NodeExec, RunsContainers, Protocol): ...


class PlaceStaticPodPlan(msgspec.Struct, frozen=True):
    """The pod's name, its file on the node, and its container's image."""

    node: str
    name: str
    path: str
    image: str


@fault
@dataclass(frozen=True, slots=True)
class PlaceStaticPod:
    """Let one node's kubelet run a static pod without a priority class, which it spares because it is static.

    It has landed when its mirror pod, NAME-NODE in kube-system, is Ready, and is undone when file and mirror are gone.
    """

    kind: ClassVar[str] = "place-static-pod"
    counterpart: ClassVar[str] = "remove_static_pod"
    needs: ClassVar[tuple[type, ...]] = (NodeExec, RunsContainers)
    uses: ClassVar[Uses] = Uses(labels=True)
    node: str
    name: str = "ordeal-static"

    def plan(self, cluster: _Shell) -> PlaceStaticPodPlan:
        ready_worker(cluster, self.node, "it is given no static pod")
        path = f"{MANIFESTS}/{self.name}.yaml"
        if cluster.node_exec(self.node, ["test", "-e", path], check=False).code == 0:
            raise OrdealError(f"node {self.node} has a static pod {self.name} already: run `kube-ordeal undo`")
        return PlaceStaticPodPlan(self.node, self.name, path, cluster.images.busybox)

    def apply(self, cluster: _Shell, saved: PlaceStaticPodPlan) -> None:
        container = {
            "name": "sleep",
            "image": saved.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 86400 & wait"],
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": saved.name, "namespace": NAMESPACE},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
        }
        # By a rename, so that the kubelet never reads a part; a file whose name begins with a dot is not read.
        script = 'printf %s "$2" > "$(dirname "$1")/.kube-ordeal"; mv "$(dirname "$1")/.kube-ordeal" "$1"'
        argv = ["sh", "-ec", script, "place", saved.path, yaml.safe_dump(pod)]
        cluster.node_exec(saved.node, argv)

    def landed(self, cluster: _Shell, saved: PlaceStaticPodPlan) -> bool:
        mirror = _mirror(cluster, saved)
        return mirror is not None and is_ready(mirror.status)

    @staticmethod
    def lasts(cluster: _Shell, saved: PlaceStaticPodPlan) -> bool:
        return bool(cluster.node_exec(saved.node, ["sh", "-c", f"[ ! -e {saved.path} ] || echo there"]).out)

    @staticmethod
    def undo(cluster: _Shell, saved: PlaceStaticPodPlan) -> None:
        cluster.node_exec(saved.node, ["rm", "-f", saved.path, f"{MANIFESTS}/.kube-ordeal"])

    @staticmethod
    def undone(cluster: _Shell, saved: PlaceStaticPodPlan) -> bool:
        gone = cluster.node_exec(saved.node, ["test", "-e", saved.path], check=False).code == 1
        return gone and _mirror(cluster, saved) is None


def _mirror(cluster: Cluster, saved: PlaceStaticPodPlan) -> Any:
    """The pod by which the API shows the static pod; None where there is none."""
    with cluster.api() as client:
        try:
            return k8s.CoreV1Api(client).read_namespaced_pod(f"{saved.name}-{saved.node}", NAMESPACE)
        except ApiException as error:
            if error.status == 404:
                return None
            raise


class DropPriorityPlan(msgspec.Struct, frozen=True):
    """The DaemonSet, and the priority class and priority of its pods."""

    namespace: str
    name: str
    priority_class: str = msgspec.field(name="class")
    priority: int | None


@fault
@dataclass(frozen=True, slots=True)
class DropPriority:
    """Take the priority class out of a DaemonSet ("namespace/name") and wait until all its pods are without.

    A kubelet under pressure spares pods whose priority is that of a system class (pkg/kubelet/types/pod_update.go,
    IsCriticalPod), and no others. Undo puts the class back, and is done when all pods have it and are Ready.
    """

    kind: ClassVar[str] = "drop-priority"
    counterpart: ClassVar[str] = "restore_priority"
    needs: ClassVar[tuple[type, ...]] = (RunsContainers,)
    uses: ClassVar[Uses] = Uses()
    daemon_set: str = "kube-system/kube-proxy"

    def plan(self, cluster: Cluster) -> DropPriorityPlan:
        namespace, _, name = self.daemon_set.partition("/")
        if not namespace or not name:
            raise OrdealError(f"{self.daemon_set!r} names no DaemonSet: say NAMESPACE/NAME")
        try:
            found = _read(cluster, namespace, name)
        except ApiException as error:
            raise OrdealError(f"there is no DaemonSet {name} in namespace {namespace} ({error.status})") from error
        pod: Any = found.spec.template.spec
        if not pod.priority_class_name:
            raise OrdealError(f"the pods of DaemonSet {self.daemon_set} have no priority class that could be dropped")
        return DropPriorityPlan(namespace, name, pod.priority_class_name, pod.priority)

    def apply(self, cluster: Cluster, saved: DropPriorityPlan) -> None:
        _give(cluster, saved, None, None)

    def landed(self, cluster: Cluster, saved: DropPriorityPlan) -> bool:
        return _all_pods_have(cluster, saved, None)

    @staticmethod
    def lasts(cluster: Cluster, saved: DropPriorityPlan) -> bool:
        template: Any = _read(cluster, saved.namespace, saved.name).spec.template.spec
        return not template.priority_class_name

    @staticmethod
    def undo(cluster: Cluster, saved: DropPriorityPlan) -> None:
        _give(cluster, saved, saved.priority_class, saved.priority)

    @staticmethod
    def undone(cluster: Cluster, saved: DropPriorityPlan) -> bool:
        return _all_pods_have(cluster, saved, saved.priority_class)


def _read(cluster: Cluster, namespace: str, name: str) -> Any:
    with cluster.api() as client:
        return k8s.AppsV1Api(client).read_namespaced_daemon_set(name, namespace)


def _pods(api: "k8s.CoreV1Api", daemon_set: Any) -> list[Any]:
    selector = ",".join(f"{key}={value}" for key, value in daemon_set.spec.selector.match_labels.items())
    pods: list[Any] = api.list_namespaced_pod(daemon_set.metadata.namespace, label_selector=selector).items
    return pods


def _give(cluster: Cluster, saved: DropPriorityPlan, priority_class: object, priority: object) -> None:
    """Give the template that class and priority, and delete the pods that have another class, all at once."""
    name, namespace = saved.name, saved.namespace
    found = _read(cluster, namespace, name)
    pod = found.spec.template.spec
    with cluster.api() as client:
        if ((pod.priority_class_name or None), pod.priority) != (priority_class, priority):
            change = {"spec": {"template": {"spec": {"priorityClassName": priority_class, "priority": priority}}}}
            k8s.AppsV1Api(client).patch_namespaced_daemon_set(name, namespace, change)
        core = k8s.CoreV1Api(client)
        for one in _pods(core, found):
            if (one.spec.priority_class_name or None) != priority_class and one.metadata.deletion_timestamp is None:
                with suppress(ApiException):  # the controller may have been faster
                    core.delete_namespaced_pod(one.metadata.name, namespace)


def _all_pods_have(cluster: Cluster, saved: DropPriorityPlan, priority_class: object) -> bool:
    """Whether the DaemonSet, and each pod of it, has that class (None: none), and every node its Ready pod."""
    found = _read(cluster, saved.namespace, saved.name)
    status, template = found.status, found.spec.template.spec
    wanted = status.desired_number_scheduled
    if (template.priority_class_name or None) != priority_class:
        return False
    if not wanted or status.observed_generation != found.metadata.generation:
        return False
    if status.updated_number_scheduled != wanted or status.number_ready != wanted:
        return False
    with cluster.api() as client:
        pods = _pods(k8s.CoreV1Api(client), found)
    return len(pods) == wanted and all((p.spec.priority_class_name or None) == priority_class for p in pods)
