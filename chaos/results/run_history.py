"""The history of runs: their figures and verdicts in one SQLite file, which is read as a whole and written anew.

Anybody may have written a file that is named, so none is opened by SQLite itself, which would follow links and play
back the journal that lies beside it. It is read up to a limit, held in memory, has to have the tables of `TABLES` and
nothing else, and takes its place by a rename: whatever kills us, there is the old file or the new one.
"""

import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from chaos.basics.files import PRIVATE, opened, place
from chaos.basics.untrusted import HISTORY, bounded
from chaos.errors import OrdealError
from chaos.hosts import trusted
from chaos.hosts.lock import locked
from chaos.hosts.places import APP, history_file, state_dir, state_path
from chaos.results.past import PastFinding, PastReplay, PastRun, moment

VERSION = 1  # PRAGMA user_version
APPLICATION = 0x6F726468  # PRAGMA application_id: "ordh"
TABLES = (
    """CREATE TABLE runs (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL, tool TEXT NOT NULL, started TEXT NOT NULL, ended TEXT NOT NULL,
    duration_s REAL NOT NULL, cpus TEXT NOT NULL, memory TEXT NOT NULL, kernel TEXT NOT NULL,
    architecture TEXT NOT NULL, left_out INTEGER NOT NULL, specs_broken INTEGER NOT NULL
)""",
    """CREATE TABLE replays (
    number INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, incident TEXT NOT NULL,
    replay TEXT NOT NULL, cluster TEXT NOT NULL, control TEXT NOT NULL, kubernetes TEXT NOT NULL, image TEXT NOT NULL,
    mutants TEXT NOT NULL, profile TEXT NOT NULL, verdict TEXT NOT NULL, passed INTEGER NOT NULL, why TEXT NOT NULL,
    started TEXT NOT NULL, duration_s REAL NOT NULL
)""",
    "CREATE INDEX replays_of_run ON replays (run)",
    """CREATE TABLE findings (
    number INTEGER PRIMARY KEY, replay INTEGER NOT NULL REFERENCES replays (number) ON DELETE CASCADE,
    invariant TEXT NOT NULL, promise TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL
)""",
    "CREATE INDEX findings_of_replay ON findings (replay)",
    """CREATE TABLE figures (
    finding INTEGER NOT NULL REFERENCES findings (number) ON DELETE CASCADE, name TEXT NOT NULL, value NOT NULL,
    PRIMARY KEY (finding, name)
) WITHOUT ROWID""",
)
S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class RunHistory:
    """The runs that a file keeps, the oldest first."""

    path: Path
    runs: tuple[PastRun, ...]


@dataclass(frozen=True, slots=True)
class Added:
    """What became of runs that were to be added, by their ids."""

    new: tuple[str, ...]
    replaced: tuple[str, ...]
    there: tuple[str, ...]


def load(path: Path) -> RunHistory:
    """The history in that file. Raises OrdealError where there is none, it can't be read, is damaged or of a later
    version, or holds what is no history's.
    """
    _check_owner(path)
    data = _read(path)
    if data is None:
        raise OrdealError(f"there is no history at {path}: `{APP} history add RUN` makes it")
    with _in_memory(path, data) as held, _told(path):
        return RunHistory(path, _runs(held))


def add(
    path: Path, runs: Sequence[PastRun], *, replace: bool = False, waiting: Callable[[], None] | None = None
) -> Added:
    """Add runs to the file, all of them or none; it is made where it lacks. One that is there and the same changes
    nothing. `replace`: one that is there and was changed since is kept as it is now.

    Whoever adds at the same time waits, which `waiting` is called for. Raises OrdealError as `load` does, where the
    file can't be written, and without `replace` for a run that was changed since.
    """
    if path == history_file():
        state_dir()
    try:
        with locked(path.with_name(f"{path.name}.lock"), waiting):
            _check_owner(path)
            data = _read(path)
            with _in_memory(path, data or b"") as held, _told(path):
                _runs(held)  # what is damaged is not added to
                added = _put(held, path, runs, replace=replace)
                if added.new or added.replaced:
                    place(path, held.serialize(), mode=_mode(path), durable=True)
            return added
    except OSError as error:
        raise OrdealError(f"the history {error.filename or path} can't be written: {error.strerror}") from error


