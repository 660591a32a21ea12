"""A record as a line of a history's file, and back. docs/results.md documents the format."""

from typing import Any

import msgspec

from chaos.basics.untrusted import json_of
from chaos.record.doubts import ClockJump, NoChance
from chaos.record.given import LimitGiven, SetAside
from chaos.record.records import FaultStep, Observation, Unread, Writes
from chaos.record.registry import Record, Seconds, is_told, kinds, was_observation

CLOCKS_DIFFER_S = 0.01  # on disk: seconds since the beginning and Unix time are written from one clock
_SOURCES = {
    "node": "watch",
    "pod": "watch",
    "event": "watch",
    "probe": "probe",
    "fault": "fault",
    "phase": "run",
    LimitGiven.kind: "run",
    SetAside.kind: "run",
    ClockJump.kind: "run",
    NoChance.kind: "run",
}


def to_line(record: Record, began_wall: float) -> bytes:
    """The line of a record in a history that began at this Unix time."""
    data = contents(record)
    at = data.pop("at")
    line = {
        "at": at,  # to the last digit, so that judging again from disk comes to the same figures
        "wall": round(began_wall + record.at, 6),
        "source": _SOURCES.get(record.kind, "sampler"),
        "kind": record.kind,
        "object": record.object,
        "data": data,
    }
    if record.version != 1:
        line["version"] = record.version
    return msgspec.json.encode(line) + b"\n"


def contents(record: Record) -> dict[str, Any]:
    """A record's fields as JSON can hold them."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    return found


def as_proof(record: Record) -> dict[str, Any]:
    """A record as a results file shows it beside the finding that it proves."""
    return {"kind": record.kind, "object": record.object, **contents(record)}


def proof_as_now(proof: object) -> object:
    """A proof of a results file as this version would write it: an Observation may be a record of a subject's by now.

    What is none, or can't be read, is returned as it is.
    """
    if not isinstance(proof, dict) or proof.get("kind") != Observation.kind:
        return proof
    try:
        old = msgspec.convert(proof, Observation)
        make = was_observation(old.name)
        return proof if make is None else msgspec.to_builtins(as_proof(make(old)))
    except (ValueError, RecursionError):
        return proof


class _Line(msgspec.Struct, gc=False, kw_only=True):
    """A line on disk, in the order in which it is written; `at` and `data` are read by the decoder of its kind."""

    at: msgspec.Raw
    wall: float
    source: str = ""
    kind: str
    object: str = ""
    data: msgspec.Raw
    version: int | msgspec.UnsetType = msgspec.UNSET  # where it is not 1


class Reader:
    """Reads the lines of one file. Typed decoding: a million lines in seconds, and a wrong type is an error.

    `unread`: why there are records of a kind that can't be told, by kind: they are of another version of it.
    """

    def __init__(self) -> None:
        self.began_wall: float | None = None
        self.unread: dict[str, str] = {}
        self._line = msgspec.json.Decoder(_Line)
        self._types = kinds()
        self._kinds = {kind: msgspec.json.Decoder(made) for kind, made in self._types.items()}
        self._encoder = msgspec.json.Encoder()
        self._last_step = float("-inf")

    def record(self, line: bytes) -> Record:
        """The record of a line. Raises ValueError or RecursionError where it is none."""
        raw = self._line.decode(line)
        # The line has `at` beside `data`, the record has it as its first field.
        content = b'{"at":%b,%b' % (bytes(raw.at), bytes(raw.data)[1:])
        record = self._known(raw, content) or _unread(raw)
        # The decoder takes a name twice, and the last one counts. What `to_line` wrote has each once; for the rest it
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
        return self._as_now(record) if isinstance(record, Observation) else record

    def _known(self, raw: _Line, content: bytes) -> Record | None:
        """The record of a kind and version that there is here; None for another one."""
        made = self._types.get(raw.kind)
        if made is None:
            return None
        version = 1 if raw.version is msgspec.UNSET else raw.version
        if version != made.version:
            self.unread[raw.kind] = f"they are of version {version}, and {made.version} is known here"
            return None
        record: Record = self._kinds[raw.kind].decode(content)
        return record

    def _as_now(self, old: Observation) -> Record:
        """What older versions kept as an Observation, as it is kept now: it tells the same."""
        make = was_observation(old.name)
        if make is None:
            return old
        try:
            made = make(old)
        except ValueError:
            made = old
        if not is_told(made) or made.told() != old.seen or made is old:  # whoever asks for it is told; it is shown
            self.unread[old.name] = f"an observation of {old.subject} at {old.at:.1f} s says {old.seen[:80]!r}"
            return old
        return made


def _unread(raw: _Line) -> Unread:
    at = msgspec.json.decode(bytes(raw.at), type=Seconds)
    version = 1 if raw.version is msgspec.UNSET else raw.version
    return Unread(at, raw.kind, version, raw.object, bytes(raw.data).decode())
