"""What the plugin adds to the start of another project's pytest: processor time, with it and without it by turns.

python -m tests.bench.bench_start [TIMES]
"""

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos.results.results import machine_facts

TO_REACH_S = 0.1
# The plugin by its module's name, and the rest of what its package brings, which is another one's to switch off.
PYTEST = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:pytest-kind"]


def main(times: int) -> int:
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    with TemporaryDirectory() as folder:
        Path(folder, "test_theirs.py").write_text("def test_it(): pass\n")
        for given in ((), ("-p", "no:chaos.plugin")):  # once each unmeasured: what is compiled is kept
            cpu_s(folder, given)
        took = [(cpu_s(folder, ()), cpu_s(folder, ("-p", "no:chaos.plugin"))) for _ in range(times)]
    with_s, without_s = (statistics.median(column) for column in zip(*took, strict=True))
    added_s = statistics.median(beside - alone for beside, alone in took)
    print(f"pytest on an empty project, {times} times: {with_s:.2f} s of processor time with the plugin,")
    print(f"{without_s:.2f} s without it; it adds {added_s:.3f} s (to reach: {TO_REACH_S})")
    return 0 if added_s <= TO_REACH_S else 1


def cpu_s(folder: str, given: tuple[str, ...]) -> float:
    """User and system time of one start, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    subprocess.run([*PYTEST, *given], cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:] or ["10"])))
