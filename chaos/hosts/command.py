"""Running other programs: argument lists, a deadline always, and an error that a person can act on."""

import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from chaos.errors import OrdealError

LAST_LINES = 15
CHUNK_BYTES = 1 << 20
PRIVATE_UMASK = 0o077  # of a program whose files are for this user alone: keys, kubeconfigs
# Runs "$@" below all others, in a session of its own. Where the kernel groups by session (sched(7), "The autogroup
# feature") it shares the processors out between sessions first, and nice alone would count only within one. 10 is a
# tenth of the weight of a session that is not nice; with 19, a hundredth, a build hardly went on on a busy machine.
# A user who is not root may say so ten times a second, all sessions together (kernel/sched/autogroup.c).
# When the caller is gone, setpriv has this shell told, and all of the group goes.
_YIELDING = """
trap 'kill -KILL 0' TERM INT HUP
autogroup=/proc/$$/autogroup
[ ! -e $autogroup ] || { echo 10 >$autogroup || { sleep 0.2; echo 10 >$autogroup; }; } 2>/dev/null
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
    umask: int = -1,
) -> Output:
    """Run a program to its end and return its output.

    `env` is added to this process's environment; `umask` is its own, -1 this process's. Raises CommandError where the
    program can't be started, outlives `timeout_s` (it is then killed), or, with `check`, exits with another code than
    0.
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
            umask=umask,
        )
    except OSError as error:
        raise _not_started(argv, error) from error
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
    except OSError as error:
        raise _not_started(argv, error) from error
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


def run_apart(
    argv: Sequence[str],
    *,
    timeout_s: float,
    check: bool = True,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Output:
    """Run a program of somebody else's to its end, in a session of its own: a Ctrl-C at the terminal does not reach it.

    Where it is late, or this call is interrupted, all of its session is killed, so that nothing of it goes on. What it
    leaves running on purpose is not waited for, also where that has its output. Of the output the first MiB is
    kept. `stdin`: no more than a pipe holds. Raises CommandError as `run` does.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=out,
                stderr=err,
                env={**os.environ, **env} if env else None,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise _not_started(argv, error) from error
        try:
            if process.stdin is not None:
                with suppress(BrokenPipeError), process.stdin:
                    process.stdin.write((stdin or "").encode())
            code = process.wait(timeout_s)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise CommandError(argv, f"did not end within {timeout_s:g} s", _said(err) or _said(out)) from error
        done = Output(code, _said(out), _said(err))
    if check and done.code != 0:
        raise _failed(argv, done.code, done.out, done.err)
    return done


def _said(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(CHUNK_BYTES).decode(errors="replace")


def pour(
    source: Sequence[str], sinks: Sequence[Sequence[str]], *, timeout_s: float, env: Mapping[str, str] | None = None
) -> None:
    """Hand what `source` writes to each of `sinks`, as a pipe does: nothing of it is put on a disk.

    Raises CommandError of the program that failed first, or where not all of them have ended within `timeout_s`; none
    of them runs on then.
    """
    environment = {**os.environ, **env} if env else None
    late = threading.Event()
    with ExitStack() as stack:
        first = _begin(stack, source, environment, reads=False)
        others = [_begin(stack, each, environment, reads=True) for each in sinks]

        def end_all() -> None:
            late.set()
            for each in (first, *others):
                each.process.kill()

        timer = threading.Timer(timeout_s, end_all)
        timer.start()
        stack.callback(timer.cancel)
        full = _hand_on(first, others)
        codes = {id(each): each.process.wait() for each in (first, *others)}
        if late.is_set():
            raise CommandError(source, f"and what reads it did not end within {timeout_s:g} s", "")
        # What was read in part only may fail for that; and a source that was cut off has done nothing wrong.
        for each in (first, *others) if full is None else others:
            if codes[id(each)] != 0:
                raise _failed(each.argv, codes[id(each)], "", each.said())
        if full is not None:
            raise CommandError(full.argv, "ended before it had read all", full.said())


@dataclass(frozen=True, slots=True)
class _Piped:
    """A program of `pour`, with the file that takes what it has to say."""

    argv: Sequence[str]
    process: "subprocess.Popen[bytes]"
    words: IO[bytes]

    def said(self) -> str:
        self.words.seek(0)
        return self.words.read().decode(errors="replace")


def _begin(stack: ExitStack, argv: Sequence[str], env: Mapping[str, str] | None, *, reads: bool) -> _Piped:
    """Start it; it is gone when the stack is left."""
    words = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  (the stack closes it)
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=words if reads else subprocess.PIPE,
            stderr=words,
            env=env,
        )
    except OSError as error:
        raise _not_started(argv, error) from error

    def gone() -> None:
        process.kill()
        with suppress(BrokenPipeError), process:
            pass

    stack.callback(gone)
    return _Piped(argv, process, words)


def _hand_on(source: _Piped, sinks: Sequence[_Piped]) -> _Piped | None:
    """Until the source has ended; returns the sink that took no more before that, and why is in its exit code."""
    out, full = source.process.stdout, None
    assert out is not None
    while full is None and (chunk := out.read(CHUNK_BYTES)):
        full = next((each for each in sinks if not _takes(each, chunk)), None)
    if full is not None:
        source.process.kill()
    for each in sinks:
        if not _takes(each, b"", last=True):
            full = full or each
    return full


def _takes(sink: _Piped, chunk: bytes, *, last: bool = False) -> bool:
    assert sink.process.stdin is not None
    try:
        sink.process.stdin.write(chunk)
        if last:
            sink.process.stdin.close()
    except BrokenPipeError:
        return False
    return True


def _not_started(argv: Sequence[str], error: OSError) -> CommandError:
    return CommandError(argv, f"could not start: {error.strerror}: {error.filename}", "")


def _failed(argv: Sequence[str], code: int, out: str, err: str) -> CommandError:
    return CommandError(argv, f"exited with {code}", err.strip() or out)
