"""The recorder: watches nodes, pods and events of a cluster and writes what it sees to the history, each change once.

List, then watch from the list's resourceVersion; a broken watch goes on from the last resourceVersion that was read
completely; where the server no longer has that one (410 Gone), list again and compare by uid and resourceVersion.
Source: Kubernetes API concepts, "Efficient detection of changes", "410 Gone responses" and "Watch bookmarks".

How a dead API server is noticed: the kernel gives up a connection whose peer is gone (keep-alive, TCP_USER_TIMEOUT);
a pulse on a connection of its own finds a server that hangs while the kernel beneath it, or a proxy before it, still
acknowledges; and every watch is renewed after half a minute, so that not even a stream that both miss stays dead.
"""

import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
from kubernetes.client import ApiClient, CoreV1Api, VersionApi
from kubernetes.client.exceptions import ApiException
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.way.client import CONTROL_PLANE_LABEL
from chaos.errors import OrdealError
from chaos.record.history import IN_SYNC, Blind, ClusterEvent, History, NodeChange, PodChange, Sample
from chaos.workloads.base import WORKLOAD_LABEL

PAGE = 500
CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0  # until the first byte, and between the bytes of a list
WATCH_FOR_S = 30  # the server ends the watch then, and sends a bookmark 2 s before (cache_watcher.go, nextBookmarkTime)
HURRIED_WATCH_FOR_S = 3  # so that the bookmark comes within a second or two: what catching up needs
PULSE_EVERY_S = 1.0
PULSE_TIMEOUT_S = 3.0
LATE_S = 1.0  # a break that is mended sooner is no blindness: what it delayed is late by less than this
QUICK_S = 0.5  # a watch that ends sooner is asked for again with a pause
SYNC_WITHIN_S = 60.0
CATCH_UP_WITHIN_S = 60.0
JOIN_WITHIN_S = 10.0

Change = NodeChange | PodChange | ClusterEvent


