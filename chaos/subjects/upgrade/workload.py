"""Pods that are asked for again and again while something else happens: each a Job that ends at once."""

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from kubernetes.client import BatchV1Api

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import Cluster
from chaos.record.history import History
from chaos.record.records import Observation, Sample
from chaos.subjects.upgrade.promises import ASKED, NEVER_RAN
from chaos.workloads.base import WORKLOAD_LABEL

NAME = "asked-for"  # the workload's label
NAMESPACE = "default"
PAUSE_S = 2.0


class Jobs:
    """Asks for one pod after the other for as long as the block lasts: a Job, as a CronJob makes them.

    A request that fails is made again, as a controller does. Each gives a Sample ASKED, the seconds from the first
    request until the Job was complete, or an Observation NEVER_RAN where it was not within `within_s`.
    """

    def __init__(self, history: History, cluster: Cluster, *, within_s: float) -> None:
        self._history, self._cluster, self._within_s = history, cluster, within_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join(self._within_s + 30 if kind is None else 0)  # the last one is waited for

    def _run(self) -> None:
        number = 0
        while not self._stopped.wait(PAUSE_S if number else 0):
            number += 1
            name = f"{NAME}-{number}"
            at, began = self._history.now(), time.monotonic()
            try:
                self._ask(name)
            except Exception as error:  # noqa: BLE001  (whatever it was: the pod that was asked for did not run)
                why = str(error) if isinstance(error, WaitedInVainError) else repr(error)
                self._history.add(Observation(self._history.now(), NEVER_RAN, name, why))
            else:
                self._history.add(Sample(at, ASKED, name, round(time.monotonic() - began, 3)))

    def _ask(self, name: str) -> None:
        with self._cluster.api() as client:
            batch = BatchV1Api(client)

            def complete() -> bool:
                found: Any = batch.list_namespaced_job(NAMESPACE, field_selector=f"metadata.name={name}")
                if not found.items:
                    batch.create_namespaced_job(NAMESPACE, self._job(name))
                    return False
                return any(c.type == "Complete" and c.status == "True" for c in found.items[0].status.conditions or [])

            eventually(complete, within_s=self._within_s, what=f"the Job {name} to be complete")
            with suppress(Exception):  # the cluster is not used again; the Jobs that are over only take room
                batch.delete_namespaced_job(name, NAMESPACE, propagation_policy="Background")

    def _job(self, name: str) -> Any:
        container = {"name": "true", "image": self._cluster.images.busybox, "command": ["true"]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": {WORKLOAD_LABEL: NAME}},
            "spec": {
                "backoffLimit": 20,
                "template": {
                    "metadata": {"labels": {WORKLOAD_LABEL: NAME}},
                    "spec": {
                        "restartPolicy": "Never",
                        "terminationGracePeriodSeconds": 0,
                        "containers": [{**container, "imagePullPolicy": "IfNotPresent"}],
                    },
                },
            },
        }
