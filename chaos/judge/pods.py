"""Pods of a workload stay what they were: none terminated, none restarted, none replaced."""

from collections import Counter
from collections.abc import Sequence

from chaos.judge.base import Invariant, Judgement, for_good, held, promise, unknown, violated
from chaos.judge.sight import Span, names, never_landed, unseen
from chaos.judge.taint_rates import tainted_s
from chaos.record.doubts import NoChance
from chaos.record.history import History, Window
from chaos.record.records import ClusterEvent, NodeChange, PodChange

# The DisruptionTarget condition's reasons, and the event of the taint eviction controller. Source:
# staging/src/k8s.io/api/core/v1/types.go (PodReason...), pkg/controller/tainteviction/taint_eviction.go.
TAINT_EVICTION_REASON = "DeletionByTaintManager"
TAINT_EVICTION_EVENT = "TaintManagerEviction"
EVICTED_REASONS = frozenset({"Evicted", "EvictionByEvictionAPI", "TerminationByKubelet", "PreemptionByScheduler"})

TAINT_EVICTION, EVICTED, DELETED, FAILED = "taint-eviction", "evicted", "deleted", "failed"
RESTARTED, STOPPED, REPLACED = "restarted", "stopped", "replaced"


@promise
@for_good
def nothing_terminated(
    workload: str, *, window: Window | None = None, fault: str | None = None, tolerated_s: float | None = None
) -> Invariant:
    """No pod of the workload was marked for deletion, deleted, evicted, or failed.

    `tolerated_s`: how long pods tolerate a NoExecute taint by default. With it a history in which no node that had a
    pod of the workload was tainted for longer is unknown: nothing had the chance to be terminated; so is one in which a
    node that was harmed for that was not (NoChance). Without it nothing is said of taints: for those replays in which
    it is the taint, or who acts on it, that is kept away.

    `workload` is the value of the label kube-ordeal/workload. Reasons: "taint-eviction" where the taint eviction
    controller did it to any of them, else "evicted", "deleted", "failed", in this order. A pod that was on its way out
    before the span began does not count.
    """
    span = Span(window, fault)

    def judge(history: History) -> Judgement:
        judged = span.of(history)
        if judged is None:
            return never_landed(span)
        pods = _by_pod(history, workload)
        ended: list[PodChange] = []
        alive = 0
        for changes in pods.values():
            before = [c for c in changes if c.at < judged.start or c.change == "listed"]
            if before and _ending(before[-1]):
                continue
            during = [c for c in changes if c.at in judged]
            alive += bool(before or during)
            ended += [c for c in during if _ending(c)][:1]
        if not alive:
            return unknown(f"no pod of {workload} was seen")
        if ended:
            return _terminated(history, workload, pods, sorted(ended, key=lambda c: c.at), alive)
        doubt = unseen(history, "pods", judged) or _no_chance(history, workload, judged, tolerated_s)
        return doubt or held(f"none of {alive} pods of {workload} was terminated", pods=alive, terminated=0)

    return Invariant("nothing-terminated", judge)


@promise
def no_container_restarted(workload: str, *, window: Window | None = None, fault: str | None = None) -> Invariant:
    """Every container of the workload's pods kept its id and its restart count until its pod was terminated.

    Reasons: "restarted"; "stopped" where a container stopped and none took its place. Whether pods were terminated is
    another invariant's question.
    """
    span = Span(window, fault)

    def judge(history: History) -> Judgement:
        judged = span.of(history)
        if judged is None:
            return never_landed(span)
        restarted: list[PodChange] = []
        stopped: list[PodChange] = []
        kept = containers = 0
        for changes in _by_pod(history, workload).values():
            before = [c for c in changes if c.at < judged.start and not _ending(c)][-1:]
            complete, after = _after_start(before + [c for c in changes if c.at in judged and not _ending(c)])
            if complete is None:
                continue
            ids = set(complete.containers)
            again = [c for c in after if c.restarts > complete.restarts or set(c.containers) - ids]
            if again:
                restarted.append(again[0])
            elif after and set(after[-1].containers) != ids:
                stopped.append(after[-1])
            else:
                kept += 1
                containers += len(ids)
        if restarted or stopped:
            proof = sorted(restarted or stopped, key=lambda c: c.at)
            how, reason = ("restarted", RESTARTED) if restarted else ("stopped", STOPPED)
            return violated(
                f"containers {how} in {len(proof)} pods of {workload}, first in {proof[0].name} at {proof[0].at:.1f} s",
                proof,
                reason=reason,
                pods_restarted=len(restarted),
                pods_stopped=len(stopped),
                pods_kept=kept,
                first_s=round(proof[0].at, 3),
            )
        if not kept:
            return unknown(f"no running container of {workload} was seen")
        blind = unseen(history, "pods", judged)
        return blind or held(
            f"all {containers} containers in {kept} pods of {workload} are the ones that ran before",
            pods=kept,
            containers=containers,
        )

    return Invariant("no-container-restarted", judge)