def _read(path: Path) -> bytes | None:
    """The file's content; None where there is none."""
    try:
        with opened(path.parent.resolve(), path.name) as file:
            return bounded(file, HISTORY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OrdealError(f"the history at {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise OrdealError(f"the history at {path} can't be used: {error}; begin another one with --file") from error


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o666 if path.exists() else PRIVATE


def _check_owner(path: Path) -> None:
    """The default one is in the state; another one is the user's own choice."""
    if path == history_file():
        trusted.check(path, state_path())


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite or a value that does not fit says of a file, in a sentence."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, msgspec.ValidationError, ValueError, OverflowError) as error:
        raise OrdealError(
            f"the history at {path} is damaged, or none ({error}): put a copy in its place, or name another with --file"
        ) from error


@contextmanager
def _in_memory(path: Path, data: bytes) -> Iterator[sqlite3.Connection]:
    """The database of that content, looked at; a new one of none."""
    if not hasattr(sqlite3.Connection, "deserialize"):
        raise OrdealError(
            f"this Python's SQLite ({sqlite3.sqlite_version}) is too old for a history: use 3.36 or newer"
        )
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as held:
        with _told(path):
            if data:
                held.deserialize(data)
            held.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, HISTORY.size_bytes)
            held.execute("PRAGMA foreign_keys = ON")
            held.execute("PRAGMA trusted_schema = OFF")
            held.execute("PRAGMA cell_size_check = ON")
            if data:
                _check(held, path)
            else:
                _make(held)
        yield held


def _make(held: sqlite3.Connection) -> None:
    for each in TABLES:
        held.execute(each)
    held.execute(f"PRAGMA user_version = {VERSION}")
    held.execute(f"PRAGMA application_id = {APPLICATION}")


def _check(held: sqlite3.Connection, path: Path) -> None:
    """Whether it is ours, of this version, with our tables alone, and sound. Raises OrdealError, sqlite3.Error."""
    application, version = (held.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if application != APPLICATION:
        raise OrdealError(f"{path} is no history of {APP}'s: name the right file with --file")
    if version != VERSION:
        raise OrdealError(
            f"the history at {path} is of version {version}, this version reads {VERSION}: use the {APP} that wrote it"
        )
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        _make(empty)
        if _schema(held) != _schema(empty):
            raise OrdealError(f"the history at {path} has other tables than {APP} makes: take out what was added to it")
    if (said := held.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(said)
    if held.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise sqlite3.DatabaseError("a row belongs to nothing")


def _schema(held: sqlite3.Connection) -> list[Any]:
    return held.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()


def _put(held: sqlite3.Connection, path: Path, runs: Sequence[PastRun], *, replace: bool) -> Added:
    new: list[str] = []
    replaced: list[str] = []
    there: list[str] = []
    known = dict(held.execute("SELECT id, digest FROM runs"))
    held.execute("BEGIN")
    for run in runs:
        if known.get(run.id) == run.digest:
            there.append(run.id)
            continue
        if run.id in known and not replace:
            raise OrdealError(
                f"the run {run.id} is in the history {path} and was changed since: --replace takes it as it is now"
            )
        held.execute("DELETE FROM runs WHERE id = ?", (run.id,))
        _insert(held, run)
        (replaced if run.id in known else new).append(run.id)
        known[run.id] = run.digest
    held.execute("COMMIT")
    return Added(tuple(new), tuple(replaced), tuple(there))


def _insert(held: sqlite3.Connection, run: PastRun) -> None:
    _row(held, "runs", {**_fields(run), "digest": run.digest})
    for replay in run.replays:
        number = _row(held, "replays", {"run": run.id, **_fields(replay), "passed": int(replay.passed)})
        for finding in replay.findings:
            of = _row(held, "findings", {"replay": number, **_fields(finding)})
            held.executemany("INSERT INTO figures VALUES (?, ?, ?)", ((of, n, v) for n, v in finding.figures.items()))


def _fields(struct: msgspec.Struct) -> dict[str, object]:
    """Those that are columns."""
    return {k: v for k, v in msgspec.structs.asdict(struct).items() if k not in {"replays", "findings", "figures"}}


def _row(held: sqlite3.Connection, table: str, values: Mapping[str, object]) -> int | None:
    columns, places = ", ".join(values), ", ".join("?" * len(values))
    made = held.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", tuple(values.values()))  # noqa: S608
    return made.lastrowid


def _runs(held: sqlite3.Connection) -> tuple[PastRun, ...]:
    """Raises msgspec.ValidationError, ValueError where a value is not of its column's kind: SQLite takes any."""
    figures: dict[object, dict[str, object]] = {}
    for finding, name, value in held.execute("SELECT finding, name, value FROM figures ORDER BY finding, name"):
        figures.setdefault(finding, {})[name] = value
    findings: dict[object, list[PastFinding]] = {}
    for number, of, rest in _rows(held, "findings", "replay", PastFinding):
        findings.setdefault(of, []).append(_made(PastFinding, {**rest, "figures": figures.get(number, {})}))
    replays: dict[object, list[PastReplay]] = {}
    for number, of, rest in _rows(held, "replays", "run", PastReplay):
        whole = {**rest, "passed": bool(rest["passed"]), "findings": findings.get(number, [])}
        replays.setdefault(of, []).append(_made(PastReplay, whole))
    runs = [
        _made(PastRun, {**rest, "replays": replays.get(rest["id"], [])})
        for _, _, rest in _rows(held, "runs", "id", PastRun)
    ]
    for run in runs:
        moment(run.started)
        spans = (run.duration_s, *(each.duration_s for each in run.replays))
        values = (v for each in run.replays for f in each.findings for v in f.figures.values())
        if not all(isfinite(value) for value in (*spans, *values) if isinstance(value, float)) or min(spans) < 0:
            raise ValueError(f"a number of the run {run.id} is none")
    return tuple(sorted(runs, key=lambda run: (run.started, run.id)))


def _rows(
    held: sqlite3.Connection, table: str, of: str, kind: type[msgspec.Struct]
) -> Iterator[tuple[object, object, dict[str, Any]]]:
    """Each row of a table: its number, what it belongs to, and its columns by name."""
    names = [each for each in kind.__struct_fields__ if each not in {"replays", "findings", "figures"}]
    number = "rowid" if table == "runs" else "number"
    for row in held.execute(f"SELECT {number}, {of}, {', '.join(names)} FROM {table} ORDER BY 1"):  # noqa: S608
        yield row[0], row[1], dict(zip(names, row[2:], strict=True))


def _made(kind: type[S], values: Mapping[str, object]) -> S:
    return msgspec.convert(values, kind)
