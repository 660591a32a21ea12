"""What watchers believe is what etcd holds, after etcd was changed behind the API server's back; LISTs spare etcd."""

from collections.abc import Mapping, Sequence

from chaos.judge.base import Invariant, Judgement, bounds, held, promise, unknown, violated
from chaos.judge.sight import names, overlapping
from chaos.record.history import History
from chaos.record.informer import STORED, WATCHED
from chaos.record.records import FaultStep, Observation
from chaos.subjects.watch_cache.records import ListsCounted

STALE, FROM_ETCD = "stale", "from-etcd"


@promise
@bounds(within_s="seen_after_s")
def watchers_see(fault: str, *, within_s: float) -> Invariant:
    """From `within_s` after the fault landed, a watcher's picture of each object is what is stored, until the undo.

    Both are Observations of the same subjects: "watched" at each change that the watch brought, "stored" whenever etcd
    itself was asked. Reason: "stale", where it is so when etcd was asked last; what was seen before that is late, and
    unknown: the machine may be slow. Unknown where etcd was not asked after that time, where it holds nothing else than
    watchers believed before the fault, or where the watch was blind before etcd was last asked.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window(fault)
        if window is None:
            return unknown(f"the fault {fault} never landed, so there is nothing to be seen")
        due = window.start + within_s
        stored = [o for o in history.of(Observation) if o.name == STORED and due <= o.at <= window.end]
        if not stored:
            return unknown(f"etcd was not asked what it holds later than {within_s:g} s after the fault {fault}")
        watched = [o for o in history.of(Observation) if o.name == WATCHED and o.at <= window.end]
        beliefs = {at: _belief(watched, at) for at in stored}
        if why := _why_not(history, fault, watched, beliefs):
            return unknown(why, stored)
        asked = max(o.at for o in stored)  # the watch may break after that: undoing restarts the control plane
        blind = [b for b in overlapping(history, WATCHED, window) if b.until > due and b.at <= asked]
        if blind:
            first = blind[0]
            return unknown(f"the watch was broken from {first.at:.1f} s to {first.until:.1f} s: {first.why}", blind)
        stale = [(belief, at) for at, belief in beliefs.items() if belief is not None and belief.seen != at.seen]
        subjects = {at.subject for at in stored}
        asked_last = {at.subject: at for at in stored}
        if stale:
            wrong = sorted({at.subject for _, at in stale})
            belief, at = stale[0]
            late = None
            if not any(asked_last[at.subject] is at for _, at in stale):
                said = f"watchers saw {names(wrong)} as stored, but later than {within_s:g} s after the fault"
                late = unknown(said, stored)
            return late or violated(
                f"watchers see {len(wrong)} of {len(subjects)} objects not as they are stored {within_s:g} s after the "
                f"fault: {names(wrong)} (first: watched {belief.seen!r}, stored {at.seen!r})",
                [record for pair in stale for record in pair],
                reason=STALE,
                objects=len(subjects),
                stale=len(wrong),
            )
        last = max([window.start, *(belief.at for belief in beliefs.values() if belief is not None)])
        return held(
            f"watchers saw all {len(subjects)} objects as they are stored, {last - window.start:.1f} s after the fault",
            objects=len(subjects),
            seen_after_s=round(last - window.start, 3),
        )

    return Invariant(f"watchers-see-{fault}", judge)


@promise
def pages_from_cache(resource: str) -> Invariant:
    """The first page of a LIST without a resourceVersion comes from the API server's watch cache, as the whole does.

    Judged by the API server's own count of LISTs that came from there, when that was read last. Reason: "from-etcd".
    Unknown where the whole did not come from there either: then the cache served nobody, for whatever reason; and where
    only some of the pages did, for which a cache that is behind is enough (apiserver, pkg/storage/cacher/delegator.go).
    """

    def judge(history: History) -> Judgement:
        counted = [c for c in history.of(ListsCounted) if c.resource == resource]
        if not counted or not counted[-1].asked:
            return unknown(f"nobody listed {resource}")
        last = counted[-1]
        if last.whole_from_cache < last.asked:
            return unknown(f"the watch cache did not serve: {last.told()}", counted)
        if not last.pages_from_cache:
            said = f"none of {last.asked} first pages of {resource} came from the watch cache, as the whole did"
            return violated(said, [last], reason=FROM_ETCD, asked=last.asked)
        if last.pages_from_cache < last.asked:
            return unknown(f"some pages only came from the watch cache: {last.told()}", counted)
        return held(f"each of {last.asked} first pages of {resource} came from the watch cache", asked=last.asked)

    return Invariant("pages-from-cache", judge)


def _belief(watched: Sequence[Observation], stored: Observation) -> Observation | None:
    """What the watcher last heard of an object before etcd was asked for it."""
    heard = [o for o in watched if o.subject == stored.subject and o.at <= stored.at]
    return heard[-1] if heard else None


def _why_not(
    history: History, fault: str, watched: Sequence[Observation], beliefs: Mapping[Observation, Observation | None]
) -> str:
    """Why nothing can be said of what watchers believe of what is stored; empty where something can."""
    unheard = sorted({at.subject for at, belief in beliefs.items() if belief is None})
    if unheard:
        return f"no watcher ever heard of {names(unheard)}"
    planned = min((s.at for s in history.of(FaultStep) if s.fault == fault and s.step == "planned"), default=0.0)
    before = [(at, _belief([o for o in watched if o.at <= planned], at)) for at in beliefs]
    if all(belief is not None and belief.seen == at.seen for at, belief in before):
        return f"etcd holds what watchers believed before the fault {fault}: nothing was changed"
    return ""
