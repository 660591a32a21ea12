"""The measures as Chaos Toolkit probes: invariants that return findings, figures that return numbers, the verdict.

An invariant's finding is {"invariant", "verdict": "held" | "violated" | "unknown", "sentence", "reason", "figures"};
the verdict is made of all findings of the run. A figure that can't be had is a failed probe, never a number.
"""

from collections.abc import Mapping

from chaos.clusters.abilities import RunsContainers
from chaos.clusters.shape import Timers
from chaos.errors import OrdealError
from chaos.harm.ballast import FillFileSystem
from chaos.harm.heartbeats import StopHeartbeats
from chaos.judge import availability, conformance, data, heartbeats, pods, start
from chaos.judge import nodes as rates
from chaos.judge import nodes_ready as nodes_invariants
from chaos.judge.base import Figure, Finding, Invariant, Verdict, judge
from chaos.judge.nodes import ZoneState
from chaos.record.history import NodeChange
from chaos.results.results import Outcome
from chaos.subjects.eviction import promises as eviction
from chaos.subjects.handles import promises as handles
from chaos.subjects.handles.faults import EatHandles
from chaos.subjects.identity import promises as identity
from chaos.subjects.identity.faults import RenameNode
from chaos.subjects.links import promises as links
from chaos.subjects.links import promises as redis
from chaos.subjects.links.sampler import DEFAULT, LOOSE
from chaos.subjects.mysql import promises as replication
from chaos.subjects.pleg import promises as pleg
from chaos.subjects.preflight import promises as preflight
from chaos.subjects.volumes import promises as storage
from chaos.subjects.watch_cache import promises as watch_cache
from chaos.toolkit.actions import nodes_named
from chaos.toolkit.session import SESSION, Configuration, activity, always, by_variant

__all__ = [
    "all_nodes_ready",
    "answered_throughout",
    "at_most_one_writer",
    "away_under_another_name",
    "bad_pair_found",
    "clock_was_turned",
    "clocks_agree",
    "containers_restarted",
    "critical_pods_stay",
    "daemons_not_restarted",
    "disk_does_not_grow",
    "disk_use_bounded",
    "dns_answers",
    "evicted_by_use",
    "existing_connections",
    "failure_shows",
    "handle_limit_not_reached",
    "handle_limits",
    "inotify_instances",
    "kubelets_report_again",
    "links_alike",
    "longest_outage_ms",
    "new_pods_start",
    "no_acknowledged_write_lost",
    "no_container_restarted",
    "no_kernel_memory_limit",
    "no_member_evicted",
    "no_stale_lock",
    "nobody_takes_over",
    "node_stays_ready",
    "nodes_ready",
    "nodes_ready_again",
    "nothing_terminated",
    "one_node_per_machine",
    "outage_at_most",
    "pleg_last_seen",
    "pleg_recovers",
    "pods_converge",
    "pods_start",
    "pods_start_after_release",
    "pods_terminated",
    "pressure_clears",
    "pressure_reported",
    "ready_throughout",
    "replication_runs",
    "running_again",
    "runs_again",
    "same_data",
    "same_pods",
    "served_again_within",
    "server_version_not_affected",
    "slab_does_not_grow",
    "slowest_pod_start_s",
    "still_conforms",
    "storage_driver_sound",
    "taints_per_s",
    "taints_taken_back",
    "taints_within_rate",
    "terminations_within_rate",
    "verdict",
    "versions_not_affected",
    "watchers_see",
    "whole_again_within",
]

UNREACHABLE_NO_EXECUTE = "node.kubernetes.io/unreachable:NoExecute"
FOR_EVER_S = float("inf")
WRITERS = "rolling-update,recreate,stateful-set"

Reported = dict[str, object]


# --- invariants: each takes the recording, and its finding counts for the verdict


@activity
def nothing_terminated(workload: str = "web", fault: str = "", tainted: bool = False) -> Reported:
    """No pod of the workload was marked for deletion, deleted, evicted, or failed.

    fault: the kind of the fault in whose time it is judged, such as cut-off; without, the whole recording is. tainted:
    it is unknown where no node of these pods was tainted for longer than is tolerated by default, by the cluster's
    timers; where the configuration says `eviction_deadline_s`, where none was tainted at all.
    """
    told, timers = SESSION.settings.eviction_deadline_s, SESSION.cluster().shape.timers
    tolerated_s = (0.0 if told else timers.toleration_s) if tainted else None
    return _judged(pods.nothing_terminated(workload, fault=fault or None, tolerated_s=tolerated_s))


