"""tests/bench/load.py: real processes that have work, keep to their bounds, and end with whoever started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from chaos.basics.waiting import eventually
from tests.bench.load import MOST, MOST_DISK_BYTES, MOST_MEMORY_BYTES, beside

ROOT = Path(__file__).parents[2]
WITHIN_S = 60.0
STARTS = """
import signal
from tests.bench.load import beside
with beside(4) as pids:
    print(*pids, flush=True)
    signal.pause()
"""


def bounded(pid: int, limit: int) -> int:
    return psutil.Process(pid).rlimit(limit)[0]


def works(pid: int) -> bool:
    process = psutil.Process(pid)
    return process.cpu_times().user > 0.05 and bounded(pid, psutil.RLIMIT_FSIZE) != psutil.RLIM_INFINITY


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(each) and psutil.Process(each).status() != psutil.STATUS_ZOMBIE for each in pids)


def test_each_has_work_within_its_bounds_and_none_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with beside(4) as pids:
        eventually(lambda: all(works(each) for each in pids), within_s=WITHIN_S, what="all of them to work")
        assert {psutil.Process(each).nice() for each in pids} == {os.getpriority(os.PRIO_PROCESS, 0)}
        assert sum(bounded(each, psutil.RLIMIT_FSIZE) for each in pids) <= MOST_DISK_BYTES
        (limited,) = [bounded(each, psutil.RLIMIT_AS) for each in pids if bounded(each, psutil.RLIMIT_AS) > 0]
        assert limited <= MOST_MEMORY_BYTES
        (writer,) = [each for each in pids if bounded(each, psutil.RLIMIT_FSIZE) > 0]

        def written() -> int:
            return psutil.Process(writer).io_counters().write_bytes

        before = written()
        eventually(lambda: written() > before, within_s=WITHIN_S, what="something to be written")
        assert not list(tmp_path.iterdir()), "the file has no name"
    assert gone(pids)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_a_bench_that_is_killed(by: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTS], cwd=ROOT, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout is not None
        pids = [int(each) for each in bench.stdout.readline().split()]
        assert len(pids) == 4
        eventually(lambda: all(works(each) for each in pids), within_s=WITHIN_S, what="all of them to work")
        bench.send_signal(by)
        bench.wait()
    eventually(lambda: gone(pids), within_s=WITHIN_S, what="the load to be gone", every_s=0.05)


@pytest.mark.parametrize("number", [0, MOST + 1])
def test_it_is_bounded_in_number(number: int) -> None:
    with pytest.raises(ValueError, match="1 to 16 processes"), beside(number):
        pass
