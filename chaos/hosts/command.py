"""Running other programs: argument lists, a deadline always, and an error that a person can act on."""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import OrdealError

LAST_LINES = 15
# Runs "$@" below all others, in a session of its own. Where the kernel groups by session (sched(7), "The autogroup
# feature") it shares the processors out between sessions first, and nice alone would count only within one. 10 is a
# tenth of the weight of a session that is not nice; with 19, a hundredth, a build hardly went on on a busy machine.
# When the caller is gone, setpriv has this shell told, and all of the group goes.
_YIELDING = """
{ echo 10 >/proc/$$/autogroup; } 2>/dev/null
trap 'kill -KILL 0' TERM INT HUP
"$@" &
wait $!
"""


class CommandError(OrdealError):
    """A program failed, was not there, or did not end in time; the text holds the command and its last output."""

    def __init__(self, argv: Sequence[str], what: str, output: str) -> None:
        self.argv = tuple(argv)
        self.output = output
        tail = "\n".join(f"    {line}" for line in output.strip().splitlines()[-LAST_LINES:])
        said = f"; its last output:\n{tail}" if tail else ", without output"
        super().__init__(f"`{shlex.join(argv)}` {what}{said}")


@dataclass(frozen=True, slots=True)
class Output:
    """What a program that ended said: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def run(
    argv: Sequence[str],
    *,
    timeout_s: float = 120.0,
    check: bool = True,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Output:
    """Run a program to its end and return its output.

    `env` is added to this process's environment. Raises CommandError where the program is missing, outlives
    `timeout_s` (it is then killed), or, with `check`, exits with another code than 0.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise CommandError(argv, f"could not start: {error.strerror}: {error.filename}", "") from error
    except subprocess.TimeoutExpired as error:
        said = error.stderr or error.stdout or b""
        text = said.decode(errors="replace") if isinstance(said, bytes) else said
        raise CommandError(argv, f"did not end within {timeout_s:g} s", text) from error
    if check and done.returncode != 0:
        raise _failed(argv, done.returncode, done.stdout, done.stderr)
    return Output(done.returncode, done.stdout, done.stderr)


def run_yielding(argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None, cwd: Path) -> Output:
    """Run a program that takes all processors for minutes: what else runs on the machine goes before it.

    It and its children are killed at once when this call is interrupted or this process ends, however it ends. Raises
    CommandError as `run` does.
    """
    wrapped = ["setpriv", "--pdeathsig", "TERM", "nice", "-n", "19", "sh", "-c", _YIELDING, "sh", *argv]
    try:
        process = subprocess.Popen(
            wrapped,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise CommandError(argv, f"could not start: {error.strerror}: {error.filename}", "") from error
    with process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            _, err = process.communicate()
            raise CommandError(argv, f"did not end within {timeout_s:g} s", err) from error
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode != 0:
        raise _failed(argv, process.returncode, out, err)
    return Output(process.returncode, out, err)


def _failed(argv: Sequence[str], code: int, out: str, err: str) -> CommandError:
    return CommandError(argv, f"exited with {code}", err.strip() or out)
