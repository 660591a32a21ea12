"""Kubelets that know the API server by its IP address, as those of the post-mortem did, and not by a name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import NodeExec, NodeNetwork
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Uses

CONF = "/etc/kubernetes/kubelet.conf"
PORT = 6443
_SERVER = re.compile(r"^\s*server: (\S+)\s*$", re.MULTILINE)


class _Reachable(Cluster, NodeExec, NodeNetwork, Protocol): ...


class PinKubeletsPlan(msgspec.Struct, frozen=True):
    """By node: the server's URL that its kubelet had, and its kubelet's pid; `pinned`: the URL that all get."""

    servers: Mapping[str, str]
    processes: Mapping[str, str]
    pinned: str


@fault
@dataclass(frozen=True, slots=True)
class PinKubelets:
    """Let the kubelets of `nodes` know the API server by the address that it has now; undo gives them the name back.

    It has landed when each kubelet's configuration says so and another kubelet process than before runs.
    """

    kind: ClassVar[str] = "pin-kubelets"
    counterpart: ClassVar[str] = "unpin_kubelets"
    needs: ClassVar[tuple[type, ...]] = (NodeExec, NodeNetwork)
    uses: ClassVar[Uses] = Uses(programs=("systemctl",), labels=True)
    nodes: tuple[str, ...]

    def plan(self, cluster: _Reachable) -> PinKubeletsPlan:
        planes = [n.name for n in cluster.nodes() if n.control_plane]
        if len(planes) != 1:
            raise OrdealError(
                f"cluster {cluster.ref.name} has {len(planes)} control planes; kubelets are pinned to one"
            )
        for node in self.nodes:
            ready_worker(cluster, node, "its kubelet is not pinned")
        servers = {node: _server(cluster, node) for node in self.nodes}
        processes = {node: _process(cluster, node) for node in self.nodes}
        address = cluster.addresses(planes[0])[0]
        return PinKubeletsPlan(servers, processes, f"https://{address}:{PORT}")

    def apply(self, cluster: _Reachable, saved: PinKubeletsPlan) -> None:
        for node in saved.servers:
            _point(cluster, node, saved.pinned)

    def landed(self, cluster: _Reachable, saved: PinKubeletsPlan) -> bool:
        return all(
            _server(cluster, node) == saved.pinned and _process(cluster, node) not in {"", "0", before}
            for node, before in saved.processes.items()
        )

    @staticmethod
    def lasts(cluster: _Reachable, saved: PinKubeletsPlan) -> bool:
        return all(_server(cluster, node) == saved.pinned for node in saved.servers)

    @staticmethod
    def undo(cluster: _Reachable, saved: PinKubeletsPlan) -> None:
        for node, server in saved.servers.items():
            if _server(cluster, node) != server:
                _point(cluster, node, server)

    @staticmethod
    def undone(cluster: _Reachable, saved: PinKubeletsPlan) -> bool:
        return all(_server(cluster, node) == server for node, server in saved.servers.items())


def _server(cluster: NodeExec, node: str) -> str:
    found = _SERVER.search(cluster.node_exec(node, ["cat", CONF]).out)
    if found is None:
        raise OrdealError(f"{CONF} on node {node} names no server, so its kubelet can't be pinned")
    return found[1]


def _point(cluster: NodeExec, node: str, server: str) -> None:
    script = f"sed -i 's#server: .*#server: {server}#' {CONF}; systemctl restart kubelet"
    cluster.node_exec(node, ["sh", "-ec", script])


def _process(cluster: NodeExec, node: str) -> str:
    return cluster.node_exec(node, ["systemctl", "show", "--property", "MainPID", "--value", "kubelet"]).out.strip()
