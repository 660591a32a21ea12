"""A node whose power comes back has its address again, where it can be had."""

from typing import Any

import pytest

from chaos.clusters.abilities import Power
from chaos.errors import OrdealError
from chaos.harm.node import PowerOff


class Node:
    """A node with a power switch, on a network where some addresses are somebody else's."""

    def __init__(self, *taken: str) -> None:
        self.state, self.address, self.taken = "running", "10.0.0.5", taken

    def power(self, node: str) -> Power:
        return Power(self.state, "", self.address)

    def free_address(self) -> str:
        return "10.0.0.99"

    def power_off(self, node: str) -> None:
        self.state, self.address = "off", ""

    def power_on(self, node: str, *, address: str | None = None) -> None:
        if address in self.taken:
            raise OrdealError(f"{address} is already in use")
        self.state, self.address = "running", address or "10.0.0.2"


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
    node: Any = Node(*taken)
    harm = PowerOff("w1", new_address=new_address)
    saved = harm.plan(node)
    harm.apply(node, saved)
    assert harm.landed(node, saved)
    harm.undo(node, saved)
    assert harm.undone(node, saved)
    assert node.address == address


def test_a_new_address_that_is_taken_is_no_other_one() -> None:
    node: Any = Node("10.0.0.99")
    harm = PowerOff("w1", new_address=True)
    saved = harm.plan(node)
    harm.apply(node, saved)
    with pytest.raises(OrdealError, match="already in use"):
        harm.undo(node, saved)
