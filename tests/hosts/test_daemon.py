"""What is on record of the engine that set-up starts, and that exactly that is taken back."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.basics.waiting import eventually
from chaos.errors import OrdealError
from chaos.hosts import cgroups, daemon, engine, mounts, packages, preparations, ranges, record
from chaos.hosts.command import CommandError, Output
from chaos.hosts.record import MachineRecord
from tests.hosts.fake_docker import FakeDocker

BOOT = record.boot()
_popen = subprocess.Popen


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(daemon, "PID_FILE", tmp_path / "docker.pid")
    monkeypatch.setattr(daemon, "_orphaned_containers", lambda: False)
    monkeypatch.setattr(packages, "_apt", lambda *_: pytest.fail("apt was run"))
    monkeypatch.setattr(engine, "clients", list)
    monkeypatch.setattr(engine, "SOCKET", tmp_path / "docker.sock")
    monkeypatch.setattr(engine, "DATA_ROOT", tmp_path / "docker")
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")
    (tmp_path / "mountinfo").write_text("")


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "300"])


def has_begun(process: "subprocess.Popen[bytes]") -> None:
    """Its arguments can be read a little after Popen has returned."""
    eventually(lambda: daemon._arguments(process.pid), within_s=10, what="the arguments of the process")


def on_record(process: "subprocess.Popen[bytes]") -> MachineRecord:
    return MachineRecord(pid=process.pid, started=record.start_ticks(process.pid) or 0, boot=BOOT)


def keep(known: MachineRecord) -> None:
    record.change(lambda _: known)


def test_the_record_is_read_back_as_it_was_written() -> None:
    state = MachineRecord(
        7,
        8,
        BOOT,
        ("docker.io",),
        ("10.244.0.0/16",),
        {"fs.inotify.max_user_instances": "128"},
        "kind",
        {"policy": "ACCEPT"},
    )
    assert record.read() == MachineRecord()
    keep(state)
    assert record.read() == state


def test_a_damaged_record_is_not_guessed_at() -> None:
    record.path().write_text('{"pid": 1')
    with pytest.raises(OrdealError, match="damaged"):
        record.read()


def test_stop_ends_the_process_on_record_and_a_second_stop_finds_nothing() -> None:
    process = sleeper()
    keep(on_record(process))
    said: list[str] = []
    daemon.stop(said.append)
    assert process.wait(timeout=10) == -15
    assert said == [f"stopping the container engine, process {process.pid}"]
    said.clear()
    daemon.stop(said.append)
    assert said == []


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another"}])
def test_stop_leaves_a_process_that_only_has_the_pid(change: dict[str, int | str]) -> None:
    process = sleeper()
    try:
        keep(replace(on_record(process), **change))  # type: ignore[arg-type]
        daemon.stop()
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_a_daemon_that_an_interrupted_run_started_is_put_on_record(tmp_path: Path) -> None:
    argv = ["sh", "-c", "read line", "sh", f"--data-root={engine.DATA_ROOT}"]
    with daemon.log_file().open("ab") as log, (tmp_path / "another's log").open("ab") as others_log:
        ours = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log)
        of_another_state = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=others_log)
    other = sleeper()
    try:
        for each in (ours, of_another_state):
            has_begun(each)
        for stranger in (other, of_another_state):
            daemon.PID_FILE.write_text(str(stranger.pid))
            daemon._adopt()
            assert record.read().pid == 0
        daemon.PID_FILE.write_text(f"{ours.pid}\n")
        daemon._adopt()
        assert record.read() == on_record(ours)
    finally:
        for each in (ours, of_another_state, other):
            each.kill()
            each.communicate()


ROOT = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
VAR = "30 27 254:1 /@var /var rw,relatime - btrfs /dev/vdb rw\n"


@pytest.mark.parametrize(
    ("lines", "ours"),
    [
        (ROOT, False),
        (ROOT + "42 27 254:0 /var/lib/docker /var/lib/docker rw shared:1 - ext4 /dev/vda rw\n", True),
        (ROOT + VAR + "42 30 254:1 /@var/lib/docker /var/lib/docker rw shared:1 - btrfs /dev/vdb rw\n", True),
        # a disk of the user's own, another folder of the same file system, and a folder whose name begins alike
        (ROOT + "42 27 254:16 / /var/lib/docker rw - ext4 /dev/vdc rw\n", False),
        (ROOT + "42 27 254:0 /srv/images /var/lib/docker rw - ext4 /dev/vda rw\n", False),
        (ROOT + "42 27 254:0 /var/lib/docker/x /var/lib/docker/x rw - ext4 /dev/vda rw\n", False),
        # a disk of the user's own, mounted on itself by the engine, and a mount whose parent is out of sight
        (
            ROOT
            + "41 27 254:16 / /var/lib/docker rw - ext4 /dev/vdc rw\n"
            + "42 41 254:16 / /var/lib/docker rw shared:1 - ext4 /dev/vdc rw\n",
            True,
        ),
        ("42 1 254:0 /var/lib/docker /var/lib/docker rw shared:1 - ext4 /dev/vda rw\n", False),
    ],
)
def test_only_a_mount_of_the_data_root_on_itself_is_the_engines(lines: str, ours: bool) -> None:
    mounts.MOUNTS.write_text(lines)
    assert mounts.is_bound_on_itself(Path("/var/lib/docker")) is ours


def left_mounted(monkeypatch: pytest.MonkeyPatch, answer: Output) -> list[list[str]]:
    """The data root is mounted on itself until `umount` succeeds; what was called is in the list."""
    mounted = ROOT + f"42 27 254:0 {engine.DATA_ROOT} {engine.DATA_ROOT} rw shared:1 - ext4 /dev/vda rw\n"
    mounts.MOUNTS.write_text(mounted)
    done: list[list[str]] = []

    def run(argv: list[str], **_: object) -> Output:
        done.append(argv)
        if answer.code == 0:
            mounts.MOUNTS.write_text(ROOT)
        return answer

    monkeypatch.setattr(daemon, "run", run)
    return done


def test_what_the_engine_mounted_on_itself_is_unmounted(monkeypatch: pytest.MonkeyPatch) -> None:
    done = left_mounted(monkeypatch, Output(0, "", ""))
    said: list[str] = []
    daemon.stop(said.append)
    daemon.stop(said.append)
    assert done == [["umount", "--recursive", str(engine.DATA_ROOT)]]
    assert said == [f"unmounting {engine.DATA_ROOT}, which the container engine mounted on itself"]


def test_a_mount_that_is_in_use_stays_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    done = left_mounted(monkeypatch, Output(32, "", "umount: target is busy.\n"))
    said: list[str] = []
    daemon.stop(said.append)
    assert len(done) == 1
    assert said[-1] == f"{engine.DATA_ROOT} stays mounted: umount: target is busy."


def test_the_mount_of_an_engine_that_runs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    done = left_mounted(monkeypatch, Output(0, "", ""))
    other = subprocess.Popen(["sh", "-c", "read line", "sh", f"--data-root={engine.DATA_ROOT}"], stdin=subprocess.PIPE)
    try:
        has_begun(other)
        daemon.stop()
        assert done == []
    finally:
        other.kill()
        other.communicate()


class Routes:
    """The `ip` command, as far as it is asked here."""

    def __init__(self, unicast: list[str], unreachable: list[str]) -> None:
        self.unicast, self.unreachable = unicast, unreachable
        self.on_record_at_add: list[tuple[str, ...]] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        for module in (preparations, ranges):
            monkeypatch.setattr(module, "run", self.run)

    def run(self, argv: list[str], **_: object) -> Output:
        if {"add", "replace"} & set(argv):
            if "add" in argv and argv[argv.index("unreachable") + 1] in self.unreachable:
                raise CommandError(argv, "exited with 2", "RTNETLINK answers: File exists")
            self.on_record_at_add.append(record.read().routes)
            self.unreachable.append(argv[argv.index("unreachable") + 1])
            return Output(0, "", "")
        if argv[1] == "-6":
            return Output(0, "[]", "")
        shown = self.unreachable if "type" in argv else self.unicast
        return Output(0, "[" + ",".join(f'{{"dst": "{each}"}}' for each in shown) + "]", "")


def test_a_route_is_on_record_before_it_is_made_and_only_what_is_missing_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routes = Routes(["default", "172.30.0.0/16"], ["10.96.0.0/16"])
    routes.install(monkeypatch)
    preparations.contain(("10.244.0.0/16", "10.96.0.0/16", "172.30.0.0/16"))
    assert routes.on_record_at_add == [("10.244.0.0/16",), ("10.244.0.0/16", "172.30.0.0/16")]
    assert record.read().routes == ("10.244.0.0/16", "172.30.0.0/16")  # not the one that was there before


def test_a_route_that_another_process_adds_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = Routes([], ["10.244.0.0/16"])
    routes.install(monkeypatch)
    monkeypatch.setattr(ranges, "unreachable", set)  # looked for before it was there
    preparations.contain(("10.244.0.0/16",))
    assert record.read().routes == ("10.244.0.0/16",)


def test_a_network_of_the_users_own_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = Routes(["10.0.0.0/8"], [])
    routes.install(monkeypatch)
    said: list[str] = []
    preparations.contain(("10.244.0.0/16",), said.append)
    assert routes.unreachable == []
    assert said == ["10.244.0.0/16 overlaps with this machine's own route 10.0.0.0/8: left as it is"]


def test_only_what_docker_left_in_the_firewall_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = """-P FORWARD DROP
-N DOCKER
-N DOCKER-USER
-N MINE
-A FORWARD -j DOCKER-USER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -s 192.0.2.1/32 -m comment --comment "not DOCKER" -j DROP
-A FORWARD -j MINE
-A FORWARD -i br-1 -o br-1 -j ACCEPT
-A FORWARD -i br-12 -j ACCEPT
-A DOCKER-USER -j RETURN
"""
    done: list[str] = []

    def run(argv: list[str], **_: object) -> Output:
        done.append(" ".join(argv))
        return Output(0, rules if argv == ["iptables", "-t", "filter", "-S"] else "", "")

    written: dict[str, str] = {}

    class Sysctl:
        def write_text(self, text: str) -> None:
            written["ip_forward"] = text

    monkeypatch.setattr(daemon, "run", run)
    monkeypatch.setattr(preparations, "sysctl_file", lambda _: Sysctl())
    daemon._remove_leftovers({"policy": "ACCEPT", "ip_forward": "0"}, ("docker0", "br-1"))
    assert [each.removeprefix("iptables -w ") for each in done if " -w " in each] == [
        "-t filter -D FORWARD -j DOCKER-USER",
        "-t filter -D FORWARD -i docker0 ! -o docker0 -j ACCEPT",
        "-t filter -D FORWARD -i br-1 -o br-1 -j ACCEPT",
        "-t filter -F DOCKER",
        "-t filter -F DOCKER-USER",
        "-t filter -X DOCKER",
        "-t filter -X DOCKER-USER",
        "-P FORWARD ACCEPT",
    ]
    assert [each for each in done if each.startswith("ip ")] == ["ip link delete docker0", "ip link delete br-1"]
    assert written == {"ip_forward": "0"}


def test_installing_needs_root_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(OrdealError, match="needs root; run the same command with sudo"):
        daemon.install_and_start()
    assert record.read() == MachineRecord()


def test_a_range_within_a_wider_route_is_told_and_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = Routes(["10.0.0.0/8"], [*ranges.NODE_RANGES[:1], ranges.NODE_RANGE_6])
    routes.install(monkeypatch)
    monkeypatch.setattr(preparations, "SYSCTLS", {})
    ours = engine.Engine(Path("/usr/bin/docker"), "27", ours=True)
    assert preparations.missing(ours) == ()
    assert preparations.uncontained(ours) == (
        "10.244.0.0/16 lies within this machine's own route 10.0.0.0/8",
        "10.96.0.0/16 lies within this machine's own route 10.0.0.0/8",
    )


def test_an_engine_of_another_state_folder_is_neither_ended_nor_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its containers run, its pid file names it, and this state has something to take back."""
    monkeypatch.setattr(daemon, "_orphaned_containers", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a second engine was started"))
    argv = ["sh", "-c", "read line", "sh", f"--data-root={engine.DATA_ROOT}"]
    with _popen(argv, stdin=subprocess.PIPE) as theirs:
        try:
            has_begun(theirs)
            daemon.PID_FILE.write_text(str(theirs.pid))
            keep(MachineRecord(routes=("10.244.0.0/16",)))
            monkeypatch.setattr(preparations, "run", lambda *_, **__: Output(0, "", ""))
            daemon.stop()
            with pytest.raises(OrdealError, match="was started with another state folder than"):
                daemon._start(lambda _: None)
            assert theirs.poll() is None
            assert daemon.PID_FILE.read_text() == str(theirs.pid)
        finally:
            theirs.communicate()
    assert tmp_path


def test_an_engine_that_is_there_and_does_not_answer_gets_none_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = engine.Silence("Docker holds its socket and does not answer: it is busy", taken=True)
    monkeypatch.setattr(engine, "ask", lambda *_: silence)
    monkeypatch.setattr(daemon, "_start", lambda _: pytest.fail("a second engine was started"))
    monkeypatch.setattr(packages, "install", lambda *_: pytest.fail("packages were installed"))
    with pytest.raises(OrdealError, match="does not answer: it is busy"):
        daemon.install_and_start()


def test_our_own_engine_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ask", lambda *_: engine.Silence("it hangs", taken=True))
    process = sleeper()
    try:
        keep(on_record(process))
        with pytest.raises(OrdealError, match=rf"started here, process {process.pid}, does not answer"):
            daemon.install_and_start()
    finally:
        process.kill()
        process.wait()


@contextmanager
def fake_dockerd(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A dockerd that keeps its arguments, and a docker client that gets an answer once it runs."""
    docker = FakeDocker(folder).install(version=f"[ -e {folder}/arguments ] && echo '27.0|Engine ' || exit 1")
    for name, script in (
        ("dockerd", f'echo "$*" >{folder}/arguments; exec sleep 300'),
        ("containerd", "exit 1"),
        ("runc", "exit 1"),
        ("iptables", "exit 1"),
        ("ip", "echo '[]'"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(engine, "clients", lambda: [docker.client])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(daemon, "RUN_ROOT", folder / "run")
    monkeypatch.setattr(daemon, "missing_capabilities", tuple)
    try:
        yield folder
    finally:
        daemon.stop()


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # it is to outlive this process
def test_in_a_container_its_processes_make_room_for_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cgroup"
    monkeypatch.setattr(cgroups, "ROOT", root)
    moved: list[str] = []
    monkeypatch.setattr(cgroups, "move_aside", lambda: moved.append(record.read().cgroup))
    monkeypatch.setattr(cgroups, "move_back", lambda path: moved.append(f"back to {path}"))
    monkeypatch.setattr(cgroups, "in_the_way", lambda: True)
    with fake_dockerd(tmp_path / "bin", monkeypatch) as folder:
        assert daemon.install_and_start().version == "27.0"
        assert f"--data-root={engine.DATA_ROOT}" in (folder / "arguments").read_text()
        assert moved == [str(root)]  # on record before it was done
    assert moved[1:] == [f"back to {root}"]
    assert record.read() == MachineRecord()


OF_A_START = MachineRecord(
    boot=BOOT, network="kind", forwarding={"policy": "DROP", "ip_forward": "0"}, packages=("docker.io",)
)


def what_stop_does(monkeypatch: pytest.MonkeyPatch, known: MachineRecord) -> tuple[list[str], list[str]]:
    """Teardown with that on record: what it did to this machine's networks and packages, and what it said."""
    done: list[str] = []
    monkeypatch.setattr(daemon, "_remove_leftovers", lambda *_: done.append("leftovers"))
    monkeypatch.setattr(packages, "can_install", lambda: True)
    monkeypatch.setattr(packages, "remove", lambda names, *_: done.append(f"remove {', '.join(names)}"))
    said: list[str] = []
    keep(known)
    daemon.stop(said.append)
    assert record.read() == MachineRecord()
    return done, said


@pytest.mark.parametrize(
    "version",
    ["echo '27.0|Engine '", "echo 'Cannot connect to the Docker daemon at tcp://192.0.2.1:1. Is it?' >&2; exit 1"],
)
def test_what_another_docker_may_use_stays(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = FakeDocker(tmp_path / "bin").install(version=version)
    monkeypatch.setattr(engine, "clients", lambda: [docker.client])
    done, said = what_stop_does(monkeypatch, OF_A_START)
    assert (done, docker.calls) == ([], [])
    assert said == [
        "bridges, firewall chains and forwarding stay, as another container engine uses them",
        "these packages stay, as a container engine runs: docker.io",
    ]


@pytest.mark.parametrize(("boot", "leftovers"), [(BOOT, ["leftovers"]), ("another", [])])
def test_forwarding_is_set_back_in_the_boot_that_it_was_changed_in(
    boot: str, leftovers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done, _ = what_stop_does(monkeypatch, replace(OF_A_START, boot=boot))
    assert done == [*leftovers, "remove docker.io"]


LIMIT = "fs.inotify.max_user_instances"


@pytest.mark.parametrize(
    ("now", "boot", "after", "said"),
    [
        ("8192", BOOT, "128", [f"setting {LIMIT} back to 128"]),
        ("65536", BOOT, "65536", [f"{LIMIT} stays at 65536: it was changed after it was raised here"]),
        ("128", BOOT, "128", []),
        ("8192", "another", "8192", []),
    ],
)
def test_a_limit_is_set_back_only_while_it_is_as_it_was_set_here(
    now: str, boot: str, after: str, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparations, "sysctl_file", lambda name: tmp_path / name)
    (tmp_path / LIMIT).write_text(f"{now}\n")
    told: list[str] = []
    preparations.take_back(MachineRecord(boot=boot, sysctls={LIMIT: "128"}), told.append)
    assert (tmp_path / LIMIT).read_text().strip() == after
    assert told == said


def test_a_limit_of_an_earlier_boot_goes_off_the_record_when_it_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(preparations, "sysctl_file", lambda name: tmp_path / name)
    for name in preparations.SYSCTLS:
        (tmp_path / name).write_text("256")
    keep(MachineRecord(boot="another", sysctls={LIMIT: "128"}))
    preparations.prepare(engine.Engine(Path("/usr/bin/docker"), "27", ours=False))
    assert record.read() == MachineRecord(boot=BOOT, sysctls=dict.fromkeys(preparations.SYSCTLS, "256"))


def test_a_cgroup_that_is_in_use_keeps_nothing_else_from_being_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []

    def busy(_: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(cgroups, "move_back", busy)
    monkeypatch.setattr(packages, "can_install", lambda: True)
    monkeypatch.setattr(packages, "remove", lambda names, *_: removed.extend(names))
    keep(MachineRecord(cgroup=str(tmp_path), packages=("docker.io",)))
    said: list[str] = []
    daemon.stop(said.append)
    assert removed == ["docker.io"]
    assert "(Device or resource busy): call teardown again later" in said[-1]
    assert record.read() == MachineRecord(cgroup=str(tmp_path))
    monkeypatch.setattr(cgroups, "move_back", lambda _: None)
    daemon.stop()
    assert record.read() == MachineRecord()
