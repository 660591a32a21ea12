"""What a process may use of the machine: files of cgroups as Linux writes them, version 1 and 2, and affinity."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from chaos.hosts import limits as module
from chaos.hosts.limits import BYTES_FOR_A_CLUSTER, Limits, clusters_side_by_side, limits
from chaos.hosts.target import Target
from chaos.session import hooks as session
from chaos.setup import facts

GIB = 1024**3


def written(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


V2 = {
    "proc/self/cgroup": "0::/user.slice/job",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory",
    "sys/fs/cgroup/user.slice/cpu.max": "max 100000",
    "sys/fs/cgroup/user.slice/memory.max": str(GIB),
    "sys/fs/cgroup/user.slice/memory.current": str(GIB // 2),
    "sys/fs/cgroup/user.slice/memory.stat": f"anon 1\ninactive_file {GIB // 4}",
    "sys/fs/cgroup/user.slice/job/cpu.max": "50000 100000",
    "sys/fs/cgroup/user.slice/job/memory.max": "max",
    "sys/fs/cgroup/user.slice/job/memory.current": "1",
}
V1 = {
    "proc/self/cgroup": "5:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n0::/docker/x",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000",  # the container's own are mounted, without the host's path
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": str(GIB),
    "sys/fs/cgroup/memory/memory.usage_in_bytes": str(GIB // 2),
    "sys/fs/cgroup/memory/memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB // 4}",
}


@pytest.mark.parametrize("files", [V2, V1], ids=["v2", "v1"])
def test_a_containers_limits_count_also_those_of_the_groups_around_it(tmp_path: Path, files: dict[str, str]) -> None:
    found = limits(written(tmp_path, files))
    assert (found.processors, found.memory_bytes, found.free_bytes) == (0.5, GIB, 3 * GIB // 4)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/x"},
        {
            "proc/self/cgroup": "4:memory:/\n1:cpu:/",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1",
        },
    ],
    ids=["no cgroups", "none mounted", "no limit"],
)
def test_without_limits_it_is_the_machines_own(tmp_path: Path, files: dict[str, str]) -> None:
    found = limits(written(tmp_path, files))
    assert found.processors == len(os.sched_getaffinity(0))
    assert found.memory_bytes == psutil.virtual_memory().total


def test_affinity_counts(tmp_path: Path) -> None:
    asked = (
        "import os; from pathlib import Path; from chaos.hosts.limits import limits\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        f"print(limits(Path({str(tmp_path)!r})).processors)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "1.0\n"


def test_as_many_runs_side_by_side_as_processors_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors, clusters, expected in ((0.5, 9, 1), (3.5, 9, 3), (4.0, 2, 2), (4.0, 0, 1)):
        found = limits()
        given = type(found)(processors, found.memory_bytes, clusters * BYTES_FOR_A_CLUSTER)
        monkeypatch.setattr("chaos.hosts.limits.limits", lambda given=given: given)
        assert clusters_side_by_side() == expected
        monkeypatch.undo()


def test_what_the_user_told_pytest_xdist_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "7")
    assert clusters_side_by_side() is None


def test_it_is_what_processes_side_by_side_and_the_doctor_go_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    few = Limits(3, 64 * GIB, 64 * GIB)
    for each in (module, facts):
        monkeypatch.setattr(each, "limits", lambda: few)
    assert session.pytest_xdist_auto_num_workers() == 3
    found = facts.look(("1.34.4",), Target.SIMULATED)
    assert (found.processors, found.memory_bytes) == (3, 64 * GIB)
