"""Faults of the control plane: another one takes its place on the same etcd; the controller manager stays away."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import ControllerManagerSwitch, ControlPlaneSwap
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Timers
from chaos.clusters.way.client import server_version
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses


class _Swappable(Cluster, ControlPlaneSwap, Protocol): ...


class _Switchable(Cluster, ControllerManagerSwitch, Protocol): ...


class ReplaceControlPlanePlan(msgspec.Struct, frozen=True):
    """`leader`: who held the controller manager's lease; empty where nobody did."""

    leader: str


class StopControllerManagerPlan(msgspec.Struct, frozen=True):
    """Undo needs to know nothing."""


@fault
@dataclass(frozen=True, slots=True)
class ReplaceControlPlane:
    """The control plane is lost, and a second one is started on the same etcd, where the kubelets do not look.

    `timers` and `controllers` (as in --controllers) are the second one's. Undo stops it and starts the first again.
    """

    kind: ClassVar[str] = "replace-control-plane"
    counterpart: ClassVar[str] = "bring_back_control_plane"
    needs: ClassVar[tuple[type, ...]] = (ControlPlaneSwap,)
    uses: ClassVar[Uses] = Uses()
    timers: Timers = field(default_factory=Timers)
    controllers: str = "*"

    def plan(self, cluster: _Swappable) -> ReplaceControlPlanePlan:
        if not cluster.first_control_plane_running() or cluster.second_control_plane_running():
            raise OrdealError(
                f"the first control plane of {cluster.ref.name} does not run alone: run `kube-ordeal undo`"
            )
        with cluster.api() as client:
            return ReplaceControlPlanePlan(leader(client))

    def apply(self, cluster: _Swappable, saved: ReplaceControlPlanePlan) -> None:
        cluster.stop_first_control_plane()
        cluster.start_second_control_plane(self.timers, self.controllers)

    def landed(self, cluster: _Swappable, saved: ReplaceControlPlanePlan) -> bool:
        """The first is gone, and the second's controller manager leads (once the old lease has run out)."""
        if cluster.first_control_plane_running() or not cluster.second_control_plane_running():
            return False
        with cluster.second_api() as client:
            return leader(client) not in {"", saved.leader}

    @staticmethod
    def lasts(cluster: _Swappable, saved: ReplaceControlPlanePlan) -> bool:
        return not cluster.first_control_plane_running() and cluster.second_control_plane_running()

    @staticmethod
    def undo(cluster: _Swappable, saved: ReplaceControlPlanePlan) -> None:
        cluster.stop_second_control_plane()
        cluster.start_first_control_plane()

    @staticmethod
    def undone(cluster: _Swappable, saved: ReplaceControlPlanePlan) -> bool:
        if cluster.second_control_plane_running() or not cluster.first_control_plane_running():
            return False
        with cluster.api() as client:
            return bool(server_version(client))


@fault
@dataclass(frozen=True, slots=True)
class StopControllerManager:
    """Keep the controller manager away while the API server goes on; undo lets it in again."""

    kind: ClassVar[str] = "stop-controller-manager"
    counterpart: ClassVar[str] = "start_controller_manager"
    needs: ClassVar[tuple[type, ...]] = (ControllerManagerSwitch,)
    uses: ClassVar[Uses] = Uses()

    def plan(self, cluster: _Switchable) -> StopControllerManagerPlan:
        if not cluster.controller_manager_running():
            raise OrdealError(
                f"the controller manager of {cluster.ref.name} does not run: run `kube-ordeal undo` first"
            )
        return StopControllerManagerPlan()

    def apply(self, cluster: _Switchable, saved: StopControllerManagerPlan) -> None:
        cluster.stop_controller_manager()

    def landed(self, cluster: _Switchable, saved: StopControllerManagerPlan) -> bool:
        return StopControllerManager.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Switchable, saved: StopControllerManagerPlan) -> bool:
        return not cluster.controller_manager_running()

    @staticmethod
    def undo(cluster: _Switchable, saved: StopControllerManagerPlan) -> None:
        cluster.start_controller_manager()

    @staticmethod
    def undone(cluster: _Switchable, saved: StopControllerManagerPlan) -> bool:
        return cluster.controller_manager_running()


def leader(client: ApiClient) -> str:
    """Who holds the controller manager's lease; it has another name after each start. Empty where none ever did."""
    try:
        lease: Any = k8s.CoordinationV1Api(client).read_namespaced_lease("kube-controller-manager", "kube-system")
    except ApiException as error:
        if error.status == 404:
            return ""
        raise
    return str(lease.spec.holder_identity or "")
