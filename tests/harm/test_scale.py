"""What takes a Deployment's replicas: what is refused before any harm, and what undo goes by."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.errors import OrdealError
from chaos.harm.scale import ScaleToZero


class FakeCluster:
    """Nothing is asked of an API server, for the tests put its answers in place."""

    @contextmanager
    def api(self) -> Iterator[None]:
        yield None


class Apps:
    """A Deployment as an API server has it: what is asked for becomes true at once, unless it is told to be slow."""

    def __init__(self, replicas: int) -> None:
        self.replicas = self.ready = replicas
        self.slow = False

    def read_namespaced_deployment(self, name: str, namespace: str) -> object:
        if (namespace, name) != ("kube-system", "coredns"):
            raise ApiException(status=404)
        selector = SimpleNamespace(match_labels={"k8s-app": "kube-dns"})
        return SimpleNamespace(
            spec=SimpleNamespace(replicas=self.replicas, selector=selector),
            status=SimpleNamespace(ready_replicas=self.ready or None),
        )

    def patch_namespaced_deployment_scale(self, _name: str, _namespace: str, body: dict[str, Any]) -> None:
        self.replicas = body["spec"]["replicas"]
        if not self.slow:
            self.ready = self.replicas

    def list_namespaced_pod(self, _namespace: str, *, label_selector: str) -> object:
        assert label_selector == "k8s-app=kube-dns"
        return SimpleNamespace(items=[object()] * self.ready)


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> Apps:
    made = Apps(2)
    monkeypatch.setattr(k8s, "AppsV1Api", lambda _: made)
    monkeypatch.setattr(k8s, "CoreV1Api", lambda _: made)
    return made


def test_replicas_go_and_come_back(apps: Apps) -> None:
    cluster: Any = FakeCluster()
    fault = ScaleToZero()
    saved = fault.plan(cluster)
    assert ScaleToZero.undone(cluster, saved)
    apps.slow = True
    fault.apply(cluster, saved)
    assert not fault.landed(cluster, saved)  # its pods are still there
    apps.ready = 0
    assert fault.landed(cluster, saved)
    ScaleToZero.undo(cluster, saved)
    assert not ScaleToZero.undone(cluster, saved)  # its pods are not Ready yet
    apps.ready = 2
    assert ScaleToZero.undone(cluster, saved)


@pytest.mark.parametrize(
    ("named", "replicas", "sentence"),
    [
        ("coredns", 2, "names no Deployment: say NAMESPACE/NAME"),
        ("kube-system/none", 2, r"there is no Deployment none in namespace kube-system \(404\)"),
        ("kube-system/coredns", 0, "has no replica already"),
    ],
)
def test_what_has_nothing_to_lose_is_refused(apps: Apps, named: str, replicas: int, sentence: str) -> None:
    apps.replicas = replicas
    cluster: Any = FakeCluster()
    with pytest.raises(OrdealError, match=sentence):
        ScaleToZero(named).plan(cluster)
