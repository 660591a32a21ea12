"""What makes a pod with a volume move: an update, and the word that a lost node is off. A drain is in chaos/harm."""

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
from chaos.harm.uses import Uses
from chaos.subjects.volumes.workload import affinity

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
