"""The history of one run: typed records in the order in which they were seen, in memory and as JSON lines on disk.

Only the recorder and the fault injector write to it; only invariants and reports read it. `at` is seconds since the
history began, on the monotonic clock; `wall` on disk is Unix time, for people.
"""

import errno
import gc
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import msgspec

from chaos.basics.clock import unix_s
from chaos.basics.files import appended
from chaos.basics.scrub import scrub, scrubbed
from chaos.basics.untrusted import lines
from chaos.errors import OrdealError
from chaos.hosts.places import make_private
from chaos.record.lines import Reader, contents, to_line
from chaos.record.records import FaultStep, Observation
from chaos.record.registry import R, Record, Told, is_told, kinds, load_all, was_observation

MOST_RECORDS = 5_000_000  # of a recording that is read back: all of them are in memory


class UnreadError(OrdealError):
    """Records were asked for that are in the history, and that this version can't read."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of a history, in seconds since it began; `end` is infinite while it lasts."""

    start: float
    end: float

    def __contains__(self, at: float) -> bool:
        return self.start <= at <= self.end

    @property
    def length_s(self) -> float:
        """How long it is, in seconds."""
        return self.end - self.start


class History:
    """Records of one run. Safe to add to from several threads. With a path every record is also a line on disk."""

    def __init__(
        self, path: Path | None = None, *, began: float | None = None, began_wall: float | None = None
    ) -> None:
        """`began`: the monotonic time that is zero here (default: now); `began_wall`: the Unix time of that moment."""
        self.path = path
        self.began = time.monotonic() if began is None else began
        self.began_wall = unix_s() if began_wall is None else began_wall
        self.unwritten = ""  # why records are missing on disk; empty where all are there
        load_all()
        self._lock = threading.Lock()
        self._records: dict[str, list[Record]] = {kind: [] for kind in kinds()}
        self._told: list[Told] = []  # those that are shown as texts, as they came
        self._unread: dict[str, str] = {}  # why, by kind
        self._file: FileIO | None = None
        if path is not None:
            make_private(path.parent)
            self._file = appended(path)

    @classmethod
    def of_records(cls, records: Iterable[Record]) -> Self:
        """A history in memory, from literal records: what a unit test judges."""
        history = cls(began=0.0, began_wall=0.0)
        for record in records:
            history.add(record)
        return history

    @classmethod
    def load(cls, path: Path, opened: BinaryIO | None = None) -> Self:
        """Read a history from disk. A last line cut short by a kill is left out; any other bad line is an error.

        So is a clock that goes back: Unix time that does not go with the seconds since the beginning, or a step of a
        fault before the one that was written earlier. A record of a kind that is not known here, or of another version
        of one, is kept as Unread; what older versions kept as an Observation is what it is now. `opened`: that file,
        where somebody has opened it already; it is closed.
        """
        history = cls(began=0.0, began_wall=0.0)
        read = Reader()
        with opened or path.open("rb") as file, _collector_off():
            number = 0
            try:
                for number, line in enumerate(lines(file), start=1):
                    try:
                        history._append(read.record(line))
                    except (ValueError, KeyError, RecursionError) as error:
                        if not line.endswith(b"\n"):
                            break
                        why = f"{path} line {number} is not a history record ({error}); was it edited?"
                        raise OrdealError(why) from error
                    if number > MOST_RECORDS:
                        raise OrdealError(f"{path} has more than {MOST_RECORDS} records, which no replay makes")
            except ValueError as error:
                raise OrdealError(f"{path} line {number + 1} is not a history record: {error}") from error
        history.began_wall = read.began_wall or 0.0
        history._unread = read.unread
        return history

    def as_far_as_read(self) -> "History":
        """The same records, for who shows what there is: none of the kinds is refused for what could not be read."""
        shown = History(began=self.began, began_wall=self.began_wall)
        shown.path, shown._records, shown._told = self.path, self._records, self._told
        return shown

    def now(self) -> float:
        """Seconds since this history began."""
        return time.monotonic() - self.began

    def add(self, record: Record) -> None:
        """Append a record; on disk before this returns (in the page cache: a killed process loses nothing).

        Secrets in what it says are taken out first: what is judged now is what can be judged again.
        Raises OrdealError for an Observation that would be taken for a record of a subject's when it is read back.
        """
        if isinstance(record, Observation) and was_observation(record.name) is not None:
            made = kinds()[record.name]
            raise OrdealError(
                f"an observation called {record.name!r} is a record of {made.__module__}: "
                f"add a {made.__name__}, or give the observation another name"
            )
        record = _without_secrets(record)
        with self._lock:
            self._append(record)
            if self._file is not None and not self.unwritten:
                self._write(self._file, to_line(record, self.began_wall))

    def _append(self, record: Record) -> None:
        self._records.setdefault(record.kind, []).append(record)
        if is_told(record):
            self._told.append(record)

    def _write(self, file: FileIO, line: bytes) -> None:
        """A full disk must not end the thread that saw something; it is told once, by `unwritten`."""
        try:
            if file.write(line) != len(line):  # an unbuffered file takes what still fits
                self.unwritten = os.strerror(errno.ENOSPC)
        except OSError as error:
            self.unwritten = error.strerror or str(error)

    def of(self, kind: type[R], window: Window | None = None) -> list[R]:
        """All records of one type, in time order, within `window` where one is given.

        Raises UnreadError where the history has some of that kind that can't be read.
        """
        why = self._unread.get(kind.kind)
        if why is not None:
            raise UnreadError(f"its {kind.kind!r} records can't be read ({why}): judge it by the version that made it")
        with self._lock:
            records = cast("list[R]", list(self._records.get(kind.kind, ())))
        found = records if window is None else [r for r in records if r.at in window]
        found.sort(key=attrgetter("at"))
        return found

    def told(self) -> list[Told]:
        """All records that are shown as texts, in time order."""
        with self._lock:
            return sorted(self._told, key=attrgetter("at"))

    def fault_window(self, fault: str | None = None) -> Window | None:
        """From when a fault landed until it was undone, over all faults or of one kind; None where none landed."""
        steps = [s for s in self.of(FaultStep) if fault is None or s.fault == fault]
        landed = [s.at for s in steps if s.step == "landed"]
        if not landed:
            return None
        undone = [s.at for s in steps if s.step == "undone" and s.at >= landed[0]]
        return Window(landed[0], max(undone) if undone else float("inf"))

    def __iter__(self) -> Iterator[Record]:
        everything: list[Record] = []
        with self._lock:
            for kind, records in self._records.items():
                if kind == Observation.kind:  # beside them what they have become: of one moment as it came
                    everything += self._told
                elif not records or not is_told(records[0]):
                    everything += records
        return iter(sorted(everything, key=attrgetter("at")))

    def __len__(self) -> int:
        with self._lock:
            return sum(len(records) for records in self._records.values())

    def close(self) -> None:
        """Close the file on disk; the records stay readable."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def _without_secrets(record: Record) -> Record:
    name: str | None = getattr(record, "said", None)
    if name is None:
        return _without_secrets_anywhere(record)
    said = getattr(record, name) if name else ""
    if not said or (kept := scrub(said)) == said:
        return record
    changed: Record = msgspec.structs.replace(cast("Any", record), **{name: kept})
    return changed


def _without_secrets_anywhere(record: Record) -> Record:
    there = contents(record)
    kept: Any = scrubbed(there)
    same = msgspec.json.encode(kept) == msgspec.json.encode(there)  # lists stand in it where tuples were
    return record if same else msgspec.convert(kept, type(record))


@contextmanager
def _collector_off() -> Iterator[None]:
    """Records hold no cycles, and Python's collector would walk a million of them again and again: judging took thrice
    as long. What is there at the end is left out of its rounds; it is freed as ever when nothing refers to it.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
