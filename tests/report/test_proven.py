"""What a run has shown of its checks: broken where it is declared, declared and not seen, seen and not declared."""

from dataclasses import replace
from pathlib import Path

from chaos.judge.base import Verdict
from chaos.judge.catalogue import find
from chaos.report.proven import checked, counted, in_run, table
from chaos.results.results import Results
from chaos.results.saved import SavedRun, load
from tests.report.made import CONTROL, INCIDENT, broken, finding, outcome, results

OUTAGE = "outage-at-most-2s"
RESTARTED = "no-container-restarted"
MUTANT = "all-nodes-away-ignored"


def run(made: Results) -> SavedRun:
    return load(made.directory.parent)


def test_what_a_control_was_seen_to_break(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome(finding(), finding(name=OUTAGE), finding(name=RESTARTED)))
    more = (finding(Verdict.VIOLATED, name=OUTAGE), finding(Verdict.VIOLATED, name=RESTARTED))
    made.add(outcome(broken(), *more, control=CONTROL))
    terminated, outage, restarted = in_run(run(made))
    assert (terminated.controls, terminated.is_seen) == ((CONTROL,), True)
    assert outage.controls == (CONTROL,), "declared to be broken in it too"
    assert (restarted.is_seen, restarted.undeclared) == (False, (CONTROL,)), "nobody has said why"
    assert counted([terminated, outage, restarted]) == (
        "2 of 3 promises were seen to break in a control or under a mutant; the others are proven 1 by saboteurs"
    )


def test_what_a_failed_control_shows_is_no_proof(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome())
    made.add(outcome(broken(), control=CONTROL, passed=False, verdict=Verdict.UNKNOWN, why="interrupted"))
    (terminated,) = in_run(run(made))
    assert not terminated.is_seen
    assert terminated.elsewhere[0] == f"control {CONTROL}"


def test_a_mutant_that_was_found_and_one_that_was_not(tmp_path: Path) -> None:
    row = {"mutant": MUTANT, "judged by": "taints-taken-back", "verdict": "violated"}
    made = results(tmp_path)
    made.add(replace(outcome(), tables={"mutants": [row]}))
    (found,) = checked([run(made)], find(INCIDENT), ["taints-taken-back"])
    assert (found.mutants, found.elsewhere) == ((MUTANT,), ())
    (unseen,) = checked([], find(INCIDENT), ["taints-taken-back"])
    assert unseen.elsewhere[0].startswith(f"mutant {MUTANT}")


def test_the_table_has_a_row_for_each(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome(finding(), finding(name=OUTAGE)))
    made.add(outcome(broken(), finding(name=OUTAGE), control=CONTROL))
    lines = table(in_run(run(made)))
    assert lines[0] == "| incident | promise | seen broken in | declared, and not seen | seen, and not declared |"
    assert lines[2] == f"| {INCIDENT} | nothing-terminated | control {CONTROL} |  |  |"
    assert lines[3] == f"| {INCIDENT} | {OUTAGE} |  | control {CONTROL} |  |"


def test_what_is_declared_is_kept_with_a_run(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome())
    assert run(made).incident(INCIDENT) == find(INCIDENT)
