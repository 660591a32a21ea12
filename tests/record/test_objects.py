"""API objects as evidence keeps them: ours and the system's, without what others have put in, paged and capped."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chaos.basics.scrub import REMOVED
from chaos.errors import OrdealError
from chaos.record import objects

HIDDEN = "hidden-value"


def server(items: dict[str, list[dict[str, Any]]], asked: list[str] | None = None, page: int = 2) -> objects.Get:
    """What answers a path of the API, so many items a page."""

    def get(path: str) -> str:
        if asked is not None:
            asked.append(path)
        where, _, query = path.partition("?")
        words = dict(each.split("=", 1) for each in query.split("&"))
        assert words["limit"] == str(objects.PAGE)
        all_of_it, start = items.get(where, []), int(words.get("continue", "0"))
        more = {"continue": str(start + page)} if start + page < len(all_of_it) else {}
        return json.dumps({"metadata": more, "items": all_of_it[start : start + page]})

    return get


def named(name: str, namespace: str = "", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, **fields.pop("metadata", {})}, **fields}


def items(kept: objects.Kept) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kept.text)["items"]
    return found


def names(kept: objects.Kept) -> list[str]:
    return [item["metadata"]["name"] for item in items(kept)]


def test_only_our_namespaces_and_the_systems_are_asked_for() -> None:
    asked: list[str] = []
    there = ["default", "payroll", "ordeal-web-1a2b3c", "kube-system", "kube-flannel", "my-ordeal-x", "ordealish"]
    get = server({"/api/v1/namespaces": [named(each) for each in there]}, asked)
    ours = objects.our_namespaces(get)
    assert ours == ("ordeal-web-1a2b3c", "kube-system")
    for each in objects.RESOURCES:
        objects.kept(get, each, ours)
    assert not [path for path in asked if "payroll" in path]
    assert any(path.startswith("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases?") for path in asked)


def test_of_the_namespace_that_everybody_uses_only_what_is_ours_or_about_nodes() -> None:
    about = "involvedObject"
    get = server(
        {
            "/api/v1/namespaces/default/pods": [
                named("payroll-1", "default"),
                named("ordeal-start-n1", "default"),
                named("eater", "default", metadata={"labels": {"kube-ordeal/workload": "eat-handles"}}),
            ],
            "/api/v1/namespaces/default/events": [
                named("a", "default", **{about: {"kind": "Pod", "name": "payroll-1"}}),
                named("b", "default", **{about: {"kind": "Node", "name": "n1"}}),
                named("c", "default", **{about: {"kind": "Pod", "name": "ordeal-start-n1"}}),
            ],
        }
    )
    assert names(objects.kept(get, "pods", ())) == ["ordeal-start-n1", "eater"]
    assert names(objects.kept(get, "events", ())) == ["b", "c"]


def test_volumes_that_others_have_claimed_are_left_out() -> None:
    def volume(name: str, namespace: str) -> dict[str, Any]:
        return named(name, spec={"claimRef": {"namespace": namespace, "name": "data"}})

    listed = [volume("a", "payroll"), volume("b", "ordeal-x-1"), named("free", spec={})]
    get = server({"/api/v1/persistentvolumes": listed})
    assert names(objects.kept(get, "persistentvolumes", ())) == ["b", "free"]


@pytest.mark.parametrize("namespace", ["kube-system", "ordeal-web-1"])
def test_values_go_and_what_a_reader_needs_stays(namespace: str) -> None:
    probe = {"exec": {"command": ["sh", "-c", HIDDEN]}, "httpGet": {"httpHeaders": [{"name": "X", "value": HIDDEN}]}}
    container = {
        "name": "c",
        "image": "registry.k8s.io/kube-apiserver:v1.34.4",
        "command": ["kube-apiserver", f"--oidc-client={HIDDEN}", "--event-ttl=1h", "--profiling", f"-p{HIDDEN}", "-v"],
        "args": [HIDDEN, f"--other={HIDDEN}", "--node-monitor-grace-period=50s"],
        "env": [
            {"name": "A", "value": HIDDEN},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "C"},
        ],
        "livenessProbe": probe,
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/stop", HIDDEN]}}},
    }
    metadata = {
        "annotations": {"a.b/c": HIDDEN, objects.LAST_APPLIED: HIDDEN},
        "managedFields": [{"manager": HIDDEN}],
        "labels": {"tier": "control-plane"},
    }
    csi = {"csi": {"volumeAttributes": {"user": HIDDEN}}, "flexVolume": {"options": {"x": HIDDEN}}}
    spec = {
        "nodeName": "n1",
        "containers": [container],
        "initContainers": [container],
        "ephemeralContainers": [container],
        "volumes": [csi],
    }
    status = {"phase": "Running", "message": f"it said password={HIDDEN}", "containerStatuses": [{"restartCount": 3}]}
    pod = named("p", namespace, metadata=metadata, spec=spec, status=status)
    kept = objects.kept(server({f"/api/v1/namespaces/{namespace}/pods": [pod]}), "pods", (namespace,))
    assert HIDDEN not in kept.text
    (found,) = items(kept)
    assert found["metadata"]["annotations"] == {"a.b/c": REMOVED}
    assert "managedFields" not in found["metadata"]
    assert found["metadata"]["labels"] == {"tier": "control-plane"}
    for each in ("containers", "initContainers", "ephemeralContainers"):
        (one,) = found["spec"][each]
        assert one["command"] == [
            "kube-apiserver", f"--oidc-client={REMOVED}", "--event-ttl=1h", "--profiling", f"-p{REMOVED}", "-v",
        ]  # fmt: skip
        assert one["args"] == [REMOVED, f"--other={REMOVED}", "--node-monitor-grace-period=50s"]
        assert one["env"] == [{"name": "A", "value": REMOVED}, container["env"][1], {"name": "C"}]  # type: ignore[index]
        assert one["lifecycle"]["preStop"]["exec"]["command"] == ["/bin/stop", REMOVED]
        assert one["image"] == container["image"]
    assert found["status"]["containerStatuses"] == [{"restartCount": 3}]


def test_a_node_tells_no_images_which_are_everybodys() -> None:
    node = named("n1", status={"images": [{"names": [HIDDEN]}], "conditions": [{"type": "Ready", "status": "True"}]})
    kept = objects.kept(server({"/api/v1/nodes": [node]}), "nodes", ())
    assert items(kept)[0]["status"] == {"conditions": [{"type": "Ready", "status": "True"}]}


def test_lists_are_read_page_by_page() -> None:
    asked: list[str] = []
    nodes = [named(f"n{n}") for n in range(5)]
    kept = objects.kept(server({"/api/v1/nodes": nodes}, asked), "nodes", ())
    assert names(kept) == [f"n{n}" for n in range(5)]
    assert (len(asked), kept.cut) == (3, "")


@pytest.mark.parametrize(("limit", "value"), [("MAX_OBJECTS", 3), ("MAX_BYTES", 3 * 45)])
def test_too_many_are_cut_which_is_said_in_the_file_too(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, limit, value)
    asked: list[str] = []
    kept = objects.kept(server({"/api/v1/nodes": [named(f"n{n}") for n in range(50)]}, asked), "nodes", ())
    assert names(kept) == ["n0", "n1", "n2"]
    assert kept.cut == "cut: the first 3 nodes are kept, there are more" == json.loads(kept.text)["cut"]
    assert len(asked) == 2  # the rest is not even asked for


def breaking(get: Callable[[str], str], at: int) -> Callable[[str], str]:
    count = 0

    def broken(path: str) -> str:
        nonlocal count
        count += 1
        if count == at:
            raise OrdealError("410 Gone: too old; token=abc")
        return get(path)

    return broken


def test_a_list_that_breaks_off_is_kept_as_far_as_it_came() -> None:
    get = server({"/api/v1/nodes": [named(f"n{n}") for n in range(5)]})
    kept = objects.kept(breaking(get, 2), "nodes", ())
    assert names(kept) == ["n0", "n1"]
    assert kept.cut == f"cut: after 2 nodes the list broke off: 410 Gone: too old; token={REMOVED}"
    with pytest.raises(OrdealError):
        objects.kept(breaking(get, 1), "nodes", ())
