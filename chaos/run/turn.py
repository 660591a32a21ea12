"""Whose turn it is on this machine: replays that wait side by side, one at a time that works, or one alone.

A replay says what it asks of the machine (chaos.run.incident.Load, and its memory). Each process has a file in a folder
that all of them share, and holds the kernel's lock on it: what a process has that died is given back by that.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from chaos.basics.files import appended, opened
from chaos.basics.waiting import until
from chaos.errors import OrdealError
from chaos.hosts.limits import limits
from chaos.hosts.places import make_private
from chaos.run.incident import Load

# Of the memory that was free when the first turn was taken: the rest is for the runs themselves.
USABLE = 0.85
EVERY_S = 0.1
TURNS, QUEUE, BUILD, SETUP = ".turns", ".queue", ".build", ".setup"
_RANK = {Load.WAITS: 0, Load.WORKS: 1, Load.ALONE: 2}
_PARKED = "parked"  # a process that has a cluster, and waits for its turn


@dataclass(frozen=True, slots=True)
class _Has:
    """What a process has: its turn, None where it waits for one, and memory."""

    load: Load | None
    memory_bytes: int


class Turn:
    """The turn of one process among those that share `folder`. Not for several threads."""

    def __init__(self, folder: Path, memory_bytes: int | None = None) -> None:
        """`memory_bytes`: what all turns together may take; without it a share of what is free now."""
        self._folder = folder
        self._memory_bytes = memory_bytes or int(USABLE * limits().free_bytes)
        self._load: Load | None = None
        self._entry: BinaryIO | None = None
        self.waited_s = 0.0  # in all, for others

    @property
    def alone(self) -> bool:
        """Whether this process has the machine for itself."""
        return self._load is Load.ALONE

    def take(
        self,
        load: Load,
        *,
        memory_bytes: int = 0,
        waiting: Callable[[], None],
        make_room: Callable[[], None] | None = None,
    ) -> None:
        """Wait until it is this process's turn; a turn that it has already, for as much, is kept.

        `waiting` is called where others have theirs, and `make_room` where one of them has the machine alone: what this
        process keeps up meanwhile would be beside it. Who waits for a turn alone holds back those who come later, or it
        would wait until all of them are through. Meanwhile its memory stays its own.
        """
        if self._load is not None and _RANK[self._load] >= _RANK[load]:
            return
        has_bytes = memory_bytes if self._load is not None else 0  # with a turn it has its memory, and keeps it
        self._load = None
        self._write(None, has_bytes)
        told: set[str] = set()

        def blocked() -> None:
            if "waiting" not in told:
                told.add("waiting")
                waiting()
            if make_room is not None and "room" not in told and any(o.load is Load.ALONE for o in self._others()):
                told.add("room")
                make_room()

        queue: list[BinaryIO] = []  # its lock, where this process stays in it
        with self._counted():
            try:
                until(lambda: self._try(load, memory_bytes, has_bytes, queue, blocked), every_s=EVERY_S)
            finally:
                for held in queue:
                    held.close()
        self._load = load

    def prepared(self, waiting: Callable[[], None]) -> None:
        """Wait until the set-up that was begun beside the run is over, where one was.

        Raises OrdealError where it did not reach its end.
        """
        path = self._folder / SETUP
        if not path.exists():
            return
        with self._counted(), _flock(path, fcntl.LOCK_SH, waiting), opened(self._folder, SETUP) as file:
            said = file.read().decode(errors="replace").strip()
        if said:
            raise OrdealError(f"set-up did not reach its end: {said}")

    @contextmanager
    def building(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Around a build in the middle of a turn: beside it go only replays that wait.

        One that works, or is alone, has what a build needs. Nobody who has a turn waits for one that waits here.
        """
        if self._load is not Load.WAITS:
            yield
            return
        with ExitStack() as build:
            with self._counted():
                build.enter_context(_flock(self._folder / BUILD, fcntl.LOCK_EX, waiting))
                if any(o.load is Load.WORKS for o in self._others()):
                    waiting()
                    until(lambda: not any(o.load is Load.WORKS for o in self._others()), every_s=EVERY_S)
            yield

    def give_back(self) -> None:
        """Let others have their turn. Safe to repeat."""
        self._load = None
        if self._entry is not None:
            Path(self._entry.name).unlink(missing_ok=True)
            self._entry.close()
            self._entry = None

    def _try(
        self, load: Load, memory_bytes: int, has_bytes: int, queue: list[BinaryIO], blocked: Callable[[], None]
    ) -> bool:
        """Take the turn if it is there. Who waits for one alone stays in the queue, the others leave it again."""
        with ExitStack() as trying:
            if not queue:
                held = trying.enter_context(appended(self._folder / QUEUE))
                if not _locks(held, fcntl.LOCK_EX):
                    blocked()
                    return False
                if load is Load.ALONE:
                    trying.pop_all()
                    queue.append(held)
            build = trying.enter_context(appended(self._folder / BUILD))
            free = load is Load.WAITS or _locks(build, fcntl.LOCK_SH)  # held until the turn is written down
            if free and self._fits(load, memory_bytes - has_bytes):
                self._write(load, memory_bytes)
                return True
        blocked()
        return False

    def _fits(self, load: Load, more_bytes: int) -> bool:
        """Whether it may begin beside what the others have. One that wants more memory than there is gets it alone."""
        others = self._others()
        loads = [o.load for o in others if o.load is not None]
        taken = sum(o.memory_bytes for o in others)
        if Load.ALONE in loads or (load is Load.ALONE and loads) or (load is Load.WORKS and Load.WORKS in loads):
            return False
        return more_bytes <= 0 or taken == 0 or taken + more_bytes <= self._memory_bytes

    def _others(self) -> list[_Has]:
        """What the other processes have. A file that nobody holds is of one that gave its turn back."""
        found = []
        for path in (self._folder / TURNS).iterdir():
            with suppress(FileNotFoundError), opened(path.parent, path.name) as file:  # given back in this moment
                mine = self._entry is not None and self._entry.name == str(path)
                if not mine and not _locks(file, fcntl.LOCK_SH):
                    load, _, memory = file.read().decode().partition(" ")
                    found.append(_Has(None if load == _PARKED else Load(load), int(memory)))
        return found

    def _write(self, load: Load | None, memory_bytes: int) -> None:
        if self._entry is None:
            self._entry = _entry(self._folder)
        os.pwrite(self._entry.fileno(), _line(load, memory_bytes), 0)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the block's length as waiting."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.waited_s += time.monotonic() - began


