"""The clock that gives records their times, looked at: whether it goes as the machine's other one does.

Nothing sets CLOCK_MONOTONIC. But it stands still while a machine sleeps, and what is between it and us may be wrong. So
it is compared with CLOCK_BOOTTIME, which goes on then; neither knows of steps of the wall clock.
"""

import time

from chaos.record.doubts import ClockJump
from chaos.record.history import History

# The two are read one after the other. What the machine does in between makes a look say less, and never more.
JUMPED_S = 0.1


class ClockLooks:
    """Compares the clocks whenever it is asked to, and writes a ClockJump where they have gone apart since before."""

    def __init__(self, history: History) -> None:
        self._history = history
        at_least_s, at_most_s = _ahead()
        self._ahead_s = (at_least_s + at_most_s) / 2

    def look(self) -> None:
        """A look that was held up between the two clocks says nothing, and the next one finds it."""
        at_least_s, at_most_s = _ahead()
        if at_least_s - JUMPED_S <= self._ahead_s <= at_most_s + JUMPED_S:
            return
        now_s = (at_least_s + at_most_s) / 2
        self._history.add(ClockJump(self._history.now(), round(now_s - self._ahead_s, 3)))
        self._ahead_s = now_s


def _ahead() -> tuple[float, float]:
    """By how many seconds the one is ahead of the other: at least and at most."""
    before = time.monotonic()
    other = time.clock_gettime(time.CLOCK_BOOTTIME)
    return before - other, time.monotonic() - other
