"""A command that a bench runs to its end: its lines with the time of each, and what the processors did meanwhile."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

# What `make` hands on to a make that is started below it: this one would take the bench's ARGS for its own.
OF_MAKE = ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "SIDE_BY_SIDE")
OF_RECIPE = re.compile(r"^make(?:\[\d+\])?: \*\*\* \[.*\] Error (\d+)$")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of output, without its end, and when it came, in seconds since the command began."""

    at_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended. `load` is the machine's load average of the last minute, at its start and at its end.

    `idle`: the share of all processors' time in which none had work, those that waited for a disk included; `busy_s`
    what is left, in seconds of one processor. Both are of the machine, whoever used it.
    """

    code: int
    took_s: float
    lines: tuple[Line, ...]
    interrupted: bool
    load: tuple[float, float]
    idle: float
    busy_s: float

    @property
    def exit_code(self) -> int:
        """The command's; of a `make` that of the recipe that failed, which make itself turns into 2."""
        failed = next((found for each in reversed(self.lines) if (found := OF_RECIPE.search(each.text))), None)
        return int(failed[1]) if failed and self.code else self.code


def run_to_end(
    argv: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
    tell: Callable[[str], None] | None = None,
) -> Ended:
    """Run a command, its output in `log`, and each line of it given to `tell`.

    `env` is added to this process's environment, and the names in `without` are left out of it. Ctrl-C, SIGTERM and
    SIGHUP are handed on as Ctrl-C to all that the command started; it is then waited for, so that it cleans up.
    """
    dropped = {*OF_MAKE, *without}
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"PYTHONUNBUFFERED": "1", **(env or {})}
    log.parent.mkdir(parents=True, exist_ok=True)
    load, cpu, began = psutil.getloadavg()[0], _cpu(), time.monotonic()
    lines: list[Line] = []
    with log.open("w") as kept, _started(argv, cwd, environment) as (process, interrupted):
        assert process.stdout is not None
        for text in process.stdout:
            lines.append(Line(time.monotonic() - began, text.rstrip()))
            kept.write(text)
            kept.flush()
            if tell is not None:
                tell(lines[-1].text)
        code = process.wait()
    took_s, (idle_s, all_s) = time.monotonic() - began, _cpu()
    idle_s, all_s = idle_s - cpu[0], max(all_s - cpu[1], 1e-9)
    return Ended(
        code,
        took_s,
        tuple(lines),
        bool(interrupted),
        (load, psutil.getloadavg()[0]),
        min(1.0, idle_s / all_s),
        max(0.0, all_s - idle_s),
    )


@contextmanager
def _started(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str]
) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """The process, in a group of its own, and the signals that were handed on to that group."""
    interrupted: list[int] = []
    running: list[subprocess.Popen[str]] = []

    def hand_on(number: int, _: FrameType | None) -> None:
        interrupted.append(number)
        for each in running:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGINT)

    # Before it is started: a signal that this process was told to ignore, as in the background of a shell, would be
    # ignored by the command too.
    before = {each: signal.signal(each, hand_on) for each in SIGNALS}
    try:
        with subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        ) as process:
            running.append(process)
            if interrupted:
                os.killpg(process.pid, signal.SIGINT)
            yield process, interrupted
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _cpu() -> tuple[float, float]:
    """Seconds of all processors together since the machine's start: idle, and all."""
    times = psutil.cpu_times()
    # guest time is in user time already (proc(5))
    return times.idle + times.iowait, sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
