"""Is a set-up sound that was broken off in each of its steps?

python -m tests.bench.interrupted --yes [--seed N] [--way WAY]... [--for TARGET]. Long: see `make bench-interrupted`.

For each way to end a program a set-up is made from nothing: broken off once in each step, a random moment after it
began, and begun again, until it ends by itself. Each time it must have ended as it should, have said nothing but a
sentence, and left no process behind; at the end the programs must be what was built, and a set-up finds nothing
missing. The container engine and its packages, which set-up installs, are taken back after each way: so none may be
there at the start. Caches and state are in a folder of its own; Go's build cache and modules are those of the user.
"""

import argparse
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from io import FileIO
from pathlib import Path
from threading import Event, Lock, Timer

import psutil

from chaos.cli.output import INTERRUPTED
from chaos.errors import OrdealError
from chaos.hosts import binaries, engine, go
from chaos.hosts.bundles import BUNDLES
from chaos.hosts.places import CACHE_HOME, STATE_HOME
from tests.bench.told import aligned
from tests.bench.twice import GO_CACHE, elsewhere

COMMAND = (sys.executable, "-m", "chaos.cli.app")
LONGEST_DELAY_S = 1.5
LONGEST_S = 3600.0  # a set-up of which nothing was there; one that hangs is killed, which its exit code tells
LOOKS_EVERY_S = 0.1
GONE_WITHIN_S = 30.0
BEGINS = re.compile(r"^\S+ start: (?P<title>.+?)\s*$", re.MULTILINE)
# In a terminal a step is a line that is drawn again and again: its time, then its title, then what it says.
DRAWN = re.compile(r"\d:\d\d:\d\d (?P<title>[A-Za-z][^:|\r]*?)(?=:|\s*\r|\s*$)")
CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
DAEMONS = {"dockerd", "containerd", "containerd-shim-runc-v2"}  # the engine goes on when set-up has ended


class Way(StrEnum):
    """How a set-up is ended. Ctrl-C, and a terminal that is closed, reach all that it started."""

    CTRL_C = "Ctrl-C"
    SIGTERM = "SIGTERM"
    SIGHUP = "SIGHUP"
    TERMINAL = "closed-terminal"
    SIGKILL = "SIGKILL"


@dataclass(frozen=True, slots=True)
class Broken:
    """A set-up that was broken off in one step or more. `problems`: what was not as it must be, a sentence each."""

    way: Way
    step: str
    after_s: float
    code: int
    problems: tuple[str, ...]


def problems_of(way: Way, code: int, said: str, left: Sequence[str]) -> tuple[str, ...]:
    """What is wrong with how a set-up ended. `left`: the processes that it left behind."""
    wanted = -signal.SIGKILL if way is Way.SIGKILL else INTERRUPTED
    found = []
    if code != wanted:
        found.append(f"it ended with {code}, not {wanted}")
    if "Traceback" in said:
        found.append("it said a traceback")
    if way not in {Way.SIGKILL, Way.TERMINAL} and "interrupted" not in said:
        found.append("it did not say that it was interrupted")
    return (*found, *(f"it left {each}" for each in left))


def begun(way: Way, text: str) -> list[str]:
    """The titles of the steps that a set-up says it is at."""
    return [m["title"] for m in (DRAWN if way is Way.TERMINAL else BEGINS).finditer(CONTROL.sub("", text))]


