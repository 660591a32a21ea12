"""Whose turn it is on this machine: replays that wait side by side, one at a time that works, or one alone.

A replay says what it asks of the machine (chaos.incident.Load, and its memory). The locks are the kernel's, so a
process that dies gives its turn back.
"""

import fcntl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import psutil

from chaos.hosts.lock import locked
from chaos.incident import Load
from chaos.waiting import until

# Of the memory that was free when the first turn was taken: the rest is for the runs themselves.
USABLE = 0.85
_RANK = {Load.WAITS: 0, Load.WORKS: 1, Load.ALONE: 2}


class Turn:
    """The turn of one process among those that share `folder`. Not for several threads."""

    def __init__(self, folder: Path, memory_bytes: int | None = None) -> None:
        """`memory_bytes`: what all turns together may take; without it a share of what is free now."""
        self._folder = folder
        self._memory_bytes = memory_bytes or int(USABLE * psutil.virtual_memory().available)
        self._load: Load | None = None
        self._held = ExitStack()
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
        would wait until all of them are through.
        """
        if self._load is not None and _RANK[self._load] >= _RANK[load]:
            return
        self.give_back()
        with self._counted(), ExitStack() as turn:
            if load is not Load.WAITS:  # before the queue: a build goes on for minutes, and others may wait beside it
                turn.enter_context(_flock(self._folder / ".works", fcntl.LOCK_EX, waiting))
            with locked(self._folder / ".queue", waiting):
                alone = load is Load.ALONE
                blocked = waiting if alone else _both(waiting, make_room)
                how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
                turn.enter_context(_flock(self._folder / ".turn", how, blocked))
                turn.enter_context(self._memory(memory_bytes, waiting))
            self._held, self._load = turn.pop_all(), load

    def prepared(self, waiting: Callable[[], None]) -> None:
        """Wait until the set-up that was begun beside the run is over, where one was."""
        if (self._folder / ".setup").exists():
            with self._counted(), _flock(self._folder / ".setup", fcntl.LOCK_SH, waiting):
                pass

    @contextmanager
    def building(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Around a build in the middle of a turn: beside it go only replays that wait."""
        if self._load is not Load.WAITS:
            yield
            return
        with ExitStack() as turn:
            with self._counted():
                turn.enter_context(_flock(self._folder / ".works", fcntl.LOCK_EX, waiting))
            yield

    def give_back(self) -> None:
        """Let others have their turn. Safe to repeat."""
        self._load = None
        self._held.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the block's length as waiting."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.waited_s += time.monotonic() - began

    @contextmanager
    def _memory(self, wanted_bytes: int, waiting: Callable[[], None]) -> Iterator[None]:
        """So much memory, once those that have a turn leave it. One that wants more than there is gets it alone."""
        folder = self._folder / ".memory"
        folder.mkdir(exist_ok=True)

        def there_is_room() -> bool:
            others = _taken(folder)
            return not others or sum(others) + wanted_bytes <= self._memory_bytes

        if not there_is_room():
            waiting()
            until(there_is_room)
        with tempfile.NamedTemporaryFile("w", dir=folder) as mine:
            fcntl.flock(mine, fcntl.LOCK_EX)
            mine.write(str(wanted_bytes))
            mine.flush()
            yield


def hold_works(folder: Path) -> BinaryIO:
    """Take, for a process that is about to be started and inherits the file, the lock of a build: replays that do more
    than wait begin when every process that has the file has ended.
    """
    return _hold(folder / ".works")


def hold_setup(folder: Path) -> BinaryIO:
    """The same for set-up, which `Turn.prepared` waits for."""
    return _hold(folder / ".setup")


def _hold(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    held = path.open("ab")
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


@contextmanager
def _flock(path: Path, how: int, waiting: Callable[[], None]) -> Iterator[None]:
    with path.open("ab") as held:
        try:
            fcntl.flock(held, how | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(held, how)
        yield


def _both(waiting: Callable[[], None], make_room: Callable[[], None] | None) -> Callable[[], None]:
    def call() -> None:
        waiting()
        if make_room is not None:
            make_room()

    return call


def _taken(folder: Path) -> list[int]:
    """What each process that has a turn has taken. A file that nobody holds is of one that gave its turn back."""
    taken = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError), path.open("r") as file:  # given back in this moment
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                taken.append(int(file.read() or "0"))
    return taken
