"""rwo-volume-handover: a pod with a volume for one node at a time moves to another node, and the volume with it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from time import monotonic
from typing import Any

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import NodePower, SharesFolder
from chaos.clusters.base import EXISTING
from chaos.clusters.shape import Shape, stateful_shape
from chaos.errors import OrdealError
from chaos.harm.base import Fault
from chaos.harm.drain import DrainNode
from chaos.harm.node import PowerOff
from chaos.judge.nodes_ready import DOCUMENTED_WITHIN_S, nodes_ready_again
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.results.results import Row
from chaos.run.chance import hold_for_taints
from chaos.run.incident import HARDENED, STATEFUL, incident
from chaos.run.lab import Lab, Sampling
from chaos.run.promised import WORKERS, Conditions, Judged, judged, says
from chaos.run.stage import LacksAbilityError
from chaos.subjects.volumes import pool as rbd_lock
from chaos.subjects.volumes.driver import InstallRbdLock, folder_of
from chaos.subjects.volumes.handover import MarkOutOfService, UpdateElsewhere
from chaos.subjects.volumes.pool import CLASS
from chaos.subjects.volumes.promises import (
    at_most_one_writer,
    no_stale_lock,
    nobody_takes_over,
    running_again,
    same_data,
)
from chaos.subjects.volumes.records import LOG_READ, lines_of
from chaos.subjects.volumes.sampler import SharedLogs, VolumeSamples, WriterLogs
from chaos.subjects.volumes.workload import (
    RECREATE,
    ROLLING_UPDATE,
    STATEFUL_SET,
    WRITERS,
    VolumeWriter,
    check_class,
    watched,
    writing_on,
)
from chaos.workloads.web import Deployed

LOCK_NOT_RELEASED, NO_FENCE, UNFENCED_LOSS = "lock-not-released", "no-fence", "unfenced-loss"
# Unmount, detach, attach, mount, and a pod's start: measured were 5 to 20 s.
HANDOVER_WITHIN_S = 45.0
# Beside that, the pod garbage collector looks every 20 s (pkg/controller/podgc/gc_controller.go, gcCheckPeriod).
FENCED_WITHIN_S = 90.0
# The kubelet tries again after up to 2 min 2 s (pkg/util/goroutinemap/exponentialbackoff, maxDurationBeforeRetry).
REMEDY_WITHIN_S = 150.0
WRITES_BEFORE_S, WRITES_AFTER_S = 2.0, 3.0
WAITS_S = 20.0  # a new pod would run within that if nothing kept it, as it does when a node is drained


def writers_of(control: str | None) -> tuple[str, ...]:
    """The workloads whose volumes are handed over: in a control those that it harms."""
    unfenced = (ROLLING_UPDATE,)  # it starts the new pod before the old one is gone
    harmed = {LOCK_NOT_RELEASED: (RECREATE, STATEFUL_SET), NO_FENCE: unfenced, UNFENCED_LOSS: unfenced}
    return harmed.get(control or "", WRITERS)


def promises(told: Conditions) -> tuple[Judged, ...]:
    """A drain, and an update; in a control the update alone."""
    names = writers_of(told.control)
    drained = handover(names, DrainNode) if told.control is None else ()
    return (*drained, *handover(names, UpdateElsewhere))


def promises_of_update(_: Conditions) -> tuple[Judged, ...]:
    return handover((STATEFUL_SET,), UpdateElsewhere)


def promises_of_killed(told: Conditions) -> tuple[Judged, ...]:
    names = writers_of(told.control)
    return judged(
        says(at_most_one_writer, names),
        says(same_data, names),
        says(nobody_takes_over, names, fault=PowerOff.kind, until=MarkOutOfService.kind),
        says(running_again, names, fault=MarkOutOfService.kind, within_s=FENCED_WITHIN_S),
        says(no_stale_lock, names),
        says(nodes_ready_again, WORKERS, within_s=DOCUMENTED_WITHIN_S),
        harm=(PowerOff, MarkOutOfService),
    )


def handover(names: Sequence[str], fault: type[DrainNode | UpdateElsewhere]) -> tuple[Judged, ...]:
    """What must hold of every handover of a node that lives."""
    return judged(
        says(at_most_one_writer, names),
        says(same_data, names),
        says(running_again, names, fault=fault.kind, within_s=HANDOVER_WITHIN_S),
        says(no_stale_lock, names),
        harm=(fault,),
    )


@incident(
    "rwo-volume-handover",
    on=("kind",),
    controls=(LOCK_NOT_RELEASED, NO_FENCE),
    variant="drain and update",
    shape=STATEFUL,
    images=("ceph",),
    faults=dict.fromkeys((HARDENED, LOCK_NOT_RELEASED, NO_FENCE), (InstallRbdLock,)),
    promises=promises,
)
def test_a_volume_follows_its_pod(lab: Lab) -> None:
    """When the node of a pod with an RWO volume is drained, or an update lands its next pod on another node, the new
    pod MUST run with the same data within the stated time, or the old one MUST go on; there MUST never be two writers,
    and no lock and no VolumeAttachment MUST stay with a node that does not use the volume any more.
    """
    cluster = lab.cluster(shape(lab))
    with storage(lab) as storage_class:
        node = [n.name for n in cluster.nodes() if not n.control_plane][-1]
        names = writers_of(lab.control)
        writers = [lab.deploy(VolumeWriter(name, storage_class, node)) for name in names]
        rows: list[Row] = []
        if lab.control is None:
            drained = hand_over(lab, writers, DrainNode(node), node)
            judge(lab, drained, names, DrainNode.kind)
            rows += table(drained, names, "drain")
        rows += move_by_update(lab, writers, names)
        lab.table("handovers", rows)
        if lab.control == LOCK_NOT_RELEASED:
            lab.table("the way back: rbd lock remove", way_back(lab, writers))


@incident(
    "rwo-volume-handover",
    on=("kind",),
    controls=(LOCK_NOT_RELEASED,),
    variant="one update",
    shape=STATEFUL,
    images=("ceph",),
    faults=dict.fromkeys((HARDENED, LOCK_NOT_RELEASED), (InstallRbdLock,)),
    tour=(HARDENED, LOCK_NOT_RELEASED),
    promises=promises_of_update,
)
def test_a_volume_follows_an_update(lab: Lab) -> None:
    """The same MUST hold of one update that moves a StatefulSet: one of the six handovers of the replay above."""
    cluster = lab.cluster(shape(lab))
    with storage(lab) as storage_class:
        node = [n.name for n in cluster.nodes() if not n.control_plane][-1]
        writers = [lab.deploy(VolumeWriter(STATEFUL_SET, storage_class, node))]
        lab.table("handovers", move_by_update(lab, writers, (STATEFUL_SET,)))


@incident(
    "rwo-volume-handover",
    on=("kind",),
    needs=(NodePower,),
    controls=(UNFENCED_LOSS,),
    variant="node killed",
    shape=STATEFUL,
    images=("ceph",),
    faults=dict.fromkeys((HARDENED, UNFENCED_LOSS), (InstallRbdLock,)),
    promises=promises_of_killed,
)
def test_a_lost_nodes_volume_waits_for_the_fence(lab: Lab) -> None:
    """When the node of a pod with an RWO volume loses its power, nobody MUST write into the volume while nobody has
    said that the node is out of service; with the taint node.kubernetes.io/out-of-service a new pod MUST run with the
    same data within the stated time; and when the node is back no lock and no VolumeAttachment MUST be left to it.
    """
    cluster = lab.cluster(shape(lab))
    with storage(lab) as storage_class:
        workers = tuple(n.name for n in cluster.nodes() if not n.control_plane)
        node = workers[-1]
        names = writers_of(lab.control)
        writers = [lab.deploy(VolumeWriter(name, storage_class, node)) for name in names]
        with lab.record(samplers=samplers(lab, writers)) as history:
            lab.hold(WRITES_BEFORE_S, "each writes for a while")
            with lab.inject(PowerOff(node)):
                hold_for_taints(lab, history, (node,))
                lab.hold(WAITS_S, "the node's pods are deleted, and nobody knows whether they still write")
                with lab.inject(MarkOutOfService(node)):
                    wait_until(lab, lambda: all(on_another(w, node) for w in writers), 2 * FENCED_WITHIN_S)
                    lab.hold(WRITES_AFTER_S, "what runs again goes on")
            lab.recover(lab.nodes_ready, within_s=DOCUMENTED_WITHIN_S, what="every node Ready")
            lab.hold(WRITES_AFTER_S, "a kubelet that is back puts away what it had")
    lab.table("handovers", table(history, names, "node killed"))
    lab.expect(
        history,
        at_most_one_writer(names),
        same_data(names),
        nobody_takes_over(names, fault=PowerOff.kind, until=MarkOutOfService.kind),
        running_again(names, fault=MarkOutOfService.kind, within_s=FENCED_WITHIN_S),
        no_stale_lock(names),
        nodes_ready_again(workers, within_s=DOCUMENTED_WITHIN_S),
    )


def shape(lab: Lab) -> Shape:
    """With a class of the user's any cluster of two workers will do; our own driver needs one that is made for it."""
    if lab.means.storage_class:
        return Shape(workers=3, timers=lab.timers)
    if lab.cluster_kind == EXISTING:
        raise LacksAbilityError(
            "our own CSI driver needs a cluster that is made for it: name a class, --ordeal-storage-class"
        )
    return stateful_shape(lab.timers)


