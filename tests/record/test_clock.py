"""The clock of a recording against the machine's other one."""

import time
from collections.abc import Callable

import pytest

from chaos.record.clock import ClockLooks
from chaos.record.doubts import ClockJump
from chaos.record.history import History


def jumps(history: History) -> list[float]:
    return [round(jump.by_s, 1) for jump in history.of(ClockJump)]


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """By what CLOCK_MONOTONIC is wrong, in seconds; the sum of it."""
    by: list[float] = []
    real: Callable[[], float] = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + sum(by))
    return by


def test_a_clock_that_goes_as_it_did_is_not_told(off: list[float]) -> None:
    off.append(1000.0)
    history = History()
    looks = ClockLooks(history)
    for _ in range(5):
        looks.look()
    assert jumps(history) == []


@pytest.mark.parametrize("by_s", [30.0, -2.0])
def test_a_jump_is_told_once(off: list[float], by_s: float) -> None:
    history = History()
    looks = ClockLooks(history)
    off.append(by_s)
    looks.look()
    looks.look()
    assert jumps(history) == [by_s]


def test_steps_of_the_wall_clock_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    history = History()
    looks = ClockLooks(history)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    looks.look()
    assert jumps(history) == []


@pytest.mark.parametrize("held_up_s", [0.0, 0.9])
def test_a_look_that_was_held_up_between_the_clocks_says_nothing(
    monkeypatch: pytest.MonkeyPatch, held_up_s: float
) -> None:
    """The machine did something else for a second, before it read the other clock or after."""
    history = History()
    looks = ClockLooks(history)
    now, other, late = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME), iter([0.0, 1.0])
    monkeypatch.setattr(time, "clock_gettime", lambda _: other + held_up_s)
    monkeypatch.setattr(time, "monotonic", lambda: now + next(late, 1.0))
    looks.look()
    assert jumps(history) == []
