"""What is planted: the stored bytes of older versions, made of what the API server answers."""

import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from kubernetes.client import ApiClient

from chaos.subjects.aged import stored
from chaos.subjects.aged.stored import aged_revisions, aged_service, is_aged, service_key

KEY = service_key("ns", "old")
NOBODY = cast("ApiClient", None)


def answering(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Any]) -> None:
    monkeypatch.setattr(stored, "raw_get", lambda _, path: json.dumps(answers[path]).encode())
    monkeypatch.setattr(stored, "raw_list", lambda _, path: answers[path])


def test_a_service_is_as_before_dual_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {
        "clusterIP": "10.0.0.1",
        "clusterIPs": ["10.0.0.1"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }
    service = {"kind": "Service", "metadata": {"name": "old", "resourceVersion": "7"}, "spec": spec}
    answering(monkeypatch, {"/api/v1/namespaces/ns/services/old": service})
    aged = aged_service(NOBODY, "ns", "old")
    assert json.loads(aged) == {"kind": "Service", "metadata": {"name": "old"}, "spec": {"clusterIP": "10.0.0.1"}}
    assert is_aged(KEY, aged)


def revision(name: str, owner: str, kind: str = "StatefulSet") -> dict[str, Any]:
    template = {"$patch": "replace", "metadata": {"labels": {"a": "b"}}, "spec": {}}
    owners = [{"kind": kind, "name": owner}]
    return {
        "metadata": {"name": name, "ownerReferences": owners},
        "data": {"spec": {"template": template}},
        "revision": 1,
    }


def test_a_revision_is_as_1_33_wrote_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are what is compared, so the order counts, and no space may be in them."""
    found = [revision("set-1", "set"), revision("other-1", "other"), revision("set-2", "set", "DaemonSet")]
    answering(monkeypatch, {"/apis/apps/v1/namespaces/ns/controllerrevisions": found})
    aged = aged_revisions(NOBODY, "ns", ["set"])
    (key, value), *others = aged.items()
    assert (key, others) == ("/registry/controllerrevisions/ns/set-1", [])
    wanted = (
        b'{"spec":{"template":{"$patch":"replace","metadata":{"creationTimestamp":null,"labels":{"a":"b"}},"spec":{}}}}'
    )
    assert wanted in value
    assert json.loads(value)["kind"] == "ControllerRevision"
    assert is_aged(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (KEY, b""),
        (KEY, b'{"spec":{"ipFamilies":["IPv4"]}}'),
        (KEY, b"k8s\x00 10.0.0.1 \x04IPv4"),
        (KEY, b"k8s\x00 fd00::1 \x04IPv6"),
        ("/registry/controllerrevisions/ns/x", b""),
        ("/registry/controllerrevisions/ns/x", b'{"metadata":{"labels":{}}}'),
    ],
)
def test_what_is_not_there_or_as_now_is_not_old(key: str, value: bytes) -> None:
    assert not is_aged(key, value)
