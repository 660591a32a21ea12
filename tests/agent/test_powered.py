"""Power by a driver, on nodes with agents: who is off says nothing, who is on answers again, by a new connection."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.abilities import OFF, RUNNING, ArmsNodes, NodeExec, NodePower
from chaos.clusters.agent import cluster as clusters
from chaos.clusters.agent.cluster import AgentCluster, with_agents
from chaos.clusters.agent.crew import Crew
from chaos.clusters.agent.deployment import Agents
from chaos.clusters.agent.protocol import Hello, Me
from chaos.clusters.base import EXISTING, ClusterRef, PowerRef
from chaos.errors import OrdealError
from tests.agent.made_up import LONG_S
from tests.agent.serving import NODE, RUN, Serving

REF = ClusterRef(EXISTING, "theirs", "/k", power=PowerRef("rack", "", "/"))


class Plain:
    """A cluster that is nothing but what it is called."""

    ref = REF


@dataclass
class Powered:
    """The same with a power switch, and what that does to machines. `state`: what it says."""

    does: Callable[[str], object] = lambda _: None
    state: str = RUNNING
    ref: ClusterRef = REF

    def power_state(self, node: str) -> str:
        return self.state

    def power_off(self, node: str) -> None:
        self.does(OFF)
        self.state = OFF

    def power_on(self, node: str) -> None:
        self.does(RUNNING)
        self.state = RUNNING


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Serving(tmp_path) as made:
        yield made


@pytest.fixture
def crew(node: Serving) -> Iterator[Crew]:
    made = Crew(Agents(RUN, "image", node.folder))
    yield made
    made.close()


def of(cluster: Any, crew: Crew) -> Any:
    return with_agents(cluster, crew)


def test_only_what_is_switched_by_somebody_has_power(crew: Crew) -> None:
    powered, plain = of(Powered(), crew), of(Plain(), crew)
    assert isinstance(powered, NodePower)
    assert not isinstance(plain, NodePower)
    for each in (powered, plain):
        assert isinstance(each, AgentCluster)
        assert isinstance(each, NodeExec)
        assert isinstance(each, ArmsNodes)
        assert each.ref.power == REF.power


def test_a_node_goes_off_and_answers_when_it_is_back(node: Serving, crew: Crew) -> None:
    switch = {OFF: node.go_away, RUNNING: node.come_back}
    cluster = of(Powered(lambda state: switch[state]()), crew)
    assert crew.is_there(NODE)
    cluster.power_off(NODE)
    assert (cluster.power_state(NODE), crew.is_there(NODE)) == (OFF, False)
    cluster.power_on(NODE)
    assert (cluster.power_state(NODE), crew.is_there(NODE)) == (RUNNING, True)


def test_a_node_that_answers_is_not_off_whatever_its_driver_says(crew: Crew) -> None:
    with pytest.raises(OrdealError, match="node w1 is off by its power driver, and its agent answers: another machine"):
        of(Powered(), crew).power_off(NODE)


def test_a_node_that_does_not_start_is_told(node: Serving, crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "STARTS_WITHIN_S", 0.01)
    cluster = of(Powered(lambda _: node.go_away()), crew)
    cluster.power_off(NODE)
    cluster._power.does = lambda _: None
    with pytest.raises(OrdealError, match=r"has power, and its agent did not answer within 0.01 s: look at its"):
        cluster.power_on(NODE)
    node.come_back()


def test_a_node_without_an_agent_is_switched_all_the_same(crew: Crew) -> None:
    cluster = of(Powered(), crew)
    cluster.power_off("w2")
    cluster.power_on("w2")


def test_nobody_asks_a_node_that_was_off_by_a_connection_from_before(node: Serving, crew: Crew) -> None:
    """Nobody has ended it: the machine had no power to say goodbye."""
    channel = crew.channel(NODE)

    def ask() -> None:
        channel.ask(Hello(), Me, within_s=LONG_S)

    ask()
    ask()
    assert node.connections == 1
    channel.start_anew()
    ask()
    ask()
    assert node.connections == 2
