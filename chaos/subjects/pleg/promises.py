"""The kubelet's pod lifecycle event generator (PLEG) goes on relisting, and is quick again after churn.

The subject of each sample is the node's name. Who writes them: chaos/subjects/pleg/sampler.py.
"""

from collections.abc import Sequence
from itertools import pairwise

from chaos.judge.base import Figure, Invariant, Judgement, bounds, held, promise, unknown, violated
from chaos.judge.sight import WHOLE, at_earliest, last_sight, names, unseen
from chaos.record.history import History, Window
from chaos.record.records import Blind, FaultStep, NodeChange, PodChange, Sample
from chaos.subjects.pleg.records import (
    DISCARDED,
    GAP_S,
    LAST_SEEN_AGE,
    RELIST,
    REPORTED_AGE,
    SOURCE,
    RelistStack,
    Wave,
    WaveOver,
)

SWAP_PROGRAM = "swap-program"  # the fault that puts another kubelet in the place of the node's own

STALLED, DEADLOCK, SLOW = "stalled", "deadlock", "slow"
NOT_READY, TERMINATING, NOT_STARTED = "not-ready", "terminating", "not-started"

SHIPPED_THRESHOLD_S = 180.0  # genericPlegRelistThreshold in pkg/kubelet/kubelet.go


@promise
def pleg_last_seen(node: str, *, limit_s: float = SHIPPED_THRESHOLD_S) -> Invariant:
    """The kubelet's last relist was never longer ago than `limit_s`, the threshold of the kubelet that runs.

    By its metric, and by what it says of itself in its Node's Ready condition: a kubelet whose runtime answers nothing
    does not answer for its metrics either. Reasons: "deadlock" where a goroutine dump shows relist blocked on its
    channel, else "stalled". A gap in the scrapes that could hide it is unknown.
    """

    def judge(history: History) -> Judgement:
        ages = _samples(history, LAST_SEEN_AGE, node)
        if not ages:
            return unknown(f"PLEG of {node} was never scraped")
        told = [*ages, *_samples(history, REPORTED_AGE, node)]
        worst = max(told, key=lambda s: s.value)
        over = [s for s in told if s.value > limit_s]
        figures: dict[str, Figure] = {"worst_age_s": round(worst.value, 3), "limit_s": limit_s, "samples": len(ages)}
        if over:
            why, reason = _cause(history, node)
            return violated(
                f"PLEG of {node} was last seen active {worst.value:.1f} s ago at {worst.at:.1f} s, "
                f"the threshold is {limit_s:g} s{why}",
                [over[0], worst, *_stacks(history, node)],
                reason=reason,
                **figures,
            )
        return _hidden(history, node, ages, limit_s) or held(
            f"PLEG of {node} was active at least every {worst.value:.1f} s, the threshold is {limit_s:g} s", **figures
        )

    return Invariant("pleg-last-seen", judge)


@promise
@bounds(within_s="recovered_s")
def pleg_recovers(node: str, *, limit_s: float = SHIPPED_THRESHOLD_S, within_s: float) -> Invariant:
    """`within_s` after the last wave of pods was over the kubelet relists, each time in less than `limit_s`, for good.

    Reasons: "deadlock" and "stalled" where it does not relist any more, "slow" where it does, and takes too long.
    """

    def judge(history: History) -> Judgement:
        waves = [wave.at for wave in history.of(Wave) if wave.node == node]
        overs = [over.at for over in history.of(WaveOver) if over.node == node]
        if not overs or (waves and waves[-1] > overs[-1]):
            return unknown(f"no wave of pods on {node} is known to be over, so there is no moment from which to count")
        began, ended = max(waves), overs[-1]
        ages = _samples(history, LAST_SEEN_AGE, node)
        reported = _samples(history, REPORTED_AGE, node)
        told = sorted((s for s in [*ages, *reported] if s.at >= began), key=lambda s: s.at)
        if not told:
            return unknown(f"nothing was heard of PLEG of {node} after the last wave")
        relists = [s for s in _samples(history, RELIST, node) if s.at > began]
        figures: dict[str, Figure] = {
            "limit_s": limit_s,
            "slowest_relist_s": round(max((s.value for s in relists), default=0.0), 3),
            "discarded_events": round(max((s.value for s in _samples(history, DISCARDED, node)), default=0.0)),
        }
        last = told[-1]
        if last.value > limit_s:
            why, reason = _cause(history, node)
            if reason != DEADLOCK and last.at - ended < within_s:
                return unknown(f"PLEG of {node} was looked at for {last.at - ended:.0f} s only after the last wave")
            return violated(
                f"PLEG of {node} did not recover: {last.at - began:.0f} s after the last wave began it was last "
                f"active {last.value:.1f} s ago{why}",
                [last, *_stacks(history, node)],
                reason=reason,
                **figures,
            )
        slow = [s for s in [*told, *relists] if s.at > began and s.value > limit_s]
        settled = max((s.at for s in slow), default=began)
        took_s = max(0.0, settled - ended)
        if took_s > within_s:
            return violated(
                f"PLEG of {node} was quick again only {took_s:.1f} s after the last wave was over, allowed were "
                f"{within_s:g} s",
                slow[-3:],
                reason=SLOW,
                **figures,
            )
        after = [s for s in ages if s.at >= settled]
        return _hidden(history, node, after, limit_s) or held(
            f"PLEG of {node} relists in less than {limit_s:g} s from {took_s:.1f} s after the last wave on",
            recovered_s=round(took_s, 3),
            **figures,
        )

    return Invariant("pleg-recovers", judge)


