"""What a kubelet says in its own log of evictions: its rankings, whom it evicted, which images it removed."""

import re
import threading
from types import TracebackType
from typing import Self

import msgspec

from chaos.clusters.abilities import NodeExec
from chaos.record.history import History
from chaos.record.records import Blind, NodeChange, Observation

# Observations, by node. `seen` is the names in their order ("namespace/name, ..."), a pod, an image's id, a resource.
RANKING = "eviction-ranking"
EVICTED = "kubelet-evicted"
IMAGE_REMOVED = "image-removed"
RECLAIMS = "kubelet-reclaims"
NONE_LEFT = "nothing-left-to-evict"
EVERY_S = 2.0
PRESSURE = "DiskPressure"  # the condition that a node reports

# The kubelet's messages without a verbosity flag. Source: pkg/kubelet/eviction/eviction_manager.go,
# pkg/kubelet/images/image_gc_manager.go.
_MESSAGES = (
    (RANKING, re.compile(r'"Eviction manager: pods ranked for eviction" pods=(\[.*\])')),
    (EVICTED, re.compile(r'"Eviction manager: pod is evicted successfully" pod="([^"]+)"')),
    (RECLAIMS, re.compile(r'"Eviction manager: attempting to reclaim" resourceName="([^"]+)"')),
    (NONE_LEFT, re.compile(r'"Eviction manager: (unable to evict any pods) from the node"')),
    (
        NONE_LEFT,
        re.compile(r'"Eviction manager: eviction thresholds have been met, but (no pods are active) to evict"'),
    ),
    (IMAGE_REMOVED, re.compile(r'"Removing image to free bytes" imageID="([^"]+)"')),
)


class EvictionLog:
    """Reads one node's kubelet log for as long as the block lasts, and once more at its end.

    Each record is `at` the time that the journal has for its line: the nodes' clock is this machine's. Where the log
    can't be read for a while, the reading goes on where it stopped, and nothing is lost; where it could not be read
    until the end there is a Blind record, see `source_of`.
    """

    def __init__(self, history: History, cluster: NodeExec, node: str) -> None:
        self._history, self._cluster, self._node = history, cluster, node
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"eviction-log-{node}", daemon=True)
        self._cursor = ""
        self._blind_since: float | None = None
        self._why = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join(60)

    def _run(self) -> None:
        over = False
        while not over:
            over = self._stopped.wait(EVERY_S)
            began = self._history.now()
            try:
                self._read()
            except Exception as error:  # noqa: BLE001  (whatever it was: it is tried again, and the gap is recorded)
                self._why = (str(error) or type(error).__name__).splitlines()[0]
                self._blind_since = began if self._blind_since is None else self._blind_since
            else:
                self._blind_since = None  # read from the cursor on: nothing is missing
        if self._blind_since is not None:
            self._history.add(Blind(self._blind_since, source_of(self._node), self._history.now(), self._why))

    def _read(self) -> None:
        where = f"--after-cursor={self._cursor}" if self._cursor else f"--since=@{self._history.began_wall:.6f}"
        argv = ["journalctl", "--no-pager", "--quiet", "--unit", "kubelet", "--output", "json", where]
        for line in self._cluster.node_exec(self._node, argv, timeout_s=20).out.splitlines():
            entry = msgspec.json.decode(line)
            self._cursor = entry["__CURSOR"]
            message = entry.get("MESSAGE")
            found = said(message) if isinstance(message, str) else None
            if found is not None:
                at = int(entry["__REALTIME_TIMESTAMP"]) / 1e6 - self._history.began_wall
                self._history.add(Observation(round(at, 6), found[0], self._node, found[1]))


def said(message: str) -> tuple[str, str] | None:
    """What a line of the kubelet's log says of evictions: an observation's name and what was seen; None for nothing."""
    for name, pattern in _MESSAGES:
        found = pattern.search(message)
        if found is not None:
            return name, ", ".join(re.findall(r'"([^"]+)"', found[1])) if name == RANKING else found[1]
    return None


def source_of(node: str) -> str:
    """The source that a Blind record of this node's log names."""
    return f"kubelet-log:{node}"


def under_pressure(history: History, node: str) -> bool:
    """Whether the node reports DiskPressure now, as far as it was seen."""
    changes = [c for c in history.of(NodeChange) if c.name == node]
    return bool(changes) and PRESSURE in changes[-1].pressures
