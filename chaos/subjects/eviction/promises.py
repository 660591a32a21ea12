"""A node under disk pressure: it says so, evicts by use, spares what is critical, and comes back."""

from collections.abc import Callable, Sequence

from chaos.judge.base import Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.pods import DELETED, EVICTED, EVICTED_REASONS, FAILED, RESTARTED
from chaos.judge.sight import WHOLE, Span, at_earliest, last_sight, names, never_landed, overlapping, unseen
from chaos.record.history import History, Window
from chaos.record.records import NodeChange, PodChange
from chaos.subjects.eviction.records import EvictionRanking, KubeletEvicted
from chaos.subjects.eviction.sampler import PRESSURE, source_of

CRITICAL_NAMESPACES = ("kube-system", "kube-flannel")
NOT_REPORTED, LATE, STAYS, NONE_EVICTED, NOT_BY_USE, NOT_RUNNING = (
    "not-reported",
    "late",
    "stays",
    "none-evicted",
    "not-by-use",
    "not-running",
)


@promise
@for_good
def critical_pods_stay(node: str, fault: str, *, namespaces: Sequence[str] = CRITICAL_NAMESPACES) -> Invariant:
    """While the fault lasted, no pod of the system's namespaces on the node was evicted, deleted, failed or restarted.

    These are kube-proxy, the CNI agent, static pods, and others that a kubelet must spare because their priority is
    that of a system class (pkg/kubelet/types/pod_update.go, IsCriticalPod). Reasons, in this order: "evicted",
    "deleted", "failed", "restarted".
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        judged = span.of(history)
        if judged is None:
            return never_landed(span)
        there = _there(history, judged, lambda c: c.namespace in namespaces and c.node == node)
        if not there:
            return unknown(f"no pod of {', '.join(namespaces)} was seen on {node} before the fault")
        lost: dict[str, list[PodChange]] = {EVICTED: [], DELETED: [], FAILED: [], RESTARTED: []}
        for first, changes in there:
            how = _lost(first, changes)
            if how is not None:
                lost[how[0]].append(how[1])
        found = [change for changes in lost.values() for change in changes]
        if found:
            reason = next(reason for reason, changes in lost.items() if changes)
            worst = lost[reason][0]
            counts = ", ".join(f"{len(changes)} {how}" for how, changes in lost.items() if changes)
            return violated(
                f"of {len(there)} critical pods on {node}: {counts}; {worst.name} at {worst.at:.1f} s, "
                f"{worst.at - judged.start:.1f} s after the fault landed",
                sorted(found, key=lambda c: c.at),
                reason=reason,
                pods=len(there),
                lost=len(found),
                first_s=round(min(c.at for c in found) - judged.start, 3),
            )
        blind = unseen(history, "pods", judged)
        stayed = names(sorted(first.name for first, _ in there))
        return blind or held(f"all {len(there)} critical pods on {node} stayed ({stayed})", pods=len(there), lost=0)

    return Invariant("critical-pods-stay", judge)


@promise
@bounds(within_s="pressure_s")
def pressure_reported(node: str, fault: str, *, within_s: float) -> Invariant:
    """The node reported DiskPressure within `within_s` seconds after the fault landed.

    Reasons "not-reported", "late".
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        judged = span.of(history)
        if judged is None:
            return never_landed(span)
        changes = [c for c in history.of(NodeChange) if c.name == node]
        if not changes:
            return unknown(f"node {node} was never seen")
        before = [c for c in changes if c.at < judged.start]
        if before and PRESSURE in before[-1].pressures:
            return unknown(f"{node} reported {PRESSURE} before the fault landed", before[-1:])
        under = [c for c in changes if c.at in judged and PRESSURE in c.pressures]
        blind = unseen(history, "nodes", judged)
        if not under:
            if judged.length_s <= within_s:
                blind = unknown(
                    f"the fault lasted for {judged.length_s:.1f} s only, {within_s:g} s are given to report"
                )
            return blind or violated(f"{node} never reported {PRESSURE}", changes[-1:], reason=NOT_REPORTED)
        took_s = under[0].at - judged.start
        sentence = f"{node} reported {PRESSURE} {took_s:.1f} s after the fault landed, allowed were {within_s:g} s"
        if took_s > within_s:
            hidden = _told_late(history, "nodes", under[0].at, judged.start + within_s, sentence)
            return blind or hidden or violated(sentence, under[:1], reason=LATE, pressure_s=round(took_s, 3))
        return held(sentence, pressure_s=round(took_s, 3))

    return Invariant("pressure-reported", judge)


