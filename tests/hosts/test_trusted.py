"""What others than this user, root, or the user who called sudo could have written is not believed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from chaos.clusters.kind import home as kind_home
from chaos.clusters.shape import Shape
from chaos.clusters.simulated import cluster as simulated
from chaos.clusters.simulated import home as simulated_home
from chaos.clusters.simulated.home import Ports, home_of, process_record, write_record
from chaos.errors import OrdealError
from chaos.hosts import binaries, pins, places, preparations, record, trusted
from chaos.hosts.places import cache_dir, journals_dir, state_dir, state_path
from chaos.record.journal import pending

SOMEBODY = 12345
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what is another's")


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SUDO_UID", raising=False)


@pytest.fixture
def file() -> Path:
    """A file in a folder of the state, which others may enter."""
    made = state_dir() / "folder" / "file"
    made.parent.mkdir()
    made.write_text("what it says")
    for each in (state_path(), made.parent):
        each.chmod(0o755)
    return made


# --- the rule


def test_what_is_ours_is_believed_and_what_is_not_there_is_for_its_reader(file: Path) -> None:
    trusted.check(file, state_path())
    trusted.check(file.with_name("none"), state_path())


@pytest.mark.parametrize("mode", [0o777, 0o722, 0o702])
@pytest.mark.parametrize("which", ["the file", "its folder", "the folder of the state"])
def test_what_others_can_write_is_refused(file: Path, mode: int, which: str) -> None:
    at = {"the file": file, "its folder": file.parent, "the folder of the state": state_path()}[which]
    at.chmod(mode | 0o055)
    with pytest.raises(OrdealError, match=rf"{at} can be written by others .* `chmod go-w {at}`"):
        trusted.check(file, state_path())


def test_nobody_comes_into_a_closed_folder(file: Path) -> None:
    """As where the umask is 0: what is made in there is open, and nobody gets to it."""
    file.chmod(0o666)
    file.parent.chmod(0o777)
    state_path().chmod(0o700)
    trusted.check(file, state_path())


@AS_ROOT
@pytest.mark.parametrize("which", ["the file", "its folder", "the folder of the state"])
def test_what_is_somebody_elses_is_refused(file: Path, which: str) -> None:
    at = {"the file": file, "its folder": file.parent, "the folder of the state": state_path()}[which]
    os.chown(at, SOMEBODY, SOMEBODY)
    with pytest.raises(OrdealError, match=rf"{at} belongs to the user {SOMEBODY}, who is neither root nor"):
        trusted.check(file, state_path())


@AS_ROOT
def test_what_is_of_the_user_who_called_sudo_is_believed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (state_path(), file.parent, file):
        os.chown(each, SOMEBODY, SOMEBODY)
    monkeypatch.setenv("SUDO_UID", str(SOMEBODY))
    trusted.check(file, state_path())
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY + 1)  # who is not root can set that variable, too
    with pytest.raises(OrdealError, match=r"who is neither this user nor root"):
        trusted.check(file, state_path())


@AS_ROOT
def test_a_link_is_what_it_leads_to(file: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("")
    os.chown(theirs, SOMEBODY, SOMEBODY)
    file.unlink()
    file.symlink_to(theirs)
    with pytest.raises(OrdealError, match="belongs to"):
        trusted.check(file, state_path())


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(OrdealError, match="it leads elsewhere"):
        trusted.inside(name)
    with pytest.raises(OrdealError, match="it leads elsewhere"):
        kind_home.home_of(name)  # from a journal; what is there is deleted


# --- who reads


def planted(path: Path, text: str = "") -> Path:
    """A file that anybody can write, where the state's folder can be entered."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for each in (state_path(), path.parent):
        each.chmod(0o755)
    if text or not path.exists():
        path.write_text(text)
    path.chmod(0o666)
    return path


def of_a_cluster() -> Path:
    directory = home_of("c")
    directory.mkdir(parents=True)
    written = simulated_home.ClusterRecord(Shape(), "1.34.4", "3.6.16", "0.8.0", Ports(*range(10001, 10011)))
    write_record(directory, written)
    return directory


def read_journal() -> None:
    planted(journals_dir() / "run.jsonl", '{"entry": 1}\n')
    pending(journals_dir())


def read_cluster() -> None:
    planted(of_a_cluster() / "cluster.json")
    simulated_home.read_record(home_of("c"))


def read_command_lines() -> None:
    planted(simulated_home.workdir(of_a_cluster()) / "kwok.yaml", "kind: KwokctlConfiguration\ncomponents: []\n")
    simulated.SimulatedCluster("c")._components.command("etcd")


def read_other_program() -> None:
    workdir = simulated_home.workdir(of_a_cluster())
    workdir.mkdir(parents=True)
    (workdir / "kwok.yaml").write_text("kind: KwokctlConfiguration\ncomponents: []\n")
    planted(home_of("c") / "programs" / "etcd", "/bin/sh")
    simulated.SimulatedCluster("c")._components.command("etcd")


def read_what_set_up_changed() -> None:
    planted(state_dir() / "engine.json", json.dumps({"pid": 1, "packages": [], "routes": []}))
    record.read()


@pytest.mark.parametrize(
    "read", [read_journal, read_cluster, read_command_lines, read_other_program, read_what_set_up_changed]
)
def test_each_file_of_the_state_that_something_is_done_by_is_looked_at(read: Callable[[], None]) -> None:
    with pytest.raises(OrdealError, match="can be written by others"):
        read()


