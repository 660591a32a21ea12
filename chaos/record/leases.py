"""Node heartbeats: how old each node's lease is, by what the kubelets themselves write.

No age is told by this machine's clock alone: the nodes write by their own, and this one may be set meanwhile.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.clusters.way.answers import objects
from chaos.clusters.way.server_clock import RESOLUTION_S, answered_at
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.record.sampler import Sampler

NAMESPACE = "kube-node-lease"
LEASE_AGE = "lease-age-s"  # Sample: seconds since the node's kubelet renewed its lease, by node
EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class LeaseAge:
    """How long ago a node renewed its lease, as the API server's clock has it, and for how long it is good; seconds."""

    at_least_s: float
    at_most_s: float
    duration_s: float


def lease_ages(client: ApiClient) -> dict[str, LeaseAge]:
    """Of each node that has renewed its lease. Right as far as the nodes' clocks and the API server's agree.

    Raises what a request can come to, and OrdealError where the answer has no date.
    """
    answer: Any = k8s.CoordinationV1Api(client).list_namespaced_lease(NAMESPACE, _preload_content=False)
    now, ages = answered_at(answer.headers), {}
    for lease in objects(answer.data, client.configuration.host):
        spec = lease.get("spec") or {}
        if renewed := spec.get("renewTime"):
            age_s = (now - datetime.fromisoformat(renewed)).total_seconds()
            duration_s = float(spec.get("leaseDurationSeconds") or 40)
            ages[lease["metadata"]["name"]] = LeaseAge(age_s, age_s + RESOLUTION_S, duration_s)
    return ages


@dataclass(frozen=True, slots=True)
class _Renewal:
    """`stamp`: what the lease says; `at`: when that was, in the history's seconds."""

    stamp: datetime
    at: float


class Renewals:
    """When each node renewed its lease, in a history's seconds.

    A renewal is a time in the lease that was not there before. When it was stands there by the node's clock, which is
    believed where it fits: between the look before and this one. Else one of the clocks was set, and it counts from
    the look before: it is no later than it was.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Renewal] = {}
        self._looked_at = float("-inf")

    def look(self, stamps: dict[str, datetime], asked: float, answered: float, wall: datetime) -> dict[str, float]:
        """For each node when it renewed; all in the history's seconds. `wall`: this machine's clock when answered."""
        for node, stamp in stamps.items():
            known = self._known.get(node)
            if known is None or known.stamp != stamp:
                at = answered - (wall - stamp).total_seconds()
                fits = self._looked_at <= at <= answered if known else at <= answered
                self._known[node] = _Renewal(stamp, at if fits else max(self._looked_at, 0.0))
        self._looked_at = asked
        return {node: self._known[node].at for node in stamps}


class LeaseSamples:
    """Samples every node's lease for as long as the block lasts. While the API server is away there are no samples."""

    def __init__(self, history: History, client: Callable[[], ApiClient]) -> None:
        self._history, self._client = history, client
        self._renewals, self._sampling = Renewals(), ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            api = k8s.CoordinationV1Api(stack.enter_context(self._client()))
            stack.enter_context(Sampler("leases", lambda: self._ask(api), every_s=EVERY_S))
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _ask(self, api: "k8s.CoordinationV1Api") -> None:
        asked = self._history.now()
        leases: Any = api.list_namespaced_lease(NAMESPACE, _request_timeout=(1.0, 3.0)).items
        at, wall = self._history.now(), datetime.now(UTC)
        stamps = {
            lease.metadata.name: lease.spec.renew_time
            for lease in leases
            if lease.metadata and lease.metadata.name and lease.spec and lease.spec.renew_time
        }
        for node, renewed_at in self._renewals.look(stamps, asked, at, wall).items():
            self._history.add(Sample(at, LEASE_AGE, node, round(at - renewed_at, 3)))
