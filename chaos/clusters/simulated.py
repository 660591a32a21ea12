"""Simulated clusters: a real etcd, API server, controller manager and scheduler, and nodes that are only heartbeats.

kwokctl (binary runtime) sets the control plane up with our own programs, bound to loopback. The nodes' heartbeats
come from `kwok` processes of our own, one for each group of nodes, so that a group can be stopped and resumed.
Everything of a cluster is in one directory under the state directory; nothing of the user's ~/.kwok or ~/.kube is read
or written.
"""

import base64
import dataclasses
import itertools
import json
import random
import re
import shutil
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import urllib3
import yaml
from kubernetes.client import ApiClient

from chaos.clusters.base import (
    SIMULATED,
    ClusterRef,
    Images,
    Node,
    SecondControlPlane,
    Shape,
    Timers,
    Zone,
)
from chaos.clusters.client import CONTROL_PLANE_LABEL, ZONE_LABEL, api_client
from chaos.clusters.simulated_processes import MARK, Process, adopt, kill, marked, read, start
from chaos.errors import OrdealError
from chaos.hosts import binaries
from chaos.hosts.command import CommandError, run
from chaos.hosts.lock import locked
from chaos.hosts.places import manifests_dir, state_dir
from chaos.waiting import WaitedInVainError, eventually

GROUP_LABEL = "kube-ordeal/heartbeats"
CONTROL_PLANE_GROUP = "control-plane"
CONTROL_PLANE_NODE = "control-plane"
WORKERS_GROUP = "workers"

APISERVER, CONTROLLER_MANAGER, SCHEDULER, ETCD = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
)
CONTROL_PLANE = (APISERVER, CONTROLLER_MANAGER, SCHEDULER)
SECOND = "second-"
OWN_KUBELET = f"kwok-{CONTROL_PLANE_GROUP}"

UP_WITHIN_S = 90.0
ANSWER_WITHIN_S = 60.0
NODES_PER_S = 50  # the slowest at which nodes may become Ready before it is called a failure
CONNECTIONS = 8
LOG_LINES = 8
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one cluster, all on loopback and kept for its whole life."""

    apiserver: int
    etcd: int
    etcd_peer: int
    controller_manager: int
    scheduler: int
    second_apiserver: int
    second_controller_manager: int
    second_scheduler: int
    unused: int  # kwokctl picks a port for its own kwok, which we don't run


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes whose heartbeats one process sends."""

    name: str
    zone: str
    nodes: tuple[str, ...]


