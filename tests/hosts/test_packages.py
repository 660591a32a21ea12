"""Debian's packages: on record before they are installed, none removed for them, and taken back. apt is a script."""

import os
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.hosts import packages, record
from chaos.hosts.record import MachineRecord

NEW = """NOTE: This is only a simulation!
Inst tini (0.19.0-1 Debian:12/stable [amd64])
Inst libc6 [2.36-9] (2.36-10 Debian:12/stable [amd64])
Inst docker.io (20.10.24 Debian:12/stable [amd64])
Conf docker.io (20.10.24 Debian:12/stable [amd64])
"""


class Apt:
    """apt-get and dpkg-query in a folder of their own; how apt-get was called is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def install(self, apt: str, dpkg: str = "exit 1") -> None:
        calls = f'echo "$*" >>{self.folder}/calls'
        for name, script in (("apt-get", f"{calls}\n{apt}"), ("dpkg-query", dpkg)):
            (self.folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.folder / name).chmod(0o755)

    @property
    def calls(self) -> list[str]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [line.removeprefix("-o DPkg::Lock::Timeout=300 ") for line in lines]


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return Apt(tmp_path / "bin")


def test_what_is_new_is_on_record_before_it_is_installed(apt: Apt, tmp_path: Path) -> None:
    copy = f"cp {record.path()} {tmp_path}/at-install"
    apt.install(f'case "$*" in *--simulate*) cat <<END\n{NEW}END\n;; *--no-remove*) {copy} ;; esac')
    packages.install(("docker.io",))
    assert record.read() == MachineRecord(packages=("docker.io", "tini"))  # and not what was only brought up to date
    assert '"tini"' in (tmp_path / "at-install").read_text()
    assert apt.calls == [
        "update -q",
        "install -y -q --no-install-recommends docker.io --simulate",
        "install -y -q --no-install-recommends docker.io --no-remove",
    ]


def test_what_a_failed_install_did_not_bring_goes_off_the_record(apt: Apt) -> None:
    fails = f'case "$*" in *--simulate*) cat <<END\n{NEW}END\n;; *--no-remove*) exit 100 ;; esac'
    apt.install(fails, "echo 'tini iU '; echo 'docker.io un '")
    record.change(lambda _: MachineRecord(packages=("maven",)))
    with pytest.raises(OrdealError, match="exited with 100"):
        packages.install(("docker.io",))
    assert record.read() == MachineRecord(packages=("maven", "tini"))


def test_nothing_is_removed_for_a_package(apt: Apt) -> None:
    apt.install('case "$*" in *--simulate*) echo "Remv podman-docker [4.3.1]" ;; esac')
    with pytest.raises(OrdealError, match=r"to install docker\.io would remove podman-docker: nothing was done"):
        packages.install(("docker.io",))
    assert record.read() == MachineRecord()
    assert len(apt.calls) == 2


def test_a_lock_that_another_program_holds_is_waited_for(apt: Apt, tmp_path: Path) -> None:
    held = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1 (apt-get)"
    apt.install(f"[ -e {tmp_path}/free ] || {{ echo '{held}' >&2; exit 100; }}")
    told: list[str] = []

    def tell(words: str) -> None:
        told.append(words)
        if "waiting" in words:
            (tmp_path / "free").touch()

    packages.install(("maven",), tell)
    assert told == ["installing maven", "another program is at apt's lists: waiting for it"]


def test_another_failure_is_none_of_a_lock(apt: Apt) -> None:
    apt.install("echo 'E: Unable to locate package maven' >&2; exit 100")
    with pytest.raises(OrdealError, match="Unable to locate package maven"):
        packages.install(("maven",))
    assert apt.calls == ["update -q"]


STATES = "echo 'docker.io:amd64 ii '; echo 'tini ii '; echo 'gone un '"


def test_what_was_installed_is_removed_and_nothing_else(apt: Apt) -> None:
    apt.install('case "$*" in *--simulate*) echo "Remv docker.io [1]"; echo "Remv tini [1]" ;; esac', STATES)
    told: list[str] = []
    packages.remove(("docker.io", "tini", "gone"), told.append)
    assert apt.calls[-1] == "remove -y -q docker.io tini"
    assert told == ["removing docker.io, tini"]


def test_what_others_need_by_now_stays(apt: Apt) -> None:
    apt.install('case "$*" in *--simulate*) echo "Remv docker.io [1]"; echo "Remv theirs [1]" ;; esac', STATES)
    told: list[str] = []
    packages.remove(("docker.io", "tini"), told.append)
    assert told == ["these packages stay, as theirs needs them: docker.io, tini"]
    assert all("--simulate" in call for call in apt.calls)


def test_without_apt_or_root_it_is_a_sentence(apt: Apt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert apt.folder
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not packages.can_install()
    with pytest.raises(OrdealError, match="maven must be installed and this machine has no apt-get"):
        packages.install(("maven",))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(OrdealError, match="installing maven needs root"):
        packages.install(("maven",))
