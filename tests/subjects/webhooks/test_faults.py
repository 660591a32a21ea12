"""Whom the webhook is asked about, what counts as refused by it, and a fault that finds none."""

import json
import socket
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.subjects.webhooks import faults
from chaos.subjects.webhooks.configured import CONFIGURATIONS, LEASES, PODS, Asks, configuration
from chaos.subjects.webhooks.faults import LoseWebhook, LoseWebhookPlan, ServeWebhook, ServeWebhookPlan, refused
from tests.harm.journalled import through_the_journal

OWN = "ordeal-webhook"


def refuses(status: int, message: str) -> Any:
    def ask() -> None:
        error = ApiException(status=status)
        error.body = json.dumps({"message": message})
        raise error

    return ask


def test_a_request_is_refused_by_the_webhook_or_by_somebody_else() -> None:
    assert not refused(lambda: None)
    assert refused(refuses(500, 'Internal error occurred: failed calling webhook "a": connection refused'))
    with pytest.raises(ApiException):
        refused(refuses(403, "forbidden: quota"))


@pytest.mark.parametrize(
    ("asks", "pods", "leases"),
    [
        (Asks.HARDENED, ["kube-system", "kube-node-lease", OWN], ["kube-system", "kube-node-lease", OWN]),
        (Asks.ALL, [], ["kube-system"]),
        (Asks.LEADERS, [], []),
    ],
)
def test_whom_it_is_not_asked_about(asks: Asks, pods: list[str], leases: list[str], tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("an authority")
    made: Any = configuration(asks, OWN, 1234, tmp_path / "ca")
    without = {}
    for each in made["webhooks"]:
        selected = each.get("namespaceSelector", {}).get("matchExpressions", [{"values": []}])
        without[each["name"]] = selected[0]["values"]
        assert (each["failurePolicy"], each["clientConfig"]["url"]) == ("Fail", "https://127.0.0.1:1234/")
        assert bool(each["matchConditions"]) == (each["timeoutSeconds"] == 2) == (asks is Asks.HARDENED)
    assert without == {PODS: pods, LEASES: leases, CONFIGURATIONS: []}


REJECTED, OPEN = ("apiserver_admission_webhook_rejection_count", "apiserver_admission_webhook_fail_open_count")
METRICS = "\n".join(
    [
        f"# TYPE {REJECTED} counter",
        f'{REJECTED}{{error_type="calling_webhook_error",name="{PODS}",rejection_code="0"}} 3',
        f'{REJECTED}{{error_type="no_error",name="{PODS}",rejection_code="400"}} 9',
        f'{REJECTED}{{error_type="calling_webhook_error",name="others",rejection_code="0"}} 7',
        f'{OPEN}{{name="{PODS}",type="validating"}} 2',
    ]
).encode()


def test_failed_calls_of_it_are_counted_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "raw_get", lambda *_: METRICS)
    client: Any = None
    assert faults._failures(client) == 5


class Bare:
    """A cluster with no webhook configured, and processes that are only names."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.controllers: tuple[str, ...] = ("kube-controller-manager",)

    def api(self) -> Any:
        return nullcontext()

    def beside(self) -> "Bare":
        return self

    def runs(self, name: str) -> bool:
        return name in self.running

    def kill(self, *names: str) -> None:
        self.running -= {*names}

    def start(self, name: str, argv: list[str]) -> None:
        self.running.add(name)

    def free_port(self) -> int:
        return 1234

    @property
    def keys(self) -> Any:
        return SimpleNamespace(certificate="c", key="k")

    def controllers_running(self) -> tuple[str, ...]:
        return self.controllers

    def start_controllers(self, names: tuple[str, ...]) -> None:
        self.controllers = tuple(names)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Any:
    not_there = refuses(404, "not found")
    registered = type("Api", (), {"__getattr__": lambda *_: lambda *_: not_there()})
    monkeypatch.setattr(k8s, "AdmissionregistrationV1Api", lambda _: registered())
    return Bare()


def test_a_webhook_that_serves_nobody_can_not_be_lost(bare: Any) -> None:
    with pytest.raises(OrdealError, match="no webhook kube-ordeal-webhook serves fake"):
        LoseWebhook(OWN, "default").plan(bare)


def test_undo_of_one_that_is_not_configured_any_more_starts_nothing(bare: Any) -> None:
    saved = through_the_journal(LoseWebhookPlan(OWN, "default", 1234, 10.0, 0))
    bare.running.add(faults.SLOW)
    assert not LoseWebhook.undone(bare, saved)
    LoseWebhook.undo(bare, saved)
    assert LoseWebhook.undone(bare, saved)
    assert not bare.running


def test_one_that_is_configured_is_back_once_it_listens(bare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as served:
        served.bind(("127.0.0.1", 0))
        port = served.getsockname()[1]
        monkeypatch.setattr(faults, "port_of", lambda _: port)
        saved = through_the_journal(LoseWebhookPlan(OWN, "default", port, 10.0, 0))
        bare.running.add(faults.SLOW)
        LoseWebhook.undo(bare, saved)
        assert bare.running == {faults.PROCESS}
        assert not LoseWebhook.undone(bare, saved)
        served.listen()
        assert LoseWebhook.undone(bare, saved)
        bare.running.clear()  # what listens is somebody else
        assert not LoseWebhook.undone(bare, saved)


def test_undo_takes_all_of_it_away_and_starts_the_controllers_that_ran(bare: Any) -> None:
    saved = through_the_journal(ServeWebhook(OWN, "default", Asks.ALL).plan(bare))
    assert isinstance(saved, ServeWebhookPlan)
    assert saved.port == 1234
    bare.running |= {faults.PROCESS, faults.SLOW}
    bare.controllers = ()
    assert not ServeWebhook.undone(bare, saved)
    for _ in range(2):
        ServeWebhook.undo(bare, saved)
    assert ServeWebhook.undone(bare, saved)
    assert (bare.running, bare.controllers) == (set(), ("kube-controller-manager",))
