"""Waiting ends by what is seen, and a wait in vain says what was seen last."""

import pytest

from chaos.basics.waiting import WaitedInVainError, eventually, until


def test_the_first_true_answer_is_returned_whatever_was_raised_before() -> None:
    answers = iter([ValueError("no"), 0, "", "yes", "never asked"])

    def ask() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert eventually(ask, within_s=60, what="it", every_s=0) == "yes"
    assert next(answers) == "never asked"


def test_a_wait_in_vain_tells_the_last_answer_or_exception() -> None:
    with pytest.raises(WaitedInVainError, match=r"^waited 0 s for it, in vain; the last answer was \[\]$"):
        eventually(list, within_s=0, what="it")

    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(WaitedInVainError, match=r"the last try raised ValueError\('no'\)$") as told:
        eventually(fails, within_s=0.01, what="it", every_s=0)
    assert isinstance(told.value.__cause__, ValueError)


def test_an_interrupt_ends_a_wait() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        eventually(interrupted, within_s=60, what="it")


def test_until_lets_what_is_raised_through() -> None:
    answers = iter([False, True])
    until(lambda: next(answers), every_s=0)
    with pytest.raises(ZeroDivisionError):
        until(lambda: bool(1 / 0))
