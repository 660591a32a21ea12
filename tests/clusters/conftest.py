"""A docker client that is a script, for what clusters do with the engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.hosts import engine
from tests.hosts.fake_docker import FakeDocker


@pytest.fixture
def docker_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDocker]:
    """The one client of this machine. Before it a client is asked that the engine refuses."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    refused = FakeDocker(tmp_path / "first").install(version="echo 'permission denied' >&2; exit 1")
    made = FakeDocker(tmp_path / "second").install()
    monkeypatch.setattr(engine, "clients", lambda: [refused.client, made.client])
    monkeypatch.setattr(engine, "SOCKET", tmp_path / "docker.sock")
    monkeypatch.setenv("PATH", f"{refused.folder}:/usr/sbin:/usr/bin:/sbin:/bin")
    engine.chosen.cache_clear()
    engine.runs_here.cache_clear()
    yield made
    engine.chosen.cache_clear()
    engine.runs_here.cache_clear()
    assert refused.calls == []  # all who run `docker` run the client that was chosen
