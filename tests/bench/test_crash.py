"""tests/bench/crash.py: what is counted of a run of pytest, and the answer over several."""

from dataclasses import asdict, replace
from pathlib import Path

from tests.bench.crash import MADE, THEIRS, Crash, answer, crashes_of, of_file
from tests.bench.told import append

JUNIT = """<testsuites><testsuite>
<testcase name="test_a_killed_run_is_undone[power-off-1]" time="12.5"/>
<testcase name="test_a_killed_run_is_undone[power-off-2]" time="1"><failure message="not all was as before">x</failure>
<error message="teardown">y</error></testcase>
<testcase name="test_a_killed_run_is_undone[pause-1]" time="0"><skipped message="no"/></testcase>
</testsuite></testsuites>"""
SOUND = Crash("c", MADE, "2026-01-01T00:00:00+00:00", 7, "test_a_killed_run_is_undone[power-off-1]", 12.5, "")


def test_what_pytest_wrote_is_counted_but_for_what_it_skipped(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(JUNIT)
    first, second = crashes_of(report, "c", MADE, SOUND.began, 7)
    assert first == SOUND
    assert second.why == "not all was as before; teardown"


def test_the_answer_names_each_that_left_something_and_says_how_often_each_fault_was_tried() -> None:
    bad = replace(SOUND, test="test_a_killed_run_is_undone[pause-2]", why="a route")
    said = answer([SOUND, replace(SOUND, test=SOUND.test.replace("-1]", "-2]")), bad])
    assert said == [
        "made: 1 of 3 killed runs left something, or it can't be told",
        "  test_a_killed_run_is_undone[pause-2], seed 7: a route",
        "theirs: 0 of 0 killed runs left something, or it can't be told",
        "2 cases of faults on clusters made here, each killed 1 times at least",
    ]


def test_those_of_another_commit_do_not_count(tmp_path: Path) -> None:
    kept = tmp_path / "crashes.jsonl"
    for each in (SOUND, replace(SOUND, commit="d"), replace(SOUND, where=THEIRS)):
        append(kept, asdict(each))
    assert of_file(kept, "c") == [SOUND, replace(SOUND, where=THEIRS)]
