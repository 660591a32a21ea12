"""Getting the machine ready as a process of its own: beside replays that need little of it, or before all of them."""

import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from chaos.basics.signals import as_interrupts
from chaos.clusters.base import KIND, SIMULATED
from chaos.hosts.bundles import normal_version
from chaos.run.options import Options
from chaos.run.turn import hold_setup, hold_works

END_WITHIN_S = 60.0  # an interrupted set-up takes back what is half-made
LAST_LINES = 3
_STAMP = re.compile(r"^\d\d:\d\d:\d\d ")  # the time before a line: whoever reports it has its own
_COMMAND = [sys.executable, "-P", "-m", "chaos.cli.app", "setup", "--yes"]


def options_for(asked: Options) -> list[str]:
    """Those of `kube-ordeal setup` for what a run asks for. Raises OrdealError for what is no version."""
    target = asked.cluster if asked.cluster in {KIND, SIMULATED} else "all"
    image = ["--kind-image", asked.kind_image] if asked.kind_image and target != SIMULATED else []
    return ["--for", target, "--kubernetes", normal_version(asked.kubernetes), *image]


def prepare(options: list[str]) -> int:
    """Do the set-up now, in this terminal; returns its exit code. `options`: those of `kube-ordeal setup`.

    An interrupt ends it, and is raised when it has ended.
    """
    with as_interrupts():
        process = subprocess.Popen([*_COMMAND, *options], stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            return process.wait()
        finally:
            _end(process)


class Preparing:
    """A set-up that goes on. Replays that do more than wait begin when it is over, and so do those on kind."""

    def __init__(
        self, folder: Path, options: list[str], report: Callable[[str], None], over: Callable[[], None]
    ) -> None:
        """`folder` is that of the run's turns; `options` those of `kube-ordeal setup`; `report` takes what it says;
        `over` is called when it has ended. Raises OrdealError where the folder can't be written.
        """
        self._report, self._over = report, over
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        with hold_works(folder) as works:
            self._setup = hold_setup(folder)  # let go when it is said how it ended
            self._process = subprocess.Popen(
                [*_COMMAND, "--no-progress", *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=(works.fileno(),),
                start_new_session=True,  # so that what ends it is sent once, by `end`
            )
        self._reader = threading.Thread(target=self._read, name="set-up", daemon=True)
        self._reader.start()

    @property
    def now(self) -> str:
        """The last thing that it said; empty where it said nothing yet, or is over."""
        return self._last[-1] if self._last and self._process.poll() is None else ""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def failure(self) -> str:
        """What it said last, where it is over and did not reach its end; else empty."""
        return " ".join(self._last) or "it said nothing" if self._process.poll() else ""

    def end(self) -> None:
        """Interrupt it where it still goes on, and wait for its end. Safe to repeat."""
        _end(self._process)
        self._reader.join(END_WITHIN_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if said := _STAMP.sub("", line).strip():
                    self._last.append(said)
                    with suppress(OSError):  # the terminal was closed
                        self._report(f"set-up: {said}")
        self._process.wait()
        with self._setup as setup, suppress(OSError):
            setup.write(self.failure.encode())
        self._over()


def _end(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


PREPARING = pytest.StashKey[Preparing]()
