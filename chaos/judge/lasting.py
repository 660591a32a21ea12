"""Whether harm was there for as long as it was meant to be: what a history says of it while it did not lapse."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from chaos.record.history import History
from chaos.record.records import GONE, THERE, HarmLook

# A look comes each second, and takes its time on a busy machine. What lapses and comes back in between is not seen.
UNSEEN_AT_MOST_S = 15.0


def is_gone(history: History) -> bool:
    """Whether harm that was to last was seen not to be there any more."""
    return any(look.seen == GONE for look in history.of(HarmLook))


def lapses(history: History) -> Iterator[tuple[str, tuple[HarmLook, ...]]]:
    """Each time that harm was not there, or not seen to be: a sentence, and the looks that show it.

    Harm that nobody looked at has none: that of histories older than these looks, and what ends by itself on purpose.
    """
    by_injection: dict[tuple[str, int], list[HarmLook]] = defaultdict(list)
    for look in history.of(HarmLook):
        by_injection[look.fault, look.injection].append(look)
    for (fault, _), looks in by_injection.items():
        gone = next((look for look in looks if look.seen == GONE), None)
        if gone is not None:
            yield f"the harm of {fault} did not last: it was gone at {gone.at:.1f} s", (gone,)
            continue
        there = [look.at for look in looks if look.seen == THERE]
        for since, until in pairwise([looks[0].at, *there, looks[-1].at]):
            if until - since > UNSEEN_AT_MOST_S:
                missed = [look for look in looks if since < look.at <= until and look.seen != THERE]
                why = next((f": {look.why}" for look in missed if look.why), "")
                yield (
                    f"nobody saw from {since:.1f} to {until:.1f} s whether the harm of {fault} lasted{why}",
                    (*missed,),
                )
                break
