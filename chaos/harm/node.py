"""Faults of a whole node: its power goes, it freezes."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import NodeExec, NodePower
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses


class _Powered(Cluster, NodePower, Protocol): ...


class PowerOffPlan(msgspec.Struct, frozen=True):
    """`address`: a new one that the node is to have afterwards; `was`: the one that it had, where that is known."""

    node: str
    address: str | None = None
    was: str = ""
    started_at: str = ""


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
        before = cluster.power(self.node)
        if before.state != "running":
            raise OrdealError(f"node {self.node} is {before.state}, so its power can't be cut; start it first")
        address = cluster.free_address() if self.new_address else None
        return PowerOffPlan(self.node, address, before.address, before.started_at)

    def apply(self, cluster: _Powered, saved: PowerOffPlan) -> None:
        cluster.power_off(saved.node)

    def landed(self, cluster: _Powered, saved: PowerOffPlan) -> bool:
        return PowerOff.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Powered, saved: PowerOffPlan) -> bool:
        return cluster.power(saved.node).state == "off"

    @staticmethod
    def undo(cluster: _Powered, saved: PowerOffPlan) -> None:
        # Also one that runs: a crash can have come between the cut of its network and that of its power.
        # Its old address is asked for by name: the engine would give it any that is free.
        if saved.address is not None or not saved.was:
            cluster.power_on(saved.node, address=saved.address)
            return
        try:
            cluster.power_on(saved.node, address=saved.was)
        except OrdealError:  # somebody has taken it meanwhile: a node with another one is better than none
            cluster.power_on(saved.node)

    @staticmethod
    def undone(cluster: _Powered, saved: PowerOffPlan) -> bool:
        return cluster.power(saved.node).state == "running"


@fault
@dataclass(frozen=True, slots=True)
class Pause:
    """Freeze every process of a node; undo lets them go on."""

    kind: ClassVar[str] = "pause"
    counterpart: ClassVar[str] = "unpause"
    needs: ClassVar[tuple[type, ...]] = (NodePower, NodeExec)
    uses: ClassVar[Uses] = Uses()
    node: str

    def plan(self, cluster: _Powered) -> PausePlan:
        before = cluster.power(self.node)
        if before.state != "running":
            raise OrdealError(f"node {self.node} is {before.state}, so it can't be paused; start it first")
        return PausePlan(self.node)

    def apply(self, cluster: _Powered, saved: PausePlan) -> None:
        cluster.pause(saved.node)

    def landed(self, cluster: _Powered, saved: PausePlan) -> bool:
        return Pause.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Powered, saved: PausePlan) -> bool:
        return cluster.power(saved.node).state == "paused"

    @staticmethod
    def undo(cluster: _Powered, saved: PausePlan) -> None:
        cluster.unpause(saved.node)

    @staticmethod
    def undone(cluster: _Powered, saved: PausePlan) -> bool:
        return cluster.power(saved.node).state == "running"