@promise
def same_pods(workload: str, *, window: Window | None = None, fault: str | None = None) -> Invariant:
    """The workload's pods at the end of the span are those of its beginning, compared by uid."""
    span = Span(window, fault)

    def judge(history: History) -> Judgement:
        judged = span.of(history)
        if judged is None:
            return never_landed(span)
        first: dict[str, PodChange] = {}
        last: dict[str, PodChange] = {}
        for uid, changes in _by_pod(history, workload).items():
            before = [c for c in changes if c.at < judged.start or (span == Span() and c.change == "listed")]
            until = [c for c in changes if c.at <= judged.end]
            if before and before[-1].change != "deleted":
                first[uid] = before[-1]
            if until and until[-1].change != "deleted":
                last[uid] = until[-1]
        if not first:
            return unknown(f"no pod of {workload} was there at the beginning")
        lost = [first[uid] for uid in first if uid not in last]
        new = [last[uid] for uid in last if uid not in first]
        if lost or new:
            which = names([p.name for p in lost or new])
            return violated(
                f"of {len(first)} pods of {workload} {len(lost)} are gone, and {len(new)} are new ({which})",
                [*lost, *new],
                reason=REPLACED,
                pods=len(first),
                lost=len(lost),
                new=len(new),
            )
        blind = unseen(history, "pods", judged)
        return blind or held(f"the {len(first)} pods of {workload} are the same as before", pods=len(first))

    return Invariant("same-pods", judge)


def _no_chance(history: History, workload: str, judged: Window, tolerated_s: float | None) -> Judgement | None:
    """Unknown, where no node with a pod of the workload was tainted for long enough to have it deleted, or one that was
    harmed for that was not; else None.
    """
    if tolerated_s is None:
        return None
    missed = history.of(NoChance, judged)
    if missed:
        return unknown(
            f"{len(missed)} of the nodes that were harmed were not tainted NoExecute for longer than the "
            f"{missed[0].tolerated_s:g} s that are tolerated by default ({missed[0].node} for "
            f"{missed[0].tainted_s:.1f} s), so that not all that was to be tried was",
            missed,
        )
    nodes = sorted({c.node for c in history.of(PodChange) if c.workload == workload and c.node})
    longest = tainted_s(history, nodes, judged)
    worst = max(longest, key=lambda node: longest[node], default="")
    if worst and longest[worst] > tolerated_s:
        return None
    seen = f"the longest was {longest[worst]:.1f} s on {worst}" if worst and longest[worst] else "none was at all"
    return unknown(
        f"no node with a pod of {workload} was tainted NoExecute for longer than the {tolerated_s:g} s that are "
        f"tolerated by default ({seen}), so that nothing had the chance to be terminated",
        [c for c in history.of(NodeChange, judged) if c.name in longest],
    )


def _by_pod(history: History, workload: str) -> dict[str, list[PodChange]]:
    """The workload's pods by uid, each one's changes in the order of time."""
    pods: dict[str, list[PodChange]] = {}
    for change in history.of(PodChange):
        if change.workload == workload:
            pods.setdefault(change.uid, []).append(change)
    return pods


def _ending(c: PodChange) -> bool:
    return c.deleting or c.change == "deleted" or c.phase == "Failed" or c.reason in EVICTED_REASONS


def _terminated(
    history: History, workload: str, pods: dict[str, list[PodChange]], ended: Sequence[PodChange], alive: int
) -> Judgement:
    tainted = {e.regarding for e in history.of(ClusterEvent) if e.reason == TAINT_EVICTION_EVENT}
    causes: dict[str, str] = {}
    for first in ended:
        changes = [c for c in pods[first.uid] if c.at >= first.at]
        said = {c.reason for c in changes}
        if TAINT_EVICTION_REASON in said or f"Pod/{first.object}" in tainted:
            causes[first.uid] = TAINT_EVICTION
        elif said & EVICTED_REASONS:
            causes[first.uid] = EVICTED
        else:
            removed = any(c.deleting or c.change == "deleted" for c in changes)
            causes[first.uid] = DELETED if removed else FAILED
    counts = Counter(causes.values())
    reason = next(cause for cause in (TAINT_EVICTION, EVICTED, DELETED, FAILED) if counts[cause])
    how = ", ".join(f"{count} by {cause}" for cause, count in counts.most_common())
    return violated(
        f"{len(ended)} of {alive} pods of {workload} were terminated ({how}), "
        f"first {ended[0].name} on {ended[0].node or 'no node'} at {ended[0].at:.1f} s",
        ended,
        reason=reason,
        pods=alive,
        terminated=len(ended),
        first_s=round(ended[0].at, 3),
    )


def _after_start(living: Sequence[PodChange]) -> tuple[PodChange | None, Sequence[PodChange]]:
    """The first change that shows as many running containers as the pod ever had at once, and the changes after it."""
    size = max((len(c.containers) for c in living), default=0)
    for number, change in enumerate(living, start=1):
        if size and len(change.containers) == size:
            return change, living[number:]
    return None, ()
