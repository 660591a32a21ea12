"""What counts as a regression that was found. Nothing is replayed."""

import json
from pathlib import Path

import pytest

from chaos.judge.base import Finding, Verdict
from chaos.judge.catalogue import find
from chaos.results.results import Outcome
from chaos.results.saved import SavedRun, load
from tests.bench.recall import REGRESSIONS, By, Regression, Way, found_in, replays_for, row, sentence
from tests.report.made import outcome, results

GC = Way(By.MUTANT, "gc-stopped", "collector-waits")
PANICS = next(each for each in REGRESSIONS if each.number == 138736)
NOT_THERE = next(each for each in REGRESSIONS if each.way is None)


def run(root: Path, *outcomes: Outcome, mutants: tuple[dict[str, str], ...] = ()) -> SavedRun:
    made = results(root)
    for each in outcomes:
        made.add(each)
    made.end()
    content = json.loads(made.path.read_text())
    content["mutants"] = list(mutants)
    made.path.write_text(json.dumps(content))
    return load(root)


def shown(verdict: Verdict, reason: str, *, passed: bool) -> Outcome:
    control = find("aged-objects").control("as-shipped")
    judged = Finding(control.breaks, verdict, "it ended itself", reason, {})
    return outcome(judged, control="as-shipped", incident="aged-objects", passed=passed)


def test_a_regression_is_found_by_its_promise_for_its_reason(tmp_path: Path) -> None:
    because = find("aged-objects").control("as-shipped").because
    there = run(tmp_path, shown(Verdict.VIOLATED, because, passed=True))
    cells = row(PANICS, [there])
    assert cells[3:] == (
        "as shipped as-shipped",
        "aged-objects, components-keep-running",
        "yes",
        "61",
        "it ended itself",
    )
    assert sentence([cells, row(NOT_THERE, [])]) == "recall: 1 of 2 found; 1 were sought"


@pytest.mark.parametrize(
    ("verdict", "reason", "passed", "told"),
    [
        (Verdict.HELD, "", False, "NO"),
        (Verdict.VIOLATED, "another", False, "NO"),
        (Verdict.UNKNOWN, "", False, "NO"),
    ],
)
def test_what_is_not_violated_for_its_reason_is_not_found(
    tmp_path: Path, verdict: Verdict, reason: str, passed: bool, told: str
) -> None:
    assert row(PANICS, [run(tmp_path, shown(verdict, reason, passed=passed))])[5] == told


def test_what_was_not_replayed_is_not_found(tmp_path: Path) -> None:
    assert row(PANICS, [run(tmp_path, outcome())])[5] == "not replayed"
    assert row(NOT_THERE, [])[3:6] == ("not sought", "", "no")


@pytest.mark.parametrize(("verdict", "is_found"), [("violated", True), ("held", False), ("unknown", False)])
def test_a_mutant_is_found_where_its_line_says_so(tmp_path: Path, verdict: str, is_found: bool) -> None:
    line = {"test": "t", "mutant": GC.id, "judged by": "pods-of-deleted-go", "verdict": verdict, "reason": "r"}
    said = found_in(GC, [run(tmp_path, mutants=(line,))])
    assert said is not None
    assert (said.invariant, said.found) == ("pods-of-deleted-go", is_found)
    assert found_in(GC, [run(tmp_path / "none")]) is None


def test_every_way_is_one_that_there_is() -> None:
    for each in REGRESSIONS:
        if each.way is not None:
            assert replays_for([each]), each.number
    assert len({each.number for each in REGRESSIONS}) == 13
    assert replays_for([Regression(0, "", "", GC)])[0].endswith("[simulated-hardened]")
