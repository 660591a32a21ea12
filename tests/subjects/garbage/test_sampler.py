"""What the looks take for done, and why a namespace does not end, as an API server would answer."""

import json
from contextlib import nullcontext
from typing import Any, cast

import pytest
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.errors import OrdealError
from chaos.record.history import History
from chaos.record.records import Blind
from chaos.subjects.garbage import faults, sampler
from chaos.subjects.garbage.faults import GROUP, PLURAL, SERVED
from chaos.subjects.garbage.records import Due, Look, What, Why
from chaos.subjects.garbage.sampler import Looks

FAILED = f"conversion webhook for {GROUP}/v1, Kind=Relic failed"
LISTED = f"/apis/{GROUP}/{SERVED}/namespaces/ns/{PLURAL}"
NAMESPACE = "/api/v1/namespaces/ns"


class Server:
    """What is at each path: an object, or the status and message with which it is refused."""

    def __init__(self) -> None:
        self.there: dict[str, Any] = {}
        self.away, self.asked = False, 0

    def get(self, _: object, path: str, timeout_s: float | None = None) -> bytes:
        self.asked += 1
        if self.away:
            raise OrdealError("connection refused")
        found = self.there.get(path, (404, "not found"))
        if isinstance(found, tuple):
            error = ApiException(status=found[0])
            error.body = json.dumps({"message": found[1]})
            raise error
        return json.dumps(found).encode()

    def list(self, _: object, path: str) -> Any:
        return json.loads(self.get(None, path))["items"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    for module in (sampler, faults):
        monkeypatch.setattr(module, "raw_get", made.get)
    monkeypatch.setattr(sampler, "raw_list", made.list)
    monkeypatch.setattr(sampler, "EVERY_S", 0.001)
    monkeypatch.setattr(sampler, "GAP_S", float("inf"))
    return made


def looked(history: History, what: What, name: str) -> Look:
    """What the looks say of that at last, when they have seen it so several times."""
    history.add(Due(history.now(), what, name))
    with Looks(history, lambda: cast("ApiClient", nullcontext())):
        eventually(lambda: [o for o in history.of(Look) if o.what is what], within_s=30, what="a look", every_s=0.001)
    return history.of(Look)[-1]


QUOTA = {"spec": {"hard": {"pods": "9"}}}
PODS = "/api/v1/namespaces/ns/pods?labelSelector=kube-ordeal%2Fworkload%3Dweb"
COUNTED = {"hard": {"pods": "9"}, "used": {"pods": "0"}}


@pytest.mark.parametrize(
    ("what", "path", "found", "done"),
    [
        (What.PODS, PODS, {"items": [{"metadata": {"name": "web-1"}}]}, False),
        (What.PODS, PODS, {"items": []}, True),
        (What.JOB, "/apis/batch/v1/namespaces/ns/jobs/web", {}, False),
        (What.JOB, "/apis/batch/v1/namespaces/ns/jobs/web", (404, "gone"), True),
        (What.QUOTA, "/api/v1/namespaces/ns/resourcequotas/web", {**QUOTA, "status": {}}, False),
        (What.QUOTA, "/api/v1/namespaces/ns/resourcequotas/web", {**QUOTA, "status": {"hard": {"pods": "9"}}}, False),
        (What.QUOTA, "/api/v1/namespaces/ns/resourcequotas/web", {**QUOTA, "status": COUNTED}, True),
    ],
)
def test_what_is_done(server: Server, what: What, path: str, found: Any, done: bool) -> None:
    server.there[path] = found
    look = looked(History(), what, "ns/web")
    assert (look.done, look.why) == (done, Why.NOTHING)


def condition(kind: str, status: str = "True") -> dict[str, object]:
    return {"status": {"conditions": [{"type": kind, "status": status}]}}


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ({NAMESPACE: {}, f"{LISTED}?limit=1": (500, FAILED), LISTED: (429, FAILED)}, Why.CONVERSION),
        ({NAMESPACE: {}, f"{LISTED}?limit=1": {}, LISTED: (429, FAILED)}, Why.LIST),
        ({NAMESPACE: condition("NamespaceDeletionDiscoveryFailure")}, Why.DISCOVERY),
        ({NAMESPACE: condition("NamespaceDeletionContentFailure")}, Why.CONTENT),
        ({NAMESPACE: condition("NamespaceDeletionContentFailure", "False")}, Why.NOTHING),
    ],
)
def test_why_a_namespace_does_not_end(server: Server, there: dict[str, Any], why: Why) -> None:
    server.there |= there
    look = looked(History(), What.NAMESPACE, "/ns")
    assert (look.done, look.why) == (False, why)


def test_a_namespace_that_is_gone_has_ended(server: Server) -> None:
    assert looked(History(), What.NAMESPACE, "/ns").done


def test_what_was_seen_to_be_done_is_not_asked_for_again(server: Server) -> None:
    history = History()
    assert looked(history, What.JOB, "ns/web").done
    assert len(history.of(Look)) == 1


def test_a_server_that_does_not_answer_is_a_gap(server: Server) -> None:
    server.there["/apis/batch/v1/namespaces/ns/jobs/web"] = {}
    history = History()
    history.add(Due(history.now(), What.JOB, "ns/web"))
    with Looks(history, lambda: cast("ApiClient", nullcontext())):
        server.away = True
        asked = server.asked
        eventually(lambda: server.asked > asked + 1, within_s=30, what="another question", every_s=0.001)
    (gap,) = history.of(Blind)
    assert (gap.source, gap.why, gap.complete) == (Look.kind, "connection refused", False)


def test_no_first_answer_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "FIRST_WITHIN_S", 0.2)
    server.away = True
    history = History()
    history.add(Due(history.now(), What.JOB, "ns/web"))
    with (
        pytest.raises(WaitedInVainError, match="a look at what is due, in vain; connection refused"),
        Looks(history, lambda: cast("ApiClient", nullcontext())),
    ):
        pass
