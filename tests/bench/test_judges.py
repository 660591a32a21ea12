"""Mutants of judges: what is changed, which tests are run for it, and how it is counted. Cosmic Ray is not needed."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.bench import judges, mutations
from tests.bench.judges import KILLED, NO_PROGRAM, SURVIVED, TIMED_OUT, Tried, each_in_a_fork, table, try_room
from tests.bench.mutations import (
    Change,
    Mutant,
    Reach,
    changed_places,
    changes,
    code_of,
    functions_of,
    import_instead,
    mutant,
    put_into,
    runs_at_import,
)

JUDGE = """
LIMIT = 2
def early():
    return 1
ONE = early()
def judge(seen, limit=LIMIT):
    def one(each):
        return each > limit
    return "violated" if any(one(each) for each in seen) else "held"
def named():
    return "a judge"
def hang():
    return False
"""
TESTS = """
from judge_of_test import LIMIT, hang, judge
def test_more_is_violated():
    assert judge([3]) == "violated"
def test_less_is_held():
    assert judge([1]) == "held"
def test_it_ends():
    while hang():
        pass
"""


def changed(old: str, new: str, module: str = "judge_of_test.py") -> Mutant:
    assert JUDGE.count(old) == 1
    return Mutant(module, JUDGE[: JUDGE.index(old)].count("\n") + 1, old, new, JUDGE.replace(old, new))


def places(old: str, new: str) -> set[tuple[str, int]]:
    return changed_places(code_of(JUDGE), code_of(changed(old, new).source))


def test_a_change_is_known_by_the_function_that_it_is_in() -> None:
    assert places("each > limit", "each >= limit") == {("judge.<locals>.one", 7)}
    assert places("any(", "all(") == {("judge", 6)}
    assert places("LIMIT = 2", "LIMIT = 3") == {("<module>", 1)}
    assert places("LIMIT = 2", "LIMIT = 1 + 1") == set()


def test_what_runs_at_the_import_is_told_from_what_runs_later() -> None:
    code = code_of(JUDGE)
    assert runs_at_import(places("LIMIT = 2", "LIMIT = 3"), code)
    assert runs_at_import(places("limit=LIMIT", "limit=1"), code)
    assert not runs_at_import(places("each > limit", "each >= limit"), code)


def test_functions_and_those_that_they_made_get_the_mutants_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    source = "def outer(a):\n    def inner(b):\n        return a + b\n    return inner\n"
    made = ModuleType("made")
    exec(compile(source, str(tmp_path / "made.py"), "exec"), made.__dict__)
    there: Callable[[int], int] = made.outer(1)
    found = functions_of(["made.py", "another.py"])
    assert (len(found["made.py"]), found["another.py"]) == (2, [])
    assert put_into(found["made.py"], code_of(source), code_of(source.replace("a + b", "a - b"))) == 2
    assert there(3) == made.outer(1)(3) == -2


def test_a_mutant_is_imported_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setitem(sys.modules, "judge_of_import", ModuleType("judge_of_import"))
    del sys.modules["judge_of_import"]
    name = import_instead(changed("LIMIT = 2", "LIMIT = 9", "judge_of_import.py"))
    assert __import__(name).LIMIT == 9


def test_of_what_runs_later_those_tests_are_run_that_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "judge_of_test.py").write_text(JUDGE)
    monkeypatch.setattr(judges, "ROOT", tmp_path)
    one = ("judge_of_test.py", ("judge.<locals>.one", 7))
    reach = Reach({one: frozenset({"test_a", "test_b"})}, frozenset({("judge_of_test.py", ("early", 3))}))
    assert judges.tests_for(changed("each > limit", "each >= limit"), reach) == frozenset({"test_a", "test_b"})
    assert judges.tests_for(changed('"a judge"', '"no judge"'), reach) == frozenset()
    assert judges.tests_for(changed("LIMIT = 2", "LIMIT = 3"), reach) is None
    assert judges.tests_for(changed("return 1", "return 2"), reach) is None


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A judge and its tests, in a folder that takes the tree's place."""
    (tmp_path / "judge_of_test.py").write_text(JUDGE)
    (tmp_path / "test_judge.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = timed: as in the tree\n")
    for each in (judges, mutations):
        monkeypatch.setattr(each, "ROOT", tmp_path)
    monkeypatch.setattr(judges, "PROCESSOR_S", 3)
    return str(tmp_path)


