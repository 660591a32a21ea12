"""gc-stopped: one API can't be listed while the controller manager starts, and all other garbage must go."""

from collections.abc import Callable, Sequence
from typing import Any

from chaos.clusters.abilities import ComponentSwap, ControllerManagerSwitch
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape
from chaos.harm.base import Fault
from chaos.harm.component import SwapComponent
from chaos.judge.base import Finding, Invariant, Verdict, judge
from chaos.judge.mutants import mutants_killed, tried
from chaos.record.history import History
from chaos.report.mutants import tried_row
from chaos.run.incident import HARDENED, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.garbage.faults import BreakConversion, LoseAggregatedApi
from chaos.subjects.garbage.promises import jobs_past_ttl_go, namespace_ends, pods_of_deleted_go, quotas_counted
from chaos.subjects.garbage.sampler import Looks
from chaos.subjects.garbage.workload import Room, delete_deployment, end_namespace, make_quota, run_job
from chaos.workloads.web import Deployed, Web

Made = Callable[..., Invariant]

WITHIN_S = 60.0  # the collector waits 30 s for what can't be listed before it goes on without it
MARGIN_S = 5.0
OFF = "*,-ttl-controller,-garbage-collector-controller"  # the first is left out of every simulated cluster
COLLECTOR_OFF, INSIDE, ANY_NAMESPACE, QUOTAS = "collector-off", "inside", "any-namespace", "as-shipped-quotas"
UNDISCOVERED, NO_BUG = "undiscovered", "no-bug"
BUGS = {
    "collector-waits": "pods-of-deleted-go",
    "background-not-cascading": "pods-of-deleted-go",
    "ttl-ignored": "jobs-past-ttl-go",
}
SHIPPED = "shipped"
TWINS = tuple(f"{SHIPPED}: {invariant}" for invariant in dict.fromkeys(BUGS.values()))


def of_conversion(control: str | None) -> tuple[Made, ...]:
    """What is promised where a conversion webhook is away. For namespaces and quotas see the controls."""
    more = {INSIDE: (namespace_ends,), ANY_NAMESPACE: (namespace_ends,), QUOTAS: (quotas_counted,)}
    return (pods_of_deleted_go, jobs_past_ttl_go, *more.get(control or "", ()))


def of_aggregated(control: str | None) -> tuple[Made, ...]:
    """What is promised where an aggregated API is away. For namespaces see the control."""
    kept = (pods_of_deleted_go, jobs_past_ttl_go, quotas_counted)
    return (*kept, namespace_ends) if control == UNDISCOVERED else kept


def promises_of_conversion(told: Conditions) -> tuple[Judged, ...]:
    kept = [says(each, within_s=WITHIN_S, fault=BreakConversion.kind) for each in of_conversion(told.control)]
    return judged(*kept, harm=(BreakConversion,))


def promises_of_mutants(told: Conditions) -> tuple[Judged, ...]:
    """Judged are the trials, which are written down as a recording of their own: without harm."""
    return judged(says(mutants_killed, list(BUGS), [] if told.control == NO_BUG else list(TWINS)))


def promises_of_aggregated(told: Conditions) -> tuple[Judged, ...]:
    kept = [says(each, within_s=WITHIN_S, fault=LoseAggregatedApi.kind) for each in of_aggregated(told.control)]
    return judged(*kept, harm=(LoseAggregatedApi,))


@incident(
    "gc-stopped",
    on=("simulated",),
    needs=(ControllerManagerSwitch,),
    controls=(COLLECTOR_OFF, INSIDE, ANY_NAMESPACE, QUOTAS),
    variant="conversion webhook away",
    promises=promises_of_conversion,
)
def test_garbage_goes_while_a_conversion_webhook_is_away(lab: Lab) -> None:
    """When the conversion webhook of one API is away, and the controller manager is restarted, pods of a deleted
    Deployment and Jobs past their TTL MUST be gone within 60 s.
    """
    flags = (("controllers", OFF),) if lab.control == COLLECTOR_OFF else ()
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers, controller_manager=flags))
    web, room = lab.deploy(Web(replicas=3)), lab.deploy(Room())
    fault = BreakConversion(room.namespace if lab.control == INSIDE else "default")
    invariants = [each(within_s=WITHIN_S, fault=fault.kind) for each in of_conversion(lab.control)]
    lab.expect(story(lab, cluster, fault, web, room, invariants), *invariants)


