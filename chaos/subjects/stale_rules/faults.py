"""A chain that an earlier kube-proxy left over, and the way in which kube-proxy writes rules."""

import re
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from kubernetes import client as k8s

from chaos.clusters.abilities import NodeExec, NodeNetwork, RunsContainers
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.kube_proxy import NAME, NAMESPACE, PREFIX, all_ready, command_of, is_mounted, mount, unmount
from chaos.harm.target import ready_worker
from chaos.harm.uses import Capability, Uses
from chaos.subjects.stale_rules.asking import OnNode, ask

XLB, SEP = "KUBE-XLB-", "KUBE-SEP-"  # chains of kube-proxy; the first one until 1.23, and unknown to it since 1.28
CONFIG, MODE = "config.conf", re.compile(r"^mode: .*$", re.MULTILINE)  # of kube-proxy's ConfigMap, as kubeadm writes it
MODES = ("iptables", "nftables")
VOLUME, AT = "kube-ordeal-config", "/kube-ordeal/config.conf"  # in kube-proxy's container
WITHIN_S = 30.0
WELL = 200


class LeaveChainPlan(msgspec.Struct, frozen=True):
    """The chain that is left over and the endpoint's chain that it jumps to; `made`: whether that one is ours, too."""

    node: str
    chain: str
    to: str
    made: bool


@fault
@dataclass(frozen=True, slots=True)
class LeaveChain:
    """Leave a chain on a worker as a kube-proxy of 1.23 did that was upgraded past 1.27: it jumps to the chain of an
    endpoint, the one with that IPv4 `address`, and no kube-proxy knows it. An endpoint's chain can't be deleted then,
    and iptables-restore does nothing of what it was told. Where kube-proxy has no such chains, one is left over, too.
    """

    kind: ClassVar[str] = "leave-chain"
    counterpart: ClassVar[str] = "remove_chain"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(
        capabilities=(Capability.NET_ADMIN, Capability.NET_RAW),
        modules=(("nf_tables", "ip_tables"),),
        programs=("iptables", "iptables-save"),
    )
    node: str
    address: str

    def plan(self, cluster: OnNode) -> LeaveChainPlan:
        ready_worker(cluster, self.node, "no chain is left on it")
        saved = cluster.node_exec(self.node, ["iptables-save", "-t", "nat"], timeout_s=WITHIN_S).out
        if XLB in saved:
            raise OrdealError(f"there is a chain {XLB}... on {self.node} already: run `kube-ordeal undo` first")
        found = re.search(rf"^-A ({SEP}\S+) .*--to-destination {re.escape(self.address)}:", saved, re.MULTILINE)
        number = uuid.uuid4().hex[:16].upper()
        to = found.group(1) if found else f"{SEP}{number}"
        return LeaveChainPlan(self.node, f"{XLB}{number}", to, made=found is None)

    def apply(self, cluster: OnNode, saved: LeaveChainPlan) -> None:
        first = f"iptables -w -t nat -N {saved.to}; " if saved.made else ""
        script = f"{first}iptables -w -t nat -N {saved.chain}; iptables -w -t nat -A {saved.chain} -j {saved.to}"
        cluster.node_exec(saved.node, ["sh", "-ec", script], timeout_s=WITHIN_S)

    def landed(self, cluster: OnNode, saved: LeaveChainPlan) -> bool:
        """The node's kernel has the jump."""
        return LeaveChain.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: OnNode, saved: LeaveChainPlan) -> bool:
        argv = ["iptables", "-w", "-t", "nat", "-C", saved.chain, "-j", saved.to]
        return cluster.node_exec(saved.node, argv, check=False, timeout_s=WITHIN_S).code == 0

    @staticmethod
    def undo(cluster: OnNode, saved: LeaveChainPlan) -> None:
        for chain in (saved.chain, *((saved.to,) if saved.made else ())):
            if _there(cluster, saved.node, chain):
                script = f"iptables -w -t nat -F {chain}; iptables -w -t nat -X {chain}"
                cluster.node_exec(saved.node, ["sh", "-ec", script], timeout_s=WITHIN_S)

    @staticmethod
    def undone(cluster: OnNode, saved: LeaveChainPlan) -> bool:
        ours = (saved.chain, *((saved.to,) if saved.made else ()))
        return not any(_there(cluster, saved.node, chain) for chain in ours)


