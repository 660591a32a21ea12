"""Checking clients, started in a node's network and read: what they say becomes records, what they don't say a gap.

A client is a module of this package that runs as a process of its own, so that no fault on the cluster reaches it. Its
settings are one JSON line on its standard input, so that no password stands in the process list; when its input ends it
finishes what it does and ends too, so that a killed run leaves no client.
"""

import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import msgspec

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import NodeNetwork
from chaos.errors import OrdealError
from chaos.hosts.command import run
from chaos.record.history import History
from chaos.record.records import Blind, Writes

ASK_TIMEOUT_S = 60.0
FIRST_WITHIN_S = 60.0
ENDS_WITHIN_S = 20.0

Settings = Mapping[str, object]
Line = dict[str, Any]


def argv_of(client: str, command: str) -> list[str]:
    """The argument list of a client: the module chaos.writers.CLIENT with one of its commands."""
    return [sys.executable, "-I", "-m", f"chaos.writers.{client}", command]


def ask(cluster: NodeNetwork, node: str, client: str, settings: Settings, *, command: str = "ask") -> Any:
    """Run a client's command to its end; returns what it said. Raises OrdealError with its last line."""
    argv = cluster.in_network_of(node, argv_of(client, command))
    done = run(argv, timeout_s=ASK_TIMEOUT_S, check=False, stdin=msgspec.json.encode(settings).decode() + "\n")
    if done.code != 0:
        last = (done.err.strip() or done.out.strip() or "it said nothing").splitlines()[-1]
        raise OrdealError(last)
    return msgspec.json.decode(done.out)


class ClientProcess:
    """A client that runs for as long as the block lasts; `take` is called with each line that it says.

    Whatever it does not say is a gap: Blind records of `source`, where it ends before it should or is silent for longer
    than `silent_after_s`. It is not started again, because nobody knows what its last writes became.
    """

    def __init__(
        self,
        cluster: NodeNetwork,
        history: History,
        node: str,
        argv: list[str],
        settings: Settings,
        *,
        take: Callable[[Line], None],
        source: str,
        silent_after_s: float,
    ) -> None:
        self._argv = cluster.in_network_of(node, argv)
        self._history, self._settings, self._take = history, settings, take
        self._source, self._silent_after_s = source, silent_after_s
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._read, name=source, daemon=True)
        self._heard_at = 0.0
        self.heard = 0  # lines
        self.trouble = ""

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C on the terminal is not meant for it
        )
        assert self._child.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it has ended: reading says why
                self._child.stdin.write(msgspec.json.encode(self._settings) + b"\n")
                self._child.stdin.flush()
            self._heard_at = self._history.now()
            self._thread.start()
        except BaseException:
            self._child.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let it finish what it does, and read all that it says."""
        child = self._child
        assert child is not None
        self._stopping.set()
        with suppress(OSError):
            if child.stdin is not None:
                child.stdin.close()
        self._thread.join(ENDS_WITHIN_S)
        if child.poll() is None:
            child.kill()
            self._thread.join(5.0)
        child.wait(5.0)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        child = self._child
        assert child is not None
        assert child.stdout is not None
        rest, ended, told = b"", False, False
        while not ended:
            ready, _, _ = select.select([child.stdout], [], [], 0.2)
            if ready:
                data = os.read(child.stdout.fileno(), 1 << 16)
                ended = not data
                *lines, rest = (rest + data).split(b"\n")
                told = self._hear(lines, told=told)
            elif self._history.now() - self._heard_at > self._silent_after_s:
                told = True
        code = child.wait()
        if not self._stopping.is_set() or code != 0 or told:
            said = child.stderr.read().decode(errors="replace").strip().splitlines() if child.stderr else []
            self.trouble = said[-1] if said else f"it ended with {code}"
            self._blind(f"{self.trouble}; until the end")

    def _hear(self, lines: list[bytes], *, told: bool) -> bool:
        """Take the lines; `told`: it was silent for too long before. Returns whether it is still."""
        for line in lines:
            try:
                said = msgspec.json.decode(line)
                self._take(said)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self._blind(f"it said {line[:80]!r}, which is no record ({error})")
                continue
            if told:
                self._blind("it was silent")
                told = False
            self._heard_at = self._history.now()
            self.heard += 1
        return told

    def _blind(self, why: str) -> None:
        self._history.add(Blind(self._heard_at, self._source, self._history.now(), why))


class Writing:
    """Clients that write to a store for as long as the block lasts: Writes records, and a Blind for what was not heard.

    `client` is the module's name, `settings` its own. On entry the first write must have been acknowledged.
    """

    def __init__(
        self,
        cluster: NodeNetwork,
        history: History,
        node: str,
        store: str,
        client: str,
        settings: Settings,
        *,
        silent_after_s: float = 15.0,
    ) -> None:
        self.store = store
        self.acknowledged = self.refused = 0
        self.last_error = ""
        self._history = history
        self._process = ClientProcess(
            cluster,
            history,
            node,
            argv_of(client, "write"),
            settings,
            take=self._add,
            source=f"writes:{store}",
            silent_after_s=silent_after_s,
        )

    def __enter__(self) -> Self:
        """Returns when a write was acknowledged. Raises OrdealError where none is within FIRST_WITHIN_S."""
        what = f"the first write to {self.store} to be acknowledged"
        self._process.__enter__()
        try:
            eventually(lambda: self.acknowledged or self._process.trouble, within_s=FIRST_WITHIN_S, what=what)
        except WaitedInVainError:
            pass  # told below
        except BaseException:
            self._process.__exit__(None, None, None)
            raise
        if not self.acknowledged:
            self._process.__exit__(None, None, None)
            why = self._process.trouble or self.last_error or "no answer"
            raise OrdealError(f"waited {FIRST_WITHIN_S:g} s for {what}, in vain: {why}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.__exit__(kind, error, at)

    def _add(self, said: Line) -> None:
        at = said["start"] - self._history.began
        batch = Writes(
            at, self.store, said["client"], said["first"], said["last"], said["ok"], said["took_s"], said["error"]
        )
        self._history.add(batch)
        if batch.ok:
            self.acknowledged += batch.count
        else:
            self.refused += batch.count
            self.last_error = batch.error
