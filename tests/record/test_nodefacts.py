"""What nodes are made of, where only some of them can be looked into."""

from pathlib import Path
from typing import NoReturn

import pytest
from kubernetes.client import ApiClient

from chaos.clusters.abilities import NodeExec, ReachesNodes
from chaos.errors import OrdealError
from chaos.record.history import History
from chaos.record.nodefacts import KUBELET, NOT_ENTERED, read_all
from chaos.record.records import Observation, Unreadable
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
