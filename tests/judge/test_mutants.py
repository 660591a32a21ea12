"""Which mutants were found, on literal histories."""

import pytest

from chaos.judge.base import Finding, Verdict
from chaos.judge.mutants import NOT_SURVIVED, SURVIVED, MutantTried, mutants_killed, tried
from chaos.record.history import History


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


def test_mutants_and_twins_are_counted() -> None:
    all_of_it = [said("bug", KILLED), said("other", KILLED), said("twin", HELD)]
    held = mutants_killed(["bug", "other"], ["twin"]).judge(History.of_records(all_of_it))
    assert held.figures == {"mutants": 2, "twins": 1}
    assert held.sentence == "all 2 mutants were found, no twin was blamed"
    one = mutants_killed(["bug", "other"], ["twin"]).judge(History.of_records([*all_of_it[:1], said("other", HELD)]))
    assert (one.figures, one.proof) == ({"mutants": 2, "found": 1}, (said("other", HELD),))
    assert one.sentence == "other survived (held taints because it holds: 5 of 0)"
    blamed = mutants_killed(["bug"], ["twin"]).judge(History.of_records([said("bug", KILLED), said("twin", KILLED)]))
    assert blamed.figures == {"mutants": 1, "found": 1}
    assert blamed.sentence.startswith("twin was blamed (violated taints")


def test_what_could_not_be_judged_is_named_with_why() -> None:
    unsure = mutants_killed(["bug"], ["twin"]).judge(History.of_records([said("bug", KILLED), said("twin", UNKNOWN)]))
    assert unsure.verdict is Verdict.UNKNOWN
    assert unsure.sentence == "whether it is found could not be judged for twin (unknown taints because x: 5 of 0)"
    missing = mutants_killed(["bug"], ["twin"]).judge(History.of_records([said("bug", KILLED)]))
    assert missing.sentence == "whether it is found could not be judged for twin"
    assert mutants_killed([]).judge(History.of_records([])).sentence.endswith("judged for any mutant")
