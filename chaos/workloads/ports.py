"""Ports in the nodes' own network, which a workload there shares with the node's daemons."""

from collections.abc import Iterable

from chaos.clusters.abilities import NodeNetwork
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.hosts.command import run

LOOK_TIMEOUT_S = 10.0


def check_free(cluster: Cluster, nodes: Iterable[str], ports: Iterable[int], what: str) -> None:
    """Raises OrdealError where something listens on one of these TCP ports of a node, which `what` needs.

    Where the cluster lets nothing look into its nodes' network, what does not start says so itself.
    """
    if not isinstance(cluster, NodeNetwork):
        return
    wanted = set(ports)
    for node in nodes:
        listening = run(cluster.in_network_of(node, ["ss", "-Hltn"]), timeout_s=LOOK_TIMEOUT_S).out
        taken = sorted(wanted & listened_on(listening))
        if taken:
            raise OrdealError(
                f"port {taken[0]} of node {node} is taken already, and {what} needs it: end what listens there "
                f"(`ss -ltnp` on the node says what it is)"
            )


def listened_on(said: str) -> set[int]:
    """The ports in what `ss -Hltn` prints: state, two queues, the local address with its port, the peer's."""
    columns = [line.split() for line in said.splitlines()]
    return {int(found[3].rpartition(":")[2]) for found in columns if len(found) > 3}
