"""tests/bench/tours.py: the answer over many runs, and runs of a Makefile that only leaves results."""

import os
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.bench.told import append, read
from tests.bench.tours import Red, Tour, answer, differences, go, line, of_file
from tests.report.made import broken, outcome, proven, results

BOTH = ("side", "one")
GREEN = Tour(
    commit="c",
    what="tour",
    way="side",
    began="2026-01-01T00:00:00+00:00",
    code=0,
    took_s=400.0,
    idle=0.25,
    busy_s=600.0,
    load_before=0.5,
    load_after=2.0,
    results="results/r1",
    output="results/tours/r1.log",
    verdicts={"test_x[kind-hardened]": "held", "test_x[kind-control:a]": "violated"},
)
RED = replace(
    GREEN,
    code=1,
    verdicts={"test_x[kind-hardened]": "held", "test_x[kind-control:a]": "held"},
    reds=[Red("test_x[kind-control:a]", "the control was to be violated")],
)
ONE = replace(GREEN, way="one", took_s=900.0, idle=0.62, busy_s=675.0)


def test_all_green_with_equal_verdicts() -> None:
    said = answer([GREEN, ONE, replace(GREEN, took_s=420.0)], BOTH)
    figures = "median 410 s, 600 s of processor time, processors idle 25%"
    assert said[0] == f"side by side: 2 of 2 green, the last 2 in a row; {figures}"
    figures = "median 900 s, 675 s of processor time, processors idle 62%"
    assert said[1] == f"one after the other: 1 of 1 green, the last 1 in a row; {figures}"
    assert said[2:] == ["the verdicts are equal in all of them"]


def test_a_red_is_told_with_its_sentence_and_where_its_results_are() -> None:
    said = answer([GREEN, RED, GREEN, ONE], BOTH)
    assert said[0].startswith("side by side: 2 of 3 green, the last 1 in a row")
    assert said[2:] == [
        "verdicts that are NOT equal:",
        "  test_x[kind-control:a]: side by side held, violated; one after the other violated",
        "red: side by side, began 2026-01-01T00:00:00+00:00, exit code 1",
        "  test_x[kind-control:a]: the control was to be violated",
        "  results: results/r1; output: results/tours/r1.log",
    ]


def test_a_replay_that_is_missing_once_makes_verdicts_unequal() -> None:
    less = replace(ONE, verdicts={"test_x[kind-hardened]": "held"})
    assert differences([GREEN, less], BOTH) == {"test_x[kind-control:a]": {"side": ("violated",), "one": ("none",)}}


def test_a_red_one_without_results_says_so() -> None:
    assert line(replace(GREEN, code=2, results="", verdicts={}))[1:] == [
        "  results: none; output: results/tours/r1.log"
    ]


def test_one_way_only_compares_with_itself() -> None:
    assert answer([GREEN, GREEN], ("side",))[1:] == ["the verdicts are equal in all of them"]
    assert answer([], ("side",)) == ["side by side: none"]


def repository(tmp_path: Path, run: str) -> Path:
    root = tmp_path / "checkout"
    (root / "results").mkdir(parents=True)
    (root / "Makefile").write_text(f"run:\n{run}")
    return root


def test_runs_are_counted_over_sessions_and_a_red_one_stops_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKEFLAGS", " -- ARGS=--tours=2")
    monkeypatch.setenv("SIDE_BY_SIDE", "7")
    proven(tmp_path / "green", "20260101-000000-aaaa")
    red = results(tmp_path / "red", "20260101-000001-bbbb")
    red.add(outcome(broken(), why="a false alarm"))
    red.end()
    # the second one each way is red
    script = (
        '\t@echo "way $(SIDE_BY_SIDE) args $(ARGS)"; echo >>count; n=$$(wc -l <count); '
        f"case $$n in 3|4) from={tmp_path}/red; code=1;; *) from={tmp_path}/green; code=0;; esac; "
        "mkdir results/run$$n; cp $$from/2*/results.json results/run$$n/; exit $$code\n"
    )
    root, said = repository(tmp_path, script), list[str]()
    assert go(root, "tour", BOTH, 2, said.append) == 1
    there = of_file(root / "results" / "tours.jsonl", "unknown", "tour")
    assert [(t.way, t.code) for t in there] == [("side", 0), ("one", 0), ("one", 1), ("side", 1)]
    assert [Path(t.output).read_text().splitlines()[0] for t in there] == [
        "way auto args ",
        "way 0 args ",
        "way 0 args ",
        "way auto args ",
    ]
    assert there[2].reds == [Red("test_x[kind-hardened]", "a false alarm")]
    assert Path(there[2].results) == root / "results" / "run3"
    assert any(each.startswith("side by side: 1 of 2 green, the last 0 in a row") for each in said)
    said.clear()
    assert go(root, "tour", ("side",), 1, said.append) == 1
    assert any(each.startswith("side by side: 2 of 3 green, the last 1 in a row") for each in said)


def test_an_interrupted_run_does_not_count_and_the_summary_comes(tmp_path: Path) -> None:
    root, said = repository(tmp_path, "\t@sleep 60\n"), list[str]()
    append(root / "results" / "tours.jsonl", {**asdict(GREEN), "commit": "unknown"})

    def tell(text: str) -> None:
        said.append(text)
        if text.startswith("1 of 2"):
            signal.setitimer(signal.ITIMER_REAL, 0.5)

    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert go(root, "tour", BOTH, 1, tell) == 130
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert "interrupted: this run does not count" in said
    assert any(each.startswith("side by side: 1 of 1 green") for each in said)
    assert len(read(root / "results" / "tours.jsonl")) == 1


def test_a_line_that_was_cut_off_is_no_run(tmp_path: Path) -> None:
    path = tmp_path / "tours.jsonl"
    append(path, asdict(GREEN))
    with path.open("a") as file:
        file.write('{"commit": "c", "wh')
    append(path, asdict(ONE))
    assert of_file(path, "c", "tour") == [replace(each, reds=[]) for each in (GREEN, ONE)]
    assert of_file(path, "d", "tour") == of_file(path, "c", "all") == []
