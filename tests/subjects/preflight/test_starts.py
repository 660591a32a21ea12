"""Containers that start and end: what is said of one that did not end well."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client as k8s

from chaos.errors import OrdealError
from chaos.subjects.preflight.workload import Starts


def pod(phase: str, *codes: int) -> Any:
    ends = [SimpleNamespace(exit_code=code, reason="StartError", message="no such handle") for code in codes]
    statuses = [SimpleNamespace(state=SimpleNamespace(terminated=end)) for end in ends]
    status = SimpleNamespace(phase=phase, reason=None, message=None, container_statuses=statuses)
    return SimpleNamespace(metadata=SimpleNamespace(name="starts-0"), status=status)


class Api:
    """A namespace that gets its service account at the second look, and pods as they were given."""

    def __init__(self, *pods: Any) -> None:
        self.pods, self.looks, self.created = pods, 0, 0

    def create_namespace(self, _body: Any) -> None:
        pass

    def read_namespaced_service_account(self, _name: str, _namespace: str) -> Any:
        self.looks += 1
        if self.looks < 2:
            raise OrdealError("not found")
        return "default"

    def create_namespaced_pod(self, _namespace: str, _body: Any) -> None:
        assert self.looks == 2, "the API server forbids a pod before there is a service account"
        self.created += 1

    def list_namespaced_pod(self, _namespace: str) -> Any:
        return SimpleNamespace(items=list(self.pods))


def deploy(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def client() -> Iterator[None]:
        yield None

    monkeypatch.setattr(k8s, "CoreV1Api", lambda _: api)
    reference = SimpleNamespace(name="c")
    cluster: Any = SimpleNamespace(api=client, ref=reference, images=SimpleNamespace(busybox="busybox"))
    Starts("w1", pods=len(api.pods), containers=1).deploy(cluster, "run", "space")


def test_pods_are_created_once_the_namespace_has_its_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(pod("Succeeded", 0), pod("Succeeded", 0))
    deploy(api, monkeypatch)
    assert api.created == 2


def test_a_container_that_failed_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OrdealError, match="starts-0 failed on node w1: exit code 128, StartError: no such handle"):
        deploy(Api(pod("Failed", 0, 128)), monkeypatch)
