"""Faults of a whole node: its power goes, it freezes."""

from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import OFF, PAUSED, RUNNING, NodeAddresses, NodePause, NodePower
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import FAILURES
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses


class _Powered(Cluster, NodePower, Protocol): ...


class _Paused(_Powered, NodePause, Protocol): ...


class PowerOffPlan(msgspec.Struct, frozen=True):
    """`address`: a new one that the node is to have afterwards; `was`: the one that it had, where that is known."""

    node: str
    address: str | None = None
    was: str = ""


class PausePlan(msgspec.Struct, frozen=True):
    """The node that is frozen."""

    node: str


@fault
@dataclass(frozen=True, slots=True)
class PowerOff:
    """Cut a node's power (no shutdown, no goodbye); undo starts it again, with `new_address` at another IP address."""

    kind: ClassVar[str] = "power-off"
    counterpart: ClassVar[str] = "power_on"
    needs: ClassVar[tuple[type, ...]] = (NodePower,)
    uses: ClassVar[Uses] = Uses()
    node: str
    new_address: bool = False

    def plan(self, cluster: _Powered) -> PowerOffPlan:
        _require_running(cluster, self.node, "its power can't be cut")
        if isinstance(cluster, NodeAddresses):
            address = cluster.free_address() if self.new_address else None
            return PowerOffPlan(self.node, address, cluster.address(self.node))
        if self.new_address:
            raise OrdealError(
                f"whatever switches the nodes of cluster {cluster.ref.name} can't give one another address: leave "
                f"new_address out"
            )
        return PowerOffPlan(self.node)

    def apply(self, cluster: _Powered, saved: PowerOffPlan) -> None:
        cluster.power_off(saved.node)

    def landed(self, cluster: _Powered, saved: PowerOffPlan) -> bool:
        return PowerOff.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Powered, saved: PowerOffPlan) -> bool:
        return cluster.power_state(saved.node) == OFF

    @staticmethod
    def undo(cluster: _Powered, saved: PowerOffPlan) -> None:
        # Also one that runs: a crash can have come between the cut of its network and that of its power.
        # Its old address is asked for by name: the engine would give it any that is free.
        wanted = saved.address or saved.was
        if not wanted or not isinstance(cluster, NodeAddresses):
            cluster.power_on(saved.node)
            return
        try:
            cluster.power_on_at(saved.node, wanted)
        except OrdealError:
            if saved.address is not None:
                raise
            cluster.power_on(saved.node)  # somebody has taken it meanwhile: a node with another one is better than none

    @staticmethod
    def undone(cluster: _Powered, saved: PowerOffPlan) -> bool:
        return cluster.power_state(saved.node) == RUNNING


@fault
@dataclass(frozen=True, slots=True)
class Pause:
    """Freeze every process of a node; undo lets them go on."""

    kind: ClassVar[str] = "pause"
    counterpart: ClassVar[str] = "unpause"
    needs: ClassVar[tuple[type, ...]] = (NodePower, NodePause)
    uses: ClassVar[Uses] = Uses()
    node: str

    def plan(self, cluster: _Paused) -> PausePlan:
        _require_running(cluster, self.node, "it can't be paused")
        return PausePlan(self.node)

    def apply(self, cluster: _Paused, saved: PausePlan) -> None:
        cluster.pause(saved.node)

    def landed(self, cluster: _Paused, saved: PausePlan) -> bool:
        return Pause.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Paused, saved: PausePlan) -> bool:
        return cluster.power_state(saved.node) == PAUSED

    @staticmethod
    def undo(cluster: _Paused, saved: PausePlan) -> None:
        cluster.unpause(saved.node)

    @staticmethod
    def undone(cluster: _Paused, saved: PausePlan) -> bool:
        return cluster.power_state(saved.node) == RUNNING


def _require_running(cluster: _Powered, node: str, so: str) -> None:
    """Raise OrdealError for a node that is off or paused, and for one of which that is said though it is Ready."""
    state = cluster.power_state(node)
    if state == RUNNING:
        return
    if state == OFF and _is_ready(cluster, node):
        raise OrdealError(
            f"node {node} is off by what switches its power, and Ready by the API server, so {so}: it has just lost "
            f"its power, or another machine was asked; look at which machine the node is said to be"
        )
    raise OrdealError(f"node {node} is {state}, so {so}; start it first")


def _is_ready(cluster: Cluster, node: str) -> bool:
    """As the API server says, where it answers."""
    with suppress(*FAILURES):
        return any(each.name == node and each.ready == "True" for each in cluster.nodes())
    return False
