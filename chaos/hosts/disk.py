"""Free room on this machine's disks."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Disk:
    """A place where much is written: its path, the free bytes there, how many are needed."""

    path: str
    free_bytes: int
    need_bytes: int

    @property
    def low(self) -> bool:
        """Whether there is less than needed."""
        return self.free_bytes < self.need_bytes

    def __str__(self) -> str:
        return f"{gib(self.free_bytes)} free at {self.path}, {gib(self.need_bytes)} needed"


def look(path: Path, need_bytes: int) -> Disk:
    """How much is free where that path is, or will be."""
    return Disk(str(path), shutil.disk_usage(_there(path)).free, need_bytes)


def look_at_all(needs: Sequence[tuple[Path, int]]) -> tuple[Disk, ...]:
    """The same of several places: those on one file system need their sum there."""
    by_device: dict[int, list[tuple[Path, int]]] = {}
    for path, need_bytes in needs:
        by_device.setdefault(_there(path).stat().st_dev, []).append((path, need_bytes))
    return tuple(look(there[0][0], sum(need_bytes for _, need_bytes in there)) for there in by_device.values())


def gib(size_bytes: int) -> str:
    """As `1.5 GiB`."""
    return f"{size_bytes / GIB:.1f} GiB"


def _there(path: Path) -> Path:
    """What of it is there, as far as this user may look."""
    return next(each for each in (path, *path.absolute().parents) if _can_be_seen(each))


def _can_be_seen(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True
