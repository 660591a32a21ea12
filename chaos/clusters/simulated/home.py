"""Where a simulated cluster lives: its directory, its record, its ports, and how kwokctl fills it and it is emptied."""

import dataclasses
import itertools
import json
import random
import re
import shutil
import socket
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import yaml

from chaos.basics.files import place
from chaos.basics.untrusted import json_file
from chaos.basics.waiting import eventually
from chaos.clusters.shape import Shape
from chaos.clusters.simulated.nodes import groups_of
from chaos.clusters.simulated.processes import MARK, adopt, kill, marked, read
from chaos.errors import OrdealError
from chaos.hosts import binaries, bundles, trusted
from chaos.hosts.command import PRIVATE_UMASK, CommandError, run
from chaos.hosts.lock import locked
from chaos.hosts.places import private, state_dir, state_path

APISERVER, CONTROLLER_MANAGER, SCHEDULER, ETCD = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
)
LOOPBACK = "127.0.0.1"
ETCD_MEMBER = "node0"  # kwokctl's name for it
UP_WITHIN_S = 90.0
LOG_LINES = 8
LOCKS = 32
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?")


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
    etcd_http: int = 0  # 0 in the record of a cluster that an earlier version made

    def of(self, component: str) -> int:
        """At which a component tells of itself. Raises OrdealError where there is no such component."""
        known = {
            APISERVER: self.apiserver,
            CONTROLLER_MANAGER: self.controller_manager,
            SCHEDULER: self.scheduler,
            ETCD: self.etcd_http,
        }
        if component not in known:
            raise OrdealError(f"there is no component {component!r}; there are: {', '.join(known)}")
        return known[component]


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """What is written down of a cluster before anything of it is started; `whole` once its nodes are Ready."""

    shape: Shape
    kubernetes: str
    etcd: str
    kwok: str
    ports: Ports
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs that a cluster is made of, built from pinned modules."""

    kubernetes: binaries.Binaries
    etcd_bundle: binaries.Binaries
    kwok_bundle: binaries.Binaries

    @classmethod
    def built(cls, version: str | None, report: Callable[[str], None]) -> "Programs":
        """Of a Kubernetes version, None for the default; built now unless they are. Raises as `binaries.build`."""
        return cls(
            binaries.build(bundles.CONTROL_PLANE, version, report=report),
            binaries.build("etcd", report=report),
            binaries.build("kwok", report=report),
        )

    @property
    def kwok(self) -> Path:
        """The program that plays the kubelets."""
        return self.kwok_bundle.path("kwok")

    @property
    def etcdctl(self) -> Path:
        """etcd's client."""
        return self.etcd_bundle.path("etcdctl")

    @property
    def etcdutl(self) -> Path:
        """The program that restores etcd's snapshots."""
        return self.etcd_bundle.path("etcdutl")


def home_of(name: str) -> Path:
    """The directory of a cluster of that name, there or not. Raises OrdealError for what can't be a name."""
    if not _NAME.fullmatch(name):
        raise OrdealError(f"{name!r} can't be a cluster's name: small letters, digits and hyphens, at most 62")
    return state_dir() / "simulated" / name


def workdir(directory: Path) -> Path:
    """What kwokctl keeps of the cluster."""
    return directory / "kwok" / "clusters" / directory.name


def _removing(directory: Path) -> Path:
    return directory.parent / f".removing-{directory.name}"


def is_there(directory: Path) -> bool:
    """True where anything is left of a cluster, also of an interrupted create or delete."""
    return directory.exists() or _removing(directory).exists()


def lock_of(directory: Path) -> Path:
    """Held while the cluster is made or deleted. One of a fixed number of files: names are many, and files stay."""
    return directory.parent / f".lock-{zlib.crc32(directory.name.encode()) % LOCKS}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The certificates that kwokctl makes of a cluster: its authority's, and one for all that asks and answers."""

    authority: Path
    certificate: Path
    key: Path


def keys_of(directory: Path) -> Keys:
    """Those of a cluster, there or not yet."""
    pki = workdir(directory) / "pki"
    return Keys(pki / "ca.crt", pki / "admin.crt", pki / "admin.key")


def process_record(directory: Path, name: str) -> Path:
    """Where a process of the cluster is written down."""
    return directory / "processes" / name


def read_record(directory: Path) -> ClusterRecord | None:
    """None where there is no such directory. Raises OrdealError where there is one that we did not make."""
    if not directory.exists():
        return None
    try:
        trusted.check(directory / "cluster.json", state_path())
        return msgspec.convert(json_file(directory / "cluster.json"), ClusterRecord)
    except (OSError, ValueError) as error:
        raise OrdealError(
            f"{directory} is there and is no simulated cluster of ours ({type(error).__name__}): move it away, "
            "or take another name"
        ) from error


