"""Programs and parts of the kernel are tried, not looked up. What is tried is a script here."""

import os
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.hosts import parts
from chaos.hosts.parts import FIREWALL, LOSS, NODE_NETWORKS, OWN_FILE_SYSTEMS, PARTS, ROOT, THROTTLING, Part

# Stands for `unshare --net`: the test's own programs are tried, in the network that is there.
UNSHARE = 'shift; exec "$@"'


@pytest.fixture(autouse=True)
def anew() -> None:
    parts._lacks.cache_clear()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every program that is asked for is there and works; root."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in {name for part in PARTS for name, _ in part.packages} | {"unshare", "modprobe"}:
        put(folder, name, UNSHARE if name == "unshare" else "exit 0")
    for name in ("sh", "env", "mknod"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return folder


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("part", [NODE_NETWORKS, FIREWALL, LOSS, THROTTLING], ids=lambda part: part.name)
def test_what_works_lacks_nothing(programs: Path, part: Part) -> None:
    assert programs
    assert part.lacks() == ""


@pytest.mark.parametrize(
    ("part", "program", "script", "why"),
    [
        (THROTTLING, "tc", "echo 'Error: Specified qdisc kind is unknown.' >&2; exit 2", "qdisc kind is unknown"),
        (
            LOSS,
            "iptables",
            "case $* in *statistic*) echo 'No chain/target/match' >&2; exit 1 ;; esac",
            "No chain/target",
        ),
        (FIREWALL, "iptables", "echo 'can not initialize iptables table' >&2; exit 3", "can not initialize"),
        (NODE_NETWORKS, "unshare", "echo 'unshare failed: Operation not permitted' >&2; exit 1", "not permitted"),
        (OWN_FILE_SYSTEMS, "mkfs.ext4", "exit 127", "`mkfs.ext4 -V` ended with 127"),
        (
            OWN_FILE_SYSTEMS,
            "losetup",
            "echo 'cannot find an unused loop device' >&2; exit 1",
            "no loop device to be had",
        ),
        (OWN_FILE_SYSTEMS, "losetup", "echo /dev/null", "/dev/null is no loop device"),
    ],
)
def test_a_part_that_the_kernel_has_not_is_told(
    programs: Path, part: Part, program: str, script: str, why: str
) -> None:
    put(programs, program, script)
    assert why in part.lacks()
    with pytest.raises(OrdealError, match=rf"{part.name} is not possible on this machine: .*{part.mend[:20]}"):
        parts.check(ROOT, part)


def test_a_program_that_is_not_installed_is_named_with_its_package(programs: Path) -> None:
    (programs / "tc").unlink()
    assert THROTTLING.lacks() == "there is no tc in PATH"
    assert THROTTLING.lacking_packages() == ("iproute2",)


def test_without_root_only_that_is_told(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(programs, "tc", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert {part.name: part.lacks() for part in PARTS if part.lacks()} == {"root": "this user is not root"}
