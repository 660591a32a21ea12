"""The faults of endpoints at the boundary: what they plan, when they landed, what undo does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from chaos.errors import OrdealError
from chaos.subjects.udp import faults
from chaos.subjects.udp.faults import DeleteService, DeleteServicePlan, LosePod, TakeOutOfService
from chaos.subjects.udp.sampler import flows
from chaos.subjects.udp.workload import NO, SERVES, YES
from tests.harm.journalled import through_the_journal

LISTED = """\
udp      17 119 src=172.18.0.3 dst=10.96.7.7 sport=40001 dport=53 src=10.244.2.5 dst=172.18.0.3 sport=5300 dport=40001 \
[ASSURED] mark=0 use=1
udp      17 29 src=172.18.0.3 dst=10.96.7.7 sport=40002 dport=53 [UNREPLIED] src=10.244.2.6 dst=172.18.0.3 sport=5300 \
dport=40002 mark=0 use=1
"""


def test_the_sources_of_replies_are_read_from_what_conntrack_lists() -> None:
    assert flows(LISTED) == ("10.244.2.5", "10.244.2.6")
    assert flows("") == ()


@dataclass
class Pod:
    """The only pod there is; its label, and whether the API names it as an endpoint."""

    label: str | None = YES
    uid: str = "u1"
    endpoint: bool = True


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Pod:
    there = Pod()

    def find(*_: object) -> Any:
        if there.label is None:
            return None
        return SimpleNamespace(metadata=SimpleNamespace(uid=there.uid, labels={SERVES: there.label}))

    monkeypatch.setattr(faults, "find_pod", find)
    monkeypatch.setattr(faults, "set_serves", lambda *given: setattr(there, "label", given[3]))
    monkeypatch.setattr(faults, "_is_endpoint", lambda *_: there.endpoint)
    return there


def test_a_pod_is_taken_out_of_its_service_and_put_back(pod: Pod) -> None:
    cluster: Any = None
    harm = TakeOutOfService("ns", "udp-0")
    saved = through_the_journal(harm.plan(cluster))
    harm.apply(cluster, saved)
    assert pod.label == NO
    assert not harm.landed(cluster, saved)  # the API still names it
    pod.endpoint = False
    assert harm.landed(cluster, saved)
    assert harm.lasts(cluster, saved)
    assert not harm.undone(cluster, saved)
    harm.undo(cluster, saved)
    assert pod.label == YES
    assert harm.undone(cluster, saved)
    assert not harm.lasts(cluster, saved)


def test_another_pod_of_that_name_is_left_alone(pod: Pod) -> None:
    cluster: Any = None
    harm = TakeOutOfService("ns", "udp-0")
    saved = through_the_journal(harm.plan(cluster))
    pod.uid, pod.label = "u2", NO
    harm.undo(cluster, saved)
    assert pod.label == NO
    assert harm.undone(cluster, saved)


def test_a_pod_is_lost_when_neither_it_nor_its_endpoint_is_there(pod: Pod) -> None:
    cluster: Any = None
    harm = LosePod("ns", "udp-0")
    saved = through_the_journal(harm.plan(cluster))
    assert not harm.landed(cluster, saved)
    pod.label = None
    assert not harm.landed(cluster, saved)
    pod.endpoint = False
    assert harm.landed(cluster, saved)
    assert harm.undone(cluster, saved)


@pytest.mark.parametrize("label", [None, NO])
@pytest.mark.parametrize("harm", [TakeOutOfService("ns", "udp-0"), LosePod("ns", "udp-0")])
def test_a_pod_that_does_not_serve_is_refused(pod: Pod, harm: Any, label: str | None) -> None:
    pod.label = label
    with pytest.raises(OrdealError, match="there is no pod udp-0 in namespace ns with the label"):
        harm.plan(None)


SPEC = {"type": "ClusterIP", "clusterIP": "10.96.7.7", "ports": [{"port": 53}], "selector": {SERVES: YES}}
TOLD = {"labels": {"app": "udp"}, "annotations": {"owner": "net"}}
SERVICE = {"metadata": {"name": "udp", "uid": "u1", **TOLD}, "spec": SPEC}


def test_a_service_is_deleted_and_made_again_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[Any] = [SERVICE]
    monkeypatch.setattr(faults, "_service", lambda *_: there[0])
    monkeypatch.setattr("kubernetes.client.CoreV1Api", lambda client: client)
    harm = DeleteService("ns", "udp")
    cluster: Any = FakeApi()
    saved = through_the_journal(harm.plan(cluster))
    assert not harm.lasts(cluster, saved)
    harm.undo(cluster, saved)
    assert cluster.made == []  # it is there
    there[0] = None
    assert harm.lasts(cluster, saved)
    assert not harm.undone(cluster, saved)
    harm.undo(cluster, saved)
    assert cluster.made == [("ns", {"metadata": {"name": "udp", **TOLD}, "spec": SPEC})]
    there[0] = SERVICE
    assert harm.undone(cluster, saved)


def test_an_entry_without_labels_makes_it_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_service", lambda *_: None)
    monkeypatch.setattr("kubernetes.client.CoreV1Api", lambda client: client)
    cluster: Any = FakeApi()
    DeleteService.undo(cluster, DeleteServicePlan("ns", "udp", "{}"))
    assert cluster.made == [("ns", {"metadata": {"name": "udp"}, "spec": {}})]


@pytest.mark.parametrize("namespace", ["gone", "going"])
def test_in_a_namespace_that_goes_there_is_nothing_to_make_again(
    monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    monkeypatch.setattr(faults, "_service", lambda *_: None)
    monkeypatch.setattr("kubernetes.client.CoreV1Api", lambda client: client)
    cluster: Any = FakeApi(namespace)
    saved = DeleteServicePlan("ns", "udp", "{}")
    DeleteService.undo(cluster, saved)
    assert cluster.made == []
    assert DeleteService.undone(cluster, saved)


def test_an_api_that_does_not_tell_of_the_namespace_is_no_word_that_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_service", lambda *_: None)
    monkeypatch.setattr("kubernetes.client.CoreV1Api", lambda client: client)
    cluster: Any = FakeApi("silent")
    with pytest.raises(ApiException):
        DeleteService.undone(cluster, DeleteServicePlan("ns", "udp", "{}"))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "there is no Service udp of the type ClusterIP"),
        ({**SERVICE, "spec": {**SPEC, "type": "LoadBalancer"}}, "there is no Service udp of the type ClusterIP"),
        ({**SERVICE, "spec": {"type": "ClusterIP"}}, "the Service udp has no selector"),
    ],
)
def test_a_service_that_could_not_be_made_again_is_refused(
    monkeypatch: pytest.MonkeyPatch, found: object, why: str
) -> None:
    monkeypatch.setattr(faults, "_service", lambda *_: found)
    cluster: Any = None
    with pytest.raises(OrdealError, match=why):
        DeleteService("ns", "udp").plan(cluster)


class FakeApi:
    """What creates Services, and tells which; its namespace "stays", is "going" or "gone", or nobody tells."""

    def __init__(self, namespace: str = "stays") -> None:
        self.made: list[tuple[str, object]] = []
        self.namespace = namespace

    @contextmanager
    def api(self) -> Iterator[Any]:
        yield self

    def create_namespaced_service(self, namespace: str, body: object) -> None:
        self.made.append((namespace, body))

    def read_namespace(self, _: str) -> Any:
        if self.namespace in {"gone", "silent"}:
            raise ApiException(status=404 if self.namespace == "gone" else 500)
        deleted = "2026-01-01" if self.namespace == "going" else None
        return SimpleNamespace(metadata=SimpleNamespace(deletion_timestamp=deleted))