@incident(
    "gc-stopped",
    on=("simulated",),
    needs=(ControllerManagerSwitch,),
    controls=(UNDISCOVERED,),
    variant="aggregated API away",
    promises=promises_of_aggregated,
)
def test_garbage_goes_while_an_aggregated_api_is_away(lab: Lab) -> None:
    """When the server of an aggregated API is away, and the controller manager is restarted, pods of a deleted
    Deployment and Jobs past their TTL MUST be gone within 60 s, and quotas MUST be counted.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    web, room = lab.deploy(Web(replicas=3)), lab.deploy(Room())
    invariants = [each(within_s=WITHIN_S, fault=LoseAggregatedApi.kind) for each in of_aggregated(lab.control)]
    lab.expect(story(lab, cluster, LoseAggregatedApi(), web, room, invariants), *invariants)


@incident(
    "gc-stopped",
    on=("simulated",),
    needs=(ControllerManagerSwitch, ComponentSwap),
    controls=(NO_BUG,),
    variant="mutants",
    mutants={HARDENED: tuple(BUGS)},
    faults={HARDENED: (BreakConversion, SwapComponent), NO_BUG: (BreakConversion,)},
    promises=promises_of_mutants,
)
def test_bugs_of_collectors_are_found(lab: Lab) -> None:
    """When a historical bug is put back, such as a collector that waits for every API, the invariant that is there for
    it MUST be violated, and with the shipped controller manager it MUST hold.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    findings = trial(lab, cluster, "the shipped controller manager")
    if lab.control == NO_BUG:  # the shipped one under the mutants' names: nothing may be found in it
        said = [tried(0, name, invariant, findings) for name, invariant in BUGS.items()]
    else:
        said = [tried(0, twin, twin.removeprefix(f"{SHIPPED}: "), findings) for twin in TWINS]
        for name, invariant in BUGS.items():
            program = lab.mutant(name)
            with lab.configured(SwapComponent(program.mutant.component, str(program.path))):
                said.append(tried(0, name, invariant, trial(lab, cluster, name)))
    rows = (
        tried_row(
            each.mutant,
            incident="gc-stopped",
            shipped="kube-controller-manager",
            judged_by=each.invariant,
            verdict=each.verdict,
            reason=each.why(),
        )
        for each in said
    )
    lab.table("mutants", list(rows))
    lab.expect(History.of_records(said), mutants_killed(list(BUGS), [t.mutant for t in said if t.mutant in TWINS]))


def trial(lab: Lab, cluster: Cluster, who: str) -> list[Finding]:
    """A conversion webhook is away, a Deployment is deleted and a Job is over: what is to be said of that."""
    lab.phase("story", f"a Deployment is deleted, with {who}")
    web, room = lab.deploy(Web(replicas=3)), lab.deploy(Room())
    kept = [each(within_s=WITHIN_S, fault=BreakConversion.kind) for each in (pods_of_deleted_go, jobs_past_ttl_go)]
    history = story(lab, cluster, BreakConversion(), web, room, kept)
    lab.remove_workloads()
    return [judge(each, history) for each in kept]


def story(
    lab: Lab, cluster: Cluster, fault: Fault[Any], web: Deployed, room: Deployed, promised: Sequence[Invariant]
) -> History:
    """All becomes due under the fault, and is waited for until each promise was kept, or can't be any more."""

    def told() -> bool:
        return all(lab.finding_now(each).verdict is not Verdict.UNKNOWN for each in promised)

    with lab.record() as history, Looks(history, cluster.api), lab.inject(fault):
        delete_deployment(web, history)
        end_namespace(room, history)
        make_quota(web, history)
        run_job(web, history)
        lab.hold_until(told, within_s=WITHIN_S + MARGIN_S, because="all that is due is done, or late")
    return history
