"""Signals that end a program, or a test, taken like Ctrl-C: what was begun is taken back."""

import errno
import os
import signal
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

OTHERS = (signal.SIGALRM, signal.SIGUSR1)  # a limit that is reached; an owner who stops the harm
ENDING = (signal.SIGTERM, signal.SIGHUP)  # asked to end; the terminal was closed


def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (a signal's handler is called with both)
    """A handler. Those that come after the first one are ignored: they would cut short what is being taken back."""
    _leave_closed_terminal()
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _leave_closed_terminal() -> None:
    """Where standard input and output are a terminal that was closed, let them lead nowhere.

    Each write to one fails (EIO), and what is told while something is taken back would cut that short.
    """
    closed = [number for number in range(3) if _is_closed_terminal(number)]
    if not closed:
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in closed:
        os.dup2(nowhere, number)
    if nowhere not in closed:
        os.close(nowhere)


def _is_closed_terminal(descriptor: int) -> bool:
    try:
        termios.tcgetattr(descriptor)
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)  # ENOTTY: a file, a pipe, or what led nowhere before
    return False


class Handlers:
    """Handlers for the signals of ENDING, until they are put back. One that is ignored, as under nohup, stays so.

    Outside of the main thread, which alone gets signals, nothing is done.
    """

    def __init__(self, handler: Any = interrupt) -> None:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, handler)

    def put_back(self) -> None:
        """Put back those that were there. Safe to repeat."""
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, before)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold Ctrl-C and the signals of ENDING and OTHERS back while something is put right; they come at the block's end,
    each once, Ctrl-C last.

    Handlers alone would not keep Ctrl-C from programs that are run meanwhile, and a mask alone does not keep it from
    this one: with threads, the kernel hands a signal to one that lets it through, and Python to the main thread.
    Outside of the main thread nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, *ENDING, *OTHERS)
        if signal.getsignal(number) not in {signal.SIG_IGN, None}
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *ENDING})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        _let_come([each for each in before if each in came])


def _let_come(numbers: Sequence[int]) -> None:
    """The last one first: what the first one raises is what leaves. One that raises keeps no other from coming."""
    if numbers:
        try:
            signal.raise_signal(numbers[-1])
        finally:
            _let_come(numbers[:-1])


@contextmanager
def as_interrupts() -> Iterator[None]:
    """The signals of ENDING raise KeyboardInterrupt for the length of the block."""
    handlers = Handlers()
    try:
        yield
    finally:
        handlers.put_back()
