"""The faults as Chaos Toolkit actions, each with the one that takes it back, and what else an incident's story needs.

Arguments are plain JSON. Nodes are named in one string: names with commas between them, among them the words `workers`,
`first-worker`, `last-worker` and `other-workers` (all but the first, by name), `dns-node` (where CoreDNS runs),
`mysql-node` (where deploy_mysql's member 0 runs), `control-plane`. A mapping with the key `hardened` is a choice by
variant: `{hardened: true, CONTROL: false}` is false while the configuration's `control` is CONTROL.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import fields, replace

from chaos.clusters.abilities import ControlPlaneSwap, EtcdBehind, Heartbeats, NodeExec, NodeNetwork, SharesFolder
from chaos.clusters.shape import Shape, Timers, Zone
from chaos.conformance.program import plain
from chaos.errors import OrdealError
from chaos.harm.ballast import FillFileSystem
from chaos.harm.control_plane import ReplaceControlPlane, StopControllerManager
from chaos.harm.heartbeats import StopHeartbeats
from chaos.harm.kubelet import SetKubeletConfig
from chaos.harm.link import BadLink
from chaos.harm.network import CutOff
from chaos.harm.node import Pause, PowerOff
from chaos.harm.program import SwapProgram
from chaos.hosts import mutants
from chaos.judge.base import Recipe, Verdict, made_again
from chaos.judge.conformance import AFTER, BEFORE
from chaos.judge.data import OVER_LIMIT, disk_use_bounded, time_of_writes
from chaos.record import nodefacts
from chaos.record.history import Observation, PodChange
from chaos.record.informer import ConfigMapInformer
from chaos.record.probing import ServiceProbes
from chaos.run.chance import hold_for_eviction, hold_limit_s
from chaos.subjects.conforms.faults import CutPodRoutes, ScaleToZero
from chaos.subjects.control_plane.faults import PinKubelets
from chaos.subjects.eviction.faults import DropPriority, PlaceStaticPod
from chaos.subjects.eviction.sampler import NONE_LEFT, EvictionLog, under_pressure
from chaos.subjects.eviction.workload import Eater
from chaos.subjects.handles.dns import dns_node, dns_ready, dns_url
from chaos.subjects.handles.faults import PORTS, EatHandles, LowerHandleLimit, SocketStorm
from chaos.subjects.handles.promises import DNS, ECHO
from chaos.subjects.handles.sampler import HandleSamples, what_the_logs_say
from chaos.subjects.identity.faults import RenameNode, SetKubeletIdentity
from chaos.subjects.identity.sampler import NodeIdentities
from chaos.subjects.links.iperf import Iperf
from chaos.subjects.links.redis import Redis, all_masters_beside, start_load
from chaos.subjects.links.sampler import measure_links as measure
from chaos.subjects.links.shards import CheckedShards, is_whole
from chaos.subjects.mysql.faults import ProvideVolumes, TurnClock
from chaos.subjects.mysql.named import Named
from chaos.subjects.mysql.sampler import DiskSamples, MemberWatch, observe_logs, read_back, write_settings
from chaos.subjects.mysql.versions import read_image, read_running
from chaos.subjects.mysql.workload import (
    MySQL,
    ask_member,
    caught_up,
    kind_of_replication,
    logs,
    members,
    node_to_ask_from,
)
from chaos.subjects.pleg.faults import DeletePods, StallRuntime
from chaos.subjects.pleg.promises import WAVE, WAVE_OVER, deadlock_seen
from chaos.subjects.pleg.sampler import PlegSamples
from chaos.subjects.pleg.workload import Churn, check_room, pods_left, ready_within_s, scale
from chaos.subjects.preflight.faults import LeakKernelMemory, LeaveFiles
from chaos.subjects.preflight.workload import start_and_remove
from chaos.subjects.volumes.driver import InstallRbdLock, folder_of
from chaos.subjects.volumes.handover import DrainNode, MarkOutOfService, UpdateElsewhere
from chaos.subjects.volumes.sampler import PodLogs, SharedLogs, VolumeSamples
from chaos.subjects.volumes.workload import VolumeWriter, check_class, watched, writing_on
from chaos.subjects.watch_cache import workload as config_maps
from chaos.subjects.watch_cache.faults import EditEtcdBehind, RestoreSnapshot
from chaos.subjects.zones.faults import SwapComponent
from chaos.toolkit.session import HARDENED, SESSION, Configuration, activity, always, by_variant
from chaos.workloads.pinned import Echo, Spare, ready_replicas, start_spare, stop_spare
from chaos.workloads.web import Web
from chaos.writers.client import Writing

__all__ = [
    "ask_dns",
    "ask_etcd_for_config_maps",
    "await_replacements",
    "bad_link",
    "bring_back_control_plane",
    "clean_up",
    "cut_off",
    "cut_pod_routes",
    "delete_config_maps",
    "delete_pods",
    "deploy_churn",
    "deploy_eater",
    "deploy_echo",
    "deploy_iperf",
    "deploy_mysql",
    "deploy_redis",
    "deploy_spare",
    "deploy_volume_writers",
    "deploy_web",
    "drain_node",
    "drop_priority",
    "eat_handles",
    "edit_etcd_behind",
    "empty_file_system",
    "end_churn",
    "end_socket_storm",
    "end_update",
    "fill_file_system",
    "follow_eviction_log",
    "hold",
    "hold_past_eviction_deadline",
    "hold_past_grace_period",
    "hold_until_disks_settle",
    "hold_until_evicted",
    "hold_until_masters_beside",
    "hold_until_shown",
    "install_rbd_lock",
    "keep_connection",
    "leak_kernel_memory",
    "leave_files",
    "lower_handle_limit",
    "mark_out_of_service",
    "measure_links",
    "measure_node",
    "mend_link",
    "pause",
    "pin_kubelets",
    "place_static_pod",
    "power_off",
    "power_on",
    "provide_volumes",
    "put_name_back",
    "raise_handle_limit",
    "read_daemon_logs",
    "read_members",
    "read_mysql_versions",
    "read_node_facts",
    "reconnect",
    "release_handles",
    "remove_files",
    "remove_rbd_lock",
    "remove_static_pod",
    "remove_volumes",
    "remove_workloads",
    "rename_node",
    "replace_control_plane",
    "restore_component",
    "restore_kubelet_config",
    "restore_kubelet_identity",
    "restore_pod_routes",
    "restore_priority",
    "restore_program",
    "restore_snapshot",
    "resume_heartbeats",
    "resume_runtime",
    "return_from_snapshot",
    "return_kernel_memory",
    "return_to_service",
    "revert_etcd_edit",
    "roll_out",
    "run_specs",
    "save_snapshot",
    "scale_back",
    "scale_to_zero",
    "set_kubelet_config",
    "set_kubelet_identity",
    "socket_storm",
    "stall_runtime",
    "start_churn",
    "start_containers",
    "start_controller_manager",
    "start_new_pods",
    "start_recording",
    "start_spare_pods",
    "start_writing",
    "stop_controller_manager",
    "stop_heartbeats",
    "stop_recording",
    "stop_spare_pods",
    "stop_watching_volumes",
    "stop_writing",
    "swap_component",
    "swap_program",
    "take_back_everything",
    "turn_clock",
    "turn_clock_back",
    "uncordon_node",
    "unpause",
    "unpin_kubelets",
    "update_elsewhere",
    "use_cluster",
    "wait_for_spare_pods",
    "wait_until_evicted",
    "wait_until_members_fail",
    "wait_until_pressure_is_over",
    "wait_until_recovered",
    "wait_until_redis_is_whole",
    "wait_until_writers_moved",
    "watch_config_maps",
    "watch_handles",
    "watch_members",
    "watch_node_identities",
    "watch_pleg",
    "watch_volumes",
    "write_config_map",
    "write_to_redis",
]

# The action that takes a fault back, by the fault's kind; the action that does it is called as the kind is.
COUNTERPARTS = {
    BadLink.kind: "mend_link",
    CutOff.kind: "reconnect",
    CutPodRoutes.kind: "restore_pod_routes",
    DeletePods.kind: "await_replacements",
    DrainNode.kind: "uncordon_node",
    DropPriority.kind: "restore_priority",
    EatHandles.kind: "release_handles",
    EditEtcdBehind.kind: "revert_etcd_edit",
    FillFileSystem.kind: "empty_file_system",
    InstallRbdLock.kind: "remove_rbd_lock",
    LeakKernelMemory.kind: "return_kernel_memory",
    LeaveFiles.kind: "remove_files",
    LowerHandleLimit.kind: "raise_handle_limit",
    MarkOutOfService.kind: "return_to_service",
    Pause.kind: "unpause",
    PinKubelets.kind: "unpin_kubelets",
    PlaceStaticPod.kind: "remove_static_pod",
    PowerOff.kind: "power_on",
    ProvideVolumes.kind: "remove_volumes",
    RenameNode.kind: "put_name_back",
    ReplaceControlPlane.kind: "bring_back_control_plane",
    RestoreSnapshot.kind: "return_from_snapshot",
    ScaleToZero.kind: "scale_back",
    SetKubeletConfig.kind: "restore_kubelet_config",
    SetKubeletIdentity.kind: "restore_kubelet_identity",
    SocketStorm.kind: "end_socket_storm",
    StallRuntime.kind: "resume_runtime",
    StopControllerManager.kind: "start_controller_manager",
    StopHeartbeats.kind: "resume_heartbeats",
    SwapComponent.kind: "restore_component",
    SwapProgram.kind: "restore_program",
    TurnClock.kind: "turn_clock_back",
    UpdateElsewhere.kind: "end_update",
}

ASK_EVERY_S = 0.2

Setting = str | int | float | bool


# --- the cluster and what runs on it


@activity
def use_cluster(
    workers: int | Mapping[str, int] = 2,
    zones: list[dict[str, object]] | Mapping[str, list[dict[str, object]]] | None = None,
    timers: Mapping[str, float] | Mapping[str, Mapping[str, float]] | None = None,
    controller_manager: Mapping[str, str] | Mapping[str, Mapping[str, str]] | None = None,
    apiserver: Mapping[str, str] | Mapping[str, Mapping[str, str]] | None = None,
    imagefs_bytes: int = 0,
    nodefs_bytes: int = 0,
    volume_bytes: int = 0,
    shared_folder: bool = False,
    max_pods: int = 0,
    node_cidr_bits: int = 24,
    configuration: Configuration | None = None,
) -> dict[str, Setting]:
    """Use the cluster that the configuration names. `cluster: existing` (the default) is the kubeconfig's; `kind` and
    `simulated` are made here in the shape that the arguments say, and deleted by clean_up.

    zones: simulated nodes, [{"name": "a", "nodes": 100, "parts": {"first": 50, "then": 50}}, ...]. timers: what differs
    from the profile's, by the names of the fields of Timers, in seconds and nodes per second. controller_manager,
    apiserver: further flags without dashes. Each argument so far may be a choice by variant. imagefs_bytes,
    nodefs_bytes: the first worker has file systems of its own of that size for images and for the kubelet.
    volume_bytes: every worker has one for volumes. shared_folder: every node has one and the same folder of the host.
    max_pods: of every kubelet. node_cidr_bits: the prefix length of each node's range of pod addresses.
    Returns what the cluster says of itself.
    """
    SESSION.open(configuration)
    lab = SESSION.lab
    control = lab.control
    shape = Shape(
        workers=by_variant(workers, control),
        zones=tuple(_zone(z) for z in by_variant(zones or [], control)),
        timers=_timers(lab.timers, by_variant(timers or {}, control)),
        controller_manager=_flags(by_variant(controller_manager or {}, control)),
        apiserver=_flags(by_variant(apiserver or {}, control)),
        imagefs_bytes=int(imagefs_bytes),
        nodefs_bytes=int(nodefs_bytes),
        volume_bytes=int(volume_bytes),
        shared_folder=bool(shared_folder),
        max_pods=int(max_pods),
        node_cidr_bits=int(node_cidr_bits),
    )
    cluster = lab.cluster(shape)
    SESSION.nodes()
    return {"name": cluster.ref.name, **cluster.facts()}


@always
def clean_up() -> str:
    """Remove the workloads, and delete the cluster if use_cluster made it; safe to repeat."""
    with ExitStack() as each_is_tried:
        each_is_tried.callback(SESSION.clean_up)
        each_is_tried.callback(SESSION.stop_recording)
        each_is_tried.callback(SESSION.take_back_all)
    return "clean"


@activity
def deploy_web(
    name: str = "web",
    replicas: int | Mapping[str, int] = 6,
    tolerate_for_ever: bool | Mapping[str, bool] = False,
    publish_not_ready: bool | Mapping[str, bool] = False,
    configuration: Configuration | None = None,
) -> dict[str, Setting]:
    """Put a web server with a Service on the cluster and wait until every replica is Ready.

    tolerate_for_ever: its pods tolerate not-ready and unreachable nodes without seconds. publish_not_ready: its Service
    names pods that are not Ready too. replicas and both of these may be choices by variant.
    """
    SESSION.open(configuration).cluster()
    control = SESSION.lab.control
    web = SESSION.deploy(
        Web(
            name=name,
            replicas=int(by_variant(replicas, control)),
            tolerate_for_ever=bool(by_variant(tolerate_for_ever, control)),
            publish_not_ready=bool(by_variant(publish_not_ready, control)),
        )
    )
    return {"name": web.name, "namespace": web.namespace, "url": web.url, "replicas": web.replicas}


@activity
def deploy_eater(
    node: str,
    mib: int = 64,
    replicas: int = 2,
    into_volume: bool = False,
    name: str = "eater",
    configuration: Configuration | None = None,
) -> dict[str, Setting]:
    """Put pods on one node that each write so many MiB: what its kubelet is to evict first under disk pressure.

    into_volume: into a volume, on the kubelet's file system; else into their writable layers, on the image file system.
    """
    SESSION.open(configuration).cluster()
    eater = SESSION.deploy(
        Eater(_one(node), into_volume=bool(into_volume), mib=int(mib), replicas=int(replicas), name=name)
    )
    return {"name": eater.name, "namespace": eater.namespace, "replicas": eater.replicas}


@activity
def roll_out(name: str = "web", within_s: float = 60.0) -> None:
    """Replace every pod of a workload, as `kubectl rollout restart` does, and wait until all new ones are Ready."""
    SESSION.workload(name).roll_out(within_s=float(within_s))


@always
def remove_workloads() -> int:
    """Remove what deploy_web made; safe to repeat. Returns how many workloads there were."""
    return SESSION.remove_workloads()


# --- the story


@activity
def start_recording(probe_workload: bool = True, configuration: Configuration | None = None) -> str:
    """Record nodes, pods and events from here on, and the workload's Service ten times a second from every worker."""
    SESSION.open(configuration).cluster()
    SESSION.start_recording(SESSION.workload() if probe_workload else None)
    return str(SESSION.history.path)


