"""storage-driver: what container starts leave on the disk."""

from contextlib import nullcontext

from chaos.clusters.abilities import NodeExec, RunsContainers
from chaos.clusters.shape import Shape
from chaos.record import nodefacts
from chaos.run.fit import fit_workers
from chaos.run.incident import Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.preflight.faults import LeaveFiles
from chaos.subjects.preflight.promises import DISK_LIMIT_BYTES, disk_does_not_grow, storage_driver_sound
from chaos.subjects.preflight.workload import start_and_remove


def promises(told: Conditions) -> tuple[Judged, ...]:
    harm = (LeaveFiles,) if told.control == "leftovers" else ()
    return judged(says(disk_does_not_grow), says(storage_driver_sound), harm=harm)


@incident(
    "storage-driver",
    on=("kind",),
    needs=(RunsContainers, NodeExec),
    controls=("leftovers",),
    load=Load.ALONE,  # what others leave behind meanwhile would be counted
    promises=promises,
)
def test_containers_leave_no_files_behind(lab: Lab) -> None:
    """The runtime MUST store containers by a sound driver, and 200 container starts MUST NOT leave files behind."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    assert isinstance(cluster, NodeExec)
    node = fit_workers(cluster)[0].name
    with lab.record() as history:
        nodefacts.read_all(cluster, history)
        nodefacts.measure(cluster, node, history)
        with lab.inject(LeaveFiles(node, 2 * DISK_LIMIT_BYTES)) if lab.control == "leftovers" else nullcontext():
            start_and_remove(lab, history, node)
            nodefacts.measure(cluster, node, history)
    lab.expect(history, disk_does_not_grow(), storage_driver_sound())
