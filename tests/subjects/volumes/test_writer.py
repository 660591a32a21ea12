"""What is said of a StorageClass that is missing, or that gives no volume; what the API says is given here."""

from collections.abc import Collection
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kubernetes import client as k8s

from chaos.clusters.base import Node
from chaos.errors import OrdealError
from chaos.subjects.volumes import workload as volume_writer
from chaos.subjects.volumes.workload import RECREATE, VolumeWriter, check_class


class Api:
    """A cluster, and all of the API that is asked: what was made is remembered, nothing ever runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **there: list[Any]) -> None:
        self.there, self.made, self.pods, self.binding = there, list[str](), list[Any](), "Immediate"
        self.ref, self.images = SimpleNamespace(name="theirs"), SimpleNamespace(busybox="busybox")
        monkeypatch.setattr(k8s, "StorageV1Api", lambda _: self)
        monkeypatch.setattr(k8s, "CoreV1Api", lambda _: self)
        monkeypatch.setattr(volume_writer, "create", self._create)
        monkeypatch.setattr(volume_writer, "WRITES_WITHIN_S", 0.05)

    def api(self) -> Any:
        return nullcontext()

    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(name, name == "cp", "True", "", "", ()) for name in ("cp", "b", "node", "a"))

    def _create(self, _: object, text: str, *, without: Collection[str]) -> None:
        made = [each for each in yaml.safe_load_all(text) if each["kind"] not in without]
        self.made.append(" ".join(each["kind"] for each in made))
        self.pods += [each["spec"]["template"]["spec"] for each in made if each["kind"] in volume_writer.RUNS]

    def read_storage_class(self, _: str) -> Any:
        return SimpleNamespace(volume_binding_mode=self.binding)

    def read_namespaced_persistent_volume_claim(self, *_: str) -> Any:
        return self.there["claims"][0]

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
    api = Api(monkeypatch, claims=[claim("Bound")])
    deploy(api)
    (pod,) = api.pods
    preferred = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [(each["weight"], each["preference"]["matchFields"][0]["values"]) for each in preferred] == [
        (100, ["node"]),
        (50, ["a"]),
    ]


def test_a_pod_comes_when_its_claim_is_bound_for_the_scheduler_may_miss_that(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(monkeypatch, claims=[claim("Pending")])
    deploy(api)
    assert api.made == ["Namespace ConfigMap PersistentVolumeClaim"]
    bound = Api(monkeypatch, claims=[claim("Bound")])
    deploy(bound)
    assert bound.made == ["Namespace ConfigMap PersistentVolumeClaim", "Deployment"]


def test_a_class_that_waits_for_the_first_pod_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(monkeypatch, claims=[claim("Pending")])
    api.binding = "WaitForFirstConsumer"
    deploy(api)
    assert api.made == ["Namespace ConfigMap PersistentVolumeClaim", "Deployment"]