@always
def stop_recording() -> bool:
    """End the recording once all that had happened is seen; safe to repeat. The invariants judge what it saw."""
    return SESSION.stop_recording()


@activity
def hold(for_s: float | Mapping[str, float | None], because: str = "as the experiment says") -> None:
    """Let the fault last for so many seconds, which may be a choice by variant; null leaves the step out."""
    chosen = by_variant(for_s, SESSION.lab.control)
    if chosen is not None:
        SESSION.lab.hold(float(chosen), because)


@activity
def hold_until_shown(
    promise: str, arguments: Mapping[str, object] | None = None, within_s: float | Mapping[str, float | None] = 240.0
) -> bool:
    """Let a control's fault last until a promise is seen to be broken, such as dns_answers, as a probe is called. False
    where it was not within so many seconds.

    arguments: those of the promise; `node` and `nodes` as everywhere here. within_s may be a choice by variant; null
    leaves the step out, and returns false.
    """
    limit_s = by_variant(within_s, SESSION.lab.control)
    if limit_s is None:
        return False
    given = dict(arguments or {})
    if isinstance(given.get("nodes"), str):
        given["nodes"] = list(nodes_named(str(given["nodes"])))
    if isinstance(given.get("node"), str):
        given["node"] = _one(str(given["node"]))
    return SESSION.lab.hold_until_shown(made_again(Recipe(promise, given)), within_s=float(limit_s))


@activity
def hold_until_evicted(workload: str = "web", nodes: str = "workers") -> bool:
    """Let a fault that keeps nodes away last until what this can lead to was seen: hardened that each of them was
    tainted for longer than pods tolerate by default, in a control that a pod of the workload is terminated.

    It lasts no longer than the node life cycle can take, by the cluster's timers; for an existing cluster with other
    ones than the shipped ones say the configuration's `eviction_deadline_s`. False where it was not seen.
    """
    named, told_s = nodes_named(nodes), _told_deadline_s()
    timers = SESSION.cluster().shape.timers
    within_s = None if told_s is None else told_s + hold_limit_s(timers, len(named)) - timers.eviction_deadline_s
    return hold_for_eviction(SESSION.lab, SESSION.history, workload, named, within_s=within_s)


