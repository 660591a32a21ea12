"""The simulated provider without a cluster: groups, records, ports, command lines, processes."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import (
    ABILITIES,
    ComponentSwap,
    ControllerManagerSwitch,
    ControlPlaneSwap,
    EtcdBehind,
    Heartbeats,
)
from chaos.clusters.base import ClusterRef
from chaos.clusters.beside import ServesBeside
from chaos.clusters.control_processes import ComponentPages, ControlProcesses, EtcdWrites
from chaos.clusters.shape import Shape, Timers, Zone
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.clusters.simulated.components import with_flags
from chaos.clusters.simulated.home import (
    ClusterRecord,
    Ports,
    Programs,
    _free_ports,
    bring_up,
    claim,
    free_port,
    home_of,
    keys_of,
    read_record,
    write_record,
)
from chaos.clusters.simulated.nodes import groups_of, lease_duration_s, manifest, parsed
from chaos.clusters.simulated.processes import MARK, OwnProcess, adopt, kill, marked, read, start
from chaos.errors import OrdealError
from chaos.hosts.binaries import Binaries
from chaos.hosts.command import CommandError


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A state directory of the test's own."""
    monkeypatch.setattr("chaos.clusters.simulated.home.state_dir", lambda: tmp_path)
    return tmp_path


# --- what it can do


def test_its_abilities() -> None:
    has = {ability for ability in ABILITIES if issubclass(SimulatedCluster, ability)}
    swaps = {ControllerManagerSwitch, ControlPlaneSwap, ComponentSwap}
    assert has == {Heartbeats, EtcdBehind, EtcdWrites, ControlProcesses, ComponentPages, ServesBeside, *swaps}


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a/b", "..", "a" * 63])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(OrdealError, match="can't be a cluster's name"):
        SimulatedCluster(name)


# --- groups


def names(shape: Shape) -> dict[str, list[str]]:
    return {group.name: [node.name for node in group.nodes] for group in groups_of(shape)}


def test_without_zones_the_workers_are_one_group() -> None:
    assert names(Shape(workers=2)) == {"workers": ["worker-1", "worker-2"], "control-plane": ["control-plane"]}


def test_a_zone_is_a_group_unless_it_has_parts() -> None:
    shape = Shape(zones=(Zone("a", 3, parts=(("x", 1), ("y", 2))), Zone("b", 2)))
    assert names(shape) == {"x": ["a-1"], "y": ["a-2", "a-3"], "b": ["b-1", "b-2"], "control-plane": ["control-plane"]}


def test_a_group_can_have_nodes_of_several_zones() -> None:
    shape = Shape(zones=(Zone("a", 2, parts=(("x", 1), ("y", 1))), Zone("b", 2, parts=(("x", 2),))))
    x = next(group for group in groups_of(shape) if group.name == "x")
    assert [(node.name, node.zone) for node in x.nodes] == [("a-1", "a"), ("b-1", "b"), ("b-2", "b")]


def test_parts_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(OrdealError, match="another number"):
        groups_of(Shape(zones=(Zone("a", 3, parts=(("x", 1),)),)))


def test_the_control_planes_group_is_not_for_others() -> None:
    with pytest.raises(OrdealError, match="control-plane"):
        groups_of(Shape(zones=(Zone("control-plane", 3),)))


def test_a_node_is_made_as_it_is_read_again() -> None:
    group = groups_of(Shape(zones=(Zone("a", 1),)))[0]
    made = manifest(group, group.nodes[0])
    node = parsed(made)
    assert (node.name, node.zone, node.ready, node.control_plane) == ("a-1", "a", "Unknown", False)
    control_plane = groups_of(Shape())[-1]
    assert parsed(manifest(control_plane, control_plane.nodes[0])).control_plane


@pytest.mark.parametrize(("grace_s", "lease_s"), [(50, 40), (16, 12), (5, 4), (1, 4)])
def test_leases_keep_kubernetes_proportion(grace_s: float, lease_s: int) -> None:
    assert lease_duration_s(Timers(monitor_grace_s=grace_s)) == lease_s


