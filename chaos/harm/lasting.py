"""Whether harm lasts: a look each second at what is meant to be there until it is undone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chaos.clusters.way.client import told
from chaos.record.history import History
from chaos.record.records import GONE, THERE, UNSEEN, HarmLook
from chaos.record.sampler import Sampler

EVERY_S = 1.0
ANSWERS_WITHIN_S = 15.0  # a look that hangs keeps nobody longer from undoing the harm


@contextmanager
def looked_at(lasts: Callable[[], bool | None], fault: str, injection: int, history: History) -> Iterator[None]:
    """Look at a fault's harm at once, each second while the block goes on, and once more at its end; see HarmLook.

    The looks of the block are a thread's of their own. Where the first one says None, no other follows.
    """
    asked_at: list[float] = []

    def look() -> None:
        asked_at.append(history.now())
        seen = _asked(lasts, fault, injection, history)
        asked_at.clear()
        if seen is not None:
            history.add(seen)

    first = _asked(lasts, fault, injection, history)
    if first is None:
        yield
        return
    history.add(first)
    try:
        with Sampler(f"lasts-{fault}", look, every_s=EVERY_S, once_more=True, ends_within_s=ANSWERS_WITHIN_S):
            yield
    finally:
        if asked_at:
            history.add(HarmLook(history.now(), fault, injection, UNSEEN, "the last look had no answer"))


def _asked(lasts: Callable[[], bool | None], fault: str, injection: int, history: History) -> HarmLook | None:
    try:
        there = lasts()
    except Exception as error:  # noqa: BLE001  (whatever it is: it was not seen)
        return HarmLook(history.now(), fault, injection, UNSEEN, told(error))
    return None if there is None else HarmLook(history.now(), fault, injection, THERE if there else GONE)
