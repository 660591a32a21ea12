"""Whoever drains a node asks again for what was refused, as `kubectl drain` does each 5 s, and is told why it waits."""

import re
from types import TracebackType
from typing import Any, Self

import msgspec
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import Cluster
from chaos.harm.drain import evict, pods_on, refusals
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.drains.records import GONE, GRANTED, NO_DISRUPTION, TWO_BUDGETS, EvictionAnswered
from chaos.workloads.base import WORKLOAD_LABEL

ASKED = "drain"
REFUSALS = "evictions-refused"  # a Sample: what the API server counts, of itself, since its start
AGAIN_AFTER_S = 1.0
DISRUPTION_BUDGET = "DisruptionBudget"  # the reason of the cause that names it (api/policy/v1, DisruptionBudgetCause)
HAS_TWO = "more than one PodDisruptionBudget"  # what 500 says then; an etcd that does not answer is 500 too
_NAMED = re.compile(r"The disruption budget (\S+) ")


class Drainer:
    """Asks again and again for the eviction of what of our workloads is on a node, for as long as the block lasts.

    An answer that neither grants nor is a budget's is none: a gap of the source `drain:NODE`.
    """

    def __init__(self, history: History, cluster: Cluster, node: str) -> None:
        """`node`: one that is cordoned."""
        self._history, self._cluster, self._node = history, cluster, node
        self._gap = Gap(history, f"{ASKED}:{node}")
        self._sampler = Sampler(f"drain-{node}", self._ask, every_s=AGAIN_AFTER_S, gaps=(self._gap,))

    def __enter__(self) -> Self:
        self._sampler.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampler.end()

    def _ask(self) -> None:
        for pod in pods_on(self._cluster, self._node):
            self._history.add(self._answer(pod))
        now = self._history.now()
        self._history.add(Sample(now, REFUSALS, "apiserver", refusals(self._cluster)))
        self._gap.seen(now)

    def _answer(self, pod: Any) -> EvictionAnswered:
        code, budget, why = GRANTED, "", ""
        try:
            evict(self._cluster, pod.metadata.namespace, pod.metadata.name)
        except ApiException as error:
            code, (budget, why) = int(error.status), named(str(error.body))
            if code not in {GONE, NO_DISRUPTION} and not (code == TWO_BUDGETS and HAS_TWO in why):
                raise
        return EvictionAnswered(
            self._history.now(),
            pod.metadata.namespace,
            pod.metadata.name,
            pod.metadata.uid,
            self._node,
            pod.metadata.labels[WORKLOAD_LABEL],
            code,
            budget,
            why,
        )


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: tuple[_Cause, ...] = ()


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    details: _Details = _Details()


def named(body: str) -> tuple[str, str]:
    """The budget that a refused eviction's answer names, "" for none, and what it says."""
    try:
        status = msgspec.json.decode(body, type=_Status)
    except msgspec.DecodeError:
        return "", body
    for cause in status.details.causes:
        if cause.reason == DISRUPTION_BUDGET and (found := _NAMED.match(cause.message)):
            return found[1], cause.message
    return "", status.message
