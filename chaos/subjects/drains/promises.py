"""A drain ends, or what stops it is named; no budget is overdrawn, one node at a time waits, and it takes no pods."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from chaos.harm.drain import TWO_BUDGETS as TWO
from chaos.judge.base import Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import Span, names, never_landed, overlapping, unseen
from chaos.record.history import History, Window
from chaos.record.records import FaultStep, NodeChange, PodChange, Sample
from chaos.subjects.drains.records import EvictionAnswered

BUDGET_OF_UNHEALTHY, NO_BUDGET_LEFT, TWO_BUDGETS = "budget-of-unhealthy", "no-budget-left", "two-budgets"
POD_STAYS, NOT_ASKED = "pod-stays", "not-asked"
REASONS = (BUDGET_OF_UNHEALTHY, NO_BUDGET_LEFT, TWO_BUDGETS, POD_STAYS, NOT_ASKED)
NO_NAME, OVERDRAWN, TWO_CORDONED, TOOK_PODS = "no-name", "overdrawn", "two-cordoned", "took-pods"
HEARD_AFTER_S = 3.0  # until a scheduler has heard of a cordon; one that is slow is not wrong


@dataclass(frozen=True, slots=True)
class Drain:
    """A node took no pods from `start` until `end`, in seconds since the history began."""

    node: str
    start: float
    end: float


@promise
@bounds(within_s="drained_after_s")
def drained_in_time(fault: str, *, within_s: float) -> Invariant:
    """Of each node that was cordoned while the fault lasted, the pods of workloads that were on it were gone `within_s`
    later.

    Reasons, of the first in this order that a pod which stayed shows: "budget-of-unhealthy" (a budget refused a pod
    that is not Ready), "no-budget-left" (one that is), "two-budgets" (the pod has two, which the API server does not
    evict), "pod-stays" (it was evicted and does not end), "not-asked". Unknown where the drain was not let go on for
    that long, or no budget ever refused anything: then none had the chance to stop it.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        drains = _drains(history, window)
        pods = [stay for drain in drains for stay in _stays(history, drain)]
        too_long = [stay for stay in pods if stay.for_s > within_s]
        late = [stay for stay in too_long if stay.watched_s >= within_s]
        blind = overlapping(history, "watch:pods", window)
        if late and not blind:
            return _not_drained(late, within_s)
        refused = [a for a in history.of(EvictionAnswered, window) if a.refused]
        if too_long or not drains or not refused:
            return unknown(_why_not(too_long, drains, within_s), [*blind, *refused])
        longest_s = max((stay.for_s for stay in pods), default=0.0)
        return (
            unseen(history, "pods", window)
            or unseen(history, "nodes", window)
            or held(
                f"each of {len(drains)} drains was over, the longest after {longest_s:.1f} s; budgets refused "
                f"{len(refused)} evictions meanwhile",
                drains=len(drains),
                refused=len(refused),
                drained_after_s=round(longest_s, 3),
            )
        )

    return Invariant("drained-in-time", judge)


