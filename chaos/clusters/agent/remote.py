"""A program on a node, as if it ran here: `python -m chaos.clusters.agent.remote FOLDER NODE WHERE ARGV...`.

Its input, its output and its exit code are this process's. The agent keeps what it says, so that a way to the node that
is cut for a while loses nothing: this process asks again until it is there. WHERE: "inside" or "beside", see
chaos.clusters.agent.protocol.Execute.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from chaos.clusters.agent import protocol
from chaos.clusters.agent.channel import Channel, T, UnreachedError, read_back
from chaos.errors import OrdealError

INSIDE, BESIDE = "inside", "beside"
WAIT_S = 5.0
AGAIN_AFTER_S = 0.2
GIVE_UP_AFTER_S = 900.0
CHUNK_BYTES = 1 << 16


class Relay:
    """One program on a node: what comes in here is fed to it, what it says is written here."""

    def __init__(self, channel: Channel, process: int) -> None:
        self._channel, self._process = channel, process
        self._over = threading.Event()

    def run(self) -> int:
        """Until it has ended; returns its exit code. Raises OrdealError."""
        threading.Thread(target=self._feed, daemon=True).start()
        out = err = 0
        while True:
            chunk = self._ask(protocol.Read(self._process, out, err, WAIT_S), protocol.Chunk)
            _write(sys.stdout.fileno(), chunk.out)
            _write(sys.stderr.fileno(), chunk.err)
            out, err = out + len(chunk.out), err + len(chunk.err)
            if chunk.code is not None:
                self._over.set()
                with suppress(OrdealError):
                    self._channel.ask(protocol.End(self._process), protocol.Done)
                return chunk.code if chunk.code >= 0 else 128 - chunk.code

    def _feed(self) -> None:
        """What is fed must come in order, once: a request that got no answer is sent again with its position."""
        at = 0
        while True:
            data = os.read(sys.stdin.fileno(), CHUNK_BYTES)
            try:
                self._ask(protocol.Feed(self._process, at, data, closed=not data), protocol.Done)
            except OrdealError:  # it has ended, which whoever reads it is told
                return
            at += len(data)
            if not data:
                return

    def _ask(self, request: protocol.Request, of: type[T]) -> T:
        until = time.monotonic() + GIVE_UP_AFTER_S
        while True:
            try:
                return self._channel.ask(request, of)
            except UnreachedError:
                if time.monotonic() > until or self._over.wait(AGAIN_AFTER_S):
                    raise


def _write(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def main(arguments: list[str]) -> int:
    """The command. Its own troubles are one line and 125, as docker has it."""
    folder, node, where, *argv = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends us by our standard input
    try:
        channel = Channel(Path(folder), node, read_back(Path(folder)).nodes[node])
        started = channel.ask(protocol.Start(tuple(argv), where == INSIDE), protocol.Number)
        return Relay(channel, started.value).run()
    except OrdealError as error:
        sys.stderr.write(f"{error}\n")
        return 125
    except BrokenPipeError:
        return 125


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
