"""An API server whose etcd is away while it starts does not end itself, and is ready soon after etcd is back."""

from collections.abc import Sequence

from chaos.judge.base import Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import Span, never_landed, overlapping
from chaos.record.history import History, Window
from chaos.subjects.slow_start.records import ControlPlaneProcesses, StartHooks
from chaos.subjects.slow_start.sampler import PROCESSES

POST_START_HOOK, ETCD_WAS_BACK, ENDED, NOT_READY = "post-start-hook", "etcd-was-back", "ended", "not-ready"
BACK_S = 10.0  # etcd answered for so long that whoever asks it again would have had an answer


@promise
@for_good
def does_not_end_itself(fault: str, *, away_s: float) -> Invariant:
    """The API server that started while etcd was away, for at most `away_s`, runs until it is ready.

    Reasons: "post-start-hook" where it ended itself by the failure of a start hook, as it is documented to do after a
    minute; "etcd-was-back" where it did so although etcd had answered it again for BACK_S seconds: nobody had asked
    again. "ended" where it names no hook. Unknown where no hook was seen to wait while etcd was away, it was not seen
    to become ready, or it ended itself and etcd had been away for longer.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        seen = history.of(ControlPlaneProcesses, window)
        gone, back_at = _gone(seen), _back_at(seen)
        hooks = history.of(StartHooks, window)
        if gone is not None:
            return _away_too_long(seen, gone, back_at, away_s) or _ended(gone, back_at, hooks)
        waited = [h for h in hooks if h.pending and any(_away(s) and abs(s.at - h.at) <= 1 for s in seen)]
        if not waited:
            return unknown("no start hook was seen to wait while etcd was away: nothing was tried", hooks)
        ready_at = _ready_at(hooks, back_at)
        if ready_at is None:
            return unknown("the API server was not seen to become ready, and may yet end itself", hooks[-1:])
        if blind := overlapping(history, PROCESSES, Window(window.start, ready_at)):
            return unknown(f"its process was not looked at from {blind[0].at:.1f} s on: {blind[0].why}", blind)
        which = ", ".join(sorted({name for h in waited for name in h.pending}))
        return held(f"the API server ran until it was ready, {ready_at - window.start:.1f} s after etcd went: {which}")

    return Invariant("does-not-end-itself", judge)


@promise
@bounds(within_s="ready_after_s")
def ready_after_etcd(fault: str, *, within_s: float, away_s: float) -> Invariant:
    """The API server is ready `within_s` after etcd is back, which was away for at most `away_s`.

    Reasons: "ended" where it ended itself before it was, "not-ready" where it said after that time that it was not.
    Unknown where etcd was not seen to come back, nobody had an answer of it when the time was over, or
    it ended itself and etcd had been away for longer.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        seen = history.of(ControlPlaneProcesses, window)
        gone, back_at = _gone(seen), _back_at(seen)
        hooks = history.of(StartHooks, window)
        ready_at = _ready_at(hooks, back_at)
        if gone is not None and (ready_at is None or ready_at > gone.at):
            ended = violated(f"it ended at {gone.at:.1f} s and was never ready", [gone], reason=ENDED)
            return _away_too_long(seen, gone, back_at, away_s) or ended
        if back_at is None:
            return unknown("etcd was not seen to come back", seen[-1:])
        late = [h for h in hooks if not h.ready and h.at > back_at + within_s and (ready_at is None or h.at < ready_at)]
        if late:
            said = f"it was not ready {within_s:g} s after etcd was back"
            took_s = (late[-1].at if ready_at is None else ready_at) - back_at
            return violated(said, late[:1], reason=NOT_READY, ready_after_s=round(took_s, 3))
        if ready_at is None or ready_at > back_at + within_s:
            return unknown(f"it did not say whether it is ready {within_s:g} s after etcd was back", hooks[-1:])
        took_s = ready_at - back_at
        return held(f"it was ready {took_s:.1f} s after etcd was back", ready_after_s=round(took_s, 3))

    return Invariant("ready-after-etcd", judge)


def _ended(gone: ControlPlaneProcesses, back_at: float | None, hooks: Sequence[StartHooks]) -> Judgement:
    answers = [h.at for h in hooks if h.etcd and back_at is not None and back_at <= h.at <= gone.at]
    back_s = gone.at - answers[0] if answers else 0.0
    in_vain = ETCD_WAS_BACK if back_s >= BACK_S else POST_START_HOOK
    reason = in_vain if gone.hook else ENDED
    since = f"{back_s:.1f} s after etcd answered it again" if answers else "while etcd was away"
    waits = [h for h in hooks if h.at <= gone.at][-1:]
    return violated(
        f"the API server ended itself at {gone.at:.1f} s, {since}: {gone.words or 'it said nothing'}",
        [*waits, gone],
        reason=reason,
        etcd_back_s=round(back_s, 3),
    )


def _away(seen: ControlPlaneProcesses) -> bool:
    return seen.etcd != "running"


def _away_too_long(
    seen: Sequence[ControlPlaneProcesses], gone: ControlPlaneProcesses, back_at: float | None, away_s: float
) -> Judgement | None:
    """Unknown, where etcd was seen to be away for longer before the API server was gone; else None."""
    until = gone.at if back_at is None else min(back_at, gone.at)
    was_s = until - next((s.at for s in seen if _away(s)), until)
    if was_s <= away_s:
        return None
    return unknown(f"etcd was away for {was_s:.1f} s, and {away_s:g} s are what a start is to outlive", [gone])


def _gone(seen: Sequence[ControlPlaneProcesses]) -> ControlPlaneProcesses | None:
    return next((s for s in seen if s.apiserver == "gone"), None)


def _back_at(seen: Sequence[ControlPlaneProcesses]) -> float | None:
    """When etcd was seen to run again after it was away."""
    away_at = next((s.at for s in seen if _away(s)), None)
    return None if away_at is None else next((s.at for s in seen if not _away(s) and s.at > away_at), None)


def _ready_at(hooks: Sequence[StartHooks], back_at: float | None) -> float | None:
    return None if back_at is None else next((h.at for h in hooks if h.ready and h.at >= back_at), None)
