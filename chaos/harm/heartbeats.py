"""Faults of simulated kubelets: their heartbeats stop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import Heartbeats
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_list
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses

LEASES = "kube-node-lease"
MISSED = 1.25  # renewals come every quarter of the lease's duration, with 4 % of jitter; this much later is a miss
VALID = 4.0  # after so many intervals without a renewal a lease has run out


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
        return all(intervals > MISSED for intervals in _since_renewal(cluster, saved.groups))

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
        return all(intervals < VALID for intervals in _since_renewal(cluster, saved.groups))


def _since_renewal(cluster: _Beating, groups: Sequence[str]) -> Iterator[float]:
    """For each node concerned, how many renewal intervals have gone by since its lease was renewed."""
    with cluster.api() as client:
        found = raw_list(client, f"/apis/coordination.k8s.io/v1/namespaces/{LEASES}/leases")
    leases = {item["metadata"]["name"]: item["spec"] for item in found}
    now = datetime.now(UTC)
    for group in groups:
        for node in cluster.nodes_of(group):
            lease = leases.get(node)
            if lease is None:
                raise OrdealError(f"node {node} has no lease in {LEASES}: it never sent a heartbeat")
            ago_s = (now - datetime.fromisoformat(lease["renewTime"])).total_seconds()
            yield ago_s / (lease["leaseDurationSeconds"] / 4)
