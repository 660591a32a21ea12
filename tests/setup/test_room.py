"""Before a run makes anything it says what it will need of the disks, and ends where there is clearly too little."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.errors import OrdealError
from chaos.hosts import disk, engine
from chaos.hosts.disk import GIB, Disk
from chaos.setup import room


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(engine, "find", lambda: None)
    monkeypatch.setattr(engine, "DATA_ROOT", tmp_path / "engine" / "data")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * GIB))


def test_what_is_on_one_file_system_is_needed_there_together(tmp_path: Path) -> None:
    results = tmp_path / "not" / "there" / "yet"
    (only,) = room.look(results, {EXISTING}, replays=2)
    assert (only.path, only.free_bytes) == (str(results), 2 * GIB)
    assert only.need_bytes == room.PAGE_BYTES + 2 * room.REPLAY_BYTES
    (both,) = room.look(results, {KIND, SIMULATED}, replays=2)
    assert both.need_bytes == only.need_bytes + room.KIND_BYTES + room.SIMULATED_BYTES


def test_the_engines_own_disk_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find", object)
    about = SimpleNamespace(here=True, data_root="/proc/its-data")  # on another file system
    monkeypatch.setattr(engine, "info", lambda _: about)
    results, of_engine = room.look(tmp_path, {KIND}, replays=1)
    assert (results.path, of_engine.path, of_engine.need_bytes) == (str(tmp_path), "/proc/its-data", room.KIND_BYTES)


def test_what_is_needed_is_said_and_too_little_is_an_error() -> None:
    said: list[str] = []
    room.check([Disk("/r", 5 * GIB, GIB), Disk("/e", 2 * GIB, 3 * GIB)], said.append)
    assert said == ["disk: 5.0 GiB free at /r, 1.0 GiB needed; 2.0 GiB free at /e, 3.0 GiB needed"]
    with pytest.raises(OrdealError, match=r"too little .* 1\.0 GiB free at /e, 3\.0 GiB needed; free 2\.0 GiB"):
        room.check([Disk("/r", 5 * GIB, GIB), Disk("/e", GIB, 3 * GIB)], said.append)
    assert len(said) == 2


def test_a_place_that_nobody_may_look_at_is_on_the_disk_around_it(tmp_path: Path) -> None:
    unseen = tmp_path / ("x" * 300) / "results"  # as in a folder of somebody else's, stat ends with an error
    (only,) = disk.look_at_all([(unseen, GIB), (tmp_path, GIB)])
    assert (only.path, only.need_bytes) == (str(unseen), 2 * GIB)
