"""mysql-binlog: a Galera group under write load, whose binary logs grow, and which needs a majority to serve."""

import time
from contextlib import ExitStack

from chaos.clusters.abilities import NodeExec, NodeNetwork, NodeProcesses, OwnFileSystems, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.shape import stateful_shape
from chaos.errors import OrdealError
from chaos.harm.kubelet import SetKubeletConfig
from chaos.hosts.extras import DATABASES
from chaos.judge.base import Invariant, Verdict
from chaos.judge.data import (
    OVER_LIMIT,
    disk_use_bounded,
    no_acknowledged_write_lost,
    no_member_evicted,
    served_again_within,
)
from chaos.judge.pods import no_container_restarted
from chaos.record.history import History, Window
from chaos.record.records import PodChange
from chaos.run.incident import HARDENED, STATEFUL, Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, exactly, judged, says
from chaos.subjects.mysql.faults import ProvideVolumes
from chaos.subjects.mysql.group import READ_ALL, Galera, begin_anew, is_whole, states
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
from chaos.subjects.mysql.promises import STAYS_WITHOUT, group_stays_primary
from chaos.subjects.mysql.records import PRIMARY
from chaos.subjects.mysql.sampler import DiskSamples, GroupWatch, observe_logs, read_members, write_settings
from chaos.subjects.mysql.workload import logs, members, node_to_ask_from
from chaos.workloads.web import Deployed
from chaos.writers.client import Writing

NEEDS = (RunsContainers, NodeExec, NodeProcesses, NodeNetwork, OwnFileSystems)
MEMBERS = ("galera-0", "galera-1", "galera-2")
GROUP_LOST = "group-lost"
# A group waits for a member that is silent, for as long as chaos.subjects.mysql.group.GONE_AFTER_S says.
SERVED_WITHIN_S = 40.0
# From then on, that every member has a pod that runs, a group that can come back by itself has had the time to: a
# member that finds no primary component ends after 30 s (pc.wait_prim_timeout), and is started again.
BACK_WITHIN_S = 45.0
HARM_WITHIN_S = 600.0  # ends when it is seen: two evictions, an eviction's transition period, a pod's start
# The members that come back start again and again meanwhile; the kubelet lets more and more time pass between.
WAY_BACK_WITHIN_S = 400.0


def promises(_: Conditions) -> tuple[Judged, ...]:
    """What the control does is part of its configuration: it is written, and no harm is done."""
    written = exactly("while it was written", written_in)
    return judged(
        says(group_stays_primary, "galera", MEMBERS, given_s=BACK_WITHIN_S, window=written),
        says(no_member_evicted, "galera"),
        says(no_container_restarted, "galera"),
        says(disk_use_bounded, MEMBERS, limit_bytes=LIMIT_BYTES, window=written),
        says(served_again_within, "galera", SERVED_WITHIN_S, window=written),
        says(no_acknowledged_write_lost, "galera", members=MEMBERS),
    )


@incident(
    "mysql-binlog",
    on=("kind",),
    needs=NEEDS,
    controls=(GROUP_LOST,),
    variant="Galera group",
    shape=STATEFUL,
    load=Load.WORKS,
    images=("galera",),
    extras=(DATABASES,),
    faults={HARDENED: (ProvideVolumes,), GROUP_LOST: (SetKubeletConfig,)},
    promises=promises,
)
def test_a_group_keeps_its_quorum(lab: Lab) -> None:
    """When rows are written to a group of three for longer than binary logs are kept, no member MUST be evicted or
    restarted, the group MUST keep its quorum and serve, and every acknowledged row MUST be on every member.
    """
    cluster = lab.cluster(stateful_shape(lab.timers))
    load = PACES["smoke" if lab.control else lab.profile.name]
    lab.fact("binlog_expire_logs_seconds", 0 if lab.control else load.expire_s)
    lab.fact("binlog_bytes_per_s", round(load.bytes_per_s))
    with ExitStack() as set_up:
        deployed, folder = _deploy(lab, cluster, load, set_up)
        history = _write(lab, cluster, deployed, load, folder)
        written = written_in(history)
        lab.expect(
            history,
            _primary(written),
            no_member_evicted(deployed.name),
            no_container_restarted(deployed.name),
            _bounded(written),
            served_again_within(deployed.name, SERVED_WITHIN_S, window=written),
            no_acknowledged_write_lost(deployed.name, members=MEMBERS),
        )


