"""Folders that can't be made or written: one sentence, with what to do."""

import errno
import os
from pathlib import Path

import pytest

from chaos.basics import files
from chaos.errors import OrdealError
from chaos.hosts import places
from chaos.run import durations

NOWHERE = "/proc/nowhere"  # not even root makes a folder there


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("variable", ["XDG_STATE_HOME", "XDG_CACHE_HOME"])
def test_a_folder_that_cannot_be_made_is_one_sentence(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    places.check()
    monkeypatch.setenv(variable, NOWHERE)
    with pytest.raises(OrdealError, match=rf"{NOWHERE}/kube-ordeal can't be made .*{variable}"):
        places.check()


def test_a_state_folder_that_is_read_only_is_refused_and_such_a_cache_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    state, cache = places.state_dir(), places.cache_dir()
    monkeypatch.setattr(os, "access", lambda path, mode: path == state)
    places.check()
    monkeypatch.setattr(os, "access", lambda path, mode: path == cache)
    with pytest.raises(OrdealError, match="can't be written; name a folder that can with XDG_STATE_HOME"):
        places.check()


def test_durations_are_not_worth_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", NOWHERE)
    durations.record("x", 1.0)
    assert not durations.load().own


def test_only_what_goes_wrong_in_these_folders_is_told_as_the_users(tmp_path: Path) -> None:
    assert places.unwritten(PermissionError(13, "Permission denied", str(places.cache_dir() / "bin")))
    assert not places.unwritten(PermissionError(13, "Permission denied", str(tmp_path)))
    assert not places.unwritten(ValueError("x"))


def test_of_a_private_file_that_cannot_be_written_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    files.place(tmp_path / "k", "one")
    monkeypatch.setattr(os, "replace", full)  # when all of it is there
    with pytest.raises(OSError, match="No space left"):
        files.place(tmp_path / "k", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["k"]
    assert (tmp_path / "k").read_text() == "one"


def test_folders_are_the_users_and_a_relative_one_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", given)
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert places.state_path() == tmp_path / ".local" / "state" / "kube-ordeal"
        assert places.cache_path() == tmp_path / ".cache" / "kube-ordeal"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert places.cache_path() == Path("/elsewhere/kube-ordeal")


def test_a_user_without_a_home_is_told_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)  # of whom no password file knows
    with pytest.raises(OrdealError, match="no home folder; name one that can be written with XDG_CACHE_HOME"):
        places.cache_dir()
