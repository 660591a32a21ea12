"""What a run says while it goes on: timestamped lines past pytest's capture, in whichever process they come up."""

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import pytest

from chaos.basics.scrub import scrub
from chaos.basics.visible import line, lines
from chaos.plugin import worker_input
from chaos.run.live import View
from chaos.session.showing import QUIET_KEY, STDOUT


def keep_stdout(config: pytest.Config) -> None:
    """Keep a handle of standard output of our own, because pytest captures the other one while tests run."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with suppress(OSError), capture.global_and_fixture_disabled() if capture is not None else nullcontext():
        config.stash[STDOUT] = os.fdopen(os.dup(sys.stdout.fileno()), "w", errors="backslashreplace")
        config.add_cleanup(config.stash[STDOUT].close)


def stdout(config: pytest.Config) -> TextIO | None:
    """Standard output past pytest's capture; None with -q, and in a process that was started by another one."""
    if config.getoption("verbose", 0) < 0 or worker_input(config, "workerid"):
        return None
    return config.stash.get(STDOUT, None)


def reporter(config: pytest.Config, view: View | None = None, *, always: bool = False) -> Callable[[str], None]:
    """Timestamped lines, past pytest's capture; with -q none, but for what is told `always`."""
    if config.getoption("verbose", 0) < 0 and not always:
        return lambda _: None
    capture = config.pluginmanager.getplugin("capturemanager")
    terminal = config.pluginmanager.getplugin("terminalreporter")
    worker = worker_input(config, "workerid")

    def report(told: str) -> None:
        shown = line(scrub(told))  # what is said on a terminal is kept in CI's logs
        said = f"{datetime.now(UTC):%H:%M:%S} {f'[{worker}] ' if worker else ''}{shown}"
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            if worker and worker_input(config, QUIET_KEY) and not always:
                return
            if worker:  # it has no terminal; what it writes here reaches that of the process that started it
                sys.stderr.write(f"{said}\n")
                sys.stderr.flush()
            elif terminal is not None:
                with suppress(OSError):  # the terminal was closed; what is going on has to go on
                    if view is None or not view.say(said):
                        terminal.ensure_newline()
                        terminal.write_line(said)
                        terminal.flush()

    return report


def agreed(config: pytest.Config, question: str) -> bool:
    """Whether the user says yes. False where nobody can be asked: no terminal, or a process that has none."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if worker_input(config, "workerid"):
        return False
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    try:
        if not sys.stdin.isatty() or not sys.stdout.isatty():
            return False
        sys.stdout.write(f"{lines(question)} [y/N] ")
        sys.stdout.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}
    finally:
        if capture is not None:
            capture.resume_global_capture()


def made_visible(report: pytest.TestReport) -> pytest.TestReport:
    """The report of a test: what clusters said in its message, traceback and output is visible, without secrets."""
    report.longrepr = _visible(report.longrepr)
    report.sections = _visible(report.sections)
    return report


def _visible(value: Any) -> Any:
    """Each text in pytest's objects for what it shows."""
    if isinstance(value, str):
        return lines(scrub(value))
    if isinstance(value, list | tuple):
        return type(value)(map(_visible, value))
    if hasattr(value, "toterminal"):
        for name, each in vars(value).items():
            object.__setattr__(value, name, _visible(each))
    return value


def write(terminal: pytest.TerminalReporter, told: str) -> None:
    """A line of the summary, whatever is in it."""
    terminal.write_line(line(told))
