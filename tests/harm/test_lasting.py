"""Harm is looked at while it lasts: what the looks say is in the history, and none keeps it from being undone."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.harm import lasting
from chaos.record.journal import Journal
from chaos.record.records import GONE, THERE, UNSEEN, FaultStep, HarmLook
from tests.harm.made_up import LONG_S, Harm, Run, raises


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "EVERY_S", 0.001)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "run.jsonl") as made:
        yield made


def seen(run: Run) -> list[str]:
    return [look.seen for look in run.history.of(HarmLook)]


def looked(run: Run, times: int) -> Callable[[], Any]:
    """A block that lasts until there were so many looks."""
    return lambda: eventually(lambda: len(seen(run)) >= times, within_s=LONG_S, what="looks", every_s=0.001)


def test_harm_is_looked_at_once_more_right_before_it_is_undone(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "EVERY_S", LONG_S)
    run = Run(Harm(), journal)
    over: list[bool] = []
    run.harm.does = {"lasts": lambda: not over, "block": lambda: over.append(True)}
    run()
    assert seen(run) == [THERE, GONE]


def test_harm_that_lasts_is_seen_at_once_and_all_the_time(journal: Journal) -> None:
    run = Run(Harm(), journal)
    run.harm.does = {"lasts": lambda: True, "block": looked(run, 3)}
    run()
    looks = run.history.of(HarmLook)
    assert {(look.fault, look.injection, look.seen, look.why) for look in looks} == {("made-up", 1, THERE, "")}
    assert len(looks) >= 3
    steps = {step.step: step.at for step in run.history.of(FaultStep)}
    assert steps["landed"] <= looks[0].at <= looks[-1].at <= steps["undoing"]


def answers(given: str) -> Callable[[], bool]:
    """What the looks find, one after the other: + there, - gone, ! a command that was killed; later ones there."""
    left = list(given)

    def lasts() -> bool:
        answer = left.pop(0) if left else "+"
        if answer == "!":
            raise OSError("killed")
        return answer == "+"

    return lasts


def test_harm_that_is_gone_is_told_once_and_not_looked_at_any_more(journal: Journal) -> None:
    run = Run(Harm(), journal)
    run.harm.does = {"lasts": answers("++--"), "block": looked(run, 3)}
    run()
    assert seen(run) == [THERE, THERE, GONE]


def test_gone_is_what_two_looks_say(journal: Journal) -> None:
    """One that says so alone may have been a command that was killed."""
    run = Run(Harm(), journal)
    run.harm.does = {"lasts": answers("+-+-!"), "block": looked(run, 4)}
    run()
    looks = run.history.of(HarmLook)
    assert [look.seen for look in looks[:4]] == [THERE, UNSEEN, UNSEEN, THERE]
    assert [look.why for look in looks[1:3]] == ["one look found it gone, and the next one there", "killed"]


def test_a_look_that_fails_has_seen_nothing(journal: Journal) -> None:
    run = Run(Harm({"lasts": raises(OSError("docker does not answer\nits last lines"))}), journal)
    run()
    assert {(look.seen, look.why) for look in run.history.of(HarmLook)} == {(UNSEEN, "docker does not answer")}


def test_harm_that_ends_by_itself_is_not_looked_at_again(journal: Journal) -> None:
    run = Run(Harm(), journal)
    asked: list[int] = []
    run.harm.does = {"lasts": lambda: asked.append(1), "block": lambda: threading.Event().wait(0.05)}
    run()
    assert (seen(run), asked) == ([], [1])


def test_nobody_looks_where_that_is_not_wanted(journal: Journal) -> None:
    run = Run(Harm({"lasts": lambda: True}), journal, watched=False)
    run()
    assert seen(run) == []


class Hanging:
    """A look that goes well once; the next one hangs until it is let go, and then says what is told."""

    def __init__(self) -> None:
        self.hangs, self.goes_on, self.asked = threading.Event(), threading.Event(), 0

    def __call__(self) -> bool:
        self.asked += 1
        if self.asked == 1:
            return True
        self.hangs.set()
        self.goes_on.wait(LONG_S)
        return False


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    monkeypatch.setattr(lasting, "ANSWERS_WITHIN_S", 0.01)
    look = Hanging()
    yield look
    look.goes_on.set()


def ended(name: str = "harm-lasts") -> bool:
    return not any(each.name == name for each in threading.enumerate())


def test_a_look_that_hangs_does_not_keep_the_harm_from_being_undone_and_says_nothing_later(
    journal: Journal, hanging: Hanging
) -> None:
    run = Run(Harm(), journal)
    run.harm.does = {"lasts": hanging, "block": lambda: hanging.hangs.wait(LONG_S)}
    run()
    assert run.steps[-1] == "undone"
    hanging.goes_on.set()
    eventually(ended, within_s=LONG_S, what="the look to be over", every_s=0.001)
    last = run.history.of(HarmLook)[-1]
    assert (seen(run), last.why) == ([THERE, UNSEEN], "the last look had no answer")


def test_where_the_story_breaks_nobody_waits_for_a_look(
    journal: Journal, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "ANSWERS_WITHIN_S", LONG_S)

    def break_off() -> None:
        hanging.hangs.wait(LONG_S)
        raise KeyboardInterrupt

    run = Run(Harm(), journal)
    run.harm.does = {"lasts": hanging, "block": break_off}
    with pytest.raises(KeyboardInterrupt):
        run()
    assert (run.steps[-1], seen(run)) == ("undone", [THERE])
