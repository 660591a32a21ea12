"""What a kubelet says in its own log of evictions: its rankings, whom it evicted, which images it removed."""

import math
import re
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec

from chaos.clusters.abilities import NodeClocks, NodeExec
from chaos.record.history import History
from chaos.record.records import NodeChange
from chaos.record.registry import Record
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.eviction.records import (
    SOURCE,
    EvictionRanking,
    ImageRemoved,
    KubeletEvicted,
    NoneLeft,
    Reclaims,
)

EVERY_S = 2.0
PRESSURE = "DiskPressure"  # the condition that a node reports


def _ranking(at: float, node: str, pods: str) -> EvictionRanking:
    return EvictionRanking(at, node, tuple(re.findall(r'"([^"]+)"', pods)))


# The kubelet's messages without a verbosity flag. Source: pkg/kubelet/eviction/eviction_manager.go,
# pkg/kubelet/images/image_gc_manager.go.
_MESSAGES: tuple[tuple[Callable[[float, str, str], Record], re.Pattern[str]], ...] = (
    (_ranking, re.compile(r'"Eviction manager: pods ranked for eviction" pods=(\[.*\])')),
    (KubeletEvicted, re.compile(r'"Eviction manager: pod is evicted successfully" pod="([^"]+)"')),
    (Reclaims, re.compile(r'"Eviction manager: attempting to reclaim" resourceName="([^"]+)"')),
    (NoneLeft, re.compile(r'"Eviction manager: (unable to evict any pods) from the node"')),
    (
        NoneLeft,
        re.compile(r'"Eviction manager: eviction thresholds have been met, but (no pods are active) to evict"'),
    ),
    (ImageRemoved, re.compile(r'"Removing image to free bytes" imageID="([^"]+)"')),
)


class EvictionLog:
    """Reads one node's kubelet log for as long as the block lasts, and once more at its end.

    Each record is `at` the time that the journal has for its line, by the monotonic clock: the nodes' is this
    machine's, or it is known how far it is ahead. Where the log can't be read for a while, the reading goes on where it
    stopped, and nothing is lost: its Blind record is complete, but for one that lasts until the end. See `source_of`.
    """

    def __init__(self, history: History, cluster: NodeExec, node: str) -> None:
        self._history, self._cluster, self._node = history, cluster, node
        self._cursor = ""
        self._ahead_s = cluster.clock(node).ahead_s if isinstance(cluster, NodeClocks) else 0.0
        self._gap = Gap(history, source_of(node), read_later=True)
        self._sampler = Sampler(f"eviction-log-{node}", self._read, every_s=EVERY_S, gaps=[self._gap], once_more=True)

    def __enter__(self) -> Self:
        self._sampler.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampler.end()

    def _read(self) -> None:
        asked = self._history.now()
        where = f"--after-cursor={self._cursor}" if self._cursor else f"--since=-{math.ceil(asked) + 1}s"
        argv = ["journalctl", "--no-pager", "--quiet", "--unit", "kubelet", "--output", "json", where]
        for line in self._cluster.node_exec(self._node, argv, timeout_s=20).out.splitlines():
            entry = msgspec.json.decode(line)
            self._cursor = entry["__CURSOR"]
            message = entry.get("MESSAGE")
            at = int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6 - self._ahead_s - self._history.began
            found = said(message, round(at, 6), self._node) if isinstance(message, str) and at >= 0 else None
            if found is not None:
                self._history.add(found)
        self._gap.seen(asked)


def said(message: str, at: float, node: str) -> Record | None:
    """What a line of the kubelet's log says of evictions; None for nothing."""
    for make, pattern in _MESSAGES:
        found = pattern.search(message)
        if found is not None:
            return make(at, node, found[1])
    return None


def source_of(node: str) -> str:
    """The source that a Blind record of this node's log names."""
    return f"{SOURCE}:{node}"


def under_pressure(history: History, node: str) -> bool:
    """Whether the node reports DiskPressure now, as far as it was seen."""
    changes = [c for c in history.of(NodeChange) if c.name == node]
    return bool(changes) and PRESSURE in changes[-1].pressures
