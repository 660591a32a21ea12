"""Simulated clusters: a real etcd, API server, controller manager and scheduler, and nodes that are only heartbeats.

kwokctl (binary runtime) sets the control plane up with our own programs, bound to loopback. The nodes' heartbeats
come from `kwok` processes of our own, one for each group of nodes, so that a group can be stopped and resumed.
Everything of a cluster is in one directory under the state directory; nothing of the user's ~/.kwok or ~/.kube is read
or written.
"""

import base64
import dataclasses
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import msgspec
import urllib3
import yaml
from kubernetes.client import ApiClient, CoordinationV1Api

from chaos.basics.files import place
from chaos.basics.progress import silent
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import SecondControlPlane
from chaos.clusters.base import SIMULATED, ClusterRef, Images, Node
from chaos.clusters.identity import Identity
from chaos.clusters.shape import Shape, Timers
from chaos.clusters.simulated.home import (
    APISERVER,
    CONTROLLER_MANAGER,
    ETCD,
    ETCD_MEMBER,
    LOOPBACK,
    SCHEDULER,
    SHORTCUTS,
    Programs,
    Record,
    bring_up,
    claim,
    home_of,
    is_there,
    keys_of,
    last_words,
    lock_of,
    process_record,
    read_record,
    remove,
    workdir,
    write_record,
)
from chaos.clusters.simulated.nodes import (
    CONTROL_PLANE_GROUP,
    GROUP_LABEL,
    Group,
    get,
    groups_of,
    lease_duration_s,
    manifest,
    parsed,
    ready_nodes,
    status,
)
from chaos.clusters.simulated.processes import Process, kill, read, start
from chaos.clusters.way import kubeconfig as kubeconfigs
from chaos.clusters.way.client import Access, api_client
from chaos.errors import OrdealError
from chaos.hosts import trusted
from chaos.hosts.command import PRIVATE_UMASK, run
from chaos.hosts.lock import locked
from chaos.hosts.places import manifests_dir, state_path

CONTROL_PLANE = (APISERVER, CONTROLLER_MANAGER, SCHEDULER)
SECOND = "second-"
OWN_KUBELET = f"kwok-{CONTROL_PLANE_GROUP}"

ANSWER_WITHIN_S = 60.0
STOPPED_WITHIN_S = 10.0
NODES_PER_S = 20  # the slowest at which nodes may become Ready before it is called a failure
CONNECTIONS = 8


