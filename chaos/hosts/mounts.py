"""What is mounted on this machine, as the kernel tells this process."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(
    rb"\\([0-7]{3})"
)  # blanks and the like; all other bytes stand as they are (proc_pid_mountinfo(5))


def below(folder: Path) -> tuple[Path, ...]:
    """What is mounted at the folder or below it, each as often as something is mounted there."""
    wanted = folder.resolve()
    return tuple(point for point in map(_point, MOUNTS.read_bytes().splitlines()) if point.is_relative_to(wanted))


def is_bound_on_itself(path: Path) -> bool:
    """Whether the last mount at `path` shows what is there without it."""
    mounts = {fields[0]: fields[1:5] for fields in map(bytes.split, MOUNTS.read_bytes().splitlines())}
    there = [(parent, device, root) for parent, device, root, point in mounts.values() if _path(point) == path]
    if not there or there[-1][0] not in mounts:
        return False
    parent, device, root = there[-1]
    _, device_around, root_around, around = mounts[parent]
    return device == device_around and _path(root) == _path(root_around) / path.relative_to(_path(around))


@dataclass(frozen=True, slots=True)
class MountUser:
    """A process, and what the kernel calls it."""

    pid: int
    name: str


def users(devices: Collection[int]) -> list[MountUser]:
    """The processes that keep one of these devices (numbers as of os.stat's st_rdev) mounted.

    Each has a file, a program or a folder of it open, or is in a mount namespace that has a copy of the mount
    (mount_namespaces(7)). One that ends meanwhile, or that this user may not look at, is left out.
    """
    own, wanted, found = _namespace(Path("/proc/self")), set(devices), []
    for at in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            used = _opened(at) if _namespace(at) == own else _mounted(at)
            if not wanted.isdisjoint(used):
                found.append(MountUser(int(at.name), (at / "comm").read_text().strip()))
    return found


def _namespace(process: Path) -> Path:
    return (process / "ns" / "mnt").readlink()


def _opened(process: Path) -> Iterator[int]:
    """The devices of all that the process has open. Raises OSError."""
    for each in (process / "cwd", process / "root", process / "exe", *(process / "fd").iterdir()):
        with suppress(OSError):
            yield each.stat().st_dev


def _mounted(process: Path) -> Iterator[int]:
    """The devices that are mounted where the process is. Raises OSError."""
    for line in (process / "mountinfo").read_bytes().splitlines():
        major, _, minor = line.split()[2].partition(b":")
        yield os.makedev(int(major), int(minor))


def _point(line: bytes) -> Path:
    return _path(line.split()[4])


def _path(field: bytes) -> Path:
    return Path(os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), field)))
