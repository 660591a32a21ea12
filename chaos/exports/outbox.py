"""What is sent beside a run: by a thread of its own, so that a receiver that hangs holds up nothing else."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import SimpleQueue

from chaos.exports.words import why_of

THREAD = "kube-ordeal outbox"
UNANSWERED = "no answer came in time"
REASONS = 3  # that a sentence names


class Outbox:
    """Does what is put into it, one after the other, and counts why something came to nothing."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._failures: Counter[str] = Counter()
        self._given = self._done = 0
        self._thread = threading.Thread(target=self._work, name=THREAD, daemon=True)

    def put(self, send: Callable[[], None]) -> None:
        """Have it done. What it raises is why it came to nothing, in a few words."""
        if not self._given:
            self._thread.start()
        self._given += 1
        self._queue.put(send)

    def close(self, within_s: float) -> Mapping[str, int]:
        """Wait until all is done, at most so long; what is not done then is left to end with this process.

        Returns how often something came to nothing, by why. An interrupt ends the waiting.
        """
        if self._given:
            self._queue.put(None)
            with suppress(KeyboardInterrupt):
                self._thread.join(within_s)
        failures, left = Counter(self._failures), self._given - self._done
        if left:
            failures[UNANSWERED] += left
        return failures

    def _work(self) -> None:
        while (send := self._queue.get()) is not None:
            try:
                send()
            except Exception as error:  # noqa: BLE001  (whatever it is: the run goes on, and it is told)
                self._failures[why_of(error)] += 1
            self._done += 1


def sentence(what: str, failures: Mapping[str, int]) -> str:
    """What came to nothing, and why, the most frequent reasons first; empty where nothing did."""
    if not failures:
        return ""
    often = Counter(failures).most_common(REASONS)
    why = "; ".join(f"{each}{f' ({count} times)' if count > 1 and len(failures) > 1 else ''}" for each, count in often)
    return f"{what}: {why}{'; and other reasons' if len(failures) > REASONS else ''}"
