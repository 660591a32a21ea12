"""Saboteurs of the recorder: it drops what it has seen, does not see all, says it twice, or in another order."""

import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

from chaos.record.lines_of_watch import Lines
from chaos.record.stream import Stream
from tests.saboteurs.putting import act, later, put

HELD_BACK_S = 0.5


def recorder_drops() -> None:
    """Every other change that it has seen is not written down."""
    number, record = count(), Stream._record

    def drop(self: Stream, seen: Any) -> None:
        if next(number) % 2:
            act("recorder-drops")
            return
        record(self, seen)

    put(Stream, "_record", drop)


def recorder_loses_lines() -> None:
    """Every other change that a watch brings is never looked at; the stream goes on behind it."""
    lines = Lines.of

    def lose(self: Lines, answer: Any) -> Iterator[tuple[float, bytes]]:
        number = count()
        for began, line in lines(self, answer):
            if b'"type":"BOOKMARK"' in line or next(number) % 2:
                yield began, line
            else:
                act("recorder-loses-lines")

    put(Lines, "of", lose)


def recorder_doubles() -> None:
    """It writes down twice whatever it has seen."""
    record = Stream._record

    def double(self: Stream, seen: Any) -> None:
        act("recorder-doubles")
        record(self, seen)
        record(self, seen)

    put(Stream, "_record", double)


def recorder_reorders() -> None:
    """It writes down the later one of two changes first; the earlier one after it, or half a second later."""
    record, lock, kept = Stream._record, threading.Lock(), dict[int, tuple[Stream, Any]]()

    def let_go(number: int) -> None:
        with lock:
            held = kept.pop(number, None)
        if held is not None:
            record(*held)

    def reorder(self: Stream, seen: Any) -> None:
        with lock:
            held = kept.pop(id(self), None)
            if held is None:
                kept[id(self)] = (self, seen)
        if held is None:
            later(HELD_BACK_S, let_go, id(self))
            return
        act("recorder-reorders")
        record(self, seen)
        record(*held)

    put(Stream, "_record", reorder)
