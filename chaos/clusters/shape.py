"""What a suite asks of a cluster: nodes, zones, timers, file systems of a node's own."""

from dataclasses import dataclass, field

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
