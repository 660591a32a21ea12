"""What protects a small cluster from mass termination: each protection is tried again and again, and counted.

Each trial is the incident itself: both workers of a cluster of three nodes lose the API server. Once proves nothing: a
race in the controller decides some of them (ground for calling only those hardened that hold every time).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

from kubernetes import client as k8s

from chaos.clusters.abilities import ControllerManagerSwitch, Heartbeats
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape, Timers
from chaos.errors import OrdealError
from chaos.harm.control_plane import StopControllerManager
from chaos.harm.heartbeats import StopHeartbeats
from chaos.judge.base import Verdict, judge
from chaos.judge.pods import nothing_terminated
from chaos.record.history import History
from chaos.run.chance import hold_for_eviction, hold_for_taints
from chaos.run.incident import Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.zones.promises import protection_holds
from chaos.subjects.zones.records import Trial
from chaos.workloads.web import Web

NONE = "none"
TOLERATIONS = "tolerations without seconds"
RATE_0 = "eviction rate 0"
NO_CONTROLLER_MANAGER = "controller manager kept away"
EXCLUDED = "control plane excluded from disruption"
HARDENED = (TOLERATIONS, NO_CONTROLLER_MANAGER)

# Short in every profile: a race is found by many trials, not by long ones. The rates are the shipped ones.
TIMERS = Timers(monitor_grace_s=5, monitor_period_s=1, toleration_s=3)
EXCLUDE_LABEL = "node.kubernetes.io/exclude-disruption"


@dataclass(frozen=True)
class Bench:
    """A cluster on which trials are made one after the other, and the protections that one trial tries.

    `tainted`: its protections are for nodes that are tainted, so that a trial without taints proves nothing. The others
    keep the taints away, wholly or but for one. `anew`: each trial has a cluster of its own. Where no token comes back
    to a zone's queue, a second trial on the same controller manager would find none, and hold for a reason that is
    none.
    """

    tag: str
    protections: tuple[str, ...]
    timers: Timers = TIMERS
    anew: bool = False
    tainted: bool = False


BENCHES = (
    Bench("plain", (NONE, TOLERATIONS), tainted=True),
    # Each zone's queue begins with one token, whatever the rate (addPodEvictorForNewZone in
    # pkg/controller/nodelifecycle/node_lifecycle_controller.go): one node goes, once for each start of the controller.
    Bench("rate-0", (RATE_0,), replace(TIMERS, eviction_rate=0.0, secondary_eviction_rate=0.0), anew=True),
    Bench("no-manager", (NO_CONTROLLER_MANAGER,)),
    Bench("excluded", (EXCLUDED,)),
)


def promises(told: Conditions) -> tuple[Judged, ...]:
    """Judged are the trials, which are written down as a recording of their own: without harm."""
    tried = (NONE,) if told.control == "no-protection" else HARDENED
    return judged(says(protection_holds, tried, times=told.profile.repeats))


@incident(
    "mass-termination",
    on=("simulated",),
    needs=(Heartbeats, ControllerManagerSwitch),
    controls=("no-protection",),
    variant="protections",
    load=Load.WORKS,  # four control planes at the same time
    faults={"": (StopHeartbeats, StopControllerManager), "no-protection": (StopHeartbeats,)},  # "": hardened
    promises=promises,
)
def test_what_protects_a_small_cluster(lab: Lab) -> None:
    """When both workers of a small cluster lose the API server, a protection that is called hardened MUST keep their
    pods every time.
    """
    times = lab.profile.repeats
    benches = (Bench("plain", (NONE,), tainted=True),) if lab.control == "no-protection" else BENCHES
    first, others = benches[0], benches[1:]
    trials: list[Trial] = []
    with ThreadPoolExecutor(max(1, len(others))) as threads, ExitStack() as apart:
        running = [threads.submit(try_again, apart.enter_context(lab.apart(b.tag)), b, times) for b in others]
        trials += try_again(lab, first, times)
        for bench in running:
            trials += bench.result()
    history = History.of_records(trials)
    tried = [name for bench in benches for name in bench.protections]
    rows = [row(name, [t for t in trials if t.protection == name]) for name in tried]
    lab.table("protections of a small cluster", rows)
    lab.fact("trials of each protection", times)
    if lab.control == "no-protection":
        if not all(t.verdict is Verdict.VIOLATED for t in trials):
            raise OrdealError(f"without any protection the pods were not terminated each time: {rows}")
        lab.expect(history, protection_holds((NONE,), times=times))
    else:
        lab.expect(history, protection_holds(HARDENED, times=times))


def try_again(lab: Lab, bench: Bench, times: int) -> list[Trial]:
    """Let the workers of the bench's cluster lose the API server so many times."""
    trials: list[Trial] = []
    for number in range(times):
        if bench.anew:
            with lab.apart(f"{bench.tag}-{number}") as fresh:
                trials += try_once(fresh, bench, number)
        else:
            trials += try_once(lab, bench, number)
    return trials


