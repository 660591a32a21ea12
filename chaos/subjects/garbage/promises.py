"""What is due is done in time: pods, Jobs and namespaces are gone, quotas are counted."""

from collections.abc import Mapping

from chaos.judge.base import Invariant, Judgement, bounds, held, promise, unknown, violated
from chaos.judge.sight import Span, names, never_landed, overlapping
from chaos.record.history import History
from chaos.subjects.garbage.records import Due, Look, What, Why

NOT_COLLECTED, JOB_STAYS, NOT_COUNTED, NOT_ENDED = "not-collected", "job-stays", "not-counted", "not-ended"
CONVERSION_FAILED, LIST_REFUSED, DISCOVERY_FAILED = "conversion-failed", "list-refused", "discovery-failed"


@promise
@bounds(within_s="done_after_s")
def pods_of_deleted_go(*, within_s: float, fault: str) -> Invariant:
    """The pods of each Deployment that was deleted while the fault lasted are gone `within_s` seconds later.

    Reason: "not-collected". For this promise and those below: unknown where nothing of the kind was due while the
    fault lasted, where it was undone before the time was over, and where nobody looked when it was.
    """
    return Invariant(
        "pods-of-deleted-go",
        lambda history: _in_time(history, What.PODS, within_s, fault, {Why.NOTHING: NOT_COLLECTED}),
    )


@promise
@bounds(within_s="done_after_s")
def jobs_past_ttl_go(*, within_s: float, fault: str) -> Invariant:
    """Each Job that was over while the fault lasted, and is to be deleted then, is gone `within_s` seconds later.

    Its ttlSecondsAfterFinished is part of that time. Reason: "job-stays".
    """
    reasons = {Why.NOTHING: JOB_STAYS}
    return Invariant("jobs-past-ttl-go", lambda history: _in_time(history, What.JOB, within_s, fault, reasons))


@promise
@bounds(within_s="done_after_s")
def quotas_counted(*, within_s: float, fault: str) -> Invariant:
    """Each ResourceQuota that was made while the fault lasted says what is used, `within_s` seconds later.

    Until then the API server refuses what it is about ("status unknown for quota"). Reason: "not-counted".
    """
    reasons = {Why.NOTHING: NOT_COUNTED}
    return Invariant("quotas-counted", lambda history: _in_time(history, What.QUOTA, within_s, fault, reasons))


@promise
@bounds(within_s="done_after_s")
def namespace_ends(*, within_s: float, fault: str) -> Invariant:
    """Each namespace that was deleted while the fault lasted is gone `within_s` seconds later.

    Reasons: "conversion-failed" where it holds an object that can't be converted, "list-refused" where it holds none
    and the API server gives no list of that API at all, "discovery-failed" where it says that not every API could be
    discovered, else "not-ended".
    """
    reasons = {
        Why.CONVERSION: CONVERSION_FAILED,
        Why.LIST: LIST_REFUSED,
        Why.DISCOVERY: DISCOVERY_FAILED,
        Why.CONTENT: NOT_ENDED,
        Why.NOTHING: NOT_ENDED,
    }
    return Invariant("namespace-ends", lambda history: _in_time(history, What.NAMESPACE, within_s, fault, reasons))


STILL: Mapping[What, str] = {
    What.PODS: "pods of a deleted Deployment were still there",
    What.JOB: "a Job that was over was still there",
    What.QUOTA: "a quota was not counted",
    What.NAMESPACE: "a deleted namespace was still there",
}
DONE: Mapping[What, str] = {
    What.PODS: "the pods of a deleted Deployment were gone",
    What.JOB: "a Job that was over was gone",
    What.QUOTA: "a quota was counted",
    What.NAMESPACE: "a deleted namespace was gone",
}


def _in_time(history: History, what: What, within_s: float, fault: str, reasons: Mapping[Why, str]) -> Judgement:
    span = Span(fault=fault)
    window = span.of(history)
    if window is None:
        return never_landed(span)
    due = [each for each in history.of(Due, window) if each.what is what]
    if not due:
        return unknown(f"nothing of this was due while {fault} lasted: {DONE[what]}")
    looks = {
        each: [look for look in history.of(Look, window) if (look.what, look.name) == (what, each.name)] for each in due
    }
    # Not done when the time was over: whatever is seen later was done too late.
    late = {each: [o for o in seen if not o.done and o.at >= each.at + within_s] for each, seen in looks.items()}
    missed = {each: seen for each, seen in late.items() if seen}
    if missed:
        first, seen = next(iter(missed.items()))
        return violated(
            f"{STILL[what]} {within_s:g} s later: {names([each.name for each in missed])}, due at {first.at:.1f} s"
            f"{f' ({seen[0].why})' if seen[0].why else ''}",
            [first, seen[0]],
            reason=reasons.get(seen[0].why, reasons[Why.NOTHING]),
            due=len(due),
            late=len(missed),
        )
    done = {each: next((o.at - each.at for o in seen if o.done), None) for each, seen in looks.items()}
    open_ = [each for each, after_s in done.items() if after_s is None or after_s > within_s]
    if open_:
        blind = overlapping(history, Look.kind, window)
        why = f": {blind[0].why}" if blind else ""
        return unknown(f"nobody looked at {names([each.name for each in open_])} when the time was over{why}", open_)
    longest_s = max(after_s for after_s in done.values() if after_s is not None)
    return held(f"{DONE[what]} after {longest_s:.1f} s", due=len(due), done_after_s=round(longest_s, 3))
