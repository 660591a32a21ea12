"""How far a run is, in one line: what is done, what goes on, and when it should be over."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TextIO

from chaos.basics.visible import line

EVERY_S = 1.0
EVERY_IN_A_LOG_S = 30.0
NAMED = 3  # of those that go on
CLEAR = "\r\x1b[K"
Report = Callable[[str], None]  # is told what goes on, a line at a time


def silent(_: str) -> None:
    """A report that nobody reads."""


@dataclass(slots=True)
class _Part:
    expected_s: float
    first: bool = False
    began: float | None = None
    over: bool = False


class Progress:
    """The parts of a run, of which several may go on at the same time.

    What is expected comes from earlier runs. A part that takes longer than expected counts as one that is nearly over.
    """

    def __init__(self, lanes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """`lanes`: how many parts go on at the same time."""
        self._lanes, self._clock = max(1, lanes), clock
        self._parts: dict[str, _Part] = {}
        self._beside: Callable[[], str] = str

    def expect(self, name: str, expected_s: float, *, first: bool = False) -> None:
        """A part of the run, and how many seconds it should take. `first`: the others wait for it, and it is not
        counted among what is done.
        """
        self._parts.setdefault(name, _Part(expected_s, first))

    def beside(self, said: Callable[[], str]) -> None:
        """Whoever is first: its last words, empty where there are none any more."""
        self._beside = said

    def begin(self, name: str) -> None:
        """A part begins."""
        self._parts.setdefault(name, _Part(0.0)).began = self._clock()

    def end(self, name: str) -> None:
        """A part is over."""
        self._parts.setdefault(name, _Part(0.0)).over = True

    @property
    def left_s(self) -> float:
        """When it should be over, in seconds from now."""
        parts = [part for part in list(self._parts.values()) if not part.over]
        left = [self._left_s(part) for part in parts if not part.first]
        before_s = sum(self._left_s(part) for part in parts if part.first)
        return before_s + (max(sum(left) / self._lanes, *left) if left else 0.0)

    def line(self) -> str:
        """The line."""
        every = list(self._parts.items())
        parts = [part for _, part in every if not part.first]
        done = sum(part.over for part in parts)
        now = [f"{name} ({self._so_far(part)})" for name, part in every if part.began is not None and not part.over]
        more = len(now) - NAMED
        said = [f"{done} of {len(parts)} done", "; ".join(now[:NAMED]) + (f" and {more} more" if more > 0 else "")]
        said.append(self._beside())
        if done < len(parts):
            at = datetime.now().astimezone() + timedelta(seconds=self.left_s)
            said.append(f"over in about {_span(self.left_s)}, at {at:%H:%M}")
        return line(" | ".join(each for each in said if each))

    def _so_far(self, part: _Part) -> str:
        of = f" of about {part.expected_s:.0f} s" if part.expected_s else ""
        return f"{self._clock() - (part.began or 0.0):.0f} s{of}"

    def _left_s(self, part: _Part) -> float:
        return part.expected_s if part.began is None else max(0.0, part.expected_s - (self._clock() - part.began))


class StatusLine:
    """Stands before a terminal's file: its last line is shown again and again, and gives way to whatever is written.

    Everything else is the file's.
    """

    def __init__(self, file: TextIO) -> None:
        self.file, self._lock = file, threading.RLock()
        self._shown, self._in_line = False, False

    def write(self, text: str) -> int:
        """Write, after what is shown was cleared away."""
        with self._lock:
            self.clear()
            if text:
                self._in_line = not text.endswith("\n")
            return self.file.write(text)

    def show(self, text: str, width: int) -> None:
        """Show the line, cut to the width of the terminal."""
        with self._lock:
            self.clear()
            if self._in_line:
                self.file.write("\n")
                self._in_line = False
            self.file.write(text[: width - 1])
            self.file.flush()
            self._shown = True

    def clear(self) -> None:
        """Clear the line away."""
        with self._lock:
            if self._shown:
                self.file.write(CLEAR)
                self._shown = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@contextmanager
def shown(progress: Progress, tell: Callable[[str], None], *, every_s: float) -> Iterator[None]:
    """Tell the line again and again while the block lasts."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(every_s):
            tell(progress.line())

    thread = threading.Thread(target=go_on, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
