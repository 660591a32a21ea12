"""Ranges say exactly the numbers they were made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.writers.ranges import numbers_in, ranges_of


@given(st.sets(st.integers(1, 60)))
def test_numbers_come_back(numbers: set[int]) -> None:
    assert numbers_in(ranges_of(numbers)) == numbers


def test_neighbours_are_one_range() -> None:
    assert ranges_of([3, 1, 2, 7, 9, 10]) == ("1-3", "7", "9-10")


def test_what_is_no_range_is_an_error() -> None:
    with pytest.raises(ValueError, match="x"):
        numbers_in(["x-3"])