def quick(history: History, node: str, limit_s: float, *, for_s: float = 8.0) -> bool:
    """Whether each relist of the last seconds, and the time since the last one, was below the limit."""
    now = history.now()
    recent = [s for name in (LAST_SEEN_AGE, RELIST) for s in _samples(history, name, node) if s.at > now - for_s]
    return len(recent) > 1 and all(s.value <= limit_s for s in recent)


def deadlock_seen(history: History, node: str) -> bool:
    """Whether the last two goroutine dumps, taken seconds apart, both show relist waiting to send."""
    looks = _stacks(history, node)[-2:]
    return len(looks) == 2 and all(look.blocked for look in looks)


@promise
@bounds(back_within_s="longest_not_ready_s")
def node_stays_ready(node: str, *, back_within_s: float) -> Invariant:
    """The node was Ready all the time, or never away for longer than `back_within_s`, and is Ready at the end."""

    def judge(history: History) -> Judgement:
        changes = [c for c in history.of(NodeChange, _judged(history)) if c.name == node]
        if not changes:
            return unknown(f"node {node} was never seen")
        spans = _not_ready(changes, _end(history))
        longest_s = max((s.length_s for s in spans), default=0.0)
        figures: dict[str, Figure] = {"times_not_ready": len(spans), "longest_not_ready_s": round(longest_s, 3)}
        long_ones = [s for s in spans if s.length_s > back_within_s]
        ready = changes[-1].ready == "True" and changes[-1].change != "deleted"
        if long_ones or not ready:
            judged = _judged(history)
            back = at_earliest(history, "nodes", long_ones[0].end) if long_ones else 0.0
            if not ready and not long_ones and (doubt := last_sight(history, "nodes", changes[-1].at, judged.end)):
                return doubt
            if ready and len(long_ones) == 1 and back - long_ones[0].start <= back_within_s:
                return unknown(f"when {node} was Ready again after {long_ones[0].start:.1f} s could not be seen")
            first = long_ones[0] if long_ones else spans[-1]
            for_how_long = f"for {first.length_s:.1f} s from {first.start:.1f} s on"
            return violated(
                f"{node} was not Ready {for_how_long}, allowed were {back_within_s:g} s; at the end it "
                f"{'was Ready' if ready else 'was not'}",
                [c for c in changes if c.at in first],
                reason=NOT_READY,
                **figures,
            )
        blind = unseen(history, "nodes", _judged(history))
        how = f"away {len(spans)} times, {longest_s:.1f} s at most" if spans else "Ready all the time"
        return blind or held(f"{node} was {how}", **figures)

    return Invariant("node-stays-ready", judge)


