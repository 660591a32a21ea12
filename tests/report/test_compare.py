"""Runs against runs: verdicts and figures that got worse, what can't be told, what is allowed, and how it is told."""

import json
from collections.abc import Sequence
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from chaos.cli.app import app
from chaos.errors import OrdealError
from chaos.judge.base import Figure, Finding, Verdict
from chaos.report import allowed, summary
from chaos.report.compare import Comparison, FigureRow, VerdictRow, compare, compared, load_side
from chaos.report.difference import Shift
from chaos.results.results import Outcome
from chaos.results.saved import SavedFinding
from tests.report.made import CONTROL, INCIDENT, broken, finding, outcome, results

TODAY = date(2026, 6, 15)
HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
EVIL = "<script>alert(1)</script> | **bold** `code`\nsecond"


def runs(root: Path, side: str, *repeats: Sequence[Outcome]) -> str:
    """One run a repeat, in a folder of that side; returns the folder."""
    for number, outcomes in enumerate(repeats):
        made = results(root / side, f"20260101-00000{number}-abcd")
        for each in outcomes:
            made.add(each)
    return str(root / side)


def judged(verdict: Verdict, **figures: Any) -> Outcome:
    """Hardened, of one invariant with that verdict."""
    return outcome(finding(verdict, reason="" if verdict is HELD else "taint-eviction", **figures))


def of(
    root: Path, base: Sequence[Sequence[Outcome]], candidate: Sequence[Sequence[Outcome]], allow: str = ""
) -> Comparison:
    sides = load_side(root, runs(root, "a", *base)), load_side(root, runs(root, "b", *candidate))
    if not allow:
        return compare(*sides)
    (root / "allow.yaml").write_text(allow)
    return compare(*sides, allowed.load(root / "allow.yaml", TODAY))


@pytest.mark.parametrize(
    ("base", "candidate", "answer", "exit_code"),
    [
        ([HELD], [HELD], Shift.SAME, 0),
        ([HELD], [VIOLATED], Shift.REGRESSED, 1),
        ([HELD], [UNKNOWN], Shift.CANT_TELL, 2),
        ([VIOLATED], [HELD], Shift.BETTER, 0),
        ([UNKNOWN], [HELD], Shift.BETTER, 0),
        ([UNKNOWN], [VIOLATED], Shift.CANT_TELL, 2),
        ([VIOLATED], [VIOLATED], Shift.SAME, 0),
        ([VIOLATED], [UNKNOWN], Shift.CANT_TELL, 2),
        ([HELD] * 5, [HELD] * 4 + [VIOLATED], Shift.REGRESSED, 1),
        ([HELD] * 5, [HELD] * 4 + [UNKNOWN], Shift.CANT_TELL, 2),
        ([HELD] * 4 + [VIOLATED], [HELD] * 3 + [VIOLATED] * 2, Shift.CANT_TELL, 2),
        ([HELD] * 7 + [VIOLATED], [VIOLATED] * 8, Shift.REGRESSED, 1),
        ([HELD] * 4 + [VIOLATED], [HELD] * 4 + [VIOLATED], Shift.SAME, 0),
    ],
)
def test_verdicts(tmp_path: Path, base: list[Verdict], candidate: list[Verdict], answer: Shift, exit_code: int) -> None:
    found = of(tmp_path, [[judged(v)] for v in base], [[judged(v)] for v in candidate])
    assert (found.answer, found.exit_code) == (answer, exit_code)


def test_an_invariant_that_broke_in_a_replay_that_was_violated_before_is_a_regression(tmp_path: Path) -> None:
    def both(second: Verdict) -> Outcome:
        return outcome(broken(), finding(second, name="outage-at-most-2s", reason="outage"), passed=False)

    found = of(tmp_path, [[both(HELD)]], [[both(VIOLATED)]])
    assert found.answer is Shift.REGRESSED
    assert [r.invariant for r in found.verdicts if r.status is Shift.REGRESSED] == ["outage-at-most-2s"]


def test_a_control_that_no_longer_proves_its_check_cant_tell(tmp_path: Path) -> None:
    good, bad = outcome(broken(), control=CONTROL), outcome(finding(), control=CONTROL)
    assert of(tmp_path / "1", [[good]], [[good]]).exit_code == 0
    assert of(tmp_path / "2", [[good]], [[bad]]).exit_code == 2
    assert of(tmp_path / "3", [[good]], [[bad], [good]]).exit_code == 0


