"""No new connection fails while pods of a Service end: whoever is asked still serves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.judge.availability import GAP_S
from chaos.judge.base import Invariant, Judgement, held, promise, unknown, violated
from chaos.judge.sight import WHOLE, overlapping
from chaos.judge.starved import prober_waited, waited
from chaos.record.history import History, Window
from chaos.record.records import Blind, Probe, ProcessorWait, probed_from
from chaos.record.registry import Record
from chaos.subjects.ghosts.records import SOURCE, EndpointStates

ENDPOINT_GONE, TERMINATING_IGNORED, NO_ANSWER = "endpoint-gone", "terminating-ignored", "no-answer"
# An endpoint is known to whoever has to send to it, and is no longer to be sent anything soon: kube-proxy writes rules
# once a second at the most (minSyncPeriod), and a server ends before its EndpointSlice can say so.
KNOWN_AFTER_S, ENDS_WITHIN_S = 5.0, 3.0
LATELY_S = 20.0  # an address that ceased to serve so long ago may still be in somebody's rules
# Who is stopped for so long since endpoints are going may hear of it when their pause is over, and has to catch up.
DEAF_AT_MOST_S, KNOWN_AGAIN_S = 30.0, 30.0
PROXY, LOOKED_BACK_S, PROXY_WAITS_S = "kube-proxy", 20.0, 5.0  # it may be late that waited so long for a processor
SLOW_PART = 0.25  # of the time that a probe was given: who waited so long for a processor may have been too slow


def ports_target(service: str, node: str) -> str:
    """The target of probes of a node's port for the Service, wherever its endpoints are."""
    return f"{service}@{node}"


