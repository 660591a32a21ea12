"""drain-blocked: a node is drained, and budgets keep its pods; beside it, the bugs by which that went wrong."""

from collections.abc import Sequence
from contextlib import ExitStack

from chaos.clusters.abilities import ComponentSwap
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape
from chaos.harm.component import SwapComponent
from chaos.harm.drain import DrainNode, pods_on
from chaos.judge import base
from chaos.judge.mutants import mutants_killed, tried
from chaos.record.history import History
from chaos.report.mutants import tried_row
from chaos.run.incident import HARDENED, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.drains.drainer import Drainer
from chaos.subjects.drains.faults import HoldPods
from chaos.subjects.drains.promises import (
    blocker_named,
    cordoned_takes_none,
    drained_in_time,
    no_budget_overdrawn,
    one_node_waits,
)
from chaos.subjects.drains.workload import ALWAYS_ALLOW, GuardedPods, PodBudget, is_empty
from chaos.workloads.web import Deployed

WORKERS = 3
WITHIN_S = 45.0  # what is promised of a drain: some pods end one after the other, each in SLOW_S
SLOW_S = 4
GIVES_UP_AFTER_S = 5  # the tool of the control goes-on
SLOW, CRASHES, SINGLE, WHOLE = "slow", "crashes", "single", "whole"
KEEPS = {SLOW: 2 * WORKERS - 1, SINGLE: 1, WHOLE: WORKERS - 1}
BUGS = {
    "always-allow-ignored": "drained-in-time",
    "evicted-pods-counted": "no-budget-overdrawn",
    "cordon-ignored": "cordoned-takes-none",
}
SHIPPED = "shipped"


def workloads(control: str | None) -> tuple[GuardedPods, ...]:
    """Each has a pod on every worker, of which one is drained, but SINGLE; SLOW has two on each."""
    lone = control in {"no-budget-left", "goes-on"}
    whole = PodBudget("100%") if control == "no-budget-left" else PodBudget(KEEPS[WHOLE])
    policy = "" if control == "unhealthy-counted" else ALWAYS_ALLOW
    return (
        GuardedPods(SINGLE, 1 if lone else 2, (PodBudget(KEEPS[SINGLE]),)),
        GuardedPods(SLOW, 2 * WORKERS, (PodBudget(KEEPS[SLOW]),), ends_after_s=SLOW_S),
        GuardedPods(CRASHES, WORKERS, (PodBudget(KEEPS[WHOLE], policy),), crashes=True),
        GuardedPods(WHOLE, WORKERS, (whole,) * (2 if control == "two-budgets" else 1)),
    )


def promises(told: Conditions) -> tuple[Judged, ...]:
    fault = DrainNode.kind
    second = (says(one_node_waits, fault),) if told.control in {None, "goes-on"} else ()
    moves = (says(cordoned_takes_none, fault),) if told.control is None else ()
    return judged(
        says(drained_in_time, fault, within_s=WITHIN_S),
        says(blocker_named, fault),
        says(no_budget_overdrawn, KEEPS, fault=fault),
        *second,
        *moves,
        harm=(DrainNode,),
    )


@incident(
    "drain-blocked",
    on=("simulated",),
    controls=("unhealthy-counted", "no-budget-left", "two-budgets", "finalizer-stays", "goes-on"),
    faults={HARDENED: (HoldPods,), "finalizer-stays": (HoldPods,)},
    promises=promises,
)
def test_a_drain_ends_or_what_stops_it_is_named(lab: Lab) -> None:
    """When nodes are drained one after the other, each drain MUST be over in time or the budget that stops it MUST be
    named, pods that are not healthy MUST NOT stop it, no budget MUST be overdrawn, one node at a time MUST wait, and
    no pod MUST be put on it.
    """
    cluster = lab.cluster(Shape(workers=WORKERS, timers=lab.timers))
    guarded = workloads(lab.control)
    deployed = [lab.deploy(each) for each in guarded]
    first, second = two_nodes(cluster, deployed[0])
    fault = DrainNode.kind
    drained = drained_in_time(fault, within_s=WITHIN_S)
    with lab.record() as history, ExitStack() as held:
        if lab.control in {None, "finalizer-stays"}:
            held.enter_context(lab.configured(HoldPods(deployed[-1].namespace)))
        with lab.inject(DrainNode(first, refused=True), [first]), Drainer(history, cluster, first):
            if lab.control is None:
                because = f"what is left on {first} waits for its finalizer"
                lab.hold_until(lambda: not pods_on(cluster, first), within_s=2 * WITHIN_S, because=because)
                held.close()
                lab.hold_until(lambda: is_empty(cluster, first), within_s=WITHIN_S, because=f"{first} is empty")
            elif lab.control == "goes-on":
                lab.hold(GIVES_UP_AFTER_S, "the time after which a tool gives the drain up")
                with lab.inject(DrainNode(second, refused=True), [second]), Drainer(history, cluster, second):
                    lab.hold_until_shown(one_node_waits(fault), within_s=60)
            else:
                lab.hold_until_shown(drained, within_s=2 * WITHIN_S)
        held.close()
        if lab.control is None:
            with lab.inject(DrainNode(second, refused=True), [second]), Drainer(history, cluster, second):
                lab.hold_until(lambda: is_empty(cluster, second), within_s=2 * WITHIN_S, because=f"{second} is empty")
        lab.recover(lambda: settled(guarded, deployed), within_s=60, what="every pod as it was")
    lab.expect(history, drained, blocker_named(fault), no_budget_overdrawn(KEEPS, fault=fault))
    if lab.control in {None, "goes-on"}:
        lab.expect(history, one_node_waits(fault))
    if lab.control is None:
        lab.expect(history, cordoned_takes_none(fault))


