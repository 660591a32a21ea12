"""A run that was named a driver asks it before anything else, for each node that may be harmed and for no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.clusters.abilities import NodePower
from chaos.clusters.base import PowerRef
from chaos.clusters.existing.cluster import attach, attach_again, attach_by_api
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.record.journal import Journal
from chaos.run.guard import Anything
from chaos.run.pool import Pool, Wishes
from tests.clusters.test_identity import engine_with, nodes_of
from tests.fake_apiserver import FakeApiServer
from tests.hosts.fake_docker import FakeDocker

POWER = '#!/bin/sh\necho "$2" >>calls\ncat "$2" 2>/dev/null || echo on\n'


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the run, with a command that says of a node what is in the file of its name."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "power").write_text(POWER)
    (tmp_path / "power").chmod(0o755)
    return tmp_path


@pytest.fixture
def api(work: Path) -> Iterator[FakeApiServer]:
    with FakeApiServer(work) as made:
        for name, ready in {"w1": "True", "w2": "True", "w3": "False"}.items():
            made.put("nodes", name, spec={}, status={"conditions": [{"type": "Ready", "status": ready}]})
        yield made


class Some(Anything):
    """An owner who allows these nodes; None: all."""

    def __init__(self, nodes: frozenset[str] | None) -> None:
        self.nodes = nodes

    def allowed(self) -> frozenset[str] | None:
        return self.nodes


def power(work: Path) -> PowerRef:
    return PowerRef("command", "./power {off|on|state} {node}", str(work))


def check(api: FakeApiServer, work: Path, allowed: frozenset[str] | None = None, *, named: bool = True) -> list[str]:
    """Of which nodes the driver was asked."""
    wishes = Wishes("1.34.4", kubeconfig=api.kubeconfig, busybox_image="busybox", power=power(work) if named else None)
    with Journal(work / "journal.jsonl") as journal:
        Pool(wishes, journal, "20260101-000000-abcd", print, Some(allowed)).check_power()
    asked = work / "calls"
    return sorted(asked.read_text().split()) if asked.exists() else []


def test_every_node_that_may_be_harmed_is_asked_for(api: FakeApiServer, work: Path) -> None:
    assert check(api, work, frozenset({"w1", "w3"})) == ["w1", "w3"]


def test_where_all_may_all_are(api: FakeApiServer, work: Path) -> None:
    (work / "w3").write_text("off")
    assert check(api, work) == ["w1", "w2", "w3"]


def test_where_none_was_named_nobody_is_asked(api: FakeApiServer, work: Path) -> None:
    assert check(api, work, named=False) == []
    assert not api.requests


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("off", "the power driver command says that node w2 is off, and the API server that it is Ready"),
        ("no such machine", "`./power state w2` said 'no such machine'; it has to say `on` or `off`"),
    ],
)
def test_what_it_can_not_say_of_one_ends_the_run_before_it_begins(
    api: FakeApiServer, work: Path, said: str, why: str
) -> None:
    (work / "w2").write_text(said)
    with pytest.raises(OrdealError) as refused:
        check(api, work)
    assert why in str(refused.value)


def test_only_a_cluster_with_a_driver_has_power(api: FakeApiServer, work: Path) -> None:
    for attached in (attach, attach_by_api):
        plain = attached(api.kubeconfig, "fake", Shape(), "busybox")
        assert not isinstance(plain, NodePower)
        powered = attached(api.kubeconfig, "fake", Shape(), "busybox", power(work))
        assert isinstance(powered, NodePower)
        assert powered.ref.power == power(work)
        assert (powered.power_state("w1"), powered.facts()["power driver"]) == ("running", "command")
        again = attach_again(powered.ref, Shape())
        assert isinstance(again, NodePower)
        assert not isinstance(attach_again(plain.ref, Shape()), NodePower)
        assert attach_again(plain.ref, Shape(), "their/busybox").images.busybox == "their/busybox"


def test_nodes_that_this_machines_engine_switches_need_no_driver(
    api: FakeApiServer, work: Path, docker_client: FakeDocker
) -> None:
    for name in ("w1", "w2", "w3"):
        api.delete("nodes", name)
    nodes_of(api)
    engine_with(docker_client, uid=api.uid)
    with pytest.raises(OrdealError, match="the nodes of the kind cluster c are containers of this machine"):
        check(api, work)
