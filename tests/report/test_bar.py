"""What SIG Release asks of blocking jobs, asked of our own runs."""

from collections.abc import Sequence

import pytest

from chaos.errors import OrdealError
from chaos.report.bar import SOURCE, as_json, bar, sentences
from chaos.results.past import PastRun
from tests.results.past_made import judged, past, replayed

GREEN, RED = replayed(judged()), replayed(judged("violated"))
DAY = 24


def runs(passed: Sequence[bool], minutes: float = 60.0) -> list[PastRun]:
    """One a day."""
    return [past(DAY * n, GREEN if each else RED, duration_s=60 * minutes) for n, each in enumerate(passed)]


@pytest.mark.parametrize(
    ("passed", "percent", "in_a_row", "met"),
    [
        ([True], 100, 0, (True, True, True)),
        ([True, True, True, False], 75, 1, (True, True, True)),
        ([True, True, False, False], 50, 2, (False, True, True)),
        ([False] * 10 + [True] * 7, 100, 10, (True, True, True)),
        ([False] * 11 + [True] * 7, 100, 11, (True, True, False)),
        ([True, *[False] * 3, True, *[False] * 2], 28.6, 3, (False, True, True)),
    ],
)
def test_of_the_last_week_so_many_passed_and_so_many_failed_in_a_row(
    passed: list[bool], percent: float, in_a_row: int, met: tuple[bool, bool, bool]
) -> None:
    stands = bar(runs(passed))
    assert round(stands.passed_percent, 1) == percent
    assert (stands.failed_in_a_row, stands.met) == (in_a_row, met)


def test_a_week_is_seven_days_that_end_with_the_newest_run() -> None:
    stands = bar(runs([False] * 3 + [True] * 7))
    assert (stands.week_runs, stands.week_passed, stands.runs) == (7, 7, 10)
    assert (stands.week_from, stands.week_until) == ("2026-01-03 00:00 UTC", "2026-01-10 00:00 UTC")


def test_three_of_four_durations_have_to_be_short() -> None:
    long = [past(n, GREEN, duration_s=60.0 * (150 if n == 3 else 100)) for n in range(4)]
    assert (bar(long).p75_min, bar(long).met[1]) == (100, True)
    two = [past(n, GREEN, duration_s=60.0 * (150 if n > 1 else 100)) for n in range(4)]
    assert (bar(two).p75_min, bar(two).met[1]) == (150, False)


def test_it_is_told_with_what_is_asked_and_by_whom() -> None:
    stands = bar(runs([True, True, False, False], minutes=121))
    told = sentences(stands)
    assert "2 of 4 runs, 50 %; asked are 75 %: NOT kept" in told[0]
    assert "121 min; asked are at most 120 min: NOT kept" in told[1]
    assert "of all that are kept (4): 2; asked are at most 10: kept" in told[2]
    assert SOURCE in told[3]
    assert as_json(stands)["passed_percent"] == {"is": 50.0, "at_least": 75.0, "kept": False}


def test_of_no_run_nothing_can_be_said() -> None:
    with pytest.raises(OrdealError, match="holds no run"):
        bar([])
