"""What is noise and what is not, with figures whose truth is known."""

from collections.abc import Sequence

import numpy as np
import pytest

from chaos.report.difference import ALPHA, Measured, Shift, differences

FIVE = [10.0, 10.4, 9.7, 10.1, 9.9]


TRIES = 50


def family(seed: int, repeats: int, *, slower: float = 1.0, of_two: bool = True) -> list[Measured]:
    """A comparison as a run of all suites makes one: 25 figures, the first a recovery of 10 s with 5 % of noise.

    The others have 2 to 20 % of noise, or more with a long tail, or are outages that are mostly none at all; every
    tenth falls on one of two values where `of_two`.
    """
    rng = np.random.default_rng(seed)

    def draw(number: int) -> list[float]:
        scale, kind = float(2 + number), number % 10
        if kind == 9 and of_two:
            drawn = scale * rng.choice([1, 2], repeats) + rng.normal(0, 0.02 * scale, repeats)
        elif kind == 8:
            drawn = np.where(rng.random(repeats) < 0.8, 0.0, rng.exponential(2, repeats))
        elif kind == 7:
            drawn = scale * rng.lognormal(0, 0.3, repeats)
        else:
            drawn = rng.normal(scale, (0.02 + 0.02 * kind) * scale, repeats)
        return [float(v) for v in drawn]

    first = Measured(list(rng.normal(10, 0.5, repeats)), list(rng.normal(10 * slower, 0.5 * slower, repeats)), 0.25)
    return [first, *(Measured(draw(n), draw(n), 0.25) for n in range(1, 25))]


def test_a_recovery_that_is_30_percent_slower_is_told_from_noise_by_5_repeats() -> None:
    told = [differences(family(seed, 5, slower=1.3))[0].status for seed in range(TRIES)]
    assert told.count(Shift.REGRESSED) >= 46


def test_noise_is_called_a_regression_no_more_often_than_was_asked_for() -> None:
    told = [[d.status for d in differences(family(seed, 5))] for seed in range(TRIES)]
    assert sum(Shift.REGRESSED in statuses for statuses in told) <= TRIES * ALPHA + 3  # 3: as chance has it
    assert not any(Shift.CANT_TELL in statuses for statuses in told)


def test_two_of_the_same_version_are_not_told_apart_in_20_of_20_tries() -> None:
    for seed in range(20):
        assert Shift.REGRESSED not in {d.status for d in differences(family(seed, 5, of_two=False))}


def one(base: Sequence[float | None], candidate: Sequence[float | None], **options: bool) -> Shift:
    return differences([Measured(base, candidate, 0.25, **options)])[0].status


def test_a_change_that_does_not_matter_is_no_regression_however_clear() -> None:
    assert one([0.100] * 5, [0.105] * 5) is Shift.SAME
    assert one([10.0] * 5, [11.0] * 5) is Shift.SAME
    assert one([10.0] * 5, [12.1] * 5) is Shift.REGRESSED


def test_outages_where_there_were_none_are_a_regression() -> None:
    assert one([0.0] * 5, [2.1, 1.9, 2.0, 2.4, 2.2]) is Shift.REGRESSED
    assert one([0.0] * 5, [0.0, 0.0, 0.0, 0.0, 9.0]) is Shift.NOISE


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_with_few_repeats_what_looks_worse_cant_be_told(repeats: int) -> None:
    found = differences([Measured([10.0] * repeats, [20.0] * repeats, 0.25)], search=True)[0]
    assert found.status is Shift.CANT_TELL
    assert found.seen_from is None
    assert one([10.0] * repeats, [10.1] * repeats) is Shift.SAME


def test_less_is_better_unless_said_otherwise() -> None:
    slower = [v * 1.5 for v in FIVE]
    assert one(FIVE, slower) is Shift.REGRESSED
    assert one(slower, FIVE) is Shift.BETTER
    assert one(FIVE, slower, more_is_better=True) is Shift.BETTER
    assert one(slower, FIVE, more_is_better=True) is Shift.REGRESSED


def test_a_repeat_without_the_figure_is_left_out() -> None:
    assert one([*FIVE, None], [None, *(v * 1.5 for v in FIVE)]) is Shift.REGRESSED
    assert one([*FIVE, 10.0], [None] * 6) is Shift.CANT_TELL
    assert one([None] * 5, FIVE) is Shift.SAME


def test_the_more_figures_the_clearer_one_has_to_be() -> None:
    rng = np.random.default_rng(1)
    alone = Measured([10, 11, 12, 13, 14], [12.5, 13.5, 14.5, 15.5, 16.5], 0.25)
    others = [Measured(list(rng.exponential(5, 5)), list(rng.exponential(5, 5)), 0.25) for _ in range(60)]
    p_alone, p_among = differences([alone])[0].p, differences([alone, *others])[0].p
    assert p_alone is not None
    assert p_among is not None
    assert p_alone < p_among


def test_many_repeats_are_divided_by_lot_and_come_to_the_same_each_time() -> None:
    figures = [Measured(FIVE * 3, [v * 1.4 for v in FIVE] * 3, 0.25)]
    assert differences(figures) == differences(figures)
    assert differences(figures)[0].status is Shift.REGRESSED


def test_what_would_have_been_seen_is_seen() -> None:
    found = differences([Measured(FIVE, FIVE[::-1], 0.25)], search=True)[0]
    assert found.seen_from is not None
    assert one(FIVE, [v + found.seen_from * 1.01 for v in FIVE]) is Shift.REGRESSED
    assert one(FIVE, [v + found.seen_from * 0.9 for v in FIVE]) is not Shift.REGRESSED


def test_nothing_to_compare_is_no_difference() -> None:
    assert differences([]) == ()
