"""Which mutants were found, on literal histories."""

import pytest

from chaos.judge.base import Finding, Verdict
from chaos.record.history import History
from chaos.subjects.zones.promises import NOT_SURVIVED, SURVIVED, mutants_killed, tried
from chaos.subjects.zones.records import MutantTried


def said(mutant: str, seen: tuple[Verdict, str]) -> MutantTried:
    verdict, reason = seen
    return MutantTried(0, mutant, "taints", verdict, reason, "5 of 0")


KILLED, HELD, UNKNOWN = (Verdict.VIOLATED, "beyond-rate"), (Verdict.HELD, ""), (Verdict.UNKNOWN, "x")


def test_killed_with_a_twin_that_lives_holds() -> None:
    history = History.of_records([said("bug", KILLED), said("twin", HELD)])
    assert mutants_killed(["bug"], ["twin"]).judge(history).verdict is Verdict.HELD


def test_one_that_survived_is_named() -> None:
    found = mutants_killed(["bug", "other"]).judge(History.of_records([said("bug", KILLED), said("other", HELD)]))
    assert (found.verdict, found.reason) == (Verdict.VIOLATED, SURVIVED)
    assert "other survived" in found.sentence


def test_a_twin_that_was_blamed_is_named() -> None:
    found = mutants_killed(["bug"], ["twin"]).judge(History.of_records([said("bug", KILLED), said("twin", KILLED)]))
    assert (found.verdict, found.reason) == (Verdict.VIOLATED, NOT_SURVIVED)


@pytest.mark.parametrize("records", [[], [said("bug", UNKNOWN)]])
def test_what_was_not_judged_is_unknown(records: list[MutantTried]) -> None:
    assert mutants_killed(["bug"]).judge(History.of_records(records)).verdict is Verdict.UNKNOWN


def test_no_mutant_proves_nothing() -> None:
    assert mutants_killed([]).judge(History.of_records([])).verdict is Verdict.UNKNOWN


def test_what_a_replay_said_is_written_down() -> None:
    findings = [Finding("taints", Verdict.VIOLATED, "5 of 0", "beyond-rate"), Finding("pods", Verdict.HELD, "all")]
    assert tried(1, "bug", "taints", findings).told() == "violated taints because beyond-rate: 5 of 0"
    assert tried(1, "bug", "pods", findings).told() == "held pods because it holds: all"
    assert tried(1, "bug", "nodes", findings).told() == "unknown nodes because it was not judged"
