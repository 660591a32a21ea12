"""A container's cgroup is cleared for an engine and put back; a machine's root is left alone.."""

import shutil
from pathlib import Path

import pytest

from chaos.hosts import cgroups


def a_cgroup(root: Path, *, of_a_container: bool = True) -> Path:
    root.mkdir()
    (root / "cgroup.procs").write_text("1\n7\n")
    (root / "cgroup.subtree_control").write_text("cpu memory")
    if of_a_container:
        (root / "cgroup.type").write_text("domain")
    return root


def test_only_a_containers_cgroup_is_in_the_way(tmp_path: Path) -> None:
    assert cgroups.in_the_way(a_cgroup(tmp_path / "container"))
    assert not cgroups.in_the_way(a_cgroup(tmp_path / "machine", of_a_container=False))
    assert not cgroups.in_the_way(tmp_path / "cgroup-v1")


def test_each_process_is_moved_aside_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = a_cgroup(tmp_path / "container")
    cgroups.move_aside(root)
    assert (root / cgroups.ASIDE / "cgroup.procs").read_text() == "7"  # the last one that was written
    (root / "cgroup.procs").write_text("")
    monkeypatch.setattr(Path, "rmdir", shutil.rmtree)  # a cgroup's files go with it
    cgroups.move_back(root)
    assert (root / "cgroup.procs").read_text() == "7"
    assert (root / "cgroup.subtree_control").read_text() == "-cpu -memory"
    assert not (root / cgroups.ASIDE).exists()
    cgroups.move_back(root)
