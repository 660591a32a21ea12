"""A load beside what a bench measures: processes that compute, write to the disk and touch memory, as nice as it is.

`beside(8)` is a load of 8: as many processes that always have something to do, half of them computing, a quarter
writing, a quarter touching memory. Together they use at most 1 GiB of disk and 2 GiB of memory, and end with the bench,
even where that is killed, or by themselves after an hour.
"""

import ctypes
import mmap
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST = 16
MOST_DISK_BYTES, MOST_MEMORY_BYTES = 1 << 30, 2 << 30
OWN_BYTES = 96 << 20  # of address space, which a process has before it does anything
LONGEST_S = 3600
BLOCK_BYTES = 4 << 20
PR_SET_PDEATHSIG = 1  # prctl(2)
ORDER = ("compute", "write", "compute", "touch")


@contextmanager
def beside(number: int) -> Iterator[list[int]]:
    """So many processes, for as long as the block lasts; their ids."""
    if not 1 <= number <= MOST:
        raise ValueError(f"a load is of 1 to {MOST} processes, and not of {number}")
    kinds = [ORDER[at % len(ORDER)] for at in range(number)]
    with ExitStack() as stack:
        running: list[subprocess.Popen[bytes]] = []
        try:
            for kind in kinds:
                share = {"write": MOST_DISK_BYTES, "touch": MOST_MEMORY_BYTES}.get(kind, 0) // kinds.count(kind)
                argv = [sys.executable, "-m", "tests.bench.load", kind, str(share), str(os.getpid())]
                running.append(stack.enter_context(subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL)))
            yield [each.pid for each in running]
        finally:
            for each in running:
                each.kill()


def compute(_: int) -> None:
    """One processor, all of it."""
    number = 1
    while True:
        number = number * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1


def write(most_bytes: int) -> None:
    """Write a file of that size over and over, each block to the disk itself. It has no name, so none is left."""
    block = os.urandom(BLOCK_BYTES)
    with tempfile.TemporaryFile(buffering=0) as file:
        while True:
            for at in range(0, most_bytes - BLOCK_BYTES + 1, BLOCK_BYTES):
                file.seek(at)
                file.write(block)
                os.fdatasync(file.fileno())


def touch(most_bytes: int) -> None:
    """Ask for that much memory, use each page of it, give it back, and again."""
    while True:
        with mmap.mmap(-1, most_bytes - OWN_BYTES) as memory:
            for at in range(0, len(memory), mmap.PAGESIZE):
                memory[at] = 1


KINDS: Mapping[str, Callable[[int], None]] = {"compute": compute, "write": write, "touch": touch}


def main(arguments: Sequence[str]) -> None:
    kind, share, parent = arguments[0], int(arguments[1]), int(arguments[2])
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return  # it ended before this could be asked for
    signal.alarm(LONGEST_S)
    for number in (signal.SIGINT, signal.SIGHUP):  # of the terminal: the bench ends this when it is over
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (share if kind == "write" else 0,) * 2)
    if kind == "touch":
        resource.setrlimit(resource.RLIMIT_AS, (share,) * 2)
    KINDS[kind](share)


if __name__ == "__main__":
    main(sys.argv[1:])
