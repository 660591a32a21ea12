"""What each Node says of the machine that it stands for, asked twice a second: two Nodes of one machine show here."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec
from kubernetes.client import ApiClient

from chaos.basics.waiting import eventually
from chaos.clusters.way.client import raw_get
from chaos.record.history import History
from chaos.record.records import Blind, Observation, Sample

IDENTITY = "node-identity"  # Observation by Node: JSON of the identifiers below, or GONE; also the source of Blind
ASKED = "nodes-asked"  # Sample: how many Nodes there were, each time that they were asked for
IDENTIFIERS = ("machine id", "system UUID", "provider id", "address")
GONE = "gone"
EVERY_S = 0.5


class NodeIdentities:
    """Asks for as long as the block lasts. Where no answer comes there is a Blind record until the next one."""

    def __init__(self, history: History, client: Callable[[], ApiClient]) -> None:
        self._history, self._client = history, client
        self._known: dict[str, str] = {}
        self._asked_at: float | None = None
        self._trouble = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-identities", daemon=True)

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where the first answer does not come."""
        self._thread.start()
        eventually(lambda: self._asked_at is not None, within_s=30, what="the nodes' identities", every_s=0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join(30)

    def _run(self) -> None:
        with self._client() as client:
            while True:
                at = self._history.now()
                try:
                    self._take(at, msgspec.json.decode(raw_get(client, "/api/v1/nodes"))["items"])
                except Exception as error:  # noqa: BLE001  (whatever it was: it is a gap, and is told)
                    self._trouble = self._trouble or (str(error).strip().splitlines() or [repr(error)])[0][:200]
                if self._stopped.wait(EVERY_S):
                    break
        if self._trouble:
            self._history.add(Blind(self._asked_at or 0.0, IDENTITY, self._history.now(), self._trouble))

    def _take(self, at: float, items: list[dict[str, object]]) -> None:
        seen = dict(_identity(item) for item in items)
        for name in self._known.keys() - seen.keys():
            self._history.add(Observation(at, IDENTITY, name, GONE))
        for name, identity in seen.items():
            if self._known.get(name) != identity:
                self._history.add(Observation(at, IDENTITY, name, identity))
        if self._trouble:
            self._history.add(Blind(self._asked_at or 0.0, IDENTITY, at, self._trouble))
        self._known, self._asked_at, self._trouble = seen, at, ""
        self._history.add(Sample(at, ASKED, IDENTITY, len(seen)))


def _identity(item: dict[str, object]) -> tuple[str, str]:
    node = msgspec.json.decode(msgspec.json.encode(item))
    info = node["status"].get("nodeInfo") or {}
    addresses = [a["address"] for a in node["status"].get("addresses") or () if a["type"] == "InternalIP"]
    values = (info.get("machineID"), info.get("systemUUID"), node["spec"].get("providerID"), ",".join(addresses))
    said = {name: value for name, value in zip(IDENTIFIERS, values, strict=True) if value}
    return node["metadata"]["name"], msgspec.json.encode(said).decode()
