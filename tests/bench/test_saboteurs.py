"""tests/bench/saboteurs.py: what becomes of a replay with a saboteur, and the table of them."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from chaos.results.saved import SavedFinding, SavedOutcome
from tests.bench.saboteurs import (
    ALIKE,
    HELD,
    IDLE,
    LOST,
    NO_PART,
    NOBODY,
    UNDISTURBED,
    UNKNOWN,
    Cell,
    findings_of,
    of_file,
    sentences,
    table,
    told,
)
from tests.bench.told import append
from tests.saboteurs import PARTS, SABOTEURS, SAME, name_of
from tests.saboteurs.cells import COLUMNS, Column
from tests.saboteurs.cells import NO_PART as DECLARED

SMALL = Column("small", "a.py::test_a")
FOUND = SavedFinding("kept", "held", "all were kept", "", {})
ENDED = SavedOutcome(
    "i",
    "small",
    "simulated",
    "1",
    "smoke",
    "",
    "held",
    passed=True,
    duration_s=1.0,
    why="1 held",
    tables={},
    findings=(FOUND,),
)
FAILED = replace(ENDED, verdict="unknown", passed=False, why="it was not seen")
OTHER = replace(ENDED, findings=(replace(FOUND, invariant="another"),))
BEFORE = Cell("c", NOBODY, "small", "now", UNDISTURBED, "1 held", 1.0, findings_of(ENDED))


@pytest.mark.parametrize(
    ("saboteur", "outcome", "acted", "before", "what"),
    [
        ("fault-lapses", FAILED, True, None, UNKNOWN),
        ("fault-lapses", ENDED, True, BEFORE, HELD),
        ("fault-lapses", FAILED, False, BEFORE, IDLE),
        ("fault-lapses", None, True, BEFORE, LOST),
        ("recorder-doubles", ENDED, True, BEFORE, ALIKE),
        ("recorder-doubles", OTHER, True, BEFORE, HELD),
        ("recorder-doubles", ENDED, True, None, LOST),
        ("prober-always-answers", ENDED, False, BEFORE, NO_PART),
        ("prober-always-answers", OTHER, False, BEFORE, HELD),
        ("prober-always-answers", FAILED, False, BEFORE, LOST),
        (NOBODY, ENDED, False, None, UNDISTURBED),
        (NOBODY, FAILED, False, None, LOST),
    ],
)
def test_held_is_only_what_is_the_same_as_undisturbed_and_may_be(
    saboteur: str, outcome: SavedOutcome | None, acted: bool, before: Cell | None, what: str
) -> None:
    assert told(saboteur, SMALL, outcome, acted, before)[0] == what


def test_the_newest_cell_of_a_commit_is_in_the_table(tmp_path: Path) -> None:
    kept = tmp_path / "saboteurs.jsonl"
    lapse = Cell("c", "fault-lapses", "small", "now", UNKNOWN, "it was gone", 1.0)
    for each in (replace(lapse, outcome=HELD), lapse, replace(lapse, commit="d", outcome=HELD), BEFORE):
        append(kept, asdict(each))
    cells = of_file(kept, "c")
    assert cells == {("fault-lapses", "small"): lapse, (NOBODY, "small"): BEFORE}
    assert table(cells) == ["| saboteur | small |", "| --- | --- |", "| fault-lapses | unknown |"]
    assert sentences(cells) == ["fault-lapses  small  unknown  it was gone"]


def test_what_is_declared_is_of_saboteurs_and_replays_that_there_are() -> None:
    names = {name_of(each) for each in PARTS}
    assert names <= set(SABOTEURS)
    assert SAME | set(DECLARED) <= names
    assert {column for each in DECLARED.values() for column in each} <= {each.name for each in COLUMNS}
    assert all(why for each in DECLARED.values() for why in each.values())


@pytest.mark.parametrize("column", COLUMNS, ids=lambda each: each.name)
def test_each_replay_is_there(column: Column) -> None:
    path, _, name = column.test.partition("::")
    assert f"def {name}(" in (Path(__file__).parents[2] / "suites" / path).read_text()
