"""What is on record of the engine, and that exactly that is taken back. The docker client is a script here."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.hosts import engine
from chaos.hosts.command import Output
from chaos.hosts.engine import Started

BOOT = engine._boot()


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(engine, "PID_FILE", tmp_path / "docker.pid")
    monkeypatch.setattr(engine, "_orphaned_containers", lambda: False)
    monkeypatch.setattr(engine, "_clients", list)
    monkeypatch.setattr(engine, "DATA_ROOT", tmp_path / "docker")
    monkeypatch.setattr(engine, "MOUNTS", tmp_path / "mountinfo")
    (tmp_path / "mountinfo").write_text("")


def client(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "300"])


def on_record(process: "subprocess.Popen[bytes]") -> Started:
    return Started(pid=process.pid, started=engine._start_ticks(process.pid) or 0, boot=BOOT)


def test_the_second_client_is_asked_where_the_first_cannot_talk_to_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = client(tmp_path / "new", "echo 'client is too new' >&2; exit 1")
    works = client(tmp_path / "old", "echo 20.10.24")
    monkeypatch.setattr(engine, "_clients", lambda: [refuses, works])
    assert engine.find() == engine.Engine(works, "20.10.24", ours=False)


def test_a_client_that_hangs_or_has_no_server_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT_S", 0.2)
    hangs, silent = client(tmp_path / "hangs", "exec sleep 30"), client(tmp_path / "silent", "true")
    monkeypatch.setattr(engine, "_clients", lambda: [hangs, silent])
    assert engine.find() is None
    with pytest.raises(OrdealError, match="no container engine answers; start Docker, or run"):
        engine.require()


def test_the_record_is_read_back_as_it_was_written() -> None:
    state = Started(
        7,
        8,
        BOOT,
        ("docker.io",),
        ("10.244.0.0/16",),
        {"fs.inotify.max_user_instances": "128"},
        "kind",
        {"policy": "ACCEPT"},
    )
    assert engine.started() == Started()
    engine._save(state)
    assert engine.started() == state


def test_a_damaged_record_is_not_guessed_at() -> None:
    engine._state_file().write_text('{"pid": 1')
    with pytest.raises(OrdealError, match="damaged"):
        engine.started()


def test_stop_ends_the_process_on_record_and_a_second_stop_finds_nothing() -> None:
    process = sleeper()
    engine._save(on_record(process))
    said: list[str] = []
    engine.stop(said.append)
    assert process.wait(timeout=10) == -15
    assert said == [f"stopping the container engine, process {process.pid}"]
    said.clear()
    engine.stop(said.append)
    assert said == []


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another"}])
def test_stop_leaves_a_process_that_only_has_the_pid(change: dict[str, int | str]) -> None:
    process = sleeper()
    try:
        engine._save(replace(on_record(process), **change))  # type: ignore[arg-type]
        engine.stop()
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_a_daemon_that_an_interrupted_run_started_is_put_on_record(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sh", "-c", "read line", "sh", f"--data-root={engine.DATA_ROOT}"], stdin=subprocess.PIPE)
    other = sleeper()
    try:
        engine.PID_FILE.write_text(str(other.pid))
        engine._adopt()
        assert engine.started().pid == 0
        engine.PID_FILE.write_text(f"{ours.pid}\n")
        engine._adopt()
        assert engine.started() == on_record(ours)
    finally:
        for each in (ours, other):
            each.kill()
            each.communicate()


ROOT = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
VAR = "30 27 254:1 /@var /var rw,relatime - btrfs /dev/vdb rw\n"


@pytest.mark.parametrize(
    ("mounts", "ours"),
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
def test_only_a_mount_of_the_data_root_on_itself_is_the_engines(mounts: str, ours: bool) -> None:
    assert engine._is_bound_on_itself(mounts, Path("/var/lib/docker")) is ours


def left_mounted(monkeypatch: pytest.MonkeyPatch, answer: Output) -> list[list[str]]:
    """The data root is mounted on itself until `umount` succeeds; what was called is in the list."""
    mounted = ROOT + f"42 27 254:0 {engine.DATA_ROOT} {engine.DATA_ROOT} rw shared:1 - ext4 /dev/vda rw\n"
    engine.MOUNTS.write_text(mounted)
    done: list[list[str]] = []

    def run(argv: list[str], **_: object) -> Output:
        done.append(argv)
        if answer.code == 0:
            engine.MOUNTS.write_text(ROOT)
        return answer

    monkeypatch.setattr(engine, "run", run)
    return done


def test_what_the_engine_mounted_on_itself_is_unmounted(monkeypatch: pytest.MonkeyPatch) -> None:
    done = left_mounted(monkeypatch, Output(0, "", ""))
    said: list[str] = []
    engine.stop(said.append)
    engine.stop(said.append)
    assert done == [["umount", "--recursive", str(engine.DATA_ROOT)]]
    assert said == [f"unmounting {engine.DATA_ROOT}, which the container engine mounted on itself"]


def test_a_mount_that_is_in_use_stays_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    done = left_mounted(monkeypatch, Output(32, "", "umount: target is busy.\n"))
    said: list[str] = []
    engine.stop(said.append)
    assert len(done) == 1
    assert said[-1] == f"{engine.DATA_ROOT} stays mounted: umount: target is busy."


def test_the_mount_of_an_engine_that_runs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    done = left_mounted(monkeypatch, Output(0, "", ""))
    other = subprocess.Popen(["sh", "-c", "read line", "sh", f"--data-root={engine.DATA_ROOT}"], stdin=subprocess.PIPE)
    try:
        engine.stop()
        assert done == []
    finally:
        other.kill()
        other.communicate()


class Routes:
    """The `ip` command, as far as it is asked here."""

    def __init__(self, unicast: list[str], unreachable: list[str]) -> None:
        self.unicast, self.unreachable = unicast, unreachable
        self.on_record_at_add: list[tuple[str, ...]] = []

    def run(self, argv: list[str], **_: object) -> Output:
        if "add" in argv:
            self.on_record_at_add.append(engine.started().routes)
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
    monkeypatch.setattr(engine, "run", routes.run)
    engine._contain(("10.244.0.0/16", "10.96.0.0/16", "172.30.0.0/16"), lambda _: None)
    assert routes.on_record_at_add == [("10.244.0.0/16",), ("10.244.0.0/16", "172.30.0.0/16")]
    assert engine.started().routes == ("10.244.0.0/16", "172.30.0.0/16")  # not the one that was there before


def test_a_network_of_the_users_own_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = Routes(["10.0.0.0/8"], [])
    monkeypatch.setattr(engine, "run", routes.run)
    said: list[str] = []
    engine._contain(("10.244.0.0/16",), said.append)
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

    monkeypatch.setattr(engine, "run", run)
    monkeypatch.setattr(engine, "_sysctl_file", lambda _: Sysctl())
    engine._remove_leftovers({"policy": "ACCEPT", "ip_forward": "0"}, ("docker0", "br-1"))
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
    monkeypatch.setattr(engine.os, "geteuid", lambda: 1000)
    with pytest.raises(OrdealError, match="needs root; run the same command with sudo"):
        engine.install_and_start()
    assert engine.started() == Started()
