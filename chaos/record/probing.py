"""Service availability, sampled from inside the nodes' own networks: one prober process a node, ten probes a second."""

import os
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import msgspec

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import KeepsOutput, NodeClocks, NodeNetwork
from chaos.errors import OrdealError
from chaos.hosts.command import CommandError, run
from chaos.record import prober
from chaos.record.history import History
from chaos.record.records import Blind, Probe, probed_from, waited_by
from chaos.record.registry import LONGEST_S
from chaos.record.sampler import Gap
from chaos.record.waits import Waited

INTERVAL_S = 0.1
# Below the second after which Linux sends a lost SYN again (RFC 6298): a probe that was sent into an outage fails,
# and is not saved by a repetition that falls into the time after it. So an outage is measured to within an interval.
TIMEOUT_S = 0.8
STEADY_PROBES = 10
SILENT_AFTER_S = TIMEOUT_S + 1.2
KILL_AFTER_S = 10.0  # of silence, where what it says is not kept meanwhile
MISSED_PROBES = 5  # so many intervals after one another there was none
FIRST_PROBE_WITHIN_S = 60.0
LINE_BYTES = 64 * 1024  # of a prober; what a server answers is cut there
LOOK_EVERY_S = 1.0  # at the network namespace, while nothing is answered


class ServiceProbes:
    """Probes a URL from each of `nodes` for as long as the block lasts; each answer is a Probe record.

    Where no probe is sent (the prober died, hung, or its node was restarted and has a new network namespace) there is a
    Blind record (probed_from), and the prober is started again as soon as the node's network is there. Those that are
    only read late, as where the way to a node was cut and it kept them, count like any other. Each prober asks
    a port at which nobody listens, too: where that is told as answered there is a Blind record.
    """

    def __init__(
        self,
        cluster: NodeNetwork,
        history: History,
        *,
        target: str,
        url: str,
        nodes: Sequence[str],
        interval_s: float = INTERVAL_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        argv = [sys.executable, "-I", "-S", str(Path(prober.__file__)), "--url", url]
        argv += ["--interval-s", f"{interval_s:g}", "--timeout-s", f"{timeout_s:g}"]
        missed_s = MISSED_PROBES * interval_s
        self._probers = [_Prober(cluster, history, node, target, [*argv, "--node", node], missed_s) for node in nodes]
        self._ending_s = timeout_s + 2.0

    def __enter__(self) -> Self:
        """Returns when every node's first probe is in the history. Raises OrdealError where one can't be started."""
        for one in self._probers:
            one.start()
        try:
            eventually(
                lambda: all(one.last_at is not None for one in self._probers),
                within_s=FIRST_PROBE_WITHIN_S,
                what="the first probe from every node",
                every_s=0.05,
            )
        except BaseException as error:
            self.__exit__(None, None, None)
            silent = "; ".join(f"{one.node}: {one.trouble or 'silent'}" for one in self._probers if one.last_at is None)
            if isinstance(error, WaitedInVainError):
                raise OrdealError(f"no probe comes from some nodes ({silent})") from error
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for one in self._probers:
            one.stop()
        for one in self._probers:
            one.join(self._ending_s + 1.0)


def steady(history: History, nodes: Sequence[str]) -> bool:
    """Whether the last STEADY_PROBES probes from each node, and so many there are, were answered."""
    probes = history.of(Probe)
    answers = [[p.ok for p in probes if p.node == node][-STEADY_PROBES:] for node in nodes]
    return all(len(oks) == STEADY_PROBES and all(oks) for oks in answers)


class _Said(msgspec.Struct):
    """A line of a prober. `start`: monotonic time, in seconds."""

    start: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_S)]
    ok: bool
    took_s: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_S)]
    by: str
    error: str
    canary: bool = False
    waited_s: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_S)] = 0.0


