"""The routes of a node to the pods of the other nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s

from chaos.clusters.abilities import NodeNetwork
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Capability, Uses
from chaos.hosts.command import Output, run

# Looked at before the main table (32766). A number of our own: what has it is ours, and may be taken away.
PREFERENCE = "4242"


class _Networked(Cluster, NodeNetwork, Protocol): ...


class CutPodRoutesPlan(msgspec.Struct, frozen=True):
    """`ranges`: of pods' addresses, IPv4 and IPv6, of all other nodes."""

    node: str
    ranges: tuple[str, ...]


@fault
@dataclass(frozen=True, slots=True)
class CutPodRoutes:
    """Make a worker's kernel say "unreachable" of the pod ranges of all other nodes, as where its routes are gone.

    It is a rule before the routing tables (ip-rule(8)), made from the host in the node's network namespace: a CNI agent
    that puts routes back (flannel's host-gw looks every ten seconds) would mend routes that were removed. The node
    stays Ready, and pods of one node still reach each other. Ranges are those of the Nodes (spec.podCIDRs): a CNI that
    gives out addresses of its own, and says nothing there, is refused.
    """

    kind: ClassVar[str] = "cut-pod-routes"
    counterpart: ClassVar[str] = "restore_pod_routes"
    needs: ClassVar[tuple[type, ...]] = (NodeNetwork,)
    uses: ClassVar[Uses] = Uses(capabilities=(Capability.NET_ADMIN,), tools=("ip",))
    node: str

    def plan(self, cluster: _Networked) -> CutPodRoutesPlan:
        ready_worker(cluster, self.node, "a cut could not be told apart")
        with cluster.api() as client:
            nodes: list[Any] = k8s.CoreV1Api(client).list_node().items
        ranges = tuple(r for n in nodes if n.metadata.name != self.node for r in n.spec.pod_cidrs or [])
        if not ranges:
            raise OrdealError(
                f"the Nodes of cluster {cluster.ref.name} beside {self.node} say no pod range (spec.podCIDRs), so "
                "nobody knows which routes to cut"
            )
        if _rules(cluster, self.node, ranges):
            raise OrdealError(f"{self.node} has a rule of preference {PREFERENCE} already: run `kube-ordeal undo`")
        return CutPodRoutesPlan(self.node, ranges)

    def apply(self, cluster: _Networked, saved: CutPodRoutesPlan) -> None:
        for each in saved.ranges:
            _ip(cluster, saved.node, each, "rule", "add", "pref", PREFERENCE, "to", each, "unreachable")

    def landed(self, cluster: _Networked, saved: CutPodRoutesPlan) -> bool:
        return CutPodRoutes.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Networked, saved: CutPodRoutesPlan) -> bool:
        """The kernel finds no way to any of the ranges."""
        asked = [_ip(cluster, saved.node, r, "route", "get", r.partition("/")[0], check=False) for r in saved.ranges]
        return all("unreachable" in answer.err for answer in asked)

    @staticmethod
    def undo(cluster: _Networked, saved: CutPodRoutesPlan) -> None:
        for each in saved.ranges:
            while _ip(cluster, saved.node, each, "rule", "del", "pref", PREFERENCE, check=False).code == 0:
                pass

    @staticmethod
    def undone(cluster: _Networked, saved: CutPodRoutesPlan) -> bool:
        return not _rules(cluster, saved.node, saved.ranges)


def _family(of_range: str) -> str:
    return "-6" if ":" in of_range else "-4"


def _ip(cluster: NodeNetwork, node: str, of_range: str, *argv: str, check: bool = True) -> Output:
    inside = cluster.in_network_of(node, ["ip", _family(of_range), *argv])
    return run(inside, timeout_s=15, check=check)


def _rules(cluster: NodeNetwork, node: str, ranges: Sequence[str]) -> str:
    """Our rules in the node's namespace, as the kernel has them."""
    shown = ("rule", "show", "pref", PREFERENCE)
    families = sorted({_family(each) for each in ranges})
    return "".join(run(cluster.in_network_of(node, ["ip", f, *shown]), timeout_s=15).out for f in families)
