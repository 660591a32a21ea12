"""Where an experiment says something else than the code: what it may leave out, and what it says in other words.

A fault or a promise that is not named here is an activity with exactly its own parameters.
"""

from collections.abc import Callable, Sequence
from typing import Any

from chaos.clusters.abilities import EtcdBehind, Heartbeats, RunsContainers
from chaos.clusters.shape import Timers
from chaos.errors import OrdealError
from chaos.harm.component import SwapComponent
from chaos.harm.heartbeats import StopHeartbeats
from chaos.harm.program import SwapProgram
from chaos.hosts import mutants
from chaos.hosts.bundles import plain
from chaos.judge import conformance, data, pods, taint_rates
from chaos.judge.base import Invariant
from chaos.judge.taint_rates import ZoneState
from chaos.subjects.control_plane.faults import PinKubelets
from chaos.subjects.handles.asking import PORTS
from chaos.subjects.handles.storm import SocketStorm
from chaos.subjects.identity import promises as identity
from chaos.subjects.identity.faults import RenameNode
from chaos.subjects.links import promises as links
from chaos.subjects.links.sampler import DEFAULT, LOOSE
from chaos.subjects.mysql.faults import TurnClock
from chaos.subjects.pleg.faults import DeletePods
from chaos.subjects.preflight.faults import LeakKernelMemory, LeaveFiles
from chaos.subjects.volumes.driver import InstallRbdLock
from chaos.subjects.volumes.handover import UpdateElsewhere
from chaos.subjects.watch_cache.faults import RestoreSnapshot
from chaos.toolkit.session import SESSION

WRITERS = "rolling-update,recreate,stateful-set"
FIRST: dict[str, object] = {"node": "first-worker"}
LAST: dict[str, object] = {"node": "last-worker"}
FULL: dict[str, object] = {"fault": "fill-file-system"}
EATEN: dict[str, object] = {"workload": "spare", "fault": "eat-handles", "within_s": 60.0}

# What an experiment may leave out, by the activity's name.
DEFAULTS: dict[str, dict[str, object]] = {
    "bad_link": {"one": "first-worker", "others": "last-worker"},
    "deploy_volume_writer": {**LAST, "storage_class": "ordeal-rbd-lock"},
    "cut_off": {"nodes": "workers", "peers": "control-plane"},
    "cut_pod_routes": FIRST,
    "drain_node": LAST,
    "eat_handles": FIRST,
    "fill_file_system": {"used_percent": 95.0},
    "lower_handle_limit": {**FIRST, "above": 10},
    "mark_out_of_service": LAST,
    "power_off": {"node": "control-plane"},
    "provide_volumes": {"nodes": "workers", "size_bytes": 943718400},
    "rename_node": {**FIRST, "name": "ordeal-renamed"},
    "set_kubelet_identity": {**FIRST, "identity": "pinned"},
    "at_most_one_writer": {"names": WRITERS},
    "clock_was_turned": {"member": "mysql-0"},
    "clocks_agree": {"within_s": 0.5},
    "critical_pods_stay": FULL,
    "daemons_reached": {"fault": "eat-handles", "within_s": 10.0},
    "dns_answers": {"limit_s": 2.0, "nodes": "first-worker"},
    "evicted_by_use": {"workload": "eater", **FULL},
    "existing_connections": {"limit_s": 2.0, "nodes": "first-worker"},
    "handle_limit_not_reached": {"daemon": "containerd", **FIRST},
    "kubelets_report_again": {"nodes": "all", "within_s": 60.0},
    "links_alike": {"suspect": "first-worker,last-worker"},
    "new_pods_start": {"within_s": 60.0},
    "no_member_evicted": {"workload": "mysql"},
    "no_stale_lock": {"names": WRITERS},
    "nobody_takes_over": {"fault": "power-off", "until": "mark-out-of-service", "names": WRITERS},
    "node_stays_ready": {**LAST, "back_within_s": 150.0},
    "nodes_ready_again": {"nodes": "all", "within_s": 60.0},
    "outage_at_most": {"limit_s": 2.0},
    "pleg_last_seen": LAST,
    "pleg_recovers": {**LAST, "within_s": 120.0},
    "pods_converge": {"workload": "churn", "least": 1},
    "pods_start": EATEN,
    "pods_start_after_release": EATEN,
    "pressure_clears": {**FULL, "within_s": 70.0},
    "pressure_reported": {**FULL, "within_s": 60.0},
    "ready_throughout": {"nodes": "first-worker"},
    "replication_runs": {"members": "mysql-1,mysql-2"},
    "running_again": {"names": WRITERS, "within_s": 45.0},
    "runs_again": {"workload": "eater", **FULL, "within_s": 130.0},
    "same_data": {"names": WRITERS},
    "same_pods": {"workload": "web"},
    "watchers_see": {"within_s": 5.0},
    "whole_again_within": {"store": "redis", "within_s": 30.0, "fault": "bad-link"},
}

