"""still-conforms: a cluster is harmed and mended, and upstream's specs that passed before are run again."""

from contextlib import ExitStack

from chaos.clusters.abilities import NodeNetwork, RunsContainers
from chaos.clusters.shape import Shape
from chaos.harm.scale import ScaleToZero
from chaos.judge.conformance import AFTER, BEFORE, still_conforms
from chaos.run.fit import fit_workers
from chaos.run.incident import Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says, specs_of
from chaos.subjects.conforms.faults import CutPodRoutes

NEEDS = (RunsContainers, NodeNetwork)


def promises(told: Conditions) -> tuple[Judged, ...]:
    """A control does one of the two harms, hardened both are done."""
    harm = {"no-dns": (ScaleToZero,), "no-routes": (CutPodRoutes,)}.get(told.control or "", (ScaleToZero, CutPodRoutes))
    return judged(says(still_conforms, specs_of(BEFORE), before=True), harm=harm)


@incident(
    "still-conforms",
    on=("kind",),
    needs=NEEDS,
    controls=("no-dns", "no-routes"),
    load=Load.WORKS,
    specs=True,
    promises=promises,
)
def test_what_conformed_before_conforms_after(lab: Lab) -> None:
    """When a cluster's DNS is away and a node has no way to the other nodes' pods, and both come back, each of
    upstream's specs that passed before MUST pass after. In a control one of the two is still so when they are run.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    worker = fit_workers(cluster)[0].name
    with lab.record() as history:
        specs = lab.run_specs(BEFORE, history)
        with ExitStack() as harmed:
            if lab.control != "no-routes":
                harmed.enter_context(lab.inject(ScaleToZero()))
            if lab.control != "no-dns":
                harmed.enter_context(lab.inject(CutPodRoutes(worker)))
            if lab.control:
                lab.run_specs(AFTER, history)
        lab.recover(lab.nodes_ready, within_s=60, what="every node Ready")
        if not lab.control:
            lab.run_specs(AFTER, history)
    lab.expect(history, still_conforms(specs, before=True))