class _Prober:
    """One node's prober and the thread that reads it."""

    def __init__(
        self, cluster: NodeNetwork, history: History, node: str, target: str, argv: Sequence[str], missed_s: float
    ) -> None:
        """`missed_s`: a time between two probes in which some are missing."""
        self.node = node
        self.last_at: float | None = None  # when the newest probe was sent
        self.trouble = ""
        self._cluster = cluster
        self._history = history
        self._target, self._source = target, probed_from(node, target)
        self._argv = argv
        self._missed_s = missed_s
        self._kept_s = cluster.kept_s() if isinstance(cluster, KeepsOutput) else None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"prober-{node}", daemon=True)
        self._blind_since: float | None = None
        self._noted_at = 0.0  # when it was seen that nothing comes
        self._is_lost = False  # what was sent by then can't come any more
        self._namespace = ""
        self._ahead_s = 0.0  # the clock that the prober reads, of this machine's
        self._looked_at = 0.0
        self._answered_at = 0.0
        self._canary = Gap(history, self._source)
        self._waited = Waited(history, f"{node}->{target}", waited_by(node, target))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def join(self, within_s: float) -> None:
        self._thread.join(within_s)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopped.wait(pause_s):
            try:
                self._probe_until_it_ends()
            except Exception as error:  # noqa: BLE001  (whatever it was: it is started again, and the gap is recorded)
                self.trouble = (str(error) or type(error).__name__).splitlines()[0]
            self._go_blind(self.trouble)
            self._is_lost = True
            pause_s = LOOK_EVERY_S / 2
        if self._blind_since is not None:
            self._history.add(
                Blind(self._blind_since, self._source, self._history.now(), f"{self.trouble}; until the end")
            )
        self._canary.ended()

    def _go_blind(self, why: str) -> None:
        if self._blind_since is None and not self._stopped.is_set():
            self._noted_at = self._history.now()
            self._blind_since = self._noted_at if self.last_at is None else self.last_at
            self.trouble = why

    def _probe_until_it_ends(self) -> None:
        """Start the prober in the node's network and read it until it ends, is silent, or its namespace is no more."""
        self._namespace = self._namespace_now()
        self._ahead_s = self._cluster.clock(self.node).ahead_s if isinstance(self._cluster, NodeClocks) else 0.0
        child = subprocess.Popen(
            self._cluster.in_network_of(self.node, self._argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C on the terminal is not meant for it
        )
        try:
            self.trouble = self._read(child)
        finally:
            _end(child)

    def _read(self, child: "subprocess.Popen[bytes]") -> str:
        """Turn lines into records; returns why it ended."""
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdin is not None
        rest, heard = b"", self._history.now()
        self._answered_at = heard
        while True:
            if self._stopped.is_set() and not child.stdin.closed:
                child.stdin.close()  # it ends when its last probes have
            ready, _, _ = select.select([child.stdout], [], [], 0.2)
            now = self._history.now()
            if ready:
                data = os.read(child.stdout.fileno(), 65536)
                if not data:
                    said = child.stderr.read().decode(errors="replace").strip().splitlines()
                    return f"the prober ended ({said[-1] if said else 'without a word'})"
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > LINE_BYTES:
                    raise OrdealError(f"the prober wrote a line of more than {LINE_BYTES} bytes")
                for line in lines:
                    self._take(line)
                heard = now
            elif now - heard > SILENT_AFTER_S:
                self._go_blind("the prober was silent")
                if now - heard > (self._kept_s or KILL_AFTER_S) or self._stopped.is_set():
                    return "the prober hung and was ended"
            if now - self._answered_at > LOOK_EVERY_S and now - self._looked_at > LOOK_EVERY_S:
                self._looked_at = now
                # An orphaned namespace outlives its node as long as the prober is in it: what fails there says nothing.
                if self._is_another_namespace():
                    return "the node was restarted and has another network namespace"

    def _take(self, line: bytes) -> None:
        said = msgspec.json.decode(line, type=_Said)
        at = said.start - self._ahead_s - self._history.began
        if said.canary:
            if said.ok:
                self._canary.missed("a probe of a port at which nobody listens was told as answered")
            else:
                self._canary.seen(at)
            return
        self._history.add(
            Probe(at, self.node, self._target, said.ok, said.took_s, answered_by=said.by, error=said.error)
        )
        self._waited.look(at + said.took_s, said.waited_s)
        self._see_again(at)
        self.last_at = at if self.last_at is None else max(at, self.last_at)
        if said.ok:
            self._answered_at = self._history.now()

    def _see_again(self, at: float) -> None:
        """A probe came that was sent at that time. One that was on its way when the prober stalled is told afterwards,
        and says nothing of the time between.
        """
        if self._blind_since is None:
            return
        is_missing = self.last_at is not None and at - self.last_at > self._missed_s
        if self._is_lost and at >= self._noted_at:
            self._history.add(Blind(self._blind_since, self._source, at, self.trouble))
        elif not self._is_lost and is_missing and self.last_at is not None:
            self._history.add(Blind(self.last_at, self._source, at, self.trouble))
        if at >= self._noted_at:
            self._blind_since, self._is_lost = None, False

    def _is_another_namespace(self) -> bool:
        """Whether the node has another one than the prober is in. Raises CommandError where it can't be asked, and what
        the prober says is not kept meanwhile.
        """
        try:
            return self._namespace_now() != self._namespace
        except CommandError:
            if self._kept_s is None:
                raise
            return False

    def _namespace_now(self) -> str:
        return run(self._cluster.in_network_of(self.node, ["readlink", "/proc/self/ns/net"]), timeout_s=10.0).out


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Make sure that it is gone, and its pipes with it."""
    try:
        if child.poll() is None:
            child.kill()
        child.wait(5.0)
    finally:
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
