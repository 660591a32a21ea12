"""What came of an edit, by what was seen of its workload and of its twin."""

from collections.abc import Sequence
from typing import Any

from chaos.campaign.edits import every
from chaos.campaign.ground import EditGround
from chaos.campaign.outcome import Came, Result, compared, counts, result
from chaos.campaign.table import page
from chaos.campaign.world import LISTS, PORT, World

ONE, TWIN = EditGround("one", "node-1"), EditGround("twin", "node-2")
UIDS = ("1", "2")


def pod(ground: EditGround, uid: str, *, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": ground.namespace,
            "uid": uid,
            "labels": {"kube-ordeal/workload": "web", "app": "web"},
        },
        "spec": {"nodeName": ground.node},
        "status": {"podIP": f"198.18.0.{uid}", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def service(ground: EditGround, address: str = "10.0.0.1") -> dict[str, Any]:
    spec = {"clusterIP": address, "type": "ClusterIP", "selector": {"app": "web"}, "ports": [{"port": PORT}]}
    return {"metadata": {"namespace": ground.namespace, "name": "address"}, "spec": spec}


def slices(ground: EditGround, *addresses: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": ground.namespace, "labels": {"kubernetes.io/service-name": "address"}},
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": [{"addresses": [each], "conditions": {"ready": True}} for each in addresses],
    }


def world(at: float, pods: Sequence[dict[str, Any]] | None = None, *named: str, address: str = "10.0.0.1") -> World:
    """One in which the twin is sound; the workload has these pods, and its Service names these addresses."""
    lists: dict[str, list[Any]] = {name: [] for name in LISTS}
    mine = [pod(ONE, uid) for uid in UIDS] if pods is None else list(pods)
    lists["pods"] = [*mine, *(pod(TWIN, uid) for uid in UIDS)]
    lists["services"] = [service(ONE, address), service(TWIN)]
    lists["slices"] = [slices(ONE, *named), slices(TWIN)]
    return World(at, at, lists)


def came(still: Sequence[World], last: World) -> Came:
    return compared(ONE, TWIN, world(0), still, last)[0]


def less(at: float) -> World:
    return world(at, [pod(ONE, "1")])


def replaced(at: float) -> World:
    return world(at, [pod(ONE, "1"), pod(ONE, "3")])


def test_equal_workloads_are_no_harm() -> None:
    assert came([world(1), world(2)], world(3)) is Came.NOTHING


def test_what_differs_before_the_touch_or_at_the_end_is_harm() -> None:
    assert came([world(1), less(2)], world(3)) is Came.HARM
    assert came([world(1), world(2)], less(3)) is Came.HARM
    assert came([world(1), world(2, address="10.0.0.9")], world(3)) is Came.HARM
    assert came([world(1), world(2, [pod(ONE, "1"), pod(ONE, "2", ready=False)])], world(3)) is Came.HARM


def test_what_comes_back_has_mended_itself() -> None:
    assert came([less(1), less(2), world(3)], world(4)) is Came.MENDED
    assert came([world(1), replaced(2)], world(4)) is Came.MENDED


def test_without_a_look_before_the_touch_nobody_knows() -> None:
    assert came([], world(3)) is Came.UNKNOWN


def test_one_look_alone_is_none() -> None:
    assert came([world(1), less(2), world(3)], world(4)) is Came.NOTHING


def test_a_connection_comes_to_who_is_named_and_listens() -> None:
    named = ("198.18.0.1",)
    assert world(1, None, *named).answers(ONE, "10.0.0.1") == ("198.18.0.1:8080", "")
    assert world(1).answers(ONE, "10.0.0.1") == ("", "the Service has no endpoint")
    assert world(1, None, *named).answers(ONE, "10.0.0.9") == ("", "the address is no Service's any more")
    assert world(1, None, "198.18.0.9").answers(ONE, "10.0.0.1") == ("", "nobody listens at 198.18.0.9:8080")


def results() -> list[Result]:
    edits = every()
    named = (("same-pods", "one is gone"),)
    return [
        result(edits[0], Came.HARM, differs=("pods of web: 1",), named=named),
        result(edits[1], Came.MENDED, differs=("pods of web: 1",), unknown=(("pods-converge", "unseen"),)),
        result(edits[2], Came.REFUSED, said="a text is no number"),
        result(edits[3], Came.NOTHING),
        result(edits[4], Came.NOTHING, named=named),
        result(edits[5], Came.NO_FIELD),
        result(edits[6], Came.UNKNOWN, said="it was not edited"),
    ]


def test_the_figures() -> None:
    assert counts(results()) == {
        "edits": 7,
        "harmed": 2,
        "named": 1,
        "mended": 1,
        "harmless": 2,
        "false alarms": 1,
        "refused": 1,
        "no such field": 1,
        "unknown": 1,
    }


def test_the_page_has_survivors_false_alarms_and_what_was_refused() -> None:
    said = page(results(), {"machine": "2 cores"})
    assert "**1 of 2 harmful edits were named by a promise (50 %); 1 of 2 harmless ones were called harm.**" in said
    assert "- Deployment `spec.replicas`, missing: pods of web: 1; pods-converge is unknown: unseen" in said
    assert "- Deployment `spec.replicas`, another type: a text is no number" in said
    assert "**called harm**: `same-pods`" in said
    assert "| Deployment | `spec.replicas` | harm: `same-pods` | harm, mended itself: **not named** | refused |" in said
