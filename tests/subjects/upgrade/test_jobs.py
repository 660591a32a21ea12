"""Pods that are asked for all the time through: each is a sample of how long it took, or is told to have never run."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.subjects.upgrade import workload as jobs
from chaos.subjects.upgrade.records import ASKED, PodNeverRan
from chaos.subjects.upgrade.workload import NAME, Jobs


class Api:
    """A batch API that is away for the first two requests, and where a Job is complete once it was looked at."""

    def __init__(self, *, completes: bool) -> None:
        self.completes, self.requests = completes, 0
        self.created: list[str] = []
        self.deleted: list[str] = []

    def list_namespaced_job(self, _namespace: str, field_selector: str) -> Any:
        self.requests += 1
        if self.requests <= 2:
            raise ConnectionError("nobody answers")
        if field_selector.removeprefix("metadata.name=") not in self.created:
            return SimpleNamespace(items=[])
        conditions = [SimpleNamespace(type="Complete", status="True")] if self.completes else None
        return SimpleNamespace(items=[SimpleNamespace(status=SimpleNamespace(conditions=conditions))])

    def create_namespaced_job(self, _namespace: str, body: Any) -> None:
        self.created.append(body["metadata"]["name"])

    def delete_namespaced_job(self, name: str, _namespace: str, propagation_policy: str) -> None:
        self.deleted.append(name)


def history_of(api: Api, monkeypatch: pytest.MonkeyPatch, *, within_s: float, until: type) -> History:
    @contextmanager
    def client() -> Iterator[None]:
        yield None

    def impatient(condition: Any, *, within_s: float, what: str) -> Any:
        return eventually(condition, within_s=within_s, what=what, every_s=0.001)

    monkeypatch.setattr(k8s, "BatchV1Api", lambda _: api)
    monkeypatch.setattr(jobs, "PAUSE_S", 0.001)
    monkeypatch.setattr(jobs, "eventually", impatient)
    cluster: Any = SimpleNamespace(api=client, images=SimpleNamespace(busybox="busybox"))
    history = History()
    with Jobs(history, cluster, within_s=within_s):
        eventually(lambda: len(history.of(until)) >= 2, within_s=20, what="two records", every_s=0.001)
    return history


def test_a_request_that_fails_is_made_again_and_one_pod_follows_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(completes=True)
    ran = history_of(api, monkeypatch, within_s=20, until=Sample).of(Sample)
    assert [s.name for s in ran[:2]] == [ASKED, ASKED]
    assert [s.subject for s in ran[:2]] == [f"{NAME}-1", f"{NAME}-2"]
    assert len(api.created) == len(set(api.created)), "each is asked for once, however often it is looked at"
    assert api.deleted == api.created


def test_a_pod_that_does_not_run_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    history = history_of(Api(completes=False), monkeypatch, within_s=0.05, until=PodNeverRan)
    never = history.of(PodNeverRan)
    assert [each.pod for each in never[:2]] == [f"{NAME}-1", f"{NAME}-2"]
    assert "to be complete" in never[0].why
    assert not history.of(Sample)