@pytest.mark.parametrize(("controls", "notes"), [((), 1), ((outcome(broken(), control=CONTROL),), 0)])
def test_that_no_control_was_run_is_said(tmp_path: Path, controls: Sequence[Outcome], notes: int) -> None:
    found = of(tmp_path, [[judged(HELD)]], [[judged(HELD), *controls]])
    assert sum("no control" in note for note in found.notes) == notes


def test_what_was_measured_of_a_run_makes_no_other_machine_of_it(tmp_path: Path) -> None:
    for side, idle in (("a", "22 %"), ("b", "71 %")):
        made = results(tmp_path / side)
        made.add(judged(HELD))
        made.end({"processors idle": idle})
    a, b = (load_side(tmp_path, str(tmp_path / each)) for each in ("a", "b"))
    assert not any("different machines" in note for note in compare(a, b).notes)
    here = json.loads((tmp_path / "b" / "latest" / "results.json").read_text())
    assert here["measured"] == {"processors idle": "71 %"}
    (tmp_path / "b" / "latest" / "results.json").write_text(json.dumps(here | {"machine": {"cpus": "99"}}))
    elsewhere = compare(a, load_side(tmp_path, str(tmp_path / "b")))
    assert any("different machines (cpus)" in note for note in elsewhere.notes)


def test_a_replay_that_the_candidate_lacks_cant_tell_and_a_new_one_that_held_is_fine(tmp_path: Path) -> None:
    two = [judged(HELD), outcome(broken(), control=CONTROL)]
    assert of(tmp_path / "1", [two], [two[:1]]).exit_code == 2
    assert of(tmp_path / "2", [two[1:]], [two]).exit_code == 0
    assert of(tmp_path / "3", [two[1:]], [[two[1], judged(VIOLATED)]]).exit_code == 2


def recoveries(*values: float) -> list[list[Outcome]]:
    return [[judged(HELD, recovered_s=v)] for v in values]


TEN = (10.0, 10.3, 9.8, 10.1, 9.6)


def test_a_slower_recovery_is_a_regression_with_repeats_and_cant_be_told_without(tmp_path: Path) -> None:
    slower = [v * 1.3 for v in TEN]
    found = of(tmp_path / "5", recoveries(*TEN), recoveries(*slower))
    assert (found.answer, found.exit_code) == (Shift.REGRESSED, 1)
    assert [(r.figure, r.status) for r in found.figures] == [("recovered_s", Shift.REGRESSED)]
    assert of(tmp_path / "1", recoveries(10), recoveries(13)).exit_code == 2
    assert of(tmp_path / "same", recoveries(*TEN), recoveries(*reversed(TEN))).exit_code == 0


def test_repeats_may_be_replays_of_one_run(tmp_path: Path) -> None:
    base, candidate = ([judged(HELD, recovered_s=v * slower) for v in TEN] for slower in (1.0, 1.4))
    assert of(tmp_path, [base], [candidate]).answer is Shift.REGRESSED


def test_figures_of_controls_are_not_compared(tmp_path: Path) -> None:
    def control(outage_ms: float) -> list[Outcome]:
        return [outcome(broken(longest_outage_ms=outage_ms), control=CONTROL)]

    assert not of(tmp_path, [control(9_000)] * 5, [control(90_000)] * 5).figures


def test_what_is_compared_is_decided_by_the_name() -> None:
    figures: dict[str, Figure] = {
        "longest_outage_ms_ordeal-1-worker": 20,
        "longest_outage_ms_ordeal-1-worker2": 900,
        "grown_bytes": 5,
        "grown_bytes_per_200": 7,
        "slowest_mbit_per_s": 900.0,
        "documented_per_s": 0.1,
        "start_p99_s": 3.0,
        "first_s": 4.0,
        "limit_s": 5.0,
        "pods": 6,
        "zone": "a",
    }
    found = compared(SavedFinding("x", "held", "", "", figures))
    assert {name: value for name, (_, value) in found.items()} == {
        "longest_outage_ms": 900.0,
        "grown_bytes": 5.0,
        "slowest_mbit_per_s": 900.0,
        "start_p99_s": 3.0,
    }
    assert found["slowest_mbit_per_s"][0].more_is_better
    assert not found["start_p99_s"][0].more_is_better
    assert not compared(SavedFinding("x", "unknown", "", "", figures))


