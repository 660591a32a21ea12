"""kubectl: the one that was built, else one that was taken out of a node image; half of one is none."""

import subprocess
from pathlib import Path

import pytest

from chaos.clusters.kind import ready
from chaos.errors import OrdealError
from chaos.hosts import kubectl
from chaos.hosts.command import CommandError
from chaos.hosts.engine import Engine
from tests.hosts.fake_docker import FakeDocker

IMAGE = "kindest/node:v1.34.4"


@pytest.fixture
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own kind; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    program = tmp_path / "kind"
    program.touch()
    return program


def engine_that_copies(tmp_path: Path, copy: str) -> Engine:
    made = FakeDocker(tmp_path / "bin").install(create="echo made", cp=copy, rm="echo removed")
    return Engine(made.client, "27", ours=False)


def test_one_is_taken_out_of_the_node_image_and_given_to_pytest_kind(tmp_path: Path, kind: Path) -> None:
    (tmp_path / "of-node").mkdir()
    (tmp_path / "of-node" / "kubectl").write_text("#!/bin/sh\n")
    (tmp_path / "of-node" / "kubectl").chmod(0o755)
    subprocess.run(["tar", "-C", tmp_path / "of-node", "-cf", tmp_path / "it.tar", "kubectl"], check=True)
    with pytest.raises(OrdealError, match="kind and kubectl are not there yet"):
        ready.kind_tools(kind)
    docker = engine_that_copies(tmp_path, f'[ "$2" = made:/usr/bin/kubectl ] && cat {tmp_path}/it.tar')
    taken = kubectl.take("1.34.4", IMAGE, docker)
    assert taken.stat().st_mode & 0o111
    assert kubectl.find("1.34.4") == taken
    assert kubectl.find("1.36.3") is None
    assert ready.kind_tools(kind, version="1.36.3").kubectl == taken  # any version's does


def test_one_of_a_version_that_is_not_pinned_serves_to_take_clusters_down(tmp_path: Path, kind: Path) -> None:
    kept = tmp_path / "cache" / "kube-ordeal" / "kubectl" / "taken-1.33.7" / "kubectl"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (kept.parents[1] / "taken-nonsense").mkdir()
    assert ready.kind_tools(kind).kubectl == kept


def test_half_of_one_is_none(tmp_path: Path, kind: Path) -> None:
    assert kind.is_file()
    with pytest.raises(CommandError):
        kubectl.take("1.34.4", IMAGE, engine_that_copies(tmp_path, "head -c 700 /dev/zero; exit 1"))
    assert kubectl.find("1.34.4") is None
    assert not list((tmp_path / "cache").rglob("*kubectl/*taking*"))
