"""Faults of simulated kubelets: their heartbeats stop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import Heartbeats
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses
from chaos.record.leases import NAMESPACE, LeaseAge, lease_ages

MISSED = 1.25  # renewals come every quarter of the lease's duration, with 4 % of jitter; this much later is a miss


class _Beating(Cluster, Heartbeats, Protocol): ...


class StopHeartbeatsPlan(msgspec.Struct, frozen=True):
    """`groups`: of nodes, whose heartbeats stop."""

    groups: tuple[str, ...]


@fault
@dataclass(frozen=True, slots=True)
class StopHeartbeats:
    """Stop the heartbeats of groups of nodes, as when these nodes lose the API server; undo lets them go on."""

    kind: ClassVar[str] = "stop-heartbeats"
    counterpart: ClassVar[str] = "resume_heartbeats"
    needs: ClassVar[tuple[type, ...]] = (Heartbeats,)
    uses: ClassVar[Uses] = Uses()
    groups: tuple[str, ...]

    def plan(self, cluster: _Beating) -> StopHeartbeatsPlan:
        for group in self.groups:
            if cluster.heartbeats_stopped(group):
                raise OrdealError(f"the heartbeats of {group} are stopped already: run `kube-ordeal undo` first")
        return StopHeartbeatsPlan(self.groups)

    def apply(self, cluster: _Beating, saved: StopHeartbeatsPlan) -> None:
        for group in saved.groups:
            cluster.stop_heartbeats(group)

    def landed(self, cluster: _Beating, saved: StopHeartbeatsPlan) -> bool:
        """The processes stand still, and each node's lease has missed a renewal."""
        if not all(cluster.heartbeats_stopped(group) for group in saved.groups):
            return False
        return all(age.at_least_s > MISSED * age.duration_s / 4 for age in _ages(cluster, saved.groups))

    @staticmethod
    def lasts(cluster: _Beating, saved: StopHeartbeatsPlan) -> bool:
        return all(cluster.heartbeats_stopped(group) for group in saved.groups)

    @staticmethod
    def undo(cluster: _Beating, saved: StopHeartbeatsPlan) -> None:
        for group in saved.groups:
            cluster.resume_heartbeats(group)

    @staticmethod
    def undone(cluster: _Beating, saved: StopHeartbeatsPlan) -> bool:
        """The processes run, and no node's lease has run out."""
        if any(cluster.heartbeats_stopped(group) for group in saved.groups):
            return False
        return all(age.at_most_s < age.duration_s for age in _ages(cluster, saved.groups))


def _ages(cluster: _Beating, groups: Sequence[str]) -> Iterator[LeaseAge]:
    """For each node concerned, how old its lease is."""
    with cluster.api() as client:
        ages = lease_ages(client)
    for group in groups:
        for node in cluster.nodes_of(group):
            if node not in ages:
                raise OrdealError(f"node {node} has no lease in {NAMESPACE}: it never sent a heartbeat")
            yield ages[node]
