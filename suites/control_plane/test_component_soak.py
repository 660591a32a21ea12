"""component-soak: what a control plane holds, and reads, after it has done thousands of things."""

from contextlib import ExitStack, nullcontext

from chaos.clusters.abilities import ComponentSwap
from chaos.clusters.control_processes import ComponentPages, ControlProcesses
from chaos.clusters.shape import Shape
from chaos.harm.component import SwapComponent
from chaos.hosts import mutants
from chaos.judge.base import Invariant, Verdict
from chaos.record.history import History
from chaos.report.mutants import killed_row
from chaos.run.incident import Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.soak.components import at_rest, of_control_plane
from chaos.subjects.soak.faults import PauseComponent
from chaos.subjects.soak.promises import goroutines_do_not_grow, heap_does_not_grow, reads_do_not_grow
from chaos.subjects.soak.quiet import first_quiet_span, quiet_span
from chaos.subjects.soak.workload import (
    EndlessWatches,
    Soaked,
    churn,
    make_events,
    make_unschedulable,
    replace_unschedulable,
)
from chaos.workloads.web import Deployed

SCHEDULER = "kube-scheduler"
COMPONENTS = (SCHEDULER, "kube-controller-manager", "kube-apiserver")
LEAKING, REPLACED, RECKONED = "leaking", "as-shipped-replaced", "event-sizes-reckoned"
ITEMS = 300  # Services, each with a pod, in a round
LEAST, LEAST_REPLACED = 300, 100  # operations that a component has to count in a round
LIMIT_KB, LIMIT_GOROUTINES = 3000.0, 100.0  # per thousand operations
WATCHES = 500  # that are left behind in a round
REPLACED_TIMES = 160
# What settles has so many rounds: a watch cache keeps what befell in the last 75 s, and doubles a ring that is too
# small for that (eventFreshDuration, watch_cache.go of k8s.io/apiserver). A race may have to be run several times, too.
MORE_ROUNDS = 7
EVENTS = 5000
# Keys are reckoned anew 60 to 90 s after the last time: sizerRefreshInterval and its jitter, pkg/storage/etcd3/stats.go
# of k8s.io/apiserver.
BEFORE_S, QUIET_S = 15.0, 95.0
LIMIT_BYTES_S = 500.0  # per thousand events; a key and what etcd says of it, once in 90 s, are some 1,500


def promises(told: Conditions) -> tuple[Judged, ...]:
    watched, least = _watched(told.control)
    return judged(
        says(heap_does_not_grow, watched, limit_kb_per_thousand=LIMIT_KB, least=least),
        says(goroutines_do_not_grow, watched, limit_per_thousand=LIMIT_GOROUTINES, least=least),
    )


def promises_of_reads(_: Conditions) -> tuple[Judged, ...]:
    return judged(
        says(reads_do_not_grow, limit_bytes_s_per_thousand=LIMIT_BYTES_S, least=EVENTS, lasts_s=QUIET_S),
    )