@contextmanager
def storage(lab: Lab) -> Iterator[str]:
    """The StorageClass of the volumes: the user's, or that of our own driver, which is there for the block's length."""
    if lab.means.storage_class:
        if lab.control is not None:
            raise LacksAbilityError(f"the control {lab.control} is a fault of our own CSI driver, not of your class")
        check_class(lab.current, lab.means.storage_class)
        yield lab.means.storage_class
        return
    unfenced = lab.control in {NO_FENCE, UNFENCED_LOSS}
    driver = InstallRbdLock(
        lab.image("ceph"), release_lock=lab.control != LOCK_NOT_RELEASED, fence=not unfenced, attach=not unfenced
    )
    with lab.configured(driver):
        try:
            yield CLASS
        finally:
            lab.remove_workloads()  # while there is a driver that can take their volumes back


def samplers(lab: Lab, writers: Sequence[Deployed]) -> tuple[Sampling, ...]:
    """What the workloads write, and who holds their volumes."""
    cluster, watch = lab.current, [watched(w) for w in writers]
    shared = not lab.means.storage_class and isinstance(cluster, SharesFolder)
    logs = SharedLogs(folder_of(cluster)) if shared and isinstance(cluster, SharesFolder) else WriterLogs(cluster)
    return (lambda history: VolumeSamples(history, cluster, watch, logs),)