@activity
def still_conforms(before: bool = True) -> Reported:
    """Each of upstream's specs that passed before the harm passes after it; needs run_specs.

    before: false where they were only run after it: then each has to pass.
    """
    return _judged(conformance.still_conforms(SESSION.lab.spec_names, before=bool(before)))


@activity
def no_container_restarted(workload: str = "web", only_where_containers_run: bool = False) -> Reported | None:
    """Every container of the workload's pods is the one that ran before.

    only_where_containers_run: nothing is judged on a cluster of simulated nodes.
    """
    if only_where_containers_run and not isinstance(SESSION.cluster(), RunsContainers):
        return None
    return _judged(pods.no_container_restarted(workload))


@activity
def same_pods(workload: str = "web") -> Reported:
    """The workload's pods at the end are those of the beginning."""
    return _judged(pods.same_pods(workload))


@activity
def outage_at_most(limit_s: float = 2.0) -> Reported:
    """No node saw the workload's Service away for longer than `limit_s` seconds."""
    return _judged(availability.outage_at_most(float(limit_s)))


@activity
def answered_throughout() -> Reported:
    """Every probe of the workload's Service was answered."""
    return _judged(availability.answered_throughout())


@activity
def nodes_ready_again(nodes: str = "all", within_s: float = 60.0) -> Reported:
    """The nodes were Ready for good within `within_s` seconds after the last fault was undone.

    nodes: names with commas between them, or the words all, workers, control-plane.
    """
    return _judged(nodes_invariants.nodes_ready_again(nodes_named(nodes), within_s=float(within_s)))


@activity
def kubelets_report_again(nodes: str = "all", within_s: float = 60.0) -> Reported:
    """The nodes' kubelets renewed their leases within `within_s` seconds after the last fault was undone.

    nodes: names with commas between them, or the words all, workers, control-plane.
    """
    return _judged(heartbeats.kubelets_report_again(nodes_named(nodes), within_s=float(within_s)))


@activity
def new_pods_start(within_s: float = 60.0) -> Reported:
    """On every node that start_new_pods tried a new pod was Ready within `within_s` seconds."""
    return _judged(start.new_pods_start(within_s=float(within_s)))


@activity
def taints_within_rate(zone: str, state: str) -> Reported:
    """While its heartbeats were stopped, the zone's nodes got NoExecute taints no faster than documented for its state.

    state: normal, large-partial, small-partial, full, all-full.
    """
    invariant = rates.taints_within_rate(zone, _state(state), documented=_documented(), fault=StopHeartbeats.kind)
    return _judged(invariant)


@activity
def terminations_within_rate(zone: str, state: str) -> Reported:
    """While its heartbeats were stopped, no more nodes of the zone lost pods than the documented rates allow."""
    invariant = rates.terminations_within_rate(zone, _state(state), documented=_documented(), fault=StopHeartbeats.kind)
    return _judged(invariant)


@activity
def taints_taken_back(within_periods: int = 3) -> Reported:
    """Once no node sent heartbeats, all NoExecute taints were gone after so many of the node monitor's periods."""
    documented = _documented()
    within_s = int(within_periods) * documented.monitor_period_s
    return _judged(rates.taints_taken_back(documented=documented, within_s=within_s, fault=StopHeartbeats.kind))


@activity
def watchers_see(fault: str, within_s: float = 5.0) -> Reported:
    """From `within_s` seconds after the fault on, watchers saw the ConfigMaps as etcd held them, until the undo."""
    return _judged(watch_cache.watchers_see(fault, within_s=float(within_s)))


@activity
def critical_pods_stay(node: str, namespaces: str = "kube-system,kube-flannel") -> Reported:
    """While its file system was full, no pod of the system's namespaces on the node was evicted, deleted or restarted.

    namespaces: names with commas between them: where kube-proxy, the CNI agent and their like are.
    """
    chosen = tuple(part.strip() for part in namespaces.split(",") if part.strip())
    return _judged(eviction.critical_pods_stay(_one(node), FillFileSystem.kind, namespaces=chosen))


