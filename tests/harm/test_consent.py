"""Who is asked before harm is done, and may end it: nothing is done that is refused, all is undone that is stopped."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaos.basics.signals import OTHERS, held_back
from chaos.errors import OrdealError
from chaos.harm.base import FaultError, NotUndoneError
from chaos.record.journal import Journal
from chaos.record.journal import _pending_in as pending_in
from chaos.run.deadline import beneath
from chaos.run.guard import STOP, RefusedError, StoppedError
from tests.harm.made_up import LONG_S, SAVED, Harm, Run, once, raises, send

ALL = ["planned", "applied", "landed", "undoing", "undone"]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "run.jsonl") as made:
        yield made


@contextmanager
def stoppable(*_: object) -> Iterator[None]:
    """Consent that is given, and may be taken back by the guard's signal."""

    def end(number: int, frame: object) -> None:
        raise StoppedError("stopped: the owner has halted all harm")

    before = signal.signal(STOP, end)
    try:
        yield
    finally:
        signal.signal(STOP, before)


@pytest.mark.parametrize("error", [RefusedError("not this one"), OrdealError("nothing at all"), StoppedError("over")])
def test_what_is_refused_is_not_done(journal: Journal, error: BaseException) -> None:
    def refuses(*_: object) -> Any:
        raise error

    run = Run(Harm(), journal, consent=refuses)
    with pytest.raises(type(error)) as refused:
        run()
    assert refused.value is error, "it leaves as it is"
    assert (run.harm.taken, run.steps, run.left) == (["plan"], [], [])


def test_what_is_refused_on_entering_is_not_done(journal: Journal) -> None:
    @contextmanager
    def refuses(*_: object) -> Iterator[None]:
        raises(RefusedError("not this one"))()
        yield

    run = Run(Harm(), journal, consent=refuses)
    with pytest.raises(RefusedError, match=r"^not this one$"):
        run()
    assert (run.harm.taken, run.steps, run.left) == (["plan"], [], [])


def test_it_is_asked_once_with_the_fault_and_its_plan_as_the_journal_has_it(journal: Journal) -> None:
    asked: list[object] = []

    @contextmanager
    def agrees(*what: object) -> Iterator[None]:
        asked.extend(what)
        yield

    run = Run(Harm(), journal, consent=agrees)
    run()
    assert asked == ["made-up", SAVED]
    assert run.steps == ALL


def test_it_is_around_all_from_before_the_journal_until_after_the_undo(journal: Journal) -> None:
    seen: list[tuple[str, list[str], int]] = []

    @contextmanager
    def looks(*_: object) -> Iterator[None]:
        seen.append(("begin", list(run.harm.taken), len(pending_in(journal.path))))
        try:
            yield
        finally:
            seen.append(("end", run.harm.taken[-2:], len(pending_in(journal.path))))

    run = Run(Harm(), journal, consent=looks)
    run()
    assert seen == [("begin", ["plan"], 0), ("end", ["undo", "undone"], 0)]


@pytest.mark.parametrize("does", [{"apply": raises(OSError("it broke"))}, {"block": raises(RuntimeError("it broke"))}])
def test_it_ends_where_the_harm_or_the_story_breaks(journal: Journal, does: dict[str, Callable[[], Any]]) -> None:
    ended: list[str] = []

    @contextmanager
    def looks(*_: object) -> Iterator[None]:
        try:
            yield
        finally:
            ended.extend(run.harm.taken[-2:])

    run = Run(Harm(does), journal, consent=looks)
    with pytest.raises((FaultError, RuntimeError), match="it broke"):
        run()
    assert ended == ["undo", "undone"]
    assert run.left == []


# --- a stop in each step


AT = {  # as of any signal: what was done of the fault, and what the history has of it
    "apply": (["plan", "apply", "undo", "undone"], ["planned", "undoing", "undone"]),
    "landed": (["plan", "apply", "landed", "undo", "undone"], ["planned", "applied", "undoing", "undone"]),
    "block": (["plan", "apply", "landed", "block", "undo", "undone"], ALL),
    "undo": (["plan", "apply", "landed", "block", "undo", "undone"], ALL),
    "undone": (["plan", "apply", "landed", "block", "undo", "undone"], ALL),
}


