"""Whether harm was there for as long as it was meant to be: what a history says of it while it did not lapse."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from chaos.record.history import History
from chaos.record.records import GONE, THERE, FaultStep, HarmLook

# A look comes each second, and takes its time on a busy machine. What lapses and comes back in between is not seen.
UNSEEN_AT_MOST_S = 15.0


def is_gone(history: History) -> bool:
    """Whether harm that is to last now was seen not to be there any more."""
    undoing = {step.fault: step.at for step in history.of(FaultStep) if step.step == "undoing"}
    return any(look.seen == GONE and look.at > undoing.get(look.fault, 0.0) for look in history.of(HarmLook))


def lapses(history: History) -> Iterator[tuple[str, tuple[HarmLook, ...]]]:
    """Each time that harm was not there, or not seen to be: a sentence, and the looks that show it. Harm is looked at
    when it has landed, and right before it is taken back: one look alone is not all.

    Harm that nobody looked at has none: that of histories older than these looks, and what ends by itself on purpose.
    """
    by_injection: dict[tuple[str, int], list[HarmLook]] = defaultdict(list)
    for look in history.of(HarmLook):
        by_injection[look.fault, look.injection].append(look)
    steps = [step for step in history.of(FaultStep) if step.step == "undoing"]
    for (fault, _), looks in by_injection.items():
        gone = next((look for look in looks if look.seen == GONE), None)
        if gone is not None:
            yield f"the harm of {fault} did not last: it was gone at {gone.at:.1f} s", (gone,)
            continue
        there = [looks[0], *(look for look in looks if look.seen == THERE), looks[-1]]
        for before, after in pairwise(there):
            if after.at - before.at > UNSEEN_AT_MOST_S:
                around = tuple(look for look in looks if before.at <= look.at <= after.at)
                why = next((f": {look.why}" for look in around if look.why), "")
                when = f"from {before.at:.1f} to {after.at:.1f} s"
                yield f"nobody saw {when} whether the harm of {fault} lasted{why}", around
                break
        else:
            undoing = next((step.at for step in steps if step.fault == fault and step.at >= looks[-1].at), None)
            if undoing is not None and (len(looks) == 1 or undoing - looks[-1].at > UNSEEN_AT_MOST_S):
                when = f"from {looks[-1].at:.1f} s until it was taken back at {undoing:.1f} s"
                yield f"nobody looked {when} whether the harm of {fault} lasted", (looks[-1],)
