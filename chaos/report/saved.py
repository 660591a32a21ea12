"""The results of a run that is over, read back from its results.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from chaos.errors import OrdealError
from chaos.invariants.base import Figure, Recipe
from chaos.report.results import SCHEMA, Row


@dataclass(frozen=True, slots=True)
class SavedFinding:
    """What became of one invariant, as the results file has it; `history` is a path below the run's folder."""

    invariant: str
    verdict: str
    sentence: str
    reason: str
    figures: Mapping[str, Figure]
    recipe: Recipe | None = None
    history: str = ""


@dataclass(frozen=True, slots=True)
class SavedOutcome:
    """One replay as the results file has it; `control` is "" when hardened."""

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


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run: its id, the file it was read from, the facts of its machine, its outcomes in the order they came."""

    id: str
    path: Path
    machine: Mapping[str, str]
    outcomes: tuple[SavedOutcome, ...]


def load(root: Path, run: str = "latest") -> SavedRun:
    """The run of that id below `root`, or at that path. Raises OrdealError where there is none or it can't be read."""
    given = Path(run)
    path = given if given.is_file() else (given if given.is_dir() else root / run) / "results.json"
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        there = ", ".join(sorted(p.parent.name for p in root.glob("*/results.json") if not p.parent.is_symlink()))
        raise OrdealError(f"there are no results at {path}; runs below {root}: {there or 'none'}") from error
    except ValueError as error:
        raise OrdealError(f"the results at {path} are no JSON ({error})") from error
    try:
        if content["schema"] != SCHEMA:
            raise OrdealError(f"the results at {path} have schema {content['schema']}, this version reads {SCHEMA}")
        return SavedRun(
            content["run"], path, dict(content["machine"]), tuple(_outcome(entry) for entry in content["incidents"])
        )
    except (KeyError, TypeError) as error:
        raise OrdealError(f"the results at {path} are not a kube-ordeal run's: {error!r}") from error


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


def _mapping(value: object) -> Mapping[str, list[Row]]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no object")
    return value


def _outcome(entry: Mapping[str, object]) -> SavedOutcome:
    return SavedOutcome(
        id=str(entry["id"]),
        replay=str(entry.get("replay", "")),
        cluster=str(entry["cluster"]),
        kubernetes=str(entry["kubernetes"]),
        profile=str(entry["profile"]),
        control=str(entry.get("control", "")),
        verdict=str(entry["verdict"]),
        passed=entry["passed"] is True,
        duration_s=float(str(entry["duration_s"])),
        why=str(entry["why"]),
        tables={str(name): tuple(rows) for name, rows in _mapping(entry.get("tables", {})).items()},
        findings=tuple(_finding(each) for each in _list(entry.get("invariants", []))),
    )


def _list(value: object) -> list[Mapping[str, object]]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def _finding(entry: Mapping[str, object]) -> SavedFinding:
    figures = entry.get("figures", {})
    if not isinstance(figures, dict):
        raise TypeError(f"{figures!r} is no object")
    return SavedFinding(
        str(entry["name"]),
        str(entry["verdict"]),
        str(entry["sentence"]),
        str(entry.get("reason", "")),
        figures,
        _recipe(entry),
        str(entry.get("history", "")),
    )


def _recipe(entry: Mapping[str, object]) -> Recipe | None:
    if "promise" not in entry:
        return None
    arguments = entry["arguments"]
    if not isinstance(arguments, dict):
        raise TypeError(f"{arguments!r} is no object")
    return Recipe(str(entry["promise"]), arguments)