@promise
def blocker_named(fault: str) -> Invariant:
    """Whenever an eviction was refused while the fault lasted, the API server named the budget that refused it.

    Reason: "no-name". Unknown where none was refused.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        refused = [a for a in history.of(EvictionAnswered, window) if a.refused]
        unnamed = [a for a in refused if not a.budget]
        if unnamed:
            return violated(
                f"{len(unnamed)} of {len(refused)} refusals name no budget, such as that of {unnamed[0].object}: "
                f"{unnamed[0].why}",
                unnamed,
                reason=NO_NAME,
                refused=len(refused),
                unnamed=len(unnamed),
            )
        if not refused:
            return unknown("no eviction was refused, so nothing had to be named")
        who = sorted({f"{a.namespace}/{a.budget}" for a in refused})
        return held(f"each of {len(refused)} refusals names its budget: {names(who)}", refused=len(refused))

    return Invariant("blocker-named", judge)


@promise
def no_budget_overdrawn(keeps: Mapping[str, int], *, fault: str) -> Invariant:
    """While the fault lasted, each workload had as many Ready pods that were not on their way out as its budget keeps.

    `keeps`: how many, by the workload's name. Counted is in the order in which the API server wrote the pods. Reason:
    "overdrawn". Unknown where no workload had both an eviction that was granted and one that was refused: only then
    was a budget all used up. And where a node was not Ready: so its pods are not either, and nobody evicted them.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        least: dict[str, int] = {}
        over: list[PodChange] = []
        for workload, kept in keeps.items():
            for change, ready in _ready_after(history, workload):
                if change.at in window:
                    least[workload] = min(ready, least.get(workload, ready))
                    over += [change] if ready < kept else []
        lost = [c for c in history.of(NodeChange, window) if c.ready != "True"]
        if over and lost:
            return unknown(f"{lost[0].name} was not Ready at {lost[0].at:.1f} s, which no eviction does", lost[:1])
        if over:
            first = over[0].workload
            return violated(
                f"only {least[first]} pods of {first} were Ready, and its budget keeps {keeps[first]}",
                over,
                reason=OVERDRAWN,
                least=least[first],
                keeps=keeps[first],
            )
        answers = [a for a in history.of(EvictionAnswered, window) if a.workload in keeps]
        used_up = sorted({a.workload for a in answers if a.refused} & least.keys())
        if not used_up:
            return unknown("no budget was all used up, so none could have been overdrawn", answers)
        if doubt := unseen(history, "pods", window):
            return doubt
        room = min(least[workload] - keeps[workload] for workload in least)
        return held(f"the budget of {names(used_up)} was used up and never overdrawn", used_up=len(used_up), room=room)

    return Invariant("no-budget-overdrawn", judge)


@promise
def one_node_waits(fault: str) -> Invariant:
    """While the fault lasted, never more than one node was cordoned. Reason: "two-cordoned".

    Unknown where no second node was drained: then none could wait beside the first.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        drains = _drains(history, window)
        for one, then in pairwise(drains):
            if then.start < one.end:
                said = f"{then.node} was cordoned at {then.start:.1f} s, while {one.node} still was"
                both = [c for c in history.of(NodeChange) if c.unschedulable and c.name in {one.node, then.node}]
                return violated(said, both, reason=TWO_CORDONED, cordoned=2)
        if len(drains) < 2:
            return unknown("no second node was cordoned, so none could wait beside the first")
        if doubt := unseen(history, "nodes", window):
            return doubt
        return held(f"each of {len(drains)} nodes took pods again before the next was cordoned", drains=len(drains))

    return Invariant("one-node-waits", judge)


@promise
@for_good
def cordoned_takes_none(fault: str) -> Invariant:
    """No pod of a workload that was made HEARD_AFTER_S seconds after a node was cordoned, or later, was put on that
    node, while the fault lasted.

    Reason: "took-pods". Unknown where no such pod found another node: then none had to be put anywhere; and where the
    node got one that was made sooner.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        made: dict[str, float] = {}
        placed: dict[str, PodChange] = {}
        for change in history.of(PodChange):
            made.setdefault(change.uid, change.at if change.change != "listed" else -inf)
            if change.node and change.workload:
                placed.setdefault(change.uid, change)
        wrong: list[PodChange] = []
        early: list[PodChange] = []
        right = 0
        # Whoever undoes lets the node take pods again, which a watch of nodes may bring late.
        undoing = [s.at for s in history.of(FaultStep) if s.fault == fault and s.step == "undoing"]
        for drain in _drains(history, window):
            until = min([drain.end, window.end, *(at for at in undoing if at > drain.start)])
            for uid, change in placed.items():
                if not drain.start < made[uid] <= change.at <= until:
                    continue
                heard = made[uid] >= drain.start + HEARD_AFTER_S
                if change.node == drain.node:
                    (wrong if heard else early).append(change)
                else:
                    right += heard
        if wrong:
            said = f"{len(wrong)} pods were put on a node that was cordoned, first {wrong[0].object} on {wrong[0].node}"
            return violated(said, wrong, reason=TOOK_PODS, pods=len(wrong))
        if early:
            return unknown(f"{early[0].object} was put on {early[0].node} as soon as that was cordoned", early)
        if not right:
            return unknown("no pod was made while a node was cordoned, so that none had to be put on another one")
        if doubt := unseen(history, "pods", window) or unseen(history, "nodes", window):
            return doubt
        return held(f"none of {right} pods that were made meanwhile was put on a cordoned node", pods=right)

    return Invariant("cordoned-takes-none", judge)


