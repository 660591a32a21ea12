"""Runs on disk for tests, written by what writes real ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaos.judge.base import Figure, Finding, Recipe, Verdict
from chaos.judge.catalogue import find
from chaos.record.evidence import Piece
from chaos.record.history import History
from chaos.record.registry import Record
from chaos.results.results import Outcome, Results

RUN = "20260101-000000-abcd"
INCIDENT = "mass-termination"
CONTROL = "default-tolerations"
TEST = "suites/control_plane/test_x.py::test_x[{}]"


def results(root: Path, run: str = RUN) -> Results:
    """The results of a run in which nothing has happened yet."""
    return Results(root, run, {"profile": "smoke", "kubernetes": "1.34.4"})


def history(made: Results, records: Sequence[Record], name: str = "0") -> Path:
    """A history of those records below the run's folder."""
    path = made.directory / "test_x" / "history" / f"{name}.jsonl"
    with_path = History(path, began=0.0, began_wall=1_767_225_600.0)
    for record in records:
        with_path.add(record)
    with_path.close()
    return path


def finding(
    verdict: Verdict = Verdict.HELD,
    *,
    name: str = "nothing-terminated",
    sentence: str = "none of 6 pods was deleted",
    reason: str = "",
    judged: Path | None = None,
    **figures: Figure,
) -> Finding:
    """A finding, by default one that held."""
    recipe = Recipe("nothing_terminated", {"workload": "web"})
    return Finding(name, verdict, sentence, reason, figures or {"pods": 6}, (), recipe, judged)


def outcome(
    *findings: Finding,
    control: str = "",
    passed: bool | None = None,
    verdict: Verdict | None = None,
    why: str = "as it was found",
    incident: str = INCIDENT,
    histories: Sequence[Path] = (),
    evidence: Sequence[Piece] = (),
) -> Outcome:
    """A replay with those findings; without any, hardened and held."""
    found = findings or (finding(),)
    is_ = verdict or found[0].verdict
    return Outcome(
        id=find(incident).id,
        variant="control" if control else "hardened",
        control=control,
        test=TEST.format(f"kind-{'control:' + control if control else 'hardened'}"),
        cluster="kind",
        kubernetes="1.34.4",
        profile="smoke",
        verdict=is_,
        passed=is_ is (Verdict.VIOLATED if control else Verdict.HELD) if passed is None else passed,
        why=why,
        duration_s=61.4,
        findings=found,
        cluster_facts={"provider": "kind"},
        histories=histories,
        evidence=evidence,
    )


def broken(sentence: str = "6 of 6 pods were deleted", **figures: Any) -> Finding:
    """What the control must show."""
    return finding(Verdict.VIOLATED, sentence=sentence, reason="taint-eviction", **figures)


def proven(root: Path, run: str = RUN) -> Results:
    """A run that is over: one incident held, and its control was violated as it must be."""
    made = results(root, run)
    made.add(outcome())
    made.add(outcome(broken(), control=CONTROL))
    made.end()
    return made
