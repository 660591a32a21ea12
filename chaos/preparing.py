"""Getting the machine ready while replays that need little of it go on: set-up as a process of its own, that yields."""

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from chaos.turn import hold_setup, hold_works

_STAMP = re.compile(r"^\d\d:\d\d:\d\d ")  # the time before a line: whoever reports it has its own
END_WITHIN_S = 60.0  # an interrupted set-up takes back what is half-made


class Preparing:
    """A set-up that goes on. Replays that do more than wait begin when it is over, and so do those on kind."""

    def __init__(
        self, folder: Path, options: list[str], report: Callable[[str], None], over: Callable[[], None]
    ) -> None:
        """`folder` is that of the run's turns; `options` those of `kube-ordeal setup`; `report` takes what it says;
        `over` is called when it has ended.
        """
        with hold_works(folder) as works, hold_setup(folder) as setup:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaos.cli", "setup", "--yes", "--no-progress", *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=(works.fileno(), setup.fileno()),
            )
        self._report, self._over = report, over
        self._said = ""
        self._reader = threading.Thread(target=self._read, name="set-up", daemon=True)
        self._reader.start()

    @property
    def now(self) -> str:
        """The last thing that it said; empty where it said nothing yet, or is over."""
        return self._said if self._process.poll() is None else ""

    @property
    def failed(self) -> bool:
        """Whether it is over and did not reach its end."""
        return bool(self._process.poll())

    def end(self) -> None:
        """Interrupt it where it still goes on, and wait for its end. Safe to repeat."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(END_WITHIN_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if said := _STAMP.sub("", line).strip():
                    self._said = said
                    self._report(f"set-up: {said}")
        self._process.wait()
        self._over()