@activity
def pressure_reported(node: str, within_s: float = 60.0) -> Reported:
    """The node reported DiskPressure within `within_s` seconds after its file system was full."""
    return _judged(eviction.pressure_reported(_one(node), FillFileSystem.kind, within_s=float(within_s)))


@activity
def evicted_by_use(node: str, workload: str = "eater") -> Reported:
    """The kubelet evicted the workload's pods, which use most, before others. Needs the action follow_eviction_log."""
    return _judged(eviction.evicted_by_use(_one(node), workload, FillFileSystem.kind))


@activity
def pressure_clears(node: str, within_s: float = 70.0) -> Reported:
    """The node reported no DiskPressure any more within `within_s` seconds after the space was back."""
    return _judged(eviction.pressure_clears(_one(node), FillFileSystem.kind, within_s=float(within_s)))


@activity
def runs_again(workload: str = "eater", within_s: float = 130.0) -> Reported:
    """As many of the workload's pods as before were Ready within `within_s` seconds after the space was back."""
    return _judged(eviction.runs_again(workload, FillFileSystem.kind, within_s=float(within_s)))


@activity
def one_node_per_machine() -> Reported:
    """At no time were there two Nodes with the same machine id, system UUID, provider id or address."""
    return _judged(identity.one_node_per_machine())


@activity
def ready_throughout(nodes: str = "first-worker") -> Reported:
    """The nodes were Ready from the beginning of the recording to its end."""
    return _judged(identity.ready_throughout(nodes_named(nodes)))


@activity
def away_under_another_name(node: str = "first-worker", plus_periods: int = 2) -> Reported:
    """The renamed node was seen not Ready within the grace period and so many of the node monitor's periods."""
    timers = SESSION.cluster().shape.timers
    within_s = timers.monitor_grace_s + int(plus_periods) * timers.monitor_period_s
    return _judged(identity.away_under_another_name(_one(node), fault=RenameNode.kind, within_s=within_s))


@activity
def pods_start(within_s: float = 60.0) -> Reported:
    """Each pod of start_spare_pods was Ready within `within_s` seconds while handles were eaten."""
    return _judged(handles.pods_start("spare", fault=EatHandles.kind, within_s=float(within_s)))


@activity
def pods_start_after_release(within_s: float = 60.0) -> Reported:
    """Each pod that had to wait was Ready within `within_s` seconds after the handles were released."""
    return _judged(handles.pods_start_after_release("spare", fault=EatHandles.kind, within_s=float(within_s)))


@activity
def dns_answers(limit_s: float = 2.0, nodes: str = "first-worker") -> Reported:
    """DNS was never away for longer than `limit_s` seconds, asked from the nodes' own networks."""
    return _judged(handles.dns_answers(float(limit_s), nodes=nodes_named(nodes)))


@activity
def existing_connections(limit_s: float = 2.0, nodes: str = "first-worker") -> Reported:
    """The connections that were kept from the nodes stayed the same, and were never silent for longer."""
    return _judged(handles.existing_connections(float(limit_s), nodes=nodes_named(nodes)))


@activity
def failure_shows(places: Mapping[str, str] | Mapping[str, Mapping[str, str]]) -> Reported:
    """Each daemon, which must have reached its limit, said so in a log or an event.

    places: the node by daemon; may be a choice by variant.
    """
    return _judged(handles.failure_shows(dict(_places(places))))


@activity
def daemons_not_restarted(places: Mapping[str, str] | Mapping[str, Mapping[str, str]]) -> Reported:
    """The daemons' processes at the end are those of the beginning. places: the node by daemon; may be a
    choice by variant.
    """
    return _judged(handles.daemons_not_restarted(dict(_places(places))))


@activity
def handle_limit_not_reached(daemon: str = "containerd", node: str = "first-worker") -> Reported:
    """The daemon always had handles left."""
    return _judged(handles.handle_limit_not_reached(_one(node), daemon))


@activity
def node_stays_ready(node: str = "last-worker", back_within_s: float = 150.0) -> Reported:
    """The node was Ready all the time, or never away for longer than `back_within_s` seconds."""
    return _judged(pleg.node_stays_ready(_one(node), back_within_s=float(back_within_s)))