class SimulatedCluster:
    """A cluster of simulated nodes.

    Abilities: Heartbeats, ControllerManagerSwitch, ControlPlaneSwap, ComponentSwap, EtcdBehind.
    """

    def __init__(self, name: str, identity: Identity | None = None) -> None:
        """Of a name; nothing is read or asked yet. Raises OrdealError for what can't be a name."""
        self._directory = home_of(name)
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
    def _record(self) -> "Record":
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
            listed = get(client, "/api/v1/nodes")
        return tuple(parsed(item) for item in listed["items"])

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
            raise OrdealError(f"the process that sends the heartbeats of {group} is gone; see {self._logs}")
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
        self._kill(CONTROLLER_MANAGER)

    def start_controller_manager(self) -> None:
        self._start_where_off(CONTROLLER_MANAGER)

    def controller_manager_running(self) -> bool:
        return self._runs(CONTROLLER_MANAGER)

    # --- ControlPlaneSwap

    def stop_first_control_plane(self) -> None:
        self._kill(*CONTROL_PLANE)

    def first_control_plane_running(self) -> bool:
        return any(self._runs(name) for name in CONTROL_PLANE)

    def start_first_control_plane(self) -> None:
        """Start what of it does not run; the controllers after the API server answers, or they give up on it."""
        self._start_where_off(APISERVER)
        self._answers(Path(self._ref.kubeconfig))
        self._start_where_off(CONTROLLER_MANAGER, SCHEDULER)
        if not self._runs(OWN_KUBELET):
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
            if not self._runs(SECOND + name):
                self._start(SECOND + name, _with_flags(self._component(name), flags))
            if name == APISERVER:
                self._answers(kubeconfig)
        self._kill(OWN_KUBELET)
        if not self._runs(SECOND + OWN_KUBELET):
            self._start_kubelets(self._group(CONTROL_PLANE_GROUP), SECOND + OWN_KUBELET, kubeconfig)
        return SecondControlPlane(str(kubeconfig), controllers)

    def stop_second_control_plane(self) -> None:
        self._kill(*(SECOND + name for name in (*CONTROL_PLANE, OWN_KUBELET)))

    def second_control_plane_running(self) -> bool:
        return any(self._runs(SECOND + name) for name in CONTROL_PLANE)

    def second_api(self) -> ApiClient:
        return api_client(self._second_kubeconfig)

    # --- ComponentSwap

    def components(self) -> tuple[str, ...]:
        return CONTROL_PLANE

    def use_program(self, component: str, path: str | None) -> None:
        override = self._override(component)
        if path is None:
            override.unlink(missing_ok=True)
        else:
            override.parent.mkdir(exist_ok=True)
            place(override, path)
        if self.running_program(component) != self._component(component)[0]:
            self._kill(component)
            self.start_first_control_plane()

    def running_program(self, component: str) -> str:
        process = self._process(component)
        if process is None or process.state() == "gone":
            return ""
        try:
            return str(Path(f"/proc/{process.pid}/exe").readlink())
        except FileNotFoundError:  # it ended in between
            return ""

    # --- EtcdBehind

    def etcd_get(self, key: str) -> bytes:
        """The stored bytes; empty where there is no such key."""
        answer = self._etcd("kv/range", {"key": _b64(key.encode())})
        return base64.b64decode(answer["kvs"][0].get("value", "")) if answer.get("kvs") else b""

    def etcd_put(self, key: str, value: bytes) -> int:
        answer = self._etcd("kv/put", {"key": _b64(key.encode()), "value": _b64(value)})
        return int(answer["header"]["revision"])

    def etcd_revision(self) -> int:
        return int(self._etcd("maintenance/status", {})["header"]["revision"])

    def etcd_snapshot(self, name: str) -> str:
        path = self._snapshot(name)
        path.parent.mkdir(exist_ok=True)
        # It writes to another name first: a snapshot is whole or not there.
        run([*self.etcdctl(), "snapshot", "save", str(path)], timeout_s=60, umask=PRIVATE_UMASK)
        return str(path)

    def etcdctl(self) -> tuple[str, ...]:
        """The command line of an etcdctl that asks this cluster's etcd, before its own verb."""
        keys = keys_of(self._directory)
        return (
            str(self._programs().etcdctl), f"--endpoints={self._etcd_scheme}://{LOOPBACK}:{self._record.ports.etcd}",
            f"--cacert={keys.authority}", f"--cert={keys.certificate}", f"--key={keys.key}",
        )  # fmt: skip

    def etcd_snapshot_of(self, name: str) -> str | None:
        path = self._snapshot(name)
        return str(path) if path.exists() else None

    def etcd_restore(self, snapshot: str, *, bump_revision: int = 0) -> None:
        data, aside = self._etcd_data, self._etcd_aside
        made = data.with_name("etcd-new")
        shutil.rmtree(made, ignore_errors=True)
        peer = f"{self._etcd_scheme}://{LOOPBACK}:{self._record.ports.etcd_peer}"
        bump = ["--bump-revision", str(bump_revision), "--mark-compacted"] if bump_revision else []
        run(
            [str(self._programs().etcdutl), "snapshot", "restore", snapshot, "--data-dir", str(made),
             "--name", ETCD_MEMBER, "--initial-cluster", f"{ETCD_MEMBER}={peer}",
             "--initial-advertise-peer-urls", peer, *bump],
            timeout_s=60, umask=PRIVATE_UMASK,
        )  # fmt: skip
        self._kill(ETCD)
        if data.exists():
            shutil.rmtree(aside, ignore_errors=True)
            data.rename(aside)
        made.rename(data)
        self.start_etcd()

    def start_etcd(self) -> None:
        """Start etcd where it does not run, and wait until it answers."""
        if not self._runs(ETCD):
            if not self._etcd_data.exists():  # a restore was cut short between its two renames
                self._etcd_aside.rename(self._etcd_data)
            self._start(ETCD, self._component(ETCD))
        eventually(self.etcd_revision, within_s=ANSWER_WITHIN_S, what="etcd to answer", every_s=0.05)

    def controllers_running(self) -> tuple[str, ...]:
        return tuple(name for name in (CONTROLLER_MANAGER, SCHEDULER) if self._runs(name))

    def start_controllers(self, names: Sequence[str]) -> None:
        with self.api() as client:
            leases: Any = CoordinationV1Api(client)

            def renewed() -> dict[str, Any]:
                there = leases.list_namespaced_lease("kube-system").items
                return {each.metadata.name: each.spec.renew_time for each in there if each.metadata.name in names}

            before = renewed()

            def lead() -> bool:
                self._start_where_off(*names)
                now = renewed()
                return all(now.get(name) != before.get(name) for name in names)

            eventually(lead, within_s=ANSWER_WITHIN_S, what=f"{', '.join(names)} to renew their leases")

    # --- inside: processes

    @property
    def _logs(self) -> Path:
        return self._directory / "logs"

    @property
    def _second_kubeconfig(self) -> Path:
        return self._directory / "kubeconfig-second"

    @property
    def _etcd_scheme(self) -> str:
        """That of a cluster which an earlier version made asks nobody for a certificate."""
        return "https" if self._record.ports.etcd_http else "http"

    @property
    def _etcd_url(self) -> str:
        """Of its JSON gateway; where that has no port of its own, it is at the other one."""
        ports = self._record.ports
        return f"{self._etcd_scheme}://{LOOPBACK}:{ports.etcd_http or ports.etcd}"

    @property
    def _etcd_data(self) -> Path:
        return workdir(self._directory) / ETCD

    @property
    def _etcd_aside(self) -> Path:
        return workdir(self._directory) / "etcd-aside"

    def _snapshot(self, name: str) -> Path:
        return self._directory / "snapshots" / f"{name}.db"

    def _process(self, name: str) -> Process | None:
        return read(process_record(self._directory, name))

    def _runs(self, name: str) -> bool:
        process = self._process(name)
        return process is not None and process.state() != "gone"

    def _kill(self, *names: str) -> None:
        kill(process for name in names if (process := self._process(name)) is not None)

    def _start_where_off(self, *names: str) -> None:
        """Start those components, as they were set up, that do not run."""
        for name in names:
            if not self._runs(name):
                self._start(name, self._component(name))

    def _start(self, name: str, argv: Sequence[str]) -> None:
        self._logs.mkdir(exist_ok=True)
        start(
            process_record(self._directory, name),
            argv,
            log=self._logs / f"{name}.log",
            cwd=self._directory,
            mark=str(self._directory),
        )

    def _override(self, component: str) -> Path:
        """Names the program that a component is started from instead of its own."""
        return self._directory / "programs" / component

    def _component(self, name: str) -> list[str]:
        """A component's command line, as kwokctl wrote it down; another program where one was asked for."""
        written, override = workdir(self._directory) / "kwok.yaml", self._override(name)
        for each in (written, override):
            trusted.check(each, state_path())
        config = next(
            document
            for document in yaml.safe_load_all(written.read_text())
            if document["kind"] == "KwokctlConfiguration"
        )
        for component in config["components"]:
            if component["name"] == name:
                program = override.read_text() if override.exists() else component["binary"]
                return [program, *component["args"]]
        raise OrdealError(f"kwokctl set up no {name} in {self._directory}")

    def _programs(self) -> "Programs":
        return Programs.built(self._record.kubernetes, silent)

    def _answers(self, kubeconfig: Path) -> None:
        def ready() -> bool:
            with api_client(kubeconfig) as client:
                return status(client, "GET", "/readyz") == 200

        eventually(ready, within_s=ANSWER_WITHIN_S, what=f"the API server of {kubeconfig} to answer", every_s=0.1)

    def _etcd(self, call: str, body: Mapping[str, str]) -> Any:
        """etcd's own API over its JSON gateway: keys and values go through it byte for byte."""
        keys = keys_of(self._directory)
        try:
            with urllib3.PoolManager(
                ca_certs=str(keys.authority), cert_file=str(keys.certificate), key_file=str(keys.key)
            ) as pool:
                answer = pool.request(
                    "POST",
                    f"{self._etcd_url}/v3/{call}",
                    body=msgspec.json.encode(body),
                    timeout=urllib3.Timeout(connect=3, read=20),
                    retries=False,
                )
        except urllib3.exceptions.HTTPError as error:
            raise OrdealError(
                f"etcd of cluster {self._ref.name} does not answer at {self._etcd_url}: {error}"
            ) from error
        if answer.status != 200:
            raise OrdealError(
                f"etcd of cluster {self._ref.name} refused {call}: {answer.data.decode(errors='replace')}"
            )
        return msgspec.json.decode(answer.data)

    # --- inside: nodes

    def _groups(self) -> tuple[Group, ...]:
        return groups_of(self.shape)

    def _group(self, name: str) -> Group:
        for group in self._groups():
            if group.name == name:
                return group
        raise OrdealError(
            f"cluster {self._ref.name} has no heartbeat group {name!r}: {', '.join(self.heartbeat_groups())}"
        )

    def _kubelets(self, group: str) -> Process:
        process = self._process(f"kwok-{self._group(group).name}")
        if process is None:
            raise OrdealError(f"no process was ever started for the heartbeats of {group}")
        return process

    def _start_kubelets(self, group: Group, name: str = "", kubeconfig: Path | None = None) -> None:
        """Start the process that sends the group's heartbeats, by default to the first API server."""
        self._start(
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
            if not self._runs(f"kwok-{group.name}"):
                self._start_kubelets(group)
        with self.api() as client:
            bodies = (msgspec.json.encode(manifest(group, node)) for group in groups for node in group.nodes)
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                answers = set(pool.map(lambda body: status(client, "POST", "/api/v1/nodes", body), bodies))
            refused = answers - {201, 409}
            if refused:
                raise OrdealError(f"the API server refused simulated nodes with HTTP {refused}; see {self._logs}")
            within_s = 30 + total / NODES_PER_S
            try:
                eventually(lambda: ready_nodes(client) == total, within_s=within_s, what="all nodes to be Ready")
                eventually(self._schedulable, within_s=within_s, what="all nodes to lose the taint they start with")
                eventually(
                    lambda: status(client, "GET", "/api/v1/namespaces/default/serviceaccounts/default") == 200,
                    within_s=30,
                    what="the default service account",
                )
            except WaitedInVainError as error:
                raise OrdealError(f"{error}{last_words(self._directory)}") from error

    def _schedulable(self) -> bool:
        return not any(
            taint.startswith("node.kubernetes.io/not-ready:") for node in self.nodes() for taint in node.taints
        )


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _with_flags(argv: Sequence[str], flags: Mapping[str, str]) -> list[str]:
    """A command line with some flags set anew, the others as they were."""
    kept = [arg for arg in argv if arg.lstrip("-").split("=", 1)[0] not in flags]
    return [*kept, *(f"--{key}={value}" for key, value in flags.items())]
