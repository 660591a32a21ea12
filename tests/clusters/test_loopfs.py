"""Loop-backed file systems, made and taken down for real where the tests run as root."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chaos.basics.waiting import WaitedInVainError
from chaos.clusters.base import Images
from chaos.clusters.kind import loopfs
from chaos.clusters.kind.config import KindSetup, kind_config
from chaos.clusters.kind.loopfs import LoopFileSystem
from chaos.clusters.kind.pytestkind import KindTools
from chaos.clusters.shape import SHARED, VOLUME, Shape, Timers, dense_shape, stateful_shape
from chaos.errors import OrdealError
from tests.hosts.fake_docker import FakeDocker

SIZE = 16 * 1024**2
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="loop mounts need root")


def attached(folder: Path) -> bool:
    listed = subprocess.run(["losetup", "--list", "--json"], capture_output=True, text=True, check=True).stdout
    devices = json.loads(listed or '{"loopdevices": []}')["loopdevices"]
    return any(each["back-file"].startswith(str(folder)) for each in devices)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the file systems are; whatever a test leaves there is taken down."""
    yield tmp_path / "für uns"
    loopfs.take_down(tmp_path)


@needs_root
def test_made_found_again_by_the_folder_and_taken_down(folder: Path, tmp_path: Path) -> None:
    made = loopfs.make(folder, "imagefs", "/var/lib/containerd", SIZE)
    assert made == LoopFileSystem("imagefs", folder / "imagefs", "/var/lib/containerd")
    assert made.mounted.is_mount()
    assert list(made.mounted.iterdir()) == []
    said = os.statvfs(made.mounted)
    assert 0.7 * SIZE < said.f_blocks * said.f_frsize <= SIZE
    assert said.f_bavail > 0.95 * said.f_bfree, "no share is kept back for root"
    (made.mounted / "file").write_text("x")
    assert loopfs.left(folder)
    assert not loopfs.left(tmp_path / "another")
    loopfs.take_down(folder)
    assert not loopfs.left(folder)
    assert not folder.exists()
    assert not attached(folder)
    loopfs.take_down(folder)


@needs_root
def test_half_made_ones_are_taken_down_too(folder: Path) -> None:
    folder.mkdir()
    (folder / "imagefs.img").write_bytes(b"")
    os.truncate(folder / "imagefs.img", SIZE)
    loopfs.take_down(folder)  # a file, no loop device yet
    assert not folder.exists()
    folder.mkdir()
    (folder / "imagefs.img").write_bytes(b"\0" * SIZE)
    subprocess.run(["losetup", "--find", str(folder / "imagefs.img")], check=True)
    assert loopfs.left(folder)
    loopfs.take_down(folder)  # attached, not mounted
    assert not attached(folder)


@needs_root
def test_one_whose_file_was_deleted_is_found_by_its_folder(folder: Path) -> None:
    made = loopfs.make(folder, "imagefs", "/x", SIZE)
    (folder / "imagefs.img").unlink()
    assert loopfs.left(folder)
    loopfs.take_down(folder)
    assert not made.mounted.exists()
    assert not attached(folder)


@needs_root
def test_one_that_is_in_use_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopfs, "GONE_WITHIN_S", 1.0)
    made = loopfs.make(folder, "imagefs", "/x", SIZE)
    with (made.mounted / "file").open("w"), pytest.raises(WaitedInVainError, match=f"process {os.getpid()}[)]$"):
        loopfs.take_down(folder)
    assert (made.mounted / "file").exists()
    loopfs.take_down(folder)
    assert not loopfs.left(folder)


