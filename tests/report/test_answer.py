"""Safe is said only where every promise held and every check was proven."""

from pathlib import Path

import pytest

from chaos.judge.base import Verdict
from chaos.judge.conformance import BEFORE, FAILED, FLAKY, NO_IMAGE, PASSED, SKIPPED
from chaos.report.answer import Safe, answer, headline, left_out
from chaos.results.results import Outcome
from chaos.results.saved import LeftOut, SavedRun, load
from chaos.results.specs import ALONE, SpecResult
from tests.report.made import CONTROL, broken, finding, outcome, results

HELD, PROOF = outcome(), outcome(broken(), control=CONTROL)


def run(root: Path, *outcomes: Outcome, ended: bool = True) -> SavedRun:
    made = results(root)
    for each in outcomes:
        made.add(each)
    if ended:
        made.end()
    return load(root)


def test_safe_is_what_held_and_was_proven(tmp_path: Path) -> None:
    said = answer(run(tmp_path, HELD, PROOF))
    assert (said.safe, said.broken, said.doubts) == (Safe.YES, (), ())
    assert (
        said.sentence
        == "Every promise of 1 incident held, and 1 control proved that the checks can fail: 1 of 1 promise broke there"
    )


def test_what_broke_is_named_with_what_proves_its_check(tmp_path: Path) -> None:
    said = answer(run(tmp_path, outcome(broken(), why="nothing-terminated: 6 pods were deleted"), PROOF))
    assert (said.safe, said.sentence) == (Safe.NO, "1 of 1 incident broke: mass-termination")
    (broke,) = said.broken
    assert broke.startswith("mass-termination, hardened, on kind: nothing-terminated: 6 pods were deleted. ")
    assert broke.endswith("That the check can fail is proven by the control default-tolerations.")


@pytest.mark.parametrize(
    ("outcomes", "ended", "doubt"),
    [
        ([], True, "No incident was replayed."),
        ([HELD], True, "No control was violated, so nothing proves that the checks can fail: mass-termination."),
        ([HELD, PROOF], False, "The run has not ended"),
        ([outcome(finding(Verdict.UNKNOWN), why="a gap of 9 s"), PROOF], True, "on kind: a gap of 9 s"),
        (
            [HELD, outcome(finding(), control=CONTROL, why="it was held")],
            True,
            "control default-tolerations, on kind: the check is not proven: it was held",
        ),
    ],
)
def test_what_nobody_knows_is_not_safe(tmp_path: Path, outcomes: list[Outcome], ended: bool, doubt: str) -> None:
    said = answer(run(tmp_path, *outcomes, ended=ended))
    assert said.safe is Safe.UNKNOWN
    assert [each for each in said.doubts if doubt in each] != []


def _spec(state: str, name: str = "a", when: str = ALONE) -> SpecResult:
    return SpecResult("t", when, name, f"spec {name}", "node", state, 1.0)


@pytest.mark.parametrize(
    ("specs", "safe", "says"),
    [
        ([_spec(PASSED), _spec(SKIPPED, "b")], Safe.YES, ""),
        ([_spec(PASSED), _spec(FLAKY, "b")], Safe.NO, "1 of 2 conformance specs did not pass: spec b."),
        (
            [_spec(FAILED, n) for n in "abcde"],
            Safe.NO,
            "5 of 5 conformance specs did not pass: spec a; spec b; spec c; and 2 more.",
        ),
        (
            [_spec(NO_IMAGE), _spec(PASSED, "b")],
            Safe.UNKNOWN,
            "1 conformance spec not tried, or without a result: spec a.",
        ),
        ([_spec(FAILED, when=BEFORE)], Safe.YES, ""),  # judged with its incident
    ],
)
def test_specs_that_were_run_for_themselves_count(
    tmp_path: Path, specs: list[SpecResult], safe: Safe, says: str
) -> None:
    made = results(tmp_path)
    for each in (HELD, PROOF):
        made.add(each)
    made.add_specs(specs)
    made.end()
    said = answer(load(tmp_path))
    assert said.safe is safe
    assert list(said.broken + said.doubts) == [says] * bool(says)
    if safe is Safe.NO:
        assert said.sentence == says.rstrip(".")


def test_specs_alone_are_counted_and_do_not_make_it_safe(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add_specs([_spec(PASSED), _spec(PASSED, "b")])
    made.end()
    said = answer(load(tmp_path))
    assert said.safe is Safe.UNKNOWN
    assert said.sentence.startswith("2 of 2 conformance specs passed. No incident was replayed")


def test_what_can_not_be_read_any_more_is_not_safe(tmp_path: Path) -> None:
    said = answer(run(tmp_path, HELD, PROOF), ["0.jsonl is missing"])
    assert (said.safe, said.doubts) == (Safe.UNKNOWN, ("0.jsonl is missing",))


def test_of_many_files_that_are_gone_some_are_named(tmp_path: Path) -> None:
    said = answer(run(tmp_path, HELD, PROOF), [f"{n}.jsonl is missing" for n in range(9)])
    assert said.doubts[-2:] == ("4.jsonl is missing", "4 further files can't be read, or were edited.")
    assert len(said.doubts) == 6


LEFT = LeftOut("suites/node/test_y.py::test_y[kind-hardened]", "pleg-churn", "it would end 35 s after the budget")
ALSO = LeftOut("suites/node/test_y.py::test_y[kind-control:c]", "pleg-churn", "it would end 50 s after the budget")
MORE = LeftOut(f"{outcome().test}x", "mass-termination", "it is not part of the tour")


def test_left_out_is_not_held(tmp_path: Path) -> None:
    made = results(tmp_path)
    for each in (HELD, PROOF):
        made.add(each)
    made.leave_out([LEFT, ALSO, MORE])
    made.leave_out([LEFT])  # another process says the same
    made.end()
    run = load(tmp_path)
    said = answer(run)
    assert said.safe is Safe.YES
    assert said.sentence == (
        "Of what was replayed: every promise of 1 incident held, and 1 control proved that the checks can fail: "
        "1 of 1 promise broke there; "
        "3 tests left out"
    )
    assert headline(said, run) == "safe, of what was replayed"
    assert left_out(run) == (
        "pleg-churn: 2 tests, and so all of it (it would end 35 s after the budget, among other reasons)",
        "mass-termination: 1 test (it is not part of the tour)",
    )


@pytest.mark.parametrize(
    ("outcomes", "safe", "says"),
    [
        ([outcome(broken()), PROOF], Safe.NO, "Of what was replayed: 1 of 1 incident broke: mass-termination; 1 test"),
        ([HELD], Safe.UNKNOWN, "Of what was replayed: nobody can say that this is safe. "),
    ],
)
def test_what_broke_and_what_is_not_known_is_said_of_what_was_replayed_too(
    tmp_path: Path, outcomes: list[Outcome], safe: Safe, says: str
) -> None:
    made = results(tmp_path)
    for each in outcomes:
        made.add(each)
    made.leave_out([LEFT])
    made.end()
    said = answer(load(tmp_path))
    assert said.safe is safe
    assert said.sentence.startswith(says)
    assert headline(said, load(tmp_path)) == str(safe)


def test_nothing_is_said_of_what_was_left_out_where_nothing_was(tmp_path: Path) -> None:
    whole = run(tmp_path, HELD, PROOF)
    assert (headline(answer(whole), whole), left_out(whole)) == ("safe", ())
