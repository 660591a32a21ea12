"""What makes a pod with a volume move: an update, the drain of its node, and the word that a lost node is off."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Uses
from chaos.subjects.volumes.workload import affinity
from chaos.workloads.base import WORKLOAD_LABEL

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
TAINT = {"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}


class UpdateElsewherePlan(msgspec.Struct, frozen=True):
    """The generation of each workload before its update, and the node that is avoided."""

    generations: Mapping[str, int]
    node: str


@fault
@dataclass(frozen=True, slots=True)
class UpdateElsewhere:
    """Change the pod templates of Deployments or StatefulSets ("namespace/name") so that new pods may not run on
    `node`: an update whose new pod lands on another node than the old one.

    There is nothing to put back: the workload is a new version of itself, and is removed after the replay.
    """

    kind: ClassVar[str] = "update-elsewhere"
    counterpart: ClassVar[str] = "end_update"
    needs: ClassVar[tuple[type, ...]] = ()
    uses: ClassVar[Uses] = Uses()
    workloads: tuple[str, ...]
    node: str

    def plan(self, cluster: Cluster) -> UpdateElsewherePlan:
        others = [n for n in cluster.nodes() if not n.control_plane and n.name != self.node and n.ready == "True"]
        if not others:
            raise OrdealError(f"there is no other Ready worker than {self.node} on which a new pod could run")
        generations = {each: _find(cluster, each).metadata.generation for each in self.workloads}
        return UpdateElsewherePlan(generations, self.node)

    def apply(self, cluster: Cluster, saved: UpdateElsewherePlan) -> None:
        change = {"spec": {"template": {"spec": {"affinity": affinity(avoid=self.node)}}}}
        for each in self.workloads:
            namespace, _, name = each.partition("/")
            with cluster.api() as client:
                apps = k8s.AppsV1Api(client)
                if _find(cluster, each).kind == "StatefulSet":
                    apps.patch_namespaced_stateful_set(name, namespace, change)
                else:
                    apps.patch_namespaced_deployment(name, namespace, change)

    def landed(self, cluster: Cluster, saved: UpdateElsewherePlan) -> bool:
        """Each has its new template; what its controller makes of it is for invariants to judge."""
        before = saved.generations
        return all(_find(cluster, each).metadata.generation > before[each] for each in before)

    @staticmethod
    def lasts(cluster: Cluster, saved: UpdateElsewherePlan) -> None:
        """Nobody looks: it is over when the new pods run."""

    @staticmethod
    def undo(cluster: Cluster, saved: UpdateElsewherePlan) -> None:
        """Nothing: see the class."""

    @staticmethod
    def undone(cluster: Cluster, saved: UpdateElsewherePlan) -> bool:
        return True


class DrainNodePlan(msgspec.Struct, frozen=True):
    """The node that is drained, and the UIDs of our pods on it; none where an older version planned it."""

    node: str
    uids: tuple[str, ...] = ()


@fault
@dataclass(frozen=True, slots=True)
class DrainNode:
    """Cordon a node and evict what our workloads run on it, as `kubectl drain` does; nobody else's pods are touched.

    Undo lets the node take pods again.
    """

    kind: ClassVar[str] = "drain-node"
    counterpart: ClassVar[str] = "uncordon_node"
    needs: ClassVar[tuple[type, ...]] = ()
    uses: ClassVar[Uses] = Uses()
    node: str

    def plan(self, cluster: Cluster) -> DrainNodePlan:
        ready_worker(cluster, self.node, "it can't be drained")
        with cluster.api() as client:
            spec: Any = k8s.CoreV1Api(client).read_node(self.node).spec
        if spec.unschedulable:
            raise OrdealError(f"node {self.node} is cordoned already: uncordon it, or name another one")
        pods = _pods_on(cluster, self.node)
        if not pods:
            raise OrdealError(f"node {self.node} runs no pod of ours, so its drain would move nothing")
        return DrainNodePlan(self.node, tuple(pod.metadata.uid for pod in pods))

    def apply(self, cluster: Cluster, saved: DrainNodePlan) -> None:
        node = saved.node
        _cordon(cluster, node, on=True)
        with cluster.api() as client:
            for pod in _pods_on(cluster, node):
                metadata = {"name": pod.metadata.name, "namespace": pod.metadata.namespace}
                eviction: Any = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
                k8s.CoreV1Api(client).create_namespaced_pod_eviction(
                    pod.metadata.name, pod.metadata.namespace, eviction
                )

    def landed(self, cluster: Cluster, saved: DrainNodePlan) -> bool:
        """The node is cordoned, and each of ours that was on it is gone or on its way out."""
        stay = {pod.metadata.uid for pod in _pods_on(cluster, saved.node)} & set(saved.uids)
        return _cordoned(cluster, saved.node) and not stay

    @staticmethod
    def lasts(cluster: Cluster, saved: DrainNodePlan) -> bool:
        return _cordoned(cluster, saved.node)

    @staticmethod
    def undo(cluster: Cluster, saved: DrainNodePlan) -> None:
        _cordon(cluster, saved.node, on=False)

    @staticmethod
    def undone(cluster: Cluster, saved: DrainNodePlan) -> bool:
        return not _cordoned(cluster, saved.node)


class MarkOutOfServicePlan(msgspec.Struct, frozen=True):
    """The node that is off."""

    node: str


@fault
@dataclass(frozen=True, slots=True)
class MarkOutOfService:
    """Say that a node which is not Ready is off, by the taint node.kubernetes.io/out-of-service: its pods are then
    deleted by force, and its volumes detached at once. Undo takes the taint away.

    Source: Kubernetes documentation, "Non-graceful node shutdown handling" (KEP-2268, stable from 1.28).
    """

    kind: ClassVar[str] = "mark-out-of-service"
    counterpart: ClassVar[str] = "return_to_service"
    needs: ClassVar[tuple[type, ...]] = ()
    uses: ClassVar[Uses] = Uses()
    node: str

    def plan(self, cluster: Cluster) -> MarkOutOfServicePlan:
        there = {n.name: n for n in cluster.nodes()}
        node = there.get(self.node)
        if node is None:
            raise OrdealError(f"there is no node {self.node} in cluster {cluster.ref.name}")
        if any(taint.startswith(f"{OUT_OF_SERVICE}:") for taint in node.taints):
            raise OrdealError(f"node {self.node} is marked as out of service already, and not by this run")
        if node.ready == "True":
            raise OrdealError(
                f"node {self.node} is Ready: to say that it is out of service would let another node write into the "
                "volumes that it writes into"
            )
        return MarkOutOfServicePlan(self.node)

    def apply(self, cluster: Cluster, saved: MarkOutOfServicePlan) -> None:
        _taint(cluster, saved.node, on=True)

    def landed(self, cluster: Cluster, saved: MarkOutOfServicePlan) -> bool:
        return MarkOutOfService.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: Cluster, saved: MarkOutOfServicePlan) -> bool:
        with cluster.api() as client:
            try:
                spec: Any = k8s.CoreV1Api(client).read_node(saved.node).spec
            except ApiException as error:
                if error.status == 404:
                    return False
                raise
        return any(taint.key == OUT_OF_SERVICE for taint in spec.taints or ())

    @staticmethod
    def undo(cluster: Cluster, saved: MarkOutOfServicePlan) -> None:
        if _tainted(cluster, saved.node):
            _taint(cluster, saved.node, on=False)

    @staticmethod
    def undone(cluster: Cluster, saved: MarkOutOfServicePlan) -> bool:
        return not _tainted(cluster, saved.node)


def _find(cluster: Cluster, workload: str) -> Any:
    """The Deployment or StatefulSet "namespace/name", with its kind. Raises OrdealError where there is none."""
    namespace, _, name = workload.partition("/")
    only = f"metadata.name={name}"
    with cluster.api() as client:
        apps = k8s.AppsV1Api(client)
        listed: dict[str, Any] = {
            "Deployment": apps.list_namespaced_deployment(namespace, field_selector=only),
            "StatefulSet": apps.list_namespaced_stateful_set(namespace, field_selector=only),
        }
    for kind, those in listed.items():
        for found in those.items:
            found.kind = kind  # a list's items do not say it
            return found
    raise OrdealError(f"there is no Deployment or StatefulSet {name} in namespace {namespace}")


def _pods_on(cluster: Cluster, node: str) -> list[Any]:
    """The pods of our workloads on a node that are not on their way out."""
    with cluster.api() as client:
        pods: Any = k8s.CoreV1Api(client).list_pod_for_all_namespaces(
            label_selector=WORKLOAD_LABEL, field_selector=f"spec.nodeName={node}"
        )
    return [pod for pod in pods.items if pod.metadata.deletion_timestamp is None]


def _cordon(cluster: Cluster, node: str, *, on: bool) -> None:
    with cluster.api() as client:
        k8s.CoreV1Api(client).patch_node(node, {"spec": {"unschedulable": on or None}})


def _cordoned(cluster: Cluster, node: str) -> bool:
    with cluster.api() as client:
        spec: Any = k8s.CoreV1Api(client).read_node(node).spec
    return bool(spec.unschedulable)


def _taint(cluster: Cluster, node: str, *, on: bool) -> None:
    """Add the taint, or take it away, and leave the others; the version makes sure that none of them is lost."""

    def done() -> bool:
        with cluster.api() as client:
            core = k8s.CoreV1Api(client)
            found: Any = core.read_node(node)
            others = [
                {"key": t.key, "value": t.value, "effect": t.effect, "timeAdded": t.time_added}
                for t in found.spec.taints or ()
                if t.key != OUT_OF_SERVICE
            ]
            body = {
                "metadata": {"resourceVersion": found.metadata.resource_version},
                "spec": {"taints": [*others, *([TAINT] if on else [])]},
            }
            core.patch_node(node, body)
        return True

    eventually(done, within_s=60, what=f"node {node} to take its taints", every_s=0.1)


def _tainted(cluster: Cluster, node: str) -> bool:
    found = next((n for n in cluster.nodes() if n.name == node), None)
    return found is not None and any(taint.startswith(f"{OUT_OF_SERVICE}:") for taint in found.taints)