class SimulatedCluster:
    """A cluster of simulated nodes.

    Abilities: Heartbeats, ControllerManagerSwitch, ControlPlaneSwap, EtcdBehind.
    """

    def __init__(self, name: str) -> None:
        """Of a name; nothing is read or asked yet. Raises OrdealError for what can't be a name."""
        self._directory = _directory(name)
        self._ref = ClusterRef(SIMULATED, name, str(self._directory / "kubeconfig"))

    @classmethod
    def create(
        cls, name: str, shape: Shape, version: str | None = None, report: Callable[[str], None] = binaries.silent
    ) -> "SimulatedCluster":
        """Start a cluster and wait until its nodes are Ready. What an interrupted create of the same name left goes.

        Raises OrdealError where a cluster of that name is there already, or a directory that is not ours.
        """
        directory = _directory(name)
        programs = _Programs.built(version, report)
        with locked(_lock_of(directory), lambda: report(f"simulated cluster {name} is being made or deleted, waiting")):
            found = _read_record(directory)
            if found is not None and found.whole:
                raise OrdealError(f"a simulated cluster {name} is there already: delete it, or take another name")
            _remove(directory)
            try:
                record = _claim(directory, shape, programs)
                _bring_up(directory, record, programs, report)
                cluster = cls(name)
                # Not before the API server is done with starting: a flood of nodes would hold it up, and the
                # controllers give up on one that is not healthy after 10 s. One that did so is started again here.
                cluster.start_first_control_plane()
                cluster._bring_nodes(report)
                _write_record(directory, dataclasses.replace(record, whole=True))
            except BaseException:
                _remove(directory)
                raise
        return cluster

    @classmethod
    def attach(cls, ref: ClusterRef) -> "SimulatedCluster":
        """The cluster that a reference names, running, half-made or gone: what it is asked tells."""
        return cls(ref.name)

    @staticmethod
    def exists(name: str) -> bool:
        """True where anything is left of a cluster of that name, also of an interrupted create or delete."""
        directory = _directory(name)
        return directory.exists() or _removing(directory).exists()

    # --- Cluster

    @property
    def ref(self) -> ClusterRef:
        return self._ref

    @cached_property
    def _record(self) -> "_Record":
        record = _read_record(self._directory)
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
            listed = _get(client, "/api/v1/nodes")
        return tuple(_node(item) for item in listed["items"])

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
            "lease renewal": f"every {self.renew_interval_s:g} s",
            **{f"{name} flags": " ".join(f"--{k}={v}" for k, v in of.items()) for name, of in flags.items()},
        }

    def delete(self) -> None:
        with locked(_lock_of(self._directory)):
            _remove(self._directory)

    # --- Heartbeats

    @property
    def renew_interval_s(self) -> float:
        """How often a node renews its lease: a quarter of the lease's duration, as the kubelet does."""
        return _lease_duration_s(self.shape.timers) / 4

    def heartbeat_groups(self) -> tuple[str, ...]:
        return tuple(group.name for group in self._groups())

    def nodes_of(self, group: str) -> tuple[str, ...]:
        return self._group(group).nodes

    def stop_heartbeats(self, group: str) -> None:
        if not self._kubelets(group).send(signal.SIGSTOP):
            raise OrdealError(f"the process that sends the heartbeats of {group} is gone; see {self._logs}")

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
        if not self._runs(CONTROLLER_MANAGER):
            self._start(CONTROLLER_MANAGER, self._component(CONTROLLER_MANAGER))

    def controller_manager_running(self) -> bool:
        return self._runs(CONTROLLER_MANAGER)

    # --- ControlPlaneSwap

    def stop_first_control_plane(self) -> None:
        self._kill(*CONTROL_PLANE)

    def first_control_plane_running(self) -> bool:
        return any(self._runs(name) for name in CONTROL_PLANE)

    def start_first_control_plane(self) -> None:
        """Start what of it does not run; the controllers after the API server answers, or they give up on it."""
        if not self._runs(APISERVER):
            self._start(APISERVER, self._component(APISERVER))
        self._answers(Path(self._ref.kubeconfig))
        for name in (CONTROLLER_MANAGER, SCHEDULER):
            if not self._runs(name):
                self._start(name, self._component(name))
        if not self._runs(OWN_KUBELET):
            self._start_kubelets(self._group(CONTROL_PLANE_GROUP))

    def start_second_control_plane(self, timers: Timers, controllers: str) -> SecondControlPlane:
        """Its API server, controller manager and scheduler listen on ports that the simulated kubelets don't know.

        Only the kubelet of its own machine, the control-plane node's, reports to it: so not all nodes are away to it.
        """
        ports, kubeconfig = self._record.ports, self._second_kubeconfig
        config = yaml.safe_load(Path(self._ref.kubeconfig).read_text())
        for entry in config["clusters"]:
            entry["cluster"]["server"] = f"https://{_LOOPBACK}:{ports.second_apiserver}"
        _write_private(kubeconfig, yaml.safe_dump(config))
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
        etcdctl = self._programs().etcdctl  # it writes to another name first: a snapshot is whole or not there
        run([str(etcdctl), "--endpoints", self._etcd_url, "snapshot", "save", str(path)], timeout_s=60)
        return str(path)

    def etcd_snapshot_of(self, name: str) -> str | None:
        path = self._snapshot(name)
        return str(path) if path.exists() else None

    def etcd_restore(self, snapshot: str, *, bump_revision: int = 0) -> None:
        data, aside = self._etcd_data, self._etcd_aside
        made = data.with_name("etcd-new")
        shutil.rmtree(made, ignore_errors=True)
        peer = f"http://{_LOOPBACK}:{self._record.ports.etcd_peer}"
        bump = ["--bump-revision", str(bump_revision), "--mark-compacted"] if bump_revision else []
        run(
            [str(self._programs().etcdutl), "snapshot", "restore", snapshot, "--data-dir", str(made), "--name", "node0",
             "--initial-cluster", f"node0={peer}", "--initial-advertise-peer-urls", peer, *bump],
            timeout_s=60,
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

    # --- inside: processes

    @property
    def _logs(self) -> Path:
        return self._directory / "logs"

    @property
    def _second_kubeconfig(self) -> Path:
        return self._directory / "kubeconfig-second"

    @property
    def _etcd_url(self) -> str:
        return f"http://{_LOOPBACK}:{self._record.ports.etcd}"

    @property
    def _etcd_data(self) -> Path:
        return _workdir(self._directory) / ETCD

    @property
    def _etcd_aside(self) -> Path:
        return _workdir(self._directory) / "etcd-aside"

    def _snapshot(self, name: str) -> Path:
        return self._directory / "snapshots" / f"{name}.db"

    def _process(self, name: str) -> Process | None:
        return read(_record_of(self._directory, name))

    def _runs(self, name: str) -> bool:
        process = self._process(name)
        return process is not None and process.state() != "gone"

    def _kill(self, *names: str) -> None:
        kill(process for name in names if (process := self._process(name)) is not None)

    def _start(self, name: str, argv: Sequence[str]) -> None:
        self._logs.mkdir(exist_ok=True)
        start(
            _record_of(self._directory, name),
            argv,
            log=self._logs / f"{name}.log",
            cwd=self._directory,
            mark=str(self._directory),
        )

    def _component(self, name: str) -> list[str]:
        """A component's command line, as kwokctl wrote it down."""
        config = next(
            document
            for document in yaml.safe_load_all(_workdir(self._directory).joinpath("kwok.yaml").read_text())
            if document["kind"] == "KwokctlConfiguration"
        )
        for component in config["components"]:
            if component["name"] == name:
                return [component["binary"], *component["args"]]
        raise OrdealError(f"kwokctl set up no {name} in {self._directory}")

    def _programs(self) -> "_Programs":
        return _Programs.built(self._record.kubernetes, binaries.silent)

    def _answers(self, kubeconfig: Path) -> None:
        def ready() -> bool:
            with api_client(kubeconfig) as client:
                return _status(client, "GET", "/readyz") == 200

        eventually(ready, within_s=ANSWER_WITHIN_S, what=f"the API server of {kubeconfig} to answer", every_s=0.1)

    def _etcd(self, call: str, body: Mapping[str, str]) -> Any:
        """etcd's own API over its JSON gateway: keys and values go through it byte for byte."""
        try:
            with urllib3.PoolManager() as pool:
                answer = pool.request(
                    "POST",
                    f"{self._etcd_url}/v3/{call}",
                    body=orjson.dumps(body),
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
        return orjson.loads(answer.data)

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
                f"--config={_workdir(self._directory) / 'kwok.yaml'}",
                f"--config={manifests_dir() / 'simulated' / 'stages.yaml'}",
                f"--kubeconfig={kubeconfig or self._ref.kubeconfig}",
                "--manage-all-nodes=false",
                f"--manage-nodes-with-label-selector={GROUP_LABEL}={group.name}",
                f"--node-lease-duration-seconds={_lease_duration_s(self.shape.timers)}",
                f"--node-ip={_LOOPBACK}",
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
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                for status in pool.map(
                    lambda body: _status(client, "POST", "/api/v1/nodes", body),
                    (orjson.dumps(_manifest(group, node)) for group in groups for node in group.nodes),
                ):
                    if status not in {201, 409}:
                        raise OrdealError(
                            f"the API server refused a simulated node with HTTP {status}; see {self._logs}"
                        )
            within_s = 30 + total / NODES_PER_S
            try:
                eventually(lambda: _ready_nodes(client) == total, within_s=within_s, what="all nodes to be Ready")
                eventually(self._schedulable, within_s=within_s, what="all nodes to lose the taint they start with")
                eventually(
                    lambda: _status(client, "GET", "/api/v1/namespaces/default/serviceaccounts/default") == 200,
                    within_s=30,
                    what="the default service account",
                )
            except WaitedInVainError as error:
                raise OrdealError(f"{error}{_said(self._directory)}") from error

    def _schedulable(self) -> bool:
        return not any(
            taint.startswith("node.kubernetes.io/not-ready:") for node in self.nodes() for taint in node.taints
        )


def groups_of(shape: Shape) -> tuple[Group, ...]:
    """The heartbeat groups of a shape: each zone's (or the workers'), then the control plane's."""
    zones = shape.zones or (Zone("", shape.workers),)
    groups: list[Group] = []
    for zone in zones:
        if sum(zone.parts) not in {0, zone.nodes}:
            raise OrdealError(f"zone {zone.name} has {zone.nodes} nodes, but parts of {sum(zone.parts)} in all")
        names = [f"{zone.name or 'worker'}-{number}" for number in range(1, zone.nodes + 1)]
        at = 0
        for number, size in enumerate(zone.parts or (zone.nodes,), start=1):
            base = zone.name or WORKERS_GROUP
            name = f"{base}-{number}" if zone.parts else base
            groups.append(Group(name, zone.name, tuple(names[at : at + size])))
            at += size
    return (*groups, Group(CONTROL_PLANE_GROUP, "", (CONTROL_PLANE_NODE,)))


# --- a cluster's directory


@dataclass(frozen=True, slots=True)
class _Record:
    shape: Shape
    kubernetes: str
    etcd: str
    kwok: str
    ports: Ports
    whole: bool = False


@dataclass(frozen=True, slots=True)
class _Programs:
    kubernetes: binaries.Binaries
    etcd_bundle: binaries.Binaries
    kwok_bundle: binaries.Binaries

    @classmethod
    def built(cls, version: str | None, report: Callable[[str], None]) -> "_Programs":
        return cls(
            binaries.build("kubernetes", version, report=report),
            binaries.build("etcd", report=report),
            binaries.build("kwok", report=report),
        )

    @property
    def kwok(self) -> Path:
        return self.kwok_bundle.path("kwok")

    @property
    def etcdctl(self) -> Path:
        return self.etcd_bundle.path("etcdctl")

    @property
    def etcdutl(self) -> Path:
        return self.etcd_bundle.path("etcdutl")


def _directory(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise OrdealError(f"{name!r} can't be a cluster's name: small letters, digits and hyphens, at most 42")
    return state_dir() / "simulated" / name


def _workdir(directory: Path) -> Path:
    return directory / "kwok" / "clusters" / directory.name


def _removing(directory: Path) -> Path:
    return directory.parent / f".removing-{directory.name}"


def _lock_of(directory: Path) -> Path:
    return directory.parent / f".{directory.name}.lock"


def _record_of(directory: Path, name: str) -> Path:
    return directory / "processes" / name


def _read_record(directory: Path) -> _Record | None:
    """None where there is no such directory. Raises OrdealError where there is one that we did not make."""
    if not directory.exists():
        return None
    try:
        raw = json.loads((directory / "cluster.json").read_text())
        return _Record(
            shape=_shape(raw["shape"]),
            ports=Ports(**raw.pop("ports")),
            **{k: v for k, v in raw.items() if k != "shape"},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OrdealError(
            f"{directory} is there and is no simulated cluster of ours ({type(error).__name__}): move it away, "
            "or take another name"
        ) from error


def _shape(raw: dict[str, Any]) -> Shape:
    timers = Timers(**raw.pop("timers"))
    zones = tuple(Zone(z["name"], z["nodes"], tuple(z["parts"])) for z in raw.pop("zones"))
    flags: dict[str, Any] = {key: tuple((k, v) for k, v in raw.pop(key)) for key in ("controller_manager", "apiserver")}
    return Shape(timers=timers, zones=zones, **flags, **raw)


def _write_record(directory: Path, record: _Record) -> None:
    _write_private(directory / "cluster.json", json.dumps(asdict(record), indent=1))


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, readable by its owner alone."""
    new = path.with_name(path.name + ".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)


def _claim(directory: Path, shape: Shape, programs: _Programs) -> _Record:
    """Make the directory, with the ports that are this cluster's from now on."""
    groups_of(shape)
    parent = directory.parent
    with locked(parent / ".ports.lock"):
        taken: set[int] = set()
        for other in parent.glob("*/cluster.json"):
            with suppress(OrdealError):  # somebody else's directory: what listens there shows as not free
                found = _read_record(other.parent)
                taken.update(asdict(found.ports).values() if found else ())
        record = _Record(
            shape=shape,
            kubernetes=programs.kubernetes.version,
            etcd=programs.etcd_bundle.version,
            kwok=programs.kwok_bundle.version,
            ports=Ports(*_free_ports(len(dataclasses.fields(Ports)), taken)),
        )
        # Appears by one rename, with its record in it: there is never a directory that could be anybody's.
        making = parent / f".making-{directory.name}"
        shutil.rmtree(making, ignore_errors=True)
        (making / "processes").mkdir(parents=True, mode=0o700)
        _write_record(making, record)
        making.rename(directory)
    return record


def _free_ports(count: int, taken: set[int]) -> list[int]:
    """Ports on loopback, below the range from which the kernel gives ports to outgoing connections."""
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = range(10000, max(first_outgoing, 10000 + 20 * count))
    begin = random.randrange(len(candidates))  # noqa: S311  (users with other state directories must not all start alike)
    found: list[int] = []
    for port in itertools.chain(candidates[begin:], candidates[:begin]):
        if port in taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((_LOOPBACK, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise OrdealError(f"no {count} ports are free on {_LOOPBACK} below {first_outgoing}")


def _bring_up(directory: Path, record: _Record, programs: _Programs, report: Callable[[str], None]) -> None:
    """kwokctl makes the certificates and the kubeconfig, and starts the control plane."""
    report(f"starting a simulated control plane, Kubernetes {record.kubernetes}")
    config = directory / "kwokctl.yaml"
    config.write_text(yaml.safe_dump(_kwokctl_configuration(record, programs)))
    command = [
        str(programs.kwok_bundle.path("kwokctl")), "create", "cluster", "--name", directory.name, "--runtime", "binary",
        "--config", str(config), "--kubeconfig", str(directory / "kubeconfig-by-kwokctl"),
        "--disable", "kwok-controller", "--timeout", f"{UP_WITHIN_S:g}s",
    ]  # fmt: skip
    try:
        run(
            command,
            timeout_s=UP_WITHIN_S + 30,
            # HOME: kubectl, which kwokctl runs, would leave a cache in the user's.
            env={"KWOK_WORKDIR": str(directory / "kwok"), "HOME": str(directory), MARK: str(directory)},
        )
    except CommandError as error:
        _adopt(directory)
        raise OrdealError(f"the simulated control plane did not start: {error}{_said(directory)}") from error
    for name in _adopt(directory):
        raise OrdealError(f"{name} ended as soon as it was started{_said(directory)}")
    shutil.copyfile(_workdir(directory) / "kubeconfig.yaml", directory / "kubeconfig")
    (directory / "kubeconfig").chmod(0o600)


def _adopt(directory: Path) -> list[str]:
    """Write down the processes that kwokctl started; returns the names of those that are gone already."""
    pids = {path.stem: int(path.read_text()) for path in _workdir(directory).glob("pids/*.pid")}
    return [
        name for name, pid in sorted(pids.items()) if not adopt(_record_of(directory, name), pid, mark=str(directory))
    ]


def _kwokctl_configuration(record: _Record, programs: _Programs) -> dict[str, object]:
    shape, ports = record.shape, record.ports
    flags = {
        # A simulated cluster is not the place to test the disk: without fsync it is up sooner and harms nobody else.
        ETCD: {"unsafe-no-fsync": "true"},
        APISERVER: {
            # Loopback can't be published as the kubernetes Service's endpoint, and nobody in here asks for it.
            "endpoint-reconciler-type": "none",
            "advertise-address": _LOOPBACK,
            # It taints a node that is not Ready yet; taking the taint off again is half of the time a start takes.
            "disable-admission-plugins": "TaintNodesByCondition",
            **shape.timers.apiserver_flags(),
            **dict(shape.apiserver),
        },
        CONTROLLER_MANAGER: {
            # It annotates every node anew whenever their number passes a limit, for caches that no node here has.
            "controllers": "*,-ttl-controller",
            **shape.timers.controller_manager_flags(),
            **dict(shape.controller_manager),
        },
    }
    return {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": {
            "bindAddress": _LOOPBACK,
            "kubeApiserverPort": ports.apiserver,
            "etcdPort": ports.etcd,
            "etcdPeerPort": ports.etcd_peer,
            "kubeControllerManagerPort": ports.controller_manager,
            "kubeSchedulerPort": ports.scheduler,
            "kwokControllerPort": ports.unused,
            "kubeVersion": f"v{record.kubernetes}",
            "securePort": True,
            "kubeAuthorization": True,
            "kubeAdmission": True,
            # Thousands of nodes share one client here; the limits are there for one kubelet each.
            "disableQPSLimits": True,
            "etcdBinary": str(programs.etcd_bundle.path(ETCD)),
            "kubectlBinary": str(programs.kubernetes.path("kubectl")),
            "kubeApiserverBinary": str(programs.kubernetes.path(APISERVER)),
            "kubeControllerManagerBinary": str(programs.kubernetes.path(CONTROLLER_MANAGER)),
            "kubeSchedulerBinary": str(programs.kubernetes.path(SCHEDULER)),
            "kwokControllerBinary": str(programs.kwok),
        },
        "componentsPatches": [
            # Not `override`: that changes a flag which is there, and leaves out one which is not. The last one counts.
            {"name": name, "extraArgs": [{"key": key, "value": value} for key, value in of.items()]}
            for name, of in flags.items()
        ],
    }  # fmt: skip


def _remove(directory: Path) -> None:
    """End every process that carries the cluster's mark, then take its directory away. The caller holds the lock."""
    removing = _removing(directory)
    shutil.rmtree(removing, ignore_errors=True)
    if _read_record(directory) is None:
        return
    # kwokctl itself may be among them and start another in between: until there is none. What it started in the
    # moment it was killed carries the mark too.
    eventually(lambda: not _kill_marked(directory), within_s=30, what=f"the processes of {directory.name} to end")
    directory.rename(removing)  # whole or gone: never half a directory of which nobody can say whose it is
    shutil.rmtree(removing)


def _kill_marked(directory: Path) -> bool:
    found = marked(str(directory))
    kill(found)
    return bool(found)


def _said(directory: Path) -> str:
    """The last lines of the logs of what has ended, for an error."""
    text = ""
    for record in sorted(directory.glob("processes/*")):
        process = read(record)
        if process is not None and process.state() != "gone":
            continue
        for log in (directory / "logs" / f"{record.name}.log", _workdir(directory) / "logs" / f"{record.name}.log"):
            lines = log.read_text(errors="replace").strip().splitlines()[-LOG_LINES:] if log.exists() else []
            text += f"\n  {record.name} is gone; it said:\n" + "\n".join(f"    {line[:300]}" for line in lines)
    return text


# --- nodes and the API


def _lease_duration_s(timers: Timers) -> int:
    """Kubernetes' own proportion: a lease of 40 s (renewed every 10 s) at a grace period of 50 s. At least 4 s."""
    return max(4, int(timers.monitor_grace_s * 0.8))


def _manifest(group: Group, name: str) -> dict[str, object]:
    system = {"os": "linux", "arch": binaries.goarch()}
    labels = {
        "kubernetes.io/hostname": name,
        GROUP_LABEL: group.name,
        **{f"kubernetes.io/{key}": value for key, value in system.items()},
        **{f"beta.kubernetes.io/{key}": value for key, value in system.items()},  # or the controller adds them later
    }
    spec: dict[str, object] = {}
    if group.zone:
        labels[ZONE_LABEL] = group.zone
    if group.name == CONTROL_PLANE_GROUP:
        labels[CONTROL_PLANE_LABEL] = ""
        spec["taints"] = [{"key": CONTROL_PLANE_LABEL, "effect": "NoSchedule"}]
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"capacity": room, "allocatable": room},
    }


def _node(item: Mapping[str, Any]) -> Node:
    labels, status = item["metadata"].get("labels", {}), item.get("status", {})
    addresses = {entry["type"]: entry["address"] for entry in status.get("addresses", ())}
    return Node(
        name=item["metadata"]["name"],
        control_plane=CONTROL_PLANE_LABEL in labels,
        ready=next((c["status"] for c in status.get("conditions", ()) if c["type"] == "Ready"), "Unknown"),
        address=addresses.get("InternalIP", ""),
        zone=labels.get(ZONE_LABEL, ""),
        taints=tuple(f"{taint['key']}:{taint['effect']}" for taint in item["spec"].get("taints", ())),
    )


def _ready_nodes(client: ApiClient) -> int:
    """How many nodes are Ready; asked as a table, which is a hundredth of the full list."""
    table = _get(client, "/api/v1/nodes?includeObject=None", "application/json;as=Table;v=v1;g=meta.k8s.io")
    status = next(i for i, column in enumerate(table["columnDefinitions"]) if column["name"] == "Status")
    return sum(1 for row in table["rows"] or () if row["cells"][status] == "Ready")


def _get(client: ApiClient, path: str, accept: str = "application/json") -> Any:
    """A parsed answer. The typed client takes a hundred times as long for a list of thousands."""
    answer = _request(client, "GET", path, None, accept)
    if answer.status != 200:
        raise OrdealError(f"{client.configuration.host}{path} answered HTTP {answer.status}")
    return orjson.loads(answer.data)


def _status(client: ApiClient, method: str, path: str, body: bytes | None = None) -> int:
    return int(_request(client, method, path, body, "application/json").status)


def _request(client: ApiClient, method: str, path: str, body: bytes | None, accept: str) -> Any:
    host = client.configuration.host
    try:
        return client.rest_client.pool_manager.request(
            method,
            f"{host}{path}",
            body=body,
            headers={"Content-Type": "application/json", "Accept": accept},
            timeout=urllib3.Timeout(connect=3, read=60),
            retries=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise OrdealError(f"the API server at {host} does not answer: {error}") from error


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _with_flags(argv: Sequence[str], flags: Mapping[str, str]) -> list[str]:
    """A command line with some flags set anew, the others as they were."""
    kept = [arg for arg in argv if arg.lstrip("-").split("=", 1)[0] not in flags]
    return [*kept, *(f"--{key}={value}" for key, value in flags.items())]