def write_record(directory: Path, record: ClusterRecord) -> None:
    """Put the record into its directory."""
    place(directory / "cluster.json", json.dumps(asdict(record), indent=1))


def claim(directory: Path, shape: Shape, programs: Programs) -> ClusterRecord:
    """Make the directory, with the ports that are this cluster's from now on."""
    groups_of(shape)
    parent = directory.parent
    with locked(parent / ".ports.lock"):
        record = ClusterRecord(
            shape=shape,
            kubernetes=programs.kubernetes.version,
            etcd=programs.etcd_bundle.version,
            kwok=programs.kwok_bundle.version,
            ports=Ports(*_free_ports(len(dataclasses.fields(Ports)), _taken(parent))),
        )
        # Appears by one rename, with its record in it: there is never a directory that could be anybody's.
        making = parent / f".making-{directory.name}"
        shutil.rmtree(making, ignore_errors=True)
        private(making)  # kwokctl writes keys into it that only the folder keeps from other users
        (making / "processes").mkdir()
        write_record(making, record)
        making.rename(directory)
    return record


def free_port(directory: Path) -> int:
    """A port on loopback that no cluster beside this one has, for what is started beside it. Raises OrdealError."""
    with locked(directory.parent / ".ports.lock"):
        return _free_ports(1, _taken(directory.parent))[0]


def _taken(parent: Path) -> set[int]:
    taken: set[int] = set()
    for other in parent.glob("*/cluster.json"):
        with suppress(OrdealError):  # somebody else's directory: what listens there shows as not free
            found = read_record(other.parent)
            taken.update(asdict(found.ports).values() if found else ())
    return taken


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
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise OrdealError(f"no {count} ports are free on {LOOPBACK} below {first_outgoing}")


def bring_up(directory: Path, record: ClusterRecord, programs: Programs, report: Callable[[str], None]) -> None:
    """kwokctl makes the certificates and the kubeconfig, and starts the control plane."""
    report(f"starting a simulated control plane, Kubernetes {record.kubernetes}")
    config = directory / "kwokctl.yaml"
    config.write_text(yaml.safe_dump(_kwokctl_configuration(directory, record, programs)))
    command = [
        str(programs.kwok_bundle.path("kwokctl")), "create", "cluster", "--name", directory.name, "--runtime", "binary",
        "--config", str(config), "--kubeconfig", str(directory / "kubeconfig-by-kwokctl"),
        "--disable", "kwok-controller", "--timeout", f"{UP_WITHIN_S:g}s",
    ]  # fmt: skip
    try:
        run(
            command,
            timeout_s=UP_WITHIN_S + 30,
            # HOME: the machine's own kubectl, which kwokctl prefers, would leave a cache in the user's.
            env={"KWOK_WORKDIR": str(directory / "kwok"), "HOME": str(directory), MARK: str(directory)},
            umask=PRIVATE_UMASK,
        )
    except CommandError as error:
        _adopt(directory)
        raise OrdealError(f"the simulated control plane did not start: {error}{last_words(directory)}") from error
    for name in _adopt(directory):
        raise OrdealError(f"{name} ended as soon as it was started{last_words(directory)}")
    place(directory / "kubeconfig", (workdir(directory) / "kubeconfig.yaml").read_text())


def _adopt(directory: Path) -> list[str]:
    """Write down the processes that kwokctl started; returns the names of those that are gone already."""
    pids = {path.stem: int(path.read_text()) for path in workdir(directory).glob("pids/*.pid")}
    return [
        name
        for name, pid in sorted(pids.items())
        if not adopt(process_record(directory, name), pid, mark=str(directory))
    ]


# What a simulated control plane leaves out, to be up sooner; the results name it.
SHORTCUTS: Mapping[str, Mapping[str, str]] = {
    # A simulated cluster is not the place to test the disk.
    ETCD: {"unsafe-no-fsync": "true"},
    # It taints a node that is not Ready yet; taking the taint off again is half of the time a start takes.
    APISERVER: {"disable-admission-plugins": "TaintNodesByCondition"},
    # It annotates every node anew whenever their number passes a limit, for caches that no node here has.
    CONTROLLER_MANAGER: {"controllers": "*,-ttl-controller"},
}


# Those of the flags below that kwokctl writes itself: they are set anew. Given twice, --etcd-servers names two.
_KWOKCTLS = frozenset(
    {
        "listen-client-urls", "advertise-client-urls", "listen-peer-urls", "initial-advertise-peer-urls",
        "initial-cluster", "etcd-servers",
    }
)  # fmt: skip


