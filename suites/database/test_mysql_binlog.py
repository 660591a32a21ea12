"""mysql-binlog: a replicated MySQL under write load, whose binary logs grow."""

import time
from collections.abc import Callable
from contextlib import ExitStack

from chaos.clusters.abilities import NodeExec, NodeNetwork, NodeProcesses, OwnFileSystems, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.shape import VOLUME, stateful_shape
from chaos.harm.ballast import FillFileSystem
from chaos.harm.kubelet import SetKubeletConfig
from chaos.hosts.extras import DATABASES
from chaos.judge.base import Invariant, Verdict
from chaos.judge.data import (
    DISK_USE,
    OVER_LIMIT,
    disk_use_bounded,
    no_acknowledged_write_lost,
    no_member_evicted,
    served_again_within,
)
from chaos.judge.pods import no_container_restarted
from chaos.record.history import History, Window
from chaos.record.records import PodChange, Sample
from chaos.run.incident import HARDENED, STATEFUL, Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, exactly, judged, says
from chaos.subjects.mysql.faults import ProvideVolumes
from chaos.subjects.mysql.pace import (
    EVICTION,
    LET_END,
    LIMIT_BYTES,
    PACES,
    SETTLES_WITHIN,
    VOLUME_BYTES,
    Pace,
    small_node,
    written_in,
)
from chaos.subjects.mysql.promises import replication_runs
from chaos.subjects.mysql.sampler import DiskSamples, MemberWatch, observe_logs, read_back, write_settings
from chaos.subjects.mysql.workload import (
    MySQL,
    ask_member,
    caught_up,
    kind_of_replication,
    logs,
    members,
    node_to_ask_from,
)
from chaos.workloads.web import Deployed
from chaos.writers.client import Writing

NEEDS = (RunsContainers, NodeExec, NodeProcesses, NodeNetwork, OwnFileSystems)
MEMBERS = ("mysql-0", "mysql-1", "mysql-2")
NO_EXPIRY = "no-expiry"
KEEP_LOGS = ("ephemeral", "full-volume", NO_EXPIRY)  # the controls whose binary logs are kept for ever
SERVED_WITHIN_S = 10.0
CAUGHT_UP_WITHIN_S = 180.0  # a replica does on one disk what the source has done; what is behind is unknown
HARM_WITHIN_S = 600.0  # ends when it is seen
AFTERWARDS_S = SERVED_WITHIN_S + 5.0


def promises(_: Conditions) -> tuple[Judged, ...]:
    """What the controls do is part of their configuration: it is written, and no harm is done."""
    return judged(
        says(no_member_evicted, "mysql"),
        says(no_container_restarted, "mysql"),
        says(disk_use_bounded, MEMBERS, limit_bytes=LIMIT_BYTES, window=exactly("while it was written", written_in)),
        says(served_again_within, "mysql", SERVED_WITHIN_S),
        says(replication_runs, MEMBERS[1:]),
        says(no_acknowledged_write_lost, "mysql", members=MEMBERS),
    )


@incident(
    "mysql-binlog",
    on=("kind",),
    needs=NEEDS,
    controls=("ephemeral", "full-volume", NO_EXPIRY, "rows-dropped"),
    shape=STATEFUL,
    load=Load.WORKS,
    images=("mysql",),
    extras=(DATABASES,),
    faults={
        HARDENED: (ProvideVolumes,),
        "ephemeral": (SetKubeletConfig,),
        "full-volume": (ProvideVolumes, FillFileSystem),
        "no-expiry": (ProvideVolumes,),
        "rows-dropped": (ProvideVolumes,),
    },
    promises=promises,
)
def test_binary_logs_leave_room(lab: Lab) -> None:
    """When rows are written for longer than binary logs are kept, no member MUST be evicted or restarted, each one's
    use of its disk MUST stop growing, writers MUST be served, and every acknowledged row MUST be on every member.
    """
    cluster = lab.cluster(stateful_shape(lab.timers))
    assert isinstance(cluster, NodeNetwork)
    load = PACES["smoke" if lab.control else lab.profile.name]  # what a control leads to should not take ten minutes
    lab.fact("binlog_expire_logs_seconds", 0 if lab.control in KEEP_LOGS else load.expire_s)
    if load.expire_s != 300:
        lab.fact("shortened", f"binlog_expire_logs_seconds is {load.expire_s} s for the remedy's 300 s")
    lab.fact("binlog_bytes_per_s", round(load.bytes_per_s))
    with ExitStack() as set_up:
        history, deployed = _replay(lab, cluster, load, set_up)
        names = [f"{deployed.name}-{n}" for n in range(deployed.replicas)]
        lab.expect(
            history,
            no_member_evicted(deployed.name),
            no_container_restarted(deployed.name),
            _bounded(deployed, written_in(history)),
            served_again_within(deployed.name, SERVED_WITHIN_S),
            replication_runs(names[1:]),
            no_acknowledged_write_lost(deployed.name, members=names),
        )


