"""The workers that a replay can use: on a cluster that somebody else made not every node is."""

from chaos.clusters.abilities import is_reached
from chaos.clusters.base import EXISTING, Cluster, Node
from chaos.run.stage import LacksAbilityError


def fit_workers(cluster: Cluster, least: int = 1) -> tuple[Node, ...]:
    """Those that are Ready, take pods without a toleration, and may be harmed, by name. Of a cluster that was made here
    all are meant, and one that is not Ready is for promises to judge.

    Raises LacksAbilityError where there are fewer than `least`, with what is the matter with each other one.
    """
    workers = sorted((each for each in cluster.nodes() if not each.control_plane), key=lambda each: each.name)
    unfit = {each.name: why for each in workers if (why := why_unfit(cluster, each))}
    found = tuple(each for each in workers if each.name not in unfit)
    if len(found) < least:
        others = "; ".join(f"{name} {why}" for name, why in unfit.items()) or "there is no other worker"
        raise LacksAbilityError(
            f"it needs {least} workers that are Ready, take pods and may be harmed; there are {len(found)}: {others}"
        )
    return found


def fit_nodes(cluster: Cluster) -> tuple[Node, ...]:
    """Those by which a replay judges the cluster: all but what it sets aside."""
    return tuple(each for each in cluster.nodes() if not _why_aside(cluster, each))


def require_nodes(cluster: Cluster, least: int) -> None:
    """Raises LacksAbilityError where the cluster is judged by fewer nodes, with what is the matter with the others."""
    if (number := len(fit_nodes(cluster))) < least:
        others = "; ".join(f"{name} {why}" for name, why in set_aside(cluster).items()) or "there is no other node"
        raise LacksAbilityError(f"it needs {least} nodes that are Ready and in use; there are {number}: {others}")


def set_aside(cluster: Cluster) -> dict[str, str]:
    """The nodes of somebody else's cluster that replays do without, each with why: the workers that are not fit, and a
    control plane that is not Ready. Of a cluster that was made here none is.
    """
    if cluster.ref.kind != EXISTING:  # nor is it asked for its nodes
        return {}
    return {each.name: why for each in cluster.nodes() if (why := _why_aside(cluster, each))}


def why_unfit(cluster: Cluster, node: Node) -> str:
    """Why a replay can't use a node, as the end of a sentence that begins with its name; "" where it can."""
    if cluster.ref.kind != EXISTING:
        return ""
    if node.ready != "True":
        return f"is not Ready (Ready is {node.ready})"
    if node.closed_by:
        return f"has the taint {node.closed_by[0]}"
    if not is_reached(cluster, node.name):
        return "has no node agent: the guard does not allow it to be harmed"
    return ""


def _why_aside(cluster: Cluster, node: Node) -> str:
    """Of a control plane only whether it is Ready counts: its pods are its own, and its API says what it is."""
    return "" if node.control_plane and node.ready == "True" else why_unfit(cluster, node)