@activity
def hold_until_disks_settle(limit_bytes: int, within_s: float | Mapping[str, float | None] = 90.0) -> bool:
    """Let the writing to deploy_mysql last until no member's data grows any more, as disk_use_bounded judges it. Needs
    watch_members. within_s may be a choice by variant; null leaves the step out. False where it was not seen.
    """
    limit_s = by_variant(within_s, SESSION.lab.control)
    if limit_s is None:
        return False
    deployed, history = SESSION.workload("mysql"), SESSION.history
    names = [f"{deployed.name}-{n}" for n in range(deployed.replicas)]

    def settled() -> bool:
        written = replace(time_of_writes(history, deployed.name), end=history.now())
        found = SESSION.lab.finding_now(disk_use_bounded(names, limit_bytes=int(limit_bytes), window=written))
        return found.verdict is Verdict.HELD or found.reason == OVER_LIMIT

    return SESSION.lab.hold_until(settled, within_s=float(limit_s), because="no member's use of its disk grows")


@activity
def hold_until_masters_beside(node: str = "first-worker", within_s: float = 120.0) -> bool:
    """Let a cut last until all masters of deploy_redis are on other nodes than this one. False where they are not."""
    redis, cut = SESSION.workload("redis"), _one(node)
    return SESSION.lab.hold_until(
        lambda: all_masters_beside(redis, cut),
        within_s=float(within_s),
        because=f"all masters are on other nodes than {cut}",
    )


@activity
def hold_past_grace_period(
    plus_periods: int = 2, plus_s: float | Mapping[str, float | None] = 0.0, because: str = "past the grace period"
) -> float:
    """Let the fault last for the node monitor's grace period, so many of its periods, and so many seconds more.

    plus_s may be a choice by variant; null leaves the step out. Returns the seconds.
    """
    chosen = by_variant(plus_s, SESSION.lab.control)
    if chosen is None:
        return 0.0
    timers = SESSION.cluster().shape.timers
    for_s = timers.monitor_grace_s + int(plus_periods) * timers.monitor_period_s + float(chosen)
    SESSION.lab.hold(for_s, because)
    return for_s


@activity
def hold_past_eviction_deadline(plus_s: float | Mapping[str, float | None] = 5.0, from_now: bool = False) -> float:
    """Let the fault last past grace period and toleration, and `plus_s` seconds more, counted from when it was applied.

    from_now: counted from now. For an existing cluster with other timers than the shipped ones, say the configuration's
    `eviction_deadline_s`. plus_s may be a choice by variant; null leaves the step out. Returns the deadline in seconds.
    """
    chosen = by_variant(plus_s, SESSION.lab.control)
    if chosen is None:
        return 0.0
    because, told_s = "past grace period and toleration", _told_deadline_s()
    deadline_s = SESSION.cluster().shape.timers.eviction_deadline_s if told_s is None else told_s
    if from_now or not SESSION.is_recording:
        SESSION.lab.hold(deadline_s + float(chosen), because)
    else:
        SESSION.lab.hold_past(deadline_s, because, margin_s=float(chosen))
    return deadline_s


@activity
def wait_until_recovered(within_s: float = 90.0, workload: bool = True, kubelets: bool = False) -> bool:
    """Wait until every node is Ready, and every replica of the workload. False where not: the invariants judge it.

    workload: false leaves the replicas out. kubelets: also until every kubelet has renewed its lease since the last
    fault was undone (needs start_recording with probe_workload).
    """

    def recovered() -> bool:
        lab, replicas_count = SESSION.lab, workload and SESSION.has_workload
        if not lab.nodes_ready() or (kubelets and not lab.kubelets_report()):
            return False
        return not replicas_count or SESSION.workload().ready()

    return SESSION.lab.recover(recovered, within_s=float(within_s), what="every node and replica Ready")


@activity
def start_new_pods(within_s: float = 60.0) -> None:
    """Try to start a pod on every worker; the probe new_pods_start judges how it went."""
    SESSION.lab.start_new_pods(within_s=float(within_s))


@activity
def write_config_map(name: str, value: str, configuration: Configuration | None = None) -> str:
    """Write a value into a ConfigMap, made where there is none. Returns the key under which etcd has it."""
    config_maps.say(SESSION.open(configuration).cluster(), name, value)
    return config_maps.etcd_key(name)


@activity
def delete_config_maps(names: str, configuration: Configuration | None = None) -> None:
    """Delete ConfigMaps: names with commas between them."""
    config_maps.forget(SESSION.open(configuration).cluster(), _names(names))


@activity
def watch_config_maps() -> None:
    """Follow the ConfigMaps with an informer, as controllers do, until stop_recording; what it believes is recorded."""
    cluster = SESSION.cluster()
    SESSION.while_recording(ConfigMapInformer(SESSION.history, cluster.api, config_maps.NAMESPACE, config_maps.KEY))


@activity
def ask_etcd_for_config_maps(names: str) -> None:
    """Record what etcd itself holds, past the API server; the probe watchers_see compares it with what is believed."""
    config_maps.ask_etcd(_etcd(None), SESSION.history, _names(names))


@activity
def follow_eviction_log(node: str) -> None:
    """Read in a node's kubelet log, until stop_recording, how it ranks and evicts pods and which images it removes."""
    cluster = _executing()
    SESSION.while_recording(EvictionLog(SESSION.history, cluster, _one(node)))


@activity
def wait_until_evicted(within_s: float = 300.0) -> bool:
    """Wait until the kubelet says that there is nothing left to evict. False where it does not: invariants judge it.

    Needs follow_eviction_log.
    """
    history, what = SESSION.history, "the kubelet has evicted what it may"
    return SESSION.lab.hold_until(
        lambda: any(o.name == NONE_LEFT for o in history.of(Observation)), within_s=float(within_s), because=what
    )


@activity
def wait_until_pressure_is_over(node: str, workloads: str = "web,eater", within_s: float = 130.0) -> bool:
    """Wait until a node reports no DiskPressure and every replica of the workloads is Ready. False where not."""
    name, history = _one(node), SESSION.history
    deployed = [SESSION.workload(each) for each in _names(workloads)]
    return SESSION.lab.recover(
        lambda: not under_pressure(history, name) and all(each.ready() for each in deployed),
        within_s=float(within_s),
        what="no pressure, every replica Ready",
    )


@activity
def deploy_echo(node: str = "first-worker", configuration: Configuration | None = None) -> dict[str, Setting]:
    """Put an echo server with a Service on one node: what keep_connection keeps a connection to."""
    SESSION.open(configuration).cluster()
    echo = SESSION.deploy(Echo(_one(node)))
    return {"name": echo.name, "namespace": echo.namespace, "url": echo.url}


@activity
def deploy_spare(node: str = "first-worker", configuration: Configuration | None = None) -> dict[str, Setting]:
    """Make a Deployment without pods for one node, to which start_spare_pods gives some."""
    SESSION.open(configuration).cluster()
    spare = SESSION.deploy(Spare(_one(node)))
    return {"name": spare.name, "namespace": spare.namespace}


@activity
def start_spare_pods(count: int = 3, within_s: float | Mapping[str, float] = 17.0) -> bool:
    """Ask for new pods while a fault lasts, and wait until they are Ready. False where not: invariants judge it.

    within_s may be a choice by variant.
    """
    limit_s = by_variant(within_s, SESSION.lab.control)
    return start_spare(SESSION.workload("spare"), int(count), within_s=float(limit_s)) is not None


@activity
def wait_for_spare_pods(count: int = 1, within_s: float = 60.0) -> bool:
    """After a fault wait until start_spare_pods' pods are Ready, and DNS. False where not: invariants judge it."""
    spare, cluster = SESSION.workload("spare"), SESSION.cluster()
    return SESSION.lab.recover(
        lambda: ready_replicas(spare) == int(count) and dns_ready(cluster),
        within_s=float(within_s),
        what="the pods that had to wait, and DNS",
    )


@activity
def stop_spare_pods() -> None:
    """Take the pods of start_spare_pods away, and wait until they are gone."""
    stop_spare(SESSION.workload("spare"))


@activity
def ask_dns(nodes: str = "first-worker") -> None:
    """Ask the cluster's DNS over UDP from nodes' own networks, five times a second until stop_recording."""
    _ask(DNS, dns_url(SESSION.cluster()), nodes)


@activity
def keep_connection(nodes: str = "first-worker") -> None:
    """Keep one TCP connection from each of the nodes to the Service of deploy_echo, and use it until stop_recording."""
    _ask(ECHO, SESSION.workload("echo").url, nodes)


@activity
def watch_handles(node: str = "first-worker", daemons: str = "containerd,kubelet") -> None:
    """Count the open handles of daemons on a node against their limits, twice a second, until stop_recording."""
    SESSION.while_recording(HandleSamples(_executing(), SESSION.history, _one(node), _names(daemons)))


@activity
def read_daemon_logs(node: str = "first-worker") -> None:
    """Look for "too many open files" in the logs of a node's daemons since the recording began."""
    what_the_logs_say(_executing(), SESSION.history, _one(node), since=0.0)


