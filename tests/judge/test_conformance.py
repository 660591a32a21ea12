"""still-conforms and conforms-during, on literal histories."""

from typing import Any

import pytest

from chaos.judge.base import Finding, Recipe, Verdict, judge, made_again
from chaos.judge.conformance import (
    AFTER,
    BEFORE,
    DOES_NOT,
    DURING,
    FAILED,
    FLAKY,
    LATE,
    LOST,
    NO_IMAGE,
    NO_LONGER,
    NOT_DURING,
    PASSED,
    SKIPPED,
    conforms_during,
    still_conforms,
)
from chaos.record.history import History
from chaos.record.records import FaultStep, SpecRun
from chaos.record.registry import Record

DNS, PODS = "[sig-network] DNS answers", "[sig-node] Pods run"


def ran(when: str, spec: str, state: str, message: str = "", tries: int = 1, at: float = 1.0) -> SpecRun:
    return SpecRun(at, when, spec, state, 2.0, "network", message, tries)


def judged(*records: Record, before: bool = True, specs: tuple[str, ...] = (DNS, PODS)) -> Finding:
    return judge(still_conforms(specs, before=before), History.of_records(records))


def both(dns_before: str, dns_after: str, message: str = "") -> list[SpecRun]:
    return [
        ran(BEFORE, DNS, dns_before),
        ran(BEFORE, PODS, PASSED),
        ran(AFTER, DNS, dns_after, message),
        ran(AFTER, PODS, PASSED),
    ]


def test_what_passed_before_and_after_is_held() -> None:
    finding = judged(*both(PASSED, PASSED))
    assert finding.verdict is Verdict.HELD
    assert finding.sentence == "2 specs that passed before pass after"
    assert finding.figures == {
        "specs": 2,
        "passed_after": 2,
        "after_s": 4.0,
        "passed_before": 2,
        "before_s": 4.0,
    }


@pytest.mark.parametrize("after", [FAILED, LATE, FLAKY])
def test_what_passed_before_and_does_not_after_is_violated_with_upstreams_message(after: str) -> None:
    finding = judged(*both(PASSED, after, "service is not reachable\nmore lines"))
    assert (finding.verdict, finding.reason) == (Verdict.VIOLATED, NO_LONGER)
    assert finding.sentence == (f"1 of 2 specs passed before and not after: {DNS} (service is not reachable)")
    proof: tuple[Any, ...] = finding.proof
    assert [r.round for r in proof] == [BEFORE, AFTER]


def test_a_pass_on_a_retry_is_told_as_such() -> None:
    runs = [*both(PASSED, PASSED)[:2], ran(AFTER, DNS, FLAKY, tries=2), ran(AFTER, PODS, PASSED)]
    assert "passed only on try 2" in judged(*runs).sentence


@pytest.mark.parametrize(
    ("after", "said"), [(SKIPPED, "was skipped"), (NO_IMAGE, "an image could not be had"), (LOST, "has no end")]
)
def test_what_can_not_be_told_is_unknown_not_passed(after: str, said: str) -> None:
    finding = judged(*both(PASSED, after, "because"))
    assert finding.verdict is Verdict.UNKNOWN
    assert said in finding.sentence


def test_a_spec_that_was_not_run_afterwards_is_unknown() -> None:
    finding = judged(*both(PASSED, PASSED)[:3])
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.sentence == f"{PODS} was not run after"


@pytest.mark.parametrize("after", [PASSED, FAILED])
def test_what_had_failed_before_does_not_count_and_is_told(after: str) -> None:
    finding = judged(*both(FAILED, after))
    assert finding.verdict is Verdict.HELD
    assert "1 others had not passed before" in finding.sentence


def test_what_had_no_end_before_and_fails_after_is_unknown() -> None:
    finding = judged(*both(LOST, FAILED))
    assert finding.verdict is Verdict.UNKNOWN
    assert "has no end before" in finding.sentence


def test_nothing_that_passed_before_shows_nothing() -> None:
    runs = [ran(BEFORE, DNS, FAILED), ran(AFTER, DNS, FAILED)]
    finding = judged(*runs, specs=(DNS,))
    assert finding.verdict is Verdict.UNKNOWN
    assert "none of 1 specs passed before" in finding.sentence


def test_without_before_a_failure_says_only_that_it_does_not_conform() -> None:
    runs = both(PASSED, FAILED, "no answer")[2:]
    assert judged(*runs, before=False).reason == DOES_NOT
    assert judged(ran(AFTER, DNS, PASSED), ran(AFTER, PODS, PASSED), before=False).verdict is Verdict.HELD


def test_no_specs_are_no_proof() -> None:
    assert judged(specs=()).verdict is Verdict.UNKNOWN


def test_it_is_made_again_from_its_recipe() -> None:
    invariant = still_conforms((DNS,), before=True)
    assert invariant.recipe == Recipe("still_conforms", {"specs": [DNS], "before": True})
    assert judge(made_again(invariant.recipe), History.of_records([])).verdict is Verdict.UNKNOWN


