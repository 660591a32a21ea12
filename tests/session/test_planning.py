"""A budget in a pytest run: what is deselected, printed, skipped when it is late, kept of durations, said at the end.

Suites are written here; their replays end at once, so that what they are thought to take decides.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chaos.harm import load_all
from chaos.results.saved import LeftOut, SavedRun
from chaos.run import durations
from chaos.run.suites import replays
from chaos.session import planning

pytest_plugins = ["pytester"]
load_all()
replays()

SUITE = """
from chaos.run.incident import incident
from chaos.judge.base import Finding, Verdict

def judged(lab):
    lab.findings.append(
        Finding("nothing-terminated", Verdict.VIOLATED, "seen", reason="taint-eviction") if lab.control
        else Finding("nothing-terminated", Verdict.HELD, "seen")
    )

@incident("mass-termination", on=("simulated",), controls=("default-tolerations",))
def test_short(lab):
    judged(lab)

@incident("bad-link", on=("simulated",), controls=("bad-pair",))
def test_middle(lab):
    lab.findings.append(Finding("links-alike", Verdict.HELD, "seen"))

@incident("still-conforms", on=("simulated",), controls=("no-dns",))
def test_long(lab):
    lab.findings.append(Finding("still-conforms", Verdict.HELD, "seen"))

def test_ordinary():
    pass