def _there(cluster: NodeExec, node: str, chain: str) -> bool:
    """Whether the node has the chain. Raises CommandError where that can't be asked."""
    saved = cluster.node_exec(node, ["iptables-save", "-t", "nat"], timeout_s=WITHIN_S).out
    return f"\n:{chain} " in saved


class SetProxyModePlan(msgspec.Struct, frozen=True):
    """The nodes, the mode that kube-proxy is to have, and what it had; `put`: the file with what it is told then, on
    each node, and `config`: the argument that names the one it had.
    """

    nodes: tuple[str, ...]
    mode: str
    was: str
    put: str
    config: str


@fault
@dataclass(frozen=True, slots=True)
class SetProxyMode:
    """Let every kube-proxy write its rules another way (one of MODES), and start it anew: it is given another file than
    its ConfigMap's. Undo gives it that one again.
    """

    kind: ClassVar[str] = "set-proxy-mode"
    counterpart: ClassVar[str] = "restore_proxy_mode"
    needs: ClassVar[tuple[type, ...]] = (RunsContainers, NodeExec, NodeNetwork)
    uses: ClassVar[Uses] = Uses(labels=True)
    mode: str

    def plan(self, cluster: OnNode) -> SetProxyModePlan:
        if self.mode not in MODES:
            raise OrdealError(f"there is no mode {self.mode!r}; there are: {', '.join(MODES)}")
        if is_mounted(cluster, VOLUME):
            raise OrdealError("kube-proxy is told another mode already: run `kube-ordeal undo` first")
        was = MODE.search(_config(cluster))
        config = next((each for each in command_of(cluster) if each.startswith("--config=")), None)
        if was is None or config is None:
            raise OrdealError(f"the ConfigMap {NAME} does not say which mode kube-proxy has")
        nodes = tuple(node.name for node in cluster.nodes())
        put = f"{PREFIX}{uuid.uuid4().hex[:8]}.conf"
        return SetProxyModePlan(nodes, self.mode, was.group().partition(": ")[2].strip('"') or MODES[0], put, config)

    def apply(self, cluster: OnNode, saved: SetProxyModePlan) -> None:
        text = MODE.sub(f"mode: {saved.mode}", _config(cluster))
        for node in saved.nodes:
            cluster.node_exec(node, ["sh", "-ec", f"cat > {saved.put}"], timeout_s=WITHIN_S, stdin=text)
        mount(cluster, VOLUME, saved.put, AT, {saved.config: f"--config={AT}"})

    def landed(self, cluster: OnNode, saved: SetProxyModePlan) -> bool:
        """Each kube-proxy says so, and that it is well."""
        return _have(cluster, saved, saved.mode)

    @staticmethod
    def lasts(cluster: OnNode, saved: SetProxyModePlan) -> bool:
        return is_mounted(cluster, VOLUME)

    @staticmethod
    def undo(cluster: OnNode, saved: SetProxyModePlan) -> None:
        unmount(cluster, VOLUME, {f"--config={AT}": saved.config})

    @staticmethod
    def undone(cluster: OnNode, saved: SetProxyModePlan) -> bool:
        """Each says that it has its own again; then nobody needs the file."""
        if is_mounted(cluster, VOLUME) or not _have(cluster, saved, saved.was):
            return False
        for node in saved.nodes:
            cluster.node_exec(node, ["rm", "-f", saved.put])
        return True


def _config(cluster: Cluster) -> str:
    with cluster.api() as client:
        found: Any = k8s.CoreV1Api(client).read_namespaced_config_map(NAME, NAMESPACE)
    return str((found.data or {}).get(CONFIG, ""))


def _have(cluster: OnNode, saved: SetProxyModePlan, mode: str) -> bool:
    if not all_ready(cluster):
        return False
    said = [ask(cluster, node) for node in saved.nodes]
    return all(each.mode == mode and each.health == WELL for each in said)
