"""With each thousand operations a component holds no more than a stated amount more, and reads no more from etcd."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.judge.base import Figure, Invariant, Judgement, bounds, held, promise, unknown, violated
from chaos.record.history import History
from chaos.subjects.soak.records import ComponentProfile, Keeper, QuietSpan

HEAP_GROWS, GOROUTINES_GROW, READS_GROW = "heap-grows", "goroutines-grow", "reads-grow"
ROUNDS = 2  # the last ones: what settles late has grown in one of them at the most


@dataclass(frozen=True, slots=True)
class _What:
    """What must not grow: how it is called, its unit and how many make one, who says it, and who holds it."""

    name: str
    unit: str
    each: float
    reason: str
    held: Callable[[ComponentProfile], int]
    holders: Callable[[ComponentProfile], Sequence[Keeper]]


_HEAP = _What("live heap", "kB", 1000, HEAP_GROWS, lambda seen: seen.heap_bytes, lambda seen: seen.heap)
_GOROUTINES = _What(
    "goroutines", "goroutines", 1, GOROUTINES_GROW, lambda seen: seen.goroutines, lambda seen: seen.stacks
)


@promise
@bounds(limit_kb_per_thousand="kb_per_thousand")
def heap_does_not_grow(components: Sequence[str], *, limit_kb_per_thousand: float, least: int) -> Invariant:
    """Per thousand of its operations no component's live heap grows by more than that in each of the last two rounds.

    A round lies between two looks at rest; what settles grows in one of them at the most. Reason: "heap-grows", with
    the stack that grew most. Unknown where a component was not looked at three times, was not at rest, is another
    process, or did fewer than `least` operations in a round.
    """
    return Invariant(
        "heap-does-not-grow", lambda history: _settles(history, components, _HEAP, limit_kb_per_thousand, least)
    )


@promise
@bounds(limit_per_thousand="per_thousand")
def goroutines_do_not_grow(components: Sequence[str], *, limit_per_thousand: float, least: int) -> Invariant:
    """Per thousand of its operations no component has more goroutines than that more, in each of the last two rounds.

    Reason: "goroutines-grow", with where most of the new ones stand. Unknown as `heap_does_not_grow`.
    """
    return Invariant(
        "goroutines-do-not-grow", lambda history: _settles(history, components, _GOROUTINES, limit_per_thousand, least)
    )


@promise
@bounds(limit_bytes_s_per_thousand="bytes_s_per_thousand")
def reads_do_not_grow(*, limit_bytes_s_per_thousand: float, least: int, lasts_s: float) -> Invariant:
    """Per thousand events more that are stored, an API server that nobody asks reads no more than that more from etcd.

    Compared are the first quiet span and the last one, which has to last `lasts_s`. Bytes count, and no time: a slow
    machine reads as many. Reason: "reads-grow". Unknown where there are no two spans, etcd or the API server is another
    process, or fewer than `least` events were stored in between.
    """

    def judge(history: History) -> Judgement:
        spans = history.of(QuietSpan)
        if len(spans) < 2:
            return unknown("there are no two quiet spans to be compared", spans)
        first, last = spans[0], spans[-1]
        if first.processes != last.processes:
            return unknown("the API server or etcd is another process", [first, last])
        more = last.stored - first.stored
        if more < least:
            return unknown(f"{more} events were stored in between, and {least} are asked for", [first, last])
        if last.lasted_s < lasts_s:
            return unknown(
                f"the last quiet span was {last.lasted_s:.0f} s long, and {lasts_s:g} s are asked for", [last]
            )
        before, after = (span.read_bytes / span.lasted_s for span in (first, last))
        grown = round((after - before) * 1000 / more, 1)
        said = f"what it reads from etcd while nobody asks went from {before:.0f} to {after:.0f} bytes/s"
        said = f"{said}, with {more} more events stored: {grown:g} bytes/s per thousand"
        if grown > limit_bytes_s_per_thousand:
            allowed = f"{said}, allowed are {limit_bytes_s_per_thousand:g}"
            return violated(allowed, [first, last], reason=READS_GROW, bytes_s_per_thousand=grown)
        return held(said, bytes_s_per_thousand=grown)

    return Invariant("reads-do-not-grow", judge)


@dataclass(frozen=True, slots=True)
class _Growth:
    """By how much a component has grown per thousand operations in that one of the rounds in which it grew least."""

    component: str
    per_thousand: float
    before: ComponentProfile
    after: ComponentProfile


def _settles(history: History, components: Sequence[str], what: _What, limit: float, least: int) -> Judgement:
    doubts: list[Judgement] = []
    grown: list[_Growth] = []
    for component in components:
        looks = [seen for seen in history.of(ComponentProfile) if seen.component == component][-ROUNDS - 1 :]
        doubt = _doubt(component, looks, least)
        if doubt is None:
            rounds = [_growth(what, before, after) for before, after in pairwise(looks)]
            grown.append(_Growth(component, min(rounds), looks[0], looks[-1]))
        else:
            doubts.append(doubt)
    worst = max(grown, key=lambda each: each.per_thousand, default=None)
    if worst is not None and worst.per_thousand > limit:
        return _violated(worst, what, limit)
    if doubts or worst is None:
        return doubts[0] if doubts else unknown("no component was to be looked at")
    most = f"{worst.component} most, by {worst.per_thousand:.1f} {what.unit}"
    done = min(each.after.operations - each.before.operations for each in grown)
    said = f"the {what.name} of {', '.join(components)} settled: per thousand operations {most} ({done} or more each)"
    return held(said, **{_figure(what): round(worst.per_thousand, 1)})


def _doubt(component: str, looks: Sequence[ComponentProfile], least: int) -> Judgement | None:
    """Unknown, where nobody can tell whether it grows; else None."""
    if len(looks) <= ROUNDS:
        return unknown(f"{component} was looked at {len(looks)} times, which tells nothing", looks)
    if len({seen.process for seen in looks}) > 1:
        return unknown(f"{component} was started anew in between", looks)
    restless = [seen for seen in looks if not seen.settled]
    if restless:
        return unknown(f"{component} did not come to rest at {restless[0].at:.1f} s", restless)
    few = [after.operations - before.operations for before, after in pairwise(looks)]
    if min(few) < least:
        return unknown(f"{component} did {min(few)} operations in a round, and {least} are asked for", looks)
    return None


def _growth(what: _What, before: ComponentProfile, after: ComponentProfile) -> float:
    more = (what.held(after) - what.held(before)) / what.each
    return more * 1000 / (after.operations - before.operations)


def _violated(worst: _Growth, what: _What, limit: float) -> Judgement:
    before, after = worst.before, worst.after
    was = {holder.stack: holder.held for holder in what.holders(before)}
    more = {holder.stack: holder.held - was.get(holder.stack, 0) for holder in what.holders(after)}
    stack = max(more, key=lambda each: more[each], default="")
    top = f", most in {stack}" if more.get(stack, 0) > 0 else ""
    counts = f"{what.held(before) / what.each:.0f} to {what.held(after) / what.each:.0f} {what.unit}"
    figures: dict[str, Figure] = {_figure(what): round(worst.per_thousand, 1), "top": stack}
    return violated(
        f"the {what.name} of {worst.component} grew by {worst.per_thousand:.0f} {what.unit} or more per thousand "
        f"operations, allowed are {limit:g}: {counts} in {after.operations - before.operations}{top}",
        [before, after],
        reason=what.reason,
        **figures,
    )


def _figure(what: _What) -> str:
    return "kb_per_thousand" if what is _HEAP else "per_thousand"
