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
from dataclasses import dataclass, fields, replace
from io import FileIO
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Self, TypeVar, get_args

import msgspec

from chaos.basics.files import appended
from chaos.basics.scrub import scrub
from chaos.basics.untrusted import json_of, lines
from chaos.errors import OrdealError
from chaos.hosts.places import make_private

# The Sample that a recorder writes about each of its sources ("watch:pods"): 1 where it has seen all that had happened
# until `at`, 0 where it could not make sure. Without a 1 at the end of what is judged, nothing can be called held.
IN_SYNC = "recorder-in-sync"
MOST_RECORDS = 5_000_000  # of a recording that is read back: all of them are in memory
LONGEST_S = 1e9  # thirty years: what is asked of times must not grow without end
MOST = 2**53  # of what is counted: a number that every reader of JSON takes exactly
Seconds = Annotated[float, msgspec.Meta(ge=-LONGEST_S, le=LONGEST_S)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Number = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
Range = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15}(-[0-9]{1,15})?\Z")]
Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
CLOCKS_DIFFER_S = 0.01  # on disk: seconds since the beginning and Unix time are written from one clock


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node as the API showed it; `change` is added, modified, deleted or listed (the first sight in a list)."""

    kind: ClassVar[str] = "node"
    at: Seconds
    name: str
    change: str
    ready: str  # "True", "False" or "Unknown"
    taints: tuple[str, ...] = ()  # "key:Effect"
    zone: str = ""
    address: str = ""
    unschedulable: bool = False
    resource_version: str = ""
    pressures: tuple[str, ...] = ()  # the conditions that are true of DiskPressure, MemoryPressure, PIDPressure
    kubelet: str = ""  # its version as the node reports it, "v1.34.4"
    control_plane: bool = False  # by its label

    @property
    def object(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class PodChange:
    """A pod as the API showed it. `deleting` is true from the deletion timestamp on, `change` "deleted" ends it.

    `containers` holds the running containers' ids: a restart shows as another id even where a counter was lost.
    """

    kind: ClassVar[str] = "pod"
    at: Seconds
    namespace: str
    name: str
    uid: str
    change: str
    workload: str = ""  # label kube-ordeal/workload
    phase: str = ""
    node: str = ""
    ready: bool = False
    deleting: bool = False
    restarts: Count = 0
    containers: tuple[str, ...] = ()
    reason: str = ""  # status.reason, or the DisruptionTarget condition's reason
    resource_version: str = ""

    @property
    def object(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """A Kubernetes Event; `regarding` is "Kind/namespace/name"."""

    kind: ClassVar[str] = "event"
    at: Seconds
    regarding: str
    reason: str
    message: str
    type: str = "Normal"
    count: Count = 1
    resource_version: str = ""

    @property
    def object(self) -> str:
        return self.regarding


@dataclass(frozen=True, slots=True)
class Probe:
    """One request to a Service, sent `at` from `node`'s own network."""

    kind: ClassVar[str] = "probe"
    at: Seconds
    node: str
    target: str
    ok: bool
    took_s: Seconds
    answered_by: str = ""
    error: str = ""

    @property
    def object(self) -> str:
        return f"{self.node}->{self.target}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A number measured `at`: what it is, of whom, how much. The name says the unit."""

    kind: ClassVar[str] = "sample"
    at: Seconds
    name: str
    subject: str
    value: float | Whole  # read from disk as it was written: a count stays a count

    @property
    def object(self) -> str:
        return self.subject


@dataclass(frozen=True, slots=True)
class Observation:
    """Something a suite or a sampler saw that is no number: what it is, of whom, what was seen."""

    kind: ClassVar[str] = "observation"
    at: Seconds
    name: str
    subject: str
    seen: str

    @property
    def object(self) -> str:
        return self.subject


@dataclass(frozen=True, slots=True)
class FaultStep:
    """A step in a fault's life: planned, applied, landed, not-landed, undoing, undone, not-undone."""

    kind: ClassVar[str] = "fault"
    at: Seconds
    fault: str
    step: str
    detail: str = ""

    @property
    def object(self) -> str:
        return self.fault


