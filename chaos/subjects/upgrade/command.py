"""A command of the user's own: a process here, and all that it starts, known by a mark in its environment."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from chaos.basics.files import appended, last_lines
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.hosts.places import make_private

MARK = "KUBE_ORDEAL_UPGRADE"
ENDS_WITHIN_S = 60.0  # after SIGTERM: a tool puts its own state in order before it ends
LAST_LINES, LAST_CHARACTERS, LAST_BYTES = 3, 500, 8192


class Command:
    """It runs once, in a session of its own: what ends the run from a terminal reaches the run alone, which ends it."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._code = 0

    def start(self, argv: Sequence[str], output: Path | None, mark: str, environment: Mapping[str, str]) -> None:
        """Start it without a shell, in the current folder. `output`: where what it writes goes. Raises OSError."""
        if output is not None:
            make_private(output.parent)
        with appended(output) if output is not None else open(os.devnull, "wb") as written:  # noqa: PTH123
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, MARK: mark},
                start_new_session=True,
            )
        threading.Thread(target=self._reap, args=(process,), name="upgrade-command", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether it has run and ended."""
        return self._over.is_set()

    def wait(self, within_s: float) -> int | None:
        """Its exit code, negative by a signal; None where it is not over within that time."""
        return self._code if self._over.wait(within_s) else None

    def _reap(self, process: "subprocess.Popen[bytes]") -> None:
        self._code = process.wait()
        self._over.set()


def marked(mark: str) -> tuple[int, ...]:
    """The processes that carry the mark, which all that a command starts inherits."""
    wanted = f"{MARK}={mark}".encode()
    return tuple(int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and _carries(each, wanted))


def end(mark: str) -> None:
    """End them, each with its group: by SIGTERM, and by SIGKILL what does not end by that."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in marked(mark):
            with suppress(OSError):
                os.killpg(os.getpgid(process), number)
        with suppress(WaitedInVainError):
            eventually(lambda: not marked(mark), within_s=ENDS_WITHIN_S, what="it to end", every_s=0.1)


def last_words(output: Path) -> str:
    """The last lines of what it wrote, as one."""
    with output.open("rb") as file:
        lines = last_lines(file, LAST_BYTES)
    return " / ".join(lines[-LAST_LINES:])[-LAST_CHARACTERS:]


def _carries(process: Path, wanted: bytes) -> bool:
    try:
        return wanted in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or is another user's
        return False
