"""An informer as controllers have one: a list, then a watch, and a picture of the objects that both leave behind.

What it believes goes into the history, so that it can be compared with what etcd holds. Beside the recorder because
it follows the objects' content, and because it must do as client-go's reflector does, no better: it goes on from the
last resourceVersion, and lists again only when the server says that this version is gone.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import msgspec
from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.basics.waiting import eventually
from chaos.record.history import History
from chaos.record.records import Blind, Observation

WATCHED = "watched"  # an Observation of what the watch made believe, and the source of the Blind records
STORED = "stored"  # an Observation of what etcd holds
ABSENT = "absent"
RETRY_S = 0.2
WATCH_FOR_S = 20


class _GoneError(Exception):
    """The server no longer has the resourceVersion from which the watch was to go on."""


class ConfigMapInformer:
    """Follows the ConfigMaps of a namespace for as long as its block lasts; `key` is the data key that is looked at."""

    def __init__(self, history: History, client: Callable[[], ApiClient], namespace: str, key: str) -> None:
        self._history, self._make, self._namespace, self._key = history, client, namespace, key
        self._known: dict[str, str] = {}
        self._listed = threading.Event()
        self._stop = threading.Event()
        self._position = ""  # the last resourceVersion seen; empty where a list must come first
        self._broken_at: float | None = None
        self._why = ""
        self._answer: Any = None
        self._thread = threading.Thread(target=self._run, name="informer", daemon=True)

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where the first list does not come."""
        self._thread.start()
        eventually(self._listed.is_set, within_s=30, what="the informer's first list", every_s=0.02)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        answer = self._answer
        if answer is not None:
            # The reader may be letting go of it: urllib3 then finds a socket, or a connection, that is gone.
            with suppress(OSError, ValueError, RuntimeError):
                answer.shutdown()
        self._thread.join(WATCH_FOR_S + 5)

    def _run(self) -> None:
        with self._make() as client:
            core = k8s.CoreV1Api(client)
            while not self._stop.is_set():
                try:
                    if not self._position:
                        self._position = self._list(core)
                    self._watch(core)
                except _GoneError:
                    self._position = ""
                except Exception as error:  # noqa: BLE001  (whatever broke: an informer tries again, and says so)
                    if self._stop.is_set():
                        break  # we broke it off ourselves
                    if self._broken_at is None:
                        self._broken_at = self._history.now()
                        self._why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
                    self._stop.wait(RETRY_S)
        if self._broken_at is not None:
            self._mended(complete=False)

    def _mended(self, *, complete: bool) -> None:
        if self._broken_at is not None:
            self._history.add(Blind(self._broken_at, WATCHED, self._history.now(), self._why, complete=complete))
            self._broken_at = None

    def _list(self, core: "k8s.CoreV1Api") -> str:
        answer: Any = core.list_namespaced_config_map(self._namespace, _preload_content=False)
        listed = msgspec.json.decode(answer.data)
        seen = {item["metadata"]["name"]: self._value(item) for item in listed["items"]}
        for name in self._known.keys() - seen.keys():
            self._believe(name, ABSENT)
        for name, value in seen.items():
            self._believe(name, value)
        self._listed.set()
        return str(listed["metadata"]["resourceVersion"])

    def _watch(self, core: "k8s.CoreV1Api") -> None:
        self._answer = core.list_namespaced_config_map(
            self._namespace,
            watch=True,
            resource_version=self._position,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_FOR_S,
            _preload_content=False,
            _request_timeout=(3, WATCH_FOR_S + 5),
        )
        self._mended(complete=True)
        try:
            rest = b""
            for piece in self._answer.stream(65536):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._take(msgspec.json.decode(line))
        finally:
            self._answer.close()
            self._answer = None

    def _take(self, event: dict[str, Any]) -> None:
        item = event["object"]
        if event["type"] == "ERROR":
            raise _GoneError(str(item.get("message", ""))) if item.get("code") == 410 else OSError(str(item))
        if event["type"] != "BOOKMARK":
            gone = event["type"] == "DELETED"
            self._believe(item["metadata"]["name"], ABSENT if gone else self._value(item))
        self._position = str(item["metadata"]["resourceVersion"])

    def _value(self, item: dict[str, Any]) -> str:
        return str(item.get("data", {}).get(self._key, ""))

    def _believe(self, name: str, value: str) -> None:
        if self._known.get(name) != value:
            self._known[name] = value
            self._history.add(Observation(self._history.now(), WATCHED, f"{self._namespace}/{name}", value))