def test_each_end_of_a_mutant(room: str) -> None:
    expected = {
        changed("each > limit", "each <= limit"): KILLED,
        changed("each > limit", "each >= limit"): SURVIVED,
        changed('"a judge"', '"no judge"'): SURVIVED,
        changed("return False", "return True"): TIMED_OUT,
        changed("LIMIT = 2", "LIMIT = 4"): KILLED,
        changed("LIMIT = 2", "LIMIT = 2.5"): SURVIVED,
        changed("LIMIT = 2", "LIMIT = 1 / 0"): NO_PROGRAM,
    }
    tried = list(try_room(room, list(expected), 2))
    assert {each.mutant: each.end for each in tried} == expected
    said = {each.mutant.after: each.by for each in tried}
    assert said["each <= limit"].startswith("test_judge.py::test_")
    assert said['"no judge"'] == "no test reaches it"
    assert said["LIMIT = 4"] == "test_judge.py::test_more_is_violated"


def test_tests_that_fail_without_a_mutant_end_it(room: str) -> None:
    Path(room, "test_judge.py").write_text("def test_no():\n    assert False\n")
    with pytest.raises(RuntimeError, match=r"test_judge\.py::test_no, before there was any mutant"):
        list(try_room(room, [changed("each > limit", "each >= limit")], 1))


def test_a_process_that_ends_or_takes_too_long_is_told_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "LONGEST_S", 0.5)
    ended = dict(each_in_a_fork([lambda: 1, lambda: os._exit(3), lambda: time.sleep(60)], 3))
    assert ended == {0: 1, 1: (TIMED_OUT, ""), 2: (TIMED_OUT, "")}


def test_the_table_counts_by_module_and_leaves_equivalent_ones_out_of_the_share() -> None:
    other = Mutant("other.py", 1, "a", "b", "b")
    tried = [
        Tried(changed("LIMIT = 2", "LIMIT = 3"), KILLED),
        Tried(changed("LIMIT = 2", "LIMIT = 4"), TIMED_OUT),
        Tried(changed("LIMIT = 2", "LIMIT = 5"), SURVIVED),
        Tried(changed("LIMIT = 2", "LIMIT = 6"), SURVIVED, equivalent="nobody asks"),
        Tried(other, KILLED),
    ]
    heads, *rows = (line.split() for line in table({"judge_of_test.py": 40, "none.py": 5, "other.py": 2}, tried))
    assert heads[:8] == ["module", "places", "tried", "killed", "timed", "out", "survived", "equivalent"]
    assert rows == [
        ["judge_of_test.py", "40", "4", "1", "1", "1", "1", "33.3", "%"],
        ["other.py", "2", "1", "1", "0", "0", "0", "100.0", "%"],
        ["all", "47", "5", "2", "1", "1", "1", "50.0", "%"],
    ]


def test_mutants_are_drawn_by_the_seed_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(change: Change) -> Mutant | None:
        text = str(change.line % 7)
        return None if text == "3" else Mutant(change.module, change.line, "a", text, text)

    monkeypatch.setattr(judges, "mutant", made)
    there = [Change("a.py", 0, 1, 0, 0, line) for line in range(30)]
    drawn = judges.draw(there, 4, 1)
    assert len({each.source for each in drawn}) == 4
    assert drawn == judges.draw(there, 4, 1)
    assert drawn != judges.draw(there, 4, 2)
    assert sorted(each.source for each in judges.draw(there, 0, 1)) == ["0", "1", "2", "4", "5", "6"]


def test_every_module_has_tests_where_they_are_looked_for() -> None:
    found = judges.modules(())
    assert "chaos/judge/availability.py" in found
    assert judges.modules(["chaos/judge/a"]) == ["chaos/judge/availability.py"]
    assert not [each for each in found if not (mutations.ROOT / judges.tests_of(each)).exists()]


def test_what_is_named_as_equivalent_is_still_there_and_says_why() -> None:
    for (module, before, after), why in judges.equivalent().items():
        lines = [line.strip() for line in (mutations.ROOT / module).read_text().splitlines()]
        assert set(before.split(" / ")) <= set(lines), f"{module} has no such line any more: {before}"
        assert before != after
        assert why


def test_changes_that_cosmic_ray_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cosmic_ray", reason="only `make bench-judges` installs it")
    text = "A = 1\n\n\ndef judge(a: int | None, *, b: int) -> bool:\n    if [each for each in a if each > b]:\n"
    (tmp_path / "judge.py").write_text(f"{text}        return True\n    return False\n")
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    made = [one for each in changes("judge.py") if (one := mutant(each)) is not None]
    line = "if [each for each in a if each {} b]:"
    assert {(each.line, each.after) for each in made} == {
        (1, "A = 2"),
        (1, "A = 0"),
        (5, line.format("<")),
        (5, line.format("<=")),
        (5, line.format(">=")),
        (5, "if not [each for each in a if each > b]:"),
        (5, "if False:"),
        (5, "if [each for each in a if True]:"),
        (6, "return False"),
        (7, "return True"),
    }
