"""What nodes of somebody else's cluster say of the images that they pulled."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.workloads import base
from chaos.workloads.base import pulled_by_nodes


def pod(*images: tuple[str, str | None]) -> Any:
    statuses = [SimpleNamespace(image=image, image_id=its_id) for image, its_id in images]
    return SimpleNamespace(status=SimpleNamespace(container_statuses=statuses or None))


def asked(monkeypatch: pytest.MonkeyPatch, answer: Any) -> dict[str, str]:
    @contextmanager
    def client() -> Iterator[None]:
        yield None

    def listed(namespace: str, limit: int) -> Any:
        assert (namespace, limit) == ("space", base.ASKED_PODS)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(items=answer)

    monkeypatch.setattr(k8s, "CoreV1Api", lambda _: SimpleNamespace(list_namespaced_pod=listed))
    cluster: Any = SimpleNamespace(api=client)
    return pulled_by_nodes(cluster, "space")


def test_the_digest_that_a_node_pulled_is_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [pod(("redis:7", "r/redis@sha256:ab"), ("busybox:1", "")), pod(), pod(("redis:7", "r/redis@sha256:ab"))]
    assert asked(monkeypatch, pods) == {"image redis:7": "r/redis@sha256:ab"}


def test_a_replay_goes_on_where_it_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, ApiException(status=403)) == {}
