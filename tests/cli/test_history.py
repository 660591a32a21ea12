"""The commands about the history of runs, as a user meets them."""

import json
from pathlib import Path

import pytest
import yaml

from chaos.results import run_history
from tests.cli.test_cli import Home, refused
from tests.report.made import finding, outcome, results
from tests.results.past_made import judged, measured, past, replayed


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path)


def ran(root: Path, run: str, value: float = 100.0) -> Path:
    made = results(root, run)
    made.add(outcome(finding(longest_outage_ms=value)))
    made.end()
    return made.directory


def test_runs_of_a_folder_are_added_and_shown(home: Home) -> None:
    for number in range(2):
        ran(home.path / "results", f"20260101-00000{number}-abcd", 100.0 + number)
    done = home.run("history", "add", "results")
    assert done.code == 0, done.err
    assert done.out.splitlines()[:2] == ["added: 20260101-000000-abcd", "added: 20260101-000001-abcd"]
    assert "history.sqlite" in done.out
    again = home.run("history", "add", "20260101-000000-abcd")
    assert again.out.splitlines()[0] == "there already: 20260101-000000-abcd"
    runs = json.loads(home.run("history", "runs", "--json").out)["runs"]
    assert [each["run"] for each in runs] == ["20260101-000000-abcd", "20260101-000001-abcd"]
    assert "20260101-000000-abcd" in home.run("history", "runs").out
    shown = json.loads(home.run("history", "show", "--json").out)
    (figure,) = shown["figures"]
    assert (figure["n"], figure["median"], figure["p99"], figure["p99_is_greatest"]) == (2, 100.5, 101.0, True)
    assert [each["value"] for each in figure["values"]] == [100.0, 101.0]
    assert shown["replays"][0]["verdicts"] == {"held": 2}


def test_what_can_not_be_added_is_told_and_the_others_are(home: Home) -> None:
    ran(home.path / "results", "good")
    (ran(home.path / "results", "bad") / "results.json").write_text("{")
    done = home.run("history", "add", "results", "--file", "h.sqlite")
    refused(done, "can't be used")
    assert "added: good" in done.out
    assert [run.id for run in run_history.load(home.path / "h.sqlite").runs] == ["good"]


def test_a_run_that_was_changed_since_needs_a_word(home: Home) -> None:
    ran(home.path / "results", "one")
    home.run("history", "add", "one")
    made = results(home.path / "results", "one")
    made.add(outcome())
    refused(home.run("history", "add", "one"), "was changed since: --replace")
    assert "taken as it is now: one" in home.run("history", "add", "one", "--replace").out


def test_show_leaves_out_what_is_not_asked_for(home: Home) -> None:
    slow = replayed(judged("violated", longest_outage_ms=9000), control="slow", passed=True)
    other = replayed(judged(), cluster="simulated", image="")
    held = replayed(judged(longest_outage_ms=0, pods=6))
    run_history.add(home.path / "h", [past(n, held, slow, other) for n in range(3)])
    done = home.run("history", "show", "--file", "h")
    assert "Kubernetes 1.34.4, node:v1, profile smoke, 2 cpus, memory 8.0 GiB" in done.out
    assert "pods" not in done.out
    assert "9000" not in done.out
    assert "P99 of fewer than 100, is the greatest" in done.out
    assert "2 counts, and figures of controls, are not shown" in done.out
    assert "9000 ms" in home.run("history", "show", "--file", "h", "--incident", "mass-termination").out
    alone = home.run("history", "show", "--file", "h", "--figure", "pods").out
    assert "pods" in alone
    assert alone.count("Kubernetes") == 1
    refused(home.run("history", "show", "--file", "h", "--figure", "none"), "no figure none; it has longest_outage_ms")
    refused(home.run("history", "show", "--file", "h", "--incident", "x"), "no replay of x; it has mass-termination")


def test_limits_are_yaml_and_what_is_left_out_is_told_aside(home: Home) -> None:
    run_history.add(home.path / "h", [measured(n, 1000 + n) for n in range(20)])
    done = home.run("history", "limits", "--at", "p99", "--cpus", "2", "--file", "h")
    assert yaml.safe_load(done.out) == {"outage-at-most": {"limit_s": 1.02}}
    more = home.run("history", "limits", "--at", "p95", "--cpus", "2", "--file", "h", "--at-least", "21")
    assert "outage-at-most: mass-termination on kind has it from 20 runs, and 21 are needed" in more.err
    refused(more, "gives no limit")
    refused(
        home.run("history", "limits", "--at", "p99", "--cpus", "8", "--file", "h"), "on 8 cpus the history has none"
    )
    refused(home.run("history", "limits", "--at", "p1", "--cpus", "2", "--file", "h"), "say p95 or p99")


def test_the_bar(home: Home) -> None:
    run_history.add(home.path / "h", [measured(n, 1) for n in range(3)])
    done = home.run("history", "bar", "--file", "h")
    assert "3 of 3 runs, 100 %; asked are 75 %: kept" in done.out
    assert json.loads(home.run("history", "bar", "--file", "h", "--json").out)["failed_in_a_row"]["at_most"] == 10


def test_a_page_with_trends_is_made_where_a_history_is_named(home: Home) -> None:
    folder = ran(home.path / "results", "one")
    refused(home.run("report", "one", "--history"), "there is no history at")
    run_history.add(home.path / "h", [measured(n, 1) for n in range(3)])
    assert home.run("report", "one", "--history-file", "h").code == 0
    assert "Trends" in (folder / "report.html").read_text()


def test_a_comparison_measures_how_often_it_is_wrong(home: Home) -> None:
    for number in range(2):
        ran(home.path / "results", f"run-{number}")
    refused(home.run("compare", "run-0", "run-1", "--history"), "there is no history at")
    done = home.run("compare", "run-0", "run-1", "--json")
    assert json.loads(done.out)["equal_versions"]["why"] == "no history of runs was named"
    home.run("history", "add", "results")
    told = json.loads(home.run("compare", "run-0", "run-1", "--history", "--json").out)
    assert told["equal_versions"]["runs"] == 2
    assert told["equal_versions"]["wrong"] == 0
