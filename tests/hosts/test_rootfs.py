"""A root file system is open to all users of a node, whatever the umask of who makes it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from chaos.errors import OrdealError
from chaos.hosts import rootfs
from chaos.hosts.command import Output


@pytest.fixture
def strict() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict")
def test_what_is_made_in_it_can_be_read_by_all(tmp_path: Path) -> None:
    (tmp_path / "var/log/apt").mkdir(parents=True)
    for name in ("etc", "usr/share/doc"):
        (tmp_path / name).mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "var", tmp_path / "etc"):
        folder.chmod(0o755)
    rootfs.strip(tmp_path)
    made = ("var/log", "var/log/journal", "var/cache/apt/archives/partial", "var/lib/apt", "var/lib/apt/lists/partial")
    assert {name: (tmp_path / name).stat().st_mode & 0o777 for name in made} == dict.fromkeys(made, 0o755)
    assert (tmp_path / "etc/machine-id").stat().st_mode & 0o777 == 0o644


def test_debootstrap_has_a_umask_and_a_tmpdir_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def run(argv: list[str], **options: object) -> Output:
        given.update(options, program=argv[argv.index("--kill-child") + 1])
        return Output(0, "", "")

    monkeypatch.setenv("TMPDIR", str(tmp_path))  # which is not there inside the root file system
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(rootfs, "run", run)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/sbin/debootstrap")
    monkeypatch.setattr(rootfs, "FREE_BYTES_NEEDED", 0)
    monkeypatch.setattr(rootfs, "strip", lambda _: None)
    rootfs.debootstrap(tmp_path / "root", (), lambda _: None)
    assert (given["program"], given["umask"]) == ("debootstrap", 0o022)
    assert given["env"] == {"TMPDIR": "/tmp"}


def test_what_debian_has_not_signed_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """debootstrap itself goes on without a keyring, with a warning."""
    installed, ran = list[str](), list[str]()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(rootfs, "run", lambda argv, **_: ran.extend(argv))
    monkeypatch.setattr(rootfs, "install", lambda names, _: installed.extend(names))
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "gpgv" else f"/usr/bin/{name}")
    monkeypatch.setattr(rootfs, "KEYRING", tmp_path / "keyring.gpg")
    monkeypatch.setattr(rootfs, "FREE_BYTES_NEEDED", 0)
    monkeypatch.setattr(rootfs, "strip", lambda _: None)
    rootfs.debootstrap(tmp_path / "root", (), lambda _: None)
    assert installed == ["gpgv", "debian-archive-keyring"]
    assert {"--force-check-gpg", f"--keyring={tmp_path / 'keyring.gpg'}"} <= set(ran)


def test_too_little_room_is_a_sentence_that_names_the_folder_to_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=700 << 20))
    with pytest.raises(OrdealError) as refused:
        rootfs.debootstrap(tmp_path / ".building-x" / "root", (), lambda _: None)
    said = str(refused.value)
    assert said.startswith(f"{tmp_path}/kube-ordeal has 700 MiB free, and a root file system for an image takes 2048")
    assert said.endswith("free some space")
