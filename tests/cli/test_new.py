"""`kube-ordeal new incident`: what it writes is whole, and what can't be written leaves nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.cli import new
from chaos.cli.new import LONGEST, SKELETON, TO_WRITE, checkout, write_incident
from chaos.errors import OrdealError
from chaos.judge.catalogue import incidents
from tests.lesson import copy_checkout, ruff_says


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with nothing in it."""
    for folder in ("chaos/subjects", "suites", "tests/subjects"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def folders(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir())


def test_a_new_incident_is_found_with_its_suite_and_its_control(tmp_path: Path) -> None:
    copy = copy_checkout(tmp_path / "checkout")
    own = {each: str(tmp_path / each) for each in ("XDG_CACHE_HOME", "XDG_STATE_HOME")}
    environment = {**os.environ, **own, "PYTHONPATH": str(copy), "PYTHONSAFEPATH": "1"}

    def ordeal(*arguments: str) -> str:
        command = [sys.executable, "-m", "chaos", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = ordeal("new", "incident", "wild-fire", "--subject", "heat").splitlines()
    assert told[:7] == [
        "chaos/subjects/heat/__init__.py",
        "chaos/subjects/heat/faults.py",
        "chaos/subjects/heat/incident.py",
        "chaos/subjects/heat/promises.py",
        "suites/heat/test_wild_fire.py",
        "tests/subjects/heat/test_promises.py",
        "tests/subjects/heat/__init__.py",
    ]
    assert {(copy / name).stat().st_mode & 0o777 for name in told[:7]} == {0o666 & ~_umask()}
    own_tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/subjects/heat"]
    done = subprocess.run(own_tests, cwd=copy, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "3 passed" in done.stdout, done.stdout
    listed = {each["id"]: each for each in json.loads(ordeal("list", "--json"))}
    assert listed.keys() == {each.id for each in incidents()} | {"wild-fire"}
    (suite,) = listed["wild-fire"]["suites"]
    assert suite["test"] == "heat/test_wild_fire.py::test_wild_fire"
    assert suite["controls"] == [each["id"] for each in listed["wild-fire"]["controls"]]


def _umask() -> int:
    os.umask(now := os.umask(0o077))
    return now


def test_what_is_written_is_as_ruff_wants_it_whatever_the_name(tmp_path: Path) -> None:
    copy = copy_checkout(tmp_path / "checkout")
    longest = "-".join(["wild"] * 6)
    assert LONGEST - len(longest) <= 1
    written = [path for name in ("x", longest) for path in write_incident(copy, name, name.replace("-", "_"))]
    assert ruff_says(copy, [*map(str, written)]) == ""


def test_each_file_says_what_is_to_be_written_in_it() -> None:
    templates = list(SKELETON.iterdir())
    assert len(templates) == 6
    assert [each.name for each in templates if TO_WRITE not in each.read_text()] == []


@pytest.mark.parametrize(
    ("name", "subject", "what"),
    [
        ("Fire", "fire", "'Fire' can't be an incident's id"),
        ("wild_fire", "fire", "can't be an incident's id"),
        ("wild--fire", "fire", "can't be an incident's id"),
        ("wild-fire-", "fire", "can't be an incident's id"),
        ("1st", "first", "can't be an incident's id"),
        ("../fire", "fire", "can't be an incident's id"),
        ("", "fire", "can't be an incident's id"),
        ("f" * (LONGEST + 1), "fire", "can't be an incident's id"),
        ("fire", "wild-fire", "'wild-fire' can't be a subject's folder"),
        ("fire", "../fire", "can't be a subject's folder"),
        ("fire", "__pycache__", "can't be a subject's folder"),
        ("import", "import", "can't be a subject's folder.*--subject"),
        ("mass-termination", "fire", "an incident 'mass-termination' already"),
        ("power-off", "fire", "a fault 'power-off' already"),
    ],
)
def test_names_that_do_not_fit_or_are_taken_are_refused(root: Path, name: str, subject: str, what: str) -> None:
    with pytest.raises(OrdealError, match=what):
        write_incident(root, name, subject)
    assert files(root) == []


def test_what_is_there_is_left_alone(root: Path) -> None:
    written = write_incident(root, "wild-fire", "heat")
    before = files(root)
    with pytest.raises(OrdealError, match=r"chaos/subjects/heat is there already: add to its incident\.py"):
        write_incident(root, "camp-fire", "heat")
    with pytest.raises(OrdealError, match=r"suites/heat/test_wild_fire\.py is there already"):
        write_incident(root, "wild-fire", "forest")
    assert files(root) == before == sorted(str(path.relative_to(root)) for path in written)


@pytest.mark.parametrize("place", ["suites/heat", "suites/heat/test_wild_fire.py", "tests/subjects/heat"])
def test_where_a_file_cant_be_written_none_is(root: Path, place: str) -> None:
    """Its tests come last: what was written before them goes again. A link that leads nowhere is in the way."""
    (root / place).parent.mkdir(exist_ok=True)
    (root / place).symlink_to("nowhere") if place.endswith("heat") else (root / place).mkdir()
    before = folders(root)
    with pytest.raises(OrdealError, match=r"s/heat.*already|s/heat.*can't be written \(File exists\)"):
        write_incident(root, "wild-fire", "heat")
    assert files(root) == []
    assert folders(root) == before


def test_an_installed_package_is_no_place_for_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OrdealError, match="belongs into a checkout: clone the repository"):
        checkout(root)
    monkeypatch.setattr(new, "beside", lambda: root)
    with pytest.raises(OrdealError, match="belongs into a checkout"):  # what is around an installed package is others'
        checkout(root)
    (root / "pyproject.toml").touch()
    assert checkout(root) == root
