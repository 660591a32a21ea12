"""Abilities: optional protocols, each of something that only some clusters can do.

A suite names those that it needs; where a cluster lacks one, it is skipped with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from chaos.clusters.base import Cluster
from chaos.clusters.beside import ServesBeside
from chaos.clusters.control_processes import ComponentPages, ControlProcesses, EtcdWrites
from chaos.clusters.shape import Timers
from chaos.hosts.command import Output

if TYPE_CHECKING:  # who only declares a replay needs no client
    from kubernetes.client import ApiClient

RUNNING, PAUSED, OFF = "running", "paused", "off"  # of a node's power


@runtime_checkable
class RunsContainers(Protocol):
    """Pods are real: containers run, serve and can be restarted."""

    def container_runtime(self, node: str) -> str:
        """Its name and version, such as "containerd://2.1.4", as the Node says. Raises ApiException, HTTPError."""
        ...


@runtime_checkable
class NodeExec(Protocol):
    """A command on a node, from the host's side (works without the API server and without the network)."""

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        """Run a command to its end. Raises CommandError where it takes longer than `timeout_s` or, with `check`, exits
        with another code than 0. `stdin`: text for its input.
        """
        ...


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

    def image_names(self, node: str) -> tuple[str, ...]:
        """Names and digests of all images that the node's runtime has. Raises CommandError."""
        ...

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


@runtime_checkable
class NodePower(Protocol):
    """Power off (not shut down), and on again, from outside of the node."""

    def power_state(self, node: str) -> str:
        """RUNNING or OFF, and PAUSED where nodes can be: as what is beneath the node says, whatever state that is in.

        Raises OrdealError, CommandError.
        """
        ...

    def power_off(self, node: str) -> None:
        """As a cut of the power: nothing is shut down. Returns when it is off. Raises OrdealError, CommandError."""
        ...

    def power_on(self, node: str) -> None:
        """Start the node; harmless where it runs. Returns when it runs. Raises OrdealError, CommandError."""
        ...


@runtime_checkable
class NodeAddresses(Protocol):
    """A node that has no power can be given another address, and its own one for sure."""

    def address(self, node: str) -> str:
        """Its IPv4 address of the node network; "" where it is off. Raises OrdealError, CommandError."""
        ...

    def free_address(self) -> str:
        """An IPv4 address of the node network that nobody has. Raises OrdealError where all are taken."""
        ...

    def power_on_at(self, node: str, address: str) -> None:
        """As NodePower.power_on, at this IPv4 address of the node network. Raises OrdealError where it is taken."""
        ...


@runtime_checkable
class NodePause(Protocol):
    """All of a node can be let stand still."""

    def pause(self, node: str) -> None:
        """Let every process of the node stand still. Raises CommandError."""
        ...

    def unpause(self, node: str) -> None:
        """Let them go on; harmless where they do. Raises CommandError."""
        ...


@runtime_checkable
class NodeNetwork(Protocol):
    """A node's network namespace, entered from the host."""

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        """The argument list that runs `argv`, a program of the host, inside the node's network namespace."""
        ...

    def addresses(self, node: str) -> tuple[str, ...]:
        """The node's IPv4 and IPv6 addresses on the node network."""
        ...


@dataclass(frozen=True, slots=True)
class Clock:
    """A node's CLOCK_MONOTONIC is so far ahead of this machine's, give or take the error, in seconds."""

    ahead_s: float
    error_s: float


@runtime_checkable
class KeepsOutput(Protocol):
    """The way to a node may be cut, and what a program there says meanwhile is read when it is there again."""

    def kept_s(self) -> float:
        """For how many seconds the node keeps it."""
        ...


@runtime_checkable
class NodeClocks(Protocol):
    """Nodes have monotonic clocks of their own; elsewhere they share this machine's kernel, and its clock."""

    def clock(self, node: str) -> Clock:
        """Asked now: a node that was restarted has begun anew. Raises OrdealError."""
        ...


class Arming(Protocol):
    """What nodes will take back by themselves when the run is silent. It is renewed until one of these is called."""

    def disarm(self) -> None:
        """It is undone. Raises OrdealError where a node can't be told."""
        ...

    def require(self) -> None:
        """Raise OrdealError where a node has taken it back already."""
        ...

    def leave(self) -> None:
        """It is not undone from here: from now on nobody renews it."""
        ...


