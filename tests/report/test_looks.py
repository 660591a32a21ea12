"""The gate's looks: what ends it, what needs no more repeats, and how often noise ends it, with a known truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from chaos.judge.base import Figure, Verdict
from chaos.report import allowed
from chaos.report.compare import Side
from chaos.report.difference import ALPHA
from chaos.report.looks import FIRST_LOOK, Plan, Standing, look
from chaos.results.results import Outcome
from chaos.results.saved import SavedFinding, SavedOutcome, SavedRun, load
from tests.report.made import CONTROL, broken, finding, outcome, results
from tests.report.test_compare import TODAY
from tests.report.test_difference import family

TRIES = 12
SHOWN = outcome(broken(), control=CONTROL)
HELD_TEST, CONTROL_TEST = outcome().test, SHOWN.test


def side(root: Path, *repeats: Sequence[Outcome]) -> Side:
    runs = []
    for number, outcomes in enumerate(repeats):
        made = results(root, f"20260101-00000{number}-abcd")
        for each in outcomes:
            made.add(each)
        made.end()
        runs.append(load(root, made.directory.name))
    return Side(tuple(runs))


def at(seconds: float) -> Outcome:
    return outcome(finding(took_s=seconds))


def looked(tmp_path: Path, base: Sequence[Sequence[Outcome]], candidate: Sequence[Sequence[Outcome]]) -> Standing:
    return look(side(tmp_path / "a", *base), side(tmp_path / "b", *candidate), repeats=5, alpha=ALPHA)


def test_a_broken_promise_ends_it_after_the_first_repeat(tmp_path: Path) -> None:
    violated = outcome(finding(Verdict.VIOLATED, reason="evicted", sentence="6 pods went"))
    said = looked(tmp_path, [[outcome(), SHOWN]], [[violated, SHOWN]])
    assert said.over.startswith("a promise is broken: mass-termination on kind: held in the base, violated in the cand")
    both = looked(tmp_path / "both", [[violated]], [[violated]])
    assert both.over == ""


def test_what_is_allowed_ends_nothing(tmp_path: Path) -> None:
    violated = outcome(finding(Verdict.VIOLATED, reason="evicted"))
    rule = tmp_path / "allow.yaml"
    rule.write_text(
        "- {incident: mass-termination, verdict: violated, expires: 2027-01-01, reason: mended in the next patch}\n"
    )
    sides = side(tmp_path / "a", [outcome()]), side(tmp_path / "b", [violated])
    assert look(*sides, repeats=5, alpha=ALPHA).over != ""
    assert look(*sides, repeats=5, alpha=ALPHA, allow=allowed.load(rule, TODAY)).over == ""


def test_a_control_that_has_proven_its_check_on_both_sides_is_not_run_again(tmp_path: Path) -> None:
    said = looked(tmp_path, [[outcome(), SHOWN]], [[outcome(), SHOWN]])
    assert said == Standing("", (CONTROL_TEST,), 0.0)
    unproven = outcome(finding(), control=CONTROL, passed=False)
    assert looked(tmp_path / "not", [[outcome(), SHOWN]], [[outcome(), unproven]]).closed == ()


def test_a_replay_is_closed_when_no_figure_of_it_can_become_a_regression(tmp_path: Path) -> None:
    alike = [[at(s), SHOWN] for s in (10.0, 10.2, 9.9, 10.1)]
    assert looked(tmp_path, alike[:3], alike[:3]).closed == (CONTROL_TEST,)
    said = looked(tmp_path / "four", alike, alike)
    assert said.over == "verdicts were the same 4 times, and no figure can become a regression"
    assert {*said.closed} == {HELD_TEST, CONTROL_TEST}


def test_a_figure_that_may_still_become_one_is_measured_again(tmp_path: Path) -> None:
    base, slow = ([[at(s), SHOWN] for s in values] for values in ((10, 10.2, 9.9, 10.1), (14, 14.2, 13.9, 14.1)))
    said = looked(tmp_path, base, slow)
    assert (said.over, said.closed) == ("", (CONTROL_TEST,))


def test_a_replay_of_which_something_is_not_known_stays_open(tmp_path: Path) -> None:
    unknown = outcome(finding(Verdict.UNKNOWN))
    alike = [[at(10.0), SHOWN]] * FIRST_LOOK
    assert HELD_TEST not in looked(tmp_path, alike, [*alike[:3], [unknown, SHOWN]]).closed


@pytest.mark.parametrize(
    ("repeats", "early"),
    [(4, ()), (5, ()), (6, (5,)), (8, (6, 7)), (10, (6, 7, 8, 9))],
)
def test_the_error_is_kept_over_all_looks(repeats: int, early: tuple[int, ...]) -> None:
    plan = Plan(repeats, ALPHA)
    assert plan.early == early
    assert sum(plan.at(each) for each in range(1, repeats + 1)) == pytest.approx(ALPHA)
    assert plan.at(FIRST_LOOK - 1) == 0.0
    assert plan.at(repeats) == pytest.approx(ALPHA * (0.75 if early else 1))


def measured(seed: int, repeats: int, slower: float = 1.0) -> tuple[list[SavedRun], list[SavedRun]]:
    """The runs of both sides as the figures of `family` make them, each a finding of one replay."""
    figures = family(seed, repeats, slower=slower, of_two=False)
    sides: tuple[list[SavedRun], list[SavedRun]] = ([], [])
    for which, runs in enumerate(sides):
        for repeat in range(repeats):
            values: dict[str, Figure] = {}
            for number, figure in enumerate(figures):
                value = (figure.base if which == 0 else figure.candidate)[repeat]
                values[f"figure{number}_s"] = value if value is not None else 0.0
            replay = SavedOutcome(
                id="i",
                replay="",
                cluster="kind",
                kubernetes="1.34.4",
                profile="smoke",
                control="",
                verdict="held",
                passed=True,
                duration_s=1.0,
                why="",
                tables={},
                findings=(SavedFinding("all", "held", "", "", values),),
                test="t",
            )
            runs.append(SavedRun(f"{which}-{repeat}", Path("results.json"), {}, (replay,)))
    return sides


def ended(seed: int, repeats: int, slower: float = 1.0) -> tuple[int, str]:
    """After how many repeats a gate ends, and why; "" where it goes to its end and calls nothing a regression."""
    base, candidate = measured(seed, repeats, slower)
    for done in range(FIRST_LOOK, repeats + 1):
        said = look(Side(tuple(base[:done])), Side(tuple(candidate[:done])), repeats=repeats, alpha=ALPHA)
        if said.over:
            return done, said.over
    return repeats, ""


@pytest.mark.parametrize("repeats", [5, 6])
def test_noise_ends_a_gate_as_a_regression_no_more_often_than_was_asked_for(repeats: int) -> None:
    said = [ended(seed, repeats)[1] for seed in range(TRIES)]
    assert sum("regressed" in each for each in said) <= TRIES * ALPHA + 2  # 2: as chance has it


def test_what_is_slower_is_found_with_fewer_repeats_than_were_asked_for() -> None:
    found = [ended(1000 + seed, 6, slower=1.5) for seed in range(TRIES)]
    assert sum("regressed: i on kind, figure0_s" in why for _, why in found) >= TRIES * 0.9
    assert float(np.median([done for done, _ in found])) < 6
