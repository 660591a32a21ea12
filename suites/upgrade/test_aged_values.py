"""aged-objects, with real kubelets: containers have values in their environment that older versions took."""

from contextlib import nullcontext

from chaos.clusters.abilities import BringsVersions, NodeExec, RunsContainers
from chaos.clusters.shape import Shape
from chaos.harm.program import SwapProgram
from chaos.judge.base import Verdict
from chaos.record.records import PodChange
from chaos.report.mutants import killed_row
from chaos.run.fit import fit_workers
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.aged.promises import containers_start
from chaos.subjects.aged.values import BINARY, DOLLAR, OldValues, start

AS_SHIPPED, CUT = "as-shipped-binary", "dollar-cut"
MUTANT = "dollar-sign-cut"
WORKLOADS = (BINARY, DOLLAR)
WITHIN_S = 60.0


def promises(_: Conditions) -> tuple[Judged, ...]:
    return judged(says(containers_start, WORKLOADS, within_s=WITHIN_S))


@incident(
    "aged-objects",
    on=("kind",),
    # Who can bring versions makes the cluster: there is no right on Secrets.
    needs=(RunsContainers, NodeExec, BringsVersions),
    controls=(AS_SHIPPED, CUT),
    variant="values",
    mutants={CUT: (MUTANT,)},
    faults={CUT: (SwapProgram,)},
    promises=promises,
)
def test_containers_start_with_values_that_older_versions_took(lab: Lab) -> None:
    """When a pod has a Secret's bytes, or a dollar sign before a letter of several bytes, its container MUST start."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    node = fit_workers(cluster)[0].name
    kept = containers_start(WORKLOADS, within_s=WITHIN_S)
    program = lab.mutant(MUTANT) if lab.control == CUT else None
    bug = lab.configured(SwapProgram(node, "kubelet", str(program.path))) if program else nullcontext()
    with bug, lab.removing_workloads():
        values = lab.deploy(OldValues())
        with lab.record() as history:
            start(values, node, as_file=lab.control != AS_SHIPPED)

            def settled() -> bool:
                made = min((c.at for c in history.of(PodChange) if c.workload in WORKLOADS), default=history.now())
                return history.now() > made + WITHIN_S + 1 or lab.finding_now(kept).verdict is Verdict.HELD

            lab.hold_until(settled, within_s=3 * WITHIN_S, because="each container runs, or has had its time")
    lab.expect(history, kept)
    if program:
        lab.table("mutants", [killed_row(program.mutant, lab.findings)])