def hold_works(folder: Path) -> BinaryIO:
    """Take, for a process that is about to be started and inherits the file, the turn of one that works: replays that
    do more than wait begin when every process that has the file has ended. Raises OrdealError for an unwritable folder.
    """
    held = _entry(folder)
    os.pwrite(held.fileno(), _line(Load.WORKS, 0), 0)
    return held


def hold_setup(folder: Path) -> BinaryIO:
    """The same for set-up, which `Turn.prepared` waits for; what is written into the file says why it failed.

    The caller lets go of it, after that was written.
    """
    held = appended(folder / SETUP)
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


def _entry(folder: Path) -> BinaryIO:
    """A file of one's own among the turns, locked. Raises OrdealError where the folder can't be written."""
    try:
        make_private(folder / TURNS)
        handle, name = tempfile.mkstemp(dir=folder / TURNS)
        os.close(handle)
        held = Path(name).open("r+b")  # noqa: SIM115  (closed by its holder)
        fcntl.flock(held, fcntl.LOCK_EX)
        os.pwrite(held.fileno(), _line(None, 0), 0)
    except OSError as error:
        raise OrdealError(
            f"results can't be written to {folder} ({error.strerror}); give another folder with --ordeal-results DIR"
        ) from error
    return held


def _line(load: Load | None, memory_bytes: int) -> bytes:
    """Always as long, so that who reads it meanwhile has the old one or the new one."""
    return f"{load or _PARKED} ".encode() + str(memory_bytes).rjust(40 - len(load or _PARKED)).encode()


def _locks(file: BinaryIO, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _flock(path: Path, how: int, waiting: Callable[[], None]) -> Iterator[None]:
    with appended(path) as held:
        if not _locks(held, how):
            waiting()
            fcntl.flock(held, how)
        yield