@activity
def watch_node_identities() -> None:
    """Ask, until stop_recording, which machine each Node stands for: its ids and its address."""
    SESSION.while_recording(NodeIdentities(SESSION.history, SESSION.cluster().api))


@activity
def read_node_facts() -> None:
    """Read what every node is made of: versions, storage, limits, clock. The preflight probes judge it."""
    nodefacts.read_all(SESSION.cluster(), SESSION.history)


@activity
def deploy_iperf(configuration: Configuration | None = None) -> dict[str, Setting]:
    """Put iperf3 on every node, in the node's network and in the pod network: what measure_links measures with."""
    SESSION.open(configuration).cluster()
    iperf = SESSION.deploy(Iperf(SESSION.lab.image("iperf3")))
    return {"name": iperf.name, "namespace": iperf.namespace}


@activity
def measure_links(for_s: float = 1.0) -> None:
    """Measure throughput, loss and round-trip time between every two nodes, each for so many seconds."""
    measure(SESSION.workload("iperf3"), SESSION.history, for_s=float(for_s))


@activity
def deploy_redis(
    node_timeout_s: float = 15.0,
    replicas_to_write: int | Mapping[str, int] = 0,
    load: bool = True,
    configuration: Configuration | None = None,
) -> dict[str, Setting]:
    """Put a Redis cluster on the cluster: three masters with a replica each over the workers.

    node_timeout_s: cluster-node-timeout. replicas_to_write: min-replicas-to-write; may be a choice by variant. load:
    redis-benchmark writes to all masters from then on.
    """
    SESSION.open(configuration).cluster()
    least = int(by_variant(replicas_to_write, SESSION.lab.control))
    redis = SESSION.deploy(
        Redis(SESSION.lab.image("redis"), node_timeout_s=float(node_timeout_s), replicas_to_write=least)
    )
    if load:
        start_load(redis)
    return {"name": redis.name, "namespace": redis.namespace, "members": redis.replicas}


@activity
def write_to_redis(confirm: int | Mapping[str, int] = 1, per_s: float = 1000.0) -> None:
    """Write numbered bits to every shard of deploy_redis until stop_recording, then read back which are there.

    confirm: so many replicas must have a write before it counts as acknowledged (WAIT); 0: the master's answer is
    enough. May be a choice by variant. per_s: to each shard.
    """
    wanted = int(by_variant(confirm, SESSION.lab.control))
    SESSION.while_recording(
        CheckedShards(SESSION.history, SESSION.workload("redis"), confirm=wanted, per_s=float(per_s))
    )


@activity
def wait_until_redis_is_whole(within_s: float = 30.0) -> bool:
    """Wait until the cluster of deploy_redis is whole: every slot served, every member well. False where not."""
    redis, history = SESSION.workload("redis"), SESSION.history
    return SESSION.lab.recover(
        lambda: is_whole(history, redis), within_s=float(within_s), what="the cluster to be whole"
    )


@activity
def measure_node(node: str) -> None:
    """Record a node's unreclaimable kernel memory and the size of its runtime's files, now."""
    nodefacts.measure(_executing(), _one(node), SESSION.history)


@activity
def start_containers(node: str, pods: int = 10, containers: int = 20) -> int:
    """Let `pods` pods of `containers` containers each run to their end on a node, and remove them. Returns how many."""
    return start_and_remove(SESSION.lab, SESSION.history, _one(node), pods=int(pods), containers=int(containers))


@activity
def deploy_mysql(
    storage_class: str | Mapping[str, str] = "",
    expire_s: int | Mapping[str, int] = 0,
    volume_bytes: int = 943718400,
    two_on: str | Mapping[str, str] = "",
    own_clock: bool = False,
    clock_probe: bool | Mapping[str, bool] = False,
    drop_rows: bool | Mapping[str, bool] = False,
    image: str | Mapping[str, str] = "",
    configuration: Configuration | None = None,
) -> dict[str, Setting]:
    """Put three MySQL servers on the cluster: member 0 takes the writes, the others follow it by GTIDs.

    storage_class: of their volumes (see provide_volumes); empty: the nodes' ephemeral storage. expire_s: how long
    binary logs are kept, 0: for ever. two_on: the node of two of the three. own_clock: turn_clock can turn a member's.
    clock_probe: with a liveness probe that compares clocks. drop_rows: the last member keeps no row. image: one with
    mysqld; empty: ours. Each may be a choice by variant, but volume_bytes and own_clock. A control whose image is empty
    can't be run, and the verdict says so.
    """
    SESSION.open(configuration).cluster()
    control = SESSION.lab.control
    _name_controls_without_image(image)
    storage, two = str(by_variant(storage_class, control)), str(by_variant(two_on, control))
    nodes: tuple[str, ...] = ()
    if two:
        small = _one(two)
        nodes = (small, small, next(n for n in nodes_named("workers") if n != small))
    deployed = SESSION.deploy(
        MySQL(
            SESSION.lab.image("mysql", str(by_variant(image, control))),
            storage_class=storage,
            volume_bytes=int(volume_bytes),
            expire_s=int(by_variant(expire_s, control)),
            nodes=nodes,
            own_clock=bool(own_clock),
            clock_probe=bool(by_variant(clock_probe, control)),
        )
    )
    SESSION.lab.fact("replication", kind_of_replication(deployed))
    there = members(deployed)
    if by_variant(drop_rows, control):
        drop = ["SET SESSION sql_log_bin = 0", "ALTER TABLE ordeal.writes ENGINE = BLACKHOLE"]
        ask_member(deployed, there[-1], drop)
    return {"name": deployed.name, "namespace": deployed.namespace, **{m.name: m.node for m in there}}


def _name_controls_without_image(image: str | Mapping[str, str]) -> None:
    """Say of each control for which no image was given that it is not run. Raises OrdealError where it is this one."""
    if not isinstance(image, Mapping):
        return
    for control in (c for c, given in image.items() if c != HARDENED and not given):
        why = "no image was given for it"
        SESSION.lab.not_run(control, why)
        if control == SESSION.lab.control:
            raise OrdealError(f"control not run: {control}: {why}")


@activity
def watch_members(volumes: str | Mapping[str, str] = "") -> None:
    """Watch each member of deploy_mysql until read_members: its data's size, whether it follows, its clock.

    volumes: the folder of its volume on its node, empty for ephemeral storage; may be a choice by variant.
    """
    deployed = SESSION.workload("mysql")
    folder = str(by_variant(volumes, SESSION.lab.control))
    SESSION.begin("disk samples", DiskSamples(SESSION.history, deployed, folder))
    SESSION.begin("member watch", MemberWatch(SESSION.history, deployed))


@activity
def start_writing(clients: int = 4, body_bytes: int = 0, per_s: float = 100.0) -> None:
    """Write numbered rows to deploy_mysql's member 0 until stop_writing; what is acknowledged is recorded.

    body_bytes: each transaction also overwrites so many. per_s: transactions a second of all clients, 0: all they can.
    """
    cluster, deployed = SESSION.cluster(), SESSION.workload("mysql")
    if not isinstance(cluster, NodeNetwork):
        raise OrdealError(f"nothing can be asked from the nodes' own networks of {cluster.ref.name}")
    settings = write_settings(deployed, clients=int(clients), body_bytes=int(body_bytes), per_s=float(per_s))
    node = node_to_ask_from(cluster)
    SESSION.begin("writing", Writing(cluster, SESSION.history, node, deployed.name, "mysql", settings))


@always
def stop_writing() -> bool:
    """End what start_writing started, once its last writes are answered; safe to repeat."""
    return SESSION.end("writing")


@activity
def wait_until_members_fail(
    evicted: int | Mapping[str, int] = 0, restarts: int | Mapping[str, int] = 0, within_s: float = 300.0
) -> bool:
    """Wait until so many members were evicted, or one was restarted so often. Both may be choices by variant; 0 leaves
    the step out. False where it did not happen: the invariants judge it.
    """
    history, control = SESSION.history, SESSION.lab.control
    gone, again = int(by_variant(evicted, control)), int(by_variant(restarts, control))
    if not gone and not again:
        return False

    def failed() -> bool:
        changes = [c for c in history.of(PodChange) if c.workload == "mysql"]
        by_kubelet = {c.name for c in changes if c.reason == "Evicted"}
        return bool(gone and len(by_kubelet) >= gone) or bool(again and any(c.restarts >= again for c in changes))

    return SESSION.lab.hold_until(failed, within_s=float(within_s), because="members fail")


@activity
def read_members(caught_up_within_s: float | Mapping[str, float] = 180.0) -> None:
    """Wait until every member has what member 0 has, and read each one's rows: which acknowledged ones it lacks. Then
    watch_members ends.

    caught_up_within_s: 0 does not wait; may be a choice by variant.
    """
    lab, deployed = SESSION.lab, SESSION.workload("mysql")
    within_s = float(by_variant(caught_up_within_s, lab.control))
    if within_s:
        lab.recover(lambda: caught_up(deployed), within_s=within_s, what="every member has every row")
    read_back(SESSION.history, deployed)
    observe_logs(SESSION.history, logs(deployed))
    SESSION.end("disk samples")
    SESSION.end("member watch")