def try_once(lab: Lab, bench: Bench, number: int) -> list[Trial]:
    """One trial: the verdict on each of the bench's protections."""
    cluster = lab.cluster(Shape(workers=2, timers=bench.timers))
    if EXCLUDED in bench.protections:
        exclude_control_plane(cluster)
    webs = {
        name: lab.deploy(Web(name=f"{bench.tag}-{number}-{i}", tolerate_for_ever=name == TOLERATIONS))
        for i, name in enumerate(bench.protections)
    }
    with lab.record() as history:
        with ExitStack() as faults:
            if NO_CONTROLLER_MANAGER in bench.protections:
                faults.enter_context(lab.inject(StopControllerManager()))
            faults.enter_context(lab.inject(StopHeartbeats(("workers",))))
            _hold(lab, bench, history, [webs[NONE].name] if NONE in webs else [])
        lab.recover(lab.nodes_ready, within_s=60, what="every node Ready")
    tolerated_s = bench.timers.toleration_s if bench.tainted else None
    findings = {
        name: judge(nothing_terminated(web.name, tolerated_s=tolerated_s), history) for name, web in webs.items()
    }
    return [Trial(number, name, f.verdict, f.reason) for name, f in findings.items()]


def _hold(lab: Lab, bench: Bench, history: History, unprotected: Sequence[str]) -> None:
    """Let the fault last until what it leads to was seen, or as long as it may take where nothing is to be seen."""
    workers = [n.name for n in lab.current.nodes() if not n.control_plane]
    if bench.tainted and lab.control:
        for workload in unprotected:
            hold_for_eviction(lab, history, workload, workers)
    elif bench.tainted:
        hold_for_taints(lab, history, workers)
    else:
        # Who would taint is away, or has no turns to wait for but the first one; where it is only the state of the zone
        # that keeps it from tainting, an earlier trial may have used the turn.
        turns = 1 if EXCLUDED in bench.protections else 0
        lab.hold(bench.timers.eviction_deadline_of(turns) + 4, "past grace period and toleration")


def exclude_control_plane(cluster: Cluster) -> None:
    """Let the node lifecycle controller leave the control-plane node out when it asks whether all nodes are away."""
    with cluster.api() as client:
        for node in cluster.nodes():
            if node.control_plane:
                k8s.CoreV1Api(client).patch_node(node.name, {"metadata": {"labels": {EXCLUDE_LABEL: ""}}})


def row(name: str, trials: Sequence[Trial]) -> dict[str, str | int | float]:
    """A protection's line in the table."""
    kept = sum(t.verdict is Verdict.HELD for t in trials)
    called = ("yes" if kept == len(trials) else "NO") if name in HARDENED else "no"
    return {"protection": name, "held": kept, "of": len(trials), "hardened": called}
