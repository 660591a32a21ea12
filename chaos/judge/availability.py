"""A Service keeps answering: outages measured by probes, per node."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from chaos.judge.base import Figure, Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import Span, never_landed, overlapping
from chaos.judge.starved import prober_waited, waited
from chaos.record.history import History, Window
from chaos.record.records import Blind, Probe, ProcessorWait, is_watched, probed_from

GAP_S = 0.5
ECHO = "echo"  # the target of the probes that keep one connection (chaos.workloads.pinned)
BROKEN = "broken"
WATCHED_LIMIT_S = 2.0


@promise
@for_good
@bounds(limit_s="longest_outage_ms")
def outage_at_most(
    limit_s: float,
    *,
    nodes: Sequence[str] | None = None,
    target: str | None = None,
    gap_s: float = GAP_S,
    window: Window | None = None,
    fault: str | None = None,
) -> Invariant:
    """No node saw the Service away for longer than `limit_s` seconds.

    An outage runs from the start of the first failed probe to the start of the next one that succeeded; one that
    overlaps the judged span counts in full. `nodes`: those that must have probed (default: all that did). A gap of more
    than `gap_s` seconds without a probe is unknown, unless an outage that was seen is already too long. So is an outage
    for which each pod of the workload, or the prober, waited for a processor, but for no more than the limit: then the
    machine may have been too slow for it. That explains no probe that was refused, or answered wrongly. Without a
    `target` it is about all Services of ours.
    """
    return _availability(f"outage-at-most-{limit_s:g}s", limit_s, nodes, target, gap_s, Span(window, fault))


@promise
@for_good
@bounds(limit_s="longest_outage_ms")
def watched_service_answers(service: str, *, limit_s: float = WATCHED_LIMIT_S, gap_s: float = GAP_S) -> Invariant:
    """No node saw a Service of the user's own away for longer than `limit_s` seconds, as in `outage_at_most`.

    `service`: as `--ordeal-watch-service` names it.
    """
    return _availability(f"watched-service-answers {service}", limit_s, None, service, gap_s, Span())


def watched_in(history: History) -> tuple[str, ...]:
    """The Services of the user's own that were watched in a recording, by name."""
    return tuple(sorted({probe.target for probe in history.of(Probe) if probe.watched}))


@promise
def answered_throughout(
    *,
    nodes: Sequence[str] | None = None,
    target: str | None = None,
    gap_s: float = GAP_S,
    window: Window | None = None,
    fault: str | None = None,
) -> Invariant:
    """Every probe was answered: an outage of no length at all is allowed."""
    return _availability("answered-throughout", 0.0, nodes, target, gap_s, Span(window, fault))


@dataclass(frozen=True, slots=True)
class _Outage:
    """Failed probes in a row. `length_s` is what is proven; `over` is false where no success ended it."""

    failed: tuple[Probe, ...]
    length_s: float
    over: bool

    @property
    def start(self) -> float:
        return self.failed[0].at

    @property
    def end(self) -> float:
        return self.start + self.length_s

    @property
    def waited_for(self) -> Window:
        """Until the last probe was given up, too: who answers none of them is away for that long."""
        return Window(self.start, max(self.end, self.failed[-1].at + self.failed[-1].took_s))

    @property
    def unanswered(self) -> tuple[Window, ...]:
        """The parts of it in which probes timed out, each until one failed in another way."""
        found: list[Window] = []
        ends = [*(probe.at for probe in self.failed[1:]), self.waited_for.end]
        for probe, end in zip(self.failed, ends, strict=True):
            if probe.timed_out:
                start = found.pop().start if found and found[-1].end == probe.at else probe.at
                found.append(Window(start, end))
        return tuple(found)


