"""A driver held to its word: off and on return when it is so, nonsense is one sentence, and so is what hangs."""

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from chaos.basics.waiting import WaitedInVainError, eventually, hold
from chaos.clusters.abilities import OFF, RUNNING
from chaos.clusters.base import Node
from chaos.clusters.power.driver import PowerDriver
from chaos.errors import OrdealError

OFF_WITHIN_S, ON_WITHIN_S = 60.0, 120.0  # until the driver says so; a machine's own start is not waited for
LOOK_EVERY_S = 0.5
SETTLES_S = 10.0
SIDE_BY_SIDE = 8  # nodes that are asked at once
# What a Node may be called (RFC 1123, which Kubernetes asks for): an API server may say anything, and a driver may put
# the name into a command.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

T = TypeVar("T")


class PowerSwitch:
    """The power of the nodes that a driver knows: what NodePower asks for."""

    def __init__(self, name: str, driver: PowerDriver) -> None:
        """`name`: by which the driver is told."""
        self.name, self._driver = name, driver

    def power_state(self, node: str) -> str:
        said = self._asked(self._driver.state, node)
        if said not in {RUNNING, OFF}:
            raise OrdealError(f"the power driver {self.name} says that node {node} is {said!r}, which is no state")
        return said

    def power_off(self, node: str) -> None:
        self._asked(self._driver.off, node)
        self._wait(node, OFF, OFF_WITHIN_S)

    def power_on(self, node: str) -> None:
        was_on = self._is_on(node)
        self._asked(self._driver.on, node)
        self._wait(node, RUNNING, ON_WITHIN_S)
        if was_on:  # the `off` of a run that was killed may be on its way yet
            hold(SETTLES_S)
            self._wait(node, RUNNING, 0.0)

    def _is_on(self, node: str) -> bool:
        with suppress(OrdealError):
            return self.power_state(node) == RUNNING
        return False

    def _asked(self, call: Callable[[str], T], node: str) -> T:
        if not _NAME.fullmatch(node):
            raise OrdealError(f"{node!r} can't be the name of a node, so no power driver is told it")
        try:
            return call(node)
        except OrdealError:
            raise
        except Exception as error:  # a driver may be anybody's
            raise OrdealError(f"the power driver {self.name} failed with node {node}: {error!r}") from error

    def _wait(self, node: str, wanted: str, within_s: float) -> None:
        last = ""

        def is_so() -> bool:
            nonlocal last
            try:
                state = self.power_state(node)
            except OrdealError as error:
                last = f"can't say what it is ({error})"
                raise
            last = f"says that it is {state}"
            return state == wanted

        try:
            eventually(is_so, within_s=within_s, what=f"node {node} to be {wanted}", every_s=LOOK_EVERY_S)
        except WaitedInVainError as error:
            raise OrdealError(
                f"the power driver {self.name} was told that node {node} is to be {wanted}, and {within_s:g} s later "
                f"it {last}"
            ) from error


def check(switch: PowerSwitch, nodes: Iterable[Node]) -> None:
    """Ask the driver for each of the nodes. Raises OrdealError for the first of which it can't say its state, or says
    that it is off though it is Ready: then another machine may be meant.
    """

    def ask(node: Node) -> str:
        return switch.power_state(node.name)

    nodes = tuple(nodes)
    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as threads:
        for node, state in zip(nodes, threads.map(ask, nodes), strict=True):
            if state == OFF and node.ready == "True":
                raise OrdealError(
                    f"the power driver {switch.name} says that node {node.name} is off, and the API server that it is "
                    f"Ready: it has just lost its power, or another machine was asked; look at which machine that node "
                    f"is said to be"
                )
