"""What is said of a StorageClass that is missing, or that gives no volume; what the API says is given here."""

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.clusters.base import Node
from chaos.errors import OrdealError
from chaos.workloads import volume_writer
from chaos.workloads.volume_writer import RECREATE, VolumeWriter, affinity, check_class


class Api:
    """A cluster, and all of the API that is asked: what was made is remembered, nothing ever runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **there: list[Any]) -> None:
        self.there, self.made = there, list[str]()
        self.ref, self.images = SimpleNamespace(name="theirs"), SimpleNamespace(busybox="busybox")
        monkeypatch.setattr(volume_writer, "StorageV1Api", lambda _: self)
        monkeypatch.setattr(volume_writer, "CoreV1Api", lambda _: self)
        monkeypatch.setattr(volume_writer, "create", lambda _, text, **__: self.made.append(text))
        monkeypatch.setattr(volume_writer, "WRITES_WITHIN_S", 0.05)

    def api(self) -> Any:
        return nullcontext()

    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(name, name == "cp", "True", "", "", ()) for name in ("cp", "b", "node", "a"))

    def list_storage_class(self) -> Any:
        return self._items("classes")

    def list_namespaced_pod(self, _: str) -> Any:
        return self._items("pods")

    def list_namespaced_persistent_volume_claim(self, _: str) -> Any:
        return self._items("claims")

    def list_namespaced_event(self, _: str) -> Any:
        return self._items("events")

    def _items(self, name: str) -> Any:
        return SimpleNamespace(items=self.there.get(name, []))


def named(name: str) -> Any:
    return SimpleNamespace(metadata=SimpleNamespace(name=name))


def claim(phase: str) -> Any:
    return SimpleNamespace(status=SimpleNamespace(phase=phase))


def event(kind: str, message: str) -> Any:
    return SimpleNamespace(involved_object=SimpleNamespace(kind=kind), message=message, type="Warning")


def deploy(api: Api) -> str:
    cluster: Any = api
    with pytest.raises(OrdealError) as refused:
        VolumeWriter(RECREATE, "fast", "node").deploy(cluster, "run", "ns")
    return str(refused.value)


def test_a_class_that_is_missing_is_told_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    api: Any = Api(monkeypatch, classes=[named("standard"), named("block")])
    with pytest.raises(OrdealError, match="theirs has no StorageClass fast; it has block, standard: name one of them"):
        check_class(api, "fast")
    assert not api.made
    check_class(api, "block")


def test_a_cluster_without_any_class(monkeypatch: pytest.MonkeyPatch) -> None:
    api: Any = Api(monkeypatch)
    with pytest.raises(OrdealError, match="it has none"):
        check_class(api, "fast")


def test_a_claim_that_is_not_bound_is_told_with_what_its_provisioner_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [event("PersistentVolumeClaim", "no such pool"), event("Pod", "has unbound PersistentVolumeClaims")]
    told = deploy(Api(monkeypatch, claims=[claim("Pending")], events=said))
    assert told == (
        'a claim of the StorageClass fast was not bound within 0.05 s; the last event: "no such pool"; look at its '
        "provisioner, or name another class with --ordeal-storage-class"
    )


def test_a_volume_that_is_not_mounted_is_told_with_the_pods_event(monkeypatch: pytest.MonkeyPatch) -> None:
    told = deploy(Api(monkeypatch, claims=[claim("Bound")], events=[event("Pod", "MountVolume failed: no route")]))
    assert told == (
        "recreate wrote nothing into its volume of the StorageClass fast within 0.05 s; the last event: "
        '"MountVolume failed: no route"'
    )


def test_all_rather_move_to_the_same_node(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(monkeypatch)
    deploy(api)
    (made,) = api.made
    preferred = affinity(prefer=("node", "a"))["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]  # type: ignore[index]
    assert [(each["weight"], each["preference"]["matchFields"][0]["values"]) for each in preferred] == [
        (100, ["node"]),
        (50, ["a"]),
    ]
    assert json.dumps(affinity(prefer=("node", "a"))) in made
