"""A component that is watched: by which counter it tells what it did, and how it is looked at until it is at rest."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from chaos.basics.waiting import hold
from chaos.clusters.control_processes import ComponentPages
from chaos.record.history import History
from chaos.subjects.soak import profiles
from chaos.subjects.soak.records import ComponentProfile

REST_WITHIN_S = 90.0  # ends when it is seen; a busy machine has work left when the last request is answered
EVERY_S = 1.0
NEAR = 0.99  # of two looks the later one is no less than this of the earlier: what it holds no longer goes down


@dataclass(frozen=True, slots=True)
class Operations:
    """A counter of a component's metrics, by its name and some labels, each as `name="value"`."""

    metric: str
    labels: tuple[str, ...] = ()


# Sources: pkg/scheduler/metrics, k8s.io/component-base/metrics/prometheus/workqueue,
# k8s.io/apiserver/pkg/endpoints/metrics of 1.34.
OPERATIONS = {
    "kube-scheduler": Operations("scheduler_schedule_attempts_total"),
    "kube-controller-manager": Operations("workqueue_work_duration_seconds_count", ('name="endpoint_slice"',)),
    "kube-apiserver": Operations("apiserver_request_total", ('verb="POST"',)),
}


@dataclass(frozen=True, slots=True)
class Component:
    """One that is watched. `page` is what it answers at a path of its own; raises what says that it does not answer."""

    name: str
    operations: Operations
    page: Callable[[str], bytes]


def of_control_plane(cluster: ComponentPages, name: str) -> Component:
    """A component of the control plane."""
    return Component(name, OPERATIONS[name], lambda path: cluster.component_page(name, path))


def look(component: Component, at: float) -> ComponentProfile:
    """What it holds now. Raises what `page` raises, and ValueError where it answers something else."""
    live, holders = profiles.heap(component.page("/debug/pprof/heap?gc=1&debug=1").decode(errors="replace"))
    count, stacks = profiles.goroutines(component.page("/debug/pprof/goroutine?debug=1").decode(errors="replace"))
    figures = component.page("/metrics").decode(errors="replace")
    started = profiles.figure(figures, "process_start_time_seconds")
    return ComponentProfile(
        at,
        component.name,
        f"{started:.2f}",
        _done(component, figures),
        live,
        count,
        settled=False,
        heap=holders,
        stacks=stacks,
    )


def _done(component: Component, figures: str) -> int:
    return round(profiles.figure(figures, component.operations.metric, *component.operations.labels))


def at_rest(component: Component, history: History, *, within_s: float = REST_WITHIN_S) -> ComponentProfile:
    """Look until it does nothing of what is counted, and holds no less than a moment ago; the last look is recorded.

    What is in flight, or waits for its time to be over, is held for a while: only what stays is looked for. Where it
    does not come to rest the record says so.
    """
    end = time.monotonic() + within_s
    before = look(component, history.now())
    while True:
        hold(EVERY_S)
        now = look(component, history.now())
        settled = (
            now.operations == before.operations
            and now.heap_bytes >= NEAR * before.heap_bytes
            and now.goroutines >= NEAR * before.goroutines
        )
        if settled or time.monotonic() > end:
            found = replace(now, settled=settled)
            history.add(found)
            return found
        before = now