@activity
def pleg_last_seen(node: str = "last-worker", limit_s: float | Mapping[str, float] = 180.0) -> Reported:
    """The kubelet's PLEG was never away for longer than the threshold of the kubelet that ran. May be a choice."""
    limit = float(by_variant(limit_s, SESSION.lab.control))
    return _judged(pleg.pleg_last_seen(_one(node), limit_s=limit))


@activity
def pleg_recovers(
    node: str = "last-worker", limit_s: float | Mapping[str, float] = 180.0, within_s: float = 120.0
) -> Reported:
    """After the last wave of pods the kubelet's PLEG was quick again within `within_s` seconds. limit_s: a choice."""
    limit = float(by_variant(limit_s, SESSION.lab.control))
    return _judged(pleg.pleg_recovers(_one(node), limit_s=limit, within_s=float(within_s)))


@activity
def pods_converge(workload: str = "churn", least: int = 1) -> Reported:
    """At the end no pod of the workload was left Terminating, and each of the others had become Ready."""
    return _judged(pleg.pods_converge(workload, least=int(least)))


@activity
def at_most_one_writer(names: str | Mapping[str, str] = WRITERS) -> Reported:
    """In what each workload wrote into its volume nobody wrote between two lines of another, nor in another's lease.

    names: of the workloads, with commas between them. May be a choice by variant.
    """
    return _judged(storage.at_most_one_writer(_writers(names)))


@activity
def same_data(names: str | Mapping[str, str] = WRITERS) -> Reported:
    """Whoever wrote into a volume found all that had been written before. names: as in at_most_one_writer."""
    return _judged(storage.same_data(_writers(names)))


@activity
def running_again(fault: str, names: str | Mapping[str, str] = WRITERS, within_s: float = 45.0) -> Reported:
    """While the fault lasted nobody wrote for at most `within_s` seconds, and at its end somebody did.

    fault: its kind, such as drain-node. names: as in at_most_one_writer.
    """
    return _judged(storage.running_again(_writers(names), fault=fault, within_s=float(within_s)))


@activity
def nobody_takes_over(
    fault: str = "power-off", until: str = "mark-out-of-service", names: str | Mapping[str, str] = WRITERS
) -> Reported:
    """From when the fault landed until the other, `until`, was planned, no other pod wrote than the one before."""
    return _judged(storage.nobody_takes_over(_writers(names), fault=fault, until=until))


@activity
def no_stale_lock(names: str | Mapping[str, str] = WRITERS) -> Reported:
    """At the end each lock and VolumeAttachment of a workload's volume is of a node that has a pod of the workload."""
    return _judged(storage.no_stale_lock(_writers(names)))


@activity
def links_alike(suspect: str = "first-worker,last-worker") -> Reported:
    """No pair of nodes stands out by throughput, loss or round-trip time. Needs measure_links.

    suspect: the pair that bad_link has made bad, if any; where it alone stands out, the reason is "that-pair".
    """
    return _judged(links.links_alike(suspect=nodes_named(suspect)))


@activity
def bad_pair_found(pair: str = "first-worker,last-worker", loose: bool | Mapping[str, bool] = False) -> Reported:
    """The measurement names that pair of nodes, and no other. Needs measure_links.

    loose: by limits that no link exceeds; may be a choice by variant.
    """
    limits = LOOSE if by_variant(loose, SESSION.lab.control) else DEFAULT
    return _judged(links.bad_pair_found(nodes_named(pair), limits))


@activity
def no_acknowledged_write_lost(store: str, members: str, allowed: int = 0) -> Reported:
    """Every write to a store that was acknowledged is on each of its members (names with commas between them).

    allowed: how many the store's documentation lets it lose, at the worst member.
    """
    named = [name.strip() for name in members.split(",")]
    return _judged(data.no_acknowledged_write_lost(store, members=named, allowed=int(allowed)))


@activity
def served_again_within(store: str, within_s: float, client: str = "", fault: str = "") -> Reported:
    """No time without an acknowledged write to a store, by any client or by one, was longer than `within_s` seconds.

    fault: the kind of the fault in whose time it is judged; without, the whole recording is.
    """
    return _judged(data.served_again_within(store, float(within_s), client=client, fault=fault or None))


@activity
def disk_use_bounded(limit_bytes: int, members: str = "mysql-0,mysql-1,mysql-2") -> Reported:
    """While it was written each member's data stayed below `limit_bytes`, and had stopped growing.

    Needs watch_members and start_writing.
    """
    named, written = [name.strip() for name in members.split(",")], data.time_of_writes(SESSION.history, "mysql")
    return _judged(data.disk_use_bounded(named, limit_bytes=int(limit_bytes), window=written))


