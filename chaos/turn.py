"""Whose turn it is on this machine: several small replays at a time, or a large one alone.

A thousand simulated nodes need all of two cores to keep their heartbeats up; beside another replay they would go away
by themselves. The locks are the kernel's, so a process that dies gives its turn back.
"""

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from chaos.hosts.lock import locked


class Turn:
    """The turn of one process among those that share `folder`. Not for several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: BinaryIO | None = None
        self._alone = False
        self.waited_s = 0.0  # in all, for others

    @property
    def alone(self) -> bool:
        """Whether this process has the machine for itself."""
        return self._held is not None and self._alone

    def take(self, *, alone: bool, waiting: Callable[[], None]) -> None:
        """Wait until it is this process's turn; `waiting` is called once where others have theirs.

        Who waits for a turn alone holds back those who come later, or it would wait until all of them are through.
        """
        if self._held is not None and self._alone >= alone:
            return
        self.give_back()
        began = time.monotonic()
        with locked(self._folder / ".queue", waiting):
            held = (self._folder / ".turn").open("ab")
            how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
            try:
                fcntl.flock(held, how | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(held, how)
            self._held, self._alone = held, alone
        self.waited_s += time.monotonic() - began

    def give_back(self) -> None:
        """Let others have their turn. Safe to repeat."""
        if self._held is not None:
            self._held.close()
            self._held = None