ENTRY = f"- {{incident: {INCIDENT}, verdict: violated, expires: 2026-06-15, reason: known bug}}\n"


def test_an_allowed_verdict_does_not_count_until_it_expires(tmp_path: Path) -> None:
    worse = [[judged(HELD)]], [[judged(VIOLATED)]]
    found = of(tmp_path / "1", *worse, allow=ENTRY)
    assert found.exit_code == 0
    assert all(r.allowed is not None for r in found.verdicts if r.status is Shift.REGRESSED)
    late = of(tmp_path / "2", *worse, allow=ENTRY.replace("-15", "-14"))
    assert late.exit_code == 1
    assert "has expired and does not count" in summary.markdown(late)
    other = of(tmp_path / "3", *worse, allow=ENTRY.replace("violated", "unknown"))
    assert other.exit_code == 1
    assert "matches nothing that is worse" in summary.markdown(other)


def test_an_allowed_figure_does_not_count(tmp_path: Path) -> None:
    entry = f"- {{incident: {INCIDENT}, figure: recovered_s, expires: 2026-07-01, reason: slower disk}}"
    slower = recoveries(*TEN), recoveries(*(v * 2 for v in TEN))
    assert of(tmp_path / "1", *slower, allow=entry).exit_code == 0
    assert of(tmp_path / "2", *slower, allow=entry.replace("recovered_s", "other_s")).exit_code == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("incident: x", "must be a list"),
        ("- {incident: x, verdict: violated, reason: y}", "entry 1: .*missing required field `expires`"),
        ("- {incident: x, verdict: violated, expires: 2026-01-01}", "missing required field `reason`"),
        ("- {incident: x, verdict: violated, expires: soon, reason: y}", "entry 1: Invalid RFC3339 encoded date"),
        ("- {incident: x, verdict: violated, expires: 2026-01-01, reason: ' '}", "the reason is empty"),
        ("- {incident: x, expires: 2026-01-01, reason: y}", "either a verdict or a figure"),
        ("- {incident: x, figure: a_s, verdict: violated, expires: 2026-01-01, reason: y}", "either a verdict or a"),
        ("- {incident: x, verdict: bad, expires: 2026-01-01, reason: y}", "'bad' is no verdict that can be allowed"),
        ("- {incident: x, verdict: unknown, invariant: z, expires: 2026-01-01, reason: y}", "leave the invariant out"),
        ("- {incident: x, figur: a_s, expires: 2026-01-01, reason: y}", "unknown field `figur`"),
        ("{", "is no YAML"),
    ],
)
def test_a_wrong_allow_list_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "allow.yaml").write_text(content)
    with pytest.raises(OrdealError, match=says):
        allowed.load(tmp_path / "allow.yaml", TODAY)
    with pytest.raises(OrdealError, match="can't be read"):
        allowed.load(tmp_path / "none.yaml", TODAY)


def test_runs_that_cant_be_compared_are_refused(tmp_path: Path) -> None:
    folder = runs(tmp_path, "a", [judged(HELD)])
    one = f"{folder}/20260101-000000-abcd"
    with pytest.raises(OrdealError, match="given twice"):
        load_side(tmp_path, f"{one},{one}/results.json")
    with pytest.raises(OrdealError, match="names no run"):
        load_side(tmp_path, " , ")
    with pytest.raises(OrdealError, match="there are no results at"):
        load_side(tmp_path, "20990101-000000-abcd")
    with pytest.raises(OrdealError, match="nothing was replayed"):
        load_side(tmp_path, runs(tmp_path, "empty", []))


def test_runs_of_two_profiles_are_refused(tmp_path: Path) -> None:
    one, other = runs(tmp_path, "a", [judged(HELD)]), runs(tmp_path, "b", [judged(HELD)])
    path = Path(other) / "20260101-000000-abcd" / "results.json"
    path.write_text(path.read_text().replace('"profile": "smoke"', '"profile": "full"'))
    with pytest.raises(OrdealError, match="profiles full and smoke can't be compared"):
        compare(load_side(tmp_path, one), load_side(tmp_path, other))