def _deploy(lab: Lab, cluster: Cluster, load: Pace, set_up: ExitStack) -> tuple[Deployed, str]:
    """The group, and the folder of its volumes on the nodes; empty where its data is on ephemeral storage."""
    image = lab.image("galera")
    workers = tuple(sorted(n.name for n in cluster.nodes() if not n.control_plane))
    if lab.control == GROUP_LOST:
        small = small_node(cluster, workers)
        set_up.enter_context(lab.configured(SetKubeletConfig(small, EVICTION)))
        other = next(w for w in workers if w != small)
        workload, folder = Galera(image, nodes=(small, small, other), behind_shell=True), ""
    else:
        load.check()
        volumes = set_up.enter_context(lab.configured(ProvideVolumes(workers, VOLUME_BYTES)))
        workload = Galera(image, storage_class=volumes.name, volume_bytes=VOLUME_BYTES, expire_s=load.expire_s)
        folder = volumes.folder
    set_up.enter_context(lab.removing_workloads())  # before the volumes are taken away
    deployed = lab.deploy(workload)
    lab.table("members", [{"member": m.name, "node": m.node, "data": folder or "ephemeral"} for m in members(deployed)])
    return deployed, folder


def _write(lab: Lab, cluster: Cluster, deployed: Deployed, load: Pace, folder: str) -> History:
    assert isinstance(cluster, NodeNetwork)
    began = time.time()
    samplers = (
        lambda history: DiskSamples(history, deployed, folder),
        lambda history: GroupWatch(history, deployed),
    )
    settings = write_settings(deployed, clients=load.clients, body_bytes=load.body_bytes, per_s=load.per_s)
    with lab.record(samplers=samplers) as history:
        lab.phase(
            "write", f"{load.per_s:g} transactions a second of {2 * load.body_bytes >> 10} KiB of binary log each"
        )
        node = node_to_ask_from(cluster)
        with Writing(cluster, history, node, deployed.name, "mysql", settings) as writing:
            began_s = history.now()
            if lab.control is None:
                lab.hold(load.for_s, "longer than binary logs are kept")

                def settled() -> bool:
                    found = lab.finding_now(_bounded(Window(began_s, history.now())))
                    return found.verdict is Verdict.HELD or found.reason == OVER_LIMIT

                within_s = (SETTLES_WITHIN - 1) * load.for_s
                lab.hold_until(settled, within_s=within_s, because="no member's use of its disk grows")
            else:
                because = "two members are evicted"
                lab.hold_until(lambda: _evicted(history, deployed) >= 2, within_s=HARM_WITHIN_S, because=because)

                def lost() -> bool:
                    found = lab.finding_now(_primary(Window(began_s, history.now())))
                    return found.reason == STAYS_WITHOUT

                because = "all run again, and the group is still without its quorum"
                lab.hold_until(lost, within_s=HARM_WITHIN_S, because=because, every_s=1.0)
            lab.phase(LET_END, "the writers")
        lab.fact("acknowledged", writing.acknowledged)
        lab.fact("not_acknowledged", writing.refused)
        lab.take_evidence("write-load", since_wall=began)
        observe_logs(history, logs(deployed))
        if lab.control is not None:
            _way_back(lab, deployed)
        read_members(history, deployed, READ_ALL)
    return history


def _way_back(lab: Lab, deployed: Deployed) -> None:
    """What `kube-ordeal explain` tells to do is done. Raises OrdealError where it does not lead back."""
    if any(each.component == PRIMARY for each in states(deployed)):
        return  # it has its quorum: the control has not shown what it is there for, and its promise says so
    lab.phase("way back", "the most advanced member begins the group anew")
    began = time.monotonic()
    chosen = begin_anew(deployed)
    lab.fact("begun_anew_of", f"{chosen.member}, which had {chosen.committed} writes and was {chosen.component}")
    what = "every member in the group again"
    if not lab.recover(lambda: is_whole(deployed), within_s=WAY_BACK_WITHIN_S, what=what):
        raise OrdealError(f"the way back is none: {states(deployed)} after {WAY_BACK_WITHIN_S:g} s")
    lab.fact("way_back_s", round(time.monotonic() - began, 1))


def _primary(written: Window) -> Invariant:
    return group_stays_primary("galera", MEMBERS, given_s=BACK_WITHIN_S, window=written)


def _bounded(written: Window) -> Invariant:
    """While it is written: afterwards nothing grows."""
    return disk_use_bounded(MEMBERS, limit_bytes=LIMIT_BYTES, window=written)


def _evicted(history: History, deployed: Deployed) -> int:
    """How many members were evicted by now."""
    changes = history.of(PodChange)
    return len({c.name for c in changes if c.workload == deployed.name and c.reason == "Evicted"})