class Recorder:
    """Watches a cluster for as long as its block lasts.

    On entry it returns when the first full list of every resource is in the history (nodes and pods with the change
    "listed"; events that were there before are known, but not recorded: they happened before). On exit it makes sure
    that it has seen the end (see `catch_up`) and stops.

    While a source can't be seen there is a Blind record "watch:RESOURCE" over the span, with `complete` where the
    stream went on without a loss or a full list was compared afterwards; it is not complete where the recording ended
    first. What the API server shows is recorded as it is: a stale or rewound answer is a change like any other.
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
        self._line = _Line(client)
        self._streams = [_Stream(_RESOURCES[name], history, self._line) for name in resources]
        self._stop = threading.Event()
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
            if kind is None:
                self.catch_up()
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
        self._line.change(client)
        for stream in self._streams:
            stream.relist("switched to another API server")

    def catch_up(self, within_s: float = CATCH_UP_WITHIN_S) -> bool:
        """Make sure that all that had happened when this was called has been seen; False where that can't be.

        Each resource's version is asked of the API server with a consistent read, and its stream followed until a
        change or a bookmark has reached it. Writes a Sample `recorder-in-sync` for each resource: 1 or 0.
        """
        asked = self._history.now()
        goals: dict[str, int] = {}
        for stream in self._streams:
            try:
                goals[stream.source] = stream.aim()
            except Exception:  # noqa: BLE001  (it does not answer: asking for the next resource would only take time)
                break

        def reached() -> bool:
            return all(stream.reached(goals[stream.source]) for stream in self._streams if stream.source in goals)

        with suppress(WaitedInVainError):
            eventually(reached, within_s=within_s, what="the watches to catch up", every_s=0.02)
        all_seen = True
        for stream in self._streams:
            goal = goals.get(stream.source)
            seen = goal is not None and stream.reached(goal)
            stream.at_ease()
            all_seen = all_seen and seen
            self._history.add(Sample(asked, IN_SYNC, stream.source, float(seen)))
        return all_seen

    def _feel_pulse(self) -> None:
        """Ask the API server for its version once a second; where it fails, break the streams that are silent too."""
        while not self._stop.wait(PULSE_EVERY_S):
            sent = self._history.now()
            try:
                answer: Any = VersionApi(self._line.client()).get_code(
                    _preload_content=False, _request_timeout=(CONNECT_TIMEOUT_S, PULSE_TIMEOUT_S)
                )
                answer.drain_conn()
                answer.release_conn()
            except Exception as error:  # noqa: BLE001  (whatever went wrong: there was no pulse)
                if isinstance(error, ApiException) and error.status and error.status < 500:
                    continue  # it refused, so it is there
                self._line.drop_idle()
                for stream in self._streams:
                    stream.doubt(sent, f"the API server does not answer: {_brief(error)}")
            else:
                for stream in self._streams:
                    stream.reassure(sent)

    def _end(self) -> None:
        self._stop.set()
        for stream in self._streams:
            stream.stop()
        for stream in self._streams:
            stream.join()
        self._pulse.join(JOIN_WITHIN_S)
        self._line.close()


class _Line:
    """The client to the API server, made when first needed and shared by the streams; it can be changed."""

    def __init__(self, make: Callable[[], ApiClient]) -> None:
        self._lock = threading.Lock()
        self._make = make
        self._client: ApiClient | None = None

    def client(self) -> ApiClient:
        with self._lock:
            if self._client is None:
                self._client = self._make()
                self._client.rest_client.pool_manager.connection_pool_kw["socket_options"] = [
                    *HTTPConnection.default_socket_options,
                    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
                    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000),  # milliseconds
                ]
            return self._client

    def change(self, make: Callable[[], ApiClient]) -> None:
        with self._lock:
            old, self._client, self._make = self._client, None, make
        if old is not None:
            old.close()  # type: ignore[no-untyped-call]

    def renew(self) -> None:
        """Make the client anew: its credentials may have run out."""
        self.change(self._make)

    def drop_idle(self) -> None:
        """Close the connections that nobody uses at the moment: they may be dead."""
        with self._lock:
            if self._client is not None:
                self._client.rest_client.pool_manager.clear()

    def close(self) -> None:
        self.change(self._make)


class _GoneError(Exception):
    """The server no longer has the resourceVersion that was to be resumed from."""


class _BrokenError(Exception):
    """The stream broke; the text says why."""


class _Stream:
    """One resource's list and watch, in a thread of its own."""

    def __init__(self, resource: "_Resource", history: History, line: _Line) -> None:
        self.source = f"watch:{resource.name}"
        self.listed = False  # since the start or the last switch
        self.refused = ""
        self.trouble = ""
        self._resource = resource
        self._history = history
        self._line = line
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"recorder-{resource.name}", daemon=True)
        self._lock = threading.Lock()  # guards _answer, _cut_why, _must_list
        self._answer: Any = None  # the open watch's response
        self._cut_why: str | None = None  # why we broke it off ourselves; empty where nothing was wrong with it
        self._must_list = True
        self._ever_listed = False
        self._position = ""  # the last resourceVersion that was read completely
        self._known: dict[str, Change] = {}
        self._gone: dict[str, Change] = {}  # since the last list
        self._heard = 0.0  # when the stream last showed a sign of life
        self._blind_since: float | None = None
        self._blind_why = ""
        self._resumed_after: float | None = (
            None  # blind until the watch that now runs; not yet known whether it has all
        )
        self._goal = 0  # while catching up
        self._failures = 0  # since the stream last ran

    def start(self) -> None:
        self._heard = self._history.now()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._cut("")

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join(JOIN_WITHIN_S)

    # --- called from other threads

    def relist(self, why: str) -> None:
        """Break off and begin again with a full list."""
        with self._lock:
            self.listed = False
            self._must_list = True
        self._cut(why)

    def reassure(self, at: float) -> None:
        """The API server answered a question that was sent `at`."""
        if self._answer is not None:
            self._heard = max(self._heard, at)

    def doubt(self, since: float, why: str) -> None:
        """The API server did not answer what was sent at `since`; nothing heard since then: break off."""
        if self._heard < since:
            self._cut(why)

    def aim(self) -> int:
        """The version that shows, once it is reached, that nothing until now is missing; asked by a consistent read.

        From here on bookmarks are asked for often. Where there are none, the goal is the newest version of any object.
        """
        if not self._resource.bookmarks:
            found, _ = self._read_all()
            return max((int(_metadata(item)["resourceVersion"]) for item in found.values()), default=0)
        answer = self._call(limit=1)
        goal = int(_metadata(msgspec.json.decode(answer.data))["resourceVersion"])
        self._goal = goal
        if not self.reached(goal):
            self._cut("")  # the watch that follows goes on at the same place, but its bookmark comes soon
        return goal

    def reached(self, goal: int) -> bool:
        with self._lock:
            return not self._must_list and self._blind_since is None and int(self._position or 0) >= goal

    def at_ease(self) -> None:
        self._goal = 0

    @property
    def _behind(self) -> bool:
        return self._goal > int(self._position or 0)

    def _cut(self, why: str) -> None:
        with self._lock:
            if self._answer is None:
                return
            self._cut_why = why
            with suppress(Exception):  # it may have ended by itself in this moment
                self._answer.shutdown()

    # --- the thread

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopped.wait(pause_s):
            pause_s = 0.0
            began = self._history.now()
            try:
                if self._must_list:
                    self._list()
                self._watch()
            except _GoneError as error:
                self._go_blind(str(error), since=self._resumed_after)
                with self._lock:
                    self._must_list = True
            except Exception as error:  # noqa: BLE001  (whatever broke: the recording must go on)
                self._go_blind(_brief(error))
                self._note_refusal(error)
                self._failures += 1
                pause_s = min(0.05 * 2**self._failures, 1.0) if self._failures > 1 else 0.0
            if self._history.now() - began < QUICK_S and self._cut_why != "":
                pause_s = max(pause_s, 0.1)  # a server that ends every watch at once is not asked in a tight loop
        if self._blind_since is not None:
            why = f"{self._blind_why}; the recording ended meanwhile"
            self._history.add(Blind(self._blind_since, self.source, self._history.now(), why, complete=False))

    def _note_refusal(self, error: Exception) -> None:
        self.trouble = _brief(error)
        if not isinstance(error, ApiException):
            self._line.drop_idle()
        elif error.status in {401, 403}:
            if not self._ever_listed:
                self.refused = f"{error.status} {error.reason}"
            if error.status == 401:
                self._line.renew()

    def _go_blind(self, why: str, *, since: float | None = None) -> None:
        """From the last sign of life on (or from `since`, where an earlier blindness proves not to have ended)."""
        start = self._heard if since is None else since
        if self._blind_since is None:
            self._blind_since, self._blind_why = start, why
        self._blind_since = min(self._blind_since, start)

    def _see_again(self, how: str, *, listed: bool) -> None:
        """The blindness is over. A short one without a new list has lost nothing and delayed little: no record."""
        since, self._blind_since = self._blind_since, None
        now = self._history.now()
        self._heard = now
        self._failures = 0
        self.trouble = ""
        if since is None:
            return
        if not listed:
            self._resumed_after = since
        if listed or now - since >= LATE_S:
            self._history.add(Blind(since, self.source, now, f"{self._blind_why}; {how}", complete=True))

    def _call(self, **query: object) -> Any:
        call = getattr(CoreV1Api(self._line.client()), self._resource.method)
        return call(_preload_content=False, _request_timeout=(CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S), **query)

    def _list(self) -> None:
        """List all, compare with what is known, and write down the differences."""
        with self._lock:
            self._must_list = False  # a switch from here on asks for another one
        if self._ever_listed:
            self._go_blind("switched to another API server")
        try:
            found, version = self._read_all()
        except BaseException:
            with self._lock:
                self._must_list = True
            raise
        if self._must_list or self._stopped.is_set():
            return
        now = self._history.now()
        new = "added" if self._ever_listed else "listed"
        known: dict[str, Change] = {}
        for uid, item in found.items():
            before = self._known.get(uid)
            known[uid] = seen = self._resource.change(now, new if before is None else "modified", item)
            if before is None or not _same(before, seen):
                self._record(seen)
        for uid in self._known.keys() - found.keys():
            before = self._known[uid]
            if not isinstance(before, ClusterEvent):
                self._record(dataclasses.replace(before, at=now, change="deleted", resource_version=version))
        self._known = known
        self._gone.clear()
        self._ever_listed = True
        self._resumed_after = None
        self._see_again("a full list was compared", listed=True)
        with self._lock:
            self._position = version
            self.listed = not self._must_list

    def _read_all(self) -> tuple[dict[str, Any], str]:
        """Every object by uid, and the version of the list. Pages of one list all show the same version."""
        found: dict[str, Any] = {}
        token = None
        while True:
            answer = self._call(limit=PAGE, **({"_continue": token} if token else {}))
            page = msgspec.json.decode(answer.data)
            for item in page.get("items") or ():
                found[_metadata(item)["uid"]] = item
            token = _metadata(page).get("continue")
            if not token:
                return found, _metadata(page)["resourceVersion"]

    def _watch(self) -> None:
        """Follow the stream until the server ends it. Raises _GoneError, _BrokenError, or what the client raises."""
        if self._must_list or self._stopped.is_set():
            return
        hurried = self._behind
        watch_for_s = HURRIED_WATCH_FOR_S if hurried else WATCH_FOR_S
        try:
            answer = self._call(
                watch=True,
                allow_watch_bookmarks=True,
                resource_version=self._position,
                timeout_seconds=watch_for_s,
            )
        except ApiException as error:
            if error.status == 410:
                raise _GoneError("the server no longer has the version that was to be resumed from") from error
            raise
        with self._lock:
            self._answer, self._cut_why = answer, None
            # Whoever wanted another watch before there was one to cut off is heard now.
            unwanted = self._must_list or self._stopped.is_set() or (not hurried and self._behind)
        try:
            if unwanted:
                self._cut_why = ""
                return
            _set_read_timeout(answer, watch_for_s + 2 * ANSWER_TIMEOUT_S)
            self._see_again("the stream went on where it broke", listed=False)
            for line in _lines(answer):
                self._take(line)
                if self._must_list or self._stopped.is_set():
                    break
        except (_GoneError, _BrokenError):
            raise
        except Exception:
            if self._cut_why is None:
                raise
        finally:
            with self._lock:
                self._answer = None
            answer.close()
        if self._cut_why:
            raise _BrokenError(self._cut_why)
        if self._cut_why is None:
            self._heard = self._history.now()

    def _take(self, line: bytes) -> None:
        """One line of a watch."""
        event = msgspec.json.decode(line)
        kind, item = event["type"], event["object"]
        now = self._history.now()
        self._heard = now
        if kind == "ERROR":
            if item.get("code") == 410:
                raise _GoneError(item.get("message") or "410 Gone")
            raise _BrokenError(f"the API server ended the watch: {item.get('message') or item}")
        self._resumed_after = None
        metadata = _metadata(item)
        if kind != "BOOKMARK":
            change = _CHANGES.get(kind)
            if change is None:
                raise _BrokenError(f"the API server sent an event of the unknown type {kind!r}")
            self._follow(metadata["uid"], self._resource.change(now, change, item), deleted=change == "deleted")
        with self._lock:
            self._position = metadata["resourceVersion"]

    def _follow(self, uid: str, seen: Change, *, deleted: bool) -> None:
        """Take a change into what is known, and write it down unless it is just what was seen last of this object.

        Only the last sight counts: an object that goes back to an older version is a stale server's truth, no double.
        """
        before = self._gone.get(uid) if deleted else self._known.get(uid)
        if before is not None and _same(before, seen):
            return
        if deleted:
            self._known.pop(uid, None)
            self._gone[uid] = seen
            if isinstance(seen, ClusterEvent):
                return  # events expire; that is nothing that happened in the cluster
        else:
            self._known[uid] = seen
        self._record(seen)

    def _record(self, seen: Change) -> None:
        if isinstance(seen, ClusterEvent) and not self._ever_listed:
            return
        self._history.add(seen)


