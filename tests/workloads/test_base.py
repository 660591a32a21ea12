"""A pod is created when its namespace lets it be."""

from typing import Any

import pytest

from chaos.workloads import base

PODS = "kind: Namespace\n---\nkind: ConfigMap\n---\nkind: Pod\nmetadata: {namespace: ns}\n"


def test_a_pod_waits_for_the_namespaces_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Core:
        def __init__(self, _: object) -> None: ...

        def read_namespaced_service_account(self, name: str, namespace: str) -> str:
            made.append(f"{namespace}/{name} is asked for")
            return name

    monkeypatch.setattr(base, "CoreV1Api", Core)
    monkeypatch.setattr(base, "create_from_dict", lambda _, each: made.append(each["kind"]))
    client: Any = None
    base.create(client, PODS)
    assert made == ["Namespace", "ConfigMap", "ns/default is asked for", "Pod"]
    made.clear()
    base.create(client, PODS, without={"Pod"})
    assert made == ["Namespace", "ConfigMap"]
