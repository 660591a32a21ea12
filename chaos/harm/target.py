"""The node that a fault is meant for, looked at before any harm, and while it lasts."""

from collections.abc import Callable, Sequence

from chaos.clusters.abilities import OFF, ArmsNodes, NodeNetwork, NodePower
from chaos.clusters.base import Cluster, Node
from chaos.errors import OrdealError
from chaos.hosts import parts
from chaos.hosts.command import CommandError, Output, run

NOT_THERE = 125  # the exit code of what leads to a node and does not get there, as docker has it


def ready_worker(cluster: Cluster, name: str, so: str, *, or_control_plane: bool = False) -> Node:
    """The worker of that name. Raises OrdealError where it is not there, is a control plane, or is not Ready.

    `so` ends the sentence: what can't be done to it then. `or_control_plane`: one will do as well.
    """
    there = {n.name: n for n in cluster.nodes()}
    node = there.get(name)
    if node is None:
        workers = ", ".join(n.name for n in there.values() if not n.control_plane) or "none"
        raise OrdealError(f"there is no node {name} in cluster {cluster.ref.name}; its workers are: {workers}")
    if node.control_plane and not or_control_plane:
        raise OrdealError(f"node {name} is a control plane, so {so}: name a worker")
    if node.ready != "True":
        raise OrdealError(f"node {name} is not Ready before the fault (Ready is {node.ready}), so {so}")
    return node


def inside(cluster: NodeNetwork, node: str, argv: Sequence[str], *, check: bool) -> Output:
    """A program in a node's network. Raises CommandError where it fails and `check` says so, and always where it could
    not be started there: that says nothing of what was asked.
    """
    command = cluster.in_network_of(node, argv)
    said = run(command, timeout_s=15, check=check)
    if said.code == NOT_THERE:
        raise CommandError(command, "could not be started on the node", said.err)
    return said


def check_parts(cluster: object, *wanted: parts.Part) -> None:
    """Raise OrdealError where this machine lacks a part of the kernel, or a program, that is used in a node's network.
    An agent has its own, and the node's kernel.
    """
    if not isinstance(cluster, ArmsNodes):
        parts.check(*wanted)


def is_off(cluster: object, node: str) -> bool:
    """Whether a node has no power, where that can be asked; where it can't, nobody could have taken it away."""
    return isinstance(cluster, NodePower) and cluster.power_state(node) == OFF


def holds_or_off(cluster: object, node: str, holds: Callable[[], bool]) -> bool:
    """What `holds` says of a node, or true where it can't be asked since the node has no power: no packet comes through
    then, either. Raises what it raises of a node that has.
    """
    try:
        return holds()
    except OrdealError:
        if is_off(cluster, node):
            return True
        raise
