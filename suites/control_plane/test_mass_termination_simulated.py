"""mass-termination on a simulated cluster: hundreds of nodes in zones of every state, and a real controller manager."""

from dataclasses import replace

from chaos.clusters.abilities import Heartbeats
from chaos.clusters.shape import Shape, Timers, Zone
from chaos.harm.heartbeats import StopHeartbeats
from chaos.judge.base import Verdict
from chaos.judge.pods import nothing_terminated
from chaos.judge.taint_rates import (
    ZoneState,
    rate_shows,
    taints_taken_back,
    taints_within_rate,
    taking_back_shows,
    terminations_within_rate,
)
from chaos.record.history import History
from chaos.record.records import PodChange
from chaos.run.chance import hold_for_eviction, hold_limit_s
from chaos.run.incident import HARDENED, Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.zones.promises import tolerations_waited_out
from chaos.workloads.web import Web

SMALL_ZONE = 40  # up to 50 nodes a partially disrupted zone is left alone
BUSY_S = 180.0  # a hold ends by what is seen: so much later on the slowest machine
LOOK_EVERY_S = 2.0  # at a thousand nodes
MEASURED_S = {"smoke": 30, "full": 300}  # at 0.01/s and a burst of one token: 1 and 4 nodes; ten times the rate shows

BRIEF, STAYS_S = "brief", 10  # pods that may go, but not sooner; long enough to tell a late word of a taint from none
FIRST, THEN = "first", "then"
STATES = {
    "a": ZoneState.NORMAL,
    "b": ZoneState.LARGE_PARTIAL,
    "c": ZoneState.FULL,
    "d": ZoneState.SMALL_PARTIAL,
}


