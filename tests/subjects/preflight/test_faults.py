"""Leaks against a fake node: what is refused before any harm, what is saved, what undo does."""

import re
from collections.abc import Sequence

import pytest

from chaos.clusters.base import ClusterRef, Node
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.subjects.preflight.faults import SEMAPHORES, SET_BYTES, LeakKernelMemory, LeaveFiles

MIB = 1024**2


class Machine:
    """A cluster of a control plane and a worker; the worker has semaphore sets, one file."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self, *, ready: str = "True", free_blocks: int = 10**6) -> None:
        self.sets: dict[str, int] = {"7": SEMAPHORES, "8": 3}  # somebody else's, one of them just as large
        self.leftover = 0
        self.free_blocks = free_blocks
        self._ready = ready

    def nodes(self) -> tuple[Node, ...]:
        return (
            Node("cp", control_plane=True, ready="True", address="10.0.0.1", zone="", taints=()),
            Node("w1", control_plane=False, ready=self._ready, address="10.0.0.2", zone="", taints=()),
        )

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        said = " ".join(argv)
        if argv[0] == "fallocate":
            self.leftover = int(argv[2])
        elif argv[0] == "rm":
            self.leftover = 0
        elif "/proc/sysvipc/sem" in said:
            return Output(0, "key semid perms nsems\n" + "".join(f"1 {i} 644 {n}\n" for i, n in self.sets.items()), "")
        elif "ipcmk" in said:
            found = re.search(r"-lt (\d+)", said)
            assert found is not None
            self.sets |= {str(100 + i): SEMAPHORES for i in range(int(found[1]))}
        elif "ipcrm" in said:
            for each in (stdin or "").split():
                del self.sets[each]
        elif "%b %B" in said:
            return Output(0, f"{self.leftover // 512} 512\n", "") if self.leftover else Output(1, "", "no such file")
        elif "stat -f" in said:
            return Output(0, f"{self.free_blocks}\n" if "%a" in said else "4096\n", "")
        return Output(0, "", "")


def test_a_leak_is_given_back_and_nobody_elses_sets_are_touched() -> None:
    machine = Machine()
    leak = LeakKernelMemory("w1", 10 * SET_BYTES)
    saved = leak.plan(machine)  # type: ignore[arg-type]
    assert not leak.landed(machine, saved)  # type: ignore[arg-type]
    leak.apply(machine, saved)  # type: ignore[arg-type]
    assert leak.landed(machine, saved)  # type: ignore[arg-type]
    LeakKernelMemory.undo(machine, saved)  # type: ignore[arg-type]
    assert LeakKernelMemory.undone(machine, saved)  # type: ignore[arg-type]
    assert machine.sets == {"7": SEMAPHORES, "8": 3}
    LeakKernelMemory.undo(machine, saved)  # type: ignore[arg-type] # it may be repeated
    assert machine.sets == {"7": SEMAPHORES, "8": 3}


def test_files_are_left_and_removed() -> None:
    machine = Machine()
    leave = LeaveFiles("w1", MIB)
    saved = leave.plan(machine)  # type: ignore[arg-type]
    leave.apply(machine, saved)  # type: ignore[arg-type]
    assert leave.landed(machine, saved)  # type: ignore[arg-type]
    with pytest.raises(OrdealError, match="already: run `kube-ordeal undo`"):
        leave.plan(machine)  # type: ignore[arg-type]
    LeaveFiles.undo(machine, saved)  # type: ignore[arg-type]
    assert LeaveFiles.undone(machine, saved)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fault", "machine", "says"),
    [
        (LeakKernelMemory("w9", MIB), Machine(), "there is no node w9"),
        (LeakKernelMemory("cp", MIB), Machine(), "control plane"),
        (LeakKernelMemory("w1", MIB), Machine(ready="False"), "not Ready"),
        (LeakKernelMemory("w1", 0), Machine(), "out of bounds"),
        (LeakKernelMemory("w1", 10**12), Machine(), "out of bounds"),
        (LeaveFiles("w9", MIB), Machine(), "there is no node w9"),
        (LeaveFiles("w1", 0), Machine(), "out of bounds"),
        (LeaveFiles("w1", 2 * 1024**3), Machine(), "out of bounds"),
        (LeaveFiles("w1", MIB), Machine(free_blocks=300), "more than half of what is free"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_refused_before_any_harm(fault: LeakKernelMemory, machine: Machine, says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        fault.plan(machine)  # type: ignore[arg-type]
    assert (machine.leftover, len(machine.sets)) == (0, 2)
