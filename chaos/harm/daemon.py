"""A daemon of a node that stands still."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Capability, Uses

DAEMONS = ("containerd", "kube-proxy")
GONE, STOPPED = "", "T"  # what process_state and state_now say
# "gone" is said only where the kernel has no such process, also where it ended after it was asked for.
_STAT = 'cat "/proc/$1/stat" 2>/dev/null || { [ ! -e "/proc/$1/stat" ] && echo gone; }'


class _Node(Cluster, NodeExec, Protocol): ...


class StopDaemonPlan(msgspec.Struct, frozen=True):
    """The daemon's process; `started`: in clock ticks since boot."""

    node: str
    daemon: str
    pid: int
    started: str


@fault
@dataclass(frozen=True, slots=True)
class StopDaemon:
    """Stop a worker's daemon (one of DAEMONS) with SIGSTOP: it is there, and does nothing. Undo lets it go on."""

    kind: ClassVar[str] = "stop-daemon"
    counterpart: ClassVar[str] = "resume_daemon"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(capabilities=(Capability.KILL,), programs=("kill", "pidof"))
    node: str
    daemon: str

    def plan(self, cluster: _Node) -> StopDaemonPlan:
        if self.daemon not in DAEMONS:
            raise OrdealError(f"the daemon {self.daemon!r} can't be stopped; there are: {', '.join(DAEMONS)}")
        ready_worker(cluster, self.node, f"its {self.daemon} is not stopped")
        pids = cluster.node_exec(self.node, ["pidof", "-s", self.daemon], check=False).out.split()
        state, started = process_state(cluster, self.node, int(pids[0])) if pids else (GONE, "")
        if state in {GONE, STOPPED}:
            how = "does not run" if state == GONE else "stands still already"
            raise OrdealError(f"{self.daemon} on {self.node} {how}: run `kube-ordeal undo`, or name another node")
        return StopDaemonPlan(self.node, self.daemon, int(pids[0]), started)

    def apply(self, cluster: _Node, saved: StopDaemonPlan) -> None:
        cluster.node_exec(saved.node, ["kill", "-STOP", str(saved.pid)])

    def landed(self, cluster: _Node, saved: StopDaemonPlan) -> bool:
        return StopDaemon.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Node, saved: StopDaemonPlan) -> bool:
        """The kernel says that it is stopped."""
        return state_now(cluster, saved.node, saved.pid, saved.started) == STOPPED

    @staticmethod
    def undo(cluster: _Node, saved: StopDaemonPlan) -> None:
        if state_now(cluster, saved.node, saved.pid, saved.started) == STOPPED:
            cluster.node_exec(saved.node, ["kill", "-CONT", str(saved.pid)])

    @staticmethod
    def undone(cluster: _Node, saved: StopDaemonPlan) -> bool:
        return state_now(cluster, saved.node, saved.pid, saved.started) != STOPPED


def state_now(cluster: NodeExec, node: str, pid: int, started: str) -> str:
    """The state of the very process that was started then; GONE where it is, and its number perhaps another's.

    Raises CommandError where the node does not answer.
    """
    state, since = process_state(cluster, node, pid)
    return state if since == started else GONE


def process_state(cluster: NodeExec, node: str, pid: int) -> tuple[str, str]:
    """A process's state and the time of its start, in clock ticks since boot (proc(5), /proc/PID/stat).

    That it is gone is what the node says, not that it did not answer: that raises CommandError.
    """
    said = cluster.node_exec(node, ["sh", "-c", _STAT, "state", str(pid)]).out
    if said.strip() == "gone":
        return GONE, ""
    fields = said.rpartition(")")[2].split()  # after the name, which may hold blanks
    return fields[0], fields[19]
