"""A test's time limit: it ends the story, nothing else, and only once."""

import signal
import threading
from collections.abc import Iterator

import pytest

from chaos.basics.signals import held_back
from chaos.run.deadline import Deadline, TimedOutError, beneath, is_nothing_else

LONG_S = 60.0  # to end a hang


def rung(deadline: Deadline) -> None:
    """As when the limit is reached."""
    deadline.start()
    signal.raise_signal(signal.SIGALRM)


@pytest.fixture
def deadline() -> Iterator[Deadline]:
    made = Deadline(LONG_S)
    yield made
    made.cancel()


def test_it_ends_what_waits_for_ever() -> None:
    short = Deadline(0.05)
    short.start()
    with pytest.raises(TimedOutError, match=r"timed out after 0\.05 s"), short.enforced():
        threading.Event().wait(LONG_S)
    short.cancel()


def test_what_a_fixture_does_is_not_cut_and_the_story_does_not_begin_after_it(deadline: Deadline) -> None:
    rung(deadline)
    with pytest.raises(TimedOutError), deadline.enforced():
        pytest.fail("it began")


def test_what_is_put_right_goes_on_to_its_end(deadline: Deadline) -> None:
    done = []

    def story() -> None:
        with deadline.enforced(), held_back():
            signal.raise_signal(signal.SIGALRM)
            done.append("put right")

    deadline.start()
    with pytest.raises(TimedOutError):
        story()
    assert done == ["put right"]


def test_it_is_over_once(deadline: Deadline) -> None:
    with deadline.enforced():
        with pytest.raises(TimedOutError):
            rung(deadline)
        signal.raise_signal(signal.SIGALRM)


def test_who_looks_into_a_test_is_not_thrown_out() -> None:
    looked_into = Deadline(LONG_S, lambda: True)
    with looked_into.enforced():
        rung(looked_into)
    looked_into.cancel()


def test_what_was_there_before_is_there_after() -> None:
    before = signal.getsignal(signal.SIGALRM)
    deadline = Deadline(LONG_S)
    deadline.start()
    deadline.cancel()
    deadline.cancel()
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_outside_of_the_main_thread_there_is_none() -> None:
    before = signal.getsignal(signal.SIGALRM)
    deadline = Deadline(LONG_S)
    thread = threading.Thread(target=deadline.start)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGALRM) is before
    deadline.cancel()


@pytest.mark.parametrize("place", ["__cause__", "__context__"])
def test_an_interrupt_of_the_user_that_it_hides_is_found(place: str) -> None:
    limit, between = TimedOutError("timed out"), OSError("in the undo")
    setattr(between, place, KeyboardInterrupt())
    assert is_nothing_else(limit)
    limit.__cause__ = OSError("something else")
    limit.__context__ = between
    assert not is_nothing_else(limit)
    assert not is_nothing_else(KeyboardInterrupt())


def test_errors_that_lead_in_a_circle_are_told_once_each() -> None:
    first, second, third = OSError("a"), ValueError("b"), TypeError("c")
    first.__cause__, first.__context__ = second, third
    second.__context__, third.__context__ = first, second
    assert list(beneath(first)) == [first, second, third]
