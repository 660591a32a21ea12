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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from io import BytesIO, FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from chaos.basics.clock import unix_s
from chaos.basics.files import appended, opened
from chaos.basics.scrub import scrub
from chaos.basics.untrusted import RECORD, json_of, lines
from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.hosts import trusted
from chaos.hosts.places import state_path

JSON = str | int | float | bool | None | list["JSON"] | dict[str, "JSON"]
Saved = Mapping[str, JSON]  # as it is on disk; whose it is has a struct for it

WORKLOAD = "workload"  # the kind of the entry that stands for a workload we deployed; its undo deletes its namespace
AGENT = "agent"  # the kind of the entry that stands for agents on its nodes; its undo takes them away
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

    @property
    def id(self) -> str:
        """The name by which it can be forgotten: RUN:NUMBER."""
        return f"{self.path.stem}:{self.entry}"


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
        self._append({**entry, "wall": unix_s()})
        return number

    def undone(self, entry: int) -> None:
        """The entry's undo is confirmed."""
        self._append({"entry": entry, "state": "undone", "wall": unix_s()})

    def failed(self, entry: int, error: str) -> None:
        """The entry's undo failed: it stays pending."""
        told = scrub(error).encode(errors="backslashreplace").decode()
        self._append({"entry": entry, "state": "failed", "error": told, "wall": unix_s()})

    def pending(self) -> tuple[Pending, ...]:
        """What is not undone yet. Raises OrdealError where it is damaged."""
        return tuple(_pending_in(self.path))

    def close(self) -> None:
        """Let go of the lock; a journal with nothing pending is removed."""
        if self._file.closed:
            return
        if not _pending_in(self.path):
            self.path.unlink(missing_ok=True)
        self._file.close()

    def _append(self, entry: Mapping[str, object]) -> None:
        line = json.dumps(entry).encode()
        try:
            _said(line)
        except ValueError as error:
            raise OrdealError(
                f"the journal {self.path} could not be read back, so it is not written: {error}"
            ) from error
        with self._one_at_a_time:
            try:
                _write_whole(self._file, line + b"\n")
            except OSError as error:
                raise OrdealError(
                    f"the journal {self.path} can't be written ({error.strerror}): free the disk"
                ) from error


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What runs that are over have left undone, newest first (the order in which to undo it).

    `unread`: by the name of its run, why a journal can't be read. `held`: the runs that go on, or whose journal another
    process undoes just now. What is theirs is not in `pending`.
    """

    pending: tuple[Pending, ...]
    unread: Mapping[str, str]
    held: tuple[str, ...] = ()


def left(directory: Path) -> Leftovers:
    """What the journals of a folder say. One that can't be read hides nothing of the others."""
    found: list[Pending] = []
    unread: dict[str, str] = {}
    held: list[str] = []
    for path in sorted(directory.glob("*.jsonl")):
        try:
            with adopt(path) as journal:
                if journal is not None:
                    found.extend(_pending_in(path))
                elif path.exists():
                    held.append(path.stem)
        except OrdealError as error:
            unread[path.stem] = str(error)
    return Leftovers(tuple(sorted(found, key=lambda p: (p.wall, p.entry), reverse=True)), unread, tuple(held))


def pending(directory: Path) -> tuple[Pending, ...]:
    """What runs that are over have left undone, newest first. Raises OrdealError where a journal can't be read."""
    found = left(directory)
    for why in found.unread.values():
        raise OrdealError(why)
    return found.pending


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


class _Planned(msgspec.Struct, tag_field="state", tag="planned"):
    entry: int
    kind: str
    cluster: ClusterRef
    saved: dict[str, Any]
    wall: float


class _Undone(msgspec.Struct, tag_field="state", tag="undone"):
    entry: int


class _Failed(msgspec.Struct, tag_field="state", tag="failed"):
    entry: int
    error: str


_Said = _Planned | _Undone | _Failed


def _said(line: bytes) -> _Said:
    """What a line says. Raises ValueError where nobody can tell."""
    said: _Said = msgspec.convert(json_of(line), _Said)
    return said


def _pending_in(path: Path) -> list[Pending]:
    open_entries: dict[int, Pending] = {}
    for said in _read(path):
        match said:
            case _Planned():
                open_entries[said.entry] = Pending(path, said.entry, said.kind, said.cluster, said.saved, said.wall)
            case _Undone():
                open_entries.pop(said.entry, None)
            case _Failed():
                was = open_entries.get(said.entry)
                if was is not None:
                    open_entries[said.entry] = replace(was, last_error=said.error)
    return list(open_entries.values())


def _read(path: Path) -> Iterator[_Said]:
    trusted.check(path, state_path())
    number = 0
    with path.open("rb") if path.exists() else BytesIO() as file:
        try:
            for line in lines(file, RECORD.size_bytes):
                number += 1
                # A cut line can only be the last: the kill came before the fsync, so its harm was never done.
                if line.strip() and line.endswith(b"\n"):
                    yield _said(line)
        except ValueError as error:
            why = f"is damaged at line {number}: {error}; read it, undo by hand and remove it"
            raise OrdealError(f"the journal {path} {why}") from error


def _write_whole(file: FileIO, line: bytes) -> None:
    """Have the line on disk, or nothing of it: what comes next must not go on in it. Raises OSError."""
    whole = os.fstat(file.fileno()).st_size
    try:
        left = memoryview(line)
        while left:  # a disk that is nearly full takes a part, and says so by no error
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except OSError:
        os.ftruncate(file.fileno(), whole)
        raise


def _drop_cut_line(path: Path, file: BinaryIO) -> None:
    """Take a last line that a kill has cut off out of the file, so that the next entry does not go on in it."""
    whole = 0
    with path.open("rb") as read, suppress(ValueError):  # of one that is too long `_read` says so
        for line in lines(read, RECORD.size_bytes):
            whole += len(line) if line.endswith(b"\n") else 0
        os.ftruncate(file.fileno(), whole)


def _unwritable(path: Path, error: OSError) -> OrdealError:
    return OrdealError(f"no journal can be written at {path}, so no fault is injected: {error.strerror}")


def _fsync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
