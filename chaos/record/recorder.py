"""The recorder: watches nodes, pods and events of a cluster and writes what it sees to the history, each change once.

How a dead API server is noticed: the kernel gives up a connection whose peer is gone (keep-alive, TCP_USER_TIMEOUT);
a pulse on a connection of its own finds a server that hangs while the kernel beneath it, or a proxy before it, still
acknowledges; and every watch is renewed after half a minute, so that not even a stream that both miss stays dead.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.errors import OrdealError
from chaos.record.clock import ClockLooks
from chaos.record.connection import Connection
from chaos.record.history import History
from chaos.record.records import IN_SYNC, Sample
from chaos.record.resources import RESOURCES
from chaos.record.stream import CONNECT_TIMEOUT_S, JOIN_WITHIN_S, Stream, brief

PULSE_EVERY_S = 1.0
PULSE_TIMEOUT_S = 3.0
HELD_UP_S = 2.0  # less is late by what every busy machine is late
SYNC_WITHIN_S = 60.0
CATCH_UP_WITHIN_S = 60.0


class Recorder:
    """Watches a cluster for as long as its block lasts.

    On entry it returns when the first full list of every resource is in the history (nodes and pods with the change
    "listed"; events that were there before are known, but not recorded: they happened before). On exit it makes sure
    that it has seen the end (see `catch_up`), compares what it wrote down with what the API server then tells of the
    same time (chaos.record.comparing), and stops.

    While a source can't be seen there is a Blind record "watch:RESOURCE" over the span, with `complete` where the
    stream went on without a loss or a full list was compared afterwards; it is not complete where the recording ended
    first. Such a record is there, too, where the recorder was held up, or the API server took long to answer: what it
    told meanwhile is late. What the API server shows is recorded as it is: a stale or rewound answer is a change like
    any other. The clock is looked at, too (chaos.record.clock).
    """

    def __init__(
        self,
        history: History,
        client: Callable[[], ApiClient],
        *,
        resources: Sequence[str] = ("nodes", "pods", "events"),
        sync_within_s: float = SYNC_WITHIN_S,
    ) -> None:
        """`client` makes an API client of the recorder's own, which the recorder closes; it is called again at need."""
        self._sync_within_s = sync_within_s
        self._history = history
        self._connection = Connection(client)
        self._streams = [Stream(RESOURCES[name], history, self._connection) for name in resources]
        self._stop = threading.Event()
        self._clock = ClockLooks(history)
        self._pulse = threading.Thread(target=self._feel_pulse, name="recorder-pulse", daemon=True)

    def __enter__(self) -> Self:
        """Raises OrdealError where the API server refuses, WaitedInVainError where it does not answer."""
        for stream in self._streams:
            stream.start()
        self._pulse.start()
        try:
            self.wait_synced(self._sync_within_s)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None and self.catch_up():
                for stream in self._streams:
                    stream.compare()
        finally:
            self._end()

    def wait_synced(self, within_s: float = SYNC_WITHIN_S) -> None:
        """Wait until every resource's full list, since the start or the last switch, is in the history.

        Raises OrdealError where the API server refuses, WaitedInVainError where it does not answer in time.
        """

        def synced() -> bool:
            return all(stream.refused or stream.listed for stream in self._streams)

        try:
            eventually(synced, within_s=within_s, what="the first full list of every watched resource", every_s=0.02)
        except WaitedInVainError as error:
            behind = "; ".join(f"{s.source}: {s.trouble or 'no answer yet'}" for s in self._streams if not s.listed)
            raise WaitedInVainError(
                f"the recorder could not list everything within {within_s:g} s ({behind})"
            ) from error
        for stream in self._streams:
            if stream.refused:
                raise OrdealError(f"the recorder may not read {stream.source.removeprefix('watch:')}: {stream.refused}")

    def switch(self, client: Callable[[], ApiClient]) -> None:
        """Go on through another API server: list there and compare. Returns at once; `wait_synced` waits for it."""
        self._connection.change(client)
        for stream in self._streams:
            stream.relist("switched to another API server")

    def catch_up(self, within_s: float | None = None) -> bool:
        """Make sure that all that had happened when this was called has been seen; False where that can't be.

        Each resource's version is asked of the API server with a consistent read, and its stream followed until a
        change or a bookmark has reached it. Writes a Sample `recorder-in-sync` for each resource: 1 or 0.
        """
        asked = self._history.now()
        goals: dict[str, int] = {}
        for stream in self._streams:
            try:
                goals[stream.source] = stream.begin_catch_up()
            except Exception:  # noqa: BLE001  (it does not answer: asking for the next resource would only take time)
                break

        def reached() -> bool:
            return all(stream.reached(goals[stream.source]) for stream in self._streams if stream.source in goals)

        with suppress(WaitedInVainError):
            within_s = CATCH_UP_WITHIN_S if within_s is None else within_s
            eventually(reached, within_s=within_s, what="the watches to catch up", every_s=0.02)
        all_seen = True
        for stream in self._streams:
            goal = goals.get(stream.source)
            seen = goal is not None and stream.reached(goal)
            stream.end_catch_up()
            all_seen = all_seen and seen
            self._history.add(Sample(asked, IN_SYNC, stream.source, float(seen)))
        return all_seen

    def _feel_pulse(self) -> None:
        """Ask the API server for its version once a second; where it fails, break the streams that are silent too.
        Where this thread had to wait for its turn, or the answer took long, what streams told then was late, too.
        """
        version_api = k8s.VersionApi  # loaded before anything is timed
        waits = self._history.now()
        while not self._stop.wait(PULSE_EVERY_S):
            self._clock.look()
            sent = self._history.now()
            self._tell_held_up(waits, sent)
            try:
                answer: Any = version_api(self._connection.client()).get_code(
                    _preload_content=False, _request_timeout=(CONNECT_TIMEOUT_S, PULSE_TIMEOUT_S)
                )
                answer.drain_conn()
                answer.release_conn()
            except Exception as error:  # noqa: BLE001  (whatever went wrong: there was no pulse)
                if not (isinstance(error, ApiException) and error.status and error.status < 500):
                    self._connection.drop_idle()
                    for stream in self._streams:
                        stream.not_answered(sent, f"the API server does not answer: {brief(error)}")
            else:
                took_s = self._history.now() - sent
                for stream in self._streams:
                    stream.answered(sent)
                    if took_s >= HELD_UP_S:
                        stream.held_up(sent, sent + took_s, f"the API server took {took_s:.1f} s to answer")
            waits = self._history.now()
        self._tell_held_up(waits, self._history.now())  # it may have been so when it was to end

    def _tell_held_up(self, waits: float, until: float) -> None:
        """Where the pulse, which waits for its turn since `waits`, came to it late."""
        if (late_s := until - waits - PULSE_EVERY_S) >= HELD_UP_S:
            for stream in self._streams:
                stream.held_up(waits, until, f"the recorder was held up for {late_s:.1f} s: the machine was too slow")

    def _end(self) -> None:
        self._stop.set()
        for stream in self._streams:
            stream.stop()
        for stream in self._streams:
            stream.join()
        self._pulse.join(JOIN_WITHIN_S)
        self._clock.look()
        self._connection.close()
