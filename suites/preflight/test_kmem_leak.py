"""kmem-leak: what container starts leave in the kernel."""

from contextlib import nullcontext

from chaos.clusters.abilities import NodeExec, RunsContainers
from chaos.clusters.shape import Shape
from chaos.record import nodefacts
from chaos.run.fit import fit_workers
from chaos.run.incident import Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.preflight.faults import LeakKernelMemory
from chaos.subjects.preflight.promises import SLAB_LIMIT_BYTES, no_kernel_memory_limit, slab_does_not_grow
from chaos.subjects.preflight.workload import start_and_remove


def promises(told: Conditions) -> tuple[Judged, ...]:
    harm = (LeakKernelMemory,) if told.control == "leaking" else ()
    return judged(says(no_kernel_memory_limit), says(slab_does_not_grow), harm=harm)


@incident(
    "kmem-leak",
    on=("kind",),
    needs=(RunsContainers, NodeExec),
    controls=("leaking",),
    load=Load.ALONE,  # what others leave behind meanwhile would be counted
    promises=promises,
)
def test_containers_leave_no_kernel_memory_behind(lab: Lab) -> None:
    """Pods' kernel memory MUST NOT be limited, and 200 container starts MUST NOT leave kernel memory behind."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    assert isinstance(cluster, NodeExec)
    node = fit_workers(cluster)[0].name
    with lab.record() as history:
        nodefacts.read_all(cluster, history)
        nodefacts.measure(cluster, node, history)
        with lab.inject(LeakKernelMemory(node, 2 * SLAB_LIMIT_BYTES)) if lab.control == "leaking" else nullcontext():
            start_and_remove(lab, history, node)
            nodefacts.measure(cluster, node, history)
    lab.expect(history, no_kernel_memory_limit(), slab_does_not_grow())