# What is said in other words, by the activity's name: a function that makes the fault, or the invariant, of them. None
# leaves the step out.
SAID: dict[str, Callable[..., Any]] = {}


def said(function: Callable[..., Any]) -> Callable[..., Any]:
    """Put a function into SAID, by its own name."""
    SAID[function.__name__] = function
    return function


# --- faults


@said
def pin_kubelets(nodes: tuple[str, ...] = ()) -> PinKubelets | None:
    """nodes: empty leaves the step out."""
    return PinKubelets(nodes) if nodes else None


@said
def leak_kernel_memory(node: str, size_bytes: int = 0) -> LeakKernelMemory | None:
    """size_bytes: 0 leaves the step out."""
    return LeakKernelMemory(node, size_bytes) if size_bytes else None


@said
def leave_files(node: str, size_bytes: int = 0) -> LeaveFiles | None:
    """size_bytes: 0 leaves the step out."""
    return LeaveFiles(node, size_bytes) if size_bytes else None


@said
def delete_pods(workload: str = "churn") -> DeletePods:
    """workload: the name of one that was deployed here."""
    deployed = SESSION.workload(workload)
    return DeletePods(deployed.namespace, deployed.name)


@said
def turn_clock(offset_s: float, member: int = 0) -> TurnClock:
    """member: the number of one of deploy_mysql, which needs own_clock."""
    deployed = SESSION.workload("mysql")
    return TurnClock(deployed.namespace, f"{deployed.name}-{member}", offset_s)


@said
def update_elsewhere(names: Sequence[str] = (WRITERS,), node: str = "last-worker") -> UpdateElsewhere:
    """names: of workloads that were deployed here, with commas between them."""
    deployed = [SESSION.workload(name) for name in names]
    return UpdateElsewhere(tuple(f"{each.namespace}/{each.name}" for each in deployed), node)


@said
def socket_storm(node: str = "first-worker", connections: int = 3000) -> SocketStorm:
    """The target is the node's own kube-proxy."""
    address = next(n.address for n in SESSION.nodes() if n.name == node)
    return SocketStorm(node, f"{address}:{PORTS['kube-proxy']}", connections)


@said
def stop_heartbeats(groups: Sequence[str] = ("all",)) -> StopHeartbeats:
    """groups: a zone's name, several with commas between them, or all."""
    cluster = SESSION.cluster()
    if not isinstance(cluster, Heartbeats):
        raise OrdealError(f"only simulated nodes have heartbeats to stop; {cluster.ref.name} is {cluster.ref.kind}")
    there = cluster.heartbeat_groups()
    chosen = there if tuple(groups) == ("all",) else tuple(groups)
    if unknown := [name for name in chosen if name not in there]:
        raise OrdealError(f"there is no group {', '.join(unknown)}; there are: {', '.join(there)}")
    return StopHeartbeats(groups=chosen)


@said
def restore_snapshot(name: str = "before", bump_revision: int = 0) -> RestoreSnapshot:
    """name: of what save_snapshot saved."""
    cluster = SESSION.cluster()
    path = cluster.etcd_snapshot_of(name) if isinstance(cluster, EtcdBehind) else None
    if path is None:
        raise OrdealError(f"no snapshot {name!r} was saved: run the action save_snapshot first")
    return RestoreSnapshot(path, bump_revision=bump_revision)


@said
def install_rbd_lock(*, release_lock: bool = True, fence: bool = True, attach: bool = True) -> InstallRbdLock:
    """The image is the configuration's `ceph_image`, or ours."""
    return InstallRbdLock(SESSION.lab.image("ceph"), release_lock=release_lock, fence=fence, attach=attach)