@promise
def pods_converge(workload: str, *, least: int) -> Invariant:
    """At the end no pod of the workload is left Terminating, and each of the others had become Ready.

    `least`: so many pods must have been seen at all. The figures are the percentiles of the time from a pod's first
    sight to Ready, and from its deletion to its end. Reasons: "terminating", "not-started".
    """

    def judge(history: History) -> Judgement:
        pods: dict[str, list[PodChange]] = {}
        for change in history.of(PodChange):
            if change.workload == workload:
                pods.setdefault(change.uid, []).append(change)
        if len(pods) < least:
            return unknown(f"of {workload} {len(pods)} pods were seen, and there must have been {least}")
        starts = [t for t in (_start_s(changes) for changes in pods.values()) if t is not None]
        ends = [t for t in (_end_s(changes) for changes in pods.values()) if t is not None]
        figures: dict[str, Figure] = {"pods": len(pods), **_percentiles("start", starts), **_percentiles("end", ends)}
        left = [c[-1] for c in pods.values() if c[-1].change != "deleted"]
        stuck = [c for c in left if c.deleting]
        pending = [c for c in left if not c.deleting and not c.ready]
        wrong = [*stuck, *pending]
        if wrong and (doubt := last_sight(history, "pods", min(c.at for c in wrong))):
            return doubt
        for found, what, reason in ((stuck, "left Terminating", TERMINATING), (pending, "not Ready", NOT_STARTED)):
            if found:
                return violated(
                    f"{len(found)} of {len(pods)} pods of {workload} are {what} at the end: "
                    f"{names([c.name for c in found])}",
                    found,
                    reason=reason,
                    stuck=len(stuck),
                    pending=len(pending),
                    **figures,
                )
        blind = unseen(history, "pods", WHOLE)
        return blind or held(
            f"{len(pods)} pods of {workload} came and went, none is left Terminating; start "
            f"{figures['start_p50_s']} s (median), {figures['start_p99_s']} s (99 %)",
            **figures,
        )

    return Invariant("pods-converge", judge)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent of the values do not exceed (nearest rank). `values` must not be empty."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def _percentiles(what: str, values: Sequence[float]) -> dict[str, Figure]:
    if not values:
        return {f"{what}_p50_s": "none", f"{what}_p99_s": "none"}
    figures: dict[str, Figure] = {f"{what}_p{p}_s": round(percentile(values, p), 1) for p in (50, 90, 99)}
    return figures | {f"{what}_max_s": round(max(values), 1)}


def _start_s(changes: Sequence[PodChange]) -> float | None:
    """From a pod's first sight to Ready; None where it was there before, or was never Ready."""
    ready = next((c for c in changes if c.ready), None)
    return None if ready is None or changes[0].change == "listed" else ready.at - changes[0].at


def _end_s(changes: Sequence[PodChange]) -> float | None:
    marked = next((c for c in changes if c.deleting), None)
    return changes[-1].at - marked.at if marked is not None and changes[-1].change == "deleted" else None


def _samples(history: History, name: str, node: str) -> list[Sample]:
    judged = _judged(history)
    return [s for s in history.of(Sample, judged) if s.name == name and s.subject == node]


def _judged(history: History) -> Window:
    """The recording, up to the moment at which a kubelet that was swapped in is taken away again: it is on trial."""
    back = [s.at for s in history.of(FaultStep) if s.fault == SWAP_PROGRAM and s.step == "undoing"]
    return Window(float("-inf"), back[0] if back else float("inf"))


def _end(history: History) -> float:
    return min(_judged(history).end, max(r.at for r in history))


def _cause(history: History, node: str) -> tuple[str, str]:
    """The end of the sentence, and the reason, by the goroutine dumps that were taken."""
    blocked = [look for look in _stacks(history, node) if look.blocked]
    return (f"; {blocked[-1].words}", DEADLOCK) if blocked else ("", STALLED)


def _stacks(history: History, node: str) -> list[RelistStack]:
    return [look for look in history.of(RelistStack) if look.node == node]


def _hidden(history: History, node: str, ages: Sequence[Sample], limit_s: float) -> Judgement | None:
    """Unknown where an age above the limit could have gone unseen between two scrapes, or after the last; else None.

    Until the next scrape an age grows by no more than the time that passes.
    """
    if not ages:
        return unknown(f"PLEG of {node} was not scraped any more once it could have recovered")
    end = _end(history)
    for before, after_at in [*((a, b.at) for a, b in pairwise(ages)), (ages[-1], end)]:
        if after_at - before.at > GAP_S and before.value + after_at - before.at > limit_s:
            blind = [b for b in history.of(Blind) if b.source == f"{SOURCE}:{node}" and before.at <= b.at <= after_at]
            why = f": {blind[0].why}" if blind else ""
            when = f"from {before.at:.1f} s to {after_at:.1f} s"
            return unknown(f"PLEG of {node} could not be seen {when}{why}", [before, *blind])
    return None


def _not_ready(changes: Sequence[NodeChange], end: float) -> list[Window]:
    """The spans in which the node was not Ready; one that lasts ends at `end`."""
    spans: list[Window] = []
    since: float | None = None
    for change in changes:
        ready = change.ready == "True" and change.change != "deleted"
        if not ready and since is None:
            since = change.at
        elif ready and since is not None:
            spans.append(Window(since, change.at))
            since = None
    return [*spans, Window(since, end)] if since is not None else spans
