"""Pods that are asked for again and again while something else happens: each a Job that ends at once."""

import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from kubernetes import client as k8s

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import Cluster
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.record.sampler import Sampler
from chaos.subjects.upgrade.records import ASKED, PodNeverRan
from chaos.workloads.base import WORKLOAD_LABEL

NAME = "asked-for"  # the workload's label
PAUSE_S = 2.0


class Jobs:
    """Asks for one pod after the other for as long as the block lasts: a Job, as a CronJob makes them.

    A request that fails is made again, as a controller does. Each gives a Sample ASKED, the seconds from the first
    request until the Job was complete, or a PodNeverRan where it was not within `within_s`.
    """

    def __init__(self, history: History, cluster: Cluster, *, within_s: float, namespace: str = "default") -> None:
        """`namespace`: where they are; on a cluster that is used again one that is removed."""
        self._history, self._cluster, self._within_s, self._namespace = history, cluster, within_s, namespace
        self._asked = 0
        self._sampler = Sampler("jobs", self._ask_for_one, every_s=PAUSE_S)

    def __enter__(self) -> Self:
        self._sampler.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampler.end(self._within_s + 30 if kind is None else 0)  # the last one is waited for

    def _ask_for_one(self) -> None:
        self._asked += 1
        name = f"{NAME}-{self._asked}"
        at, began = self._history.now(), time.monotonic()
        try:
            self._ask(name)
        except Exception as error:  # noqa: BLE001  (whatever it was: the pod that was asked for did not run)
            why = str(error) if isinstance(error, WaitedInVainError) else repr(error)
            self._history.add(PodNeverRan(self._history.now(), name, why))
        else:
            self._history.add(Sample(at, ASKED, name, round(time.monotonic() - began, 3)))

    def _ask(self, name: str) -> None:
        with self._cluster.api() as client:
            batch = k8s.BatchV1Api(client)

            def complete() -> bool:
                found: Any = batch.list_namespaced_job(self._namespace, field_selector=f"metadata.name={name}")
                if not found.items:
                    batch.create_namespaced_job(self._namespace, self._job(name))
                    return False
                return any(c.type == "Complete" and c.status == "True" for c in found.items[0].status.conditions or [])

            eventually(complete, within_s=self._within_s, what=f"the Job {name} to be complete")
            with suppress(Exception):  # Jobs that are over only take room, until their cluster or their namespace goes
                batch.delete_namespaced_job(name, self._namespace, propagation_policy="Background")

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
