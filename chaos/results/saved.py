"""The results of a run, read back from its results.json."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from chaos.basics import untrusted
from chaos.basics.files import opened
from chaos.basics.untrusted import bounded, json_of
from chaos.errors import OrdealError
from chaos.judge.base import Figure
from chaos.judge.catalogue import Control, Incident, KnownBug, Proof, ProvenBy, Sign
from chaos.record.history import History
from chaos.results import specs
from chaos.results.schema import check
from chaos.results.specs import ALONE, SpecResult

T = TypeVar("T")
Row = Mapping[str, str | int | float]
RESULTS = "results.json"
LATEST = "latest"  # the newest run's link, beside it


@dataclass(frozen=True, slots=True)
class SavedFinding:
    """What became of one invariant, as the results file has it; `history` is the file that was judged."""

    invariant: str
    verdict: str
    sentence: str
    reason: str
    figures: Mapping[str, Figure]
    promise: str = ""
    arguments: Mapping[str, object] | None = None
    history: str = ""


@dataclass(frozen=True, slots=True)
class SavedPiece:
    """A file of evidence, its path below the run's folder, or why there is none."""

    name: str
    path: str = ""
    size_bytes: int | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class SavedOutcome:
    """One replay as the results file has it; `control` is "" when hardened.

    `ended` is false for a replay that had begun and has no end: its verdict is unknown.
    """

    id: str
    replay: str
    cluster: str
    kubernetes: str
    profile: str
    control: str
    verdict: str
    passed: bool
    duration_s: float
    why: str
    tables: Mapping[str, tuple[Row, ...]]
    findings: tuple[SavedFinding, ...] = ()
    test: str = ""
    started: str = ""  # UTC, as 2026-01-02T03:04:05.678Z
    facts: Mapping[str, Figure] | None = None
    cluster_facts: Mapping[str, str] | None = None
    histories: tuple[str, ...] = ()
    evidence: tuple[SavedPiece, ...] = ()
    ended: bool = True


@dataclass(frozen=True, slots=True)
class Skipped:
    """A replay that this cluster could not do, and why."""

    id: str
    test: str
    cluster: str
    why: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was collected and not replayed, and why: its pytest node id, and its incident ("" where it replays none)."""

    test: str
    id: str
    why: str


@dataclass(frozen=True, slots=True)
class PlannedReplay:
    """A replay as it was planned, in seconds since the run began."""

    test: str
    starts_s: float
    ends_s: float


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What a budget allowed for: its seconds, when the run should have been over, and each replay that was planned."""

    budget_s: float
    expected_end_s: float
    replays: tuple[PlannedReplay, ...]


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run: its id, the file it was read from, its facts, its outcomes in the order they came.

    Replays that had begun and have no end are outcomes too, the last ones. `ended` is "" while it goes on, and where it
    was killed. `catalogue` are the incidents as the tool defined them that made the run.
    """

    id: str
    path: Path
    machine: Mapping[str, str]
    outcomes: tuple[SavedOutcome, ...]
    version: str = ""
    options: Mapping[str, str] | None = None
    started: str = ""
    updated: str = ""
    ended: str = ""
    skipped: tuple[Skipped, ...] = ()
    catalogue: tuple[Incident, ...] = ()
    mutants: tuple[Row, ...] = ()
    specs: tuple[SpecResult, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    plan: SavedPlan | None = None
    measured: Mapping[str, str] = field(default_factory=dict)

    def incident(self, incident_id: str) -> Incident:
        """An incident as it was when it was replayed; one without a claim where the file does not have it."""
        for each in self.catalogue:
            if each.id == incident_id:
                return each
        return Incident(incident_id, incident_id, "", "", "", "", "", controls=())

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.path.parent

    def file(self, relative: str) -> BinaryIO:
        """A history, a piece of evidence, or what a spec has left, opened.

        Raises OrdealError where it is missing, or is no file below the run's folder: no link in it is followed.
        """
        try:
            return opened(self.folder, relative)
        except FileNotFoundError as error:
            raise OrdealError(f"{relative} is missing: it was there when {self.path} was written") from error
        except OSError as error:
            raise OrdealError(
                f"{relative} is not a file below the run's folder {self.folder} ({error.strerror}); "
                "was the results file edited?"
            ) from error

    @property
    def own_specs(self) -> tuple[SpecResult, ...]:
        """The conformance specs that were run for themselves; those around a replay are judged with it."""
        return tuple(spec for spec in self.specs if spec.round == ALONE)

    @property
    def histories(self) -> tuple[str, ...]:
        """What was recorded and what was judged, as paths below the run's folder."""
        return tuple(h for o in self.outcomes for h in (*o.histories, *(f.history for f in o.findings if f.history)))

    @property
    def named(self) -> tuple[str, ...]:
        """The histories, the evidence and what specs left, as paths below the run's folder."""
        paths = list(self.histories)
        paths += [piece.path for o in self.outcomes for piece in o.evidence if piece.path]
        paths += [path for each in self.specs for path in each.files]
        return tuple(dict.fromkeys(paths))

    def history(self, relative: str) -> History:
        """A history. Raises OrdealError where it is missing, was edited, its clock goes back, or it was cut off.

        That of a replay that was killed may end in the middle of a line.
        """
        path = self.folder / relative
        done = {h for o in self.outcomes if o.ended for h in (*o.histories, *(f.history for f in o.findings))}
        with self.file(relative) as file:
            cut_off = relative in done and not _ends_a_line(file)
            history = History.load(path, file)
        if cut_off:
            raise OrdealError(f"{path} ends in the middle of a line, and its replay had an end; was it cut off?")
        return history

    def piece(self, piece: SavedPiece) -> BinaryIO:
        """A piece of evidence, opened. Raises OrdealError where it is missing, or is not as large as it was."""
        file = self.file(piece.path)
        size_bytes = os.fstat(file.fileno()).st_size
        if piece.size_bytes is not None and size_bytes != piece.size_bytes:
            file.close()
            raise OrdealError(
                f"{piece.path} has {size_bytes} bytes, and had {piece.size_bytes} when {self.path} was written"
            )
        return file

    def missing(self, names: Iterable[str] | None = None) -> tuple[str, ...]:
        """A sentence for each file that the results name, or of these ones, that can't be read."""
        sentences = []
        for each in self.named if names is None else names:
            try:
                self.file(each).close()
            except OrdealError as error:
                sentences.append(str(error))
        return tuple(sentences)

    def unreadable(self) -> tuple[str, ...]:
        """A sentence for each file that is missing, was edited or cut off, or whose clock goes back."""
        reads: list[Callable[[], object]] = [partial(self.history, each) for each in dict.fromkeys(self.histories)]
        reads += [partial(_close, self.piece, each) for o in self.outcomes for each in o.evidence if each.path]
        reads += [partial(_close, self.file, path) for each in self.specs for path in each.files]
        sentences = []
        for read in reads:
            try:
                read()
            except (OrdealError, OSError) as error:
                sentences.append(str(error))
        return tuple(dict.fromkeys(sentences))


