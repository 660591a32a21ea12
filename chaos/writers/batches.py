"""Writes packed into batches: what a checking client tells its parent, one JSON line each.

A line: {"client": name, "first": number, "last": number, "ok": bool, "start": monotonic seconds, "took_s": seconds,
"error": text}; the meaning is that of chaos.record.records.Writes. A client runs as a process of its own in a node's
network namespace, so only the standard library is used here.
"""

import json
import os
import sys
import threading

SLOW_S = (
    0.25  # a write or pipeline that took longer is a batch of its own, so that inside a batch the store was never away
)
BATCH_S = 0.25
BATCH_LIMIT = 1000


class Batches:
    """The writes of one client, one after the other. Not to be shared by threads; the lines of several don't mix."""

    _output = threading.Lock()

    def __init__(self, client: str, fd: int | None = None) -> None:
        """`fd`: where the lines go (default: standard output)."""
        self._client = client
        self._fd = sys.stdout.fileno() if fd is None else fd
        self._first = self._last = 0
        self._ok = False
        self._start = self._end = 0.0
        self._error = ""
        self._open = False

    def add(self, number: int, *, ok: bool, start: float, end: float, error: str = "") -> None:
        """One write: its number, and when (monotonic) it was sent and answered, or given up."""
        self.add_range(number, number, ok=ok, start=start, end=end, error=error)

    def add_range(self, first: int, last: int, *, ok: bool, start: float, end: float, error: str = "") -> None:
        """The writes of one pipeline that had the same outcome: sent together, answered together."""
        slow = end - start > SLOW_S
        fits = (
            self._open
            and not slow
            and ok == self._ok
            and error == self._error
            and first == self._last + 1
            and last - self._first < BATCH_LIMIT
            and end - self._start <= BATCH_S
        )
        if not fits:
            self.flush()
            self._first, self._ok, self._error, self._start, self._open = first, ok, error, start, True
        self._last, self._end = last, end
        if slow:
            self.flush()

    def flush(self) -> None:
        """Write down what is there. Ends the process where nobody reads any more."""
        if not self._open:
            return
        self._open = False
        line = {
            "client": self._client,
            "first": self._first,
            "last": self._last,
            "ok": self._ok,
            "start": round(self._start, 6),
            "took_s": round(self._end - self._start, 6),
            "error": self._error[:200],
        }
        try:
            with self._output:
                os.write(self._fd, json.dumps(line).encode() + b"\n")
        except BrokenPipeError:
            os._exit(0)