class TestDuring:
    FAULT = (FaultStep(1.0, "power-off", "landed"), FaultStep(9.0, "power-off", "undone"))

    def judged(self, *records: Record, specs: tuple[str, ...] = ("pods",)) -> Finding:
        return judge(conforms_during(specs, fault="power-off"), History.of_records(records))

    def test_all_tries_inside_the_fault_count(self) -> None:
        finding = self.judged(*self.FAULT, ran(DURING, "pods", PASSED, at=2), ran(DURING, "pods", PASSED, at=5))
        assert (finding.verdict, finding.figures["tried"]) == (Verdict.HELD, 2)

    def test_one_that_failed_is_violated(self) -> None:
        finding = self.judged(*self.FAULT, ran(DURING, "pods", FAILED, "refused", at=2))
        assert (finding.verdict, finding.reason) == (Verdict.VIOLATED, NOT_DURING)
        assert "1.0 s after the fault landed: refused" in finding.sentence

    @pytest.mark.parametrize("at", [0.5, 8.5, 12])
    def test_a_try_outside_of_the_fault_shows_nothing(self, at: float) -> None:
        assert self.judged(*self.FAULT, ran(DURING, "pods", PASSED, at=at)).verdict is Verdict.UNKNOWN

    def test_a_fault_that_never_landed_is_unknown(self) -> None:
        assert self.judged(ran(DURING, "pods", PASSED)).verdict is Verdict.UNKNOWN

    def test_each_check_must_have_been_tried(self) -> None:
        finding = self.judged(*self.FAULT, ran(DURING, "pods", PASSED, at=2), specs=("pods", "services"))
        assert finding.verdict is Verdict.UNKNOWN
        assert "services" in finding.sentence


def test_of_two_doubts_the_first_is_said_and_both_are_proof() -> None:
    runs = [*both(PASSED, SKIPPED, "no cloud")[:3], ran(AFTER, PODS, NO_IMAGE, "no network")]
    finding = judged(*runs)
    assert finding.sentence == f"{DNS} was skipped after: no cloud"
    assert finding.proof == tuple(runs[2:])


def test_a_spec_that_was_not_run_before_is_unknown_and_has_no_time() -> None:
    finding = judged(*both(PASSED, FAILED)[1:])
    assert (finding.verdict, finding.sentence) == (Verdict.UNKNOWN, f"{DNS} was not run before")
    assert finding.proof == ()
    passed = judged(*both(PASSED, PASSED)[1:])
    assert (passed.verdict, passed.figures["passed_before"]) == (Verdict.HELD, 1)
    assert passed.sentence == "1 specs that passed before pass after; 1 others had not passed before"


def test_a_violation_tells_times_how_many_and_the_first() -> None:
    runs = [
        ran(BEFORE, DNS, PASSED), SpecRun(1.0, BEFORE, PODS, PASSED, 0.12345, "network"),
        SpecRun(9.0, AFTER, DNS, LATE, 30.5, "network"), ran(AFTER, PODS, FAILED, "\n refused \nmore"),
    ]  # fmt: skip
    finding = judged(*runs)
    assert finding.sentence == f"2 of 2 specs passed before and not after: {DNS} (not over after 30 s), and 1 more"
    assert finding.figures == {
        "specs": 2,
        "passed_after": 0,
        "after_s": 32.5,
        "passed_before": 2,
        "before_s": 2.123,
    }
    assert finding.proof == (*runs[:2], *runs[2:])
    alone = judged(ran(AFTER, DNS, FAILED, "x" * 300), before=False, specs=(DNS,))
    assert alone.sentence == f"1 of 1 specs do not pass after: {DNS} ({'x' * 198} …)"
    assert alone.figures == {"specs": 1, "passed_after": 0, "after_s": 2.0}
    assert judged(ran(AFTER, DNS, FAILED, "x" * 200), before=False, specs=(DNS,)).sentence.endswith(f"({'x' * 200})")
    said = judged(ran(AFTER, DNS, LOST), before=False, specs=(DNS,)).sentence
    assert said == f"{DNS} has no end after: no reason was given"


def test_the_tries_of_a_faults_time_are_counted() -> None:
    landed = (FaultStep(1.0, "power-off", "landed"), FaultStep(9.0, "power-off", "undone"))
    before = ran(AFTER, "pods", FAILED, at=2)
    tries = [
        ran(DURING, "pods", PASSED, at=1.0),
        ran(DURING, "pods", FAILED, "no", at=3),
        ran(DURING, "pods", LATE, at=7.0),
    ]
    broken = judge(conforms_during(["pods"], fault="power-off"), History.of_records([*landed, before, *tries]))
    assert broken.sentence == "pods failed 2.0 s after the fault landed: no; 2 of 3 tries did not pass"
    assert (broken.figures, broken.proof) == ({"tried": 3, "passed": 1, "specs": 1}, tuple(tries[1:]))
    held = judge(conforms_during(["pods"], fault="power-off"), History.of_records([*landed, before, tries[0]]))
    assert held.sentence == "1 checks passed all 1 tries while the fault power-off lasted"
    none = judge(conforms_during([], fault="power-off"), History.of_records([*landed]))
    assert none.sentence == "not tried while the fault power-off lasted: anything"


def test_times_have_three_digits() -> None:
    run = SpecRun(9.0, AFTER, DNS, PASSED, 0.12345, "network")
    assert judged(run, before=False, specs=(DNS,)).figures == {"specs": 1, "passed_after": 1, "after_s": 0.123}
