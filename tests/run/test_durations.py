"""Durations are kept whatever becomes of the file, and there is an estimate for everything."""

import json
import multiprocessing
from pathlib import Path

import pytest

from chaos.clusters.base import KIND, SIMULATED
from chaos.hosts import mutants, workload_recipes
from chaos.hosts.places import state_dir
from chaos.run import durations
from chaos.run.case import Case
from chaos.run.incident import DENSE, PLAIN, SHAPES, STATEFUL
from chaos.run.suites import suites
from chaos.setup.steps import kind_steps, simulated_steps

KEY = durations.replay_key("x/test_x.py::test_x[kind-hardened]", "smoke", "1.34.4")


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, in a state folder of this test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return state_dir() / durations.FILE


def replay_s(profile: str = "smoke", kubernetes: str = "1.34.4", shape: str = PLAIN) -> float:
    return durations.load().replay_s("x/test_x.py::test_x[kind-hardened]", shape, profile, kubernetes)


def test_a_slow_day_is_the_estimate_and_older_figures_are_forgotten(kept: Path) -> None:
    for took_s in (90.0, *range(10, 15)):
        durations.record(KEY, took_s)
    assert json.loads(kept.read_text())["took_s"][KEY] == [10, 11, 12, 13, 14]
    assert replay_s() == 13
    durations.record(KEY, 3.0)
    assert replay_s() == 13


def test_a_single_figure_that_is_far_off_moves_no_estimate_once_there_are_three() -> None:
    """As measured: 515 s for a replay that takes 72 to 119 s filled a budget of 15 min with what was over in 8."""
    estimates = []
    for took_s in (119.2, 514.8, 81.7, 72.0, 89.3):
        durations.record(KEY, took_s)
        estimates.append(replay_s())
    assert estimates == [119.2, 514.8, 119.2, 119.2, 119.2]


def test_a_patch_version_is_no_other_and_another_minor_one_is_better_than_a_guess() -> None:
    durations.record(KEY, 33.0)
    assert replay_s(kubernetes="1.34.9") == 33
    assert replay_s(kubernetes="1.36.3") == 33
    durations.record(durations.replay_key("x/test_x.py::test_x[kind-hardened]", "smoke", "1.36.3"), 44.0)
    assert [replay_s(kubernetes=version) for version in ("1.34.4", "1.36.3")] == [33, 44]


def test_what_was_never_done_has_a_generous_guess_and_the_full_profile_a_longer_one() -> None:
    assert replay_s() < replay_s(shape=DENSE) < replay_s(shape=STATEFUL)
    assert replay_s("full") > replay_s() + 300
    durations.record(durations.replay_key("x/test_x.py::test_x[kind-hardened]", "full", "1.34.4"), 5.0)
    assert (replay_s("full"), replay_s()) == (5, durations.Durations().replay_s("", PLAIN, "smoke", ""))


def test_clusters_and_builds_and_specs_are_kept_too() -> None:
    durations.record(durations.cluster_key(KIND, DENSE), 7.0)
    durations.record(durations.build_key("mutant x"), 8.0)
    durations.record(durations.specs_key("1.34.4"), 9.0)
    known = durations.load()
    assert (known.cluster_s(KIND, DENSE), known.build_s("mutant x"), known.specs_s("1.34.1")) == (7, 8, 9)
    assert known.cluster_s(KIND, PLAIN) > known.cluster_s(SIMULATED, PLAIN) > 0


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"version": 1}',
        b'{"version": 1, "took_s": []}',
        b'{"version": 99, "took_s": {"a": [1]}}',
        b'{"version": 1, "took_s": {"a": [1]',
        b'{"version": 1, "took_s": {"a": [Infinity]}}',
        b'{"version": 1, "took_s": {"a": [' + b"9" * 5000 + b"]}}",
        b"[" * 100_000,
    ],
)
def test_a_file_that_is_damaged_or_of_another_version_is_replaced(kept: Path, damage: bytes) -> None:
    kept.write_bytes(damage)
    assert durations.load().own == {}
    durations.record(KEY, 12.0)
    assert replay_s() == 12
    assert list(json.loads(kept.read_text())["took_s"]) == [KEY]


@pytest.mark.parametrize("figures", ['"12"', "[]", "[true]", "[-1]", '["a"]', "null"])
def test_a_figure_that_is_none_spoils_no_other(kept: Path, figures: str) -> None:
    kept.write_text(f'{{"version": 1, "took_s": {{"bad": {figures}, "good": [4]}}}}')
    assert durations.load().own == {"good": (4.0,)}


def test_a_folder_that_can_not_be_written_is_no_error(kept: Path) -> None:
    kept.with_suffix(".lock").mkdir()
    durations.record(KEY, 12.0)
    assert durations.load().own == {}


def _record(number: int) -> None:
    durations.record(f"key {number}", 1.0)


def test_no_figure_is_lost_to_another_process() -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(_record, range(40))
    assert len(durations.load().own) == 40
    assert not list(state_dir().glob(".*"))


def test_what_is_shipped_is_of_replays_clusters_and_builds_that_there_are() -> None:
    shipped = durations.load().shipped
    cases = {
        f"{suite.test}[{Case(kind, control)}]"
        for suite in suites()
        for kind in suite.replay.on
        for control in (None, *suite.replay.controls)
    }
    there = {durations.replay_key(case, "smoke", "1.34") for case in cases}
    there |= {durations.cluster_key(kind, shape) for kind in (KIND, SIMULATED) for shape in SHAPES}
    there |= {durations.build_key(f"mutant {each.name}") for each in mutants.MUTANTS}
    there |= {durations.build_key(f"image {name}") for name in workload_recipes.names()}
    there |= {durations.build_key(step.what) for step in (*kind_steps(), *simulated_steps())}
    there |= {durations.specs_key("1.34")}
    assert set(shipped) <= there
    assert {durations.build_key(step.what) for step in (*kind_steps(), *simulated_steps())} <= set(shipped)
    assert durations.build_key("image ceph") in shipped