@promise
@for_good
@bounds(limit_s="longest_outage_ms")
def existing_connections(
    limit_s: float, *, nodes: Sequence[str], target: str = ECHO, gap_s: float = GAP_S
) -> Invariant:
    """A connection that was there before stayed the same one, and was never silent for longer than `limit_s` seconds.

    Reasons: "broken" where another connection took its place, "outage".
    """

    def judge(history: History) -> Judgement:
        ports: dict[str, list[Probe]] = {}
        for probe in history.of(Probe):
            if probe.target == target and probe.node in nodes and probe.ok:
                ports.setdefault(probe.node, []).append(probe)
        for node, probes in ports.items():
            other = [p for p in probes if p.answered_by != probes[0].answered_by]
            restarts = [b for b in history.of(Blind) if b.source == f"probe:{node}"]
            if other and restarts:
                return unknown(f"the prober on {node} was away, and its connection with it", restarts)
            if other:
                return violated(
                    f"the connection from {node} to {target} broke before {other[0].at:.1f} s and was made anew",
                    [probes[0], other[0]],
                    reason=BROKEN,
                )
        return outage_at_most(limit_s, nodes=nodes, target=target, gap_s=gap_s).judge(history)

    return Invariant("existing-connections", judge)


def _availability(
    name: str, limit_s: float, nodes: Sequence[str] | None, target: str | None, gap_s: float, span: Span
) -> Invariant:
    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        series: dict[tuple[str, str], list[Probe]] = {}
        sent = _sent(history, target)
        for probe in sent:
            if (target is None or probe.target == target) and (nodes is None or probe.node in nodes):
                series.setdefault((probe.node, probe.target), []).append(probe)
        expected = _nodes_expected(history, sent, nodes, target)
        mute = sorted(expected - {node for (node, _), probes in series.items() if any(p.at in window for p in probes)})
        if not expected or mute:
            return unknown(f"no probe was sent from {', '.join(mute)}" if mute else "no probe was sent")
        return _judge_series(history, series, window, limit_s, gap_s)

    return Invariant(name, judge)


def _sent(history: History, target: str | None) -> list[Probe]:
    """All probes of ours; where the target is a Service of the user's own, those of it."""
    if is_watched(target):
        return [probe for probe in history.of(Probe) if probe.target == target]
    return [probe for probe in history.of(Probe) if not probe.watched]


def _nodes_expected(
    history: History, sent: Sequence[Probe], nodes: Sequence[str] | None, target: str | None
) -> set[str]:
    if nodes is not None:
        return set(nodes)
    prefix = probed_from("", target)
    blinded = {b.source.removeprefix(prefix) for b in history.of(Blind) if b.source.startswith(prefix)}
    return {p.node for p in sent} | blinded


def _judge_series(
    history: History, series: dict[tuple[str, str], list[Probe]], window: Window, limit_s: float, gap_s: float
) -> Judgement:
    figures: dict[str, Figure] = {"probes": 0, "failed_probes": 0, "outages": 0, "outage_total_ms": 0}
    too_long: list[tuple[str, _Outage]] = []
    doubts: list[tuple[str, tuple[Probe | Blind | ProcessorWait, ...]]] = []
    for (node, target), probes in sorted(series.items()):
        inside = probes[bisect_left(probes, window.start, key=_at) : bisect_right(probes, window.end, key=_at)]
        outages = [o for o in _outages(probes, gap_s) if o.start <= window.end and o.end >= window.start]
        longest_ms = round(1000 * max((o.length_s for o in outages), default=0.0))
        at_node = f"longest_outage_ms_{node}"
        figures[at_node] = max(longest_ms, int(figures.get(at_node, 0)))
        figures["probes"] = int(figures["probes"]) + len(inside)
        figures["failed_probes"] = int(figures["failed_probes"]) + sum(not p.ok for p in inside)
        figures["outages"] = int(figures["outages"]) + len(outages)
        figures["outage_total_ms"] = int(figures["outage_total_ms"]) + round(1000 * sum(o.length_s for o in outages))
        where = f"{node} to {target}"
        for o in outages:
            if o.length_s > limit_s or (limit_s == 0 and o.failed):
                doubt = _starved(history, node, target, o, limit_s)
                if doubt is None:
                    too_long.append((where, o))
                else:
                    doubts.append(doubt)
        doubts += [
            (f"an outage from {where} at {o.start:.2f} s was not over when its last probe was sent", o.failed)
            for o in outages
            if not o.over
        ]
        doubts += _gaps(where, probes, window, gap_s)
        doubts += [
            (f"the prober on {node} was blind from {b.at:.1f} s to {b.until:.1f} s: {b.why}", (b,))
            for b in overlapping(history, probed_from(node, target), window)
            if b.until - b.at > gap_s
        ]
    figures["longest_outage_ms"] = max(int(v) for k, v in figures.items() if k.startswith("longest_outage_ms_"))
    if too_long:
        where, worst = max(too_long, key=lambda found: found[1].length_s)
        ended = "" if worst.over else ", and was not over then"
        return violated(
            f"no answer from {where} for {1000 * worst.length_s:.0f} ms, from {worst.start:.2f} s to {worst.end:.2f} s"
            f"{ended}; allowed were {1000 * limit_s:.0f} ms ({worst.failed[0].error})",
            worst.failed,
            reason="outage",
            **figures,
        )
    if doubts:
        sentence, proof = doubts[0]
        return unknown(sentence, proof)
    answered = int(figures["probes"]) - int(figures["failed_probes"])
    return held(
        f"{answered} of {figures['probes']} probes from {len(series)} nodes were answered, "
        f"the longest outage was {figures['longest_outage_ms']} ms, allowed were {1000 * limit_s:.0f} ms",
        **figures,
    )


