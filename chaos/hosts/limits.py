"""How much of the machine this process may use: its processors and its memory, as affinity and cgroups limit them.

A container sees the whole machine's figures everywhere else. Sources: Linux, Documentation/admin-guide/cgroup-v2.rst
(cpu.max, memory.max) and cgroup-v1 (cpu.cfs_quota_us, memory.limit_in_bytes).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

BYTES_FOR_A_CLUSTER = 4 * 1024**3
_OF_XDIST = "PYTEST_XDIST_AUTO_NUM_WORKERS"  # the user's own answer to -n auto


@dataclass(frozen=True, slots=True)
class Limits:
    """`processors` may be a fraction; `memory_bytes` is all of it, `free_bytes` what is not in use."""

    processors: float
    memory_bytes: int
    free_bytes: int


def limits(root: Path = Path("/")) -> Limits:
    """Read them now. `root`: where /proc and /sys are."""
    memory = psutil.virtual_memory()
    processors, total, free = float(len(os.sched_getaffinity(0))), int(memory.total), int(memory.available)
    for folder in _groups(root, "cpu"):
        processors = min(processors, _processors(folder))
    for folder in _groups(root, "memory"):
        limit = _memory_bytes(folder)
        if limit is not None:
            total, free = min(total, limit), min(free, max(0, limit - _used_bytes(folder)))
    return Limits(processors, total, free)


def clusters_side_by_side() -> int | None:
    """How many replays can go on, each on a cluster of its own; None where the user has told pytest-xdist."""
    if os.environ.get(_OF_XDIST):
        return None
    found = limits()
    return max(1, min(int(found.processors), found.free_bytes // BYTES_FOR_A_CLUSTER))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The cgroup of this process, and those that it is in, that have that controller; version 1 and 2."""
    mounts = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        names = (controllers, controller) if controllers else ("", "unified")
        base = next((mounts / name for name in names if (mounts / name).is_dir()), None)
        if base is None:
            continue
        inner = base / path.lstrip("/")
        # A container may be told the path that the host has; its own is then what is mounted.
        yield from (each for each in (inner, *inner.parents) if each.is_relative_to(base) and each.is_dir())


def _processors(folder: Path) -> float:
    quota, period = _first(
        lambda: (folder / "cpu.max").read_text().split(),
        lambda: [(folder / name).read_text().strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")],
    ) or ["max", "1"]
    return int(quota) / int(period) if quota not in {"max", "-1"} else float("inf")


def _memory_bytes(folder: Path) -> int | None:
    found = _first(
        lambda: [(folder / "memory.max").read_text().strip()],
        lambda: [(folder / "memory.limit_in_bytes").read_text().strip()],
    )
    return int(found[0]) if found and found[0] != "max" else None


def _used_bytes(folder: Path) -> int:
    """What is in use, without the pages of files that the kernel gives back when it is asked."""
    used = _first(
        lambda: [(folder / "memory.current").read_text()],
        lambda: [(folder / "memory.usage_in_bytes").read_text()],
    )
    pages = dict(line.split() for line in _first(lambda: (folder / "memory.stat").read_text().splitlines()) or [])
    given_back = pages.get("total_inactive_file") or pages.get("inactive_file") or "0"
    return int(used[0]) - int(given_back) if used else 0


def _first(*reads: Callable[[], list[str]]) -> list[str] | None:
    """What the first of them reads that finds its files."""
    for read in reads:
        with suppress(OSError):
            return read()
    return None
