"""Whether harm lasts: a look each second at what is meant to be there until it is undone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chaos.clusters.way.client import told
from chaos.record.history import History
from chaos.record.records import GONE, THERE, UNSEEN, HarmLook

EVERY_S = 1.0
ANSWERS_WITHIN_S = 15.0  # a look that hangs keeps nobody longer from undoing the harm
WHY = 200  # characters of a reason


@contextmanager
def looked_at(lasts: Callable[[], bool | None], fault: str, injection: int, history: History) -> Iterator[None]:
    """Look at a fault's harm at once, each second while the block goes on, and once more at its end; see HarmLook.

    The looks of the block are a thread's of their own. Where the first one says None no other follows, nor after one
    that says that the harm is gone. Where the block raises nobody waits for a last one.
    """
    first = _asked(lasts, fault, injection, history)
    if first is None:
        yield
        return
    history.add(first)
    looks = _Looks(lambda: _asked(lasts, fault, injection, history), history)
    looks.over = first.seen == GONE
    try:
        looks.start()
        yield
        if not looks.end(ANSWERS_WITHIN_S):
            history.add(HarmLook(history.now(), fault, injection, UNSEEN, "the last look had no answer"))
    finally:
        looks.leave()


class _Looks(threading.Thread):
    """Asks again and again. An answer that comes when all is over is no record: by then the harm may be undone."""

    def __init__(self, ask: Callable[[], HarmLook | None], history: History) -> None:
        super().__init__(name="harm-lasts", daemon=True)
        self.over = False
        self._ask, self._history = ask, history
        self._lock, self._last = threading.Lock(), threading.Event()

    def run(self) -> None:
        while not self._last.wait(EVERY_S):
            self._look()
        self._look()

    def end(self, within_s: float) -> bool:
        """Look once more; whether that was answered in time."""
        self._last.set()
        self.join(within_s)
        return not self.is_alive()

    def leave(self) -> None:
        """Look no more."""
        with self._lock:
            self.over = True
        self._last.set()

    def _look(self) -> None:
        if self.over:
            return
        seen = self._ask()
        with self._lock:
            if not self.over and seen is not None:
                self._history.add(seen)
                self.over = seen.seen == GONE


def _asked(lasts: Callable[[], bool | None], fault: str, injection: int, history: History) -> HarmLook | None:
    """One answer. It is only gone where that is said twice: a command that was killed says no, too."""
    try:
        there = lasts()
        if there is False and lasts():
            return HarmLook(history.now(), fault, injection, UNSEEN, "one look found it gone, and the next one there")
    except Exception as error:  # noqa: BLE001  (whatever it is: it was not seen)
        why = (told(error).strip().splitlines() or [repr(error)])[0][:WHY]
        return HarmLook(history.now(), fault, injection, UNSEEN, why)
    return None if there is None else HarmLook(history.now(), fault, injection, THERE if there else GONE)
