"""What a cluster is, whatever it is called and by whichever way it is reached: compared before harm and before undo.

A name says little: another machine has a kind cluster of the same name, and a kubeconfig's current context is another
one tomorrow. So the journal keeps what only one cluster can be.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from chaos.errors import OrdealError


class OtherClusterError(OrdealError):
    """The cluster that is reached is not the one that is meant."""


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """A node: its name, the machine id that its Node says, and the id of its container where it is one of ours here."""

    name: str
    machine: str = ""
    container: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a cluster from every other one. An empty string could not be read, or is not there.

    `uid`: that of the namespace kube-system, which lives as long as the cluster. `ca`: SHA-256 of the certificate
    authorities that the kubeconfig trusts. `engine`: the container engine's own id, where the nodes are its containers.
    `home`: the SHA-256 of the authorities in the folder of a cluster that was simulated here. `server`: the API
    server's URL, which only tells people where it was.
    """

    uid: str = ""
    ca: str = ""
    server: str = ""
    engine: str = ""
    home: str = ""
    nodes: tuple[NodeIdentity, ...] = ()

    def narrowed(self, nodes: Collection[str]) -> "Identity":
        """The same without the nodes that are neither containers here nor among those: a cluster may have thousands."""
        return replace(self, nodes=tuple(n for n in self.nodes if n.container or n.name in nodes))


def require_same(was: Identity, now: Identity, name: str, nodes: Collection[str], *, certain: bool) -> None:
    """Raise OtherClusterError unless `now` is what `was` is; `nodes` are those that something is to be done to.

    What can't be read now (the API server is away, a node was removed) is not compared. Where nothing at all is left to
    compare, nobody can say that it is the same: `certain` refuses that too.
    """
    if differs := next(_differences(was, now, nodes), ""):
        raise OtherClusterError(f"the cluster {name} is not the one that is meant: {differs}")
    if certain and not _compared(was, now):
        raise OtherClusterError(
            f"nobody can say whether the cluster {name} is the one that is meant: neither its API server"
            f"{f' at {now.server}' if now.server else ''} nor its nodes answer"
        )


def _differences(was: Identity, now: Identity, nodes: Collection[str]) -> Iterator[str]:
    for what, before, after in (
        ("the container engine", was.engine, now.engine),
        ("the UID of the namespace kube-system", was.uid, now.uid),
        ("the SHA-256 of its certificate authority", was.ca, now.ca),
        ("the SHA-256 of the certificate authority in its folder", was.home, now.home),
    ):
        if before and after and before != after:
            yield f"{what} was {before}, and is {after}{f' at {now.server}' if now.server else ''}"
    there = {node.name: node for node in now.nodes}
    for node in was.nodes:
        found = there.get(node.name)
        if found is None:
            continue
        if node.container and found.container:
            if node.container != found.container:
                yield f"the node {node.name} was the container {node.container[:12]}, and is {found.container[:12]}"
        elif node.name in nodes and node.machine and found.machine and node.machine != found.machine:
            yield f"the node {node.name} was the machine {node.machine}, and is {found.machine}"


def _compared(was: Identity, now: Identity) -> bool:
    """Whether the cluster, or the host beneath it, was asked both then and now; a CA alone is what a file says."""
    containers = {node.name for node in was.nodes if node.container} & {n.name for n in now.nodes if n.container}
    return bool((was.uid and now.uid) or (was.home and now.home) or containers)


def named_in(saved: object, nodes: Collection[str]) -> frozenset[str]:
    """The nodes whose names are values, or keys, in what a fault has saved for its undo."""
    if isinstance(saved, str):
        return frozenset({saved} & set(nodes))
    inside = [*saved, *saved.values()] if isinstance(saved, dict) else saved if isinstance(saved, list | tuple) else ()
    return frozenset().union(*(named_in(each, nodes) for each in inside))
