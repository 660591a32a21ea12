"""No test of the machine reads, ends or starts an engine of this machine."""

from pathlib import Path

import pytest

from chaos.hosts import daemon, engine


@pytest.fixture(autouse=True)
def no_engine_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "PID_FILE", tmp_path / "docker.pid")
    monkeypatch.setattr(daemon, "RUN_ROOT", tmp_path / "run")
    monkeypatch.setattr(engine, "DATA_ROOT", tmp_path / "engine" / "docker")
