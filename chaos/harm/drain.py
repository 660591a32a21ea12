"""A node is drained: it is cordoned, and what our workloads run on it is evicted."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_get
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Uses
from chaos.workloads.base import WORKLOAD_LABEL

# What the eviction subresource answers where budgets keep a pod, as pkg/registry/core/pod/storage/eviction.go has it:
# 429 where one allows no disruption, 500 where a pod has two.
REFUSED, TWO_BUDGETS = 429, 500
NOT_COUNTED = -1
# The API server's own count of requests, by resource, subresource and code (apiserver/pkg/endpoints/metrics).
_REFUSALS = re.compile(
    rf'^apiserver_request_total{{(?=[^}}]*code="{REFUSED}")(?=[^}}]*subresource="eviction")[^}}]*}} ([0-9.e+]+)$',
    re.MULTILINE,
)


class DrainNodePlan(msgspec.Struct, frozen=True):
    """The node that is drained, and the UIDs of our pods on it; none where an older version planned it. `refusals`: how
    many evictions the API server had refused before; NOT_COUNTED where none is to be.
    """

    node: str
    uids: tuple[str, ...] = ()
    refusals: int = NOT_COUNTED


@fault
@dataclass(frozen=True, slots=True)
class DrainNode:
    """Cordon a node and evict what our workloads run on it, as `kubectl drain` does; nobody else's pods are touched.

    `refused`: budgets are to refuse some of it. Each pod is asked for once then, and it has landed when the API server
    has counted a refusal: to ask again is the affair of whoever drains. Undo lets the node take pods again.
    """

    kind: ClassVar[str] = "drain-node"
    counterpart: ClassVar[str] = "uncordon_node"
    needs: ClassVar[tuple[type, ...]] = ()
    uses: ClassVar[Uses] = Uses()
    node: str
    refused: bool = False

    def plan(self, cluster: Cluster) -> DrainNodePlan:
        ready_worker(cluster, self.node, "it can't be drained")
        if _cordoned(cluster, self.node):
            raise OrdealError(f"node {self.node} is cordoned already: uncordon it, or name another one")
        pods = pods_on(cluster, self.node)
        if not pods:
            raise OrdealError(f"node {self.node} runs no pod of ours, so its drain would move nothing")
        before = refusals(cluster) if self.refused else NOT_COUNTED
        return DrainNodePlan(self.node, tuple(pod.metadata.uid for pod in pods), before)

    def apply(self, cluster: Cluster, saved: DrainNodePlan) -> None:
        _cordon(cluster, saved.node, on=True)
        for pod in pods_on(cluster, saved.node):
            try:
                evict(cluster, pod.metadata.namespace, pod.metadata.name)
            except ApiException as error:
                if saved.refusals == NOT_COUNTED or error.status not in {REFUSED, TWO_BUDGETS}:
                    raise

    def landed(self, cluster: Cluster, saved: DrainNodePlan) -> bool:
        """The node is cordoned, and each of ours that was on it is gone or on its way out, or a budget has refused."""
        if not _cordoned(cluster, saved.node):
            return False
        if saved.refusals != NOT_COUNTED and refusals(cluster) > saved.refusals:
            return True
        return not {pod.metadata.uid for pod in pods_on(cluster, saved.node)} & set(saved.uids)

    @staticmethod
    def lasts(cluster: Cluster, saved: DrainNodePlan) -> bool:
        return _cordoned(cluster, saved.node)

    @staticmethod
    def undo(cluster: Cluster, saved: DrainNodePlan) -> None:
        _cordon(cluster, saved.node, on=False)

    @staticmethod
    def undone(cluster: Cluster, saved: DrainNodePlan) -> bool:
        return not _cordoned(cluster, saved.node)


def pods_on(cluster: Cluster, node: str) -> list[Any]:
    """The pods of our workloads on a node that are not on their way out."""
    with cluster.api() as client:
        pods: Any = k8s.CoreV1Api(client).list_pod_for_all_namespaces(
            label_selector=WORKLOAD_LABEL, field_selector=f"spec.nodeName={node}"
        )
    return [pod for pod in pods.items if pod.metadata.deletion_timestamp is None]


def evict(cluster: Cluster, namespace: str, pod: str) -> None:
    """Ask for the eviction of a pod, once. Raises ApiException where it is refused."""
    metadata = {"name": pod, "namespace": namespace}
    eviction: Any = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    with cluster.api() as client:
        k8s.CoreV1Api(client).create_namespaced_pod_eviction(pod, namespace, eviction)


def refusals(cluster: Cluster) -> int:
    """How many evictions the API server has refused since its start, as it counts them itself."""
    with cluster.api() as client:
        said = raw_get(client, "/metrics").decode()
    return sum(int(float(count)) for count in _REFUSALS.findall(said))


def _cordon(cluster: Cluster, node: str, *, on: bool) -> None:
    with cluster.api() as client:
        k8s.CoreV1Api(client).patch_node(node, {"spec": {"unschedulable": on or None}})


def _cordoned(cluster: Cluster, node: str) -> bool:
    with cluster.api() as client:
        spec: Any = k8s.CoreV1Api(client).read_node(node).spec
    return bool(spec.unschedulable)