def test_runs_by_different_limits_are_refused_and_limits_are_no_figures(tmp_path: Path) -> None:
    own = {"own_limit_s": 5, "shipped_limit_s": 2.0, "longest_s": 1.0}
    same = of(tmp_path / "same", [[judged(HELD, **own)]], [[judged(VIOLATED, **own)]])
    assert same.answer is Shift.REGRESSED
    assert [row.figure for row in same.figures] == ["longest_s"]
    for name, other in (("none", {"longest_s": 1.0}), ("other", {**own, "own_limit_s": 6})):
        says = "different limits can't be compared: nothing-terminated of .* has own_limit_s 5 in one and"
        with pytest.raises(OrdealError, match=says):
            of(tmp_path / name, [[judged(HELD, **own)]], [[judged(HELD, **other)]])


def rows(found: Comparison) -> list[VerdictRow | FigureRow]:
    return [*found.verdicts, *found.figures]


def test_what_results_say_is_text_in_markdown_and_on_the_terminal(tmp_path: Path) -> None:
    evil = Finding("nothing-terminated", VIOLATED, EVIL, "taint-eviction", {"recovered_s": 30.0})
    found = of(tmp_path, recoveries(10), [[outcome(evil, passed=False, why=EVIL)]])
    page = summary.markdown(found)
    assert "<script>" not in page
    assert "**bold**" not in page
    assert all(line.count(" | ") == 4 for line in page.splitlines() if "bold" in line)
    console = Console(width=200, record=True, file=StringIO())
    console.print(summary.terminal(found))
    assert "<script>alert(1)</script>" in console.export_text()


def test_json_says_all_and_can_be_written(tmp_path: Path) -> None:
    found = of(tmp_path, recoveries(*TEN), recoveries(*(v * 1.5 for v in TEN)))
    said = json.loads(json.dumps(summary.as_json(found), allow_nan=False))
    assert (said["answer"], said["exit_code"]) == ("regressed", 1)
    assert said["figures"][0]["figure"] == "recovered_s"
    assert len(said["figures"][0]["base"]) == len(said["base"]["runs"]) == 5
    assert len(said["verdicts"]) + len(said["figures"]) == len(rows(found))


def test_the_command(tmp_path: Path) -> None:
    base = runs(tmp_path, "a", *recoveries(*TEN))
    candidate = runs(tmp_path, "b", *recoveries(*(v * 1.5 for v in TEN)))
    command = CliRunner()
    worse = command.invoke(app, ["compare", base, candidate, "--markdown", str(tmp_path / "page.md")])
    assert (worse.exit_code, "recovered_s" in worse.stdout) == (1, True), worse.output
    assert (tmp_path / "page.md").read_text().startswith("## kube-ordeal: regressed\n")
    assert command.invoke(app, ["compare", candidate, base]).exit_code == 0
    said = command.invoke(app, ["compare", f"{base}/20260101-000000-abcd", candidate, "--json"])
    assert (said.exit_code, json.loads(said.stdout)["answer"]) == (2, "can't tell")
    page = command.invoke(app, ["compare", base, base, "--markdown", "-"])
    assert (page.exit_code, page.stdout.startswith("## kube-ordeal: no worse\n")) == (0, True)
    both = command.invoke(app, ["compare", base, base, "--markdown", "-", "--json"])
    assert (both.exit_code, "both write to standard output" in both.stderr) == (2, True)
    none = command.invoke(app, ["compare", base, str(tmp_path / "none")])
    assert (none.exit_code, "there are no results at" in none.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "1.34.4"], "say what to run: --to VERSION, or --image-to IMAGE"),
        (["--to", "1.34.4"], "say what to run: --from VERSION"),
        (["--from", "1.34.4", "--to", "newest"], "'newest' is not a version"),
        (["--from", "1.34.4", "--to", "1.36.3", "--allow", "none.yaml"], "the allow list none.yaml can't be read"),
    ],
)
def test_a_gate_that_cant_be_run_is_refused_before_it_begins(options: list[str], says: str) -> None:
    refused = CliRunner().invoke(app, ["gate", *options])
    assert refused.exit_code == 2
    assert says in " ".join(refused.stderr.replace("│", " ").split())
