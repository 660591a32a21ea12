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


def test_harm_that_lasts_is_seen_at_once_all_the_time_and_right_before_it_is_undone(journal: Journal) -> None:
    run = Run(Harm(), journal)
    run.harm.does = {"lasts": lambda: True, "block": looked(run, 3)}
    run()
    looks = run.history.of(HarmLook)
    assert {(look.fault, look.injection, look.seen, look.why) for look in looks} == {("made-up", 1, THERE, "")}
    assert len(looks) >= 4, "one at its end"
    steps = {step.step: step.at for step in run.history.of(FaultStep)}
    assert steps["landed"] <= looks[0].at <= looks[-1].at <= steps["undoing"]


def test_harm_that_is_gone_is_told(journal: Journal) -> None:
    run = Run(Harm(), journal)
    there = [True, True]
    run.harm.does = {"lasts": lambda: bool(there and there.pop()), "block": looked(run, 3)}
    run()
    assert seen(run)[:3] == [THERE, THERE, GONE]


def test_a_look_that_fails_has_seen_nothing(journal: Journal) -> None:
    run = Run(Harm({"lasts": raises(OSError("docker does not answer"))}), journal)
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


def test_a_look_that_hangs_does_not_keep_the_harm_from_being_undone(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "ANSWERS_WITHIN_S", 0.01)
    answer, hangs = threading.Event(), threading.Event()

    def lasts() -> bool:
        if not seen(run):
            return True
        hangs.set()
        return answer.wait(LONG_S)

    run = Run(Harm(), journal)
    run.harm.does = {"lasts": lasts, "block": lambda: hangs.wait(LONG_S)}
    try:
        run()
        assert run.steps[-1] == "undone"
        last = run.history.of(HarmLook)[-1]
        assert (last.seen, last.why) == (UNSEEN, "the last look had no answer")
    finally:
        answer.set()
