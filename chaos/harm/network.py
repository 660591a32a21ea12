"""Faults of the network between nodes, made and undone in the node's network namespace from the host."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import NodeNetwork
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import check_parts, holds_or_off, inside, is_off
from chaos.harm.uses import Capability, Uses
from chaos.hosts import parts
from chaos.hosts.command import run
from chaos.record.leases import lease_ages

CHAIN = "KUBE-ORDEAL-CUT"
HOOKS = ("INPUT", "OUTPUT", "FORWARD")
# The kubelet renews after a quarter of the lease's duration (nodeLeaseRenewIntervalFraction in
# pkg/kubelet/kubelet.go); a lease older than a little more than two renewals was not renewed.
STALE_AFTER_FRACTION = 0.6


class _Networked(Cluster, NodeNetwork, Protocol): ...


class CutOffPlan(msgspec.Struct, frozen=True):
    """`addresses`: of the peers, IPv4 and IPv6."""

    nodes: tuple[str, ...]
    addresses: tuple[str, ...]


@fault
@dataclass(frozen=True, slots=True)
class CutOff:
    """Drop all traffic, IPv4 and IPv6, between `nodes` and `peers` (such as the control plane), both ways.

    The peers' other traffic and that between the nodes goes on. It has landed when the rules are in the kernel and
    the nodes' leases have gone stale: a kubelet that found another way would have renewed its own.
    """

    kind: ClassVar[str] = "cut-off"
    counterpart: ClassVar[str] = "reconnect"
    needs: ClassVar[tuple[type, ...]] = (NodeNetwork,)
    uses: ClassVar[Uses] = Uses(
        capabilities=(Capability.NET_ADMIN, Capability.NET_RAW),
        modules=(("nf_tables", "ip_tables"),),
        tools=("iptables", "ip6tables"),
    )
    nodes: tuple[str, ...]
    peers: tuple[str, ...]

    def plan(self, cluster: _Networked) -> CutOffPlan:
        check_parts(cluster, parts.FIREWALL)
        known = {n.name: n for n in cluster.nodes()}
        for name in (*self.nodes, *self.peers):
            if name not in known:
                raise OrdealError(f"there is no node {name} in cluster {cluster.ref.name} to cut off")
        for name in self.nodes:
            if known[name].ready != "True":
                raise OrdealError(f"node {name} is not Ready before the fault, so a cut could not be told apart")
        return CutOffPlan(self.nodes, tuple(a for peer in self.peers for a in cluster.addresses(peer)))

    def apply(self, cluster: _Networked, saved: CutOffPlan) -> None:
        for node in saved.nodes:
            for program, of_family in _families(saved.addresses):
                _iptables(cluster, node, program, "-N", CHAIN)
                for address in of_family:
                    _iptables(cluster, node, program, "-A", CHAIN, "-s", address, "-j", "DROP")
                    _iptables(cluster, node, program, "-A", CHAIN, "-d", address, "-j", "DROP")
                for hook in HOOKS:
                    _iptables(cluster, node, program, "-I", hook, "1", "-j", CHAIN)

    def landed(self, cluster: _Networked, saved: CutOffPlan) -> bool:
        return all(_rules(cluster, node) for node in saved.nodes) and _is_stale(cluster, saved.nodes)

    @staticmethod
    def lasts(cluster: _Networked, saved: CutOffPlan) -> bool:
        """The rules, and the ways into them. A node without power is cut off, too."""
        return all(holds_or_off(cluster, node, partial(_is_cut, cluster, node, saved)) for node in saved.nodes)

    @staticmethod
    def undo(cluster: _Networked, saved: CutOffPlan) -> None:
        for node in saved.nodes:
            if is_off(cluster, node):
                continue  # its namespace, and the rules in it, went with its power
            for program in ("iptables", "ip6tables"):
                for hook in HOOKS:
                    while _iptables(cluster, node, program, "-D", hook, "-j", CHAIN, check=False):
                        pass
                _iptables(cluster, node, program, "-F", CHAIN, check=False)
                _iptables(cluster, node, program, "-X", CHAIN, check=False)

    @staticmethod
    def undone(cluster: _Networked, saved: CutOffPlan) -> bool:
        return not any(not is_off(cluster, node) and _rules(cluster, node) for node in saved.nodes)


def _iptables(cluster: NodeNetwork, node: str, program: str, *rule: str, check: bool = True) -> bool:
    return inside(cluster, node, [program, "-w", "5", *rule], check=check).code == 0


def _is_cut(cluster: NodeNetwork, node: str, saved: CutOffPlan) -> bool:
    """In one command, since it is asked each second."""
    programs = [program for program, _ in _families(saved.addresses)]
    argv = cluster.in_network_of(node, ["sh", "-ec", "; ".join(f"{program} -w 5 -S" for program in programs)])
    rules = run(argv, timeout_s=15).out.splitlines()
    drops = [rule for rule in rules if rule.startswith(f"-A {CHAIN} ") and rule.endswith("-j DROP")]
    ways_in = [rules.count(f"-A {hook} -j {CHAIN}") for hook in HOOKS]
    return len(drops) == 2 * len(saved.addresses) and ways_in == [len(programs)] * len(HOOKS)


def _rules(cluster: NodeNetwork, node: str) -> bool:
    """Whether the kernel has our chain in this node's namespace, in either family."""
    programs = ("iptables", "ip6tables")
    return any(_iptables(cluster, node, program, "-S", CHAIN, check=False) for program in programs)


def _is_stale(cluster: Cluster, nodes: Sequence[str]) -> bool:
    """Whether no node has renewed its lease for a while."""
    with cluster.api() as client:
        ages = lease_ages(client)
    for node in nodes:
        if node not in ages:
            raise OrdealError(f"the lease of node {node} was never renewed")
    return all(ages[node].at_least_s > STALE_AFTER_FRACTION * ages[node].duration_s for node in nodes)


def _families(addresses: Sequence[str]) -> list[tuple[str, list[str]]]:
    v4, v6 = [a for a in addresses if ":" not in a], [a for a in addresses if ":" in a]
    return [(program, some) for program, some in (("iptables", v4), ("ip6tables", v6)) if some]
