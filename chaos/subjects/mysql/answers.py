"""A program that is started once and answers a line for each line it is asked: what is sampled each second on a node
should not cost a new process each second.
"""

import os
import select
import shlex
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from chaos.errors import OrdealError


class Answers:
    """Asks a program that is started at the first question, and anew after one that was not answered.

    When its input ends the program has to end, too: so a killed run leaves none. Not for several threads.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = tuple(argv)
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def ask(self, question: str, *, within_s: float) -> str:
        """Its answer, without the line's end. Raises OrdealError where none comes in time, or it can't be started."""
        child = self._child or self._start()
        command = shlex.join(self._argv)
        try:
            answer = _answer(child, question, within_s)
        except BaseException:
            self._end()  # what it may say yet is no answer to the next question
            raise
        if answer is None:
            self._end()
            raise OrdealError(f"`{command}` gave no answer to {question!r} within {within_s:g} s")
        if not answer.endswith(b"\n"):
            self._end()
            raise OrdealError(f"`{command}` ended instead of answering {question!r}")
        return answer.decode(errors="replace").rstrip("\n")

    def _start(self) -> "subprocess.Popen[bytes]":
        try:
            self._child = subprocess.Popen(
                self._argv,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C on the terminal is not meant for it
            )
        except OSError as error:
            raise OrdealError(f"`{shlex.join(self._argv)}` could not be started: {error.strerror}") from error
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            child.wait(2.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(5.0)


def _answer(child: "subprocess.Popen[bytes]", question: str, within_s: float) -> bytes | None:
    """A whole line, what it said before it ended, or None where it was too slow."""
    assert child.stdin is not None
    assert child.stdout is not None
    said, deadline = b"", time.monotonic() + within_s
    with suppress(BrokenPipeError):  # it has ended: so has its output
        child.stdin.write(f"{question}\n".encode())
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([child.stdout], [], [], max(deadline - time.monotonic(), 0.0))
        if not ready:
            return None
        read = os.read(child.stdout.fileno(), 1 << 16)
        if not read:
            break
        said += read
    return said
