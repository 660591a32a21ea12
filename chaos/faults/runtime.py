"""Faults of a node's container runtime: it stands still."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from chaos.clusters.base import Cluster, NodeExec
from chaos.errors import OrdealError
from chaos.faults.base import fault
from chaos.faults.target import ready_worker
from chaos.journal import Saved

UNIT = "containerd"
_GONE, _STOPPED = "", "T"


class _Node(Cluster, NodeExec, Protocol): ...


@fault
@dataclass(frozen=True, slots=True)
class StallRuntime:
    """Stop containerd with SIGSTOP, so that it takes connections and answers none; undo lets it go on."""

    kind: ClassVar[str] = "stall-runtime"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    node: str

    def plan(self, cluster: _Node) -> Saved:
        ready_worker(cluster, self.node, "its runtime can't be stalled")
        shown = cluster.node_exec(self.node, ["systemctl", "show", "--property", "MainPID", "--value", UNIT])
        pid = int(shown.out.strip() or "0")
        state, started = _state(cluster, self.node, pid)
        if state in {_GONE, _STOPPED}:
            how = "does not run" if state == _GONE else "stands still already"
            raise OrdealError(f"{UNIT} on {self.node} {how}: run `kube-ordeal undo` first")
        return {"node": self.node, "pid": pid, "started": started}

    def apply(self, cluster: _Node, saved: Saved) -> None:
        cluster.node_exec(str(saved["node"]), ["kill", "-STOP", str(saved["pid"])])

    def landed(self, cluster: _Node, saved: Saved) -> bool:
        return _now(cluster, saved) == _STOPPED

    @staticmethod
    def undo(cluster: _Node, saved: Saved) -> None:
        if _now(cluster, saved) == _STOPPED:
            cluster.node_exec(str(saved["node"]), ["kill", "-CONT", str(saved["pid"])])

    @staticmethod
    def undone(cluster: _Node, saved: Saved) -> bool:
        return _now(cluster, saved) != _STOPPED


def _now(cluster: NodeExec, saved: Saved) -> str:
    """The state of the very process that was seen; empty where it is gone, and its number perhaps another's."""
    pid = saved["pid"]
    assert isinstance(pid, int)
    state, started = _state(cluster, str(saved["node"]), pid)
    return state if started == saved["started"] else _GONE


def _state(cluster: NodeExec, node: str, pid: int) -> tuple[str, str]:
    """A process's state and the time of its start, in clock ticks since boot (proc(5), /proc/PID/stat)."""
    said = cluster.node_exec(node, ["cat", f"/proc/{pid}/stat"], check=False)
    if said.code != 0:
        return _GONE, ""
    fields = said.out.rpartition(")")[2].split()  # after the name, which may hold blanks
    return fields[0], fields[19]