def _starved(
    history: History, node: str, target: str, outage: _Outage, limit_s: float
) -> tuple[str, tuple[ProcessorWait, ...]] | None:
    """Why an outage need not be the cluster's, and what shows it; None where it is."""
    span = outage.waited_for
    pods = [waited(history, target, part) for part in outage.unanswered]
    own = [prober_waited(history, node, target, part) for part in outage.unanswered]
    for who, found in (("each pod that could answer", pods), ("the prober itself", own)):
        waited_s = sum(each_s for each_s, _ in found)
        proof = tuple(dict.fromkeys(wait for _, waits in found for wait in waits))
        if proof and span.length_s - waited_s <= limit_s:
            said = (
                f"no answer from {node} to {target} for {1000 * outage.length_s:.0f} ms, from {outage.start:.2f} s on"
            )
            slow = f"waited for a processor for {waited_s:.1f} s of it: the machine was too slow to say"
            return f"{said}, but {who} {slow}", proof
    return None


_at = attrgetter("at")


def _outages(probes: Sequence[Probe], gap_s: float) -> list[_Outage]:
    """Outages in the order of time. What lies in a gap is proven to be neither an outage nor none: it ends one."""
    found: list[_Outage] = []
    failed: list[Probe] = []

    def close(end: float, *, over: bool) -> None:
        if failed:
            found.append(_Outage(tuple(failed), round(end - failed[0].at, 6), over))  # probes tell microseconds
            failed.clear()

    for probe in probes:
        if failed:
            if probe.at - failed[-1].at > gap_s:
                close(failed[-1].at, over=False)
            if probe.ok:
                close(probe.at, over=True)
        if not probe.ok:
            failed.append(probe)
    if failed:
        close(failed[-1].at, over=False)
    return found


def _gaps(
    where: str, probes: Sequence[Probe], window: Window, gap_s: float
) -> list[tuple[str, tuple[Probe | Blind, ...]]]:
    """Where, in the window, no probe was sent for too long; also at its ends, where it has any."""
    edges = [p.at for p in probes]
    if window.start != float("-inf"):
        edges = [max(window.start, 0.0), *(at for at in edges if at > window.start)]
    if window.end != float("inf"):
        edges = [*(at for at in edges if at < window.end), window.end]
    gaps = [(before, after) for before, after in pairwise(edges) if after - before > gap_s]
    by_time = {p.at: p for p in probes} if gaps else {}
    return [
        (
            f"no probe was sent from {where} between {before:.2f} s and {after:.2f} s",
            tuple(by_time[at] for at in (before, after) if at in by_time),
        )
        for before, after in gaps
    ]