"""
# Far longer than these tests take on the slowest machine, so that what is gone of a budget decides nothing.
TOOK_S = {"test_short": 1000.0, "test_middle": 10_000.0, "test_long": 100_000.0}
CONTROLS = {"test_short": "default-tolerations", "test_middle": "bad-pair", "test_long": "no-dns"}


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes what this machine has kept."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for each in ("candidates", "stopwatch"):  # as where its programs are built
        monkeypatch.setattr(f"chaos.session.{each}.simulated_steps", lambda _: ())


@pytest.fixture
def folder(pytester: pytest.Pytester) -> Path:
    """A suite with known durations."""
    pytester.makepyfile(test_suite=SUITE)
    remember("test_suite.py", TOOK_S)
    return pytester.path


def remember(file: str, took_s: Mapping[str, float]) -> None:
    durations.record(durations.cluster_key("simulated", "plain"), 1.0)
    for name, seconds in took_s.items():
        for variant in ("hardened", f"control:{CONTROLS[name]}"):
            test = f"{file}::{name}[simulated-{variant}]"
            durations.record(durations.replay_key(test, "smoke", "1.34.4"), seconds)


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """One after the other, unless the options say so: a budget alone goes side by side."""
    return pytester.runpytest_inprocess("-p", "no:hypothesispytest", "-n0", *options)


def chosen(pytester: pytest.Pytester, *options: str) -> list[str]:
    done = run(pytester, "--collect-only", "-q", *options)
    return [line.split("::")[1] for line in done.outlines if "::" in line]


def results(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "results" / "latest" / "results.json").read_text())
    return content


SHORT = ["test_short[simulated-hardened]", "test_short[simulated-control:default-tolerations]"]
MIDDLE = ["test_middle[simulated-hardened]", "test_middle[simulated-control:bad-pair]"]


def test_what_the_budget_has_no_room_for_is_deselected(pytester: pytest.Pytester, folder: Path) -> None:
    assert chosen(pytester, "--ordeal-budget", "1h") == ["test_ordinary", *SHORT]
    assert chosen(pytester, "--ordeal-budget", "8h") == ["test_ordinary", *SHORT, *MIDDLE]
    assert len(chosen(pytester, "--ordeal-budget", "99h")) == len(chosen(pytester)) == 7


def test_the_plan_is_printed_before_it_starts(pytester: pytest.Pytester, folder: Path) -> None:
    done = run(pytester, "--collect-only", "--ordeal-budget", "8h")
    done.stdout.fnmatch_lines(
        [
            "plan: begins, takes, replay",
            "*16 min 41 s  test_short?simulated-hardened?*mass-termination",
            "*2 h 46 min  test_middle?simulated-hardened?*bad-link",
            "left out:",
            "  test_long?simulated-hardened?: it would end * after the budget",
            "plan: 4 chosen, expected to be over after * of 8 h 0 min; 2 left out",
        ]
    )
    quiet = run(pytester, "--collect-only", "-q", "--ordeal-budget", "8h").stdout.str()
    assert "plan: 4 chosen" in quiet
    assert "plan: begins" not in quiet
    assert not (folder / "results").exists()


def test_it_goes_together_with_what_else_chooses(pytester: pytest.Pytester, folder: Path) -> None:
    assert chosen(pytester, "--ordeal-budget", "8h", "-k", "middle") == MIDDLE
    assert chosen(pytester, "--ordeal-budget", "30m", "--ordeal-no-controls", "-k", "short") == SHORT[:1]
    assert chosen(pytester, "--ordeal-budget", "30m", "-k", "short and control") == SHORT[1:]
    done = run(pytester, "--ordeal-budget", "8h", "--ordeal-cluster", "kind", "-rs")
    done.assert_outcomes(passed=1, skipped=3)  # each still says that kind can't do it
    done = run(pytester, "--ordeal-budget", "8h", "-k", "nothing_of_that_name")
    assert done.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("soon", "--ordeal-budget soon: that is no time; write it like 15m, 1h30m or 900s"),
        ("0", "that is no time"),
        ("20s", "--ordeal-budget 20 s is too short: the shortest pair of replays, mass-termination on simulated"),
    ],
)
def test_nonsense_and_too_short_a_budget_end_before_anything_is_made(
    pytester: pytest.Pytester, folder: Path, given: str, says: str
) -> None:
    done = run(pytester, "--ordeal-budget", given)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    said = done.stdout.str() + done.stderr.str()
    assert says in said
    assert "Traceback" not in said
    assert not (folder / "results").exists()


def test_the_results_have_the_plan_and_name_what_was_left_out(pytester: pytest.Pytester, folder: Path) -> None:
    done = run(pytester, "--ordeal-budget", "1h")
    done.assert_outcomes(passed=3, deselected=4)
    content = results(folder)
    assert [each["test"].split("::")[1] for each in content["plan"]["replays"]] == SHORT
    assert content["plan"]["budget_s"] == 3600
    assert 2000 < content["plan"]["expected_end_s"] <= 3600
    assert [(each["id"], each["test"].split("::")[1]) for each in content["left_out"]] == [
        ("bad-link", MIDDLE[0]),
        ("bad-link", MIDDLE[1]),
        ("still-conforms", "test_long[simulated-hardened]"),
        ("still-conforms", "test_long[simulated-control:no-dns]"),
    ]
    assert all("after the budget" in each["why"] for each in content["left_out"])
    done.stdout.fnmatch_lines(["all of this is said of what was replayed: 4 left out (4 for the budget)"])
    page = (folder / "results" / "latest" / "report.html").read_text()
    assert "Safe, of what was replayed" in page


def test_what_should_not_end_in_time_any_more_is_skipped_and_named(
    pytester: pytest.Pytester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "clock", planning.clock)  # put back afterwards
    (folder / "conftest.py").write_text(
        "import pytest\nfrom chaos.session import planning\n"
        "@pytest.fixture(autouse=True)\n"
        "def slow(request):\n"
        "    yield\n"
        "    if 'short' in request.node.name and 'hardened' in request.node.name:\n"
        "        planning.clock = (lambda before: lambda: before() + 3 * 3600)(planning.clock)\n"
    )
    done = run(pytester, "--ordeal-budget", "8h")
    done.assert_outcomes(passed=3, skipped=2, deselected=2)
    content = results(folder)
    skipped = [each for each in content["left_out"] if "seen 3 h" in each["why"]]
    assert [each["test"].split("::")[1] for each in skipped] == MIDDLE
    assert {each["test"].split("::")[1] for each in content["incidents"]} == set(SHORT)


def test_a_verdict_leaves_its_duration_behind_and_an_unknown_one_does_not(
    pytester: pytest.Pytester, folder: Path
) -> None:
    (folder / "test_suite.py").write_text(
        SUITE + '\n@incident("pleg-churn", on=("simulated",))\ndef test_unknown(lab):\n    pass\n'
    )
    run(pytester, "-k", "short or unknown")
    own = durations.load().own
    assert [len(figures) for key, figures in own.items() if "test_short" in key] == [2, 2]
    assert not [key for key in own if "test_unknown" in key]


def test_processes_side_by_side_make_the_same_plan(pytester: pytest.Pytester, folder: Path) -> None:
    done = pytester.runpytest_subprocess("-n", "2", "-p", "no:hypothesispytest", "--ordeal-budget", "1h", timeout=300)
    done.assert_outcomes(passed=3)
    assert "plan: 2 chosen" in done.stderr.str()
    content = results(folder)
    assert len(content["left_out"]) == 4
    assert [each["test"].split("::")[1] for each in content["plan"]["replays"]] == SHORT


def test_too_short_a_budget_ends_processes_side_by_side_with_the_same_sentence(
    pytester: pytest.Pytester, folder: Path
) -> None:
    done = run(pytester, "-n", "1", "--ordeal-budget", "20s")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "--ordeal-budget 20 s is too short" in done.stdout.str()
    assert "Traceback" not in done.stdout.str() + done.stderr.str()
    assert not (folder / "results").exists()


def test_left_out_for_another_reason_is_said_with_it() -> None:
    left = (LeftOut("a", "x", "it is not part of the tour"), LeftOut("b", "x", "it would end 3 s after the budget"))
    saved = SavedRun("r", Path("results.json"), {}, (), left_out=(*left, left[0]))
    assert planning.summary(saved) == [
        "all of this is said of what was replayed: 3 left out (2 for it is not part of the tour; 1 for the budget)"
    ]
    assert planning.summary(SavedRun("r", Path("results.json"), {}, ())) == []


def test_after_the_tour_what_else_there_is_is_said_with_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    replay, spec = (
        "suites/node/test_pleg_churn.py::test_a_node_outlives_waves_of_pods[kind-hardened]",
        "x::test_spec[a]",
    )
    durations.record(durations.replay_key(replay.removeprefix("suites/"), "smoke", "1.34.4"), 600.0)
    left = [LeftOut(replay, "pleg-churn", planning.NOT_ON_TOUR), LeftOut(spec, "", planning.NOT_ON_TOUR)]
    saved = SavedRun("r", Path("results.json"), {}, (), left_out=tuple(left), options={"kubernetes": "1.34.4"})
    assert planning.more_than_the_tour(saved, 2) == [
        "this was the tour; there are 1 replays more. All of them: make run-all, about 10 min 0 s here"
    ]
    monkeypatch.setattr(planning, "beside", lambda: tmp_path)  # a wheel brings no Makefile
    assert "All of them: kube-ordeal run, about" in planning.more_than_the_tour(saved, 2)[0]
    assert planning.more_than_the_tour(SavedRun("r", Path("results.json"), {}, ()), 2) == []


@pytest.mark.parametrize(
    ("given", "numprocesses"),
    [((), None), (("--ordeal-budget", "15m"), "auto"), (("--ordeal-budget", "15m", "-n", "0"), 0)],
)
def test_a_budget_goes_side_by_side_unless_the_user_said_how(
    pytester: pytest.Pytester, given: tuple[str, ...], numprocesses: object
) -> None:
    config = pytester.parseconfig(*given)
    planning.go_side_by_side(config)
    assert config.option.numprocesses == numprocesses


def test_a_process_that_replays_starts_no_processes_of_its_own(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig("--ordeal-budget", "15m")
    config.workerinput = {"workerid": "gw0"}  # type: ignore[attr-defined]  # as pytest-xdist sets it
    planning.go_side_by_side(config)
    assert config.option.numprocesses is None
