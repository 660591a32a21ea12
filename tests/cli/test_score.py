"""The score of the suites: which mutants are tried by which replays, and what is made of what these say."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos.cli import score
from chaos.cli.app import app
from chaos.cli.score import Became, Score, Scored
from chaos.errors import OrdealError
from chaos.hosts import mutants
from chaos.hosts.mutants import find
from chaos.run.suites import suites

KILLED, TWIN = find("pleg-blocking-send"), find("pleg-scaled")
ZONES = "disrupted-zone-ignored"
# What stands in for pytest: it writes the results that it is told to, where the option says.
FAKE = """
import json, pathlib, sys
from tests.report.made import results, outcome
folder = pathlib.Path(sys.argv[sys.argv.index("--ordeal-results") + 1])
made = results(folder)
made.add(outcome())
made.end()
content = json.loads(made.path.read_text())
content["mutants"] = json.loads({rows!r})
made.path.write_text(json.dumps(content))
(folder.parent / "argv.json").write_text(json.dumps(sys.argv[1:]))
sys.exit({code})
"""


def fake(code: int, *rows: dict[str, str]) -> list[str]:
    return [sys.executable, "-c", FAKE.format(rows=json.dumps(rows), code=code)]


def row(mutant: str, verdict: str, reason: str = "") -> dict[str, str]:
    return {"test": "t", "mutant": mutant, "judged by": find(mutant).killed_by, "verdict": verdict, "reason": reason}


@pytest.fixture(autouse=True)
def _built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is built: whether a mutant's source fits is tested where mutants are."""

    def build(name: str, kubernetes: str, report: object) -> None:
        del report
        if kubernetes == "1.99.0":
            raise OrdealError(f"{name} does not fit the source of 1.99.0")

    monkeypatch.setattr(mutants, "build", build)


def scored(tmp_path: Path, names: list[str], code: int, *rows: dict[str, str], version: str = "1.34.4") -> Score:
    return score.run(
        score.chosen(names, ""),
        kubernetes=version,
        arguments=("-x",),
        results=tmp_path,
        report=lambda _: None,
        pytest=fake(code, *rows),
    )


def test_a_twin_is_tried_with_its_mutant() -> None:
    assert score.chosen(["pleg-blocking-send"], "") == (KILLED, TWIN)
    assert {each.incident for each in score.chosen([], "imagefs-full")} == {"imagefs-full"}
    with pytest.raises(OrdealError, match="no mutant is there for hostname-change; there are some for"):
        score.chosen([], "hostname-change")
    with pytest.raises(OrdealError, match="there is no mutant 'x'"):
        score.chosen(["x"], "")


def test_only_the_replays_that_run_a_mutant_are_run() -> None:
    tests = score.replays_of([find(ZONES)], suites())
    (test,) = tests
    assert test.endswith("test_mutants.py::test_bugs_of_the_controller_manager_are_found[simulated-hardened]")
    assert tests[test] == (ZONES,)


@pytest.mark.parametrize(
    ("verdict", "fate", "exit_code"),
    [
        ("violated", Became.KILLED, 0),
        ("held", Became.SURVIVED, 1),
        ("unknown", Became.UNKNOWN, 2),
        ("", Became.UNKNOWN, 2),
    ],
)
def test_what_became_of_a_mutant(tmp_path: Path, verdict: str, fate: Became, exit_code: int) -> None:
    made = scored(tmp_path, [ZONES], 1, row(ZONES, verdict, "beyond-rate"))
    (one,) = made.scored
    assert (one.fate, one.judged_by, one.why) == (fate, "taints-within-rate-small-partial", "beyond-rate")
    assert made.exit_code == exit_code
    argv = json.loads((tmp_path / "argv.json").read_text())
    assert argv[0].endswith("[simulated-hardened]")
    assert argv[-1] == "-x"


def test_a_twin_that_is_taken_for_a_bug_is_one_of_ours(tmp_path: Path) -> None:
    rows = (row(KILLED.name, "violated"), {**row(TWIN.name, "violated"), "judged by": "pleg-recovers"})
    made = scored(tmp_path, [KILLED.name], 0, *rows)
    assert (made.exit_code, made.sentence) == (1, "1 of 1 mutants were killed, 0 of 1 twins passed")
    sound = scored(tmp_path, [KILLED.name], 0, rows[0], {**rows[1], "verdict": "held"})
    assert (sound.exit_code, sound.sentence) == (0, "1 of 1 mutants were killed, 1 of 1 twins passed")


def test_what_no_replay_says_nobody_knows(tmp_path: Path) -> None:
    made = scored(tmp_path, [ZONES, "all-nodes-away-ignored"], 0, row(ZONES, "violated"))
    fates = {each.mutant.name: each.fate for each in made.scored}
    assert fates == {ZONES: Became.KILLED, "all-nodes-away-ignored": Became.UNKNOWN}
    assert made.exit_code == 2


def test_a_run_that_came_to_nothing_is_told(tmp_path: Path) -> None:
    made = scored(tmp_path, [ZONES], 3, row(ZONES, "violated"))
    assert (made.cut_short, made.exit_code) == ("pytest ended with 3", 2)


def test_a_mutant_that_fits_no_source_is_told_and_is_not_replayed(tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match=f"none of the mutants can be tried: {ZONES}: {ZONES} does not fit"):
        scored(tmp_path, [ZONES], 0, version="1.99.0")


@pytest.mark.parametrize("option", ["--ordeal-results", "--ordeal-kubernetes=1.35.0", "--results"])
def test_options_that_are_its_own_are_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(OrdealError, match="the score sets --ordeal-kubernetes, --ordeal-results itself"):
        score.run(
            score.chosen([ZONES], ""), kubernetes="1.34.4", arguments=(option,), results=tmp_path, report=lambda _: None
        )


def test_the_sentence_counts_each_fate() -> None:
    made = Score((Scored(KILLED, Became.KILLED), Scored(find(ZONES), Became.NOT_TRIED)))
    assert (made.sentence, made.exit_code) == ("1 of 2 mutants were killed, 1 not tried", 2)


def test_an_incident_without_mutants_is_one_sentence() -> None:
    said = CliRunner().invoke(app, ["mutant", "score", "--incident", "no-such-thing"])
    assert said.exit_code != 0
    assert "no mutant is there for no-such-thing" in f"{said.output}{said.exception}"
