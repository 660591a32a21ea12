"""component-soak: what a kubelet holds after it has synced its pods thousands of times."""

from collections.abc import Iterator
from contextlib import contextmanager

from chaos.clusters.abilities import NodeExec, RunsContainers
from chaos.clusters.shape import Shape
from chaos.harm.kubelet import SetKubeletConfig
from chaos.harm.program import SwapProgram
from chaos.hosts import mutants
from chaos.judge.base import Invariant
from chaos.record.history import History
from chaos.report.mutants import killed_row
from chaos.run.fit import fit_workers
from chaos.run.incident import HARDENED, Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.soak.components import Component, at_rest, kubelet_of, operations
from chaos.subjects.soak.promises import goroutines_do_not_grow, heap_does_not_grow
from chaos.workloads.pinned import Spare, start_spare

KUBELET, KEPT = ("kubelet",), "sync-contexts-kept"
PODS = 40
STARTED_WITHIN_S = 300.0  # ends when it is seen
OFTEN = {"syncFrequency": "1s"}  # a pod is synced each minute as shipped, where nothing befalls it
WARM_UP, SYNCS = 400, 1200  # of pods; a round is SYNCS
SYNCED_WITHIN_S = 600.0  # ends when it is seen
ROUNDS = 2
LIMIT_KB, LIMIT_GOROUTINES = 150.0, 20.0  # per thousand syncs; a context that is kept makes some 300 kB


def promises(_: Conditions) -> tuple[Judged, ...]:
    return judged(
        says(heap_does_not_grow, KUBELET, limit_kb_per_thousand=LIMIT_KB, least=SYNCS),
        says(goroutines_do_not_grow, KUBELET, limit_per_thousand=LIMIT_GOROUTINES, least=SYNCS),
    )


@incident(
    "component-soak",
    on=("kind",),
    needs=(RunsContainers, NodeExec),
    controls=(KEPT,),
    variant="kubelet",
    load=Load.WORKS,
    mutants={KEPT: (KEPT,)},
    faults={HARDENED: (SetKubeletConfig,), KEPT: (SetKubeletConfig, SwapProgram)},
    promises=promises,
)
def test_a_kubelet_does_not_grow(lab: Lab) -> None:
    """Over thousands of syncs of pods neither a kubelet's live heap nor its goroutines MUST go on growing."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    node = fit_workers(cluster)[-1].name
    kubelet = kubelet_of(cluster, node)
    with _swapped(lab, node), lab.configured(SetKubeletConfig(node, OFTEN)), lab.removing_workloads():
        lab.recover(lab.nodes_ready, within_s=60, what=f"{node} Ready with its new configuration")
        spare = lab.deploy(Spare(node))
        start_spare(spare, PODS, within_s=STARTED_WITHIN_S)
        with lab.record() as history:
            _soak(lab, kubelet, history)
    lab.expect(history, *_made())
    if lab.control == KEPT:
        lab.table("mutants", [killed_row(mutants.find(KEPT), lab.findings)])


def _soak(lab: Lab, kubelet: Component, history: History) -> None:
    for number in range(1 + ROUNDS):
        wanted = WARM_UP if number == 0 else SYNCS
        end = operations(kubelet) + wanted
        lab.hold_until(
            lambda end=end: operations(kubelet) >= end,  # type: ignore[misc]
            within_s=SYNCED_WITHIN_S,
            because=f"pods were synced {wanted} times",
            every_s=2.0,
        )
        at_rest(kubelet, history, idle=False)


@contextmanager
def _swapped(lab: Lab, node: str) -> Iterator[None]:
    """In the control the node's kubelet is the mutant."""
    if lab.control != KEPT:
        yield
        return
    program = lab.mutant(KEPT)
    with lab.configured(SwapProgram(node, "kubelet", str(program.path))):
        lab.recover(lab.nodes_ready, within_s=60, what=f"{node} Ready with {KEPT}")
        yield


def _made() -> tuple[Invariant, Invariant]:
    return (
        heap_does_not_grow(KUBELET, limit_kb_per_thousand=LIMIT_KB, least=SYNCS),
        goroutines_do_not_grow(KUBELET, limit_per_thousand=LIMIT_GOROUTINES, least=SYNCS),
    )
