"""Whether a daemon is reached: it is asked from its own node for its health or metrics, where it listens for that."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

from kubernetes import client as k8s

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.subjects.handles.records import ANSWERS

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PORTS = {"kubelet": 10250, "kube-proxy": 10256, "coredns": 9153}  # each one's TCP port for health or metrics

# Whether somebody still takes connections there: any byte will do (a TLS port answers plain HTTP with an error; gRPC
# answers HTTP/2's preface and an empty SETTINGS frame, RFC 9113, section 3.4).
ASK = r"""
use IO::Socket::UNIX; use IO::Socket::INET;
$SIG{ALRM} = sub { exit 1 };
alarm 5;
my ($target) = @ARGV;
my ($class, $said, @to) = $target =~ m{^/}
    ? ('UNIX', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . pack('H18', '000000040000000000'), Peer => $target)
    : ('INET', "GET /healthz HTTP/1.0\r\n\r\n", PeerAddr => $target, Timeout => 4);
my $socket = "IO::Socket::$class"->new(@to) or exit 1;
syswrite($socket, $said);
exit(sysread($socket, my $heard, 16) ? 0 : 1);
"""


class _Asked(Cluster, NodeExec, Protocol): ...


def ask(cluster: _Asked, history: History, node: str, daemon: str, *, within_s: float) -> None:
    """Ask a daemon until it answers wherever it listens, or the time is over; each time is recorded. Raises OrdealError
    where nobody knows where it listens.
    """
    subject, targets = f"{node}/{daemon}", tuple(targets_of(cluster, node, daemon))

    def all_answer() -> bool:
        answered = all(answers(cluster, node, target) for target in targets)
        history.add(Sample(history.now(), ANSWERS, subject, float(answered)))
        return answered

    with suppress(WaitedInVainError):
        eventually(all_answer, within_s=within_s, what=f"{daemon} on {node} to take connections", every_s=0.5)


def targets_of(cluster: _Asked, node: str, daemon: str) -> Iterator[str]:
    """Where connections to a daemon of the node go; CoreDNS may have several pods there."""
    if daemon == "containerd":
        yield CONTAINERD_SOCKET
    elif daemon == "coredns":
        with cluster.api() as client:
            pods: Any = k8s.CoreV1Api(client).list_namespaced_pod(
                "kube-system", label_selector="k8s-app=kube-dns", field_selector=f"spec.nodeName={node}"
            )
        addresses = [pod.status.pod_ip for pod in pods.items if pod.status.pod_ip]
        if not addresses:
            raise OrdealError(f"no CoreDNS pod of {node} has an address: wait until it runs")
        yield from (f"{address}:{PORTS[daemon]}" for address in addresses)
    else:
        address = next(n.address for n in cluster.nodes() if n.name == node)
        yield f"{address}:{PORTS[daemon]}"


def answers(cluster: NodeExec, node: str, target: str) -> bool:
    """Whether somebody takes a connection there, asked from the node itself, and says something: not its backlog."""
    return cluster.node_exec(node, ["perl", "-e", ASK, target], timeout_s=20, check=False).code == 0