def _replay(lab: Lab, cluster: Cluster, load: Pace, set_up: ExitStack) -> tuple[History, Deployed]:
    """Deploy, write, look at what became of it, read every member."""
    image = lab.image("mysql")
    workers = tuple(sorted(n.name for n in cluster.nodes() if not n.control_plane))
    if lab.control == "ephemeral":
        small = small_node(cluster, workers)
        set_up.enter_context(lab.configured(SetKubeletConfig(small, EVICTION)))
        other = next(w for w in workers if w != small)
        workload, folder = MySQL(image, nodes=(small, small, other)), ""
    else:
        load.check()
        volumes = set_up.enter_context(lab.configured(ProvideVolumes(workers, VOLUME_BYTES)))
        expire_s = 0 if lab.control in KEEP_LOGS else load.expire_s
        folder = volumes.folder
        workload = MySQL(image, storage_class=volumes.name, volume_bytes=VOLUME_BYTES, expire_s=expire_s)
    set_up.enter_context(lab.removing_workloads())  # before the volumes are taken away
    deployed = lab.deploy(workload)
    lab.fact("replication", kind_of_replication(deployed))
    there = members(deployed)
    lab.table("members", [{"member": m.name, "node": m.node, "data": folder or "ephemeral"} for m in there])
    if lab.control == "full-volume":
        # A volume too small for the logs: most of it is taken before anything is written.
        set_up.enter_context(lab.configured(FillFileSystem(there[0].node, VOLUME, 75)))
    if lab.control == "rows-dropped":
        # A server that acknowledges and keeps nothing: what the check of lost rows must find.
        drop = ["SET SESSION sql_log_bin = 0", "ALTER TABLE ordeal.writes ENGINE = BLACKHOLE"]
        ask_member(deployed, there[-1], drop)
    return _write(lab, cluster, deployed, load, folder), deployed


def _write(lab: Lab, cluster: Cluster, deployed: Deployed, load: Pace, folder: str) -> History:
    assert isinstance(cluster, NodeNetwork)
    began = time.time()
    samplers = (
        lambda history: DiskSamples(history, deployed, folder),
        lambda history: MemberWatch(history, deployed),
    )
    settings = write_settings(deployed, clients=load.clients, body_bytes=load.body_bytes, per_s=load.per_s)
    with lab.record(samplers=samplers) as history:
        lab.phase(
            "write", f"{load.per_s:g} transactions a second of {2 * load.body_bytes >> 10} KiB of binary log each"
        )
        node = node_to_ask_from(cluster)
        with Writing(cluster, history, node, deployed.name, "mysql", settings) as writing:
            harm = _harm(lab.control, deployed, history)
            if lab.control is None:
                began_s = history.now()
                lab.hold(load.for_s, "longer than binary logs are kept")

                def settled() -> bool:
                    found = lab.finding_now(_bounded(deployed, Window(began_s, history.now())))
                    return found.verdict is Verdict.HELD or found.reason == OVER_LIMIT

                lab.hold_until(
                    settled, within_s=(SETTLES_WITHIN - 1) * load.for_s, because="no member's use of its disk grows"
                )
            elif harm is None:
                lab.hold(15, "any acknowledged row is one that has to be on every member")
            else:
                lab.hold_until(harm, within_s=HARM_WITHIN_S, because=f"what {lab.control} leads to")
                if lab.control != NO_EXPIRY:  # its volume would be full soon after
                    lab.hold(AFTERWARDS_S, "whether anybody is served again")
            lab.phase(LET_END, "the writers")
        lab.fact("acknowledged", writing.acknowledged)
        lab.fact("not_acknowledged", writing.refused)
        lab.take_evidence("write-load", since_wall=began)
        if harm is None:
            lab.recover(lambda: caught_up(deployed), within_s=CAUGHT_UP_WITHIN_S, what="every member has every row")
        read_back(history, deployed)
        observe_logs(history, logs(deployed))
    return history


def _bounded(deployed: Deployed, written: Window) -> Invariant:
    """While it is written: afterwards nothing grows."""
    names = [f"{deployed.name}-{n}" for n in range(deployed.replicas)]
    return disk_use_bounded(names, limit_bytes=LIMIT_BYTES, window=written)


def _harm(control: str | None, deployed: Deployed, history: History) -> Callable[[], bool] | None:
    """What a control is expected to lead to: two of three members evicted, a server that ends again and again, a member
    that uses more of its disk than it may.
    """

    def evicted() -> bool:
        changes = [c for c in history.of(PodChange) if c.workload == deployed.name and c.reason == "Evicted"]
        return len({c.name for c in changes}) >= 2

    told: list[bool] = []

    def crash_loops() -> bool:
        restarts = max((c.restarts for c in history.of(PodChange) if c.workload == deployed.name), default=0)
        if restarts and not told:
            observe_logs(history, logs(deployed))  # what the server said at its first end is gone after the second
            told.append(True)
        return restarts >= 2

    def over_limit() -> bool:
        used = [s.value for s in history.of(Sample) if s.name == DISK_USE]
        return max(used, default=0.0) > LIMIT_BYTES

    return {"ephemeral": evicted, "full-volume": crash_loops, NO_EXPIRY: over_limit}.get(control or "")