@activity
def read_mysql_versions(named: str | Mapping[str, str] = "", image: bool = True) -> None:
    """Read the versions of the MySQL servers that the API shows, and of the image that deploy_mysql takes.

    named: put a pod there that names this image and never runs; may be a choice by variant. image: false leaves the
    image out.
    """
    chosen = str(by_variant(named, SESSION.lab.control))
    if chosen:
        SESSION.deploy(Named(chosen))
    read_running(SESSION.cluster(), SESSION.history)
    if image:
        read_image(SESSION.lab.image("mysql"), SESSION.history)


# --- the faults, each followed by what takes it back


@activity
def turn_clock(
    offset_s: float | Mapping[str, float | None], member: int = 0, configuration: Configuration | None = None
) -> str:
    """Turn the clock of one member of deploy_mysql by so many seconds, negative for back; the node's stays what it is.

    Needs own_clock. offset_s may be a choice by variant; null leaves the step out.
    """
    SESSION.open(configuration)
    chosen = by_variant(offset_s, SESSION.lab.control)
    if chosen is None:
        return "left out"
    deployed = SESSION.workload("mysql")
    SESSION.inject(TurnClock(deployed.namespace, f"{deployed.name}-{int(member)}", float(chosen)))
    return "landed"


@always
def turn_clock_back() -> int:
    """Give members that turn_clock turned their right clock again; safe to repeat. Returns how many there were."""
    return SESSION.take_back(TurnClock.kind)


@activity
def provide_volumes(
    size_bytes: int | Mapping[str, int | None] = 943718400,
    nodes: str = "workers",
    name: str = "kube-ordeal-local",
    configuration: Configuration | None = None,
) -> str:
    """Make a StorageClass and a volume on each node's own file system for volumes.

    size_bytes may be a choice by variant; null leaves the step out. Returns the folder in which they are.
    """
    SESSION.open(configuration)
    chosen = by_variant(size_bytes, SESSION.lab.control)
    if chosen is None:
        return "left out"
    return SESSION.inject(ProvideVolumes(nodes_named(nodes), int(chosen), name)).folder


@always
def remove_volumes() -> int:
    """Take away what provide_volumes made, with the data; run remove_workloads before. Safe to repeat."""
    return SESSION.take_back(ProvideVolumes.kind)


@activity
def leak_kernel_memory(
    node: str, size_bytes: int | Mapping[str, int] = 0, configuration: Configuration | None = None
) -> str:
    """Take kernel memory on a node that no process owns. size_bytes may be a choice by variant; 0 leaves it out."""
    SESSION.open(configuration)
    size = by_variant(size_bytes, SESSION.lab.control)
    if not size:
        return "left out"
    SESSION.inject(LeakKernelMemory(_one(node), int(size)))
    return "landed"


@always
def return_kernel_memory() -> int:
    """Give back what leak_kernel_memory took; safe to repeat. Returns how many leaks there were."""
    return SESSION.take_back(LeakKernelMemory.kind)


@activity
def leave_files(node: str, size_bytes: int | Mapping[str, int] = 0, configuration: Configuration | None = None) -> str:
    """Leave files among the container runtime's. size_bytes may be a choice by variant; 0 leaves it out."""
    SESSION.open(configuration)
    size = by_variant(size_bytes, SESSION.lab.control)
    if not size:
        return "left out"
    SESSION.inject(LeaveFiles(_one(node), int(size)))
    return "landed"


@always
def remove_files() -> int:
    """Remove what leave_files left; safe to repeat. Returns how many there were."""
    return SESSION.take_back(LeaveFiles.kind)


@activity
def set_kubelet_config(
    node: str,
    changes: Mapping[str, object] | Mapping[str, Mapping[str, object]],
    configuration: Configuration | None = None,
) -> str:
    """Merge keys into one node's KubeletConfiguration and restart that kubelet.

    changes: as in KubeletConfiguration; null takes a key out. May be a choice by variant.
    """
    SESSION.open(configuration)
    SESSION.inject(SetKubeletConfig(_one(node), by_variant(changes, SESSION.lab.control)))
    return "landed"


@always
def restore_kubelet_config() -> int:
    """Put back the files that set_kubelet_config changed; safe to repeat. Returns how many changes there were."""
    return SESSION.take_back(SetKubeletConfig.kind)


@activity
def place_static_pod(node: str, name: str = "ordeal-static", configuration: Configuration | None = None) -> str:
    """Let one node's kubelet run a static pod, in kube-system, without a priority class."""
    SESSION.open(configuration)
    SESSION.inject(PlaceStaticPod(_one(node), name))
    return "landed"


@always
def remove_static_pod() -> int:
    """Take away what place_static_pod placed; safe to repeat. Returns how many there were."""
    return SESSION.take_back(PlaceStaticPod.kind)


@activity
def drop_priority(
    daemon_set: str | Mapping[str, str | None] = "kube-system/kube-proxy", configuration: Configuration | None = None
) -> str:
    """Take the priority class out of a DaemonSet, NAMESPACE/NAME. May be a choice by variant; null leaves it out."""
    SESSION.open(configuration)
    named = by_variant(daemon_set, SESSION.lab.control)
    if named is None:
        return "left out"
    SESSION.inject(DropPriority(str(named)))
    return "landed"


@always
def restore_priority() -> int:
    """Give back the priority classes that drop_priority took; safe to repeat. Returns how many there were."""
    return SESSION.take_back(DropPriority.kind)


@activity
def fill_file_system(
    node: str,
    path: str,
    used_percent: float | Mapping[str, float | None] = 95.0,
    configuration: Configuration | None = None,
) -> str:
    """Fill a node's own file system until so many per cent of it are used. One that it shares is never filled.

    path: where the node has it mounted, such as /var/lib/containerd (images) or /var/lib/kubelet (volumes).
    used_percent may be a choice by variant; null leaves the step out.
    """
    SESSION.open(configuration)
    chosen = by_variant(used_percent, SESSION.lab.control)
    if chosen is None:
        return "left out"
    SESSION.inject(FillFileSystem(_one(node), path, float(chosen)))
    return "landed"


@always
def empty_file_system() -> int:
    """Take away what fill_file_system put there; safe to repeat. Returns how many file systems there were."""
    return SESSION.take_back(FillFileSystem.kind)


@activity
def set_kubelet_identity(
    node: str = "first-worker",
    identity: str | Mapping[str, str | None] = "pinned",
    configuration: Configuration | None = None,
) -> str:
    """Set a kubelet's name and credentials: `pinned` starts it with --hostname-override, `any-name` with credentials
    that may register any Node. May be a choice by variant; null leaves it out.
    """
    SESSION.open(configuration)
    chosen = by_variant(identity, SESSION.lab.control)
    if chosen is None:
        return "left out"
    SESSION.inject(SetKubeletIdentity(_one(node), str(chosen)))
    return "landed"


@always
def restore_kubelet_identity() -> int:
    """Give kubelets their own name and credentials again; safe to repeat. Returns how many had others."""
    return SESSION.take_back(SetKubeletIdentity.kind)


@activity
def rename_node(
    node: str = "first-worker", name: str = "ordeal-renamed", configuration: Configuration | None = None
) -> str:
    """Give a worker another hostname and restart its kubelet."""
    SESSION.open(configuration)
    SESSION.inject(RenameNode(_one(node), name))
    return "landed"


@always
def put_name_back() -> int:
    """Put back the hostnames that rename_node changed, and remove the Nodes that came of it; safe to repeat."""
    return SESSION.take_back(RenameNode.kind)


@activity
def lower_handle_limit(
    daemon: str,
    node: str = "first-worker",
    limit: int | Mapping[str, int | None] = 0,
    above: int = 10,
    configuration: Configuration | None = None,
) -> str:
    """Lower the soft limit of a running daemon's open files: containerd, kubelet, kube-proxy or coredns.

    limit: 0 is `above` more than it has open now. May be a choice by variant; null leaves it out.
    """
    SESSION.open(configuration)
    chosen = by_variant(limit, SESSION.lab.control)
    if chosen is None:
        return "left out"
    SESSION.inject(LowerHandleLimit(_one(node), daemon, limit=int(chosen), above=int(above)))
    return "landed"


@always
def raise_handle_limit() -> int:
    """Give daemons the soft limits that they had; safe to repeat. Returns how many were lowered."""
    return SESSION.take_back(LowerHandleLimit.kind)