def test_no_process_is_ended_because_anybody_says_so() -> None:
    """The record of a process is replaced by another's: a victim's."""
    of_a_cluster()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as victim:
        try:
            stat = Path(f"/proc/{victim.pid}/stat").read_text()
            planted(process_record(home_of("c"), "kube-controller-manager"), stat)
            with pytest.raises(OrdealError, match="can be written by others"):
                simulated.SimulatedCluster("c").stop_controller_manager()
            assert victim.poll() is None
            process_record(home_of("c"), "kube-controller-manager").chmod(0o600)
            simulated.SimulatedCluster("c").stop_controller_manager()  # it would have been
            assert victim.wait(timeout=30) == -signal.SIGKILL
        finally:
            victim.kill()


@AS_ROOT
@pytest.mark.parametrize("made", [cache_dir, state_dir])
def test_a_cache_or_state_of_somebody_elses_is_not_used_at_all(made: Callable[[], Path]) -> None:
    os.chown(made(), SOMEBODY, SOMEBODY)
    with pytest.raises(OrdealError, match="belongs to"):
        made()


@pytest.mark.parametrize("made", [cache_dir, state_dir])
def test_a_new_cache_or_state_is_closed_whatever_the_umask_is(made: Callable[[], Path]) -> None:
    old = os.umask(0)
    try:
        folder = made()
        (folder / "sub").mkdir()
    finally:
        os.umask(old)
    trusted.check(folder / "sub", folder)
    assert made() == folder


# --- programs


def built() -> binaries.Binaries:
    """A bundle in the cache, as a build leaves it."""
    _, digest = pins.module_files("pause")
    directory = cache_dir() / "bin" / "pause" / f"1.0.0-{digest}"
    directory.mkdir(parents=True)
    program = directory / "pause"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    sums = {"sha256": "", "size_bytes": program.stat().st_size}
    sums["sha256"] = subprocess.run(["sha256sum", program], capture_output=True, text=True, check=True).stdout.split()[
        0
    ]
    (directory / binaries.RECORD).write_text(json.dumps({"programs": {"pause": sums}}))
    found = binaries.built("pause")
    assert found is not None
    return found


def test_a_program_is_known_by_its_digest_and_not_by_its_size() -> None:
    made = built()
    program = made.path("pause")
    before = program.stat()
    program.write_text("#!/bin/sh\nexit 1\n")
    os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert program.stat().st_size == before.st_size
    with pytest.raises(OrdealError, match=rf"{program} is not what was built or taken: .* Remove {program.parent}"):
        made.path("pause")
    again = binaries.built("pause")
    assert again is not None
    with pytest.raises(OrdealError, match="is not what was built"):
        again.path("pause")


def test_what_is_kept_of_a_digest_is_of_these_bytes_alone() -> None:
    made = built()
    program = made.path("pause")
    kept = program.with_name(".pause.sha256")
    assert kept.read_text().endswith(made.sha256["pause"])
    binaries._digest_of.cache_clear()  # another process
    with mock.patch.object(hashlib, "file_digest", side_effect=AssertionError("it is counted again")):
        assert made.path("pause") == program
    binaries._digest_of.cache_clear()
    size, times = program.stat().st_size, (program.stat().st_atime_ns, program.stat().st_mtime_ns)
    program.write_bytes(b"x" * size)
    os.utime(program, ns=times)
    with pytest.raises(OrdealError, match="is not what was built"):
        made.path("pause")


def test_a_digest_that_others_could_have_written_is_not_believed() -> None:
    made = built()
    made.path("pause")
    binaries._digest_of.cache_clear()
    for folder in (places.cache_path(), made.directory):
        folder.chmod(0o755)
    made.directory.joinpath(".pause.sha256").chmod(0o666)
    with pytest.raises(OrdealError, match=r"\.pause\.sha256 can be written by others"):
        made.path("pause")


@pytest.mark.parametrize("name", ["pause", binaries.RECORD])
def test_a_program_or_a_record_of_it_that_others_can_write_is_not_used(name: str) -> None:
    made = built()
    places.cache_path().chmod(0o755)
    (made.directory / name).chmod(0o777)
    with pytest.raises(OrdealError, match="can be written by others"):
        binaries.built("pause")


# --- what set-up sets back


def test_only_settings_that_set_up_raises_are_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record may name any: `kernel.core_pattern` runs a program as root, and a name may be a path."""
    victim = tmp_path / "victim"
    victim.write_text("None")  # as `now` would be of a name that is not known
    monkeypatch.setattr(preparations, "sysctl_file", lambda _: victim)
    known = record.MachineRecord(boot=record.boot(), sysctls={"kernel.core_pattern": "|/tmp/x", str(victim): "x"})
    said: list[str] = []
    preparations.take_back(known, said.append)
    assert victim.read_text() == "None"
    assert [line.split()[0] for line in said] == ["kernel.core_pattern", str(victim)]


def test_a_value_that_is_no_number_is_not_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = next(iter(preparations.SYSCTLS.items()))
    setting = tmp_path / "setting"
    setting.write_text(str(value))
    monkeypatch.setattr(preparations, "sysctl_file", lambda _: setting)
    preparations.take_back(record.MachineRecord(boot=record.boot(), sysctls={name: "|x"}), lambda _: None)
    assert setting.read_text() == str(value)
    preparations.take_back(record.MachineRecord(boot=record.boot(), sysctls={name: "128"}), lambda _: None)
    assert setting.read_text() == "128"
