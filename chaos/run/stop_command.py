"""A command of the user's own that is asked again and again whether harm may go on.

It is an option of the run and stands in no cluster: who may edit the guard there would run programs on this machine.
"""

import os
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from chaos.basics.files import last_lines
from chaos.basics.scrub import scrub
from chaos.errors import OrdealError

OPTION = "stop-command"
WITHIN_S = 20.0
# Ends it where this process was killed and can't. The deadline above is ours, and comes first.
BOUND = ("timeout", "-s", "KILL", f"{WITHIN_S + 5:g}")
LOOK_EVERY_S = 0.05
LAST_BYTES, MOST_CHARACTERS = 4096, 200


@dataclass(frozen=True, slots=True)
class StopCommand:
    """A program with its arguments; no shell is between. Exit code 0: harm may go on."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.argv)

    @classmethod
    def of(cls, text: str) -> "StopCommand":
        """From one text, with quotes as a shell has them. Raises OrdealError where it names no program."""
        try:
            argv = tuple(shlex.split(text))
        except ValueError as error:
            raise OrdealError(f"--ordeal-{OPTION} can't be read ({error}): {text}") from error
        if not argv or not argv[0]:
            raise OrdealError(f"--ordeal-{OPTION} names no program: give one with its arguments, in one word")
        return cls(argv)

    def ends(self, over: threading.Event) -> str:
        """Run it once: why it ends all harm, in words; "" where it does not, or `over` was set meanwhile. One that
        can't be run does.

        What it has started in its session ends with it. Raises nothing but an interrupt, which ends it as well.
        """
        try:
            why = _asked(self.argv, over)
        except Exception as error:  # noqa: BLE001  (whatever it is: nobody has said that harm may go on)
            why = f"it can't be run: {error}"
        return f"the command `{self}` of --ordeal-{OPTION} ends all harm: {why}" if why and not over.is_set() else ""


def _asked(argv: Sequence[str], over: threading.Event) -> str:
    """What became of it, where that is not exit code 0."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*BOUND, *argv], stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        late = True
        try:
            late = _is_late(process, over)
        finally:
            with suppress(ProcessLookupError, PermissionError):  # it is not waited for yet: its number is its own
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        if late:
            return f"it did not end within {WITHIN_S:g} s{_last_line(said)}"
        return f"it exited with {code}{_last_line(said)}" if code else ""


def _is_late(process: "subprocess.Popen[bytes]", over: threading.Event) -> bool:
    """Wait until it has ended, or `over`; whether it took too long."""
    until = time.monotonic() + WITHIN_S
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > until:
            return True
        if over.wait(LOOK_EVERY_S):
            return False
    return False


def _last_line(said: IO[bytes]) -> str:
    lines = last_lines(said, LAST_BYTES)
    return f": {scrub(lines[-1])[:MOST_CHARACTERS]}" if lines else ""
