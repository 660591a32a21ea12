"""A UDP client that keeps its port is answered by an endpoint, and by nobody else.

The client's probes have the target "udp", and say which address has answered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.judge.base import Figure, Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import WHOLE, overlapping
from chaos.record.history import History, Window
from chaos.record.records import Probe, probed_from
from chaos.record.registry import Record
from chaos.subjects.udp.records import SOURCE, TARGET, ServiceEndpoints, UdpFlows, of_port

STALE_ENTRY, NO_ANSWER, OTHER_POD, FLOW_CUT = "stale-entry", "no-answer", "other-pod", "flow-cut"
FORGOTTEN_AFTER_S = (
    20.0  # a flow that is silent for longer may be forgotten by the kernel, after 30 s (its own timeout)
)


@dataclass(frozen=True, slots=True)
class _Time:
    """A time in which a Service had the same endpoints; `since`: when each address that is none ceased to be one."""

    start: float
    end: float
    there: frozenset[str]
    since: dict[str, float]


@promise
@for_good
@bounds(within_s="longest_s")
def udp_reaches_an_endpoint(service: str, node: str, *, within_s: float) -> Invariant:
    """While the Service has an endpoint, the client on the node was never without an answer by one for longer than
    `within_s`, counted from its first answer on, and anew whenever the endpoints change.

    Reasons: "stale-entry" where the node's kernel then sent the flow to an address that was no endpoint, else
    "no-answer". Unknown where the endpoints never changed, or not all was seen.
    """

    def judge(history: History) -> Judgement:
        times, probes = list(_times(history, service)), _probes(history, node)
        if not probes:
            return unknown(f"no datagram was sent from {node}")
        longest_s = 0.0
        for number, time in enumerate(times):
            if not time.there:
                continue
            good = [p.at for p in probes if time.start <= p.at <= time.end and p.ok and p.answered_by in time.there]
            # Whoever looks at the endpoints may be there before the client is.
            edges = [*([time.start] if number else []), *good, *([time.end] if number or good else [])]
            for start, end in sorted(pairwise(edges), key=lambda gap: gap[0] - gap[1]):  # the longest first
                gap_s = end - start
                longest_s = max(longest_s, gap_s)
                if gap_s <= within_s or _blind(history, service, node, Window(start, end)):
                    continue
                sent = [p for p in probes if start < p.at < end]
                if not sent:
                    return unknown(f"no datagram was sent from {node} from {start:.1f} to {end:.1f} s")
                stale = _stale(history, node, service, time, end)
                why = f": its flow went to {', '.join(stale.to)}" if stale else ""
                return violated(
                    f"the client on {node} had no answer of an endpoint of {service} for {gap_s:.1f} s from "
                    f"{start:.1f} s on, allowed are {within_s:g} s{why}",
                    [*([stale] if stale else []), *sent],
                    reason=STALE_ENTRY if stale else NO_ANSWER,
                    longest_s=round(gap_s, 3),
                )
        moved = len(times) - 1
        if moved < 1:
            return unknown(f"the endpoints of {service} did not change")
        return _unseen(history, service, node) or held(
            f"through {moved} changes of the endpoints of {service} the client on {node} was without an answer for "
            f"{longest_s:.1f} s at most",
            longest_s=round(longest_s, 3),
            changes=moved,
        )

    return Invariant("udp-reaches-an-endpoint", judge)


@promise
@for_good
@bounds(within_s="last_answer_s")
def only_endpoints_answer(service: str, node: str, *, within_s: float) -> Invariant:
    """No datagram that the client on the node sent more than `within_s` after a pod had ceased to be an endpoint was
    answered by that pod.

    Reasons: "stale-entry" where the node's kernel still sent the flow there, else "other-pod". Unknown where no pod
    that had answered ceased to be an endpoint, the client was not seen for that long after, or not all was seen.
    """

    def judge(history: History) -> Judgement:
        times, probes = list(_times(history, service)), _probes(history, node)
        wrong: list[tuple[Probe, _Time]] = []
        tried, last_s = 0, 0.0
        for time in times:
            inside = [p for p in probes if time.start <= p.at <= time.end]
            for address, since in time.since.items():
                if any(p.ok and p.answered_by == address and p.at < since for p in probes):
                    tried += any(p.at > since + within_s for p in inside)
                after = [p for p in inside if p.ok and p.answered_by == address and p.at > since]
                last_s = max([last_s, *(p.at - since for p in after)])
                too_late = (p for p in after if p.at > since + within_s)
                wrong += [(p, time) for p in too_late if not _blind(history, service, node, Window(since, p.at))]
        figures: dict[str, Figure] = {"wrong_answers": len(wrong), "last_answer_s": round(last_s, 3)}
        if wrong:
            first, time = min(wrong, key=lambda each: each[0].at)
            stale = _stale(history, node, service, time, first.at)
            ago_s = first.at - time.since[first.answered_by]
            return violated(
                f"{len(wrong)} datagrams from {node} to {service} were answered by pods that were no endpoints, the "
                f"first by {first.answered_by} {ago_s:.1f} s after it had ceased to be one, allowed are {within_s:g} s",
                [*([stale] if stale else []), first],
                reason=STALE_ENTRY if stale else OTHER_POD,
                **figures,
            )
        if not tried:
            return unknown(f"no pod of {service} that had answered {node} ceased to be an endpoint for long enough")
        return _unseen(history, service, node) or held(
            f"no pod that had ceased to be an endpoint of {service} answered {node}", **figures
        )

    return Invariant("only-endpoints-answer", judge)


@promise
def flows_kept(service: str, port: str, node: str, targets: Sequence[str]) -> Invariant:
    """Each flow from the node to a port of the Service went on to the pod that had answered it, as long as that was an
    endpoint of the port, whatever became of the endpoints of the Service's other ports.

    `targets`: of the probes, each a flow. Reason: "flow-cut". Unknown where the other endpoints never changed while a
    flow went on, where a flow was not answered at all, was silent for 20 s, or not all was seen.
    """

    def judge(history: History) -> Judgement:
        beside, others = list(_times(history, of_port(service, port))), list(_times(history, service))
        answered = [p for p in history.of(Probe) if p.node == node and p.ok]
        flows = {target: [p for p in answered if p.target == target] for target in targets}
        silent = [target for target, answers in flows.items() if len(answers) < 2]
        if silent:
            return unknown(f"the flow {silent[0]} from {node} was not answered")
        cut, doubts = list[tuple[Probe, Probe]](), list[tuple[str, Sequence[Record]]]()
        for target, answers in flows.items():
            for before, after in pairwise(answers):
                blind = overlapping(history, probed_from(node, target), Window(before.at, after.at))
                if blind or after.at - before.at > FORGOTTEN_AFTER_S:
                    doubts.append(
                        (f"the flow {target} was silent from {before.at:.1f} to {after.at:.1f} s", [before, *blind])
                    )
                elif after.answered_by != before.answered_by and _stays(beside, before, after):
                    cut.append((before, after))
        first_s = max(answers[0].at for answers in flows.values())
        changes = sum(first_s < time.start < min(answers[-1].at for answers in flows.values()) for time in others[1:])
        figures: dict[str, Figure] = {"flows": len(flows), "cut": len(cut), "changes": changes}
        if cut:
            before, after = min(cut, key=lambda each: each[1].at)
            return violated(
                f"{len(cut)} times a flow from {node} to the port {port} of {service} was cut, the first at "
                f"{after.at:.1f} s: {before.answered_by} was an endpoint, and {after.answered_by} answered",
                [each for pair in cut for each in pair],
                reason=FLOW_CUT,
                **figures,
            )
        gaps = overlapping(history, f"{SOURCE}:{service}", WHOLE)
        if gaps:
            doubts.append(("not all of the endpoints were seen", gaps))
        if doubts:
            return unknown(*doubts[0])
        if not changes:
            return unknown(f"the endpoints of {service} never changed while flows went on")
        return held(f"through {changes} changes of other endpoints each of {len(flows)} flows was kept", **figures)

    return Invariant("flows-kept", judge)


def _stays(times: Sequence[_Time], before: Probe, after: Probe) -> bool:
    """Whether who answered before was an endpoint all the time until the other answer, and a little longer."""
    span = Window(before.at, after.at + 1.0)
    inside = [time for time in times if time.start <= span.end and time.end >= span.start]
    return bool(inside) and all(before.answered_by in time.there for time in inside)


def answering(history: History, node: str) -> str | None:
    """The address that answered the client on the node last; None where none has."""
    return next((p.answered_by for p in reversed(_probes(history, node)) if p.ok), None)


def _probes(history: History, node: str) -> list[Probe]:
    return [p for p in history.of(Probe) if p.target == TARGET and p.node == node]


def _times(history: History, service: str) -> Iterator[_Time]:
    changes = [each for each in history.of(ServiceEndpoints) if each.service == service]
    end = max((p.at for p in history.of(Probe)), default=0.0)
    since: dict[str, float] = {}
    before: frozenset[str] = frozenset()
    for number, change in enumerate(changes):
        there = frozenset(change.addresses)
        since = {address: at for address, at in since.items() if address not in there}
        since |= dict.fromkeys(before - there, change.at)
        until = changes[number + 1].at if number + 1 < len(changes) else max(end, change.at)
        yield _Time(change.at, until, there, dict(since))
        before = there


def _stale(history: History, node: str, service: str, time: _Time, at: float) -> UdpFlows | None:
    """What the kernel had said last at a moment, where it names an address that was no endpoint then."""
    said = [each for each in history.of(UdpFlows) if each.node == node and each.service == service and each.at <= at]
    return said[-1] if said and set(said[-1].to) - time.there else None


def _unseen(history: History, service: str, node: str) -> Judgement | None:
    gaps = _blind(history, service, node, WHOLE)
    return unknown("not all of the endpoints, or of the datagrams, were seen", gaps) if gaps else None


def _blind(history: History, service: str, node: str, window: Window) -> list[Record]:
    """Where the endpoints, or the datagrams, were not seen in a part of the window: nothing is violated there."""
    sources = (f"{SOURCE}:{service}", probed_from(node, TARGET))
    gaps = (gap for source in sources for gap in overlapping(history, source, window))
    return [gap for gap in gaps if gap.at < window.end and gap.until > window.start]
