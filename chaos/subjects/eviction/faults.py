"""A DaemonSet of the system whose pods have no priority."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import RunsContainers
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses


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