@activity
def eat_handles(
    handles: int | Mapping[str, int | None],
    of: str = "",
    node: str = "first-worker",
    configuration: Configuration | None = None,
) -> str:
    """Eat so many handles on a node: a pod's own, or those of a daemon (`of`) by connections that are held open.

    handles may be a choice by variant; null leaves it out.
    """
    SESSION.open(configuration)
    chosen = by_variant(handles, SESSION.lab.control)
    if chosen is None:
        return "left out"
    SESSION.inject(EatHandles(_one(node), int(chosen), of=of))
    return "landed"


@always
def release_handles() -> int:
    """Release what eat_handles holds; safe to repeat. Returns how often it was done."""
    return SESSION.take_back(EatHandles.kind)


@activity
def socket_storm(
    node: str = "first-worker", connections: int = 3000, configuration: Configuration | None = None
) -> str:
    """Make so many short connections from a node to its own kube-proxy; each leaves a socket in TIME_WAIT."""
    SESSION.open(configuration)
    name = _one(node)
    address = next(n.address for n in SESSION.nodes() if n.name == name)
    SESSION.inject(SocketStorm(name, f"{address}:{PORTS['kube-proxy']}", int(connections)))
    return "landed"


@always
def end_socket_storm() -> int:
    """End what socket_storm started; safe to repeat. The sockets go by themselves after 60 s. Returns how many."""
    return SESSION.take_back(SocketStorm.kind)


@activity
def power_off(
    node: str = "control-plane",
    new_address: bool | Mapping[str, bool] = False,
    configuration: Configuration | None = None,
) -> str:
    """Cut the power of one node, without a shutdown. new_address: it will come back with another IP address."""
    SESSION.open(configuration)
    SESSION.inject(PowerOff(_one(node), new_address=by_variant(new_address, SESSION.lab.control)))
    return "landed"


@always
def power_on() -> int:
    """Start every node that power_off switched off; safe to repeat. Returns how many there were."""
    return SESSION.take_back(PowerOff.kind)


@activity
def pin_kubelets(nodes: str | Mapping[str, str] = "", configuration: Configuration | None = None) -> str:
    """Let kubelets know the API server by its address of now. nodes may be a choice by variant; empty leaves it out."""
    SESSION.open(configuration)
    named = by_variant(nodes, SESSION.lab.control)
    if not named:
        return "left out"
    SESSION.inject(PinKubelets(nodes_named(named)))
    return "landed"


@always
def unpin_kubelets() -> int:
    """Let the kubelets that pin_kubelets pinned know the API server by its name again; safe to repeat."""
    return SESSION.take_back(PinKubelets.kind)


@activity
def pause(node: str, configuration: Configuration | None = None) -> str:
    """Freeze every process of one node."""
    SESSION.open(configuration)
    SESSION.inject(Pause(_one(node)))
    return "landed"


@always
def unpause() -> int:
    """Let every node that pause froze go on; safe to repeat. Returns how many there were."""
    return SESSION.take_back(Pause.kind)


@activity
def cut_off(nodes: str = "workers", peers: str = "control-plane", configuration: Configuration | None = None) -> str:
    """Drop all traffic between nodes and peers, both ways, IPv4 and IPv6. Their other traffic goes on."""
    SESSION.open(configuration)
    SESSION.inject(CutOff(nodes=nodes_named(nodes), peers=nodes_named(peers)))
    return "landed"


@always
def reconnect() -> int:
    """Let the traffic that cut_off drops through again; safe to repeat. Returns how many cuts there were."""
    return SESSION.take_back(CutOff.kind)


@activity
def cut_pod_routes(
    node: str | Mapping[str, str | None] = "first-worker", configuration: Configuration | None = None
) -> str:
    """Make the pods of all other nodes unreachable from a worker, as where its routes are gone. The node stays Ready.

    May be a choice by variant; null leaves the step out.
    """
    SESSION.open(configuration)
    chosen = by_variant(node, SESSION.lab.control)
    if chosen is None:
        return "left out"
    SESSION.inject(CutPodRoutes(_one(str(chosen))))
    return "landed"


@always
def restore_pod_routes() -> int:
    """Make pods reachable again that cut_pod_routes cut off; safe to repeat. Returns how many cuts there were."""
    return SESSION.take_back(CutPodRoutes.kind)


@activity
def scale_to_zero(
    deployment: str | Mapping[str, str | None] = "kube-system/coredns", configuration: Configuration | None = None
) -> str:
    """Take a Deployment, NAMESPACE/NAME, down to no replica. May be a choice by variant; null leaves the step out."""
    SESSION.open(configuration)
    chosen = by_variant(deployment, SESSION.lab.control)
    if chosen is None:
        return "left out"
    SESSION.inject(ScaleToZero(str(chosen)))
    return "landed"


@always
def scale_back() -> int:
    """Give back the replicas that scale_to_zero took; safe to repeat. Returns how many Deployments there were."""
    return SESSION.take_back(ScaleToZero.kind)


@activity
def run_specs(
    when: str | Mapping[str, str | None] = "after", configuration: Configuration | None = None
) -> dict[str, Setting]:
    """Run five quick specs of upstream's e2e.test now, before or after the harm. Needs start_recording.

    when: before or after. May be a choice by variant; null leaves the step out. Returns what became of each.
    """
    SESSION.open(configuration)
    chosen = by_variant(when, SESSION.lab.control)
    if chosen is None:
        return {}
    if chosen not in {BEFORE, AFTER}:
        raise OrdealError(f"specs can be run {BEFORE} or {AFTER} the harm, not {chosen!r}")
    SESSION.lab.run_specs(str(chosen), SESSION.history)
    return {each.spec: each.state for each in SESSION.lab.specs if each.round == chosen}


@activity
def bad_link(
    one: str = "first-worker",
    others: str = "last-worker",
    rate_bits_per_s: int | Mapping[str, int | None] = 0,
    loss: float | Mapping[str, float | None] = 0.0,
    configuration: Configuration | None = None,
) -> str:
    """Make the link between one node and each of the others bad, both ways; all their other traffic goes on.

    rate_bits_per_s: throttle it; 0: as fast as it goes. loss: lose this part of its packets; 1 cuts it. Both may be
    choices by variant; null leaves the step out.
    """
    SESSION.open(configuration)
    control = SESSION.lab.control
    rate, lost = by_variant(rate_bits_per_s, control), by_variant(loss, control)
    if rate is None or lost is None:
        return "left out"
    SESSION.inject(BadLink(_one(one), nodes_named(others), rate_bits_per_s=int(rate), loss=float(lost)))
    return "landed"


@always
def mend_link() -> int:
    """Make links good again that bad_link made bad; safe to repeat. Returns how many faults there were."""
    return SESSION.take_back(BadLink.kind)


@activity
def stop_heartbeats(groups: str | Mapping[str, str | None] = "all", configuration: Configuration | None = None) -> str:
    """Stop the heartbeats of groups of simulated nodes: a zone's name, several with commas between them, or all.

    May be a choice by variant; null leaves the step out.
    """
    cluster = SESSION.open(configuration).cluster()
    named = by_variant(groups, SESSION.lab.control)
    if named is None:
        return "left out"
    if not isinstance(cluster, Heartbeats):
        raise OrdealError(f"only simulated nodes have heartbeats to stop; {cluster.ref.name} is {cluster.ref.kind}")
    there = cluster.heartbeat_groups()
    chosen = there if named == "all" else _names(named)
    unknown = [name for name in chosen if name not in there]
    if unknown or not chosen:
        raise OrdealError(f"there is no group {', '.join(unknown) or named}; there are: {', '.join(there)}")
    SESSION.inject(StopHeartbeats(groups=chosen))
    return "landed"


@always
def resume_heartbeats() -> int:
    """Let the heartbeats that stop_heartbeats stopped go on; safe to repeat. Returns how many stops there were."""
    return SESSION.take_back(StopHeartbeats.kind)


@activity
def replace_control_plane(
    timers: Mapping[str, float] | Mapping[str, Mapping[str, float]] | None = None,
    controllers: str | Mapping[str, str] = "*",
    configuration: Configuration | None = None,
) -> str:
    """Stop the control plane and start a second one on the same etcd, where the kubelets do not look.

    timers: where the second one's differ from the first one's. controllers: as in --controllers, such as
    "*,-taint-eviction-controller". Each may be a choice by variant. A recording goes on through the second one.
    """
    cluster = SESSION.open(configuration).cluster()
    control = SESSION.lab.control
    its_timers = _timers(cluster.shape.timers, by_variant(timers or {}, control))
    SESSION.inject(ReplaceControlPlane(timers=its_timers, controllers=str(by_variant(controllers, control))))
    if SESSION.is_recording and isinstance(cluster, ControlPlaneSwap):
        SESSION.lab.recorder.switch(cluster.second_api)
        SESSION.lab.recorder.wait_synced()
    return "landed"


