"""What a replay is doing right now: a view that is kept up to date in a terminal, or a line now and then in a log."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from chaos.basics import visible
from chaos.record.history import History
from chaos.record.records import NodeChange, Probe

EVERY_S = 1.0
STILL_EVERY_S = 30.0  # in a log
NAMED = 4  # objects of one kind that are named in a line


@dataclass(frozen=True, slots=True)
class Now:
    """A phase, since when (monotonic seconds), and how long it lasts, or may last at the most; None: nobody knows."""

    phase: str
    detail: str
    since: float
    lasts_s: float | None = None


class LiveReplay(Protocol):
    """A replay that goes on: a Lab."""

    @property
    def now(self) -> Now:
        """What goes on."""
        ...

    @property
    def recording(self) -> History | None:
        """What is being recorded; None where nothing is."""
        ...

    @property
    def duration_s(self) -> float:
        """Seconds since the replay began."""
        ...


class View:
    """Shows replays while they go on, on `out`: kept up to date where that is a terminal, else a line now and then.

    Without `out` nothing is shown.
    """

    def __init__(self, out: TextIO | None, of_all: Callable[[], str] = str) -> None:
        """`of_all`: how far the whole run is, in one line; empty where there is nothing to say."""
        self._out, self._of_all = out, of_all
        self._live: Live | None = None

    def say(self, line: str) -> bool:
        """Write a line above what is shown; False where nothing is shown, and the line is the caller's to write."""
        if self._live is None:
            return False
        self._live.console.print(Text(visible.line(line)), soft_wrap=True)
        return True

    @contextmanager
    def of(self, name: str, watched: LiveReplay, before_s: float | None = None) -> Iterator[None]:
        """Show a replay for the block's length; `before_s`: how long it took the last time."""

        def shown() -> Text:
            said = [each for each in (self._of_all(), *status(name, watched, before_s)) if each]
            return Text(visible.joined(said), style="dim", no_wrap=True, overflow="ellipsis")

        if self._out is None:
            yield
            return
        if not self._out.isatty():
            with _still(watched, self._out):
                yield
            return
        console = Console(file=self._out, markup=False)
        live = Live(
            get_renderable=shown,
            console=console,
            transient=True,
            refresh_per_second=1 / EVERY_S,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with live:
            self._live = live
            try:
                yield
            finally:
                self._live = None


@contextmanager
def _still(watched: LiveReplay, out: TextIO) -> Iterator[None]:
    """In a log: a long wait says what for, again and again."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(STILL_EVERY_S):
            if time.monotonic() - watched.now.since >= STILL_EVERY_S:
                out.write(f"{datetime.now(UTC):%H:%M:%S} {visible.line(f'still {_phase(watched.now)}')}\n")
                out.flush()

    thread = threading.Thread(target=tell, name="still", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def status(name: str, watched: LiveReplay, before_s: float | None = None) -> list[str]:
    """The lines of the view: the replay, its phase, the nodes, each Service that is probed."""
    before = f" (last time {_span(before_s)})" if before_s else ""
    lines = [f"{name}: {_span(watched.duration_s)}{before}", f"  {_phase(watched.now)}"]
    history = watched.recording
    if history is not None:
        lines += [f"  {line}" for line in (*_nodes(history), *_services(history))]
    return lines


def _phase(now: Now) -> str:
    elapsed = time.monotonic() - now.since
    of = f" of {_span(now.lasts_s)}" if now.lasts_s is not None else ""
    return f"{now.phase}{': ' if now.detail else ''}{now.detail}, {_span(elapsed)}{of}"


def _nodes(history: History) -> list[str]:
    last = {n.name: n for n in history.of(NodeChange)}
    there = [n for n in last.values() if n.change != "deleted"]
    away = [n.name for n in there if n.ready != "True"]
    if not there:
        return []
    return [f"nodes: {len(there) - len(away)} of {len(there)} Ready{f'; not: {_some(away)}' if away else ''}"]


def _services(history: History) -> list[str]:
    failed: dict[str, int] = {}
    since: dict[str, dict[str, float]] = {}
    for probe in history.of(Probe):
        failing = since.setdefault(probe.target, {})
        failed[probe.target] = failed.get(probe.target, 0) + (not probe.ok)
        if probe.ok:
            failing.pop(probe.node, None)
        else:
            failing.setdefault(probe.node, probe.at)
    return [
        f"{target}: {_outage(history.now(), failing)}, {failed[target]} probes without an answer so far"
        for target, failing in since.items()
    ]


def _outage(at: float, failing: dict[str, float]) -> str:
    if not failing:
        return "answers"
    return f"no answer for {at - min(failing.values()):.1f} s, from {_some(sorted(failing))}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
