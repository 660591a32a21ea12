"""What is mounted on this machine, as the kernel tells this process."""

import os
import re
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


def _point(line: bytes) -> Path:
    return _path(line.split()[4])


def _path(field: bytes) -> Path:
    return Path(os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), field)))