class Setups:
    """Set-ups with places of their own, which are broken off in their steps."""

    def __init__(self, folder: Path, options: Sequence[str], rng: random.Random) -> None:
        self._options, self._rng = tuple(options), rng
        self.env = {**os.environ, CACHE_HOME: str(folder / "cache"), STATE_HOME: str(folder / "state")}
        self.env |= {GO_CACHE: _go_build_cache(), "PYTHONUNBUFFERED": "1", "COLUMNS": "200", "TERM": "xterm"}

    def run(self, *command: str) -> str:
        """Run a command of ours to its end. Raises OrdealError where it fails."""
        done = subprocess.run(
            [*COMMAND, *command], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OrdealError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def bare(self) -> None:
        """Take back what set-up did, the cache too."""
        self.run("teardown", "--yes", "--cache")

    def break_off(self, way: Way, tried: set[str]) -> Broken | str:
        """Begin a set-up, and end it in the first step that is not among those `tried`; at once where one more begins
        meanwhile, so that none is over before it was broken off. What it said where it ended by itself before that.
        """
        with _started([*COMMAND, "setup", "--yes", *self._options], self.env, way) as (process, lines):
            said: list[str] = []
            steps: list[str] = []
            delay_s = self._rng.uniform(0.0, LONGEST_DELAY_S)
            first = Lock()

            def end() -> None:
                if first.acquire(blocking=False):
                    _end(way, process, lines)

            timer = Timer(delay_s, end)
            for text in lines:
                said.append(text)
                fresh = [title for title in begun(way, text) if title not in {*tried, *steps}]
                if fresh and not steps:
                    timer.start()
                elif fresh:
                    end()
                steps += fresh
            if steps:
                timer.join()
            code = process.wait()
        heard = "".join(said)
        tried.update(steps)
        if not steps or code == 0:  # it was over before its end came
            return heard
        return Broken(way, ", ".join(steps), delay_s, code, problems_of(way, code, heard, list(self._left())))

    def _left(self) -> Iterator[str]:
        """Processes with our places in their environment that do not go, but for the engine's."""
        deadline = time.monotonic() + GONE_WITHIN_S
        while found := [each for each in psutil.process_iter(["name"]) if self._is_ours(each)]:
            if time.monotonic() > deadline:
                yield from (f"process {each.pid} ({each.info['name']})" for each in found)
                return
            psutil.wait_procs(found, timeout=1.0)

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.name() not in DAEMONS and process.environ().get(CACHE_HOME) == self.env[CACHE_HOME]
        return False


class _Lines:
    """What a process says, line by line or, from a terminal, as it comes, until it has ended or this is closed.

    The terminal is gone when nobody reads it any more: the kernel keeps it while somebody waits for what comes.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._closed = descriptor, Event()

    def __iter__(self) -> Iterator[str]:
        with os.fdopen(self._descriptor, "rb", buffering=0) as file:
            yield from self._read(file)

    def _read(self, file: FileIO) -> Iterator[str]:
        kept = b""
        while not self._closed.is_set():
            if not select.select([file], [], [], LOOKS_EVERY_S)[0]:
                continue
            try:
                read = file.read(65536)
            except OSError:  # a terminal whose last process has gone
                read = b""
            if not read:
                break
            *lines, kept = (kept + read).split(b"\n")
            yield from (f"{each.decode(errors='replace')}\n" for each in lines)
            if b"\r" in kept:
                yield kept.decode(errors="replace")
        yield kept.decode(errors="replace")

    def close(self) -> None:
        self._closed.set()


@contextmanager
def _started(
    argv: Sequence[str], env: Mapping[str, str], way: Way
) -> Iterator[tuple["subprocess.Popen[bytes]", _Lines]]:
    """The process in a session of its own, in a terminal where that is to be closed; it is gone at the block's end."""
    ours, theirs = pty.openpty() if way is Way.TERMINAL else os.pipe()
    code = "import fcntl, os, sys, termios; fcntl.ioctl(1, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", code, *argv] if way is Way.TERMINAL else list(argv)
    stdin = theirs if way is Way.TERMINAL else subprocess.DEVNULL
    process = subprocess.Popen(command, env=env, stdin=stdin, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    hangs = Timer(LONGEST_S, os.killpg, (process.pid, signal.SIGKILL))
    hangs.start()
    try:
        yield process, _Lines(ours)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        hangs.cancel()


def _end(way: Way, process: "subprocess.Popen[bytes]", lines: _Lines) -> None:
    with suppress(ProcessLookupError):
        match way:
            case Way.CTRL_C:
                os.killpg(process.pid, signal.SIGINT)
            case Way.SIGTERM:
                process.send_signal(signal.SIGTERM)
            case Way.SIGHUP:
                os.killpg(process.pid, signal.SIGHUP)
            case Way.TERMINAL:
                lines.close()
            case Way.SIGKILL:
                process.send_signal(signal.SIGKILL)


def _go_build_cache() -> str:
    return go.go(["env", GO_CACHE], cwd=Path(__file__).parent, timeout_s=60.0).out.strip()


def changed(folder: Path) -> list[str]:
    """Programs of the cache below a folder that are not what was built, a sentence each; all of them are read."""
    with elsewhere(folder):
        built = [each for each in map(binaries.built, BUNDLES) if each is not None]
        return [
            f"{each.bundle}: {program} is not what was built"
            for each in built
            for program, sha256 in each.sha256.items()
            if binaries.digest(each.directory / program) != sha256
        ]


def main() -> int:
    """Exits with 1 where something was not as it must be."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    asked.add_argument("--yes", action="store_true", help="the engine and its packages may be installed and removed")
    asked.add_argument("--seed", type=int, default=None)
    asked.add_argument("--way", action="append", choices=[each.value for each in Way])
    asked.add_argument("--for", dest="target", default="all", choices=["all", "kind", "simulated"])
    given = asked.parse_args()
    if not given.yes or engine.find() is not None:
        asked.error("it installs and removes a container engine: let none be there (`kube-ordeal teardown`), and --yes")
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        signal.signal(number, default)  # in the background of a shell they are ignored, and by all that is started, too
    seed = random.randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    wrong: list[str] = []
    rows = [("way", "step", "after", "exit code", "")]
    for way in map(Way, given.way or list(Way)):
        with tempfile.TemporaryDirectory(prefix="kube-ordeal-interrupted-", ignore_cleanup_errors=True) as temporary:
            setups, steps = Setups(Path(temporary), ["--for", given.target], random.Random(f"{seed} {way}")), 0
            try:
                for broken in _broken_off(setups, way):
                    steps += 1
                    what = "; ".join(broken.problems) or "well"
                    rows.append((way, broken.step, f"{broken.after_s:.2f} s", str(broken.code), what))
                    wrong += [f"{way} in {broken.step}: {each}" for each in broken.problems]
                    print(*rows[-1], sep="  ", flush=True)
                wrong += [] if steps else [f"{way}: no step was broken off"]
                said = setups.run("setup", "--yes", "--for", given.target)
                if "nothing is missing" not in said:
                    wrong.append(f"{way}: a set-up after one that ended found something missing")
                wrong += [f"{way}: {each}" for each in changed(Path(temporary))]
                setups.bare()
            except OrdealError as error:
                wrong.append(f"{way}: {error}")
                with suppress(OrdealError):
                    setups.bare()
    for line in (*aligned(rows), *wrong, f"{len(rows) - 1} set-ups were broken off, {len(wrong)} things were wrong"):
        print(line)
    return 1 if wrong else 0


def _broken_off(setups: Setups, way: Way) -> Iterator[Broken]:
    """Set-ups that were broken off, each in another step, until one ends by itself.

    Raises OrdealError where one fails by itself.
    """
    tried: set[str] = set()
    while True:
        came = setups.break_off(way, tried)
        if isinstance(came, Broken):
            yield came
        elif "nothing is missing" in came or "take it back with" in came or "nothing was changed" in came:
            return
        else:
            raise OrdealError(f"set-up ended by itself:\n{came}")


if __name__ == "__main__":
    sys.exit(main())
