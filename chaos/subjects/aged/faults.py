"""Old objects are planted in etcd, and the whole control plane is started anew on what is stored there."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import WaitedInVainError
from chaos.clusters.abilities import ComponentSwap, ControllerManagerSwitch, ControlPlaneSwap, EtcdBehind
from chaos.clusters.base import Cluster
from chaos.clusters.control_processes import ControlProcesses
from chaos.clusters.way.client import server_version
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses
from chaos.subjects.aged.stored import Planted, aged_revisions, aged_service, service_key

APISERVER = "kube-apiserver"


class _Opened(Cluster, EtcdBehind, ControllerManagerSwitch, Protocol): ...


class _Started(Cluster, ControlPlaneSwap, ComponentSwap, ControlProcesses, Protocol): ...


class PlantAgedPlan(msgspec.Struct, frozen=True):
    """What etcd holds of each object, and what it is to hold."""

    objects: tuple[Planted, ...]


class StartAnewPlan(msgspec.Struct, frozen=True):
    """By component the start time of its process; the label that nodes are to lose, and its value by node."""

    started: Mapping[str, int]
    label: str
    labelled: Mapping[str, str]


@fault
@dataclass(frozen=True, slots=True)
class PlantAged:
    """Let etcd hold Services as they were stored before dual stack, and the ControllerRevisions of StatefulSets as 1.33
    wrote them, all of one namespace. The controller manager is away meanwhile, and stays away: nobody acts on them yet.

    Undo puts back what nobody has written since, and lets the controller manager in again.
    """

    kind: ClassVar[str] = "plant-aged"
    counterpart: ClassVar[str] = "take_aged_back"
    needs: ClassVar[tuple[type, ...]] = (EtcdBehind, ControllerManagerSwitch)
    uses: ClassVar[Uses] = Uses()
    namespace: str
    services: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()

    def plan(self, cluster: _Opened) -> PlantAgedPlan:
        if not cluster.controller_manager_running():
            raise OrdealError(
                f"the controller manager of {cluster.ref.name} does not run: run `kube-ordeal undo` first"
            )
        with cluster.api() as client:
            aged = {
                service_key(self.namespace, each): aged_service(client, self.namespace, each) for each in self.services
            }
            aged |= aged_revisions(client, self.namespace, self.sets)
        if not aged:
            raise OrdealError(f"namespace {self.namespace} has none of what is to be planted")
        return PlantAgedPlan(tuple(Planted(key, cluster.etcd_get(key), value) for key, value in sorted(aged.items())))

    def apply(self, cluster: _Opened, saved: PlantAgedPlan) -> None:
        cluster.stop_controller_manager()
        for each in saved.objects:
            cluster.etcd_put(each.key, each.aged)

    def landed(self, cluster: _Opened, saved: PlantAgedPlan) -> bool:
        return not cluster.controller_manager_running() and all(
            cluster.etcd_get(each.key) == each.aged for each in saved.objects
        )

    @staticmethod
    def lasts(cluster: _Opened, saved: PlantAgedPlan) -> None:
        """Whoever writes an object writes it as this version does: it is there to be met, and not to last."""

    @staticmethod
    def undo(cluster: _Opened, saved: PlantAgedPlan) -> None:
        # What somebody wrote since then, or deleted, is not ours to take back.
        for each in saved.objects:
            if cluster.etcd_get(each.key) == each.aged:
                cluster.etcd_put(each.key, each.was)
        cluster.start_controller_manager()

    @staticmethod
    def undone(cluster: _Opened, saved: PlantAgedPlan) -> bool:
        return cluster.controller_manager_running() and not any(
            cluster.etcd_get(each.key) == each.aged for each in saved.objects
        )


@fault
@dataclass(frozen=True, slots=True)
class StartAnew:
    """Start API server, controller manager and scheduler anew on what etcd holds, as an upgrade does.

    `takes_label`: it takes this label from all nodes, as kubeadm 1.24 took node-role.kubernetes.io/master; empty takes
    none. It has landed when each process is another one than before. One that does not come up is a finding, and no
    harm that failed. Undo starts what does not run, and gives the label back.
    """

    kind: ClassVar[str] = "start-anew"
    counterpart: ClassVar[str] = "start_what_is_off"
    needs: ClassVar[tuple[type, ...]] = (ControlPlaneSwap, ComponentSwap, ControlProcesses)
    uses: ClassVar[Uses] = Uses()
    takes_label: str = ""

    def plan(self, cluster: _Started) -> StartAnewPlan:
        if not _runs(cluster, APISERVER):
            raise OrdealError(f"{APISERVER} of {cluster.ref.name} does not run: run `kube-ordeal undo` first")
        processes = {each: cluster.control_process(each) for each in cluster.components()}
        started = {each: process.started for each, process in processes.items() if process is not None}
        labelled = _labelled(cluster, self.takes_label) if self.takes_label else {}
        if self.takes_label and not labelled:
            raise OrdealError(f"no node of {cluster.ref.name} has the label {self.takes_label}")
        return StartAnewPlan(started, self.takes_label, labelled)

    def apply(self, cluster: _Started, saved: StartAnewPlan) -> None:
        cluster.stop_first_control_plane()
        with suppress(WaitedInVainError):  # it does not answer: whoever looks at its process sees why
            cluster.start_first_control_plane()
            _label(cluster, saved.label, dict.fromkeys(saved.labelled))

    def landed(self, cluster: _Started, saved: StartAnewPlan) -> bool:
        new = {each for each in cluster.components() if _is_new(cluster, each, saved)}
        if not _runs(cluster, APISERVER):  # it ended at once: nobody can start the others, or ask for labels
            return APISERVER in new
        return new == {*cluster.components()} and not (saved.label and _labelled(cluster, saved.label))

    @staticmethod
    def lasts(cluster: _Started, saved: StartAnewPlan) -> None:
        """It is done in a moment, and what comes of it is what is looked at."""

    @staticmethod
    def undo(cluster: _Started, saved: StartAnewPlan) -> None:
        cluster.start_first_control_plane()
        _label(cluster, saved.label, saved.labelled)

    @staticmethod
    def undone(cluster: _Started, saved: StartAnewPlan) -> bool:
        if not all(_runs(cluster, each) for each in cluster.components()):
            return False
        with cluster.api() as client:
            server_version(client)
        return not saved.label or _labelled(cluster, saved.label) == saved.labelled


def _runs(cluster: _Started, component: str) -> bool:
    process = cluster.control_process(component)
    return process is not None and process.state() != "gone"


def _is_new(cluster: _Started, component: str, saved: StartAnewPlan) -> bool:
    process = cluster.control_process(component)
    return process is not None and process.started != saved.started.get(component)


def _labelled(cluster: Cluster, label: str) -> dict[str, str]:
    """The label's value by node, of those that have it."""
    with cluster.api() as client:
        nodes: list[Any] = k8s.CoreV1Api(client).list_node(label_selector=label).items
    return {each.metadata.name: each.metadata.labels[label] for each in nodes}


def _label(cluster: Cluster, label: str, values: Mapping[str, str | None]) -> None:
    """Give nodes the label, or take it away where its value is None. A node that is gone needs none."""
    with cluster.api() as client:
        for node, value in values.items():
            try:
                k8s.CoreV1Api(client).patch_node(node, {"metadata": {"labels": {label: value}}})
            except ApiException as error:
                if error.status != 404:
                    raise
