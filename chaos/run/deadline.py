"""The time limit of a test, as pytest-timeout counts it, for tests that have something to take back.

pytest-timeout itself raises wherever the program stands, also in the middle of an undo, or ends the process. Here a
limit ends the story alone, as Ctrl-C would: all that is taken back is taken back, and what a fixture does is not cut.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any

import pytest


class TimedOutError(KeyboardInterrupt):
    """The limit was reached. An interrupt, so that nothing that asks again after an error goes on."""


def is_nothing_else(error: KeyboardInterrupt) -> bool:
    """Whether it is a limit that was reached, and hides no interrupt of a user's that was on its way already."""
    interrupts = [each for each in beneath(error) if isinstance(each, KeyboardInterrupt)]
    return all(isinstance(each, TimedOutError) for each in interrupts)


def beneath(error: BaseException) -> Iterator[BaseException]:
    """An error, and whatever it was raised from or in the handling of; each once, for they may lead in a circle."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            left += [each.__context__, each.__cause__]


class Deadline:
    """A limit in seconds from its `start` on. Outside of the main thread, which alone gets signals, there is none."""

    def __init__(self, limit_s: float, is_debugged: Callable[[], bool] = bool) -> None:
        """`is_debugged`: somebody looks into the test with a debugger, and is not to be thrown out."""
        self._limit_s, self._is_debugged = limit_s, is_debugged
        self._before: Any = None
        self._is_set = self._is_enforced = self._is_over = False

    def start(self) -> None:
        """Begin to count."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._before = signal.signal(signal.SIGALRM, self._ring)
        self._is_set = True
        signal.setitimer(signal.ITIMER_REAL, self._limit_s)

    def cancel(self) -> None:
        """Count no more. Safe to repeat."""
        if self._is_set:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            self._is_set = False

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Within the block TimedOutError is raised at the limit, or at once where that is over already."""
        self._is_enforced = True
        try:
            if self._is_over:
                raise self._error()
            yield
        finally:
            self._is_enforced = False

    def _ring(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (a handler is called with both)
        if self._is_debugged():
            return
        self._is_over = True
        if self._is_enforced:
            self._is_enforced = False
            raise self._error()

    def _error(self) -> TimedOutError:
        return TimedOutError(f"timed out after {self._limit_s:g} s")


DEADLINE = pytest.StashKey[Deadline]()


def in_time(item: pytest.Item) -> AbstractContextManager[None]:
    """Enforces a test's limit, where it has one."""
    deadline = item.stash.get(DEADLINE, None)
    return nullcontext() if deadline is None else deadline.enforced()
