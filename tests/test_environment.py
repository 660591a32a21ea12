"""The environment is filled by uv with what pip has been told on the machine, and by pip where uv can't be had."""

import re
import tomllib
from email.message import Message
from importlib.metadata import distributions
from pathlib import Path
from typing import cast

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import environment

ROOT = Path(__file__).parents[1]

LISTED = """\
:env:.cert='/etc/ssl/all.pem'
:env:.index-url='https://index.example/simple'
global.index-url='https://other.example/simple'
global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'
install.find-links='/opt/wheels /srv/wheels'
freeze.timeout='10'
global.default-timeout='180'
"""


def test_the_environment_outweighs_the_files_and_other_commands_do_not_count() -> None:
    told = environment.told(LISTED)
    assert told["index-url"] == "https://index.example/simple"
    assert "timeout" not in told


def test_what_pip_was_told_is_told_to_uv() -> None:
    variables, arguments = environment.as_uv(environment.told(LISTED))
    assert arguments == []
    assert variables == {
        "UV_DEFAULT_INDEX": "https://index.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_FIND_LINKS": "/opt/wheels,/srv/wheels",
        "UV_HTTP_TIMEOUT": "180",
        "SSL_CERT_FILE": "/etc/ssl/all.pem",
        "UV_NATIVE_TLS": "1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_NO_CONFIG": "1",
    }


def test_a_machine_that_asks_no_index_is_believed() -> None:
    variables, arguments = environment.as_uv(environment.told(":env:.no-index='1'\n"))
    assert arguments == ["--no-index"]
    assert "UV_DEFAULT_INDEX" not in variables


@pytest.mark.parametrize(("got", "by_pip", "code"), [(True, False, 0), (False, True, 0), (False, False, 1)])
def test_pip_goes_on_where_uv_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], got: bool, by_pip: bool, code: int
) -> None:
    monkeypatch.setattr(environment, "install_with_uv", lambda: got)
    monkeypatch.setattr(environment, "install_with_pip", lambda: by_pip)
    assert environment.main() == code
    assert ("pip goes on" in capsys.readouterr().err) is not got


def test_uv_is_called_with_hashes_and_for_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(argv: list[str], *_: object) -> bool:
        ran.append(argv)
        return True

    monkeypatch.setattr(environment, "_run", run)
    assert environment.install_with_uv()
    assert [Path(argv[0]).name for argv in ran[1:]] == ["uv", "uv"]
    assert all("--require-hashes" in argv for argv in ran[:2])


@pytest.mark.parametrize(
    ("name", "lock"),
    [("uv", "requirements-uv.lock"), ("atheris", "requirements-fuzz.lock"), ("cosmic-ray", "requirements-judges.lock")],
)
def test_what_is_installed_beside_is_pinned_with_hashes_and_by_one_version(name: str, lock: str) -> None:
    text = (environment.HERE / lock).read_text()
    assert text.count(f"{name}==") == 1
    assert "--hash=sha256:" in text


def test_what_is_locked_is_whole_and_can_be_installed_on_the_oldest_python() -> None:
    """Whatever Python resolved the lock: Debian 12's is 3.11.2."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = declared.removeprefix(">=") + ".0"
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    there = {canonicalize_name(each.name): each for each in distributions()}
    found = [there[name] for name in locked if name in there]
    assert len(found) > 0.9 * len(locked)
    wanted = {each.name: cast("Message", each.metadata).get("Requires-Python", "") for each in found}
    assert not {name: of for name, of in wanted.items() if not SpecifierSet(of).contains(oldest)}
    surroundings = {"python_version": declared.removeprefix(">="), "python_full_version": oldest, "extra": ""}
    needs = [(each.name, Requirement(text)) for each in found for text in each.requires or ()]
    asked = [(who, need) for who, need in needs if need.marker is None or need.marker.evaluate(surroundings)]
    assert not [f"{who} needs {need}" for who, need in asked if canonicalize_name(need.name) not in locked]
