"""The campaign judges by promises that suites make, and by no other."""

import hashlib
import inspect
import sys

import pytest

from chaos.campaign.judged import MAKERS, digest, promises
from chaos.judge.base import promises as every_promise
from chaos.record.history import Window
from chaos.run.profile import PROFILES
from chaos.run.promised import Conditions
from chaos.run.suites import suites

NOBODY_S = Window(1.0, 2.0)


def by_suites() -> set[str]:
    """The names of the promises that suites make, in any variant."""
    found = set()
    for suite in suites():
        replay = suite.replay
        for control in (None, *replay.controls):
            told = [Conditions(control, kind, PROFILES["smoke"]) for kind in replay.on]
            judged_by = [each for one in told for each in (replay.promises(one) if replay.promises else ())]
            found |= {promise.name for each in judged_by for promise in each.by}
    return found


def test_each_promise_is_one_that_was_there() -> None:
    """None is the campaign's own; but for one, which Chaos Toolkit's experiments have, suites make them too."""
    made = {each.recipe.promise for each in promises("node", NOBODY_S) if each.recipe}
    assert made <= {*every_promise()}
    assert made - by_suites() == {"same_pods"}
    assert not [each for each in MAKERS if each.__module__.startswith("chaos.campaign")]


def test_all_makers_are_frozen() -> None:
    made = {each.recipe.promise for each in promises("node", NOBODY_S) if each.recipe}
    assert made == {each.__name__ for each in MAKERS}


def test_the_digest_is_of_their_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest()
    assert before == digest()
    assert len(before) == hashlib.sha256().digest_size * 2
    read = inspect.getsource
    changed = sys.modules[MAKERS[0].__module__]
    monkeypatch.setattr(inspect, "getsource", lambda of: read(of) + ("# looser" if of is changed else ""))
    assert digest() != before