# --- the record


def a_record(shape: Shape) -> ClusterRecord:
    return ClusterRecord(
        shape=shape, kubernetes="1.34.4", etcd="3.6.16", kwok="0.8.0", ports=Ports(*range(10001, 10011))
    )


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    shape = Shape(
        zones=(Zone("a", 2, parts=(("x", 1), ("y", 1))),),
        timers=Timers(monitor_grace_s=7.5),
        apiserver=(("v", "4"),),
        controller_manager=(("controllers", "*"),),
    )
    write_record(tmp_path, a_record(shape))
    assert read_record(tmp_path) == a_record(shape)


def test_a_record_of_an_earlier_version_is_one(tmp_path: Path) -> None:
    """So that what it made can be deleted."""
    write_record(tmp_path, a_record(Shape()))
    raw = json.loads((tmp_path / "cluster.json").read_text())
    del raw["ports"]["etcd_http"]
    (tmp_path / "cluster.json").write_text(json.dumps(raw))
    found = read_record(tmp_path)
    assert found is not None
    assert found.ports.etcd_http == 0


class Gateway(BaseHTTPRequestHandler):
    """etcd's JSON gateway as an earlier version started it: plain HTTP, at the port of its other clients."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        said = b'{"header": {"revision": "7"}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


def test_the_etcd_of_an_earlier_version_is_asked_as_it_answers(home: Path) -> None:
    """So that what was done to it can be undone."""
    with HTTPServer(("127.0.0.1", 0), Gateway) as etcd:
        threading.Thread(target=etcd.serve_forever, daemon=True).start()
        directory = home_of("old")
        directory.mkdir(parents=True)
        record = a_record(Shape())
        write_record(directory, replace(record, ports=replace(record.ports, etcd=etcd.server_port, etcd_http=0)))
        try:
            assert SimulatedCluster("old").etcd_revision() == 7
        finally:
            etcd.shutdown()


def test_no_directory_is_no_record(home: Path) -> None:
    assert read_record(home_of("nothing")) is None
    assert not SimulatedCluster.exists("nothing")
    SimulatedCluster("nothing").delete()
    with pytest.raises(OrdealError, match="there is no simulated cluster nothing"):
        _ = SimulatedCluster.attach(ClusterRef("simulated", "nothing", "/nowhere")).shape


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"shape": {}}'])
def test_a_directory_that_we_did_not_make_is_refused(home: Path, text: str | None) -> None:
    directory = home_of("theirs")
    directory.mkdir(parents=True)
    if text is not None:
        (directory / "cluster.json").write_text(text)
    (directory / "precious").write_text("theirs")
    with pytest.raises(OrdealError, match="no simulated cluster of ours"):
        SimulatedCluster("theirs").delete()
    assert (directory / "precious").read_text() == "theirs"


def test_an_interrupted_delete_is_finished_by_the_next(home: Path) -> None:
    directory = home_of("half")
    directory.mkdir(parents=True)
    write_record(directory, a_record(Shape()))
    directory.rename(directory.parent / ".removing-half")  # where a delete was when it was killed
    assert SimulatedCluster.exists("half")
    SimulatedCluster("half").delete()
    assert not SimulatedCluster.exists("half")


# --- keys and kubeconfigs

FAKE_KWOKCTL = """#!/bin/sh
work="$KWOK_WORKDIR/clusters/fake"
mkdir -p "$work/pki"
for each in "$work/pki/admin.key" "$work/kubeconfig.yaml" "$HOME/kubeconfig-by-kwokctl"; do echo secret >"$each"; done
stat -c %a "$HOME" >"$HOME/mode-of-the-folder"
"""


@pytest.fixture
def umask_0() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


@pytest.mark.usefixtures("umask_0")
def test_nobody_else_reads_a_kubeconfig_or_a_key_not_even_briefly(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = fake_programs(home, FAKE_KWOKCTL)
    directory = home_of("fake")
    record = claim(directory, Shape(), programs)
    changed: list[Path] = []
    chmod = Path.chmod

    def told(path: Path, mode: int) -> None:
        changed.append(path)
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", told)
    bring_up(directory, record, programs, lambda _: None)
    assert (directory / "mode-of-the-folder").read_text() == "700\n"  # while kwokctl wrote
    assert (directory / "kubeconfig").read_text() == "secret\n"
    secret = [path for path in directory.rglob("*") if path.is_file() and path.read_text() == "secret\n"]
    assert len(secret) == 4
    assert {path.stat().st_mode & 0o077 for path in secret} == {0}
    assert changed == []  # so each was made with that mode


@pytest.mark.usefixtures("umask_0")
def test_etcd_takes_nobody_without_a_certificate_of_the_clusters(home: Path) -> None:
    """Every address that it is told is TLS, and who calls must have a certificate; the API server has one."""
    programs = fake_programs(home, FAKE_KWOKCTL)
    directory = home_of("fake")
    bring_up(directory, claim(directory, Shape(), programs), programs, lambda _: None)
    told = yaml.safe_load((directory / "kwokctl.yaml").read_text())["componentsPatches"]
    flags = {each["name"]: {arg["key"]: arg["value"] for arg in each["extraArgs"]} for each in told}
    urls = {key: value for of in flags.values() for key, value in of.items() if "127.0.0.1:" in value}
    assert {"listen-client-urls", "listen-client-http-urls", "listen-peer-urls", "etcd-servers"} <= set(urls)
    assert {value.removeprefix("node0=").split("://")[0] for value in urls.values()} == {"https"}
    assert flags["etcd"]["client-cert-auth"] == flags["etcd"]["peer-client-cert-auth"] == "true"
    authority = str(keys_of(directory).authority)
    assert flags["etcd"]["trusted-ca-file"] == flags["etcd"]["peer-trusted-ca-file"] == authority
    assert flags["kube-apiserver"]["etcd-cafile"] == authority


def test_the_controllers_take_a_certificate_of_the_clusters_and_show_one(home: Path) -> None:
    """Or nobody could look into them, and what answers at their ports could be anybody."""
    directory = home_of("fake")
    programs = fake_programs(home, FAKE_KWOKCTL)
    bring_up(directory, claim(directory, Shape(), programs), programs, lambda _: None)
    keys = keys_of(directory)
    told = yaml.safe_load((directory / "kwokctl.yaml").read_text())["componentsPatches"]
    for each in told:
        if each["name"] in {"kube-controller-manager", "kube-scheduler"}:
            flags = {arg["key"]: arg["value"] for arg in each["extraArgs"]}
            assert flags["client-ca-file"] == str(keys.authority)
            assert (flags["tls-cert-file"], flags["tls-private-key-file"]) == (str(keys.certificate), str(keys.key))


def test_each_component_has_its_port_and_no_other_has_one() -> None:
    ports = Ports(*range(10001, 10011))
    asked = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
    assert [ports.of(each) for each in asked] == [10001, 10004, 10005, 10010]
    with pytest.raises(OrdealError, match="no component 'kubelet'"):
        ports.of("kubelet")


def fake_programs(home: Path, kwokctl: str) -> Programs:
    """Programs that are shell scripts; all but kwokctl do nothing."""

    def bundle(*names: str) -> Binaries:
        for name in names:
            (home / name).write_text(kwokctl if name == "kwokctl" else "#!/bin/sh\n")
            (home / name).chmod(0o755)
        sums = {name: hashlib.sha256((home / name).read_bytes()).hexdigest() for name in names}
        return Binaries("fake", "1.34.4", home, sums)

    control_plane = bundle("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    return Programs(control_plane, bundle("etcd", "etcdctl"), bundle("kwok", "kwokctl"))


# --- ports and flags


def test_ports_are_free_and_not_taken() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        first = _free_ports(9, set())
        assert len(set(first)) == 9
        assert not set(first) & set(_free_ports(50, set(first)))
        assert busy.getsockname()[1] not in first


def test_what_is_started_beside_a_cluster_gets_no_port_of_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = home_of("fake")
    ports = asdict(claim(directory, Shape(), fake_programs(home, FAKE_KWOKCTL)).ports)
    monkeypatch.setattr("random.randrange", lambda _: min(ports.values()) - 10000)  # the first port that is looked at
    port = free_port(directory)
    assert port not in ports.values()
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


def test_flags_are_set_anew_and_others_kept() -> None:
    argv = ["/bin/kcm", "--a=1", "--ab=2", "--a=3", "--c"]
    assert with_flags(argv, {"a": "9", "d": "x=y"}) == ["/bin/kcm", "--ab=2", "--c", "--a=9", "--d=x=y"]


# --- processes


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[tuple[OwnProcess, Path]]:
    """A process of ours that sleeps, and its record."""
    record = tmp_path / "record"
    process = start(record, ["sleep", "60"], log=tmp_path / "log", cwd=tmp_path, mark=str(tmp_path))
    yield process, record
    kill([process])


def test_it_is_written_down_and_found_by_its_mark(sleeper: tuple[OwnProcess, Path], tmp_path: Path) -> None:
    process, record = sleeper
    assert read(record) == process
    assert marked(str(tmp_path)) == (process,)
    assert marked(str(tmp_path / "other")) == ()
    assert os.getsid(process.pid) == process.pid


def test_it_is_stopped_and_goes_on(sleeper: tuple[OwnProcess, Path]) -> None:
    process, _ = sleeper

    def is_now(state: str) -> bool:
        return process.state() == state

    for number, state in ((signal.SIGSTOP, "stopped"), (signal.SIGCONT, "running"), (signal.SIGKILL, "gone")):
        assert process.send(number)
        eventually(partial(is_now, state), within_s=5, what=state, every_s=0.01)
    assert not process.send(signal.SIGCONT)


def test_another_process_with_its_pid_is_left_alone(sleeper: tuple[OwnProcess, Path]) -> None:
    process, _ = sleeper
    stranger = OwnProcess(process.pid, process.started + 1)
    assert stranger.state() == "gone"
    assert not stranger.send(signal.SIGKILL)
    kill([stranger])
    assert process.state() == "running"


def test_what_is_gone_is_killed_without_a_word(sleeper: tuple[OwnProcess, Path]) -> None:
    process, record = sleeper
    kill([process])
    kill([process])
    found = read(record)
    assert found is not None
    assert found.state() == "gone"


def test_it_outlives_the_one_who_started_it(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from chaos.clusters.simulated.processes import start
here = Path({str(tmp_path)!r})
start(here / "record", ["sleep", "60"], log=here / "log", cwd=here, mark=str(here))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    process = read(tmp_path / "record")
    assert process is not None
    try:
        assert process.state() == "running"
    finally:
        kill([process])


def test_a_program_that_is_not_there_is_soon_gone_and_its_log_says_why(tmp_path: Path) -> None:
    process = start(tmp_path / "record", ["/no/such/program"], log=tmp_path / "log", cwd=tmp_path, mark=str(tmp_path))
    eventually(lambda: process.state() == "gone", within_s=5, what="it to be gone", every_s=0.01)
    assert "/no/such/program" in (tmp_path / "log").read_text()


def test_no_record_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        start(tmp_path / "r", ["sleep", "1"], log=tmp_path / "log", cwd=tmp_path / "missing", mark="x")


def test_a_process_that_another_program_started_is_adopted_by_its_mark(tmp_path: Path) -> None:
    env = {**os.environ, MARK: str(tmp_path)}
    with subprocess.Popen(["sleep", "60"], env=env) as ours, subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            eventually(
                lambda: adopt(tmp_path / "a", ours.pid, mark=str(tmp_path)), within_s=5, what="ours to be adopted"
            )
            assert not adopt(tmp_path / "b", stranger.pid, mark=str(tmp_path))
            adopted, refused = read(tmp_path / "a"), read(tmp_path / "b")
            assert adopted is not None
            assert refused is not None
            assert (adopted.pid, adopted.state(), refused.state()) == (ours.pid, "running", "gone")
        finally:
            ours.kill()
            stranger.kill()
