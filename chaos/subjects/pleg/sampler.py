"""A kubelet, sampled: once a second its PLEG, its goroutines and handles, through the API server's node proxy."""

import re
import threading
from contextlib import ExitStack
from math import isfinite
from types import TracebackType
from typing import Any, Self

from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.basics.go_duration import go_seconds
from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_get
from chaos.record import stacks
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.pleg.records import (
    DISCARDED,
    GAP_S,
    KUBELET_GOROUTINES,
    KUBELET_HANDLES,
    LAST_SEEN_AGE,
    RELIST,
    REPORTED_AGE,
    RUNTIME_HANDLES,
    SOURCE,
    RelistStack,
)

EVERY_S = 1.0
HANDLES_EVERY_S = 5.0
STACK_EVERY_S = 10.0
LAST_SEEN = "kubelet_pleg_last_seen_seconds"
RELIST_SUM, RELIST_COUNT = "kubelet_pleg_relist_duration_seconds_sum", "kubelet_pleg_relist_duration_seconds_count"
DISCARD_EVENTS = "kubelet_pleg_discard_events"
GOROUTINES, OPEN_FDS = "go_goroutines", "process_open_fds"
WANTED = frozenset({LAST_SEEN, RELIST_SUM, RELIST_COUNT, DISCARD_EVENTS, GOROUTINES, OPEN_FDS})
# "PLEG is not healthy: pleg was last seen active 3m32.5s ago; threshold is 3m0s" (pkg/kubelet/pleg/generic.go, Healthy)
_UNHEALTHY = re.compile(r"pleg was last seen active (\S{1,64}) ago")
CONTAINERD_HANDLES = "ls /proc/$(systemctl show --property MainPID --value containerd)/fd | wc -l"


class PlegSamples:
    """Samples one node's kubelet for as long as the block lasts.

    The age of the last relist is by this machine's monotonic clock: how long the kubelet's own time stamp has stood
    still. So the node's clock may be any, and the true age is at most a second and a scrape longer.
    Once it exceeds `limit_s`, the kubelet's goroutines are looked at, every ten seconds, for where relist stands.
    """

    def __init__(self, history: History, cluster: Cluster, node: str, *, limit_s: float) -> None:
        self._history, self._cluster, self._node, self._limit_s = history, cluster, node, limit_s
        self._gap = Gap(history, f"{SOURCE}:{node}", late_after_s=GAP_S)
        self._sampling = ExitStack()
        self._last_seen: float | None = None
        self._changed_at = 0.0
        self._before: dict[str, float] = {}
        self._first_discarded: float | None = None
        self._stack_at = float("-inf")
        self._one_look = threading.Lock()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            scrapes = stack.enter_context(self._cluster.api())
            looks = stack.enter_context(self._cluster.api())
            name = f"pleg-{self._node}"
            stack.enter_context(Sampler(name, lambda: self._scrape(scrapes), every_s=EVERY_S, gaps=[self._gap]))
            # Its metrics are the first source; of these two only what is there is told.
            stack.enter_context(Sampler(f"{name}-condition", lambda: self._read_condition(looks), every_s=EVERY_S))
            if isinstance(self._cluster, NodeExec):
                stack.enter_context(Sampler(f"{name}-handles", self._count_handles, every_s=HANDLES_EVERY_S))
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _scrape(self, client: ApiClient) -> None:
        found = parse(raw_get(client, f"/api/v1/nodes/{self._node}/proxy/metrics").decode())
        now = self._history.now()
        self._gap.seen(now)
        self._write(now, found)
        if now - self._changed_at > self._limit_s:
            self._look_at_stacks(client, now)

    def _write(self, now: float, found: dict[str, float]) -> None:
        """What one scrape says. Counters of a kubelet that was started anew begin at zero."""
        if found[LAST_SEEN] != self._last_seen:
            self._last_seen, self._changed_at = found[LAST_SEEN], now
        self._sample(now, LAST_SEEN_AGE, now - self._changed_at)
        count, total = found.get(RELIST_COUNT, 0.0), found.get(RELIST_SUM, 0.0)
        anew = count < self._before.get(RELIST_COUNT, 0.0)
        new = count - (0.0 if anew else self._before.get(RELIST_COUNT, count))
        if new > 0:
            self._sample(now, RELIST, (total - (0.0 if anew else self._before[RELIST_SUM])) / new)
        discarded = found.get(DISCARD_EVENTS, 0.0)
        if self._first_discarded is None or anew:
            self._first_discarded = 0.0 if anew else discarded
        self._sample(now, DISCARDED, discarded - self._first_discarded)
        for metric, name in ((GOROUTINES, KUBELET_GOROUTINES), (OPEN_FDS, KUBELET_HANDLES)):
            if metric in found:
                self._sample(now, name, found[metric])
        self._before = {RELIST_COUNT: count, RELIST_SUM: total}

    def _look_at_stacks(self, client: ApiClient, now: float) -> None:
        with self._one_look:
            if now - self._stack_at < STACK_EVERY_S:
                return
            self._stack_at = now
        try:
            dump = raw_get(client, f"/api/v1/nodes/{self._node}/proxy/debug/pprof/goroutine?debug=2")
        except Exception:  # noqa: BLE001  (the next look may do; without any the cause is just not named)
            return
        there = stacks.parse(dump.decode(errors="replace"))
        blocked, words = stacks.relist_blocked_on_send(there) is not None, stacks.relist_said(there)
        self._history.add(RelistStack(self._history.now(), self._node, blocked, words))

    def _read_condition(self, client: ApiClient) -> None:
        """What the kubelet says of its PLEG in the Node's Ready condition, and then where its relist stands."""
        node: Any = k8s.CoreV1Api(client).read_node(self._node)
        said = next((c.message or "" for c in node.status.conditions or [] if c.type == "Ready"), "")
        age_s = reported_age_s(said)
        if age_s is not None:
            now = self._history.now()
            self._sample(now, REPORTED_AGE, age_s)
            self._look_at_stacks(client, now)

    def _count_handles(self) -> None:
        """The runtime's open handles; figures only, so one that can't be had is left out."""
        assert isinstance(self._cluster, NodeExec)
        said = self._cluster.node_exec(self._node, ["sh", "-c", CONTAINERD_HANDLES], check=False).out.strip()
        if said.isdigit():
            self._sample(self._history.now(), RUNTIME_HANDLES, float(said))

    def _sample(self, now: float, name: str, value: float) -> None:
        self._history.add(Sample(now, name, self._node, round(value, 3)))


def reported_age_s(said: str) -> float | None:
    """How long ago its PLEG was last active, where a kubelet says in its Node's condition that this is too long."""
    found = _UNHEALTHY.search(said)
    return go_seconds(found[1]) if found else None


def parse(text: str) -> dict[str, float]:
    """The metrics that are wanted here, by name, of Prometheus' text format. None of them has labels.

    Raises ValueError where there is no time stamp of PLEG, as these are no kubelet's metrics then, and where one that
    is wanted is no finite number: NaN equals nothing, so a time stamp of NaN would never be seen to stand still.
    """
    found: dict[str, float] = {}
    for line in text.split("\n"):  # and at nothing else that ends a line elsewhere: a label's value may hold it
        name, blank, value = line.partition(" ")
        if blank and name in WANTED:
            found[name] = float(next(iter(value.split()), ""))
            if not isfinite(found[name]):
                raise ValueError(f"the kubelet's metric {name} is no finite number")
    if LAST_SEEN not in found:
        raise ValueError(f"the kubelet's metrics have no {LAST_SEEN}")
    return found
