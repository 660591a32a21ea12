"""Turns on the machine, by processes of their own: a file lock is held per open file."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.turn import Turn
from chaos.waiting import eventually


class Process:
    """Takes a turn in a thread, as another process would; `has` says whether it was given."""

    def __init__(self, folder: Path) -> None:
        self.turn = Turn(folder)
        self.has = threading.Event()
        self.waited = threading.Event()

    def take(self, *, alone: bool) -> "Process":
        def go() -> None:
            self.turn.take(alone=alone, waiting=self.waited.set)
            self.has.set()

        threading.Thread(target=go, daemon=True).start()
        return self

    def give_back(self) -> None:
        self.turn.give_back()
        self.has.clear()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[Process]]:
    made = [Process(tmp_path) for _ in range(3)]
    yield made
    for each in made:
        each.turn.give_back()


def test_small_ones_go_side_by_side(processes: list[Process]) -> None:
    one, other, _ = processes
    assert one.take(alone=False).has.wait(5)
    assert other.take(alone=False).has.wait(5)
    assert not one.waited.is_set()
    assert not other.waited.is_set()


def test_a_large_one_waits_for_the_others_and_those_who_come_later_wait_for_it(processes: list[Process]) -> None:
    small, large, later = processes
    assert small.take(alone=False).has.wait(5)
    assert large.take(alone=True).waited.wait(5)
    assert later.take(alone=False).waited.wait(5)
    assert not large.has.is_set()
    assert not later.has.is_set()
    small.give_back()
    assert large.has.wait(5)
    assert not later.has.wait(0.2)
    large.give_back()
    assert later.has.wait(5)


def test_a_turn_is_taken_once_and_can_grow(processes: list[Process]) -> None:
    one, other, _ = processes
    waited: list[int] = []
    one.turn.take(alone=False, waiting=lambda: waited.append(1))
    one.turn.take(alone=False, waiting=lambda: waited.append(1))
    one.turn.take(alone=True, waiting=lambda: waited.append(1))
    one.turn.take(alone=False, waiting=lambda: waited.append(1))  # it goes on alone
    assert not waited
    assert other.take(alone=False).waited.wait(5)
    one.give_back()
    one.give_back()
    eventually(other.has.is_set, within_s=5, what="the other's turn", every_s=0.01)
