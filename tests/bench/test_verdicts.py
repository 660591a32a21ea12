"""tests/bench/verdicts.py: what is counted of runs, the answer over them, rounds of a command that leaves results."""

import os
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from chaos.judge.base import Verdict
from tests.bench.told import append, read
from tests.bench.verdicts import BESIDE, COUNTED, KEPT, QUIET, Replayed, answer, counted, go, of_file, share
from tests.report.made import CONTROL, broken, outcome, proven, results

HELD = Replayed("c", QUIET, "kind", "2026-01-01T00:00:00Z", "test_x[kind-hardened]", "held", "as it was found", 61.4)
LATE = replace(HELD, verdict="unknown", why="the samples have a gap of 3.1 s", results="results/r2")


def test_the_answer_counts_each_verdict_with_the_interval_of_its_share() -> None:
    said = answer([HELD, HELD, HELD, LATE], [QUIET])
    assert said[0].split("  ")[0] == "way"
    row = said[1]
    assert row.startswith("one after the other  4        3 (75.0 %; 95 %: 19.4 to 99.4 %)")
    assert "0 (0.0 %; 95 %: 0.0 to 60.2 %)" in row
    assert row.endswith("1 (25.0 %; 95 %: 0.6 to 80.6 %)")
    assert "  test_x[kind-hardened]  3 held, 1 unknown" in said


@pytest.mark.parametrize(
    ("number", "of", "said"),
    [
        (0, 0, "0"),
        (0, 100, "0 (0.0 %; 95 %: 0.0 to 3.6 %)"),  # "the rule of three" says 3.0 for one side alone
        (1, 30, "1 (3.3 %; 95 %: 0.1 to 17.2 %)"),
        (5, 5, "5 (100.0 %; 95 %: 47.8 to 100.0 %)"),
    ],
)
def test_shares(number: int, of: int, said: str) -> None:
    assert share(number, of) == said


def test_causes_that_differ_by_their_numbers_are_one_and_each_replay_is_named() -> None:
    again = replace(LATE, why="the samples have a gap of 12 s", results="results/r3")
    alarm = replace(HELD, verdict="violated", why="803 of 800 MiB", results="")
    said = answer([HELD, LATE, again, alarm], [QUIET])
    at = said.index("unknown one after the other, 2 of 4: the samples have a gap of 3.1 s")
    assert said[at + 1 : at + 3] == [
        "  test_x[kind-hardened], began 2026-01-01T00:00:00Z: results/r2",
        "  test_x[kind-hardened], began 2026-01-01T00:00:00Z: results/r3",
    ]
    assert said[at + 3 :] == [
        "violated one after the other, 1 of 4: 803 of 800 MiB",
        "  test_x[kind-hardened], began 2026-01-01T00:00:00Z: no results",
    ]


def test_the_load_that_was_there_is_told() -> None:
    loaded = replace(HELD, way=BESIDE, load_before=3.2, load_after=12.75, niceness=10)
    assert "beside a load of 8: load averages of 3.2 to 12.8, replays at niceness 10" in answer([loaded], [BESIDE])


def test_hardened_replays_of_runs_are_counted_each_run_once_and_without_one_that_has_no_end(tmp_path: Path) -> None:
    proven(tmp_path, "20260101-000000-aaaa")
    late = results(tmp_path, "20260101-000001-bbbb")
    late.add(outcome(verdict=Verdict.UNKNOWN, passed=False, why="a gap"))
    late.add(outcome(broken(), control=CONTROL))
    results(tmp_path, "20260101-000002-cccc").begin(outcome().test, "mass-termination", cluster="kind", profile="smoke")
    found = list(counted([tmp_path, tmp_path / "20260101-000000-aaaa", tmp_path / "latest"]))
    assert [(each.verdict, each.why) for each in found] == [("held", "as it was found"), ("unknown", "a gap")]
    assert {each.way for each in found} == {COUNTED}


