"""What the history can vouch for: the span that is judged, and why parts of it may not have been seen."""

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.judge.base import Judgement, unknown
from chaos.record.history import History, Window
from chaos.record.records import IN_SYNC, Blind, Sample
from chaos.record.registry import Record

WHOLE = Window(float("-inf"), float("inf"))
TOLD_WITHIN_S = 1.0  # after a blindness what it hid is told


@dataclass(frozen=True, slots=True)
class Span:
    """The span to judge: the whole recording, a window, or from the moment that a fault landed until it was undone."""

    window: Window | None = None
    fault: str | None = None

    def of(self, history: History) -> Window | None:
        """The window in this history; None where the fault that should give it never landed."""
        if self.fault is not None:
            return history.fault_window(self.fault)
        return WHOLE if self.window is None else self.window


def never_landed(span: Span) -> Judgement:
    """The judgement where the span's fault is not in the history."""
    return unknown(f"the fault {span.fault} never landed, so there is no time to judge")


def overlapping(history: History, source: str, window: Window) -> list[Blind]:
    """The blindnesses of a source that touch the window."""
    return [b for b in history.of(Blind) if b.source == source and b.at <= window.end and b.until >= window.start]


def unseen(history: History, resource: str, window: Window) -> Judgement | None:
    """Unknown, where the recorder can't vouch for all objects of `resource` in the window; None where it can.

    It can where its last word is that it had seen all until then, the window ends before that, and no blindness
    in between was left incomplete.
    """
    source = f"watch:{resource}"
    words = [s for s in history.of(Sample) if s.name == IN_SYNC and s.subject == source]
    if not words:
        return unknown(f"the recording of {resource} does not say that it saw the end")
    if window.end == float("inf"):
        vouched = words[-1].value == 1.0
    else:
        vouched = any(s.value == 1.0 and s.at >= window.end for s in words)
    if not vouched:
        return unknown(f"the recorder could not make sure that it saw all {resource} until the end", words[-1:])
    incomplete = [b for b in overlapping(history, source, window) if not b.complete]
    if incomplete:
        first = incomplete[0]
        return unknown(
            f"{resource} could not be seen from {first.at:.1f} s to {first.until:.1f} s: {first.why}", incomplete
        )
    return None


def last_sight(history: History, resource: str, at: float, until: float = float("inf")) -> Judgement | None:
    """Unknown, where what was seen last, `at`, need not be what there was at the end; None where it is."""
    return unseen(history, resource, Window(at, until))


def at_earliest(history: History, resource: str, at: float) -> float:
    """When what was seen `at` may have happened at the earliest. What a blindness hid, or a recorder that was held up
    told late, may have been so at any time in it.
    """
    blind = overlapping(history, f"watch:{resource}", WHOLE)
    return min([at, *(b.at for b in blind if b.at <= at <= b.until + TOLD_WITHIN_S)])


def sure_at(history: History, resource: str, changes: Sequence[Record], at: float) -> bool:
    """Whether the last of an object's changes until `at` tells what it was then: no blindness can hide another."""
    before = max((change.at for change in changes if change.at <= at), default=float("-inf"))
    after = min((change.at for change in changes if change.at > at), default=float("inf"))
    return not last_sight(history, resource, before, at) and at_earliest(history, resource, after) > at


def names(items: Sequence[str], limit: int = 3) -> str:
    """The first few of many, for a sentence."""
    shown = ", ".join(items[:limit])
    return f"{shown} and {len(items) - limit} more" if len(items) > limit else shown
