"""Simulated clusters: a real etcd, API server, controller manager and scheduler, and nodes that are only heartbeats.

kwokctl (binary runtime) sets the control plane up with our own programs, bound to loopback. The nodes' heartbeats
come from `kwok` processes of our own, one for each group of nodes, so that a group can be stopped and resumed.
Everything of a cluster is in one directory under the state directory; nothing of the user's ~/.kwok or ~/.kube is read
or written.
"""

import dataclasses
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.basics.files import place
from chaos.basics.progress import silent
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import SecondControlPlane
from chaos.clusters.base import SIMULATED, ClusterRef, Images, Node
from chaos.clusters.identity import Identity
from chaos.clusters.shape import Shape, Timers
from chaos.clusters.simulated.components import Components, answers, with_flags
from chaos.clusters.simulated.etcd import Etcd
from chaos.clusters.simulated.home import (
    APISERVER,
    CONTROLLER_MANAGER,
    ETCD,
    LOOPBACK,
    SCHEDULER,
    SHORTCUTS,
    ClusterRecord,
    Programs,
    bring_up,
    claim,
    home_of,
    is_there,
    last_words,
    lock_of,
    read_record,
    remove,
    workdir,
    write_record,
)
from chaos.clusters.simulated.nodes import (
    CONTROL_PLANE_GROUP,
    GROUP_LABEL,
    NodeGroup,
    create,
    groups_of,
    lease_duration_s,
    listed,
    wait_ready,
)
from chaos.clusters.simulated.processes import OwnProcess
from chaos.clusters.way import kubeconfig as kubeconfigs
from chaos.clusters.way.client import Access, api_client
from chaos.errors import OrdealError
from chaos.hosts.lock import locked
from chaos.hosts.places import manifests_dir

CONTROL_PLANE = (APISERVER, CONTROLLER_MANAGER, SCHEDULER)
SECOND = "second-"
OWN_KUBELET = f"kwok-{CONTROL_PLANE_GROUP}"

ANSWER_WITHIN_S = 60.0
STOPPED_WITHIN_S = 10.0


