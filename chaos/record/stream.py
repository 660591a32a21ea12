"""One resource's list and watch: each change once, whatever breaks.

List, then watch from the list's resourceVersion; a broken watch goes on from the last resourceVersion that was read
completely; where the server no longer has that one (410 Gone), list again and compare by uid and resourceVersion.
Source: Kubernetes API concepts, "Efficient detection of changes", "410 Gone responses" and "Watch bookmarks".
"""

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import MaxRetryError

from chaos.record.comparing import WrittenDown, passed_over, revision_of
from chaos.record.connection import Connection
from chaos.record.history import History
from chaos.record.lines_of_watch import BrokenError, Lines, SilentError, all_lines, allow_silence
from chaos.record.records import Blind, ClusterEvent
from chaos.record.resources import Change, OddObjectError, Resource, metadata_of, uid_of, version_of

PAGE = 500
CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0  # until the first byte, and between the bytes of a list
WATCH_FOR_S = 30  # the server ends the watch then, and sends a bookmark 2 s before (cache_watcher.go, nextBookmarkTime)
HURRIED_WATCH_FOR_S = 3  # so that the bookmark comes within a second or two: what catching up needs
LATE_S = 1.0  # a break that is mended sooner is no blindness: what it delayed is late by less than this
QUICK_S = 0.5  # a watch that ends sooner is asked for again with a pause
JOIN_WITHIN_S = 10.0
COMPARE_FOR_S = 2  # whole seconds; what a watch tells again comes at once


class _GoneError(Exception):
    """The server no longer has the resourceVersion that was to be resumed from."""


