"""What a comparison says of itself: what it could have seen, and how often it is wrong on equal versions."""

import json
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from chaos.report import summary
from chaos.report.compare import Comparison, EqualVersions, Side, compare
from chaos.report.difference import ALPHA, Measured, Shift, differences
from chaos.report.equal_versions import measured, with_equal_versions
from chaos.report.smallest import enough_repeats, said, smallest_change
from chaos.results.past import PastRun, as_saved
from chaos.results.saved import SavedRun
from tests.results.past_made import judged, past, replayed

SOME = (10_000, 10_400, 9_700, 10_100, 9_900)


def run(number: int, value: float, cpus: str = "2", **more: Any) -> PastRun:
    return past(number, replayed(judged(longest_outage_ms=value, **more)), cpus=cpus)


def side(runs: Sequence[PastRun]) -> Side:
    return Side(tuple(SavedRun(each.id, Path(each.id), {"cpus": each.cpus}, as_saved(each)) for each in runs))


def of(base: Sequence[float], candidate: Sequence[float], **more: Any) -> Comparison:
    return compare(
        side([run(n, value, **more) for n, value in enumerate(base)]),
        side([run(100 + n, value, **more) for n, value in enumerate(candidate)]),
    )


# --- the smallest change


@pytest.mark.parametrize("seed", range(2))
def test_the_smallest_change_of_a_figure_is_told_and_a_bit_less_is_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    figures = [Measured(list(rng.normal(m, m / 10, 5)), list(rng.normal(m, m / 10, 5)), 0.25) for m in (2, 10, 40)]
    for at, (figure, found) in enumerate(zip(figures, differences(figures, search=True), strict=True)):
        assert found.base is not None
        assert found.candidate is not None
        assert found.seen_from is not None
        back = found.base - found.candidate
        for part, seen in ((1.0, True), (0.98, False)):
            shift = back + part * found.seen_from
            moved = Measured(figure.base, [v + shift for v in figure.candidate if v is not None], figure.least)
            status = differences([*figures[:at], moved, *figures[at + 1 :]])[at].status
            assert (status is Shift.REGRESSED) is seen


def test_it_is_searched_for_where_it_is_asked_for_alone() -> None:
    figures = [Measured(SOME, SOME[::-1], 250.0)]
    assert differences(figures)[0].seen_from is None
    assert differences(figures, search=True)[0].seen_from is not None


@pytest.mark.parametrize("more_is_better", [True, False])
def test_the_direction_does_not_matter(more_is_better: bool) -> None:
    (found,) = differences([Measured(SOME, SOME[::-1], 250.0, more_is_better)], search=True)
    assert found.seen_from == pytest.approx(2004, rel=0.02)


@pytest.mark.parametrize("scale", [1e-170, 1e-9, 1e12, 1e150])
def test_figures_of_any_size_have_one_or_none(scale: float) -> None:
    (found,) = differences([Measured([v * scale for v in SOME], [v * scale for v in SOME], 250.0)], search=True)
    assert found.seen_from is None or found.seen_from >= 250.0


def test_the_median_over_figures_is_told_as_a_part_of_the_base() -> None:
    change = smallest_change(of(SOME, SOME[::-1], probes=100.0))
    assert (change.base_repeats, change.candidate_repeats, change.figures, change.small, change.blind) == (
        5,
        5,
        1,
        0,
        0,
    )
    assert change.median == pytest.approx(0.2, rel=0.02)
    assert said(change, ALPHA) == (
        "Smallest change that 5 and 5 repeats could have shown as a regression: 20% of the base in the median of "
        "1 figure."
    )


def test_figures_with_a_base_near_0_are_told_apart() -> None:
    change = smallest_change(of(SOME, SOME[::-1], recovered_s=0.0, started_s=0.1))
    assert (change.figures, change.small) == (1, 2)
    assert change.small_median == pytest.approx(1.0, rel=0.02)
    assert "for 2 figures with a base near 0 1.0 times what matters in their unit" in said(change, ALPHA)


def test_too_few_repeats_could_have_shown_nothing() -> None:
    change = smallest_change(of(SOME[:3], SOME[:3]))
    assert (change.figures, change.blind, change.median) == (0, 1, None)
    assert said(change, ALPHA).endswith("none, however large; there have to be 4 of each.")
    assert [enough_repeats(alpha) for alpha in (0.05, 0.02, 0.0001)] == [3, 4, 8]


