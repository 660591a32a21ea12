"""The write-ahead journal: what is needed to undo a fault is on disk before the fault does harm.

One file a run, JSON lines, each written and fsynced before the call returns. A run holds a lock (flock) on its file
for as long as it lives; the kernel lets go of it however the process ends. So a file that can be locked belongs to a
run that is over, and what is pending in it is undone at the next start or by `kube-ordeal undo`.

The journal holds data, never code: an entry names an undo by kind, and the code that fits it is looked up there.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.hosts import trusted
from chaos.hosts.files import appended, opened
from chaos.hosts.places import state_path
from chaos.scrub import scrub

JSON = str | int | float | bool | None | list["JSON"] | dict[str, "JSON"]
Saved = Mapping[str, JSON]

WORKLOAD = "workload"  # the kind of the entry that stands for a workload we deployed; its undo deletes its namespace
CLUSTER = "cluster"  # the kind of the entry that stands for a cluster we made; its undo deletes the cluster


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that was, or may have been, done and is not yet undone."""

    path: Path
    entry: int
    kind: str
    cluster: ClusterRef
    saved: Saved
    wall: float
    last_error: str = ""


class TakenError(OrdealError):
    """A live process holds the journal."""


class Journal:
    """The journal of a live run, for all its threads. Use as a context manager; the lock is held until it is closed."""

    def __init__(self, path: Path) -> None:
        """Create, or take over, and lock the journal file.

        Raises TakenError where a live process has it, OrdealError where the disk does not take it or it is damaged.
        """
        self.path = path
        self._one_at_a_time = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = appended(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _drop_cut_line(path, self._file)
            _fsync_directory(path.parent)
            self._entries = sum(1 for _ in _read(path))
        except BlockingIOError as error:
            self._file.close()
            raise TakenError(f"the journal {path} belongs to a run that is alive") from error
        except OSError as error:
            self._file.close()
            raise _unwritable(path, error) from error
        except OrdealError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def planned(self, kind: str, cluster: ClusterRef, saved: Saved) -> int:
        """Write down what undo will need; on disk when this returns. Returns the entry's number."""
        with self._one_at_a_time:
            self._entries += 1
            number = self._entries
        entry = {"entry": number, "state": "planned", "kind": kind, "cluster": asdict(cluster), "saved": saved}
        self._append({**entry, "wall": time.time()})
        return number

    def undone(self, entry: int) -> None:
        """The entry's undo is confirmed."""
        self._append({"entry": entry, "state": "undone", "wall": time.time()})

    def failed(self, entry: int, error: str) -> None:
        """The entry's undo failed: it stays pending."""
        self._append({"entry": entry, "state": "failed", "error": scrub(error), "wall": time.time()})

    def close(self) -> None:
        """Let go of the lock; a journal with nothing pending is removed."""
        if self._file.closed:
            return
        if not _pending_in(self.path):
            self.path.unlink(missing_ok=True)
        self._file.close()

    def _append(self, entry: Mapping[str, object]) -> None:
        try:
            self._file.write(json.dumps(entry).encode() + b"\n")
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OrdealError(f"the journal {self.path} can't be written ({error.strerror}): free the disk") from error


def pending(directory: Path) -> tuple[Pending, ...]:
    """What runs that are over have left undone, newest first (the order in which to undo it)."""
    found: list[Pending] = []
    for path in sorted(directory.glob("*.jsonl")):
        with adopt(path) as journal:
            if journal is not None:
                found.extend(_pending_in(path))
    return tuple(sorted(found, key=lambda p: (p.wall, p.entry), reverse=True))


@contextmanager
def adopt(path: Path) -> Iterator[Journal | None]:
    """Take over the journal of a run that is over, to undo what it left; None where its run is alive or it is gone."""
    try:
        probe = opened(path.parent, path.name, write=True)
    except FileNotFoundError:
        yield None
        return
    with probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        fcntl.flock(probe, fcntl.LOCK_UN)
    try:
        journal = Journal(path)
    except TakenError:  # another process adopted it in between
        yield None
        return
    with journal:
        yield journal


def _pending_in(path: Path) -> list[Pending]:
    open_entries: dict[int, Pending] = {}
    for raw in _read(path):
        number = raw["entry"]
        if raw["state"] == "planned":
            try:
                cluster = msgspec.convert(raw["cluster"], ClusterRef)
            except msgspec.ValidationError as error:
                raise OrdealError(
                    f"the journal {path} has an entry {number} that this version can't read ({error}); undo it by hand"
                ) from error
            open_entries[number] = Pending(path, number, raw["kind"], cluster, raw["saved"], raw["wall"])
        elif raw["state"] == "undone":
            open_entries.pop(number, None)
        elif raw["state"] == "failed" and (was := open_entries.get(number)):
            open_entries[number] = Pending(path, number, was.kind, was.cluster, was.saved, was.wall, raw["error"])
    return list(open_entries.values())


def _read(path: Path) -> Iterator[dict]:  # type: ignore[type-arg]
    trusted.check(path, state_path())
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            # A cut line can only be the last: the kill came before the fsync, so its harm was never done.
            if number == len(lines):
                return
            raise OrdealError(f"the journal {path} is damaged at line {number}; read it and undo by hand") from error


def _drop_cut_line(path: Path, file: BinaryIO) -> None:
    """Take a last line that a kill has cut off out of the file, so that the next entry does not go on in it."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.ftruncate(file.fileno(), content.rfind(b"\n") + 1)


def _unwritable(path: Path, error: OSError) -> OrdealError:
    return OrdealError(f"no journal can be written at {path}, so no fault is injected: {error.strerror}")


def _fsync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