def _drains(history: History, window: Window) -> list[Drain]:
    """From when each node was cordoned until it took pods again, in the order of time, of those that ended in the
    window, or after it.
    """
    found: list[Drain] = []
    since: dict[str, float] = {}
    for change in history.of(NodeChange):
        if change.unschedulable:
            since.setdefault(change.name, change.at)
        elif change.name in since:
            found.append(Drain(change.name, since.pop(change.name), change.at))
    found += [Drain(name, start, inf) for name, start in since.items()]
    return sorted((d for d in found if d.end >= window.start and d.start <= window.end), key=lambda d: d.start)


@dataclass(frozen=True, slots=True)
class _Stay:
    """A pod that was on a node when it was cordoned: as it was seen last, and the last answer to its eviction.

    `for_s`: how long it stayed; inf where nobody saw it gone. `watched_s`: how long it was seen whether it did.
    """

    drain: Drain
    pod: PodChange
    answer: EvictionAnswered | None
    for_s: float
    watched_s: float

    @property
    def why(self) -> str:
        """Why it is still there, as a reason."""
        if self.pod.deleting:
            return POD_STAYS
        if self.answer is None or not self.answer.refused:
            return NOT_ASKED
        if self.answer.code == TWO:
            return TWO_BUDGETS
        return NO_BUDGET_LEFT if self.pod.ready else BUDGET_OF_UNHEALTHY


def _stays(history: History, drain: Drain) -> Iterator[_Stay]:
    """Of each pod of a workload that was on the node when it was cordoned."""
    there: dict[str, PodChange] = {}
    gone: dict[str, float] = {}
    for change in history.of(PodChange):
        if change.node != drain.node or not change.workload or change.at > drain.end:
            continue
        if change.change == "deleted":
            if change.at < drain.start:
                there.pop(change.uid, None)
            else:
                gone.setdefault(change.uid, change.at)
        elif change.at <= drain.start or change.uid in there:
            there[change.uid] = change
    answers = {a.uid: a for a in history.of(EvictionAnswered) if a.node == drain.node and a.at <= drain.end}
    # Whoever drains counts on where nothing else is to be seen: a pod that does not end changes no more.
    seen = [record.at for kind in (NodeChange, PodChange, EvictionAnswered, Sample) for record in history.of(kind)]
    until = min(drain.end, max(seen))
    for uid, pod in there.items():
        yield _Stay(drain, pod, answers.get(uid), gone.get(uid, inf) - drain.start, until - drain.start)


def _why_not(too_long: Sequence[_Stay], drains: Sequence[Drain], within_s: float) -> str:
    """Why nothing can be said of whether drains end."""
    if too_long:
        return f"it was not seen for {within_s:g} s whether the drain of {too_long[0].drain.node} comes to its end"
    if not drains:
        return "no node was cordoned"
    return "no budget refused anything while nodes were drained, so none could have stopped it"


def _said_of(stay: _Stay) -> str:
    if stay.why == POD_STAYS:
        return "it is on its way out, and does not end"
    return stay.answer.told() if stay.answer is not None else "nobody asked for its eviction"


def _not_drained(late: Sequence[_Stay], within_s: float) -> Judgement:
    counts = Counter(stay.why for stay in late)
    reason = next(each for each in REASONS if counts[each])
    first = next(stay for stay in late if stay.why == reason)
    said = _said_of(first)
    which = f"{len(late)} pods were still on {first.drain.node} {within_s:g} s after it was cordoned"
    return violated(
        f"{which}, such as {first.pod.object}: {said}",
        [record for stay in late for record in (stay.answer, stay.pod) if record is not None],
        reason=reason,
        stayed=len(late),
    )


def _ready_after(history: History, workload: str) -> Iterator[tuple[PodChange, int]]:
    """Each change of the workload's pods, and how many were Ready and not on their way out after it."""
    ready: set[str] = set()
    for change in history.of(PodChange):
        if change.workload != workload:
            continue
        if change.ready and not change.deleting and change.change != "deleted":
            ready.add(change.uid)
        else:
            ready.discard(change.uid)
        yield change, len(ready)