def test_without_a_figure_that_is_told() -> None:
    nothing = side([past(0, replayed(judged(probes=3)))])
    assert said(smallest_change(compare(nothing, nothing)), ALPHA).endswith("none, for no figure was compared.")


# --- how often it is wrong


def test_runs_of_one_version_are_dealt_to_two_sides() -> None:
    runs = [run(n, 10_000 + 100 * (n % 4)) for n in range(12)]
    found = measured(runs, of(SOME, SOME[::-1]), deals=20)
    assert (found.deals, found.wrong, found.runs, found.why) == (20, 0, 12, "")
    assert "Kubernetes 1.34.4" in found.version


def test_verdicts_that_come_and_go_make_it_wrong_and_a_seed_has_it_again() -> None:
    def flaky(number: int) -> PastRun:
        return past(number, replayed(judged("violated" if number == 3 else "held", longest_outage_ms=5.0)))

    runs, compared = [flaky(n) for n in range(10)], of(SOME, SOME[::-1])
    found = measured(runs, compared, deals=20)
    assert 5 <= found.wrong <= 15, "it is in the candidate half of the times"
    assert measured(runs, compared, deals=20) == found
    assert measured(runs, compared, seed=1, deals=20).wrong != found.wrong


def test_of_several_versions_the_one_with_the_most_runs_counts() -> None:
    mine = [run(n, 5.0) for n in range(10)]
    newer = [past(20 + n, replayed(judged(longest_outage_ms=5.0), kubernetes="1.36.3")) for n in range(11)]
    found = measured([*mine, *newer], of(SOME, SOME[::-1]), deals=1)
    assert found.runs == 11
    assert "1.36.3" in found.version


@pytest.mark.parametrize(
    ("runs", "has"),
    [
        ([run(n, 5.0) for n in range(9)], 9),
        ([run(n, 5.0, cpus="8") for n in range(20)], 0),
        ([past(n, replayed(judged(longest_outage_ms=5.0), profile="full")) for n in range(20)], 0),
        ([past(n, replayed(judged(longest_outage_ms=5.0), replay="another")) for n in range(20)], 0),
        ([], 0),
    ],
)
def test_with_too_few_runs_it_is_not_measured(runs: Sequence[PastRun], has: int) -> None:
    found = measured(runs, of(SOME, SOME[::-1]))
    assert not found.deals
    assert found.why.startswith(f"the history has {has} runs of one version")
    assert found.why.endswith("and 10 are needed")


def test_between_machines_of_different_size_it_is_not_measured() -> None:
    other = [msgspec.structs.replace(run(100 + n, value), cpus="8") for n, value in enumerate(SOME)]
    compared = compare(side([run(n, value) for n, value in enumerate(SOME)]), side(other))
    assert "different numbers of processors" in measured([run(n, 5.0) for n in range(20)], compared).why


# --- where it stands


@pytest.mark.parametrize(
    ("equal", "says"),
    [
        (EqualVersions(why="no history of runs was named"), "not measured here (no history of runs was named)"),
        (EqualVersions(100, 3, 12, "Kubernetes 1.34.4", 7), "3 of 100 times that 12 runs of the history, all with"),
    ],
)
def test_both_stand_at_the_top_in_every_form(equal: EqualVersions, says: str) -> None:
    compared = replace(of(SOME, SOME[::-1]), equal_versions=equal)
    first, second = summary.head(compared)
    assert first.startswith("Smallest change that 5 and 5 repeats")
    assert says in second
    screen = StringIO()
    Console(file=screen, width=400).print(summary.terminal(compared))
    assert [line.rstrip() for line in screen.getvalue().splitlines()[:2]] == [first, second]
    lines = summary.markdown(compared).splitlines()
    assert [lines[4][:30], lines[5][:8]] == [f"- {first}"[:30], f"- {second}"[:8]]
    told = json.loads(json.dumps(summary.as_json(compared), allow_nan=False))
    assert told["smallest_change"]["median"] == pytest.approx(0.2, rel=0.02)
    assert told["equal_versions"]["measured"] is not bool(equal.why)


def test_without_a_history_nothing_is_measured() -> None:
    compared = of(SOME, SOME)
    assert with_equal_versions(compared, None) is compared
    assert "are needed" in with_equal_versions(compared, []).equal_versions.why