def _etcd_flags(directory: Path, ports: Ports) -> dict[str, dict[str, str]]:
    """Of etcd and of the API server: who has no certificate of this cluster's gets nothing from etcd.

    What the API server says is what etcd holds, so who can write there writes verdicts. kwokctl's etcd takes anybody.
    """
    keys = keys_of(directory)
    authority, certificate, key = str(keys.authority), str(keys.certificate), str(keys.key)
    client, peer = f"https://{LOOPBACK}:{ports.etcd}", f"https://{LOOPBACK}:{ports.etcd_peer}"
    return {
        ETCD: {
            "listen-client-urls": client,
            "advertise-client-urls": client,
            # Its JSON gateway has a port of its own: beside it, watches starve once there is TLS (etcd-io/etcd#15402).
            "listen-client-http-urls": f"https://{LOOPBACK}:{ports.etcd_http}",
            "client-cert-auth": "true",
            "trusted-ca-file": authority,
            "cert-file": certificate,
            "key-file": key,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"{ETCD_MEMBER}={peer}",
            "peer-client-cert-auth": "true",
            "peer-trusted-ca-file": authority,
            "peer-cert-file": certificate,
            "peer-key-file": key,
        },
        APISERVER: {
            "etcd-servers": client,
            "etcd-cafile": authority,
            "etcd-certfile": certificate,
            "etcd-keyfile": key,
        },
    }


def _kwokctl_configuration(directory: Path, record: ClusterRecord, programs: Programs) -> dict[str, object]:
    shape, ports = record.shape, record.ports
    of_etcd = _etcd_flags(directory, ports)
    keys = keys_of(directory)
    # Who has a certificate of this cluster may look into them: kwokctl lets nobody see a profile.
    seen_by_us = {
        "client-ca-file": str(keys.authority),
        "tls-cert-file": str(keys.certificate),
        "tls-private-key-file": str(keys.key),
    }
    flags = {
        ETCD: {**SHORTCUTS[ETCD], **of_etcd[ETCD]},
        APISERVER: {
            # Loopback can't be published as the kubernetes Service's endpoint, and nobody in here asks for it.
            "endpoint-reconciler-type": "none",
            "advertise-address": LOOPBACK,
            **SHORTCUTS[APISERVER],
            **of_etcd[APISERVER],
            **shape.timers.apiserver_flags(),
            **dict(shape.apiserver),
        },
        CONTROLLER_MANAGER: {
            **seen_by_us,
            **SHORTCUTS[CONTROLLER_MANAGER],
            **shape.timers.controller_manager_flags(),
            **dict(shape.controller_manager),
        },
        SCHEDULER: {**seen_by_us, **shape.timers.leader_election_flags()},
    }
    return {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": {
            "bindAddress": LOOPBACK,
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
            # Ours can do what it asks a kubectl for; so a simulated cluster does not wait until that is built.
            "kubectlBinary": str(programs.kwok_bundle.path("kwokctl")),
            "kubeApiserverBinary": str(programs.kubernetes.path(APISERVER)),
            "kubeControllerManagerBinary": str(programs.kubernetes.path(CONTROLLER_MANAGER)),
            "kubeSchedulerBinary": str(programs.kubernetes.path(SCHEDULER)),
            "kwokControllerBinary": str(programs.kwok),
        },
        "componentsPatches": [
            # `override` changes a flag which is there, and leaves out one which is not. Of the others the last counts.
            {
                "name": name,
                "extraArgs": [
                    {"key": key, "value": value, "override": key in _KWOKCTLS} for key, value in of.items()
                ],
            }
            for name, of in flags.items()
        ],
    }  # fmt: skip


def remove(directory: Path) -> None:
    """End every process that carries the cluster's mark, then take its directory away. The caller holds the lock."""
    removing = _removing(directory)
    shutil.rmtree(removing, ignore_errors=True)
    if read_record(directory) is None:
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


def last_words(directory: Path) -> str:
    """The last lines of the logs of what has ended, for an error."""
    text = ""
    for record in sorted(directory.glob("processes/*")):
        process = read(record)
        if process is not None and process.state() != "gone":
            continue
        for log in (directory / "logs" / f"{record.name}.log", workdir(directory) / "logs" / f"{record.name}.log"):
            lines = log.read_text(errors="replace").strip().splitlines()[-LOG_LINES:] if log.exists() else []
            text += f"\n  {record.name} is gone; it said:\n" + "\n".join(f"    {line[:300]}" for line in lines)
    return text
