"""Running other programs: argument lists, a deadline always, and an error that a person can act on."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import OrdealError

LAST_LINES = 15


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
        raise CommandError(argv, f"exited with {done.returncode}", done.stderr.strip() or done.stdout)
    return Output(done.returncode, done.stdout, done.stderr)
