"""Mutants of the controller manager: historical bugs are put back, and mass-termination's invariants must find them.

Each is tried on the same small simulated cluster, and so is the shipped controller manager, which must not be blamed.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import ComponentSwap, Heartbeats
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape, Timers, Zone
from chaos.harm.component import SwapComponent
from chaos.harm.heartbeats import StopHeartbeats
from chaos.judge import base
from chaos.judge.base import Verdict
from chaos.judge.mutants import MutantTried, mutants_killed, tried
from chaos.judge.pods import nothing_terminated
from chaos.judge.taint_rates import ZoneState, taints_taken_back, taints_within_rate, taking_back_shows
from chaos.record.history import History
from chaos.record.records import NodeChange, PodChange
from chaos.report.mutants import tried_row
from chaos.run.incident import HARDENED, Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.zones.promises import tolerations_waited_out
from chaos.workloads.web import Deployed, Web

SHIPPED = "the shipped controller manager"
BUGS = ZONE_IGNORED, ALL_AWAY_IGNORED, NOT_CANCELLED, NO_TOLERATION = (
    "disrupted-zone-ignored",
    "all-nodes-away-ignored",
    "deletion-not-cancelled",
    "tolerations-count-as-none",
)
# The toleration is long enough for nodes to come back in time on a busy machine.
TIMERS = Timers(monitor_grace_s=5, monitor_period_s=1, toleration_s=25)
DOCUMENTED = Timers(monitor_period_s=TIMERS.monitor_period_s)  # rates and thresholds as shipped
STAYS_S = 10
AWAY_WITHIN_S = 180.0  # ends when it is seen
BACK_S = 3 * TIMERS.monitor_period_s
MEASURED_S = 24  # at the rate of a healthy zone 3 nodes, where none may be tainted but the first
FIRST, THEN = "first", "then"
NORMAL = Zone("a", 12, parts=((FIRST, 6), (THEN, 6)))
SMALL_PARTIAL = Zone("d", 40, parts=((FIRST, 30), (THEN, 10)))
OWN_TAINT, UNREACHABLE = "kube-ordeal/own", "node.kubernetes.io/unreachable:NoExecute"


@dataclass(frozen=True)
class Trial:
    """A story, and the mutants that it is told for: each with the invariant that must find it."""

    story: Callable[[Lab, Cluster, str], list[base.Finding]]
    found_by: dict[str, str]


def promises(told: Conditions) -> tuple[Judged, ...]:
    """Judged are the trials, which are written down as a recording of their own: without harm."""
    twins = [f"shipped: {invariant}" for trial in TRIALS for invariant in trial.found_by.values()]
    return judged(says(mutants_killed, BUGS, [] if told.control == "no-bug" else twins))


@incident(
    "mass-termination",
    on=("simulated",),
    needs=(Heartbeats, ComponentSwap),
    controls=("no-bug",),
    variant="mutants",
    load=Load.WORKS,
    mutants={HARDENED: BUGS},
    faults={HARDENED: (StopHeartbeats, SwapComponent), "no-bug": (StopHeartbeats,)},
    promises=promises,
)
def test_bugs_of_the_controller_manager_are_found(lab: Lab) -> None:
    """When a historical bug is put back into the controller manager, the invariant that is there for it MUST be
    violated, and with the shipped one it MUST hold.
    """
    cluster = lab.cluster(Shape(zones=(NORMAL, SMALL_PARTIAL), timers=TIMERS))
    said: list[MutantTried] = []
    for trial in TRIALS:
        findings = trial.story(lab, cluster, SHIPPED)
        if lab.control == "no-bug":  # the shipped one under a mutant's name: nothing may be found in it
            said += [tried(0, name, invariant, findings) for name, invariant in trial.found_by.items()]
            continue
        said += [tried(0, f"shipped: {invariant}", invariant, findings) for invariant in trial.found_by.values()]
        for name, invariant in trial.found_by.items():
            program = lab.mutant(name)
            with lab.configured(SwapComponent(program.mutant.component, str(program.path))):
                said.append(tried(0, name, invariant, trial.story(lab, cluster, name)))
    names = [name for trial in TRIALS for name in trial.found_by]
    twins = [each.mutant for each in said if each.mutant not in names]
    rows = (
        tried_row(
            each.mutant,
            incident="mass-termination",
            shipped="kube-controller-manager",
            judged_by=each.invariant,
            verdict=each.verdict,
            reason=each.why(),
        )
        for each in said
    )
    lab.table("mutants", list(rows))
    lab.expect(History.of_records(said), mutants_killed(names, twins))


def zones(lab: Lab, cluster: Cluster, who: str) -> list[base.Finding]:
    """Half of a zone and three quarters of a small one lose the API server, then all nodes do."""
    lab.phase("story", f"zones, with {who}")
    fault = StopHeartbeats.kind
    with lab.record() as history:
        with lab.inject(StopHeartbeats((FIRST,))):
            began = history.now()
            wait_away(cluster, 36)
            # While they go away the zone is a healthy one, whose rate is allowed: that long is to be outweighed.
            lab.hold(round(MEASURED_S + history.now() - began), "most nodes of a small zone are away")
            with lab.inject(StopHeartbeats((THEN, "control-plane"))):
                wait_away(cluster, len(cluster.nodes()))
                lab.hold_until(
                    lambda: taking_back_shows(history, documented=DOCUMENTED, within_s=BACK_S, fault=fault),
                    within_s=AWAY_WITHIN_S,
                    because="every node of every zone is away, and the taints are taken back, or stay",
                )
        lab.recover(lab.nodes_ready, within_s=60, what="every node Ready")
    untainted = lambda: not any("NoExecute" in t for n in cluster.nodes() for t in n.taints)  # noqa: E731
    lab.recover(untainted, within_s=30, what="no NoExecute taint left")
    return [
        base.judge(
            taints_within_rate(SMALL_PARTIAL.name, ZoneState.SMALL_PARTIAL, documented=DOCUMENTED, fault=fault), history
        ),
        base.judge(taints_taken_back(documented=DOCUMENTED, within_s=BACK_S, fault=fault), history),
    ]


def back_in_time(lab: Lab, cluster: Cluster, who: str) -> list[base.Finding]:
    """Nodes that carry a taint of the user's own, which their pods tolerate, are away for a while, and come back
    before the pods' toleration of that has run out.
    """
    lab.phase("story", f"back in time, with {who}")
    web = lab.deploy(Web(name="tolerant", replicas=NORMAL.nodes + SMALL_PARTIAL.nodes))
    tolerate(web)
    homes = {pod.spec.node_name for pod in web.pods()}  # the scheduler leaves some nodes without one, also more pods
    with ExitStack() as tainted:
        for node in cluster.nodes():
            if not node.control_plane:
                set_taint(cluster, node.name, present=True)
                tainted.callback(set_taint, cluster, node.name, present=False)
        with lab.record() as history:
            with lab.inject(StopHeartbeats((FIRST,))):
                eventually(
                    lambda: any(UNREACHABLE in n.taints for n in cluster.nodes() if n.name in homes),
                    within_s=AWAY_WITHIN_S,
                    what="a node with a pod to be tainted",
                )
            lab.recover(lab.nodes_ready, within_s=60, what="every node Ready")
            lab.hold(TIMERS.toleration_s + 3, "past the toleration that was counted from the taint on")
    lab.remove_workloads()
    finding = base.judge(nothing_terminated(web.name), history)
    longest_s = longest_tainted_s(history, homes)
    if longest_s > TIMERS.toleration_s - 1:
        late = f"a node was tainted for {longest_s:.0f} s, and {TIMERS.toleration_s} s are tolerated"
        finding = replace(finding, verdict=Verdict.UNKNOWN, sentence=late, reason="back-too-late")
    return [finding]


def waited_out(lab: Lab, _: Cluster, who: str) -> list[base.Finding]:
    """Half of a zone loses the API server, until a pod there is deleted that tolerates it for some seconds."""
    lab.phase("story", f"waited out, with {who}")
    brief = lab.deploy(Web(name="brief", replicas=NORMAL.nodes + SMALL_PARTIAL.nodes, tolerate_s=STAYS_S))
    with lab.record() as history:
        with lab.inject(StopHeartbeats((FIRST,))):
            lab.hold_until(
                lambda: any(c.deleting for c in history.of(PodChange) if c.workload == brief.name),
                within_s=AWAY_WITHIN_S,
                because=f"a pod of {brief.name} is deleted",
            )
        lab.recover(lab.nodes_ready, within_s=60, what="every node Ready")
    lab.remove_workloads()
    return [base.judge(tolerations_waited_out(brief.name, tolerated_s=STAYS_S, fault=StopHeartbeats.kind), history)]


def wait_away(cluster: Cluster, count: int) -> None:
    """Wait until so many nodes are not Ready."""
    eventually(
        lambda: sum(n.ready != "True" for n in cluster.nodes()) >= count,
        within_s=AWAY_WITHIN_S,
        what=f"{count} nodes to be away",
    )


def longest_tainted_s(history: History, nodes: Collection[str]) -> float:
    """The longest time for which one of the nodes carried the taint of an unreachable node."""
    since: dict[str, float] = {}
    longest = 0.0
    for change in history.of(NodeChange):
        if change.name in nodes and UNREACHABLE in change.taints:
            longest = max(longest, change.at - since.setdefault(change.name, change.at))
        elif change.name in since:
            longest = max(longest, change.at - since.pop(change.name))
    return longest


def tolerate(web: Deployed) -> None:
    """Let the workload's pods tolerate the user's own taint for ever, and wait until all of them do."""
    patch = {"spec": {"template": {"spec": {"tolerations": [{"key": OWN_TAINT, "operator": "Exists"}]}}}}
    with web.cluster.api() as client:
        k8s.AppsV1Api(client).patch_namespaced_deployment(web.name, web.namespace, patch)

        def rolled_out() -> bool:
            pods: Any = k8s.CoreV1Api(client).list_namespaced_pod(web.namespace).items
            new = [p for p in pods if any(t.key == OWN_TAINT for t in p.spec.tolerations or [])]
            return len(new) == len(pods) == web.replicas and web.ready()

        eventually(rolled_out, within_s=300, what=f"every pod of {web.name} to tolerate {OWN_TAINT}")


def set_taint(cluster: Cluster, node: str, *, present: bool) -> None:
    """Put the user's own taint on a node, or take it off."""
    with cluster.api() as client:
        core = k8s.CoreV1Api(client)

        def changed() -> bool:
            spec: Any = core.read_node(node).spec
            there = [t for t in spec.taints or [] if t.key != OWN_TAINT]
            taints = [client.sanitize_for_serialization(t) for t in there]
            taints += [{"key": OWN_TAINT, "effect": "NoExecute"}] if present else []
            core.patch_node(node, {"spec": {"taints": taints or None}})
            return True

        eventually(changed, within_s=60, what=f"the taint of {node} to be changed")


TRIALS: Sequence[Trial] = (
    Trial(
        zones,
        {ZONE_IGNORED: "taints-within-rate-small-partial", ALL_AWAY_IGNORED: "taints-taken-back"},
    ),
    Trial(back_in_time, {NOT_CANCELLED: "nothing-terminated"}),
    Trial(waited_out, {NO_TOLERATION: "tolerations-waited-out"}),
)
