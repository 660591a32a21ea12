"""A program of a node is another one: a mutant in the place of what was shipped."""

import base64
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.elf import check_program
from chaos.harm.target import ready_worker
from chaos.harm.uses import Capability, Uses

PREFIX = "/usr/local/kube-ordeal-"  # of the file that is put on the node
# What a systemd unit of the node runs, by the program's name.
PATHS = {"kubelet": "/usr/bin/kubelet"}


class _Node(Cluster, NodeExec, Protocol): ...


class SwapProgramPlan(msgspec.Struct, frozen=True):
    """The systemd unit; `at`: the node's own file, and its SHA-256 in hex (`original`); `put`: ours, and `sha256`."""

    node: str
    unit: str
    at: str
    put: str
    sha256: str
    original: str


@fault
@dataclass(frozen=True, slots=True)
class SwapProgram:
    """Let a node's unit run another program: the file `path` of this machine is mounted over the node's own.

    The node's own file is never touched, so undo, which takes the mount away, puts it back to the byte.
    """

    kind: ClassVar[str] = "swap-program"
    counterpart: ClassVar[str] = "restore_program"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(
        capabilities=(Capability.SYS_ADMIN, Capability.SYS_PTRACE),
        programs=("mount", "umount", "systemctl"),
        labels=True,
    )
    node: str
    program: str
    path: str

    def plan(self, cluster: _Node) -> SwapProgramPlan:
        if self.program not in PATHS:
            raise OrdealError(f"the program {self.program!r} can't be swapped; there are: {', '.join(PATHS)}")
        ready_worker(cluster, self.node, "its program can't be swapped")
        sha256 = check_program(Path(self.path), cluster.node_exec(self.node, ["uname", "-m"]).out.strip())
        at = PATHS[self.program]
        if any(PREFIX in root for root in _mounted(cluster, self.node, at)):
            raise OrdealError(f"another program is mounted over {at} on {self.node}: run `kube-ordeal undo` first")
        original = cluster.node_exec(self.node, ["sha256sum", at]).out.split()[0]
        put = f"{PREFIX}{self.program}-{uuid.uuid4().hex[:8]}"
        return SwapProgramPlan(self.node, self.program, at, put, sha256, original)

    def apply(self, cluster: _Node, saved: SwapProgramPlan) -> None:
        node, unit, at, put = saved.node, saved.unit, saved.at, saved.put
        # As text, because that is what a command on a node takes.
        text = base64.b64encode(Path(self.path).read_bytes()).decode()
        cluster.node_exec(node, ["sh", "-ec", f"base64 --decode > {put}; chmod 755 {put}"], timeout_s=120, stdin=text)
        cluster.node_exec(node, ["mount", "--bind", put, at])
        cluster.node_exec(node, ["systemctl", "restart", unit], timeout_s=60)

    def landed(self, cluster: _Node, saved: SwapProgramPlan) -> bool:
        """The kernel says that the unit's process was started from the file that was put there."""
        return _running(cluster, saved) == saved.sha256

    @staticmethod
    def lasts(cluster: _Node, saved: SwapProgramPlan) -> bool:
        """It is mounted there, and what runs was started from it. A program that does not run is about to be."""
        node, at, put = saved.node, saved.at, saved.put
        if not any(root.endswith(put) for root in _mounted(cluster, node, at)):
            return False
        which = "stat -Lc %d:%i"
        ask = f"pid=$(systemctl show --property MainPID --value {saved.unit}); {which} {put}; {which} /proc/$pid/exe"
        ours, *running = cluster.node_exec(node, ["sh", "-c", ask], check=False).out.split()
        return running in ([], [ours])

    @staticmethod
    def undo(cluster: _Node, saved: SwapProgramPlan) -> None:
        node, unit, at, put = saved.node, saved.unit, saved.at, saved.put
        if any(root.endswith(put) for root in _mounted(cluster, node, at)):
            # The mount can't go while the program runs from it.
            cluster.node_exec(node, ["sh", "-ec", f"systemctl stop {unit}; umount {at}"], timeout_s=60)
        if _running(cluster, saved) != saved.original:
            cluster.node_exec(node, ["systemctl", "restart", unit], timeout_s=60)
        cluster.node_exec(node, ["rm", "-f", put])

    @staticmethod
    def undone(cluster: _Node, saved: SwapProgramPlan) -> bool:
        node, at, put = saved.node, saved.at, saved.put
        if any(root.endswith(put) for root in _mounted(cluster, node, at)):
            return False
        if cluster.node_exec(node, ["test", "-e", put], check=False).code == 0:
            return False
        on_disk = cluster.node_exec(node, ["sha256sum", at]).out.split()[0]
        return on_disk == saved.original == _running(cluster, saved)


def _running(cluster: NodeExec, saved: SwapProgramPlan) -> str:
    """The SHA-256 of the file that the unit's main process was started from; empty where it does not run."""
    script = f"pid=$(systemctl show --property MainPID --value {saved.unit}); sha256sum /proc/$pid/exe"
    said = cluster.node_exec(saved.node, ["sh", "-c", script], check=False).out.split()
    return said[0] if said else ""


def _mounted(cluster: NodeExec, node: str, at: str) -> list[str]:
    """What is mounted over a path, by the path within its own file system, as in /proc/PID/mountinfo."""
    lines = cluster.node_exec(node, ["cat", "/proc/1/mountinfo"]).out.splitlines()
    return [fields[3] for fields in (line.split() for line in lines) if fields[4] == at]
