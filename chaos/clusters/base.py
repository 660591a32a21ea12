"""What a cluster is to a suite: a small protocol, its shape, and abilities that only some clusters have."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from chaos.clusters.identity import Identity
from chaos.hosts.command import Output

if TYPE_CHECKING:  # who only declares a replay needs no client
    from kubernetes.client import ApiClient

KIND, SIMULATED, EXISTING = "kind", "simulated", "existing"
VOLUME, SHARED = "/var/kube-ordeal/volume", "/var/kube-ordeal/shared"  # on a node: see Shape


@dataclass(frozen=True, slots=True)
class Timers:
    """The node life cycle's timers and rates, in seconds and nodes per second; the defaults are Kubernetes' own.

    Sources: kube-controller-manager flags `--node-monitor-grace-period` (50 s from 1.32, 40 s before),
    `--node-monitor-period`, `--node-eviction-rate`, `--secondary-node-eviction-rate`,
    `--large-cluster-size-threshold`, `--unhealthy-zone-threshold`, `--leader-elect-lease-duration` (the renew deadline
    and the retry period keep their shipped proportion to it: 10 s and 2 s of 15 s); kube-apiserver flags
    `--default-not-ready-toleration-seconds` and `--default-unreachable-toleration-seconds`.
    """

    monitor_grace_s: float = 50.0
    monitor_period_s: float = 5.0
    toleration_s: int = 300
    eviction_rate: float = 0.1
    secondary_eviction_rate: float = 0.01
    large_cluster_size: int = 50
    unhealthy_zone_threshold: float = 0.55
    leader_lease_s: float = 15.0

    @property
    def eviction_deadline_s(self) -> float:
        """After a node's last heartbeat, the time by which a pod with default tolerations is deleted (rates aside)."""
        return self.monitor_grace_s + self.monitor_period_s + self.toleration_s

    def eviction_deadline_of(self, nodes: int) -> float:
        """The same where so many nodes of a zone are away, whatever happened to the cluster before: infinite at rate 0.

        Nodes of a zone are tainted in turns, one each 1 / eviction_rate seconds, and a turn that an earlier outage has
        used is not back at once, so that the first of them may have to wait for one too. Source: RateLimitedTimedQueue
        in pkg/controller/nodelifecycle/scheduler/rate_limited_queue.go, and doNoExecuteTaintingPass in
        pkg/controller/nodelifecycle/node_lifecycle_controller.go.
        """
        if nodes and not self.eviction_rate:
            return float("inf")
        turns_s = nodes / self.eviction_rate if nodes else 0.0
        return self.eviction_deadline_s + turns_s

    def controller_manager_flags(self) -> dict[str, str]:
        """As kube-controller-manager flags, without the leading dashes."""
        return {
            "node-monitor-grace-period": f"{self.monitor_grace_s:g}s",
            "node-monitor-period": f"{self.monitor_period_s:g}s",
            "node-eviction-rate": f"{self.eviction_rate:g}",
            "secondary-node-eviction-rate": f"{self.secondary_eviction_rate:g}",
            "large-cluster-size-threshold": str(self.large_cluster_size),
            "unhealthy-zone-threshold": f"{self.unhealthy_zone_threshold:g}",
            **self.leader_election_flags(),
        }

    def leader_election_flags(self) -> dict[str, str]:
        """As flags of kube-controller-manager and kube-scheduler: who comes after a dead leader waits for its lease."""
        shipped, lease_ms = 15.0, 1000 * self.leader_lease_s
        return {
            "leader-elect-lease-duration": f"{lease_ms:.0f}ms",
            "leader-elect-renew-deadline": f"{lease_ms * 10 / shipped:.0f}ms",
            "leader-elect-retry-period": f"{lease_ms * 2 / shipped:.0f}ms",
        }

    def apiserver_flags(self) -> dict[str, str]:
        """As kube-apiserver flags, without the leading dashes."""
        return {
            "default-not-ready-toleration-seconds": str(self.toleration_s),
            "default-unreachable-toleration-seconds": str(self.toleration_s),
        }


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone of simulated nodes: its name (label topology.kubernetes.io/zone) and how many nodes it has.

    `parts` are the heartbeat groups inside it: a group's name, and how many of the zone's nodes are in it. One group
    may have nodes of several zones. Without parts the zone is one group of its own name.
    """

    name: str
    nodes: int
    parts: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """What a suite asks a cluster provider for. Two suites that agree on it can share a cluster.

    `zones` is for simulated clusters, `workers` for kind. `disruption_excluded`: control-plane nodes carry the label
    node.kubernetes.io/exclude-disruption. `controller_manager`/`apiserver` are further flags, without dashes.
    `imagefs_bytes`, `nodefs_bytes`: the first worker (by name) has a file system of its own of that size for its
    container images and writable layers (/var/lib/containerd), and for the kubelet's (/var/lib/kubelet); 0 is the
    machine's. `volume_bytes`: every worker has an empty file system of its own of that size at VOLUME, for volumes that
    can be full without anything else being full. `shared_folder`: every node has one and the same folder of the host at
    SHARED, as a storage that each of them reaches. `max_pods`: the kubelets' maxPods, 0 is the shipped 110.
    `node_cidr_bits`: the prefix length of each node's range of pod addresses (kube-controller-manager,
    --node-cidr-mask-size).
    """

    workers: int = 2
    zones: tuple[Zone, ...] = ()
    timers: Timers = field(default_factory=Timers)
    controller_manager: tuple[tuple[str, str], ...] = ()
    apiserver: tuple[tuple[str, str], ...] = ()
    imagefs_bytes: int = 0
    nodefs_bytes: int = 0
    volume_bytes: int = 0
    shared_folder: bool = False
    max_pods: int = 0
    node_cidr_bits: int = 24


def dense_shape(timers: Timers) -> Shape:
    """What the suites of node incidents agree on, so that one cluster serves them all.

    The first worker has file systems of its own, so that filling one of them is felt by no other node (a kind node
    sees the machine's disk otherwise). maxPods=600 with a /22 for each node is the post-mortem's setting.
    """
    gib = 1024**3
    return Shape(workers=2, timers=timers, imagefs_bytes=3 * gib, nodefs_bytes=2 * gib, max_pods=600, node_cidr_bits=22)


def stateful_shape(timers: Timers) -> Shape:
    """What the suites of databases, volumes and links agree on, so that one cluster serves them all.

    Three workers: a quorum has a majority without one of them, and of six pairs of nodes one can stand out.
    """
    gib = 1024**3
    return Shape(workers=3, timers=timers, nodefs_bytes=2 * gib, volume_bytes=gib, shared_folder=True)


@dataclass(frozen=True, slots=True)
class ClusterRef:
    """Enough to find a cluster again after a crash, and to know that it is the same; kept in the journal as JSON.

    `identity`: None for one that is being made, and in journals of older versions.
    """

    kind: str
    name: str
    kubeconfig: str
    context: str = ""
    identity: Identity | None = None

    def narrowed(self, nodes: Collection[str] = ()) -> "ClusterRef":
        """As the journal keeps it of something that is done to these nodes."""
        return self if self.identity is None else replace(self, identity=self.identity.narrowed(nodes))


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the API shows it now. `ready` is "True", "False" or "Unknown"."""

    name: str
    control_plane: bool
    ready: str
    address: str
    zone: str
    taints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Images:
    """Images that the cluster's nodes can run: a busybox (sh, httpd, wget, nc)."""

    busybox: str


class Cluster(Protocol):
    """A running cluster. Methods raise OrdealError where the cluster does not answer."""

    @property
    def ref(self) -> ClusterRef: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def kubernetes(self) -> str:
        """The API server's version, such as "1.34.4"."""
        ...

    @property
    def images(self) -> Images: ...
    def api(self) -> "ApiClient":
        """A client of its own for the caller, who closes it. It never waits for a dead API server for ever."""
        ...

    def nodes(self) -> tuple[Node, ...]: ...
    def identity(self) -> Identity:
        """What it is now, as far as its API server, its nodes and this machine tell; no error where one is away."""
        ...

    def identify(self) -> None:
        """From now on it is what it is now: `ref` has its identity."""
        ...

    def facts(self) -> Mapping[str, str]:
        """What a reader of the results wants to know: provider, versions, flags, images."""
        ...

    def delete(self) -> None:
        """Take the cluster away with all that was made for it. Safe to repeat. An existing cluster is left alone."""
        ...


# --- abilities: optional protocols. A suite names those it needs; where they lack it is skipped with the reason.


@runtime_checkable
class RunsContainers(Protocol):
    """Pods are real: containers run, serve and can be restarted."""

    def container_runtime(self, node: str) -> str: ...


@runtime_checkable
class NodeExec(Protocol):
    """A command on a node, from the host's side (works without the API server and without the network)."""

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output: ...


@runtime_checkable
class NodeProcesses(Protocol):
    """A process on a node whose input and output are ours for as long as it runs, from the host's side."""

    def on_node(self, node: str, argv: Sequence[str]) -> list[str]:
        """The argument list that runs `argv` on the node. When its input is closed, that of `argv` ends."""
        ...


@dataclass(frozen=True, slots=True)
class OwnFileSystem:
    """A file system that one node has for itself: where the node has it, and where the host has it mounted."""

    path: str
    host_path: str


@runtime_checkable
class OwnFileSystems(Protocol):
    """Nodes may have file systems of their own, which the host reaches whatever state the node's daemons are in."""

    def own_file_systems(self, node: str) -> tuple[OwnFileSystem, ...]:
        """Those that are neither the machine's root nor where the engine keeps its data; none for most nodes."""
        ...


@runtime_checkable
class SharesFolder(Protocol):
    """Every node has one and the same folder of the host: see Shape.shared_folder."""

    def shared_folder(self) -> str:
        """Where the host has it. Raises OrdealError where the cluster was made without one."""
        ...


@runtime_checkable
class NodeImages(Protocol):
    """The container images on a node, by name; those that the kubelet removed can be put back without a registry."""

    def image_names(self, node: str) -> tuple[str, ...]: ...
    def restore_images(self, node: str, names: Sequence[str]) -> None:
        """Put back those that the node lacks. Raises OrdealError where no node has one of them."""
        ...


@runtime_checkable
class LoadsImages(Protocol):
    """An image of this machine's engine can be put onto every node without a registry."""

    def load_image(self, image: str) -> str:
        """Put it onto the nodes that lack it; returns the name that pods give it there.

        Raises CommandError where the engine lacks it or a node is full.
        """
        ...

    def load_images_as(self, images: Mapping[str, str]) -> None:
        """The same for many, under other names, onto the nodes that take pods without a toleration.

        `images` maps the name on a node to the engine's name.
        """
        ...


@runtime_checkable
class BringsVersions(Protocol):
    """Another Kubernetes version's programs and images can be put onto every node without a registry."""

    def bring_version(self, version: str) -> str:
        """Put them there and return the folder that has kubeadm, kubelet and kubectl on each node; nothing of it runs.

        Raises OrdealError where no node image of that version was built, CommandError.
        """
        ...


@dataclass(frozen=True, slots=True)
class Power:
    """A node's power as the machine beneath it says: running, paused or off; since when; at which address."""

    state: str
    started_at: str
    address: str


@runtime_checkable
class NodePower(Protocol):
    """Power off (not shut down), on again (also with another address), pause and resume."""

    def power(self, node: str) -> Power: ...
    def power_off(self, node: str) -> None: ...
    def power_on(self, node: str, *, address: str | None = None) -> None:
        """Start the node. `address`: an IPv4 address of the node network; None keeps the node's own."""
        ...

    def free_address(self) -> str: ...
    def pause(self, node: str) -> None: ...
    def unpause(self, node: str) -> None: ...


@runtime_checkable
class NodeNetwork(Protocol):
    """A node's network namespace, entered from the host."""

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        """The argument list that runs `argv`, a program of the host, inside the node's network namespace."""
        ...

    def addresses(self, node: str) -> tuple[str, ...]:
        """The node's IPv4 and IPv6 addresses on the node network."""
        ...


@runtime_checkable
class Heartbeats(Protocol):
    """Kubelets whose heartbeats can be stopped and resumed, by group (a zone). Simulated nodes only."""

    def heartbeat_groups(self) -> tuple[str, ...]: ...
    def nodes_of(self, group: str) -> tuple[str, ...]: ...
    def stop_heartbeats(self, group: str) -> None: ...
    def resume_heartbeats(self, group: str) -> None: ...
    def heartbeats_stopped(self, group: str) -> bool:
        """What the kernel says of the process that sends them."""
        ...


@dataclass(frozen=True, slots=True)
class SecondControlPlane:
    """A control plane beside the first on the same etcd: how to talk to it."""

    kubeconfig: str
    controllers: str  # the value of --controllers


@runtime_checkable
class ControlPlaneSwap(Protocol):
    """The first control plane's components can be stopped (etcd stays) and a second one started on the same etcd.

    The second listens where the kubelets do not look: they know only the first one's address.
    """

    def stop_first_control_plane(self) -> None: ...
    def first_control_plane_running(self) -> bool: ...
    def start_first_control_plane(self) -> None: ...
    def start_second_control_plane(self, timers: Timers, controllers: str) -> SecondControlPlane:
        """Start apiserver, controller manager, scheduler; `controllers` as in --controllers (such as "*,-taint...")."""
        ...

    def stop_second_control_plane(self) -> None: ...
    def second_control_plane_running(self) -> bool: ...
    def second_api(self) -> "ApiClient":
        """A client of the second control plane, as `Cluster.api` is one of the first."""
        ...


@runtime_checkable
class ComponentSwap(Protocol):
    """A component of the control plane can be run from another program file of this machine, with the same flags."""

    def components(self) -> tuple[str, ...]: ...
    def use_program(self, component: str, path: str | None) -> None:
        """End the component and start it from that file; None: from the one that it was made with.

        One that runs from it already is left alone.
        """
        ...

    def running_program(self, component: str) -> str:
        """The file that the component's process was started from, as the kernel says; empty where it does not run."""
        ...


@runtime_checkable
class ControllerManagerSwitch(Protocol):
    """The controller manager can be kept away while the API server goes on."""

    def stop_controller_manager(self) -> None: ...
    def start_controller_manager(self) -> None: ...
    def controller_manager_running(self) -> bool:
        """What the machine beneath it says."""
        ...


@runtime_checkable
class EtcdBehind(Protocol):
    """etcd can be read, written, saved and restored behind the API server's back. Restores keep the API server up."""

    def etcd_get(self, key: str) -> bytes: ...
    def etcd_put(self, key: str, value: bytes) -> int:
        """Returns the new revision."""
        ...

    def etcd_revision(self) -> int: ...
    def etcd_snapshot(self, name: str) -> str:
        """Save a snapshot; returns its path."""
        ...

    def etcd_snapshot_of(self, name: str) -> str | None:
        """The path of a snapshot of that name; None where none was saved."""
        ...

    def start_etcd(self) -> None:
        """Start etcd where it does not run, as after a restore that was cut short."""
        ...

    def controllers_running(self) -> tuple[str, ...]:
        """Which of kube-controller-manager and kube-scheduler run."""
        ...

    def start_controllers(self, names: Sequence[str]) -> None:
        """Start those of them that do not run, and wait until each renews its lease: without etcd they could not, and
        one that could not for too long ends itself (flag --leader-elect-renew-deadline).
        """
        ...

    def etcd_restore(self, snapshot: str, *, bump_revision: int = 0) -> None:
        """Stop etcd, `etcdutl snapshot restore` (with --bump-revision N --mark-compacted where N > 0), start etcd.

        The API server keeps running throughout. The data directory that was there is kept aside.
        """
        ...


ABILITIES: tuple[type, ...] = (
    RunsContainers,
    NodeExec,
    NodeProcesses,
    OwnFileSystems,
    SharesFolder,
    NodeImages,
    LoadsImages,
    BringsVersions,
    NodePower,
    NodeNetwork,
    Heartbeats,
    ControlPlaneSwap,
    ComponentSwap,
    ControllerManagerSwitch,
    EtcdBehind,
)


def missing(cluster: Cluster, needs: Sequence[type]) -> tuple[str, ...]:
    """The names of the abilities in `needs` that this cluster lacks."""
    return tuple(need.__name__ for need in needs if not isinstance(cluster, need))