@activity
def no_member_evicted(workload: str = "mysql") -> Reported:
    """No pod of the workload was evicted by its kubelet."""
    return _judged(data.no_member_evicted(workload))


@activity
def replication_runs(members: str = "mysql-1,mysql-2") -> Reported:
    """Each of these members, which follow the source, did so at every look. Needs watch_members."""
    return _judged(replication.replication_runs([name.strip() for name in members.split(",")]))


@activity
def clock_was_turned(offsets_s: list[float] | Mapping[str, list[float]], member: str = "mysql-0") -> Reported:
    """The member's clock was seen at each of these offsets, in seconds, and was right at the end. May be a choice."""
    offsets = tuple(float(each) for each in by_variant(offsets_s, SESSION.lab.control))
    return _judged(replication.clock_was_turned(member, offsets))


@activity
def server_version_not_affected() -> Reported:
    """No MySQL server that read_mysql_versions found is of a version that ends when its clock goes back."""
    return _judged(replication.server_version_not_affected())


@activity
def whole_again_within(store: str = "redis", within_s: float = 30.0, fault: str = "bad-link") -> Reported:
    """After each fault of that kind was undone, the store was whole again. Needs wait_until_redis_is_whole."""
    return _judged(redis.whole_again_within(store, float(within_s), fault=fault))


# --- figures


@activity
def versions_not_affected() -> Reported:
    """No node's kernel, kubelet or runtime is of a version that an incident was due to. Needs read_node_facts."""
    return _judged(preflight.versions_not_affected())


@activity
def handle_limits(wanted: int = preflight.WANTED_HANDLES) -> Reported:
    """Each daemon may open so many files, or as many as the machine lets it. Needs read_node_facts."""
    return _judged(preflight.handle_limits(int(wanted)))


@activity
def inotify_instances() -> Reported:
    """There are inotify instances for as many pods as each node takes. Needs read_node_facts."""
    return _judged(preflight.inotify_instances())


@activity
def clocks_agree(within_s: float = 0.5) -> Reported:
    """No two nodes' clocks differ by more. Needs read_node_facts."""
    return _judged(preflight.clocks_agree(float(within_s)))


@activity
def no_kernel_memory_limit() -> Reported:
    """No pod's kernel memory is limited, and no SLUB failure is in the kernel log. Needs read_node_facts."""
    return _judged(preflight.no_kernel_memory_limit())


@activity
def storage_driver_sound() -> Reported:
    """The runtime's snapshotter is none that falls back to a loop device. Needs read_node_facts."""
    return _judged(preflight.storage_driver_sound())


@activity
def slab_does_not_grow(limit_bytes_per_200: int = preflight.SLAB_LIMIT_BYTES) -> Reported:
    """Unreclaimable kernel memory grows by no more for 200 container starts. Needs measure_node before and after."""
    return _judged(preflight.slab_does_not_grow(int(limit_bytes_per_200)))


@activity
def disk_does_not_grow(limit_bytes_per_200: int = preflight.DISK_LIMIT_BYTES) -> Reported:
    """The runtime's files grow by no more for 200 container starts. Needs measure_node before and after."""
    return _judged(preflight.disk_does_not_grow(int(limit_bytes_per_200)))


@activity
def nodes_ready(configuration: Configuration | None = None) -> int:
    """How many nodes are Ready now."""
    return sum(n.ready == "True" for n in SESSION.open(configuration).cluster().nodes())


@activity
def all_nodes_ready(configuration: Configuration | None = None) -> bool:
    """Whether every node is Ready now."""
    there = SESSION.open(configuration).cluster().nodes()
    return bool(there) and all(n.ready == "True" for n in there)


@activity
def longest_outage_ms(node: str = "") -> int:
    """The longest time, in milliseconds, for which the workload's Service did not answer, from any node or from one."""
    figures = _figures(availability.outage_at_most(FOR_EVER_S, nodes=(node,) if node else None))
    return int(figures["longest_outage_ms"])


@activity
def pods_terminated(workload: str = "web") -> int:
    """How many pods of the workload were marked for deletion, deleted, evicted, or failed."""
    return int(_figures(pods.nothing_terminated(workload))["terminated"])