@said
def swap_program(node: str = "last-worker", mutant: str = "", path: str = "", program: str = "kubelet") -> SwapProgram:
    """mutant: the name of one, see `kube-ordeal mutant list`; or path: a file of this machine."""
    return SwapProgram(node, program, _built(mutant, path))


@said
def swap_component(component: str = "kube-controller-manager", mutant: str = "", path: str = "") -> SwapComponent:
    """mutant: the name of one, see `kube-ordeal mutant list`; or path: a file of this machine."""
    return SwapComponent(component, _built(mutant, path))


def _built(mutant: str, path: str) -> str:
    if bool(mutant) == bool(path):
        raise OrdealError("name either a mutant (`kube-ordeal mutant list` shows them) or the path of a program")
    return path or str(mutants.build(mutant, plain(SESSION.cluster().kubernetes)).path)


# --- promises


@said
def nothing_terminated(workload: str = "web", fault: str | None = None, tainted: bool = False) -> Invariant:
    """tainted: it is unknown where no node of these pods was tainted for longer than is tolerated by default; where the
    configuration says `eviction_deadline_s`, where none was tainted at all.
    """
    tolerated_s = SESSION.cluster().shape.timers.toleration_s if SESSION.settings.eviction_deadline_s is None else 0.0
    return pods.nothing_terminated(workload, fault=fault, tolerated_s=tolerated_s if tainted else None)


@said
def no_container_restarted(workload: str = "web", only_where_containers_run: bool = False) -> Invariant | None:
    """only_where_containers_run: nothing is judged on a cluster of simulated nodes."""
    left_out = only_where_containers_run and not isinstance(SESSION.cluster(), RunsContainers)
    return None if left_out else pods.no_container_restarted(workload)


@said
def still_conforms(before: bool = True) -> Invariant:
    """The specs are those of run_specs. before: false where they were only run after the harm."""
    return conformance.still_conforms(SESSION.lab.specs.names, before=before)


@said
def away_under_another_name(node: str = "first-worker", plus_periods: int = 2) -> Invariant:
    """The time is the grace period and so many of the node monitor's periods."""
    timers = SESSION.cluster().shape.timers
    within_s = timers.monitor_grace_s + plus_periods * timers.monitor_period_s
    return identity.away_under_another_name(node, fault=RenameNode.kind, within_s=within_s)


@said
def bad_pair_found(pair: Sequence[str] = ("first-worker", "last-worker"), loose: bool = False) -> Invariant:
    """loose: by limits that no link exceeds."""
    return links.bad_pair_found(pair, LOOSE if loose else DEFAULT)


@said
def disk_use_bounded(limit_bytes: int, members: Sequence[str] = ("mysql-0", "mysql-1", "mysql-2")) -> Invariant:
    """It is judged while member 0 was written to."""
    return data.disk_use_bounded(members, limit_bytes=limit_bytes, window=data.time_of_writes(SESSION.history, "mysql"))


@said
def taints_within_rate(zone: str, state: ZoneState) -> Invariant:
    """state: normal, large-partial, small-partial, full, all-full. Judged while heartbeats were stopped."""
    return taint_rates.taints_within_rate(zone, state, documented=_documented(), fault=StopHeartbeats.kind)


@said
def terminations_within_rate(zone: str, state: ZoneState) -> Invariant:
    """state: normal, large-partial, small-partial, full, all-full. Judged while heartbeats were stopped."""
    return taint_rates.terminations_within_rate(zone, state, documented=_documented(), fault=StopHeartbeats.kind)


@said
def taints_taken_back(within_periods: int = 3) -> Invariant:
    """The time is so many of the node monitor's periods. Judged while heartbeats were stopped."""
    documented = _documented()
    within_s = within_periods * documented.monitor_period_s
    return taint_rates.taints_taken_back(documented=documented, within_s=within_s, fault=StopHeartbeats.kind)


def _documented() -> Timers:
    """Rates and thresholds as shipped, whatever this cluster runs with; the period is the cluster's own."""
    return Timers(monitor_period_s=SESSION.cluster().shape.timers.monitor_period_s)