def load(root: Path, run: str = LATEST) -> SavedRun:
    """The run of that id below `root`, or at that path.

    Raises OrdealError where there is none, or it is truncated, of another schema version, or was edited; where its
    folder or its file is a link, but for `latest`, which leads to another run beside it.
    """
    given = Path(run)
    path = given if given.is_file() else _plain(given if given.is_dir() else root / run) / RESULTS
    try:
        with opened(path.parent, path.name) as file:
            content = json_of(bounded(file, untrusted.RESULTS), untrusted.RESULTS)
    except FileNotFoundError as error:
        there = ", ".join(sorted(p.parent.name for p in root.glob(f"*/{RESULTS}") if not p.parent.is_symlink()))
        raise OrdealError(f"there are no results at {path}; runs below {root}: {there or 'none'}") from error
    except OSError as error:
        raise OrdealError(f"the results at {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise OrdealError(f"the results at {path} can't be used: {error}") from error
    check(content, path)
    return of_json(content, path)


def named(given: str) -> tuple[str, ...]:
    """The runs that a user has named, as `load` takes them: one, or all in a folder that holds several."""
    folder = Path(given)
    if folder.is_dir() and not (folder / RESULTS).exists():
        there = sorted(p.parent for p in folder.glob(f"*/{RESULTS}") if not p.parent.is_symlink())
        if there:
            return tuple(map(str, there))
    return (given,)


def of_json(content: Mapping[str, Any], path: Path) -> SavedRun:
    """A run from the content of a results file that fits the schema."""
    ended = content.get("ended", "")
    running = [_begun(each, ended) for each in content["running"]]
    return SavedRun(
        id=content["run"],
        path=path,
        machine=content["machine"],
        outcomes=(*(_outcome(entry) for entry in content["incidents"]), *running),
        version=content["tool"]["version"],
        options=content["options"],
        started=content["started"],
        updated=content["updated"],
        ended=ended,
        skipped=tuple(Skipped(e["id"], e["test"], e["cluster"], e["why"]) for e in content["skipped"]),
        catalogue=tuple(_incident(each) for each in content["catalogue"]),
        mutants=tuple(content["mutants"]),
        specs=tuple(specs.of_json(each) for each in content["specs"]),
        left_out=tuple(LeftOut(**each) for each in content.get("left_out", ())),
        plan=_plan(content["plan"]) if "plan" in content else None,
        measured=content.get("measured", {}),
    )


def latest_with(root: Path, incident_id: str) -> SavedRun | None:
    """The newest run below `root` that replayed the incident, with the outcomes of that incident alone.

    Runs that can't be read (another version's, one that was cut off) are passed over. Run ids begin with their time.
    """
    for path in sorted(root.glob("*/results.json"), key=lambda p: p.parent.name, reverse=True):
        if path.parent.is_symlink():
            continue
        try:
            run = load(root, path.parent.name)
        except OrdealError:
            continue
        outcomes = tuple(o for o in run.outcomes if o.id == incident_id)
        if outcomes:
            return replace(run, outcomes=outcomes)
    return None


def _plain(folder: Path) -> Path:
    """A run's folder, with a link that leads to another one beside it followed. Raises OrdealError for other links."""
    try:
        target = str(folder.readlink())
    except OSError:  # it is no link
        return folder
    if target in {".", ".."} or "/" in target:
        raise OrdealError(f"{folder} is a link to {target}, which is not beside it: name the run's own folder")
    return folder.with_name(target)


def _close(open_it: Callable[[T], BinaryIO], what: T) -> None:
    open_it(what).close()


def _ends_a_line(file: BinaryIO) -> bool:
    """Leaves the file at its beginning."""
    size_bytes = file.seek(0, SEEK_END)
    file.seek(max(0, size_bytes - 1))
    ends = file.read() in {b"", b"\n"}
    file.seek(0)
    return ends


def _outcome(entry: Mapping[str, Any]) -> SavedOutcome:
    return SavedOutcome(
        id=entry["id"],
        replay=entry.get("replay", ""),
        cluster=entry["cluster"],
        kubernetes=entry["kubernetes"],
        profile=entry["profile"],
        control=entry.get("control", ""),
        verdict=entry["verdict"],
        passed=entry["passed"],
        duration_s=float(entry["duration_s"]),
        why=entry["why"],
        tables={name: tuple(rows) for name, rows in entry["tables"].items()},
        findings=tuple(_finding(each) for each in entry["invariants"]),
        test=entry["test"],
        started=entry["started"],
        facts=entry["facts"],
        cluster_facts=entry["cluster_facts"],
        histories=tuple(entry["histories"]),
        evidence=tuple(SavedPiece(**each) for each in entry["evidence"]),
    )


def _plan(entry: Mapping[str, Any]) -> SavedPlan:
    replays = tuple(PlannedReplay(**each) for each in entry["replays"])
    return SavedPlan(entry["budget_s"], entry["expected_end_s"], replays)


def _finding(entry: Mapping[str, Any]) -> SavedFinding:
    return SavedFinding(
        invariant=entry["name"],
        verdict=entry["verdict"],
        sentence=entry["sentence"],
        reason=entry.get("reason", ""),
        figures=entry["figures"],
        promise=entry.get("promise", ""),
        arguments=entry.get("arguments"),
        history=entry.get("history", ""),
    )


def _begun(entry: Mapping[str, Any], ended: str) -> SavedOutcome:
    end = "it was ended from outside and gave no verdict" if ended else "the run was killed, or still goes on"
    return SavedOutcome(
        id=entry["id"],
        replay=entry.get("replay", ""),
        cluster=entry["cluster"],
        kubernetes="",
        profile=entry["profile"],
        control=entry.get("control", ""),
        verdict="unknown",
        passed=False,
        duration_s=0.0,
        why=f"it began at {entry['started']} and has no end: {end}",
        tables={},
        test=entry["test"],
        started=entry["started"],
        ended=False,
    )


def _known_bug(entry: Mapping[str, Any] | None) -> KnownBug | None:
    return KnownBug(entry["issue"], entry["since"], tuple(entry["mended_in"])) if entry else None


def _incident(entry: Mapping[str, Any]) -> Incident:
    plain = {name: value for name, value in entry.items() if name not in {"controls", "recognise", "proofs"}}
    return Incident(
        **plain,
        controls=tuple(
            Control(
                **each | {"also_breaks": tuple(each.get("also_breaks", ())), "shipped": _known_bug(each.get("shipped"))}
            )
            for each in entry["controls"]
        ),
        recognise=tuple(Sign(**each) for each in entry["recognise"]),
        proofs=tuple(Proof(**each | {"how": ProvenBy(each["how"])}) for each in entry.get("proofs", ())),
    )
