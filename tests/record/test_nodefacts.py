"""What nodes are made of, where only some of them can be looked into."""

import time
from pathlib import Path
from typing import NoReturn

import pytest
from kubernetes.client import ApiClient

from chaos.clusters.abilities import Clock, NodeExec, ReachesNodes
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.record import nodefacts
from chaos.record.history import History
from chaos.record.nodefacts import KUBELET, NOT_ENTERED, read_all
from chaos.record.records import Observation, Sample, Unreadable
from tests.fake_apiserver import FakeApiServer


class Everywhere:
    """Nodes that nothing can be read on."""

    def __init__(self, api: FakeApiServer) -> None:
        self._api = api

    def api(self) -> ApiClient:
        return self._api.client()

    def node_exec(self, node: str, command: object, **_: object) -> NoReturn:
        raise OrdealError(f"{node} was asked")


class InSome(Everywhere):
    def reached(self) -> frozenset[str]:
        return frozenset({"w1"})


@pytest.mark.parametrize(("kind", "asked", "not_entered"), [(Everywhere, {"cp1", "w1"}, []), (InSome, {"w1"}, ["cp1"])])
def test_a_node_that_its_owner_allows_nobody_on_is_not_looked_into(
    tmp_path: Path, kind: type[Everywhere], asked: set[str], not_entered: list[str]
) -> None:
    """It is told, and is no fact that can't be read: the others are judged."""
    history = History()
    with FakeApiServer(tmp_path) as api:
        for name in ("cp1", "w1"):
            api.put_node(name)
        cluster = kind(api)
        assert (isinstance(cluster, NodeExec), isinstance(cluster, ReachesNodes)) == (True, kind is InSome)
        read_all(cluster, history)  # type: ignore[arg-type]
    assert {each.node for each in history.of(Unreadable)} == asked
    assert [each.subject for each in history.of(Observation) if each.name == NOT_ENTERED] == not_entered
    assert [each.subject for each in history.of(Observation) if each.name == KUBELET] == ["cp1", "w1"]


class OneClock(Everywhere):
    """A node with this machine's clock."""

    def node_exec(self, node: str, command: object, **_: object) -> Output:  # type: ignore[override]
        return Output(0, f"{time.time():.9f}\n", "")


class ClocksOfTheirOwn(Everywhere):
    """Nodes whose clocks nobody here can set; they are 5 s ahead."""

    def __init__(self, api: FakeApiServer) -> None:
        super().__init__(api)
        self._zero = time.time() - time.monotonic()

    def clock(self, node: str) -> Clock:
        return Clock(0.0, 0.0)

    def node_exec(self, node: str, command: object, **_: object) -> Output:  # type: ignore[override]
        return Output(0, f"{self._zero + time.monotonic() + 5:.9f}\n", "")


@pytest.mark.parametrize(("kind", "ahead_s"), [(OneClock, 0.0), (ClocksOfTheirOwn, 5.0)])
@pytest.mark.parametrize("set_by_s", [3600.0, -7200.0])
def test_two_nodes_clocks_agree_where_this_machines_is_set_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Everywhere], ahead_s: float, set_by_s: float
) -> None:
    history, was = History(), time.time
    with FakeApiServer(tmp_path) as api:
        cluster = kind(api)
        nodefacts._clock(cluster, "w1", history)  # type: ignore[arg-type]
        monkeypatch.setattr(time, "time", lambda: was() + set_by_s)
        nodefacts._clock(cluster, "w2", history)  # type: ignore[arg-type]
    for sample in history.of(Sample):
        assert sample.value == pytest.approx(ahead_s, abs=2.0)