@dataclass(frozen=True, slots=True)
class Phase:
    """The run entered a phase: deploy, fault, hold, heal, recover, judge."""

    kind: ClassVar[str] = "phase"
    at: Seconds
    name: str
    detail: str = ""

    @property
    def object(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Blind:
    """From `at` until `until` the recorder could not see `source` ("watch:pods", "probe:NODE"), and why.

    `complete` is true where a full list afterwards showed every object that came or went unseen (what was seen again
    is compared by uid and resource version), so that only the exact times inside the gap are unknown.
    """

    kind: ClassVar[str] = "blind"
    at: Seconds
    source: str
    until: Seconds
    why: str
    complete: bool = False

    @property
    def object(self) -> str:
        return self.source


@dataclass(frozen=True, slots=True)
class Writes:
    """Writes of one client to a store, one after the other, with one outcome: the numbers `first` to `last`.

    A client gives its writes the numbers 1, 2, 3 ... and tries each once. `ok`: all were acknowledged; else none was,
    and whether the store has them all the same nobody can say. `at` is when the first was sent, and `took_s` later the
    last one's answer was there. A write that took longer than `chaos.writers.batches.SLOW_S` is a record of its own.
    """

    kind: ClassVar[str] = "writes"
    at: Seconds
    store: str
    client: str
    first: Number
    last: Number
    ok: bool
    took_s: Seconds
    error: str = ""

    @property
    def object(self) -> str:
        return f"{self.store}/{self.client}"

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    @property
    def until(self) -> float:
        return self.at + self.took_s


@dataclass(frozen=True, slots=True)
class Stored:
    """A member of a store was read `at`, after the last write: which of a client's acknowledged numbers it lacks.

    `acknowledged` is how many it was compared with, `missing` are ranges such as "17-19" or "23". `behind`: it follows
    another member, and had not done yet all that this one had: what it lacks may still come.
    """

    kind: ClassVar[str] = "stored"
    at: Seconds
    store: str
    member: str
    client: str
    acknowledged: Count
    missing: tuple[Range, ...] = ()
    behind: bool = False

    @property
    def object(self) -> str:
        return f"{self.store}/{self.member}"


@dataclass(frozen=True, slots=True)
class SpecRun:
    """A conformance spec was run, from `at` on, for `took_s` seconds.

    `round` is "before", "during" or "after" the harm; `spec` is upstream's whole text, or the name of a check of our
    own; `area` is upstream's special interest group. `state` is a state of `chaos.judge.conformance`, `message`
    what upstream says of a failure. `tries`: how often it was run until that state; passed on a retry is not passed.
    """

    kind: ClassVar[str] = "spec"
    at: Seconds
    round: str
    spec: str
    state: str
    took_s: Seconds
    area: str = ""
    message: str = ""
    tries: Count = 1

    @property
    def object(self) -> str:
        return self.spec

    @property
    def until(self) -> float:
        return self.at + self.took_s


Record = (
    NodeChange
    | PodChange
    | ClusterEvent
    | Probe
    | Sample
    | Observation
    | FaultStep
    | Phase
    | Blind
    | Writes
    | Stored
    | SpecRun
)
R = TypeVar(
    "R",
    NodeChange,
    PodChange,
    ClusterEvent,
    Probe,
    Sample,
    Observation,
    FaultStep,
    Phase,
    Blind,
    Writes,
    Stored,
    SpecRun,
)

_TYPES: dict[str, type[Record]] = {t.kind: t for t in get_args(Record)}
# Where a record holds what somebody else has said, such as an event's message or a program's error.
_SAID: dict[type[Record], str] = {
    ClusterEvent: "message",
    Probe: "error",
    Observation: "seen",
    FaultStep: "detail",
    Phase: "detail",
    Blind: "why",
    Writes: "error",
    SpecRun: "message",
}


@dataclass(frozen=True, slots=True)
class Window:
    """A span of a history, in seconds since it began; `end` is infinite while it lasts."""

    start: float
    end: float

    def __contains__(self, at: float) -> bool:
        return self.start <= at <= self.end

    @property
    def length_s(self) -> float:
        return self.end - self.start


class History:
    """Records of one run. Safe to add to from several threads. With a path every record is also a line on disk."""

    def __init__(
        self, path: Path | None = None, *, began: float | None = None, began_wall: float | None = None
    ) -> None:
        """`began`: the monotonic time that is zero here (default: now); `began_wall`: the Unix time of that moment."""
        self.path = path
        self.began = time.monotonic() if began is None else began
        self.began_wall = time.time() if began_wall is None else began_wall
        self.unwritten = ""  # why records are missing on disk; empty where all are there
        self._lock = threading.Lock()
        self._records: dict[str, list[Record]] = {kind: [] for kind in _TYPES}
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
        fault before the one that was written earlier. `opened`: that file, where somebody has opened it
        already; it is closed.
        """
        history = cls(began=0.0, began_wall=0.0)
        read = _Reader()
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
        return history

    def now(self) -> float:
        """Seconds since this history began."""
        return time.monotonic() - self.began

    def add(self, record: Record) -> None:
        """Append a record; on disk before this returns (in the page cache: a killed process loses nothing).

        Secrets in what it says are taken out first: what is judged now is what can be judged again.
        """
        record = _without_secrets(record)
        with self._lock:
            self._append(record)
            if self._file is not None and not self.unwritten:
                self._write(self._file, _to_line(record, self.began_wall))

    def _append(self, record: Record) -> None:
        self._records[record.kind].append(record)

    def _write(self, file: FileIO, line: bytes) -> None:
        """A full disk must not end the thread that saw something; it is told once, by `unwritten`."""
        try:
            if file.write(line) != len(line):  # an unbuffered file takes what still fits
                self.unwritten = os.strerror(errno.ENOSPC)
        except OSError as error:
            self.unwritten = error.strerror or str(error)

    def of(self, kind: type[R], window: Window | None = None) -> list[R]:
        """All records of one type, in time order, within `window` where one is given."""
        with self._lock:
            records = list(self._records[kind.kind])
        found: list[R] = [r for r in records if isinstance(r, kind) and (window is None or r.at in window)]
        found.sort(key=attrgetter("at"))
        return found

    def fault_window(self, fault: str | None = None) -> Window | None:
        """From when a fault landed until it was undone, over all faults or of one kind; None where none landed."""
        steps = [s for s in self.of(FaultStep) if fault is None or s.fault == fault]
        landed = [s.at for s in steps if s.step == "landed"]
        if not landed:
            return None
        undone = [s.at for s in steps if s.step == "undone" and s.at >= landed[0]]
        return Window(landed[0], max(undone) if undone else float("inf"))

    def __iter__(self) -> Iterator[Record]:
        with self._lock:
            everything = [r for records in self._records.values() for r in records]
        return iter(sorted(everything, key=lambda r: r.at))

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
    name = _SAID.get(type(record))
    said = getattr(record, name) if name else ""
    if name is None or not said or (kept := scrub(said)) == said:
        return record
    changed: dict[str, Any] = {name: kept}
    return replace(record, **changed)


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


_SOURCES = {"node": "watch", "pod": "watch", "event": "watch", "probe": "probe", "fault": "fault", "phase": "run"}


def _to_line(record: Record, began_wall: float) -> bytes:
    data = {f.name: getattr(record, f.name) for f in fields(record) if f.name != "at"}
    line = {
        "at": record.at,  # to the last digit, so that judging again from disk comes to the same figures
        "wall": round(began_wall + record.at, 6),
        "source": _SOURCES.get(record.kind, "sampler"),
        "kind": record.kind,
        "object": record.object,
        "data": data,
    }
    return msgspec.json.encode(line) + b"\n"


class _Line(msgspec.Struct, gc=False, kw_only=True):
    """A line on disk, in the order in which it is written; `at` and `data` are read by the decoder of its kind."""

    at: msgspec.Raw
    wall: float
    source: str = ""
    kind: str
    object: str = ""
    data: msgspec.Raw


class _Reader:
    """Reads the lines of one file. Typed decoding: a million lines in seconds, and a wrong type is an error."""

    def __init__(self) -> None:
        self.began_wall: float | None = None
        self._line = msgspec.json.Decoder(_Line)
        self._kinds = {kind: msgspec.json.Decoder(made) for kind, made in _TYPES.items()}
        self._encoder = msgspec.json.Encoder()
        self._last_step = float("-inf")

    def record(self, line: bytes) -> Record:
        """The record of a line. Raises ValueError, KeyError or RecursionError where it is none."""
        raw = self._line.decode(line)
        # The line has `at` beside `data`, the record has it as its first field.
        content = b'{"at":%b,%b' % (bytes(raw.at), bytes(raw.data)[1:])
        record: Record = self._kinds[raw.kind].decode(content)
        # The decoder takes a name twice, and the last one counts. What `_to_line` wrote has each once; for the rest it
        # takes another look, and time.
        if self._encoder.encode(record) != content or self._encoder.encode(raw) != line.rstrip(b"\n"):
            json_of(line)
        if self.began_wall is None:
            self.began_wall = raw.wall - record.at
        if not abs(raw.wall - record.at - self.began_wall) <= CLOCKS_DIFFER_S:
            raise ValueError(f"its clocks differ: {record.at:.3f} s and Unix time {raw.wall:.3f}")
        if isinstance(record, Writes) and record.first > record.last:
            raise ValueError(f"its writes begin with {record.first} and end with {record.last}")
        if isinstance(record, FaultStep):
            if record.at < self._last_step - CLOCKS_DIFFER_S:
                raise ValueError(f"the clock went back from {self._last_step:.3f} s to {record.at:.3f} s")
            self._last_step = record.at
        return record