@needs_root
def test_who_has_a_copy_of_the_mount_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `ip netns exec` makes one: what is unmounted here stays mounted there, and keeps the loop device."""
    monkeypatch.setattr(loopfs, "GONE_WITHIN_S", 1.0)
    loopfs.make(folder, "imagefs", "/x", SIZE)
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec cat"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        with pytest.raises(WaitedInVainError, match=f"; used by cat [(]process {other.pid}[)]$"):
            loopfs.take_down(folder)
        other.stdin.close()
    loopfs.take_down(folder)
    assert not loopfs.left(folder)
    assert not attached(folder)


@needs_root
def test_it_is_filled_by_an_archive_and_nothing_of_it_is_shown_to_a_container(
    folder: Path, docker_client: FakeDocker, tmp_path: Path
) -> None:
    """So it makes no difference what users, labels or folders the engine gives containers."""
    (tmp_path / "image" / "content").mkdir(parents=True)
    (tmp_path / "image" / "content" / "blob").write_text("layer")
    os.chown(tmp_path / "image" / "content" / "blob", 1234, 5678)
    (tmp_path / "image" / "content").chmod(0o711)
    inside = f'shift $(($# - 1)); sh -ec "$(echo "$1" | sed \'s#/x/y#{tmp_path}/image#\')"'
    docker_client.install(run=inside)
    made = loopfs.make(folder, "imagefs", "/x/y", SIZE)
    loopfs.fill_from_image(made, "node:1", "copier")
    blob = made.mounted / "content" / "blob"
    assert (blob.read_text(), blob.stat().st_uid, blob.stat().st_gid) == ("layer", 1234, 5678)
    assert (made.mounted / "content").stat().st_mode & 0o777 == 0o711
    (call,) = docker_client.calls[:1]
    assert call.startswith("run --rm --name copier --network=none --entrypoint=sh node:1")
    assert not {"--volume", "-v", "--mount"} & set(call.split())
    missing = loopfs.make(folder, "nodefs", "/not/in/it", SIZE)
    loopfs.fill_from_image(missing, "node:1", "copier")
    assert list(missing.mounted.iterdir()) == []


def test_without_root_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(OrdealError, match=r"own for a node \(/var/lib/kubelet\) is a loop mount, which only root"):
        loopfs.make(tmp_path / "fs", "nodefs", "/var/lib/kubelet", SIZE)
    assert not (tmp_path / "fs").exists()


def test_too_little_room_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(OrdealError, match="MiB free, and a node's file system of"):
        loopfs.make(tmp_path / "fs", "nodefs", "/x", free)
    assert not list((tmp_path / "fs").iterdir())


def test_only_the_first_worker_gets_them(tmp_path: Path) -> None:
    setup = KindSetup(KindTools(Path("kind"), Path("kubectl")), "1.34.4", "image", Images("busybox"), cgroup_v1=True)
    shape = dense_shape(Timers())
    own = (LoopFileSystem("imagefs", tmp_path / "imagefs", "/var/lib/containerd"),)
    nodes = yaml.safe_load(kind_config(shape, setup, (own,)))["nodes"]
    mounts = [{"hostPath": str(tmp_path / "imagefs"), "containerPath": "/var/lib/containerd"}]
    assert [n.get("extraMounts") for n in nodes] == [None, mounts, None]
    assert not any("extraMounts" in n for n in yaml.safe_load(kind_config(Shape(), setup))["nodes"])


def test_every_worker_gets_its_volume_and_every_node_the_shared_folder(tmp_path: Path) -> None:
    setup = KindSetup(KindTools(Path("kind"), Path("kubectl")), "1.34.4", "image", Images("busybox"), cgroup_v1=True)
    own = tuple((LoopFileSystem(f"volume-{i}", tmp_path / f"volume-{i}", VOLUME),) for i in range(3))
    nodes = yaml.safe_load(kind_config(stateful_shape(Timers()), setup, own, tmp_path / "shared"))["nodes"]
    shared = {"hostPath": str(tmp_path / "shared"), "containerPath": SHARED}
    volumes = [{"hostPath": str(tmp_path / f"volume-{i}"), "containerPath": VOLUME} for i in range(3)]
    assert [n["extraMounts"] for n in nodes] == [[shared], *([volume, shared] for volume in volumes)]