@activity
def containers_restarted(workload: str = "web") -> int:
    """In how many pods of the workload a container restarted."""
    return int(_figures(pods.no_container_restarted(workload)).get("pods_restarted", 0))


@activity
def slowest_pod_start_s() -> float:
    """The longest time, in seconds, that a pod of start_new_pods took from the request to Ready."""
    figures = _figures(start.new_pods_start(within_s=FOR_EVER_S), allow_violated=False)
    return float(figures["slowest_s"])


@activity
def taints_per_s(zone: str = "", taint: str = UNREACHABLE_NO_EXECUTE) -> float:
    """The pace at which nodes of the zone (default: all) got the taint, from the first node to the last.

    0 where fewer than two nodes got it. taint: "key:Effect".
    """
    seen = SESSION.history.of(NodeChange)
    if not seen:
        raise OrdealError("no node was recorded, so no pace of taints can be told")
    first: dict[str, float] = {}
    for change in seen:
        if taint in change.taints and zone in {"", change.zone}:
            first.setdefault(change.name, change.at)
    if len(first) < 2:
        return 0.0
    span_s = max(first.values()) - min(first.values())
    if span_s == 0:
        raise OrdealError(f"{len(first)} nodes were seen with {taint} at the same moment, so no pace can be told")
    return (len(first) - 1) / span_s


# --- the verdict


@always
def verdict() -> Reported:
    """The verdict of the run by all its findings: held, violated or unknown, with the sentence that says why.

    Unknown where any activity failed before, where a fault is still in place, or where nothing was judged. As a
    hypothesis give it the tolerance {type: regex, target: verdict, pattern: "^held$"}, and run it after the method.
    """
    if not SESSION.is_open:
        return {"verdict": str(Verdict.UNKNOWN), "passed": False, "why": "nothing was done yet", "findings": []}
    return reported(SESSION.verdict())


def _state(named: str) -> ZoneState:
    try:
        return ZoneState(named)
    except ValueError:
        raise OrdealError(f"there is no zone state {named!r}; there are: {', '.join(ZoneState)}") from None


def _documented() -> Timers:
    """Rates and thresholds as shipped, whatever this cluster runs with; the period is the cluster's own."""
    return Timers(monitor_period_s=SESSION.cluster().shape.timers.monitor_period_s)


def _one(named: str) -> str:
    found = nodes_named(named)
    if len(found) != 1:
        raise OrdealError(f"{named} names {len(found)} nodes, and the probe is for one: {', '.join(found)}")
    return found[0]


def _places(places: Mapping[str, str] | Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    chosen = by_variant(places, SESSION.lab.control)
    return [(str(daemon), _one(str(node))) for daemon, node in chosen.items()]


def _writers(named: str | Mapping[str, str]) -> tuple[str, ...]:
    listed = str(by_variant(named, SESSION.lab.control))
    return tuple(name for part in listed.split(",") if (name := part.strip()))


def _judged(invariant: Invariant) -> Reported:
    SESSION.lab.expect(SESSION.history, invariant)
    return reported_finding(SESSION.lab.findings[-1])


def _figures(invariant: Invariant, *, allow_violated: bool = True) -> Mapping[str, Figure]:
    """The figures that the invariant measures, without a finding. Raises OrdealError where nothing vouches for them."""
    finding = judge(invariant, SESSION.history)
    if finding.verdict is Verdict.UNKNOWN or (finding.verdict is Verdict.VIOLATED and not allow_violated):
        raise OrdealError(f"this can't be measured: {finding.sentence}")
    return finding.figures


def reported(outcome: Outcome) -> Reported:
    """As JSON, for Chaos Toolkit's journal."""
    return {
        "verdict": str(outcome.verdict),
        "passed": outcome.passed,
        "why": outcome.why,
        "incident": outcome.id,
        "control": outcome.control,
        "findings": [reported_finding(f) for f in outcome.findings],
        "histories": [str(path) for path in outcome.histories],
    }


def reported_finding(finding: Finding) -> Reported:
    """As JSON, for Chaos Toolkit's journal."""
    return {
        "invariant": finding.invariant,
        "verdict": str(finding.verdict),
        "sentence": finding.sentence,
        "reason": finding.reason,
        "figures": dict(finding.figures),
    }