@promise
def evicted_by_use(node: str, workload: str, fault: str) -> Invariant:
    """The kubelet evicted the pods of `workload`, which use most of the file system, before any other pod.

    By the kubelet's own log: its rankings, and what it evicted. `workload` is the value of the label
    kube-ordeal/workload. Reasons: "none-evicted", "not-by-use".
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        judged = span.of(history)
        if judged is None:
            return never_landed(span)
        greedy = {c.object for c, _ in _there(history, judged, lambda c: c.workload == workload and c.node == node)}
        if not greedy:
            return unknown(f"no pod of {workload} was seen on {node} before the fault")
        rankings = [r for r in history.of(EvictionRanking, judged) if r.node == node]
        evicted = [e for e in history.of(KubeletEvicted, judged) if e.node == node]
        blind = [b for b in overlapping(history, source_of(node), judged) if not b.complete]
        if blind:
            first = blind[0]
            return unknown(
                f"{node}'s log was not read from {first.at:.1f} s to {first.until:.1f} s: {first.why}", blind
            )
        if not evicted or not rankings:
            said = [each for each in history.told() if each.object == node and each.at in judged]
            return violated(f"the kubelet of {node} evicted no pod", said, reason=NONE_EVICTED, evicted=0)
        early = evicted[: len(greedy)]
        wrong = [e for e in early if e.pod not in greedy]
        order = ", ".join(e.pod for e in evicted)
        figures = {"evicted": len(evicted), "rankings": len(rankings), "greedy": len(greedy)}
        if wrong or len(evicted) < len(greedy):
            which = f"{wrong[0].pod} before all of {workload}" if wrong else f"not all of {workload}"
            return violated(
                f"the kubelet of {node} evicted {which}; in this order: {order}",
                [*rankings[:1], *evicted],
                reason=NOT_BY_USE,
                **figures,
            )
        return held(f"the kubelet of {node} evicted those that use most first, in this order: {order}", **figures)

    return Invariant("evicted-by-use", judge)


@promise
@bounds(within_s="cleared_s")
def pressure_clears(node: str, fault: str, *, within_s: float) -> Invariant:
    """The node reported no DiskPressure any more within `within_s` seconds after the undo. Reasons "stays", "late".

    Unknown where the recorder did not see what the node reported at the end.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window(fault)
        if window is None or window.end == float("inf"):
            return unknown(f"the fault {fault} was not undone, so there is no moment from which to count")
        changes = [c for c in history.of(NodeChange) if c.name == node]
        under = [c for c in changes if PRESSURE in c.pressures]
        if not under:
            return unknown(f"{node} never reported {PRESSURE}, so there was nothing to clear")
        if PRESSURE in changes[-1].pressures:
            doubt = last_sight(history, "nodes", changes[-1].at)
            return doubt or violated(f"{node} reports {PRESSURE} to the end", under[-1:], reason=STAYS)
        cleared = next(c for c in changes if c.at > under[-1].at)
        took_s = max(0.0, cleared.at - window.end)
        sentence = f"{node}'s {PRESSURE} cleared {took_s:.1f} s after the fault was undone, allowed were {within_s:g} s"
        if took_s > within_s:
            hidden = _told_late(history, "nodes", cleared.at, window.end + within_s, sentence)
            return hidden or violated(sentence, [cleared], reason=LATE, cleared_s=round(took_s, 3))
        return unseen(history, "nodes", WHOLE) or held(sentence, cleared_s=round(took_s, 3))

    return Invariant("pressure-clears", judge)


@promise
@bounds(within_s="ready_s")
def runs_again(workload: str, fault: str, *, within_s: float) -> Invariant:
    """As many pods of the workload as before the fault were Ready for good within `within_s` seconds after the undo.

    `workload` is the value of the label kube-ordeal/workload. Reasons "not-running" (at the end), "late".
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window(fault)
        if window is None or window.end == float("inf"):
            return unknown(f"the fault {fault} was not undone, so there is no moment from which to count")
        ready: set[str] = set()
        wanted = 0
        since = float("-inf")
        full = True
        for change in (c for c in history.of(PodChange) if c.workload == workload):
            (ready.add if change.ready and not _ended(change) else ready.discard)(change.uid)
            if change.at < window.start:
                wanted = len(ready)
            elif full != (len(ready) >= wanted):
                full, since = not full, change.at
        if not wanted:
            return unknown(f"no pod of {workload} was Ready before the fault")
        blind = unseen(history, "pods", WHOLE)
        if not full:
            sentence = f"{len(ready)} of {wanted} pods of {workload} are Ready at the end"
            return blind or violated(sentence, reason=NOT_RUNNING, pods=wanted, ready=len(ready))
        took_s = max(0.0, since - window.end)
        sentence = f"all {wanted} pods of {workload} were Ready {took_s:.1f} s after the fault was undone"
        if took_s > within_s:
            late = f"{sentence}, allowed were {within_s:g} s"
            hidden = _told_late(history, "pods", since, window.end + within_s, late)
            return hidden or violated(late, reason=LATE, pods=wanted, ready_s=round(took_s, 3))
        return blind or held(sentence, pods=wanted, ready_s=round(took_s, 3))

    return Invariant(f"runs-again-{workload}", judge)


def _told_late(history: History, resource: str, at: float, due: float, sentence: str) -> Judgement | None:
    """Unknown, where what was seen after it was due may have been so before."""
    earliest = at_earliest(history, resource, at)
    return unknown(f"{sentence}; it may have been from {earliest:.1f} s on, unseen") if earliest <= due else None


def _there(
    history: History, judged: Window, which: Callable[[PodChange], bool]
) -> list[tuple[PodChange, list[PodChange]]]:
    """The pods that were there when the span began: each one's last sight before, and its changes in the span."""
    before: dict[str, PodChange] = {}
    during: dict[str, list[PodChange]] = {}
    for change in history.of(PodChange):
        if change.at < judged.start:
            before[change.uid] = change
        elif change.at in judged:
            during.setdefault(change.uid, []).append(change)
    return [(c, during.get(uid, [])) for uid, c in before.items() if which(c) and not _ended(c)]


def _ended(c: PodChange) -> bool:
    return c.deleting or c.change == "deleted" or c.phase in {"Failed", "Succeeded"} or c.reason in EVICTED_REASONS


def _lost(first: PodChange, changes: Sequence[PodChange]) -> tuple[str, PodChange] | None:
    """How a pod was lost, and the change that shows it first; None where it stayed."""
    ended = [c for c in changes if _ended(c)]
    if ended:
        if {c.reason for c in ended} & EVICTED_REASONS:
            return EVICTED, ended[0]
        return (DELETED if any(c.deleting or c.change == "deleted" for c in ended) else FAILED), ended[0]
    again = [c for c in changes if c.restarts > first.restarts or set(c.containers) - set(first.containers)]
    return (RESTARTED, again[0]) if again else None