class Stream:
    """One resource's list and watch, in a thread of its own."""

    def __init__(self, resource: "Resource", history: History, connection: Connection) -> None:
        self.source = f"watch:{resource.name}"
        self.listed = False  # since the start or the last switch
        self.refused = ""
        self.trouble = ""
        self._resource = resource
        self._history = history
        self._connection = connection
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
        self._lines = Lines(history)
        self._blind_since: float | None = None
        self._blind_why = ""
        # Blind until the watch that now runs; not known before a line of it came whether that one goes on.
        self._unproven: Blind | None = None
        self._goal = 0  # while catching up
        self._failures = 0  # since the stream last ran
        self._began_at = ""  # the version of the last full list that was compared
        self._from_before: frozenset[str] = frozenset()  # versions of what was there before and is not recorded
        self._last: dict[str, Any] = {}  # what there was, by uid, when catching up began

    def start(self) -> None:
        """List, and then watch, in a thread of its own."""
        self._heard = self._history.now()
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopped.set()
        self._cut("")

    def join(self) -> None:
        """Wait until the thread has ended, for a bounded time."""
        if self._thread.ident is not None:
            self._thread.join(JOIN_WITHIN_S)

    # --- called from other threads

    def relist(self, why: str) -> None:
        """Break off and begin again with a full list."""
        with self._lock:
            self.listed = False
            self._must_list = True
        self._cut(why)

    def answered(self, at: float) -> None:
        """The API server answered a question that was sent `at`."""
        if self._answer is not None:
            self._heard = max(self._heard, at)

    def not_answered(self, since: float, why: str) -> None:
        """The API server did not answer what was sent at `since`; nothing heard since then: break off."""
        if self._heard < since:
            self._cut(why)

    def held_up(self, since: float, until: float, why: str) -> None:
        """What the API server told meanwhile was written down late, though nothing of it is lost."""
        self._history.add(Blind(since, self.source, until, why, complete=True))

    def begin_catch_up(self) -> int:
        """The version that shows, once it is reached, that nothing until now is missing; asked by a consistent read.

        From here on bookmarks are asked for often. Where there are none, the goal is the newest version of any object.
        """
        self._last, version = self._read_all()
        if not self._resource.bookmarks:
            return max(map(revision_of, self._last.values()), default=0)
        self._goal = goal = int(version)
        if not self.reached(goal):
            self._cut("")  # the watch that follows goes on at the same place, but its bookmark comes soon
        return goal

    def reached(self, goal: int) -> bool:
        """Whether nothing until that version is missing."""
        with self._lock:
            return not self._must_list and self._blind_since is None and int(self._position or 0) >= goal

    def end_catch_up(self) -> None:
        """Bookmarks may be rare again."""
        self._goal = 0

    def compare(self) -> None:
        """Compare what was written down with what the API server told when catching up began, and with what its watch
        tells once more of the time since the last full list. What is missing is a Blind record that is not complete.
        """
        written = WrittenDown.of(self._history, self._resource.record, self._from_before)
        try:
            missing = written.lacks(self._last.values(), self._resource)
            if not missing and (newest := written.newest(int(self._began_at))):
                missing = written.lacks_of_watch(self._once_more(newest), newest)
        except Exception as error:  # noqa: BLE001  (what it told is no list of such objects, whatever is wrong with it)
            missing = f"what the API server told at the end can't be compared: {brief(error)}"
        if missing:
            self._history.add(Blind(0.0, self.source, self._history.now(), missing))

    def _once_more(self, until: int) -> Iterator[tuple[str, Any]]:
        """What the watch has told since the last full list, up to a version; nothing where it can't be had any more."""
        with suppress(Exception):  # the server may have forgotten it, or be gone: then nothing can be compared
            answer = self._call(watch=True, resource_version=self._began_at, timeout_seconds=COMPARE_FOR_S)
            try:
                for line in all_lines(answer):
                    event = msgspec.json.decode(line)
                    if event["type"] not in _CHANGES:
                        return
                    yield event["type"], event["object"]
                    if revision_of(event["object"]) >= until:
                        return
            finally:
                answer.close()

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
                self._go_blind(str(error))
                with self._lock:
                    self._must_list = True
            except Exception as error:  # noqa: BLE001  (whatever broke: the recording must go on)
                # Nobody knows since when nothing came on a line that only fell silent, whatever answered elsewhere.
                self._go_blind(
                    brief(error),
                    since=self._lines.line_at if isinstance(error, SilentError) else self._lines.part_since,
                )
                self._note_refusal(error)
                self._failures += 1
                pause_s = min(0.05 * 2**self._failures, 1.0) if self._failures > 1 else 0.0
            if self._history.now() - began < QUICK_S and self._cut_why != "":
                pause_s = max(pause_s, 0.1)  # a server that ends every watch at once is not asked in a tight loop
        self._prove()
        if self._blind_since is not None:
            why = f"{self._blind_why}; the recording ended meanwhile"
            self._history.add(Blind(self._blind_since, self.source, self._history.now(), why, complete=False))

    def _note_refusal(self, error: Exception) -> None:
        self.trouble = brief(error)
        if not isinstance(error, ApiException):
            self._connection.drop_idle()
        elif error.status in {401, 403}:
            if not self._ever_listed:
                self.refused = f"{error.status} {error.reason}"
            if error.status == 401:
                self._connection.renew()

    def _go_blind(self, why: str, *, since: float | None = None) -> None:
        """From the last sign of life on, or from `since`; where an earlier blindness proves not to have ended, from its
        beginning.
        """
        start = self._heard if since is None else since
        unproven, self._unproven = self._unproven, None
        if unproven is not None:
            start, why = min(start, unproven.at), f"{unproven.why}; then {why}" if why not in unproven.why else why
        if self._blind_since is None:
            self._blind_since, self._blind_why = start, why
        self._blind_since = min(self._blind_since, start)

    def _see_again(self, how: str, *, listed: bool) -> None:
        """The blindness is over: for good where a list was compared, else as soon as a line comes of this watch."""
        since, self._blind_since = self._blind_since, None
        now = self._history.now()
        self._heard = now
        self._lines.taken(now)
        if since is None:
            return
        self._unproven = Blind(since, self.source, now, f"{self._blind_why}; {how}", complete=True)
        if listed:
            self._prove(always=True)

    def _prove(self, *, always: bool = False) -> None:
        """The stream goes on, so what there was of blindness is over and is written down.

        A short one without a new list has lost nothing and delayed little: no record, unless `always`.
        """
        blind, self._unproven = self._unproven, None
        self._failures = 0
        self.trouble = ""
        if blind is None:
            return
        # What had been held back comes at once. A first line that comes later was not held back.
        until = min(self._history.now(), blind.until + LATE_S)
        if always or until - blind.at >= LATE_S:
            self._history.add(msgspec.structs.replace(blind, until=until))

    def _call(self, **query: object) -> Any:
        call = getattr(k8s.CoreV1Api(self._connection.client()), self._resource.method)
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
        if passed := passed_over(self._known, found.values(), int(self._position or 0)):
            self._history.add(Blind(0.0, self.source, now, passed))
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
                self._record(msgspec.structs.replace(before, at=now, change="deleted", resource_version=version))
        if not self._ever_listed and self._resource.record is ClusterEvent:
            self._from_before = frozenset(seen.resource_version for seen in known.values())
        self._known = known
        self._began_at = version
        self._gone.clear()
        self._ever_listed = True
        self._unproven = None
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
            version = version_of(page)
            if not isinstance(page.get("items"), list):  # an empty list says so: by null nothing is deleted
                raise OddObjectError("a list has no items")
            for item in page["items"]:
                found[uid_of(item)] = item
            token = metadata_of(page).get("continue")
            if not token:
                return found, version

    def _watch(self) -> None:
        """Follow the stream until the server ends it. Raises _GoneError, BrokenError, or what the client raises."""
        if self._must_list or self._stopped.is_set():
            return
        hurried = self._behind
        watch_for_s = HURRIED_WATCH_FOR_S if hurried else WATCH_FOR_S
        answer = self._resumed(watch_for_s)
        with self._lock:
            self._answer, self._cut_why = answer, None
            # Whoever wanted another watch before there was one to cut off is heard now.
            unwanted = self._must_list or self._stopped.is_set() or (not hurried and self._behind)
        try:
            if unwanted:
                self._cut_why = ""
                return
            allow_silence(answer, watch_for_s + 2 * ANSWER_TIMEOUT_S)
            self._see_again("the stream went on where it broke", listed=False)
            for began, line in self._lines.of(answer):
                self._take(began, line)
                if self._must_list or self._stopped.is_set():
                    break
        except (_GoneError, BrokenError):
            raise
        except Exception:
            if self._cut_why is None:
                raise
        finally:
            with self._lock:
                self._answer = None
            answer.close()
        if self._cut_why:
            raise BrokenError(self._cut_why)
        if self._cut_why is None:
            self._heard = now = self._history.now()
            if now - self._lines.line_at >= QUICK_S:  # it was open for a while, and nothing had been held back
                self._prove()

    def _resumed(self, for_s: int) -> Any:
        """The answer to a watch from where the last one ended. Raises _GoneError, or what the client raises."""
        position = {"resource_version": self._position, "timeout_seconds": for_s}
        try:
            return self._call(watch=True, allow_watch_bookmarks=True, **position)
        except ApiException as error:
            if error.status == 410:
                raise _GoneError("the server no longer has the version that was to be resumed from") from error
            raise

    def _take(self, began: float, line: bytes) -> None:
        """One line of a watch, whose first byte came when it `began`."""
        event = msgspec.json.decode(line)
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise OddObjectError("a line of the watch is no event")
        kind, item = event["type"], event.get("object")
        now = self._history.now()
        if kind == "ERROR":
            said = item if isinstance(item, dict) else {"message": item}
            if said.get("code") == 410:
                raise _GoneError(str(said.get("message") or "410 Gone"))
            raise BrokenError(f"the API server ended the watch: {str(said.get('message') or said)[:300]}")
        version = version_of(item)
        if kind != "BOOKMARK":
            change = _CHANGES.get(kind)
            if change is None:
                raise BrokenError(f"the API server sent an event of the unknown type {kind[:80]!r}")
            seen = self._resource.change(now, change, item)
            uid = uid_of(item)
            self._proceed(now, began)
            self._follow(uid, seen, deleted=change == "deleted")
        else:
            self._proceed(now, began)
        with self._lock:
            self._position = version

    def _proceed(self, now: float, began: float) -> None:
        """A line that can be read has come: the stream goes on. One that took its time to come is late by that."""
        self._heard = now
        self._lines.taken(now)
        self._prove()
        if now - began >= LATE_S:
            why = f"what the API server sent took {now - began:.1f} s to come"
            self._history.add(Blind(began, self.source, now, why, complete=True))

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
    return tuple(getattr(seen, name) for name in seen.__struct_fields__ if name not in {"at", "change"})


_CHANGES = {"ADDED": "added", "MODIFIED": "modified", "DELETED": "deleted"}


def brief(error: Exception) -> str:
    """What went wrong with a request, in a few words."""
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    if isinstance(error, BrokenError | OddObjectError):
        return str(error)
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    text = str(cause).strip().splitlines()
    # urllib3 begins with the connection's or the pool's repr, which tells a reader nothing.
    return f"{type(cause).__name__}: {text[0].split('): ', 1)[-1][:200]}" if text else type(cause).__name__