def local_target(service: str, node: str) -> str:
    """The target of probes of a node's port that leads to that node's own endpoints."""
    return f"{service}-local@{node}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked: a target, from a node; `scope`: the node whose endpoints count, None: any's; `rules_of`: the node
    whose rules lead there.
    """

    target: str
    probed_from: str
    scope: str | None
    rules_of: str
    probes: tuple[Probe, ...]


@promise
def no_request_failed(service: str, nodes: Sequence[str], *, fault: str) -> Invariant:
    """No new connection failed, by ClusterIP and by ports of `nodes`, from any of them, while there was an endpoint
    that had served for 5 s and served for 3 s more; for a port that leads to its node's own endpoints, one of that
    node.

    `fault`: the kind by which a kube-proxy was stopped; while it is, an endpoint has to have been going, or nothing is
    held. Reasons: "terminating-ignored" where all endpoints that served were terminating, "endpoint-gone"
    where one was terminating or had ceased to serve a short time ago, else "no-answer". Unknown where probes are
    missing, the slices were not seen, and a failure may be that of a slow machine, or of a stop that took too long; so
    is a connection that was not answered in its time when no endpoint was going.
    """

    def judge(history: History) -> Judgement:
        states = [state for state in history.of(EndpointStates) if state.service == service]
        stopped = history.fault_window(fault)
        if stopped is None:
            return unknown(f"the fault {fault} never landed: no kube-proxy was stopped")
        going = _going_since(states, stopped)
        if going is None:
            return unknown(f"no endpoint of {service} ended, or was about to, while kube-proxy was stopped")
        deaf = Window(going, stopped.end)
        asked, blind = list(_asked(history, service, nodes)), overlapping(history, f"{SOURCE}:{service}", WHOLE)
        failed, doubts, judged_probes = list[tuple[str, Probe]](), list[tuple[str, tuple[Record, ...]]](), 0
        for each in asked:
            for probe in each.probes:
                if not _somebody_stays(blind, states, probe, each.scope):
                    continue
                judged_probes += 1
                if probe.ok:
                    continue
                doubt = _doubt(history, service, probe, deaf) or _slow(history, each.rules_of, probe)
                why = _why(states, probe, each.scope)
                if doubt is None and why == NO_ANSWER and probe.timed_out:  # a packet that is lost is sent again later
                    doubt = f"{probe.node} had {probe.error} of {probe.target}, and no endpoint was going", (probe,)
                if doubt is None:
                    failed.append((why, probe))
                else:
                    doubts.append(doubt)
        figures = {"probes": judged_probes, "failed_probes": len(failed)}
        if failed:
            known = [reason for reason in (ENDPOINT_GONE, TERMINATING_IGNORED) if reason in {r for r, _ in failed}]
            reason = known[0] if known else NO_ANSWER
            first = next(probe for each, probe in failed if each == reason)
            return violated(
                f"{len(failed)} of {judged_probes} connections failed while an endpoint of {service} served, the first "
                f"from {first.node} to {first.target} at {first.at:.1f} s ({first.error})",
                [probe for each, probe in failed if each == reason],
                reason=reason,
                **figures,
            )
        for each in asked:
            doubts += _unseen(history, each)
        doubts += [(f"the endpoints were not seen from {b.at:.1f} to {b.until:.1f} s", (b,)) for b in blind]
        if doubts:
            return unknown(*doubts[0])
        return held(f"none of {judged_probes} connections failed while an endpoint of {service} served", **figures)

    return Invariant("no-request-failed", judge)


def terminating_for(history: History, service: str) -> float:
    """How long ago, in seconds, an endpoint was first seen that is terminating and serves; 0 where none was."""
    first = next((s.at for s in history.of(EndpointStates) if s.service == service and s.terminating()), None)
    return 0.0 if first is None else history.now() - first


def _going_since(states: Sequence[EndpointStates], stopped: Window) -> float | None:
    """Since when, while kube-proxy was stopped, an endpoint was terminating or had ceased to serve; None where none."""
    before = [state for state in states if state.at <= stopped.start]
    during = [state for state in states if state.at in stopped]
    there = before[-1].serving(None) if before else frozenset()
    return next((state.at for state in during if state.terminating() or there - state.serving(None)), None)


def _asked(history: History, service: str, nodes: Sequence[str]) -> Iterator[_Asked]:
    probes = history.of(Probe)
    of_ports = [(ports_target(service, n), n, None) for n in nodes] + [(local_target(service, n), n, n) for n in nodes]
    for target, port_of, scope in [(service, "", None), *of_ports]:
        for node in nodes:
            if scope is not None and node == port_of:
                continue  # who asks from the node itself is led to any endpoint
            found = tuple(p for p in probes if p.target == target and p.node == node)
            yield _Asked(target, node, scope, port_of or node, found)


def _somebody_stays(
    blind: Sequence[Blind], states: Sequence[EndpointStates], probe: Probe, scope: str | None
) -> frozenset[str]:
    """The endpoints that had served for long enough before, and served for long enough after it; none where nobody
    looked.
    """
    start, end = probe.at - KNOWN_AFTER_S, probe.at + probe.took_s + ENDS_WITHIN_S
    before = [state for state in states if state.at <= start]
    within = [state for state in states if start < state.at <= end]
    if not before or any(b.at <= end and b.until >= start for b in blind):
        return frozenset()
    found = before[-1].serving(scope)
    for state in within:
        found &= state.serving(scope)
    return found


def _why(states: Sequence[EndpointStates], probe: Probe, scope: str | None) -> str:
    at = [state for state in states if state.at <= probe.at][-1]
    there = [each for each in at.endpoints if scope in {None, each.node}]
    if not any(each.ready for each in there):
        return TERMINATING_IGNORED
    lately = [state for state in states if probe.at - LATELY_S <= state.at <= probe.at]
    were = {address for state in lately for address in state.serving(scope)}
    if any(each.terminating for each in there) or were - at.serving(scope):
        return ENDPOINT_GONE
    return NO_ANSWER


def _doubt(history: History, service: str, probe: Probe, deaf: Window) -> tuple[str, tuple[Record, ...]] | None:
    """Why a probe's failure need not be the cluster's, and what shows it; None where it is."""
    if deaf.length_s > DEAF_AT_MOST_S and deaf.start + DEAF_AT_MOST_S < probe.at <= deaf.end + KNOWN_AGAIN_S:
        return f"kube-proxy had not heard of anything for {DEAF_AT_MOST_S:g} s when a connection failed", (probe,)
    if not probe.timed_out:
        return None
    span = Window(probe.at, probe.at + probe.took_s)
    found: list[tuple[str, tuple[float, tuple[ProcessorWait, ...]]]] = [
        ("the prober", prober_waited(history, probe.node, probe.target, span)),
        ("each pod", waited(history, service, span)),
    ]
    for who, (waited_s, proof) in found:
        if waited_s > SLOW_PART * probe.took_s:
            return f"{who} waited for a processor for {waited_s:.1f} s when a connection failed", (probe, *proof)
    return None


def _slow(history: History, node: str, probe: Probe) -> tuple[str, tuple[Record, ...]] | None:
    """The same of a kube-proxy that may not have had the time to write its rules."""
    waited_s, proof = prober_waited(history, node, PROXY, Window(probe.at - LOOKED_BACK_S, probe.at))
    if waited_s < PROXY_WAITS_S:
        return None
    return f"kube-proxy of {node} waited for a processor for {waited_s:.1f} s before a connection failed", proof


def _unseen(history: History, asked: _Asked) -> Iterator[tuple[str, tuple[Record, ...]]]:
    where = f"{asked.probed_from} to {asked.target}"
    if not asked.probes:
        yield f"no probe was sent from {where}", ()
    for before, after in pairwise(asked.probes):
        if after.at - before.at > GAP_S:
            yield f"no probe was sent from {where} between {before.at:.2f} and {after.at:.2f} s", (before, after)
    for blind in overlapping(history, probed_from(asked.probed_from, asked.target), WHOLE):
        if blind.until - blind.at > GAP_S:
            yield f"the prober on {asked.probed_from} was blind from {blind.at:.1f} to {blind.until:.1f} s", (blind,)