def _same(before: Change, seen: Change) -> bool:
    return before.resource_version == seen.resource_version and _content(before) == _content(seen)


def _content(seen: Change) -> tuple[object, ...]:
    return tuple(getattr(seen, f.name) for f in dataclasses.fields(seen) if f.name not in {"at", "change"})


def _lines(answer: Any) -> Iterator[bytes]:
    """The complete lines of a streamed answer; a last one that was cut off is not handed out."""
    rest = b""
    for piece in answer.stream(amt=None, decode_content=False):
        if piece.endswith(b"\n") and not rest and piece.count(b"\n") == 1:
            yield piece
            continue
        *complete, rest = (rest + piece).split(b"\n")
        for line in complete:
            if line:
                yield line


def _set_read_timeout(answer: Any, timeout_s: float) -> None:
    """Once the answer has begun, silence is allowed for longer than before the first byte."""
    connection = answer.connection
    if connection is not None and connection.sock is not None:
        connection.sock.settimeout(timeout_s)


# --- from the API's JSON to records. `item` is a JSON object of the API; absent and null mean the same there.


def _metadata(item: Any) -> Any:
    return item.get("metadata") or {}


def _node(at: float, change: str, item: Any) -> NodeChange:
    metadata, spec, status = _metadata(item), item.get("spec") or {}, item.get("status") or {}
    addresses = {a["type"]: a["address"] for a in status.get("addresses") or ()}
    labels = metadata.get("labels") or {}
    return NodeChange(
        at=at,
        name=metadata["name"],
        change=change,
        ready=next((c["status"] for c in status.get("conditions") or () if c["type"] == "Ready"), "Unknown"),
        taints=tuple(f"{t['key']}:{t['effect']}" for t in spec.get("taints") or ()),
        zone=labels.get("topology.kubernetes.io/zone", ""),
        address=addresses.get("InternalIP", ""),
        unschedulable=bool(spec.get("unschedulable")),
        resource_version=metadata.get("resourceVersion", ""),
        pressures=tuple(
            c["type"]
            for c in status.get("conditions") or ()
            if c["type"].endswith("Pressure") and c["status"] == "True"
        ),
        kubelet=(status.get("nodeInfo") or {}).get("kubeletVersion") or "",
        control_plane=CONTROL_PLANE_LABEL in labels,
    )