@runtime_checkable
class ArmsNodes(Protocol):
    """Nodes take back by themselves what was done to them, once the run that did it is silent for too long."""

    def arm(self, fault: str, saved: Mapping[str, object]) -> Arming:
        """Before harm is done: each node that the plan names has it on its disk when this returns. `saved`: the plan as
        the journal keeps it. Raises OrdealError where a node can't be told, or could not undo it.
        """
        ...

    def disarm_all(self, fault: str) -> None:
        """What a run that is over has armed of that fault is undone from here. A node that is not reached takes it back
        once more, which does no harm.
        """
        ...


@runtime_checkable
class ReachesNodes(Protocol):
    """Of its nodes only some can be harmed, or looked at from inside."""

    def reached(self) -> frozenset[str]:
        """Their names."""
        ...


@runtime_checkable
class Heartbeats(Protocol):
    """Kubelets whose heartbeats can be stopped and resumed, by group (a zone). Simulated nodes only."""

    def heartbeat_groups(self) -> tuple[str, ...]:
        """The names of all groups."""
        ...

    def nodes_of(self, group: str) -> tuple[str, ...]:
        """The names of the group's nodes. Raises OrdealError where there is no such group."""
        ...

    def stop_heartbeats(self, group: str) -> None:
        """Let the group's kubelets fall silent; harmless where they are. Raises OrdealError."""
        ...

    def resume_heartbeats(self, group: str) -> None:
        """Let them speak again; harmless where they do. Raises OrdealError."""
        ...

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

    def stop_first_control_plane(self) -> None:
        """Stop the one that the cluster was made with; etcd goes on. Raises OrdealError."""
        ...

    def first_control_plane_running(self) -> bool:
        """Whether all of it runs, as the processes tell."""
        ...

    def start_first_control_plane(self) -> None:
        """Start it again; harmless where it runs. Raises OrdealError where it does not come up."""
        ...

    def start_second_control_plane(self, timers: Timers, controllers: str) -> SecondControlPlane:
        """Start apiserver, controller manager, scheduler; `controllers` as in --controllers (such as "*,-taint...")."""
        ...

    def stop_second_control_plane(self) -> None:
        """Stop the one that took its place; harmless where there is none. Raises OrdealError."""
        ...

    def second_control_plane_running(self) -> bool:
        """Whether any of it runs, as the processes tell."""
        ...

    def second_api(self) -> "ApiClient":
        """A client of the second control plane, as `Cluster.api` is one of the first."""
        ...


@runtime_checkable
class ComponentSwap(Protocol):
    """A component of the control plane can be run from another program file of this machine, with the same flags."""

    def components(self) -> tuple[str, ...]:
        """The names of those that can be another program."""
        ...

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

    def stop_controller_manager(self) -> None:
        """Stop it; harmless where it is stopped. Raises OrdealError."""
        ...

    def start_controller_manager(self) -> None:
        """Start it; harmless where it runs. Raises OrdealError."""
        ...

    def controller_manager_running(self) -> bool:
        """What the machine beneath it says."""
        ...


@runtime_checkable
class EtcdBehind(Protocol):
    """etcd can be read, written, saved and restored behind the API server's back. Restores keep the API server up."""

    def etcd_get(self, key: str) -> bytes:
        """The stored bytes of a key; empty where there is none. Raises OrdealError, CommandError."""
        ...

    def etcd_put(self, key: str, value: bytes) -> int:
        """Returns the new revision."""
        ...

    def etcd_revision(self) -> int:
        """The store's revision now. Raises OrdealError, CommandError."""
        ...

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
    NodeAddresses,
    NodePause,
    NodeNetwork,
    KeepsOutput,
    NodeClocks,
    ArmsNodes,
    ReachesNodes,
    Heartbeats,
    ControlPlaneSwap,
    ComponentSwap,
    ControllerManagerSwitch,
    EtcdBehind,
    EtcdWrites,
    ControlProcesses,
    ComponentPages,
    ServesBeside,
)


def missing(cluster: Cluster, needs: Sequence[type]) -> tuple[str, ...]:
    """The names of the abilities in `needs` that this cluster lacks."""
    return tuple(need.__name__ for need in needs if not isinstance(cluster, need))


def is_reached(cluster: Cluster, node: str) -> bool:
    """Whether it can be harmed, or looked at from inside: each can be, unless the cluster says which are."""
    return not isinstance(cluster, ReachesNodes) or node in cluster.reached()