def hand_over(lab: Lab, writers: Sequence[Deployed], fault: Fault[Any], node: str) -> History:
    """Make the workloads leave the node, and wait until they write on another one, or the time for it is over."""
    # An update that starts the new pod before it ends the old one waits for ever: the old one has the volume.
    waits = isinstance(fault, UpdateElsewhere) and lab.control != NO_FENCE
    moving = [w for w in writers if not (waits and w.name == ROLLING_UPDATE)]
    with lab.record(samplers=samplers(lab, writers)) as history:
        lab.hold(WRITES_BEFORE_S, "each writes for a while")
        with lab.inject(fault):
            # Longer than is promised, so that late is not taken for never; in a control nobody may ever write.
            late_s = WRITES_AFTER_S if lab.control else HANDOVER_WITHIN_S
            wait_until(lab, lambda: all(on_another(w, node) for w in moving), HANDOVER_WITHIN_S + late_s)
            lab.hold(WRITES_AFTER_S, "what runs again goes on")
    return history


def move_by_update(lab: Lab, writers: Sequence[Deployed], names: Sequence[str]) -> list[Row]:
    """Update all writers, which are on one node, so that they have to go to another, and judge; rows of the table."""
    node = writing_on(writers[0])
    elsewhere = [w for w in writers if writing_on(w) != node]
    if elsewhere:
        raise OrdealError(f"{elsewhere[0].name} writes on another node than {node}, so one update can't move both")
    update = UpdateElsewhere(tuple(f"{w.namespace}/{w.name}" for w in writers), node)
    updated = hand_over(lab, writers, update, node)
    judge(lab, updated, names, UpdateElsewhere.kind)
    return table(updated, names, "update")


def wait_until(lab: Lab, condition: Callable[[], bool], within_s: float) -> None:
    """Wait for the handover; where it does not come, the invariants say so."""
    lab.hold_until(condition, within_s=within_s, because="every workload writes on another node")


def on_another(writer: Deployed, node: str) -> bool:
    """Whether the workload's newest pod that is Ready runs on another node."""
    return writing_on(writer) not in {"", node}


def judge(lab: Lab, history: History, names: Sequence[str], fault: str) -> None:
    """What must hold of every handover of a node that lives."""
    lab.expect(
        history,
        at_most_one_writer(names),
        same_data(names),
        running_again(names, fault=fault, within_s=HANDOVER_WITHIN_S),
        no_stale_lock(names),
    )


def table(history: History, names: Sequence[str], why: str) -> list[Row]:
    """For each workload: who wrote, and for how long nobody did."""
    rows: list[Row] = []
    for name in names:
        lines = lines_of(history, name)
        times = [line.at for line in lines]
        silence_s = max((b - a for a, b in pairwise(times)), default=0.0)
        read = [sample.at for sample in history.of(Sample) if sample.name == LOG_READ and sample.subject == name]
        rows.append(
            {
                "why": why,
                "workload": name,
                "wrote on": ", ".join(dict.fromkeys(line.node for line in lines)),
                "writers": len({line.writer for line in lines}),
                "lines": len(lines),
                "longest pause ms": round(1000 * silence_s),
                "writes at the end": "yes" if times and read and read[-1] - times[-1] <= WRITES_AFTER_S else "no",
            }
        )
    return rows


def way_back(lab: Lab, writers: Sequence[Deployed]) -> list[Row]:
    """Do what the post-mortem's operator did. Raises WaitedInVainError where the pods do not run then."""
    lab.phase("way back", "rbd lock remove")
    began = monotonic()
    commands = {w.name: rbd_lock.remove_locks(lab.current, watched(w).volume) for w in writers}
    rows: list[Row] = []
    for writer in writers:
        if not commands[writer.name]:
            raise OrdealError(f"nobody holds a lock of the volume of {writer.name}, so there is nothing to take back")
        what = f"{writer.name} to run without the stale lock"
        eventually(lambda writer=writer: writing_on(writer), within_s=REMEDY_WITHIN_S, what=what)  # type: ignore[misc]
        command = "; ".join(commands[writer.name])
        rows.append({"workload": writer.name, "command": command, "ran after s": round(monotonic() - began, 1)})
    return rows