def _pod(at: float, change: str, item: Any) -> PodChange:
    metadata, spec, status = _metadata(item), item.get("spec") or {}, item.get("status") or {}
    ready, reason = False, status.get("reason") or ""
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready":
            ready = condition["status"] == "True"
        elif condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            reason = reason or condition.get("reason") or ""
    containers = status.get("containerStatuses") or ()
    running = (c.get("containerID") for c in containers if (c.get("state") or {}).get("running") is not None)
    return PodChange(
        at=at,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        change=change,
        workload=(metadata.get("labels") or {}).get(WORKLOAD_LABEL, ""),
        phase=status.get("phase") or "",
        node=spec.get("nodeName") or "",
        ready=ready,
        deleting="deletionTimestamp" in metadata,
        restarts=sum(c.get("restartCount") or 0 for c in containers),
        containers=tuple(sorted(i for i in running if i)),
        reason=reason,
        resource_version=metadata.get("resourceVersion", ""),
    )


def _event(at: float, _change: str, item: Any) -> ClusterEvent:
    about = item.get("involvedObject") or {}
    parts = (about.get("kind"), about.get("namespace"), about.get("name"))
    return ClusterEvent(
        at=at,
        regarding="/".join(part or "" for part in parts),
        reason=item.get("reason") or "",
        message=item.get("message") or "",
        type=item.get("type") or "Normal",
        count=item.get("count") or (item.get("series") or {}).get("count") or 1,
        resource_version=_metadata(item).get("resourceVersion", ""),
    )


@dataclass(frozen=True, slots=True)
class _Resource:
    """A resource that can be watched: the API client's method that lists it, and how an object becomes a record.

    `bookmarks`: whether its watches carry any. Those of events do not: they have no watch cache
    (pkg/kubeapiserver/default_storage_factory_builder.go, DefaultWatchCacheSizes). But an event is only ever added or
    counted up until it expires, so having seen the newest one of a list is having seen them all.
    """

    name: str
    method: str
    change: Callable[[float, str, Any], Change]
    bookmarks: bool = True


_RESOURCES = {
    r.name: r
    for r in (
        _Resource("nodes", "list_node", _node),
        _Resource("pods", "list_pod_for_all_namespaces", _pod),
        _Resource("events", "list_event_for_all_namespaces", _event, bookmarks=False),
    )
}
_CHANGES = {"ADDED": "added", "MODIFIED": "modified", "DELETED": "deleted"}


def _brief(error: Exception) -> str:
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    if isinstance(error, _BrokenError):
        return str(error)
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    text = str(cause).strip().splitlines()
    # urllib3 begins with the connection's or the pool's repr, which tells a reader nothing.
    return f"{type(cause).__name__}: {text[0].split('): ', 1)[-1][:200]}" if text else type(cause).__name__
