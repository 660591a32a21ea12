"""The most memory that a command and the cluster nodes of this machine take while it runs.

python -m tests.bench.memory COMMAND...
"""

import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

from chaos.hosts.command import CommandError, run

EVERY_S = 2.0
UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


class MemoryPeak:
    """For the block's length, the largest sum of what the engine's containers and a process's children take.

    Of the containers whose name begins with `prefix` it is what `docker stats` says: without file pages that are not
    in use. Of processes it is their resident memory.
    """

    def __init__(self, prefix: str = "", pid: int | None = None) -> None:
        self.peak_bytes = self.containers_bytes = self.processes_bytes = 0
        self._prefix, self._pid = prefix, pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join(30)

    def __str__(self) -> str:
        gib = 1024**3
        return (
            f"{self.peak_bytes / gib:.1f} GiB at the most, {self.containers_bytes / gib:.1f} of it the nodes' and "
            f"{self.processes_bytes / gib:.1f} processes' of the run"
        )

    def _run(self) -> None:
        while True:
            with suppress(CommandError, psutil.Error):  # a container or a process that goes while it is looked at
                containers, processes = in_containers_bytes(self._prefix), in_processes_bytes(self._pid)
                if containers + processes > self.peak_bytes:
                    self.peak_bytes, self.containers_bytes = containers + processes, containers
                    self.processes_bytes = processes
            if self._stopped.wait(EVERY_S):
                return


def in_containers_bytes(prefix: str) -> int:
    """What the containers with that prefix take together now."""
    said = run(["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"], timeout_s=30).out
    return sum(size_bytes(line.split()[1]) for line in said.splitlines() if line.startswith(prefix))


def in_processes_bytes(pid: int | None) -> int:
    """What a process and its children take together now; this one where none is named."""
    there = psutil.Process(pid)
    return sum(p.memory_info().rss for p in [there, *there.children(recursive=True)])


def size_bytes(text: str) -> int:
    """The bytes of a size as `docker stats` prints it, such as 512.3MiB."""
    number = text.rstrip("BKMGTi")
    return int(float(number) * UNITS[text[len(number) :]])


def main(command: list[str]) -> int:
    began = time.monotonic()
    child = subprocess.Popen(command)
    with MemoryPeak(pid=child.pid) as memory:
        code = child.wait()
    print(f"{time.monotonic() - began:.0f} s; memory: {memory}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
