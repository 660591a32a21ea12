"""A node whose power comes back has its address again, where it can be had; what is off already is not harmed."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from chaos.clusters.abilities import OFF, PAUSED, RUNNING
from chaos.clusters.base import KIND, ClusterRef, Node
from chaos.clusters.identity import named_in
from chaos.errors import OrdealError
from chaos.harm.node import Pause, PowerOff


class Switched:
    """A node with a power switch, and nothing more."""

    def __init__(self, state: str = RUNNING, ready: str = "True") -> None:
        self.ref = ClusterRef(KIND, "c", "")
        self.state, self.ready = state, ready

    def nodes(self) -> tuple[Node, ...]:
        return (Node("w1", control_plane=False, ready=self.ready, address="", zone="", taints=()),)

    def power_state(self, node: str) -> str:
        return self.state

    def power_off(self, node: str) -> None:
        self.state = OFF

    def power_on(self, node: str) -> None:
        self.state = RUNNING


class Addressed(Switched):
    """The same on a network where some addresses are somebody else's."""

    def __init__(self, *taken: str) -> None:
        super().__init__()
        self.own, self.taken = "10.0.0.5", taken

    def address(self, node: str) -> str:
        return self.own

    def free_address(self) -> str:
        return "10.0.0.99"

    def power_off(self, node: str) -> None:
        super().power_off(node)
        self.own = ""

    def power_on(self, node: str) -> None:
        super().power_on(node)
        self.own = "10.0.0.2"

    def power_on_at(self, node: str, address: str) -> None:
        if address in self.taken:
            raise OrdealError(f"{address} is already in use")
        super().power_on(node)
        self.own = address


def switched_off_and_on(harm: PowerOff, node: Any) -> None:
    saved = harm.plan(node)
    harm.apply(node, saved)
    assert harm.landed(node, saved)
    assert harm.lasts(node, saved)
    assert not harm.undone(node, saved)
    harm.undo(node, saved)
    assert harm.undone(node, saved)


@pytest.mark.parametrize(
    ("new_address", "taken", "address"),
    [
        (False, (), "10.0.0.5"),
        (False, ("10.0.0.5",), "10.0.0.2"),
        (True, (), "10.0.0.99"),
    ],
)
def test_it_comes_back_where_it_was_or_where_it_is_told_to(
    new_address: bool, taken: tuple[str, ...], address: str
) -> None:
    node = Addressed(*taken)
    switched_off_and_on(PowerOff("w1", new_address=new_address), node)
    assert node.own == address


def test_a_new_address_that_is_taken_is_no_other_one() -> None:
    node: Any = Addressed("10.0.0.99")
    harm = PowerOff("w1", new_address=True)
    saved = harm.plan(node)
    harm.apply(node, saved)
    with pytest.raises(OrdealError, match="already in use"):
        harm.undo(node, saved)


def test_a_switch_is_all_that_it_takes() -> None:
    switched_off_and_on(PowerOff("w1"), Switched())


def test_its_plan_names_the_node_so_that_the_owners_guard_sees_it() -> None:
    node: Any = Switched()
    assert named_in(msgspec.to_builtins(PowerOff("w1").plan(node)), {"w1", "w2"}) == {"w1"}


def test_where_there_is_nothing_but_a_switch_no_node_gets_another_address() -> None:
    node: Any = Switched()
    with pytest.raises(OrdealError, match="can't give one another address: leave new_address out"):
        PowerOff("w1", new_address=True).plan(node)


@pytest.mark.parametrize("fault", [PowerOff, Pause])
@pytest.mark.parametrize(
    ("state", "ready", "why"),
    [
        (PAUSED, "True", r"^node w1 is paused, so it(s power)? can't be (cut|paused); start it first$"),
        (OFF, "False", r"^node w1 is off, so it(s power)? can't be (cut|paused); start it first$"),
        (OFF, "True", r"is off by what switches its power, and Ready by the API server, so .* machine was asked"),
    ],
)
def test_only_a_node_that_runs_is_harmed(fault: Callable[[str], Any], state: str, ready: str, why: str) -> None:
    with pytest.raises(OrdealError, match=why):
        fault("w1").plan(Switched(state, ready))


def test_a_node_that_is_off_is_told_to_be_so_where_no_api_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> tuple[Node, ...]:
        raise OrdealError("nobody answers")

    node: Any = Switched(OFF)
    monkeypatch.setattr(node, "nodes", away)
    with pytest.raises(OrdealError, match="node w1 is off, so its power can't be cut"):
        PowerOff("w1").plan(node)