@incident(
    "component-soak",
    on=("simulated",),
    needs=(ComponentPages, ControlProcesses),
    controls=(LEAKING, REPLACED),
    load=Load.WORKS,
    faults={REPLACED: (PauseComponent,)},
    promises=promises,
)
def test_a_control_plane_does_not_grow(lab: Lab) -> None:
    """Over rounds of pods that are scheduled and Services that come and go, neither live heap nor goroutines of
    scheduler, controller manager and API server MUST go on growing.
    """
    cluster = lab.cluster(Shape(workers=40, timers=lab.timers))
    assert isinstance(cluster, ComponentPages)
    assert isinstance(cluster, ControlProcesses)
    components = [of_control_plane(cluster, name) for name in _watched(lab.control)[0]]
    soaked = lab.deploy(Soaked())
    heap, goroutines = _made(lab.control)
    shown = {LEAKING: goroutines, REPLACED: heap}.get(lab.control or "")
    watches = EndlessWatches(soaked) if lab.control == LEAKING else nullcontext()
    with ExitStack() as after, lab.record() as history, watches as leak:
        if (
            lab.control == REPLACED
        ):  # what it keeps goes with its process alone, and other replays have the cluster next
            after.callback(cluster.restart_component, SCHEDULER)
        for number in range(1 + MORE_ROUNDS):
            lab.phase("story", f"round {number}" if number else "warm-up")
            if lab.control == REPLACED:
                with lab.configured(PauseComponent(SCHEDULER)):
                    make_unschedulable(soaked)
                replace_unschedulable(soaked, REPLACED_TIMES)
            else:
                churn(soaked, ITEMS, begin=number * ITEMS)
            if leak is not None:
                leak.more(WATCHES)
            for component in components:
                at_rest(component, history)
            now = [lab.finding_now(each).verdict for each in (heap, goroutines)]
            settled = shown is None and set(now) == {Verdict.HELD}
            if settled or (shown is not None and lab.finding_now(shown).verdict is Verdict.VIOLATED):
                break
    lab.expect(history, heap, goroutines)


@incident(
    "component-soak",
    on=("simulated",),
    needs=(ComponentPages, ComponentSwap),
    controls=(RECKONED,),
    variant="API server at rest",
    load=Load.WORKS,
    mutants={RECKONED: (RECKONED,)},
    faults={RECKONED: (SwapComponent,)},
    promises=promises_of_reads,
)
def test_an_api_server_that_nobody_asks_reads_no_more(lab: Lab) -> None:
    """When thousands of events are stored, an API server that nobody asks MUST NOT read more from etcd than before."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    assert isinstance(cluster, ComponentPages)
    soaked = lab.deploy(Soaked())
    if lab.control == RECKONED:
        program = lab.mutant(RECKONED)
        with lab.configured(SwapComponent(program.mutant.component, str(program.path))):
            history = _events(lab, cluster, soaked)
    else:
        history = _events(lab, cluster, soaked)
    lab.expect(history, _reads())
    if lab.control == RECKONED:
        lab.table("mutants", [killed_row(mutants.find(RECKONED), lab.findings)])


def _events(lab: Lab, pages: ComponentPages, soaked: Deployed) -> History:
    """Two quiet spans, and thousands of events in between."""
    with lab.record() as history:
        lab.phase("hold", "until nobody asks")
        before = first_quiet_span(lab.current, pages, history, BEFORE_S)
        history.add(before)
        lab.phase("story", f"{EVENTS} events are stored")
        make_events(soaked, EVENTS)
        lab.phase("hold", f"{QUIET_S:g} s: nobody asks", lasts_s=QUIET_S)
        after = quiet_span(lab.current, pages, history, QUIET_S)
        history.add(after)
    for name, span in (("before", before), ("after", after)):
        per_minute = round(60 * span.processor_s / span.lasted_s, 3)
        lab.fact(f"processor seconds of the API server in a quiet minute {name}", per_minute)
    return history


def _watched(control: str | None) -> tuple[tuple[str, ...], int]:
    """Which components, and how many operations each has to count. Where pods are replaced that no node takes, only
    the scheduler has work that it counts, and some are gone before it tries them.
    """
    return ((SCHEDULER,), LEAST_REPLACED) if control == REPLACED else (COMPONENTS, LEAST)


def _made(control: str | None) -> tuple[Invariant, Invariant]:
    watched, least = _watched(control)
    return (
        heap_does_not_grow(watched, limit_kb_per_thousand=LIMIT_KB, least=least),
        goroutines_do_not_grow(watched, limit_per_thousand=LIMIT_GOROUTINES, least=least),
    )


def _reads() -> Invariant:
    return reads_do_not_grow(limit_bytes_s_per_thousand=LIMIT_BYTES_S, least=EVENTS, lasts_s=QUIET_S)