def promises_of_mutants(told: Conditions) -> tuple[Judged, ...]:
    """Judged are the trials, which are written down as a recording of their own: without harm."""
    twins = [f"{SHIPPED}: {invariant}" for invariant in BUGS.values()]
    return judged(says(mutants_killed, list(BUGS), [] if told.control == "no-bug" else twins))


@incident(
    "drain-blocked",
    on=("simulated",),
    needs=(ComponentSwap,),
    controls=("no-bug",),
    variant="mutants",
    mutants={HARDENED: tuple(BUGS)},
    faults={HARDENED: (DrainNode, SwapComponent), "no-bug": (DrainNode,)},
    promises=promises_of_mutants,
)
def test_bugs_of_budgets_are_found(lab: Lab) -> None:
    """When a historical bug of budgets is put back, the invariant that is there for it MUST be violated, and with the
    shipped programs it MUST hold.
    """
    cluster = lab.cluster(Shape(workers=WORKERS, timers=lab.timers))
    findings = one_drain(lab, cluster, "the shipped programs")
    if lab.control == "no-bug":  # the shipped ones under the mutants' names: nothing may be found in them
        said = [tried(0, name, invariant, findings) for name, invariant in BUGS.items()]
    else:
        said = [tried(0, f"{SHIPPED}: {invariant}", invariant, findings) for invariant in BUGS.values()]
        for name, invariant in BUGS.items():
            program = lab.mutant(name)
            with lab.configured(SwapComponent(program.mutant.component, str(program.path))):
                said.append(tried(0, name, invariant, one_drain(lab, cluster, name)))
    rows = (
        tried_row(
            each.mutant,
            incident="drain-blocked",
            shipped="all",
            judged_by=each.invariant,
            verdict=each.verdict,
            reason=each.why(),
        )
        for each in said
    )
    lab.table("mutants", list(rows))
    lab.expect(
        History.of_records(said), mutants_killed(list(BUGS), [t.mutant for t in said if t.mutant.startswith(SHIPPED)])
    )


def one_drain(lab: Lab, cluster: Cluster, who: str) -> list[base.Finding]:
    """One node is drained as in the hardened replay, until it is empty or should be."""
    lab.phase("story", f"a drain, with {who}")
    deployed = [lab.deploy(each) for each in workloads(None)]
    node, _ = two_nodes(cluster, deployed[0])
    drained, takes_none = drained_in_time(DrainNode.kind, within_s=WITHIN_S), cordoned_takes_none(DrainNode.kind)

    def over() -> bool:
        broken = any(lab.finding_now(each).verdict is base.Verdict.VIOLATED for each in (drained, takes_none))
        return broken or is_empty(cluster, node)

    with (
        lab.record() as history,
        lab.inject(DrainNode(node, refused=True), [node]),
        Drainer(history, cluster, node),
    ):
        lab.hold_until(over, within_s=2 * WITHIN_S, because=f"{node} is empty, or should be")
    lab.remove_workloads()
    overdrawn = no_budget_overdrawn(KEEPS, fault=DrainNode.kind)
    return [base.judge(each, history) for each in (drained, overdrawn, takes_none)]


def two_nodes(cluster: Cluster, single: Deployed) -> tuple[str, str]:
    """The node of a pod of SINGLE, and another worker: the nodes that are drained."""
    first = str(single.pods()[0].spec.node_name)
    return first, next(n.name for n in cluster.nodes() if not n.control_plane and n.name != first)


def settled(guarded: Sequence[GuardedPods], deployed: Sequence[Deployed]) -> bool:
    """Whether all workloads are as they were before any harm."""
    return all(each.settled(there) for each, there in zip(guarded, deployed, strict=True))
