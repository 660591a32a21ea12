"""systemd units on a node: what eats handles or connects runs in one, and so is found and ended by its name."""

from chaos.clusters.abilities import NodeExec
from chaos.errors import OrdealError

FOR_S = 900  # what eats or connects ends by itself then, also where nobody undoes it
HANDLES_MOST = 15_000


def no_unit(cluster: NodeExec, node: str, unit: str) -> None:
    """Raises OrdealError where the node has no perl, or units of that name run there."""
    if cluster.node_exec(node, ["sh", "-c", "command -v perl"], check=False).code != 0:
        raise OrdealError(f"there is no perl on {node}, which this fault runs there: install it, or take another node")
    if unit_runs(cluster, node, f"{unit}*"):
        raise OrdealError(f"{unit} runs on {node} already: run `kube-ordeal undo` first")


def start_unit(cluster: NodeExec, node: str, unit: str, program: str, *arguments: object) -> None:
    """A transient unit, so that it is ended by its name from outside, and by itself after FOR_S."""
    properties = [f"--property=RuntimeMaxSec={FOR_S}", f"--property=LimitNOFILE={HANDLES_MOST + 100}"]
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", *properties]
    cluster.node_exec(node, [*argv, "perl", "-e", program, *map(str, arguments)])


def stop_unit(cluster: NodeExec, node: str, unit: str) -> None:
    """End it; safe to repeat."""
    cluster.node_exec(node, ["systemctl", "stop", f"{unit}.service"], check=False)


def unit_runs(cluster: NodeExec, node: str, unit: str) -> bool:
    """What systemd says; `unit` may be a pattern."""
    argv = ["systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating", f"{unit}.service"]
    return bool(cluster.node_exec(node, argv).out.strip())
