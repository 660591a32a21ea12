"""pytest's side of the line that says how far a run is, and how much of the processors it left idle."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import psutil
import pytest

from chaos.basics.progress import EVERY_IN_A_LOG_S, EVERY_S, Progress, StatusLine, shown
from chaos.hosts.bundles import normal_version
from chaos.plugin import worker_input
from chaos.run import durations
from chaos.run.budget import span
from chaos.run.mark import is_replay
from chaos.run.options import options_of
from chaos.run.suites import case_of, named, replays

IDLE = "processors idle"  # of what is measured of a run
QUIET_KEY = "kube_ordeal_quiet"  # tells a process that the one with the terminal shows what goes on


@dataclass(slots=True)
class Showing:
    """What one pytest process shows: the one that has the terminal."""

    progress: Progress
    idle: "Idle"
    line: StatusLine | None = None
    going_on: AbstractContextManager[None] | None = None
    begun: bool = False


SHOWING = pytest.StashKey[Showing]()
STDOUT = pytest.StashKey[TextIO]()  # past pytest's capture


def pytest_configure(config: pytest.Config) -> None:
    """From the first second on."""
    if worker_input(config, "workerid") or config.option.collectonly or options_of(config).plan:
        return
    lanes = len(getattr(config.option, "tx", None) or ()) or 1
    config.stash[SHOWING] = Showing(Progress(lanes), Idle())


def pytest_collection_finish(session: pytest.Session) -> None:
    """What the run is made of, where nothing runs side by side."""
    if not session.config.pluginmanager.hasplugin("dsession"):
        expect(session.config, [item.nodeid for item in session.items])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Iterable[str]) -> None:
    """The same side by side: every process has collected the same."""
    expect(node.config, list(ids))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """On a terminal the process that has it shows what goes on, and the others write nothing between."""
    if _on_terminal(node.config):
        node.workerinput[QUIET_KEY] = "yes"


class Hooks:
    """The hooks that need the run's state."""

    def __init__(self, showing: Showing) -> None:
        self._progress = showing.progress

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A replay begins."""
        self._progress.begin(short(nodeid))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """It is over."""
        self._progress.end(short(nodeid))

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        """So it is where its process has died, which says nothing more."""
        self._progress.end(short(crashitem))


def expect(config: pytest.Config, ids: list[str]) -> None:
    """Begin to show, where there is a replay among the tests; only once."""
    found = config.stash.get(SHOWING, None)
    if found is None or found.begun or not any(is_replay(nodeid) for nodeid in ids):
        return  # in somebody else's tests nothing of ours is even imported
    known = replays()
    of = {nodeid: replay for nodeid in ids if (replay := known.get(named(nodeid, known))) is not None}
    found.begun = True
    took = durations.load()
    asked = options_of(config)
    version = normal_version(asked.kubernetes)
    for nodeid, replay in of.items():
        took_s = took.replay_s(case_of(nodeid, known), replay.shape, asked.profile, version)
        found.progress.expect(short(nodeid), took_s)
    config.pluginmanager.register(Hooks(found))
    if config.getoption("verbose", 0) < 0:
        return
    tell, every_s = _teller(config, found)
    found.going_on = shown(found.progress, tell, every_s=every_s)
    found.going_on.__enter__()


def end(config: pytest.Config) -> None:
    """Show nothing any more. Safe to repeat."""
    found = config.stash.get(SHOWING, None)
    if found is None or found.going_on is None:
        return
    found.going_on.__exit__(None, None, None)
    found.going_on = None
    if found.line is not None:
        found.line.clear()
        config.get_terminal_writer()._file = found.line.file


class Idle:
    """How much of the processors is idle, from when it is made."""

    def __init__(self) -> None:
        self._began, self._times = time.monotonic(), psutil.cpu_times()

    def __str__(self) -> str:
        now, before = psutil.cpu_times(), self._times
        total_s = sum(now) - sum(before)
        idle_s = (now.idle + getattr(now, "iowait", 0.0)) - (before.idle + getattr(before, "iowait", 0.0))
        share = idle_s / total_s if total_s > 0 else 0.0
        lasted = span(time.monotonic() - self._began)
        return f"{100 * share:.0f} % of {lasted} on {os.cpu_count()}; busy for {total_s - idle_s:.0f} processor seconds"


def short(nodeid: str) -> str:
    """A node id without folders and file."""
    return nodeid.partition("::")[2].removeprefix("test_") or nodeid


def _on_terminal(config: pytest.Config) -> bool:
    if not config.pluginmanager.hasplugin("terminalreporter"):  # switched off
        return False
    return bool(config.get_terminal_writer()._file.isatty())


def _teller(config: pytest.Config, found: Showing) -> tuple[Callable[[str], None], float]:
    """How the line is told, and how often. On a terminal it is the last one, else one of the log."""
    side_by_side = config.pluginmanager.hasplugin("dsession")
    if not side_by_side and _on_terminal(config):
        return lambda _: None, EVERY_IN_A_LOG_S  # the view of the replay that goes on has it
    if _on_terminal(config):
        writer = config.get_terminal_writer()
        line = found.line = StatusLine(writer._file)
        writer._file = line
        return lambda text: line.show(text, writer.fullwidth), EVERY_S
    out = config.stash.get(STDOUT, None)  # past pytest's capture, which belongs to the thread that runs the tests

    def tell(text: str) -> None:
        if out is not None:
            out.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
            out.flush()

    return tell, EVERY_IN_A_LOG_S
