"""`kube-ordeal run` in a folder of somebody else's, and `pytest --pyargs chaos.suites`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.hosts import places
from chaos.hosts.places import suites_dir
from chaos.run import options
from chaos.session import running
from tests.cli.test_cli import Home

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-P", "-m", "chaos.cli.app", "run"]
PYTEST = [sys.executable, "-P", "-m", "pytest"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Another project's: its settings, conftest, and modules would each stop the run."""
    made = tmp_path / "theirs"
    made.mkdir()
    (made / "pytest.ini").write_text("[pytest]\naddopts = --theirs\ntestpaths = none\n")
    (made / "conftest.py").write_text("raise RuntimeError('their conftest was loaded')\n")
    (made / "chaos.py").write_text("raise RuntimeError('their module was imported')\n")
    return made


def ran(argv: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    own = {"XDG_CACHE_HOME": str(folder.parent / "cache"), "XDG_STATE_HOME": str(folder.parent / "state")}
    env = {**os.environ, "PYTHONPATH": str(ROOT), **own, **more}
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("autoload", ["", "1"])
def test_the_suites_are_run_whatever_the_folder_holds(folder: Path, autoload: str) -> None:
    given = ["--collect-only", "-q", "--ordeal-cluster", "simulated"]
    done = ran([*COMMAND, *given], folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD=autoload)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = [line for line in done.stdout.splitlines() if "::" in line]
    folders = {line.partition("::")[0].split("/")[1] for line in tests}
    assert all(line.startswith("suites/") for line in tests)
    there = {each.name for each in suites_dir().iterdir() if any(each.glob("test_*.py"))}
    assert folders == there - {"campaign"}  # which runs only where it is named


def test_what_is_named_is_run_and_the_exit_code_is_pytests(folder: Path) -> None:
    file = "suites/control_plane/test_mass_termination_simulated.py"
    done = ran([*COMMAND, file, "-k", "simulated and hardened", "--collect-only", "-q"], folder)
    assert {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line} == {file}
    assert ran([*COMMAND, file, "-k", "nothing_is_called_so"], folder).returncode == 5
    done = ran([*COMMAND, "suites/none"], folder)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "kube-ordeal: there is no suites/none; there are suites/campaign, suites/conformance, "
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("more", [[], ["-n", "1"]], ids=["alone", "side by side"])
def test_results_and_caches_go_into_the_folder(folder: Path, more: list[str]) -> None:
    (folder / "conftest.py").unlink()
    before = {*suites_dir().parent.iterdir()}
    done = ran([*COMMAND, "suites/preflight/test_storage_driver.py", "--ordeal-cluster", "simulated", *more], folder)
    assert (done.returncode, "1 skipped" in done.stdout) == (0, True), done.stdout + done.stderr
    assert (folder / ".pytest_cache").is_dir()
    assert {*suites_dir().parent.iterdir()} == before


def test_help_names_each_option(tmp_path: Path) -> None:
    done = Home(tmp_path).run("run", "--help")
    assert done.code == 0
    for each in options.OPTIONS:
        assert f"  {each.usage}\n      {each.help}" in done.out
    assert "pytest --help" in done.out


def test_pyargs_names_the_suites(folder: Path) -> None:
    (folder / "conftest.py").unlink()
    (folder / "pytest.ini").unlink()
    (folder / "chaos.py").unlink()
    given = ["--pyargs", "chaos.suites.preflight.test_storage_driver", "--collect-only", "-q"]
    for more, autoload in (([], ""), (["-p", "chaos.plugin"], "1")):
        done = ran([*PYTEST, *given, *more], folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD=autoload)
        found = [line for line in done.stdout.splitlines() if "::" in line]
        assert found, done.stdout + done.stderr
        assert all(each.startswith("suites/preflight/test_storage_driver.py::") for each in found)


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("chaos.suites", ""),
        ("chaos.suites.preflight", "preflight"),
        ("chaos.suites.preflight.test_bad_link::test_x[a::b]", "preflight/test_bad_link.py::test_x[a::b]"),
        ("chaos.suites.none", None),
        ("chaos.suitest", None),
        ("-q", None),
    ],
)
def test_a_module_is_found(argument: str, path: str | None) -> None:
    assert running.imported(argument) == ("" if path is None else str(suites_dir() / path))


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("suites", ""),
        ("suites/", ""),
        ("suites/preflight", "preflight"),
        ("suites/preflight/test_bad_link.py::test_x", "preflight/test_bad_link.py::test_x"),
        ("suites/none", None),
        ("preflight", None),
        ("--suites", None),
    ],
)
def test_a_path_is_found(argument: str, path: str | None) -> None:
    found = running.located(argument)
    assert found.rstrip("/") == ("" if path is None else str(suites_dir() / path))


def test_in_a_wheel_what_lies_around_the_package_is_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site-packages"
    monkeypatch.setattr(places, "__file__", str(site / "chaos" / "hosts" / "places.py"))
    (site / "suites").mkdir(parents=True)
    assert places.suites_dir() == site / "suites"
    (site / "chaos" / places.BESIDE / "suites").mkdir(parents=True)
    assert places.suites_dir() == site / "chaos" / places.BESIDE / "suites"
    assert places.manifests_dir() == site / "chaos" / places.BESIDE / "manifests"


@pytest.mark.parametrize(
    ("given", "all_of_them", "passed_on"),
    [
        ([], True, []),
        (["-k", "suites", "-x"], True, ["-k", "suites", "-x"]),
        (
            ["--deselect", "suites/preflight/test_bad_link.py::test_x"],
            True,
            ["--deselect", "suites/preflight/test_bad_link.py::test_x"],
        ),
        (["--ignore", "suites/conformance"], True, ["--ignore", f"{suites_dir()}/conformance"]),
        (["--ignore=suites/conformance"], True, [f"--ignore={suites_dir()}/conformance"]),
        (["suites/network", "-q"], False, [f"{suites_dir()}/network", "-q"]),
        (["suites/mine"], False, ["suites/mine"]),  # made by the test
        (["test_mine.py::test_x"], False, ["test_mine.py::test_x"]),
        (["--ordeal-kubeconfig", "config"], True, ["--ordeal-kubeconfig", "config"]),
    ],
)
def test_all_are_run_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], *, all_of_them: bool, passed_on: list[str]
) -> None:
    (tmp_path / "suites" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert running.named(given) == ([str(suites_dir())] if all_of_them else []) + passed_on
