"""Faults of what stays behind: kernel memory that nothing gives back, files that no container owns any more."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Uses

KIB = 1024
SEMAPHORES = 500  # in each set: 64 bytes each (struct sem in ipc/sem.c is a cache line), so 32 kB of kernel memory
SET_BYTES = SEMAPHORES * 64
MOST_SETS = 8000  # a quarter of kernel.sem's shipped number of sets
LEFTOVER = "/var/lib/containerd/kube-ordeal-leftover"
MOST_BYTES = 1024**3


class _Executing(Cluster, NodeExec, Protocol): ...


class LeakKernelMemoryPlan(msgspec.Struct, frozen=True):
    """`sets`: how many semaphore sets are made; `before`: the identifiers of those of that size that were there."""

    node: str
    sets: int
    before: tuple[str, ...]


class LeaveFilesPlan(msgspec.Struct, frozen=True):
    """How much is left on which node."""

    node: str
    size_bytes: int


@fault
@dataclass(frozen=True, slots=True)
class LeakKernelMemory:
    """Take `size_bytes` of a node's kernel memory that no process owns, as a leak does; undo gives it back.

    By System V semaphore sets: the kernel keeps them until somebody removes them. It has landed when they are there.
    """

    kind: ClassVar[str] = "leak-kernel-memory"
    counterpart: ClassVar[str] = "return_kernel_memory"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(programs=("ipcmk", "ipcrm"))
    node: str
    size_bytes: int

    def plan(self, cluster: _Executing) -> LeakKernelMemoryPlan:
        ready_worker(cluster, self.node, "no kernel memory is leaked there")
        sets = -(-self.size_bytes // SET_BYTES)
        if not 0 < sets <= MOST_SETS:
            raise OrdealError(
                f"a leak of {self.size_bytes} bytes is out of bounds: give 1 to {MOST_SETS * SET_BYTES} bytes"
            )
        return LeakKernelMemoryPlan(self.node, sets, tuple(sorted(_sets(cluster, self.node))))

    def apply(self, cluster: _Executing, saved: LeakKernelMemoryPlan) -> None:
        make = f'i=0; while [ "$i" -lt {saved.sets} ]; do ipcmk -S {SEMAPHORES} >/dev/null; i=$((i+1)); done'
        cluster.node_exec(saved.node, ["sh", "-ec", make], timeout_s=120)

    def landed(self, cluster: _Executing, saved: LeakKernelMemoryPlan) -> bool:
        return LeakKernelMemory.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Executing, saved: LeakKernelMemoryPlan) -> bool:
        return len(_leaked(cluster, saved)) >= saved.sets

    @staticmethod
    def undo(cluster: _Executing, saved: LeakKernelMemoryPlan) -> None:
        leaked = _leaked(cluster, saved)
        if leaked:
            ids = "\n".join(leaked)
            remove = "while read -r id; do ipcrm -s $id; done"
            cluster.node_exec(saved.node, ["sh", "-ec", remove], timeout_s=120, stdin=ids + "\n")

    @staticmethod
    def undone(cluster: _Executing, saved: LeakKernelMemoryPlan) -> bool:
        return not _leaked(cluster, saved)


@fault
@dataclass(frozen=True, slots=True)
class LeaveFiles:
    """Leave `size_bytes` among the container runtime's files, as a driver does that forgets layers; undo removes it."""

    kind: ClassVar[str] = "leave-files"
    counterpart: ClassVar[str] = "remove_files"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(programs=("fallocate",))
    node: str
    size_bytes: int

    def plan(self, cluster: _Executing) -> LeaveFilesPlan:
        ready_worker(cluster, self.node, "no files are left there")
        if not 0 < self.size_bytes <= MOST_BYTES:
            raise OrdealError(f"{self.size_bytes} bytes of leftovers are out of bounds: give 1 to {MOST_BYTES}")
        if _size_of_leftover(cluster, self.node):
            raise OrdealError(f"{LEFTOVER} is on node {self.node} already: run `kube-ordeal undo`")
        free = int(cluster.node_exec(self.node, ["stat", "-f", "-c", "%a", "/var/lib/containerd"]).out)
        block = int(cluster.node_exec(self.node, ["stat", "-f", "-c", "%S", "/var/lib/containerd"]).out)
        if self.size_bytes > free * block // 2:
            raise OrdealError(
                f"{self.size_bytes} bytes are more than half of what is free on node {self.node} ({free * block})"
            )
        return LeaveFilesPlan(self.node, self.size_bytes)

    def apply(self, cluster: _Executing, saved: LeaveFilesPlan) -> None:
        argv = ["fallocate", "--length", str(saved.size_bytes), LEFTOVER]
        cluster.node_exec(saved.node, argv, timeout_s=60)

    def landed(self, cluster: _Executing, saved: LeaveFilesPlan) -> bool:
        return LeaveFiles.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Executing, saved: LeaveFilesPlan) -> bool:
        return _size_of_leftover(cluster, saved.node) >= saved.size_bytes

    @staticmethod
    def undo(cluster: _Executing, saved: LeaveFilesPlan) -> None:
        cluster.node_exec(saved.node, ["rm", "-f", LEFTOVER])

    @staticmethod
    def undone(cluster: _Executing, saved: LeaveFilesPlan) -> bool:
        return not _size_of_leftover(cluster, saved.node)


def _sets(cluster: NodeExec, node: str) -> set[str]:
    """The identifiers of the node's semaphore sets that are of the leak's size."""
    # key, semid, perms, cuid, cgid, uid, gid, nsems ... in /proc/sysvipc/sem
    lines = cluster.node_exec(node, ["cat", "/proc/sysvipc/sem"]).out.splitlines()
    rows = [line.split() for line in lines]
    return {row[1] for row in rows if len(row) > 3 and row[3] == str(SEMAPHORES)}


def _leaked(cluster: NodeExec, saved: LeakKernelMemoryPlan) -> list[str]:
    return sorted(_sets(cluster, saved.node) - set(saved.before))


def _size_of_leftover(cluster: NodeExec, node: str) -> int:
    """Bytes that the file takes on disk; 0 where it is not there."""
    said = cluster.node_exec(node, ["stat", "-c", "%b %B", LEFTOVER], check=False)
    if said.code != 0:
        return 0
    blocks, of_bytes = said.out.split()
    return int(blocks) * int(of_bytes)
