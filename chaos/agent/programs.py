"""Programs that the agent runs for a run: to their end, or on and on with what they say kept until it is read."""

import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from chaos.clusters.agent import protocol
from chaos.errors import OrdealError

# Into all of the namespaces of the node's first process: its root, its programs, its network, its processes.
ENTER = ("nsenter", "--target", "1", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--")
PATH_INSIDE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_KEPT = 64 << 20  # bytes that one program said and nobody has read
LOOK_EVERY_S, DIES_WITHIN_S = 5.0, 5.0


def argv_of(argv: Sequence[str], *, inside: bool) -> list[str]:
    """The whole argument list of a program on this node."""
    return [*ENTER, *argv] if inside else list(argv)


def execute(asked: protocol.Execute) -> protocol.Ended:
    """Run it to its end, or end it when it is late. Raises OrdealError where it can't be started."""
    argv, reads = argv_of(asked.argv, inside=asked.inside), asked.stdin is not None
    child = _started(argv, inside=asked.inside, reads=reads)
    try:
        out, err = child.communicate(asked.stdin, timeout=asked.timeout_s)
    except subprocess.TimeoutExpired:
        _kill(child)
        out, err = _rest_of(child)
        return protocol.Ended(-signal.SIGKILL, out, err, late=True)
    return protocol.Ended(child.returncode, out, err)


class StartedPrograms:
    """Those that go on, by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, _Running] = {}
        self._looks = threading.Thread(target=self._end_unread, name="unread", daemon=True)
        self._looks.start()

    def start(self, asked: protocol.Start) -> int:
        """Returns its number. Raises OrdealError where it can't be started."""
        child = _started(argv_of(asked.argv, inside=asked.inside), inside=asked.inside, reads=True)
        with self._lock:
            number = secrets.randbits(48)  # no other one ever has it, also not after a start
            self._running[number] = _Running(child)
        return number

    def feed(self, asked: protocol.Feed) -> None:
        """Raises OrdealError where there is no such program."""
        self._of(asked.process).feed(asked)

    def read(self, asked: protocol.Read) -> protocol.Chunk:
        """Raises OrdealError where there is no such program, or what is asked for is not kept any more."""
        return self._of(asked.process).read(asked)

    def end(self, number: int) -> None:
        """One that is not there is no error."""
        with self._lock:
            found = self._running.pop(number, None)
        if found is not None:
            found.end()

    def end_all(self) -> None:
        """End them all."""
        for number in list(self._running):
            self.end(number)

    def _of(self, number: int) -> "_Running":
        with self._lock:
            found = self._running.get(number)
        if found is None:
            raise OrdealError(f"no program has the number {number} here: the agent was started anew, or it was ended")
        return found

    def _end_unread(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            with self._lock:
                late = [number for number, each in self._running.items() if each.unread_s() > protocol.UNREAD_S]
            for number in late:
                self.end(number)


@dataclass(slots=True)
class _Said:
    """One of a program's outputs: what was not read yet, and how many bytes were dropped before it."""

    kept: bytearray = field(default_factory=bytearray)
    before: int = 0
    over: bool = False

    def after(self, at: int) -> bytes:
        if at < self.before:
            raise OrdealError(f"what the program said up to byte {self.before} is not kept any more")
        del self.kept[: at - self.before]
        self.before = at
        return bytes(self.kept[: protocol.MOST_CHUNK])

    def ended_at(self, at: int) -> bool:
        return self.over and at >= self.before + len(self.kept)


class _Running:
    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child
        self._changed = threading.Condition()
        self._fed, self._feeding = 0, threading.Lock()
        self._asked_at = time.monotonic()
        self._out, self._err, self._is_over = _Said(), _Said(), False
        assert child.stdout is not None
        assert child.stderr is not None
        for pipe, said in ((child.stdout, self._out), (child.stderr, self._err)):
            threading.Thread(target=self._keep, args=(pipe, said), daemon=True).start()

    def unread_s(self) -> float:
        return time.monotonic() - self._asked_at

    def feed(self, asked: protocol.Feed) -> None:
        assert self._child.stdin is not None
        with self._feeding, suppress(BrokenPipeError):
            if asked.at == self._fed and asked.data:
                self._fed += len(asked.data)
                self._child.stdin.write(asked.data)
                self._child.stdin.flush()
            if asked.closed and not self._child.stdin.closed:
                self._child.stdin.close()

    def read(self, asked: protocol.Read) -> protocol.Chunk:
        self._asked_at = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._news(asked), asked.wait_s)
            out, err = self._out.after(asked.out), self._err.after(asked.err)
            self._changed.notify_all()  # there may be room again
            over = self._out.ended_at(asked.out) and self._err.ended_at(asked.err)
        self._asked_at = time.monotonic()
        return protocol.Chunk(out, err, self._child.wait() if over else None)

    def _news(self, asked: protocol.Read) -> bool:
        out, err = self._out.after(asked.out), self._err.after(asked.err)
        return bool(out or err or (self._out.ended_at(asked.out) and self._err.ended_at(asked.err)))

    def end(self) -> None:
        _kill(self._child)
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        with suppress(subprocess.TimeoutExpired):  # one in a call that can't be ended
            self._child.wait(DIES_WITHIN_S)
        if self._child.stdin is not None:
            with suppress(OSError):
                self._child.stdin.close()

    def _keep(self, pipe: IO[bytes], said: _Said) -> None:
        """A program that says more than is kept has to wait until it is read, as with a pipe. Closes the pipe."""
        with suppress(OSError), pipe:
            while not self._is_over and (data := os.read(pipe.fileno(), 1 << 16)):
                with self._changed:
                    said.kept += data
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: len(said.kept) < MOST_KEPT or self._is_over)
        with self._changed:
            said.over = True
            self._changed.notify_all()


def _started(argv: Sequence[str], *, inside: bool, reads: bool) -> "subprocess.Popen[bytes]":
    path = {"PATH": PATH_INSIDE} if inside else {}
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **path},
            start_new_session=True,
        )
    except OSError as error:
        raise OrdealError(f"{argv[0]} could not be started: {error.strerror}") from error


def _rest_of(child: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
    """What a program that was ended has said. One in a call that can't be ended, or whose heir has its pipes, keeps
    nobody waiting for it: the way back may be next.
    """
    try:
        return child.communicate(timeout=DIES_WITHIN_S)
    except subprocess.TimeoutExpired as error:
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
        child.poll()
        return error.stdout or b"", error.stderr or b""


def _kill(child: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
