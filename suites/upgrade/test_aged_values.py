"""aged-objects, with real kubelets: containers have values in their environment that older versions took."""

from chaos.clusters.abilities import BringsVersions, RunsContainers
from chaos.clusters.shape import Shape
from chaos.judge.base import Verdict
from chaos.record.records import PodChange
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.aged.promises import containers_start
from chaos.subjects.aged.values import BINARY, DOLLAR, OldValues, start

AS_SHIPPED = "as-shipped-binary"
WORKLOADS = (BINARY, DOLLAR)
WITHIN_S = 60.0


def promises(_: Conditions) -> tuple[Judged, ...]:
    return judged(says(containers_start, WORKLOADS, within_s=WITHIN_S))


@incident(
    "aged-objects",
    on=("kind",),
    needs=(RunsContainers, BringsVersions),  # who can bring versions makes the cluster: there is no right on Secrets
    controls=(AS_SHIPPED,),
    variant="values",
    promises=promises,
)
def test_containers_start_with_values_that_older_versions_took(lab: Lab) -> None:
    """When a pod has a Secret's bytes, or a dollar sign before a letter of several bytes, its container MUST start."""
    lab.cluster(Shape(workers=2, timers=lab.timers))
    values = lab.deploy(OldValues())
    kept = containers_start(WORKLOADS, within_s=WITHIN_S)
    with lab.record() as history:
        start(values, as_file=lab.control != AS_SHIPPED)

        def settled() -> bool:
            made = min((c.at for c in history.of(PodChange) if c.workload in WORKLOADS), default=history.now())
            return history.now() > made + WITHIN_S + 1 or lab.finding_now(kept).verdict is Verdict.HELD

        lab.hold_until(settled, within_s=3 * WITHIN_S, because="each container runs, or has had its time")
    lab.expect(history, kept)