@always
def bring_back_control_plane() -> int:
    """Stop the second control plane and start the first; safe to repeat. Returns how many replacements there were."""
    undone = SESSION.take_back(ReplaceControlPlane.kind)
    if undone and SESSION.is_recording:
        SESSION.lab.recorder.switch(SESSION.cluster().api)
        SESSION.lab.recorder.wait_synced()
    return undone


@activity
def stop_controller_manager(configuration: Configuration | None = None) -> str:
    """Keep the controller manager away while the API server goes on."""
    SESSION.open(configuration)
    SESSION.inject(StopControllerManager())
    return "landed"


@always
def start_controller_manager() -> int:
    """Let the controller manager in again; safe to repeat. Returns how often it was stopped."""
    return SESSION.take_back(StopControllerManager.kind)


@activity
def edit_etcd_behind(key: str, old: str, new: str, configuration: Configuration | None = None) -> str:
    """Change text of a stored object in etcd, behind the API server's back, to other text of the same length in UTF-8.

    key: etcd's, such as /registry/configmaps/default/NAME.
    """
    SESSION.open(configuration)
    SESSION.inject(EditEtcdBehind(key=key, old=old, new=new))
    return "landed"


@always
def revert_etcd_edit() -> int:
    """Put back what edit_etcd_behind changed; safe to repeat. Returns how many edits there were."""
    return SESSION.take_back(EditEtcdBehind.kind)


@activity
def save_snapshot(name: str = "before", configuration: Configuration | None = None) -> str:
    """Save a snapshot of etcd under a name, for restore_snapshot. Returns its path."""
    return _etcd(configuration).etcd_snapshot(name)


@activity
def restore_snapshot(
    name: str = "before", bump_revision: int | Mapping[str, int] = 0, configuration: Configuration | None = None
) -> str:
    """Set etcd back to the snapshot of that name while the API server runs on.

    bump_revision: more than 0 restores with --bump-revision and --mark-compacted. May be a choice by variant.
    """
    path = _etcd(configuration).etcd_snapshot_of(name)
    if path is None:
        raise OrdealError(f"there is no snapshot {name!r}: run the action save_snapshot before")
    SESSION.inject(RestoreSnapshot(snapshot=path, bump_revision=int(by_variant(bump_revision, SESSION.lab.control))))
    return "landed"


@always
def return_from_snapshot() -> int:
    """Put back what was in etcd before restore_snapshot; safe to repeat. Returns how many restores there were."""
    return SESSION.take_back(RestoreSnapshot.kind)


@activity
def install_rbd_lock(
    release_lock: bool | Mapping[str, bool] = True,
    fence: bool | Mapping[str, bool] = True,
    attach: bool | Mapping[str, bool] = True,
    configuration: Configuration | None = None,
) -> str:
    """Install our CSI driver over a Ceph pool: the StorageClass ordeal-rbd-lock. Needs a folder that the nodes share.

    release_lock: a node that gives a volume back removes its lock. fence: a lock is taken at all. attach: Kubernetes
    attaches the volume to one node at a time. Each may be a choice by variant; false is known-bad.
    """
    SESSION.open(configuration).cluster()
    lab = SESSION.lab
    chosen = {
        name: bool(by_variant(value, lab.control))
        for name, value in (("release_lock", release_lock), ("fence", fence), ("attach", attach))
    }
    SESSION.inject(InstallRbdLock(lab.image("ceph"), **chosen))
    return "landed"


@always
def remove_rbd_lock() -> int:
    """Remove the workloads, and then the driver that can take their volumes back; safe to repeat. Returns how many."""
    if InstallRbdLock.kind in SESSION.in_place:
        SESSION.remove_workloads()
    return SESSION.take_back(InstallRbdLock.kind)


@activity
def deploy_volume_writers(
    names: str | Mapping[str, str] = "rolling-update,recreate,stateful-set",
    storage_class: str = "ordeal-rbd-lock",
    node: str = "last-worker",
    configuration: Configuration | None = None,
) -> dict[str, Setting]:
    """Deploy pods that write into a volume for one node at a time who they are, on one node, and wait until they do.

    names: of rolling-update and recreate (Deployments with that strategy) and stateful-set. May be a choice by variant.
    """
    cluster = SESSION.open(configuration).cluster()
    check_class(cluster, storage_class)
    where = _one(node)
    deployed = [
        SESSION.deploy(VolumeWriter(name, storage_class, where))
        for name in _names(by_variant(names, SESSION.lab.control))
    ]
    return {each.name: each.namespace for each in deployed}


@activity
def watch_volumes(names: str | Mapping[str, str] = "rolling-update,recreate,stateful-set") -> None:
    """Read what the workloads write into their volumes, and who holds them, until stop_watching_volumes.

    names: as in deploy_volume_writers.
    """
    cluster = SESSION.cluster()
    followed = [watched(SESSION.workload(name)) for name in _names(by_variant(names, SESSION.lab.control))]
    ours = InstallRbdLock.kind in SESSION.in_place and isinstance(cluster, SharesFolder)
    logs = SharedLogs(folder_of(cluster)) if ours and isinstance(cluster, SharesFolder) else PodLogs(cluster)
    SESSION.begin("volumes", VolumeSamples(SESSION.history, cluster, followed, logs))


@always
def stop_watching_volumes() -> bool:
    """End watch_volumes, while there still are volumes; safe to repeat. False where nothing was watched."""
    return SESSION.end("volumes")


@activity
def wait_until_writers_moved(
    names: str | Mapping[str, str] = "recreate,stateful-set",
    node: str = "last-worker",
    within_s: float | Mapping[str, float] = 48.0,
    configuration: Configuration | None = None,
) -> bool:
    """Wait until each workload writes on another node. False where not: the invariants judge it.

    names: as in deploy_volume_writers. within_s may be a choice by variant.
    """
    cluster_node, lab = _one(node), SESSION.open(configuration).lab
    moving = [SESSION.workload(name) for name in _names(by_variant(names, SESSION.lab.control))]
    return lab.hold_until(
        lambda: all(writing_on(each) not in {"", cluster_node} for each in moving),
        within_s=float(by_variant(within_s, lab.control)),
        because=f"every workload writes on another node than {cluster_node}",
    )


@activity
def drain_node(node: str = "last-worker", configuration: Configuration | None = None) -> str:
    """Cordon a node and evict what our workloads run there; nobody else's pods are touched."""
    SESSION.open(configuration)
    SESSION.inject(DrainNode(_one(node)))
    return "landed"


@always
def uncordon_node() -> int:
    """Let every node that drain_node cordoned take pods again; safe to repeat. Returns how many there were."""
    return SESSION.take_back(DrainNode.kind)


@activity
def update_elsewhere(
    names: str | Mapping[str, str] = "rolling-update,recreate,stateful-set",
    node: str = "last-worker",
    configuration: Configuration | None = None,
) -> str:
    """Update workloads so that their next pods land on another node than `node`. names: as in deploy_volume_writers."""
    SESSION.open(configuration)
    deployed = [SESSION.workload(name) for name in _names(by_variant(names, SESSION.lab.control))]
    SESSION.inject(UpdateElsewhere(tuple(f"{d.namespace}/{d.name}" for d in deployed), _one(node)))
    return "landed"


@always
def end_update() -> int:
    """End the time of update_elsewhere: nothing is put back. Safe to repeat. Returns how many updates there were."""
    return SESSION.take_back(UpdateElsewhere.kind)


@activity
def mark_out_of_service(node: str = "last-worker", configuration: Configuration | None = None) -> str:
    """Say that a node which is not Ready is off: the taint node.kubernetes.io/out-of-service."""
    SESSION.open(configuration)
    SESSION.inject(MarkOutOfService(_one(node)))
    return "landed"


@always
def return_to_service() -> int:
    """Take the taint of mark_out_of_service away; safe to repeat. Returns how many there were."""
    return SESSION.take_back(MarkOutOfService.kind)


@activity
def deploy_churn(
    node: str = "last-worker", pods: int | Mapping[str, int] = 150, configuration: Configuration | None = None
) -> dict[str, Setting]:
    """Make a Deployment for so many small pods on one node, for the time being without any. pods may be a choice."""
    cluster = SESSION.open(configuration).cluster()
    count = int(by_variant(pods, SESSION.lab.control))
    check_room(cluster, _one(node), count)
    churn = SESSION.deploy(Churn(_one(node), count))
    return {"name": churn.name, "namespace": churn.namespace, "replicas": churn.replicas}


@activity
def watch_pleg(node: str = "last-worker", limit_s: float | Mapping[str, float] = 180.0) -> None:
    """Sample the kubelet's PLEG, goroutines and handles each second until stop_recording.

    limit_s: the threshold of the kubelet that runs; beyond it, its goroutines are looked at. May be a choice.
    """
    limit = float(by_variant(limit_s, SESSION.lab.control))
    SESSION.while_recording(PlegSamples(SESSION.history, SESSION.cluster(), _one(node), limit_s=limit))