def zones(nodes: int) -> tuple[Zone, ...]:
    """Three large zones and a small one; a part of each loses the API server at first, the others then."""
    large = (nodes - SMALL_ZONE - 1) // 3  # one node is the control plane's

    def zone(name: str, size: int, first: int) -> Zone:
        return Zone(name, size, parts=((FIRST, first), (THEN, size - first)))

    return (
        zone("a", large, large // 2),
        zone("b", large, large * 3 // 4),
        zone("c", large, large),
        zone("d", SMALL_ZONE, SMALL_ZONE * 3 // 4),
    )


def promises_of_zones(told: Conditions) -> tuple[Judged, ...]:
    period_s, fault = told.profile.zone_timers.monitor_period_s, StopHeartbeats.kind
    documented = Timers(monitor_period_s=period_s)
    back = says(taints_taken_back, documented=documented, within_s=3 * period_s, fault=fault)
    return judged(
        *(says(taints_within_rate, zone, state, documented=documented, fault=fault) for zone, state in STATES.items()),
        *(
            says(terminations_within_rate, zone, state, documented=documented, fault=fault)
            for zone, state in STATES.items()
        ),
        *([] if told.control == "rates-raised" else [back]),
        harm=(StopHeartbeats,),
    )


def promises_of_small(told: Conditions) -> tuple[Judged, ...]:
    tolerated_s = told.timers.toleration_s
    kept = says(nothing_terminated, "web", fault=StopHeartbeats.kind, tolerated_s=tolerated_s)
    if told.control is not None:
        return judged(kept, harm=(StopHeartbeats,))
    stayed = says(tolerations_waited_out, BRIEF, tolerated_s=STAYS_S, fault=StopHeartbeats.kind)
    return judged(kept, stayed, harm=(StopHeartbeats,))


@incident(
    "mass-termination",
    on=("simulated",),
    needs=(Heartbeats,),
    controls=("rates-raised",),
    variant="zones and rates",
    load=Load.ALONE,  # a thousand nodes need all of two cores to keep their heartbeats up
    promises=promises_of_zones,
)
def test_zones_are_terminated_no_faster_than_documented(lab: Lab) -> None:
    """When a part of a zone, or all of it, loses the API server, no more nodes MUST be tainted, and lose their pods,
    than the documented rate of the zone's state allows; when every node of every zone is away, the taints MUST be
    taken back.
    """
    raised = lab.control == "rates-raised"
    timers = lab.profile.zone_timers
    if raised:
        timers = replace(timers, eviction_rate=100.0, secondary_eviction_rate=100.0)
    nodes = 250 if raised else lab.profile.simulated_nodes
    lab.cluster(Shape(zones=zones(nodes), timers=timers))
    web = lab.deploy(Web(replicas=nodes * 3 // 10))
    away_s, back_s = timers.monitor_grace_s + 2 * timers.monitor_period_s, 3 * timers.monitor_period_s
    documented = Timers(monitor_period_s=timers.monitor_period_s)  # rates and thresholds as shipped
    fault = StopHeartbeats.kind
    rates = [
        within_rate(zone, state, documented=documented, fault=fault)
        for zone, state in STATES.items()
        for within_rate in (taints_within_rate, terminations_within_rate)
    ]
    with lab.record() as history:
        with lab.inject(StopHeartbeats((FIRST,))):
            if raised:
                lab.hold_until(
                    lambda: all(lab.finding_now(each).verdict is Verdict.VIOLATED for each in rates),
                    within_s=away_s + BUSY_S,
                    because="the rate of each zone is exceeded",
                    every_s=LOOK_EVERY_S,
                )
            else:
                _hold_for_rates(lab, history, documented, within_s=away_s + BUSY_S)
                with lab.inject(StopHeartbeats((THEN, "control-plane"))):
                    lab.hold_until(
                        lambda: taking_back_shows(history, documented=documented, within_s=back_s, fault=fault),
                        within_s=away_s + BUSY_S,
                        because=f"every node of every zone was away for {back_s:g} s, and the taints are taken back",
                        every_s=LOOK_EVERY_S,
                    )
        lab.recover(lab.nodes_ready, within_s=90, what="every node Ready")
    lab.expect(history, *rates)
    if not raised:
        lab.expect(history, taints_taken_back(documented=documented, within_s=back_s, fault=fault))
    lab.fact("pods", web.replicas)
    lab.table("eviction rates by zone state", _rates(lab))


@incident(
    "mass-termination",
    on=("simulated",),
    needs=(Heartbeats,),
    controls=("default-tolerations",),
    variant="small",
    tour=(HARDENED, "default-tolerations"),
    promises=promises_of_small,
)
def test_a_small_cluster_keeps_its_pods(lab: Lab) -> None:
    """When both workers of a cluster of three nodes lose the API server, the control plane MUST NOT terminate their
    pods, and those that tolerate it for some seconds MUST NOT go before these are over.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    workers = tuple(n.name for n in cluster.nodes() if not n.control_plane)
    web = lab.deploy(Web(replicas=6, tolerate_for_ever=lab.control != "default-tolerations"))
    if lab.control is None:
        lab.deploy(Web(name=BRIEF, replicas=2, tolerate_s=STAYS_S))
    with lab.record() as history:
        with lab.inject(StopHeartbeats(("workers",))):
            hold_for_eviction(lab, history, web.name, workers)
            if lab.control is None:
                lab.hold_until(
                    lambda: any(c.deleting for c in history.of(PodChange) if c.workload == BRIEF),
                    within_s=hold_limit_s(lab.timers, len(workers)) + STAYS_S,
                    because=f"a pod of {BRIEF} is deleted, whose toleration is over",
                )
        lab.recover(lambda: lab.nodes_ready() and web.ready(), within_s=60, what="every node and replica Ready")
    lab.expect(history, nothing_terminated(web.name, fault=StopHeartbeats.kind, tolerated_s=lab.timers.toleration_s))
    if lab.control is None:
        lab.expect(history, tolerations_waited_out(BRIEF, tolerated_s=STAYS_S, fault=StopHeartbeats.kind))


def _hold_for_rates(lab: Lab, history: History, documented: Timers, *, within_s: float) -> None:
    """Half of zone a, 3/4 of b and d, all of c are away until the rate of each was measured."""
    for_s = MEASURED_S[lab.profile.name]

    def measured() -> bool:
        fault = StopHeartbeats.kind
        return all(
            rate_shows(history, zone, state, documented=documented, for_s=for_s, fault=fault)
            for zone, state in STATES.items()
        )

    because = f"each zone was in its state for {for_s} s, with enough nodes away to measure its rate"
    lab.hold_until(measured, within_s=within_s + for_s, because=because, every_s=LOOK_EVERY_S)


def _rates(lab: Lab) -> list[dict[str, str | int | float]]:
    rows: list[dict[str, str | int | float]] = []
    for finding in lab.findings:
        if finding.invariant.startswith("taints-within-rate-"):
            figures = finding.figures
            rows.append(
                {
                    "state": finding.invariant.removeprefix("taints-within-rate-"),
                    "nodes": figures.get("nodes", ""),
                    "away": figures.get("away", ""),
                    "seconds": figures.get("in_state_s", ""),
                    "documented per s": figures.get("documented_per_s", ""),
                    "measured per s": figures.get("measured_per_s", ""),
                    "tainted": figures.get("taints", ""),
                    "allowed": figures.get("allowed", ""),
                    "verdict": str(finding.verdict),
                }
            )
    return rows
