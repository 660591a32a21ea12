"""Turns on the machine, by processes of their own: a file lock is held per open file."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.basics.waiting import eventually
from chaos.errors import OrdealError
from chaos.run.incident import Load
from chaos.run.turn import Turn, hold_setup, hold_works

MEMORY_BYTES = 10


class Process:
    """Takes a turn in a thread, as another process would; `has` says whether it was given."""

    def __init__(self, folder: Path) -> None:
        self.turn = Turn(folder, MEMORY_BYTES)
        self.has = threading.Event()
        self.waited = threading.Event()
        self.made_room = threading.Event()

    def take(self, load: Load, memory_bytes: int = 0) -> "Process":
        def go() -> None:
            self.turn.take(load, memory_bytes=memory_bytes, waiting=self.waited.set, make_room=self.made_room.set)
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
    assert one.take(Load.WAITS).has.wait(5)
    assert other.take(Load.WAITS).has.wait(5)
    assert not one.waited.is_set()
    assert not other.waited.is_set()


def test_a_large_one_waits_for_the_others_and_those_who_come_later_wait_for_it(processes: list[Process]) -> None:
    small, large, later = processes
    assert small.take(Load.WAITS).has.wait(5)
    assert large.take(Load.ALONE).waited.wait(5)
    assert later.take(Load.WAITS).waited.wait(5)
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
    one.turn.take(Load.WAITS, waiting=lambda: waited.append(1))
    one.turn.take(Load.WAITS, waiting=lambda: waited.append(1))
    one.turn.take(Load.ALONE, waiting=lambda: waited.append(1))
    one.turn.take(Load.WAITS, waiting=lambda: waited.append(1))  # it goes on alone
    assert not waited
    assert other.take(Load.WAITS).waited.wait(5)
    one.give_back()
    one.give_back()
    eventually(other.has.is_set, within_s=5, what="the other's turn", every_s=0.01)


def test_of_those_that_work_one_goes_at_a_time_and_those_that_wait_go_beside_it(processes: list[Process]) -> None:
    works, too, waits = processes
    assert works.take(Load.WORKS).has.wait(5)
    assert too.take(Load.WORKS).waited.wait(5)
    assert waits.take(Load.WAITS).has.wait(5)
    assert not too.has.is_set()
    works.give_back()
    assert too.has.wait(5)


def test_whoever_meets_one_that_is_alone_makes_room_for_it(processes: list[Process]) -> None:
    alone, other, _ = processes
    assert alone.take(Load.ALONE).has.wait(5)
    assert other.take(Load.WAITS).made_room.wait(5)
    alone.give_back()
    assert other.has.wait(5)
    assert not alone.made_room.is_set()


def test_a_replay_waits_for_memory_that_others_have(processes: list[Process]) -> None:
    one, other, small = processes
    assert one.take(Load.WAITS, MEMORY_BYTES - 2).has.wait(5)
    assert other.take(Load.WAITS, 3).waited.wait(5)
    assert not other.has.is_set()
    one.give_back()
    assert other.has.wait(5)
    assert small.take(Load.WAITS, MEMORY_BYTES - 3).has.wait(5)


def test_one_that_wants_more_memory_than_there_is_gets_it_when_nobody_has_any(processes: list[Process]) -> None:
    assert processes[0].take(Load.WAITS, 2 * MEMORY_BYTES).has.wait(5)


def test_a_build_holds_back_all_but_those_that_wait(processes: list[Process], tmp_path: Path) -> None:
    waits, works, alone = processes
    build = hold_works(tmp_path)
    assert waits.take(Load.WAITS).has.wait(5)
    assert works.take(Load.WORKS).waited.wait(5)
    assert alone.take(Load.ALONE).waited.wait(5)
    assert not works.has.is_set()
    waits.give_back()
    assert not alone.has.wait(0.2)
    build.close()
    eventually(lambda: works.has.is_set() or alone.has.is_set(), within_s=5, what="one of them", every_s=0.01)
    first, second = (works, alone) if works.has.is_set() else (alone, works)
    first.give_back()
    assert second.has.wait(5)


def test_a_build_in_a_turn_waits_for_those_that_work(processes: list[Process]) -> None:
    waits, works, _ = processes
    assert waits.take(Load.WAITS).has.wait(5)
    with waits.turn.building(waits.waited.set):
        assert works.take(Load.WORKS).waited.wait(5)
        assert not works.has.is_set()
    assert works.has.wait(5)
    works.give_back()
    assert works.take(Load.WORKS).has.wait(5)
    with works.turn.building(works.waited.set):  # it has what a build needs already
        pass


def test_set_up_is_waited_for_where_it_was_begun(processes: list[Process], tmp_path: Path) -> None:
    one = processes[0]
    one.turn.prepared(one.waited.set)
    assert not one.waited.is_set()
    setup = hold_setup(tmp_path)
    over = threading.Event()

    def wait() -> None:
        one.turn.prepared(one.waited.set)
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    assert one.waited.wait(5)
    assert not over.is_set()
    setup.close()
    assert over.wait(5)


def test_one_that_builds_while_another_waits_for_the_machine_alone_does_not_hang(processes: list[Process]) -> None:
    """The one alone waits for the builder's turn, and the builder for nobody."""
    waits, alone, _ = processes
    assert waits.take(Load.WAITS).has.wait(5)
    assert alone.take(Load.ALONE).waited.wait(5)
    with waits.turn.building(waits.waited.set):
        assert not alone.has.is_set()
    waits.give_back()
    assert alone.has.wait(5)


def test_one_that_works_meets_one_that_is_alone_and_makes_room(processes: list[Process]) -> None:
    alone, works, later = processes
    assert alone.take(Load.ALONE).has.wait(5)
    assert works.take(Load.WORKS).made_room.wait(5)
    assert later.take(Load.WORKS).made_room.wait(5)
    alone.give_back()
    eventually(lambda: works.has.is_set() or later.has.is_set(), within_s=5, what="one of them", every_s=0.01)
    first, second = (works, later) if works.has.is_set() else (later, works)
    first.give_back()
    assert second.has.wait(5)


def test_two_that_both_want_the_machine_alone_for_what_they_have_take_turns(processes: list[Process]) -> None:
    one, other, waits = processes
    assert one.take(Load.WAITS, 2).has.wait(5)
    assert other.take(Load.WAITS, 2).has.wait(5)
    for each in (one, other):
        each.has.clear()
        each.take(Load.ALONE, 2)
    eventually(lambda: one.has.is_set() or other.has.is_set(), within_s=5, what="one of them", every_s=0.01)
    first, second = (one, other) if one.has.is_set() else (other, one)
    assert waits.take(Load.WAITS, MEMORY_BYTES).waited.wait(5)
    assert not second.has.wait(0.3)
    first.give_back()
    assert second.has.wait(5)
    second.give_back()
    assert waits.has.wait(5)


def test_why_set_up_failed_is_said_to_who_waits_for_it(processes: list[Process], tmp_path: Path) -> None:
    setup = hold_setup(tmp_path)
    setup.write(b"no room on the disk")
    setup.close()
    with pytest.raises(OrdealError, match="set-up did not reach its end: no room on the disk"):
        processes[0].turn.prepared(processes[0].waited.set)


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OrdealError, match=r"results can't be written to .*--ordeal-results DIR"):
        hold_works(tmp_path / "file")
