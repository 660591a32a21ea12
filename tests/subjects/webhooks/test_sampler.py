"""What is asked of the API server once a second, and what is written of its answers."""

import json
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.record.history import History
from chaos.record.records import Blind
from chaos.subjects.webhooks import sampler
from chaos.subjects.webhooks.records import Admission, Request
from chaos.subjects.webhooks.sampler import Admissions


class Server:
    """What refuses each request; it admits those that nothing refuses."""

    def __init__(self) -> None:
        self.refuses: dict[Request, tuple[int, str]] = {}
        self.asked: list[tuple[object, ...]] = []

    def pod(self, namespace: str, body: object, *, dry_run: str, who: Any) -> None:
        self._answer(Request.NODE_POD if who.headers else Request.SYSTEM_POD, namespace, dry_run)

    def lease(self, name: str, namespace: str, change: object, *, dry_run: str) -> None:
        self._answer(Request.NODE_LEASE, f"{namespace}/{name}", dry_run)

    def configuration(self, name: str, change: object, *, dry_run: str) -> None:
        self._answer(Request.CONFIGURATION, name, dry_run)

    def _answer(self, request: Request, *asked: object) -> None:
        self.asked.append((request, *asked))
        if request in self.refuses:
            status, message = self.refuses[request]
            error = ApiException(status=status)
            error.body = json.dumps({"message": message})
            raise error

    def was_asked_again(self) -> None:
        before = len(self.asked)
        eventually(lambda: len(self.asked) > before + 3, within_s=30, what="another question", every_s=0.001)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(k8s, "CoreV1Api", lambda who: SimpleNamespace(create_namespaced_pod=partial(made.pod, who=who)))
    monkeypatch.setattr(k8s, "CoordinationV1Api", lambda _: SimpleNamespace(patch_namespaced_lease=made.lease))
    webhooks = SimpleNamespace(patch_validating_webhook_configuration=made.configuration)
    monkeypatch.setattr(k8s, "AdmissionregistrationV1Api", lambda _: webhooks)
    monkeypatch.setattr(sampler, "EVERY_S", 0.001)
    monkeypatch.setattr(sampler, "GAP_S", float("inf"))
    return made


class Client:
    """What whoever asks is told by, and as whom it asks."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def set_default_header(self, name: str, value: str) -> None:
        self.headers[name] = value


def client() -> Any:
    return cast("ApiClient", nullcontext(Client()))


def seen(history: History) -> set[tuple[Request, bool]]:
    return {(each.request, each.admitted) for each in history.of(Admission)}


def test_each_request_is_asked_for_and_nothing_is_made(server: Server) -> None:
    history = History()
    with Admissions(history, client, "w1", "web"):
        server.was_asked_again()
    pod, lease = (Request.SYSTEM_POD, "kube-system", "All"), (Request.NODE_LEASE, "kube-node-lease/w1", "All")
    more = {(Request.CONFIGURATION, "kube-ordeal-webhook", "All"), (Request.NODE_POD, "web", "All")}
    assert set(server.asked) == {pod, lease, *more}
    assert seen(history) == {(each, True) for each in Request}
    assert history.of(Blind) == []


@pytest.mark.parametrize("request_", list(Request))
def test_what_a_webhook_refuses_is_written_down(server: Server, request_: Request) -> None:
    server.refuses[request_] = (500, 'failed calling webhook "a": refused')
    history = History()
    with Admissions(history, client, "w1", "web"):
        server.was_asked_again()
    assert seen(history) == {(each, each is not request_) for each in Request}


def test_another_error_is_no_answer(server: Server) -> None:
    history = History()
    with Admissions(history, client, "w1"):
        server.refuses[Request.NODE_LEASE] = (503, "etcd is away")
        server.was_asked_again()
    assert [each.source for each in history.of(Blind)] == [Admission.kind]
    assert (Request.NODE_LEASE, False) not in seen(history)


def test_no_first_answer_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "FIRST_WITHIN_S", 0.2)
    server.refuses[Request.SYSTEM_POD] = (503, "etcd is away")
    with (
        pytest.raises(WaitedInVainError, match="requests to be answered, in vain"),
        Admissions(History(), client, "w1"),
    ):
        pass
