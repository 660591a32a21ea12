"""A storm of connections: sockets are left in TIME_WAIT on a node."""

import ipaddress
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Uses
from chaos.subjects.handles.units import no_unit, start_unit, stop_unit, unit_runs

CONNECTIONS_MOST = 28_000  # a range of ephemeral ports has 28,232
STORM = "kube-ordeal-socket-storm"  # a systemd unit on the node

# Makes so many connections one after the other and ends each itself, so that its port stays in TIME_WAIT for 60 s.
STORMING = r"""
use IO::Socket::INET;
my ($target, $count) = @ARGV;
my $made = 0;
my $end = time + 60;
while ($made < $count && time < $end) {
    my $socket = IO::Socket::INET->new(PeerAddr => $target, Timeout => 2);
    if ($socket) { close $socket; $made++; } else { select undef, undef, undef, 0.05; }
}
sleep 600;
"""


class _Reached(Cluster, NodeExec, Protocol): ...


class SocketStormPlan(msgspec.Struct, frozen=True):
    """`opens`: how many connections were ever opened from the node's own network."""

    node: str
    opens: int


@fault
@dataclass(frozen=True, slots=True)
class SocketStorm:
    """Make so many short connections from a node to `target`, "ADDRESS:PORT" of a pod or a node of this cluster.

    Each leaves its port in the node's network in TIME_WAIT. It has landed when the kernel counts them. Undo ends what
    connects; the sockets go by themselves after 60 s (TCP_TIMEWAIT_LEN in include/net/tcp.h).
    """

    kind: ClassVar[str] = "socket-storm"
    counterpart: ClassVar[str] = "end_socket_storm"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(programs=("perl", "systemctl", "systemd-run"))
    node: str
    target: str
    connections: int = 3000

    def plan(self, cluster: _Reached) -> SocketStormPlan:
        ready_worker(cluster, self.node, "there is no storm there")
        if not 1 <= self.connections <= CONNECTIONS_MOST:
            raise OrdealError(f"a storm can have 1 to {CONNECTIONS_MOST} connections, not {self.connections}")
        address, _, port = self.target.rpartition(":")
        if not port.isdigit() or not _is_address(address):
            raise OrdealError(f"the storm's target is {self.target!r}; it must be ADDRESS:PORT, such as 10.244.1.2:80")
        if address not in _own_addresses(cluster):
            raise OrdealError(f"{address} is no address of a pod or node of {cluster.ref.name}: a storm stays inside")
        no_unit(cluster, self.node, STORM)
        most = int(cluster.node_exec(self.node, ["cat", "/proc/sys/net/ipv4/tcp_max_tw_buckets"]).out)
        if most < self.connections:
            raise OrdealError(
                f"the kernel of {self.node} keeps at most {most} sockets in TIME_WAIT (net.ipv4.tcp_max_tw_buckets), "
                f"fewer than {self.connections}: ask for fewer connections"
            )
        return SocketStormPlan(self.node, _active_opens(cluster, self.node))

    def apply(self, cluster: _Reached, saved: SocketStormPlan) -> None:
        start_unit(cluster, self.node, STORM, STORMING, self.target, self.connections)

    def landed(self, cluster: _Reached, saved: SocketStormPlan) -> bool:
        """The kernel has opened as many connections since, and at least nine in ten are in TIME_WAIT at once."""
        opened = _active_opens(cluster, self.node) - saved.opens
        return opened >= self.connections and _time_wait(cluster, self.node) >= 0.9 * self.connections

    @staticmethod
    def lasts(cluster: _Reached, saved: SocketStormPlan) -> None:
        """Nobody looks: the sockets go by themselves."""

    @staticmethod
    def undo(cluster: _Reached, saved: SocketStormPlan) -> None:
        stop_unit(cluster, saved.node, STORM)

    @staticmethod
    def undone(cluster: _Reached, saved: SocketStormPlan) -> bool:
        return not unit_runs(cluster, saved.node, STORM)


def _own_addresses(cluster: _Reached) -> set[str]:
    with cluster.api() as client:
        pods: Any = k8s.CoreV1Api(client).list_pod_for_all_namespaces().items
    return {n.address for n in cluster.nodes()} | {pod.status.pod_ip for pod in pods if pod.status.pod_ip}


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _time_wait(cluster: NodeExec, node: str) -> int:
    said = cluster.node_exec(node, ["sed", "-n", r"s/^TCP:.* tw \([0-9]*\) .*/\1/p", "/proc/net/sockstat"]).out.strip()
    return int(said or 0)


def _active_opens(cluster: NodeExec, node: str) -> int:
    """Connections that were ever opened from the node's own network (Tcp: ActiveOpens in /proc/net/snmp)."""
    names, values = cluster.node_exec(node, ["grep", "^Tcp:", "/proc/net/snmp"]).out.strip().splitlines()
    return int(dict(zip(names.split(), values.split(), strict=True))["ActiveOpens"])
