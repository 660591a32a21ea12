"""Faults of a whole node: its power goes, it freezes."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from chaos.clusters.base import Cluster, NodeExec, NodePower
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.record.journal import Saved


class _Powered(Cluster, NodePower, Protocol): ...


@fault
@dataclass(frozen=True, slots=True)
class PowerOff:
    """Cut a node's power (no shutdown, no goodbye); undo starts it again, with `new_address` at another IP address."""

    kind: ClassVar[str] = "power-off"
    counterpart: ClassVar[str] = "power_on"
    needs: ClassVar[tuple[type, ...]] = (NodePower,)
    node: str
    new_address: bool = False

    def plan(self, cluster: _Powered) -> Saved:
        before = cluster.power(self.node)
        if before.state != "running":
            raise OrdealError(f"node {self.node} is {before.state}, so its power can't be cut; start it first")
        address = cluster.free_address() if self.new_address else None
        return {"node": self.node, "address": address, "was": before.address, "started_at": before.started_at}

    def apply(self, cluster: _Powered, saved: Saved) -> None:
        cluster.power_off(str(saved["node"]))

    def landed(self, cluster: _Powered, saved: Saved) -> bool:
        return cluster.power(str(saved["node"])).state == "off"

    @staticmethod
    def undo(cluster: _Powered, saved: Saved) -> None:
        # Also one that runs: a crash can have come between the cut of its network and that of its power.
        # Its old address is asked for by name: the engine would give it any that is free.
        node, wanted, was = str(saved["node"]), saved.get("address"), str(saved.get("was") or "")
        if wanted is not None or not was:
            cluster.power_on(node, address=None if wanted is None else str(wanted))
            return
        try:
            cluster.power_on(node, address=was)
        except OrdealError:  # somebody has taken it meanwhile: a node with another one is better than none
            cluster.power_on(node)

    @staticmethod
    def undone(cluster: _Powered, saved: Saved) -> bool:
        return cluster.power(str(saved["node"])).state == "running"


@fault
@dataclass(frozen=True, slots=True)
class Pause:
    """Freeze every process of a node; undo lets them go on."""

    kind: ClassVar[str] = "pause"
    counterpart: ClassVar[str] = "unpause"
    needs: ClassVar[tuple[type, ...]] = (NodePower, NodeExec)
    node: str

    def plan(self, cluster: _Powered) -> Saved:
        before = cluster.power(self.node)
        if before.state != "running":
            raise OrdealError(f"node {self.node} is {before.state}, so it can't be paused; start it first")
        return {"node": self.node}

    def apply(self, cluster: _Powered, saved: Saved) -> None:
        cluster.pause(str(saved["node"]))

    def landed(self, cluster: _Powered, saved: Saved) -> bool:
        return cluster.power(str(saved["node"])).state == "paused"

    @staticmethod
    def undo(cluster: _Powered, saved: Saved) -> None:
        cluster.unpause(str(saved["node"]))

    @staticmethod
    def undone(cluster: _Powered, saved: Saved) -> bool:
        return cluster.power(str(saved["node"])).state == "running"
