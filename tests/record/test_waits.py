"""How long pods waited for a processor, by a /proc of the test's own, and by the kernel's."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from chaos.record.history import History
from chaos.record.records import PodChange, ProcessorWait
from chaos.record.waits import PodWaits, Waited

UID = "7e296457-5a34-4d08-8d41-3a996073e188"
SYSTEMD = f"1:cpu:/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable-pod{UID.replace('-', '_')}.slice/x"
CGROUPFS = f"0::/kubepods/besteffort/pod{UID}/0cde"
S = 1_000_000_000


class Clocked(History):
    """A history whose time is the test's."""

    at = 0.0

    def now(self) -> float:
        return self.at


class Machine:
    """A /proc of processes that wait as the test says."""

    def __init__(self, root: Path) -> None:
        self.root, self.history = root, Clocked()
        self.history.add(PodChange(0.0, "ns", "web-1", UID, "listed", workload="web"))
        self.waits = PodWaits(self.history, root)

    def process(self, pid: int, waited_s: float, cgroup: str = SYSTEMD) -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "cgroup").write_text(f"9:name=systemd:/\n{cgroup}\n")
        (folder / "schedstat").write_text(f"4711 {round(waited_s * S)} 12\n")

    def ends(self, pid: int) -> None:
        for file in (folder := self.root / str(pid)).iterdir():
            file.unlink()
        folder.rmdir()

    def look(self, at: float) -> list[tuple[float, float]]:
        self.history.at = at
        self.waits.look()
        return [(each.at, each.waited_s) for each in self.history.of(ProcessorWait)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "self").mkdir()
    return Machine(tmp_path)


def test_what_a_pod_waited_for_is_counted_from_the_first_look_on(machine: Machine) -> None:
    machine.process(7, 100.0)
    assert machine.look(1.0) == [(1.0, 0.0)]
    machine.process(7, 101.5)
    assert machine.look(2.0) == [(1.0, 0.0), (2.0, 1.5)]
    (record,) = machine.history.of(ProcessorWait)[:1]
    assert (record.who, record.uid, record.object) == ("ns/web-1", UID, "ns/web-1")


@pytest.mark.parametrize("cgroup", [SYSTEMD, CGROUPFS])
def test_a_pod_is_known_by_its_cgroup(machine: Machine, cgroup: str) -> None:
    machine.process(7, 0.0, cgroup)
    assert machine.look(1.0) == [(1.0, 0.0)]


def test_moments_are_no_records_and_the_look_before_bounds_what_grows(machine: Machine) -> None:
    machine.process(7, 0.0)
    machine.look(1.0)
    for at in (2.0, 3.0, 4.0):
        machine.process(7, 0.01 * at)
        assert machine.look(at) == [(1.0, 0.0)]
    machine.process(7, 5.04)
    assert machine.look(5.0) == [(1.0, 0.0), (4.0, 0.04), (5.0, 5.04)]
    machine.process(7, 5.14)
    assert machine.look(6.0)[-1] == (6.0, 5.14)
    assert len(machine.look(7.0)) == 4


def test_of_several_processes_the_one_that_waited_longest_counts(machine: Machine) -> None:
    machine.process(7, 10.0)
    machine.process(8, 20.0)
    machine.look(1.0)
    machine.process(7, 11.0)
    machine.process(8, 20.4)
    assert machine.look(2.0)[-1] == (2.0, 1.0)
    machine.process(8, 21.4)
    machine.process(9, 0.3)  # a new one has waited since the look before
    assert machine.look(3.0)[-1] == (3.0, 2.0)
    machine.ends(8)
    machine.process(9, 0.8)
    assert machine.look(4.0)[-1] == (4.0, 2.5)


def test_a_sum_that_begins_anew_is_another_process_s() -> None:
    history = History()
    prober = Waited(history, "worker->web", "prober:worker->web")
    for at, waited_s in ((1.0, 0.0), (2.0, 7.0), (3.0, 7.0), (4.0, 0.01), (5.0, 0.02), (6.0, 0.5)):
        prober.look(at, waited_s)
    told = [(each.at, each.waited_s) for each in history.of(ProcessorWait)]
    assert told == [(1.0, 0.0), (2.0, 7.0), (3.0, 7.0), (4.0, 0.01), (5.0, 0.02), (6.0, 0.5)]


def test_a_process_that_comes_to_its_cgroup_after_the_first_look_is_found(machine: Machine) -> None:
    machine.process(7, 0.0, "1:cpu:/system.slice")
    assert machine.look(1.0) == []
    machine.process(7, 0.0)
    assert machine.look(2.0) == [(2.0, 0.0)]


def test_others_are_not_counted(machine: Machine) -> None:
    machine.process(7, 9.0, "1:cpu:/system.slice")
    machine.process(8, 9.0, CGROUPFS.replace("7e296457", "00000000"))
    machine.process(9, 9.0)
    (machine.root / "9" / "schedstat").write_text("0 0\n")
    (machine.root / "10").mkdir()
    machine.look(1.0)
    (machine.root / "9" / "schedstat").write_text("")  # a kernel that does not count
    assert machine.look(2.0) == [(1.0, 0.0)]


def test_the_kernel_counts_what_a_process_waits_for(tmp_path: Path) -> None:
    """Two processes on one processor: each waits for the other."""
    one = sorted(os.sched_getaffinity(0))[:1]
    argv = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {one})\nwhile True: pass"]
    both = [subprocess.Popen(argv) for _ in range(2)]
    try:
        (tmp_path / str(both[0].pid)).symlink_to(f"/proc/{both[0].pid}")
        history = History()
        history.add(PodChange(0.0, "ns", "web-1", UID, "listed", workload="web"))
        waits = PodWaits(history, tmp_path)
        waits._uids[str(both[0].pid)] = UID
        began = time.monotonic()
        waits.look()
        while psutil.Process(both[0].pid).cpu_times().user < 0.5:
            assert time.monotonic() - began < 60
        waits.look()
        took_s = time.monotonic() - began
    finally:
        for each in both:
            each.kill()
            each.wait()
    last = history.of(ProcessorWait)[-1]
    assert 0.1 < last.waited_s < took_s + 0.1