class SimulatedCluster:
    """A cluster of simulated nodes. Abilities: Heartbeats, ControllerManagerSwitch, ControlPlaneSwap, ComponentSwap,
    EtcdBehind, EtcdWrites, ControlProcesses, ComponentPages, ServesBeside.
    """

    def __init__(self, name: str, identity: Identity | None = None) -> None:
        """Of a name; nothing is read or asked yet. Raises OrdealError for what can't be a name."""
        self._directory = home_of(name)
        self._components = Components(self._directory)
        self._ref = ClusterRef(SIMULATED, name, str(self._directory / "kubeconfig"), identity=identity)

    @classmethod
    def create(
        cls, name: str, shape: Shape, version: str | None = None, report: Callable[[str], None] = silent
    ) -> "SimulatedCluster":
        """Start a cluster and wait until its nodes are Ready. What an interrupted create of the same name left goes.

        Raises OrdealError where a cluster of that name is there already, or a directory that is not ours.
        """
        directory = home_of(name)
        programs = Programs.built(version, report)
        with locked(lock_of(directory), lambda: report(f"simulated cluster {name} is being made or deleted, waiting")):
            found = read_record(directory)
            if found is not None and found.whole:
                raise OrdealError(f"a simulated cluster {name} is there already: delete it, or take another name")
            remove(directory)
            try:
                record = claim(directory, shape, programs)
                bring_up(directory, record, programs, report)
                cluster = cls(name)
                # Not before the API server is done with starting: a flood of nodes would hold it up, and the
                # controllers give up on one that is not healthy after 10 s. One that did so is started again here.
                cluster.start_first_control_plane()
                cluster._bring_nodes(report)
                cluster.identify()
                write_record(directory, dataclasses.replace(record, whole=True))
            except BaseException:
                remove(directory)
                raise
        return cluster

    @classmethod
    def attach(cls, ref: ClusterRef) -> "SimulatedCluster":
        """The cluster that a reference names, running, half-made or gone: what it is asked tells."""
        return cls(ref.name, ref.identity)

    @staticmethod
    def exists(name: str) -> bool:
        """True where anything is left of a cluster of that name, also of an interrupted create or delete."""
        return is_there(home_of(name))

    # --- Cluster

    @property
    def ref(self) -> ClusterRef:
        return self._ref

    def identity(self) -> Identity:
        """Its nodes are left out: thousands of heartbeats, none of which is a machine."""
        access = Access(Path(self._ref.kubeconfig))
        return dataclasses.replace(access.identity(), ca="", home=access.authority, nodes=())

    def identify(self) -> None:
        """From now on it is what it is now."""
        self._ref = dataclasses.replace(self._ref, identity=self.identity())

    @cached_property
    def _record(self) -> "ClusterRecord":
        record = read_record(self._directory)
        if record is None:
            raise OrdealError(f"there is no simulated cluster {self._ref.name}: {self._directory} does not exist")
        return record

    @property
    def shape(self) -> Shape:
        return self._record.shape

    @property
    def kubernetes(self) -> str:
        return self._record.kubernetes

    @property
    def images(self) -> Images:
        return Images(busybox="busybox")  # never pulled: simulated nodes run nothing

    def api(self) -> ApiClient:
        return api_client(Path(self._ref.kubeconfig))

    def nodes(self) -> tuple[Node, ...]:
        with self.api() as client:
            return listed(client)

    def facts(self) -> Mapping[str, str]:
        shape = self.shape
        flags = {
            CONTROLLER_MANAGER: {**shape.timers.controller_manager_flags(), **dict(shape.controller_manager)},
            APISERVER: {**shape.timers.apiserver_flags(), **dict(shape.apiserver)},
        }
        return {
            "provider": "simulated (kwok)",
            "kubernetes": self.kubernetes,
            "etcd": self._record.etcd,
            "kwok": self._record.kwok,
            "nodes": str(sum(len(group.nodes) for group in self._groups())),
            "heartbeat groups": ", ".join(f"{g.name}={len(g.nodes)}" for g in self._groups()),
            "shortcuts": "; ".join(
                f"{part} " + " ".join(f"--{k}={v}" for k, v in of.items()) for part, of in SHORTCUTS.items()
            ),
            "lease renewal": f"every {self.renew_interval_s:g} s",
            **{f"{name} flags": " ".join(f"--{k}={v}" for k, v in of.items()) for name, of in flags.items()},
        }

    def delete(self) -> None:
        with locked(lock_of(self._directory)):
            remove(self._directory)

    # --- Heartbeats

    @property
    def renew_interval_s(self) -> float:
        """How often a node renews its lease: a quarter of the lease's duration, as the kubelet does."""
        return lease_duration_s(self.shape.timers) / 4

    def heartbeat_groups(self) -> tuple[str, ...]:
        return tuple(group.name for group in self._groups())

    def nodes_of(self, group: str) -> tuple[str, ...]:
        return tuple(node.name for node in self._group(group).nodes)

    def stop_heartbeats(self, group: str) -> None:
        if not self._kubelets(group).send(signal.SIGSTOP):
            raise OrdealError(f"the process that sends the heartbeats of {group} is gone; see {self._components.logs}")
        # Each of its threads stops when it next runs: until then the kernel shows a process that goes on.
        stopped = partial(self.heartbeats_stopped, group)
        eventually(stopped, within_s=STOPPED_WITHIN_S, what=f"the heartbeats of {group} to stop", every_s=0.02)

    def resume_heartbeats(self, group: str) -> None:
        """Let the process go on; where it was killed meanwhile, a new one takes its place."""
        if not self._kubelets(group).send(signal.SIGCONT):
            self._start_kubelets(self._group(group))

    def heartbeats_stopped(self, group: str) -> bool:
        return self._kubelets(group).state() == "stopped"

    # --- ControllerManagerSwitch

    def stop_controller_manager(self) -> None:
        self._components.kill(CONTROLLER_MANAGER)

    def start_controller_manager(self) -> None:
        self._components.start_where_off(CONTROLLER_MANAGER)

    def controller_manager_running(self) -> bool:
        return self._components.runs(CONTROLLER_MANAGER)

    # --- ControlPlaneSwap

    def stop_first_control_plane(self) -> None:
        self._components.kill(*CONTROL_PLANE)

    def first_control_plane_running(self) -> bool:
        return any(self._components.runs(name) for name in CONTROL_PLANE)

    def start_first_control_plane(self) -> None:
        """Start what of it does not run; the controllers after the API server answers, or they give up on it."""
        self._components.start_where_off(APISERVER)
        answers(Path(self._ref.kubeconfig))
        self._components.start_where_off(CONTROLLER_MANAGER, SCHEDULER)
        if not self._components.runs(OWN_KUBELET):
            self._start_kubelets(self._group(CONTROL_PLANE_GROUP))

    def start_second_control_plane(self, timers: Timers, controllers: str) -> SecondControlPlane:
        """Its API server, controller manager and scheduler listen on ports that the simulated kubelets don't know.

        Only the kubelet of its own machine, the control-plane node's, reports to it: so not all nodes are away to it.
        """
        ports, kubeconfig = self._record.ports, self._second_kubeconfig
        chosen = kubeconfigs.read(Path(self._ref.kubeconfig)).choose()
        place(kubeconfig, chosen.text(f"https://{LOOPBACK}:{ports.second_apiserver}"))
        changes = {
            APISERVER: {"secure-port": str(ports.second_apiserver)},
            CONTROLLER_MANAGER: {
                "secure-port": str(ports.second_controller_manager),
                "kubeconfig": str(kubeconfig),
                "controllers": controllers,
                **timers.controller_manager_flags(),
            },
            SCHEDULER: {"secure-port": str(ports.second_scheduler), "kubeconfig": str(kubeconfig)},
        }
        changes[APISERVER].update(timers.apiserver_flags())
        for name, flags in changes.items():
            if not self._components.runs(SECOND + name):
                self._components.start(SECOND + name, with_flags(self._components.command(name), flags))
            if name == APISERVER:
                answers(kubeconfig)
        self._components.kill(OWN_KUBELET)
        if not self._components.runs(SECOND + OWN_KUBELET):
            self._start_kubelets(self._group(CONTROL_PLANE_GROUP), SECOND + OWN_KUBELET, kubeconfig)
        return SecondControlPlane(str(kubeconfig), controllers)

    def stop_second_control_plane(self) -> None:
        self._components.kill(*(SECOND + name for name in (*CONTROL_PLANE, OWN_KUBELET)))

    def second_control_plane_running(self) -> bool:
        return any(self._components.runs(SECOND + name) for name in CONTROL_PLANE)

    def second_api(self) -> ApiClient:
        return api_client(self._second_kubeconfig)

    # --- ComponentSwap

    def components(self) -> tuple[str, ...]:
        return CONTROL_PLANE

    def use_program(self, component: str, path: str | None) -> None:
        override = self._components.override(component)
        if path is None:
            override.unlink(missing_ok=True)
        else:
            override.parent.mkdir(exist_ok=True)
            place(override, path)
        if self.running_program(component) != self._components.command(component)[0]:
            self._components.kill(component)
            self.start_first_control_plane()

    def running_program(self, component: str) -> str:
        return self._components.running_program(component)

    # --- ControlProcesses

    def control_process(self, name: str) -> OwnProcess | None:
        return self._components.process(name)

    def control_log(self, name: str) -> Path:
        return self._components.logs / f"{name}.log"

    def restart_component(self, name: str) -> None:
        self._components.kill(name)
        self._components.start_where_off(name)

    # --- ComponentPages

    def component_page(self, name: str, path: str) -> bytes:
        return self._components.page(name, self._record.ports.of(name), path)

    # --- EtcdWrites

    def etcd_refuse_writes(self, *, on: bool) -> None:
        self._etcd.refuse_writes(on=on)

    def etcd_refuses_writes(self) -> bool:
        return self._etcd.refuses_writes()

    # --- EtcdBehind

    @property
    def _etcd(self) -> Etcd:
        return Etcd(self._ref.name, self._directory, self._record)

    def etcd_get(self, key: str) -> bytes:
        """The stored bytes; empty where there is no such key."""
        return self._etcd.get(key)

    def etcd_put(self, key: str, value: bytes) -> int:
        return self._etcd.put(key, value)

    def etcd_revision(self) -> int:
        return self._etcd.revision()

    def etcd_snapshot(self, name: str) -> str:
        return str(self._etcd.snapshot(name))

    def etcdctl(self) -> tuple[str, ...]:
        """The command line of an etcdctl that asks this cluster's etcd, before its own verb."""
        return self._etcd.ctl()

    def etcd_snapshot_of(self, name: str) -> str | None:
        path = self._etcd.snapshot_path(name)
        return str(path) if path.exists() else None

    def etcd_restore(self, snapshot: str, *, bump_revision: int = 0) -> None:
        self._etcd.unpack(snapshot, bump_revision=bump_revision)
        self._components.kill(ETCD)
        self._etcd.put_in_place()
        self.start_etcd()

    def start_etcd(self) -> None:
        """Start etcd where it does not run, and wait until it answers."""
        if not self._components.runs(ETCD):
            self._etcd.take_back()
            self._components.start_where_off(ETCD)
        eventually(self.etcd_revision, within_s=ANSWER_WITHIN_S, what="etcd to answer", every_s=0.05)

    def controllers_running(self) -> tuple[str, ...]:
        return tuple(name for name in (CONTROLLER_MANAGER, SCHEDULER) if self._components.runs(name))

    def start_controllers(self, names: Sequence[str]) -> None:
        with self.api() as client:
            leases: Any = k8s.CoordinationV1Api(client)

            def renewed() -> dict[str, Any]:
                there = leases.list_namespaced_lease("kube-system").items
                return {each.metadata.name: each.spec.renew_time for each in there if each.metadata.name in names}

            before = renewed()

            def lead() -> bool:
                self._components.start_where_off(*names)
                now = renewed()
                return all(now.get(name) != before.get(name) for name in names)

            eventually(lead, within_s=ANSWER_WITHIN_S, what=f"{', '.join(names)} to renew their leases")

    def beside(self) -> Components:
        return self._components

    # --- inside: processes

    @property
    def _second_kubeconfig(self) -> Path:
        return self._directory / "kubeconfig-second"

    def _programs(self) -> "Programs":
        return Programs.built(self._record.kubernetes, silent)

    # --- inside: nodes

    def _groups(self) -> tuple[NodeGroup, ...]:
        return groups_of(self.shape)

    def _group(self, name: str) -> NodeGroup:
        for group in self._groups():
            if group.name == name:
                return group
        raise OrdealError(
            f"cluster {self._ref.name} has no heartbeat group {name!r}: {', '.join(self.heartbeat_groups())}"
        )

    def _kubelets(self, group: str) -> OwnProcess:
        process = self._components.process(f"kwok-{self._group(group).name}")
        if process is None:
            raise OrdealError(f"no process was ever started for the heartbeats of {group}")
        return process

    def _start_kubelets(self, group: NodeGroup, name: str = "", kubeconfig: Path | None = None) -> None:
        """Start the process that sends the group's heartbeats, by default to the first API server."""
        self._components.start(
            name or f"kwok-{group.name}",
            [
                str(self._programs().kwok),
                f"--config={manifests_dir() / 'simulated' / 'kubelets.yaml'}",
                f"--config={workdir(self._directory) / 'kwok.yaml'}",
                f"--kubeconfig={kubeconfig or self._ref.kubeconfig}",
                "--manage-all-nodes=false",
                f"--manage-nodes-with-label-selector={GROUP_LABEL}={group.name}",
                f"--node-lease-duration-seconds={lease_duration_s(self.shape.timers)}",
                f"--node-ip={LOOPBACK}",
            ],
        )

    def _bring_nodes(self, report: Callable[[str], None]) -> None:
        groups = self._groups()
        total = sum(len(group.nodes) for group in groups)
        report(f"starting {total} simulated nodes in {len(groups)} heartbeat groups")
        for group in groups:
            if not self._components.runs(f"kwok-{group.name}"):
                self._start_kubelets(group)
        with self.api() as client:
            refused = create(client, groups)
            if refused:
                raise OrdealError(
                    f"the API server refused simulated nodes with HTTP {refused}; see {self._components.logs}"
                )
            try:
                wait_ready(client, total)
            except WaitedInVainError as error:
                raise OrdealError(f"{error}{last_words(self._directory)}") from error
