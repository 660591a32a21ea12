"""Another project's tests in an environment with ten popular plugins: the same with this plugin and without it.

The environment is a new one. It sees the packages of this one; what lacks comes from the package index.
"""

import json
import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from chaos.session.ending import NO_RERUN
from tests.session.test_beside import THEIRS
from tests.session.test_plugin import SUITE, VERDICTS

ROOT = Path(__file__).parents[2]
PLUGINS = (
    "pytest-asyncio", "pytest-bdd", "pytest-cov", "pytest-html", "pytest-mock", "pytest-randomly",
    "pytest-rerunfailures", "pytest-sugar", "pytest-timeout", "pytest-xdist",
)  # fmt: skip
PROJECT = {
    "theirs.py": THEIRS,
    "conftest.py": "pytest_plugins = ['theirs']\n",
    "pyproject.toml": """
[tool.pytest.ini_options]
addopts = ["--strict-markers", "--context=them", "-p", "no:cacheprovider", "--randomly-seed=1", "--timeout=60"]
markers = ["slow: it takes longer"]
asyncio_default_fixture_loop_scope = "function"
""",
    "test_theirs.py": """
import asyncio, signal, sys
import pytest

@pytest.mark.slow
def test_options(pytestconfig):
    option = pytestconfig.option
    assert (option.profile, option.context, option.results) == (True, "them", "unset")

@pytest.mark.asyncio
async def test_async():
    await asyncio.sleep(0)

def test_mock(mocker):
    mocker.patch("os.getcwd", return_value="x")

def test_fails():
    assert 1 == 2

tries = []

@pytest.mark.flaky(reruns=2)
def test_flaky():
    tries.append(1)
    assert len(tries) > 1

@pytest.fixture
def lab():
    return "theirs"

@pytest.mark.parametrize("spec", ["kind-hardened"])
def test_names(spec, lab, testrun_uid):
    assert lab == "theirs"

def test_signals():
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
""",
    "test_more.py": "".join(f"def test_{number}(): pass\n" for number in range(6)),
    "theirs.feature": "Feature: theirs\n  Scenario: one\n    Given nothing\n",
    "test_bdd.py": """
from pytest_bdd import given, scenarios

scenarios("theirs.feature")

@given("nothing")
def nothing(): pass
""",
}
# What is another one with each run, or is this plugin's name among those that are there.
CHANGES = re.compile(r"\d+\.\d+s|gw\d|\[ *\d+%\]|(, )?'?kube-ordeal[-': ]+[\d.]+'?|={2,}")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with this plugin and the others."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=True)
    made = folder / "bin" / "python"
    asked = [str(made), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    (site / "beside.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    install = [str(made), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PLUGINS]
    done = subprocess.run(install, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return made


def run(python: Path, folder: Path, *given: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    env |= {"XDG_STATE_HOME": str(folder / "state"), "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "120"}
    argv = [str(python), "-m", "pytest", "-p", "no:hypothesispytest", *given]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


def project(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def lines(done: subprocess.CompletedProcess[str], *, in_order: bool) -> list[str]:
    said = [CHANGES.sub("", line) for line in done.stdout.splitlines()]
    return said if in_order else sorted(said)


@pytest.mark.parametrize("side_by_side", [(), ("-n", "2")], ids=["alone", "side by side"])
def test_another_projects_tests_run_unchanged(python: Path, tmp_path: Path, side_by_side: tuple[str, ...]) -> None:
    given = ("-v", "-p", "no:sugar", "--profile", "--reruns", "1", "--cov", ".", "--html=report.html", *side_by_side)
    without = run(python, project(tmp_path / "project", PROJECT), *given, "-p", "no:chaos.plugin")
    (tmp_path / "project").rename(tmp_path / "without")
    beside = run(python, project(tmp_path / "project", PROJECT), *given)
    assert "1 failed, 13 passed" in beside.stdout, beside.stdout + beside.stderr
    assert "theirs: True them unset None" in beside.stdout
    assert beside.returncode == without.returncode
    assert lines(beside, in_order=not side_by_side) == lines(without, in_order=not side_by_side)
    made = [{path.name for path in (tmp_path / name).iterdir()} for name in ("project", "without")]
    assert made[0] == made[1]
    sugared = run(python, tmp_path / "project", "--profile", "--force-sugar")
    assert "13 passed" in sugared.stdout


@pytest.mark.parametrize("side_by_side", [(), ("-n", "2")], ids=["alone", "side by side"])
def test_replays_have_the_same_verdicts_beside_them(
    python: Path, tmp_path: Path, side_by_side: tuple[str, ...]
) -> None:
    folder = project(tmp_path / "ours", {"test_suite.py": SUITE + VERDICTS})
    given = ("--reruns", "2", "--cov", ".", "--html=report.html", "--timeout", "60", "--force-sugar", *side_by_side)
    done = run(python, folder, *given)
    (path,) = folder.glob("results/2*/results.json")
    found = [(each["verdict"], each["passed"]) for each in json.loads(path.read_text())["incidents"]]
    assert sorted(found) == sorted(
        [("held", True)] * 4
        + [("held", False), ("violated", True), ("violated", False), ("violated", False)]
        + [("unknown", False)] * 4
    ), done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert NO_RERUN in done.stdout
