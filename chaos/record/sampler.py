"""What is asked again and again while something else happens: one thread, one interval, one way to tell a gap."""

import threading
import time
from collections.abc import Callable, Sequence
from math import inf
from types import TracebackType
from typing import Self

from chaos.basics.waiting import WaitedInVainError
from chaos.record.history import History
from chaos.record.records import Blind

ENDS_WITHIN_S = 60.0
STILL_AFTER_S = 15.0  # so much longer than the interval nobody asks on a busy machine
WHY = 200  # characters of a reason


class Gap:
    """When a source was last seen. What was missed since becomes a Blind record: from the last whole sample until the
    next one, or until the end; from the history's beginning where there was none before.
    """

    def __init__(self, history: History, source: str, *, late_after_s: float = inf, read_later: bool = False) -> None:
        """`late_after_s`: a sample that comes so long after the one before was missed, too, whatever the reason.
        `read_later`: the next sample brings what was missed, so that its gap is complete, and only the end loses some.
        """
        self.seen_at: float | None = None
        self.why = ""  # what is missed now; empty where nothing is
        self._history, self._source = history, source
        self._late_after_s, self._read_later = late_after_s, read_later
        self._over = False
        self._lock = threading.Lock()  # at the end two threads may be here

    def seen(self, at: float) -> None:
        """A sample is whole: all that it says was so `at`, in seconds since the history began."""
        with self._lock:
            before, self.seen_at = self.seen_at, at
            if not self.why and before is not None and at - before > self._late_after_s:
                self.why = "the sample came late"
            self._close(before, at, complete=self._read_later)

    def missed(self, why: str) -> None:
        """No sample could be had. Of several reasons in a row the first is kept."""
        self.why = self.why or why

    def ended(self) -> None:
        """Nothing is asked any more: what is missed now was not seen until the end."""
        with self._lock:
            self._close(self.seen_at, self._history.now(), complete=False)
            self._over = True

    def _close(self, since: float | None, until: float, *, complete: bool) -> None:
        if self.why and not self._over:
            self._history.add(Blind(since or 0.0, self._source, until, self.why, complete=complete))
        self.why = ""


class Sampler:
    """Calls `ask` from a thread of its own, at once and then again and again, for as long as the block lasts.

    `ask` adds what it sees to a history, and tells each gap of its own when it has seen its source. What it raises is a
    sample that failed: each of `gaps` has missed it. So has each where nobody asked for long: a sampler that stands
    still has seen nothing. Without gaps the samples that are missing tell.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[], None],
        *,
        every_s: float,
        gaps: Sequence[Gap] = (),
        once_more: bool = False,
    ) -> None:
        """`name`: the thread's. `every_s`: from an answer to the next question. `once_more`: also when the block ends,
        for what has to be known until then.
        """
        self._ask, self._every_s = ask, every_s
        self._gaps, self._once_more = tuple(gaps), once_more
        self._all_seen, self._stopped = threading.Event(), threading.Event()
        self._asks, self._asked_at = False, time.monotonic()  # whether a question is under way, and when one last was
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def wait_first(self, what: str, *, within_s: float) -> None:
        """Return when each gap's source was seen for the first time; within the block, before anything else.

        Ends the sampler and raises WaitedInVainError where it was not within `within_s` seconds; `what` finishes the
        sentence "waited for ...".
        """
        try:
            seen = self._all_seen.wait(within_s)
        except BaseException:
            self.end()
            raise
        if not seen:
            why = "; ".join(dict.fromkeys(gap.why for gap in self._gaps if gap.why)) or "there was nothing to be seen"
            self.end()
            raise WaitedInVainError(f"waited {within_s:g} s for {what}, in vain; {why}")

    def look(self) -> None:
        """Ask once."""
        self._notice_standstill()
        self._asks = True
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001  (whatever it was: it is asked again, and the gap is told)
            self._miss((str(error).strip().splitlines() or [repr(error)])[0][:WHY])
        finally:
            self._asks, self._asked_at = False, time.monotonic()
        if all(gap.seen_at is not None for gap in self._gaps):
            self._all_seen.set()

    def end(self, within_s: float = ENDS_WITHIN_S) -> None:
        """Ask no more, and write down what was missed until now; a question that hangs is left after that time."""
        self._notice_standstill()
        self._stopped.set()
        self._thread.join(within_s)
        if self._thread.is_alive():
            self._miss("the last question had no answer when it was over")
        for gap in self._gaps:
            gap.ended()

    def _run(self) -> None:
        self.look()
        while not self._stopped.wait(self._every_s):
            self.look()
        if self._once_more:
            self.look()

    def _notice_standstill(self) -> None:
        still_s = time.monotonic() - self._asked_at
        if not self._asks and still_s > self._every_s + STILL_AFTER_S:
            self._miss(f"nobody asked for {still_s:.0f} s")

    def _miss(self, why: str) -> None:
        for gap in self._gaps:
            gap.missed(why)
