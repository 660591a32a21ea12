"""A drain against an API that is a fake at the boundary: what lands, and what a refusal is."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import ClusterRef, Node
from chaos.errors import OrdealError
from chaos.harm import drain
from chaos.harm.drain import DrainNode, refusals
from tests.harm.journalled import through_the_journal

METRICS = """# HELP apiserver_request_total Counter of requests
apiserver_request_total{{code="201",resource="pods",scope="resource",subresource="eviction",verb="POST"}} 7
apiserver_request_total{{code="429",resource="pods",scope="resource",subresource="eviction",verb="POST"}} {count}
apiserver_request_total{{code="429",resource="pods",scope="resource",subresource="",verb="POST"}} 100
"""


class FakeCluster:
    """One worker with pods, of which the budget refuses those in `refused`, by the code that is given there."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self, pods: list[str], refused: dict[str, int]) -> None:
        self.pods_there, self.refused, self.cordoned, self.count = pods, refused, False, 2

    def nodes(self) -> tuple[Node, ...]:
        return (Node("w", control_plane=False, ready="True", address="", zone="", taints=()),)

    @contextmanager
    def api(self) -> Iterator[Any]:
        yield self

    def evict(self, name: str) -> None:
        if code := self.refused.get(name):
            self.count += code == drain.REFUSED
            raise ApiException(status=code)
        self.pods_there.remove(name)


class FakeCore:
    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster

    def read_node(self, _: str) -> Any:
        return SimpleNamespace(spec=SimpleNamespace(unschedulable=self.cluster.cordoned or None))

    def patch_node(self, _: str, change: dict[str, Any]) -> None:
        self.cluster.cordoned = bool(change["spec"]["unschedulable"])

    def list_pod_for_all_namespaces(self, **_: str) -> Any:
        metadata = (
            SimpleNamespace(name=n, namespace="ns", uid=n, deletion_timestamp=None) for n in self.cluster.pods_there
        )
        return SimpleNamespace(items=[SimpleNamespace(metadata=each) for each in metadata])

    def create_namespaced_pod_eviction(self, name: str, _: str, __: object) -> None:
        self.cluster.evict(name)


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.harm.drain.k8s.CoreV1Api", FakeCore)
    monkeypatch.setattr(drain, "raw_get", lambda cluster, _: METRICS.format(count=cluster.count).encode())


def test_the_api_servers_own_count_is_that_of_refused_evictions_alone() -> None:
    cluster: Any = FakeCluster([], {})
    assert refusals(cluster) == 2


def test_a_drain_lands_when_a_budget_has_refused() -> None:
    cluster: Any = FakeCluster(["one", "kept"], {"kept": 429})
    harm = DrainNode("w", refused=True)
    saved = through_the_journal(harm.plan(cluster))
    assert saved.refusals == 2
    harm.apply(cluster, saved)
    assert (cluster.pods_there, harm.landed(cluster, saved), harm.lasts(cluster, saved)) == (["kept"], True, True)
    cluster.count = 2
    assert not harm.landed(cluster, saved)  # a pod is left, and nothing was refused
    harm.undo(cluster, saved)
    assert harm.undone(cluster, saved)
    assert not harm.landed(cluster, saved)


def test_a_pod_with_two_budgets_stops_no_drain_that_is_to_be_refused() -> None:
    cluster: Any = FakeCluster(["two", "one"], {"two": 500})
    harm = DrainNode("w", refused=True)
    harm.apply(cluster, harm.plan(cluster))
    assert cluster.pods_there == ["two"]


def test_a_drain_that_nothing_is_to_refuse_does_not_land_where_something_does() -> None:
    cluster: Any = FakeCluster(["kept"], {"kept": 429})
    harm = DrainNode("w")
    saved = through_the_journal(harm.plan(cluster))
    with pytest.raises(ApiException):
        harm.apply(cluster, saved)
    cluster.count = 9
    assert not harm.landed(cluster, saved)


def test_a_node_that_is_cordoned_or_empty_is_not_drained() -> None:
    cluster: Any = FakeCluster([], {})
    with pytest.raises(OrdealError, match="runs no pod of ours"):
        DrainNode("w").plan(cluster)
    cluster.cordoned = True
    with pytest.raises(OrdealError, match="is cordoned already"):
        DrainNode("w").plan(cluster)