@pytest.mark.parametrize("at", AT)
def test_a_stop_leaves_after_all_is_undone(journal: Journal, at: str) -> None:
    run = Run(Harm({at: send(STOP)}), journal, consent=stoppable)
    with pytest.raises(StoppedError, match=r"^stopped: the owner has halted all harm$"):
        run()
    assert (run.harm.taken, run.steps) == AT[at]
    assert run.left == []


def test_a_stop_from_a_thread_ends_a_story_that_waits(journal: Journal) -> None:
    """As the guard sends it."""
    main = threading.main_thread().ident or 0

    def waits() -> None:
        threading.Thread(target=signal.pthread_kill, args=(main, STOP)).start()
        threading.Event().wait(LONG_S)
        pytest.fail("nothing stopped it")

    run = Run(Harm({"block": waits}), journal, consent=stoppable)
    with pytest.raises(StoppedError):
        run()
    assert (run.harm.taken, run.steps) == AT["block"]
    assert run.left == []


def test_a_stop_from_a_thread_in_the_middle_of_the_undo_waits_for_its_end(journal: Journal) -> None:
    main = threading.main_thread().ident or 0
    held: list[object] = []

    def undo() -> None:
        handler = signal.getsignal(STOP)
        killer = threading.Thread(target=signal.pthread_kill, args=(main, STOP))
        killer.start()
        killer.join(LONG_S)
        held.append(handler)

    run = Run(Harm({"undo": undo}), journal, consent=stoppable)
    with pytest.raises(StoppedError):
        run()
    assert held, "the undo went on to its end"
    assert (run.harm.taken, run.steps) == AT["undo"]
    assert run.left == []


def test_an_undo_that_is_tried_again_is_not_cut_short_by_a_stop(journal: Journal) -> None:
    run = Run(Harm({"undo": send(STOP), "undone": once(bool, answer=True)}), journal, consent=stoppable)
    run.undone_within_s = LONG_S
    with pytest.raises(StoppedError):
        run()
    assert run.harm.taken[-4:] == ["undo", "undone", "undo", "undone"]
    assert run.steps == ALL
    assert run.left == []


@pytest.mark.parametrize("at", ["apply", "block", "undo"])
def test_a_stop_stays_one_where_the_undo_fails(journal: Journal, at: str) -> None:
    run = Run(Harm({at: send(STOP), "undone": bool}), journal, consent=stoppable)
    with pytest.raises(StoppedError) as stopped:
        run()
    assert any(isinstance(each, NotUndoneError) for each in beneath(stopped.value)), "what stays is told beneath it"
    assert run.steps[-2:] == ["undoing", "not-undone"]
    assert len(run.left) == 1


def test_a_stop_that_comes_after_a_ctrl_c_does_not_cut_the_undo_short(journal: Journal) -> None:
    run = Run(Harm({"block": send(signal.SIGINT), "undo": send(STOP)}), journal, consent=stoppable)
    with pytest.raises(KeyboardInterrupt) as left:
        run()
    assert any(type(each) is KeyboardInterrupt for each in beneath(left.value)), "the user's interrupt is not lost"
    assert (run.harm.taken, run.steps) == AT["undo"]
    assert run.left == []


# --- what is held back, by itself


@pytest.mark.parametrize("number", OTHERS, ids=lambda number: number.name)
def test_what_others_send_is_held_back_until_all_is_put_right(number: signal.Signals) -> None:
    came: list[int] = []
    before = signal.signal(number, lambda number, _: came.append(number))
    handler = signal.getsignal(number)
    try:
        with held_back():
            signal.raise_signal(number)
            signal.raise_signal(number)
            assert came == []
        assert came == [number], "once"
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


def test_the_guards_signal_is_among_those_that_are_held_back() -> None:
    assert STOP in OTHERS
