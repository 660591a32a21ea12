"""Node heartbeats, sampled: once a second how old each node's lease is, by what the kubelets themselves write."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.record.history import History
from chaos.record.records import Sample
from chaos.record.sampler import Sampler

NAMESPACE = "kube-node-lease"
LEASE_AGE = "lease-age-s"  # Sample: seconds since the node's kubelet renewed its lease, by node
EVERY_S = 1.0


class LeaseSamples:
    """Samples every node's lease for as long as the block lasts. While the API server is away there are no samples.

    The ages are by this machine's clock: right for nodes on this machine, and for others as far as clocks agree.
    """

    def __init__(self, history: History, client: Callable[[], ApiClient]) -> None:
        self._history, self._client = history, client
        self._sampling = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            api = k8s.CoordinationV1Api(stack.enter_context(self._client()))
            stack.enter_context(Sampler("leases", lambda: self._ask(api), every_s=EVERY_S))
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _ask(self, api: "k8s.CoordinationV1Api") -> None:
        leases: Any = api.list_namespaced_lease(NAMESPACE, _request_timeout=(1.0, 3.0)).items
        at, wall = self._history.now(), datetime.now(UTC)
        for lease in leases:
            if lease.metadata and lease.metadata.name and lease.spec and lease.spec.renew_time:
                age_s = (wall - lease.spec.renew_time).total_seconds()
                self._history.add(Sample(at, LEASE_AGE, lease.metadata.name, round(age_s, 3)))