def test_tours_are_counted_from_their_file_also_where_their_results_are_gone(tmp_path: Path) -> None:
    proven(tmp_path, "20260101-000000-aaaa")
    names = {
        "test_x[kind-hardened]": "unknown",
        "test_x[kind-control:a]": "violated",
        "test_y[simulated-hardened]": "held",
    }
    tour = {
        "commit": "c", "what": "tour", "way": "side", "began": "2026-01-01T00:00:00+00:00", "code": 1, "took_s": 400.0,
        "idle": 0.25, "busy_s": 600.0, "load_before": 0.5, "load_after": 2.0, "results": str(tmp_path / "gone"),
        "output": "log", "verdicts": names, "reds": [{"replay": "test_x[kind-hardened]", "why": "a gap"}],
    }  # fmt: skip
    append(tmp_path / "tours.jsonl", tour)
    append(tmp_path / "tours.jsonl", {**tour, "results": str(tmp_path / "20260101-000000-aaaa")})
    found = list(counted([tmp_path, tmp_path / "tours.jsonl"]))
    assert [(each.replay, each.verdict, each.why, each.cluster) for each in found] == [
        ("test_x[kind-hardened]", "held", "as it was found", "kind"),
        ("test_x[kind-hardened]", "unknown", "a gap", "kind"),
        ("test_y[simulated-hardened]", "held", "", "simulated"),
    ], "the run that is a folder there, and the tour whose folder is gone"


def test_those_of_another_commit_do_not_count(tmp_path: Path) -> None:
    for each in (HELD, replace(HELD, commit="d")):
        append(tmp_path / KEPT, asdict(each))
    assert of_file(tmp_path / KEPT, "c") == [HELD]


def replaying(tmp_path: Path, *codes: str) -> list[str]:
    """A command that leaves a run each time, the n-th one as the n-th code says: held, unknown, or nothing at all."""
    proven(tmp_path / "held", "20260101-000000-aaaa")
    late = results(tmp_path / "unknown", "20260101-000000-aaaa")
    late.add(outcome(verdict=Verdict.UNKNOWN, passed=False, why="a gap"))
    late.end()
    script = (
        f"echo >> count; n=$(wc -l < count); set -- {' '.join(codes)}; shift $((n - 1)); [ $1 = none ] && exit 4; "
        f"mkdir -p results/run$n; cp {tmp_path}/$1/2*/results.json results/run$n/; exit 0"
    )
    return ["sh", "-c", script]


def test_rounds_are_counted_by_turns_until_each_way_has_so_many(tmp_path: Path) -> None:
    said: list[str] = []
    argv = replaying(tmp_path, "held", "held", "held", "unknown")
    assert go(tmp_path, argv, (QUIET, BESIDE), 2, 60.0, said.append) == 1
    kept = of_file(tmp_path / "results" / KEPT, "unknown")
    assert [(each.way, each.verdict) for each in kept] == [
        (QUIET, "held"), (BESIDE, "held"), (QUIET, "held"), (BESIDE, "unknown"),
    ]  # fmt: skip
    assert all(each.load_after > 0 for each in kept)
    assert any(line.startswith("unknown beside a load of 8, 1 of 2: a gap") for line in said)
    assert go(tmp_path, argv, (QUIET,), 2, 0.0, said.append) == 1, "no round begins, and those of before count"
    assert len(read(tmp_path / "results" / KEPT)) == 4


def test_all_that_held_is_no_failure_and_a_round_without_a_replay_ends_it(tmp_path: Path) -> None:
    said: list[str] = []
    argv = replaying(tmp_path, "held", "none", "held")
    assert go(tmp_path, argv, (QUIET,), 1, 60.0, said.append) == 0
    assert go(tmp_path, argv, (QUIET,), 5, 60.0, said.append) == 2
    assert "no hardened replay ended in that round (exit code 4)" in said


def test_an_interrupted_round_does_not_count_and_the_answer_comes(tmp_path: Path) -> None:
    append(tmp_path / "results" / KEPT, asdict(replace(HELD, commit="unknown")))
    said: list[str] = []
    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        assert go(tmp_path, ["sleep", "60"], (BESIDE,), 1, 60.0, said.append) == 130
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert "interrupted: this round does not count" in said
    assert any(line.startswith("one after the other  1 ") for line in said)
