"""What Python does to files outside of the folders where it may, as its audit hooks tell (PEP 578)."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Where the paths stand among the arguments of an event. Those that are relative may be of a folder that is open, which
# was looked at when it was opened.
CHANGES = {
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.chmod": (0,),
    "os.truncate": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
}


class _Watch:
    def __init__(self) -> None:
        self.folders: tuple[str, ...] = ()  # none: nothing is watched
        self.outside: list[str] = []

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.folders:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITES:
                self._look(event, path)
        for at in CHANGES.get(event, ()):
            self._look(event, arguments[at])

    def _look(self, event: str, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike) or not Path(os.fsdecode(path)).is_absolute():
            return
        name = os.path.normpath(os.fsdecode(path))
        if name != os.devnull and "__pycache__" not in name and not f"{name}{os.sep}".startswith(self.folders):
            self.outside.append(f"{event} {name}")


@cache
def _watch() -> _Watch:
    made = _Watch()
    sys.addaudithook(made.hook)
    return made


@contextmanager
def nothing_written_outside(folder: Path) -> Iterator[None]:
    """Raises AssertionError where the block changes a file outside of the folder and that of temporary files."""
    watch = _watch()
    watch.folders, watch.outside = tuple(f"{each}{os.sep}" for each in (folder, tempfile.gettempdir())), []
    try:
        yield
    finally:
        watch.folders = ()
    assert not watch.outside, f"changed outside of its folder: {watch.outside}"