@activity
def start_churn(node: str = "last-worker") -> bool:
    """Ask for all pods of deploy_churn, and wait until they are Ready. False where not: the invariants judge it."""
    return _wave(_one(node), "all pods")


@activity
def delete_pods(workload: str = "churn", configuration: Configuration | None = None) -> str:
    """Delete all pods of a workload with one request, so that all replacements start at once."""
    deployed = SESSION.open(configuration).workload(workload)
    SESSION.inject(DeletePods(deployed.namespace, deployed.name))
    return "landed"


@always
def await_replacements(node: str = "last-worker") -> int:
    """Wait until as many pods as before delete_pods are Ready; safe to repeat. Returns how many deletions there were.

    It stops waiting where PLEG is seen to be deadlocked: the invariants judge it.
    """
    if DeletePods.kind in SESSION.in_place and SESSION.is_recording:
        _wave(_one(node), "replacements")
    return SESSION.take_back(DeletePods.kind)


@activity
def end_churn(within_s: float = 300.0) -> bool:
    """Ask for no pods any more, and wait until all are gone. False where not: the invariants judge it."""
    deployed = SESSION.workload("churn")
    scale(deployed, 0)
    return SESSION.lab.recover(lambda: pods_left(deployed) == 0, within_s=float(within_s), what="all pods gone")


@activity
def stall_runtime(
    node: str | Mapping[str, str | None] = "last-worker", for_s: float = 0.0, configuration: Configuration | None = None
) -> str:
    """Stop one node's containerd with SIGSTOP, and let that last for so many seconds; 0 does not wait.

    node may be a choice by variant; null leaves the step out.
    """
    SESSION.open(configuration)
    named = by_variant(node, SESSION.lab.control)
    if named is None:
        return "left out"
    SESSION.inject(StallRuntime(_one(named)))
    if for_s:
        SESSION.lab.hold(float(for_s), "the runtime stands still")
    return "landed"


@always
def resume_runtime() -> int:
    """Let every containerd that stall_runtime stopped go on; safe to repeat. Returns how many there were."""
    return SESSION.take_back(StallRuntime.kind)


@activity
def swap_program(
    node: str = "last-worker",
    mutant: str | Mapping[str, str | None] = "",
    path: str = "",
    program: str = "kubelet",
    configuration: Configuration | None = None,
) -> str:
    """Let one node's kubelet be another program: a mutant (see `kube-ordeal mutant list`), or the file `path`.

    mutant may be a choice by variant; null leaves the step out.
    """
    cluster = SESSION.open(configuration).cluster()
    name = by_variant(mutant, SESSION.lab.control)
    if name is None:
        return "left out"
    SESSION.inject(SwapProgram(_one(node), program, _program(cluster.kubernetes, name, path)))
    SESSION.lab.recover(SESSION.lab.nodes_ready, within_s=60, what="every node Ready with the other program")
    return "landed"


@always
def restore_program() -> int:
    """Put every program back that swap_program took away; safe to repeat. Returns how many there were."""
    return SESSION.take_back(SwapProgram.kind)


@activity
def swap_component(
    component: str = "kube-controller-manager",
    mutant: str | Mapping[str, str | None] = "",
    path: str = "",
    configuration: Configuration | None = None,
) -> str:
    """Run a component of a simulated control plane from another program: a mutant, or the file `path`.

    mutant may be a choice by variant; null leaves the step out.
    """
    cluster = SESSION.open(configuration).cluster()
    name = by_variant(mutant, SESSION.lab.control)
    if name is None:
        return "left out"
    SESSION.inject(SwapComponent(component, _program(cluster.kubernetes, name, path)))
    return "landed"


@always
def restore_component() -> int:
    """Run every component from its own program again; safe to repeat. Returns how many there were."""
    return SESSION.take_back(SwapComponent.kind)


@always
def take_back_everything() -> str:
    """Take back every fault of this run that is still in place; safe to repeat."""
    SESSION.take_back_all()
    return "nothing in place"


def nodes_named(named: str) -> tuple[str, ...]:
    """The nodes that a string names; see the module's text; `all` are all. Raises OrdealError for one that is not."""
    if "," in named:
        return tuple(name for part in _names(named) for name in nodes_named(part))
    there = SESSION.nodes()
    if named == "all":
        found = tuple(n.name for n in there)
    elif named in {"workers", "control-plane"}:
        found = tuple(n.name for n in there if n.control_plane == (named == "control-plane"))
    elif named in {"first-worker", "last-worker"}:
        found = tuple(
            sorted(n.name for n in there if not n.control_plane)[slice(1) if named[0] == "f" else slice(-1, None)]
        )
    elif named == "other-workers":
        found = tuple(sorted(n.name for n in there if not n.control_plane)[1:])
    elif named == "mysql-node":
        found = (members(SESSION.workload("mysql"))[0].node,)
    elif named == "dns-node":
        found = (dns_node(SESSION.cluster()),)
    else:
        found = _names(named)
    unknown = [name for name in found if name not in {n.name for n in there}]
    if unknown or not found:
        raise OrdealError(f"there is no node {', '.join(unknown) or named} in cluster {SESSION.cluster().ref.name}")
    return found


def _told_deadline_s() -> float | None:
    """What the configuration says of an existing cluster's timers; None where it says nothing."""
    told = SESSION.settings.eviction_deadline_s
    try:
        return float(told) if told else None
    except ValueError:
        raise OrdealError(f"the configuration's eviction_deadline_s is {told!r}; it must be seconds") from None


def _wave(node: str, what: str) -> bool:
    """Ask for all pods of the churn, and wait until they are Ready or PLEG is seen to be deadlocked."""
    deployed, history = SESSION.workload("churn"), SESSION.history
    history.add(Observation(history.now(), WAVE, node, what))
    scale(deployed, deployed.replicas)
    SESSION.lab.recover(
        lambda: deployed.ready() or deadlock_seen(history, node),
        within_s=ready_within_s(deployed.replicas),
        what=f"{what} Ready",
    )
    history.add(Observation(history.now(), WAVE_OVER, node, what))
    return deployed.ready()


def _program(kubernetes: str, mutant: str, path: str) -> str:
    if bool(mutant) == bool(path):
        raise OrdealError("name either a mutant (`kube-ordeal mutant list` shows them) or the path of a program")
    return path or str(mutants.build(mutant, plain(kubernetes)).path)


def _etcd(configuration: Configuration | None) -> EtcdBehind:
    cluster = SESSION.open(configuration).cluster()
    if not isinstance(cluster, EtcdBehind):
        raise OrdealError(f"etcd of {cluster.ref.name} ({cluster.ref.kind}) can't be reached behind the API server")
    return cluster


def _executing() -> NodeExec:
    cluster = SESSION.cluster()
    if not isinstance(cluster, NodeExec):
        raise OrdealError(f"nothing can be run on the nodes of {cluster.ref.name} ({cluster.ref.kind})")
    return cluster


def _ask(target: str, url: str, nodes: str) -> None:
    cluster = SESSION.cluster()
    if not isinstance(cluster, NodeNetwork):
        raise OrdealError(f"nothing can be asked from the nodes' own networks of {cluster.ref.name}")
    named = nodes_named(nodes)
    SESSION.while_recording(
        ServiceProbes(cluster, SESSION.history, target=target, url=url, nodes=named, interval_s=ASK_EVERY_S)
    )


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name for part in str(listed).split(",") if (name := part.strip()))


def _one(named: str) -> str:
    found = nodes_named(named)
    if len(found) != 1:
        raise OrdealError(f"{named} names {len(found)} nodes, and the action is for one: {', '.join(found)}")
    return found[0]


def _timers(base: Timers, given: Mapping[str, object]) -> Timers:
    known = {f.name: type(getattr(base, f.name)) for f in fields(base)}
    changed = base
    for name, value in given.items():
        if name not in known or not isinstance(value, int | float):
            raise OrdealError(f"timers has {name}={value!r}; it may have numbers for {', '.join(known)}")
        changed = replace(changed, **{name: known[name](value)})
    return changed


def _flags(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in given.items()))


def _zone(given: Mapping[str, object]) -> Zone:
    name, nodes, parts = given.get("name"), given.get("nodes"), given.get("parts", {})
    if not isinstance(name, str) or not isinstance(nodes, int) or not isinstance(parts, Mapping):
        raise OrdealError(f"a zone is {{name: TEXT, nodes: NUMBER, parts: {{GROUP: NUMBER}}}}, not {dict(given)!r}")
    return Zone(name, nodes, tuple((str(group), int(size)) for group, size in parts.items()))
