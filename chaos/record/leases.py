"""Node heartbeats, sampled: once a second how old each node's lease is, by what the kubelets themselves write."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from kubernetes.client import ApiClient, CoordinationV1Api

from chaos.record.history import History
from chaos.record.records import Sample

NAMESPACE = "kube-node-lease"
LEASE_AGE = "lease-age-s"  # Sample: seconds since the node's kubelet renewed its lease, by node
EVERY_S = 1.0


class LeaseSamples:
    """Samples every node's lease for as long as the block lasts. While the API server is away there are no samples.

    The ages are by this machine's clock: right for nodes on this machine, and for others as far as clocks agree.
    """

    def __init__(self, history: History, client: Callable[[], ApiClient]) -> None:
        self._history, self._client = history, client
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join(30)

    def _run(self) -> None:
        with self._client() as client:
            api = CoordinationV1Api(client)
            while not self._stopped.wait(EVERY_S):
                with suppress(Exception):  # an API server that is away: the missing samples say so
                    leases = api.list_namespaced_lease(NAMESPACE, _request_timeout=(1.0, 3.0)).items
                    at, wall = self._history.now(), datetime.now(UTC)
                    for lease in leases:
                        if lease.metadata and lease.metadata.name and lease.spec and lease.spec.renew_time:
                            age_s = (wall - lease.spec.renew_time).total_seconds()
                            self._history.add(Sample(at, LEASE_AGE, lease.metadata.name, round(age_s, 3)))
