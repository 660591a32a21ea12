"""The simulated provider and its faults on a real control plane: made, found again, harmed, killed, put back."""

import base64
import json
import os
import signal
import stat
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import pytest
import urllib3
from kubernetes.client import CoreV1Api, V1ConfigMap, V1ObjectMeta

from chaos.basics.waiting import eventually
from chaos.clusters.base import SIMULATED, ClusterRef
from chaos.clusters.shape import Shape, Timers, Zone
from chaos.clusters.simulated import home as simulated_home
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.clusters.simulated.home import home_of, process_record, read_record
from chaos.clusters.simulated.processes import marked, read
from chaos.errors import OrdealError
from chaos.harm.base import FaultError, inject
from chaos.harm.component import SwapComponent
from chaos.harm.control_plane import ReplaceControlPlane, StopControllerManager
from chaos.harm.heartbeats import StopHeartbeats
from chaos.hosts import mutants
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.run import claim
from chaos.run.pool import Pool
from chaos.subjects.watch_cache.faults import EditEtcdBehind, RestoreSnapshot
from tests.comparing import differences, settled, wait_as_before
from tests.fake_apiserver import PKI
from tests.integration.crash import ROOT, kill_and_undo
from tests.integration.harm import done_and_undone, fault_of
from tests.integration.picture import unsound
from tests.moments import Moments

TIMERS = Timers(monitor_grace_s=8, monitor_period_s=1, toleration_s=3)
SHAPE = Shape(
    zones=(Zone("a", 4, parts=(("a-1", 2), ("rest", 2))), Zone("b", 2, parts=(("b", 1), ("rest", 1)))), timers=TIMERS
)
KINDS = (
    StopHeartbeats.kind,
    StopControllerManager.kind,
    ReplaceControlPlane.kind,
    EditEtcdBehind.kind,
    RestoreSnapshot.kind,
    SwapComponent.kind,
)
NAME, KEY, VALUE = "it-settings", "said", "value-as-written"


@dataclass(frozen=True)
class Picture:
    """The cluster as the kernel, the API and etcd show it; counters and times left out."""

    ready: dict[str, str]
    taints: dict[str, tuple[str, ...]]
    stopped: dict[str, bool]
    first: bool
    second: bool
    controller_manager: bool
    programs: dict[str, str]
    overridden: list[str]
    value: str
    stored: bool


def picture(cluster: SimulatedCluster) -> Picture:
    with cluster.api() as client:
        value: Any = CoreV1Api(client).read_namespaced_config_map(NAME, "default").data
    nodes = cluster.nodes()
    return Picture(
        ready={n.name: n.ready for n in nodes},
        taints={n.name: n.taints for n in nodes},
        stopped={g: cluster.heartbeats_stopped(g) for g in cluster.heartbeat_groups()},
        first=cluster.first_control_plane_running(),
        second=cluster.second_control_plane_running(),
        controller_manager=cluster.controller_manager_running(),
        programs={c: cluster.running_program(c) for c in cluster.components()},
        overridden=sorted(p.name for p in (home_of(cluster.ref.name) / "programs").glob("*")),
        value=value[KEY],
        stored=VALUE.encode() in cluster.etcd_get(f"/registry/configmaps/default/{NAME}"),
    )


def faults_of(cluster: SimulatedCluster) -> dict[str, dict[str, Any]]:
    return {
        StopHeartbeats.kind: {"groups": ["a-1", "b"]},
        StopControllerManager.kind: {},
        ReplaceControlPlane.kind: {"controllers": "*"},
        EditEtcdBehind.kind: {
            "key": f"/registry/configmaps/default/{NAME}",
            "old": VALUE,
            "new": VALUE.upper(),
        },
        RestoreSnapshot.kind: {"snapshot": cluster.etcd_snapshot_of("empty")},
        SwapComponent.kind: {
            "component": "kube-controller-manager",
            "path": str(mutants.build("disrupted-zone-ignored", cluster.kubernetes, report=print).path),
        },
    }


@pytest.fixture(scope="module")
def cluster(pool: Pool) -> SimulatedCluster:
    made = pool.acquire(SIMULATED, SHAPE)
    assert isinstance(made, SimulatedCluster)
    made.etcd_snapshot("empty")  # before the ConfigMap: a restored snapshot does not have it
    with made.api() as client:
        body = V1ConfigMap(metadata=V1ObjectMeta(name=NAME), data={KEY: VALUE})
        CoreV1Api(client).create_namespaced_config_map("default", body)
    return made


@pytest.fixture
def name() -> Iterator[str]:
    """A cluster's name; nothing is left of it afterwards."""
    chosen = f"it-{uuid.uuid4().hex[:6]}"
    yield chosen
    SimulatedCluster(chosen).delete()


# --- the provider


def test_nodes_are_in_their_zones_and_groups(cluster: SimulatedCluster) -> None:
    nodes = {n.name: n for n in cluster.nodes()}
    assert {g: cluster.nodes_of(g) for g in cluster.heartbeat_groups()} == {
        "a-1": ("a-1", "a-2"),
        "rest": ("a-3", "a-4", "b-2"),
        "b": ("b-1",),
        "control-plane": ("control-plane",),
    }
    assert [nodes[n].zone for n in ("a-1", "b-2", "control-plane")] == ["a", "b", ""]
    assert all(n.ready == "True" for n in nodes.values())
    assert nodes["control-plane"].control_plane
    assert not nodes["a-1"].control_plane


def test_it_can_be_found_again_by_its_reference_alone(cluster: SimulatedCluster) -> None:
    found = SimulatedCluster.attach(msgspec.convert(json.loads(json.dumps(asdict(cluster.ref))), ClusterRef))
    assert found.identity() == cluster.ref.identity
    assert found.shape == cluster.shape == SHAPE
    assert found.nodes() == cluster.nodes()


def test_everything_listens_on_loopback_alone(cluster: SimulatedCluster) -> None:
    pids = {p.pid for p in marked(str(home_of(cluster.ref.name)))}
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    ours = [line.split() for line in listening if any(f"pid={pid}," in line for pid in pids)]
    assert len(ours) >= 5
    assert {fields[3].rsplit(":", 1)[0] for fields in ours} == {"127.0.0.1"}


def test_who_has_no_certificate_of_the_clusters_gets_nothing_from_etcd(cluster: SimulatedCluster) -> None:
    """Nor writes anything: what etcd holds is what verdicts are made of. Its peers' port is asked too."""
    key = f"/registry/configmaps/default/{NAME}"
    before = cluster.etcd_get(key)  # with the certificate it answers
    assert VALUE.encode() in before
    etcd = read(process_record(home_of(cluster.ref.name), "etcd"))
    assert etcd is not None
    sockets = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    ports = [line.split()[3].rsplit(":", 1)[1] for line in sockets if f"pid={etcd.pid}," in line]
    assert len(ports) >= 2  # for clients, and for peers
    named = {"key": base64.b64encode(key.encode()).decode()}
    asked = {"/v3/kv/range": named, "/v3/kv/put": {**named, "value": ""}, "/health": {}, "/members": {}, "/raft": {}}
    foreign: dict[str, Any] = {"cert_file": str(PKI / "alice.crt"), "key_file": str(PKI / "alice.key")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        for certificate in ({}, foreign):
            with urllib3.PoolManager(cert_reqs="CERT_NONE", retries=False, timeout=5, **certificate) as pool:
                for url in (f"{scheme}://127.0.0.1:{port}" for scheme in ("http", "https") for port in ports):
                    for path, body in asked.items():
                        with pytest.raises(urllib3.exceptions.HTTPError):
                            pool.request("POST", url + path, json=body)
    without = [flag for flag in cluster.etcdctl() if not flag.startswith(("--cert=", "--key="))]
    said = subprocess.run([*without, "--command-timeout=3s", "get", key], capture_output=True, text=True, check=False)
    assert said.returncode != 0
    assert VALUE not in said.stdout
    assert cluster.etcd_get(key) == before


@pytest.mark.parametrize("part", ["apiserver", "controller_manager", "scheduler"])
def test_who_has_no_certificate_changes_nothing_at_the_other_ports(cluster: SimulatedCluster, part: str) -> None:
    record = read_record(home_of(cluster.ref.name))
    assert record is not None
    url = f"https://127.0.0.1:{getattr(record.ports, part)}"
    asked = [("GET", "/api/v1/nodes"), ("GET", "/debug/pprof/cmdline"), ("PUT", "/debug/flags/v"), ("GET", "/configz")]
    with warnings.catch_warnings(), urllib3.PoolManager(cert_reqs="CERT_NONE", retries=False, timeout=5) as pool:
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        assert pool.request("GET", f"{url}/healthz").status == 200
        assert {pool.request(verb, url + path).status for verb, path in asked} <= {401, 403}


@pytest.mark.parametrize("part", ["kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_a_component_says_what_it_holds(cluster: SimulatedCluster, part: str) -> None:
    assert b"# HeapAlloc = " in cluster.component_page(part, "/debug/pprof/heap?debug=1")


def test_etcd_tells_what_it_sent(cluster: SimulatedCluster) -> None:
    assert b"etcd_network_client_grpc_sent_bytes_total " in cluster.component_page("etcd", "/metrics")


def test_only_its_owner_reads_a_clusters_files(cluster: SimulatedCluster) -> None:
    home = home_of(cluster.ref.name)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    secret = [path for path in home.rglob("*") if path.suffix == ".key" or "kubeconfig" in path.name]
    assert len(secret) >= 4
    assert {path.name: path.stat().st_mode & 0o077 for path in secret if path.stat().st_mode & 0o077} == {}


def test_a_name_that_is_taken_is_refused(cluster: SimulatedCluster) -> None:
    with pytest.raises(OrdealError, match="is there already"):
        SimulatedCluster.create(cluster.ref.name, SHAPE)
    assert all(n.ready == "True" for n in cluster.nodes())


def test_a_directory_that_is_not_ours_is_left_alone(name: str) -> None:
    theirs = home_of(name) / "precious"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    try:
        with pytest.raises(OrdealError, match="no simulated cluster of ours"):
            SimulatedCluster.create(name, SHAPE)
        with pytest.raises(OrdealError, match="no simulated cluster of ours"):
            SimulatedCluster(name).delete()
        assert theirs.read_text() == "theirs"
    finally:
        theirs.unlink()
        theirs.parent.rmdir()


def test_a_deleted_one_is_gone_with_its_processes(name: str) -> None:
    made = SimulatedCluster.create(name, Shape(timers=TIMERS))
    assert SimulatedCluster.exists(name)
    home = home_of(name)
    made.stop_heartbeats("workers")  # a stopped process must go too
    made.delete()
    assert not SimulatedCluster.exists(name)
    assert not home.exists()
    assert marked(str(home)) == ()
    made.delete()


def test_a_control_plane_that_cannot_start_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_home, "UP_WITHIN_S", 10.0)  # which kwokctl waits for, and in vain
    with pytest.raises(OrdealError, match="no-such-flag"):
        SimulatedCluster.create(name, Shape(apiserver=(("no-such-flag", "1"),)))
    assert not SimulatedCluster.exists(name)


@pytest.mark.parametrize("then", ["delete", "make again"])
def test_a_create_that_is_killed_can_be_deleted_and_made_again(
    name: str, then: str, moment: int, moments: Moments
) -> None:
    code = f"""
from chaos.clusters.shape import Shape
from chaos.clusters.simulated.cluster import SimulatedCluster
SimulatedCluster.create({name!r}, Shape())
"""
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
    try:
        eventually(lambda: SimulatedCluster.exists(name), within_s=60, what="the create to begin", every_s=0.005)
        time.sleep(moments.second(4))  # the moment of the kill is what is tried here
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if then == "delete":
        SimulatedCluster(name).delete()
        assert marked(str(home_of(name))) == ()
        assert not SimulatedCluster.exists(name)
        return
    record = read_record(home_of(name))
    whole = record is not None and record.whole
    made = SimulatedCluster(name) if whole else SimulatedCluster.create(name, Shape(timers=TIMERS))
    assert all(n.ready == "True" for n in made.nodes())


# --- its faults


@pytest.mark.parametrize("kind", KINDS)
def test_lands_and_is_undone(cluster: SimulatedCluster, journal: Journal, kind: str) -> None:
    before = settled(lambda: picture(cluster), lambda now: unsound(now.ready, now.taints))
    harm = fault_of(kind, faults_of(cluster)[kind])
    with done_and_undone(harm, cluster, journal):
        harmed = kind == ReplaceControlPlane.kind or eventually(
            lambda: _is_harmed(cluster, before), within_s=30, what="the harm to show"
        )
    assert harmed
    wait_as_before(lambda: picture(cluster), before)


def _is_harmed(cluster: SimulatedCluster, before: Picture) -> bool:
    try:
        return picture(cluster) != before
    except Exception:  # noqa: BLE001  (an API server or etcd that is down is harm enough)
        return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_is_undone(cluster: SimulatedCluster, kind: str, moment: int, moments: Moments) -> None:
    before = settled(lambda: picture(cluster), lambda now: unsound(now.ready, now.taints))
    within_s = 12.0 if kind == ReplaceControlPlane.kind else 3.0
    kill_and_undo(cluster, kind, faults_of(cluster)[kind], moments, within_s=within_s)
    wait_as_before(lambda: picture(cluster), before)


def test_controllers_that_ended_while_etcd_was_away_run_again_after_undo(cluster: SimulatedCluster) -> None:
    """As where a run is killed between etcd's stop and its start, and the undo comes late: leaders give up by then."""
    before = settled(lambda: picture(cluster), lambda now: unsound(now.ready, now.taints))
    harm = fault_of(RestoreSnapshot.kind, faults_of(cluster)[RestoreSnapshot.kind])
    saved = harm.plan(cluster)
    try:
        cluster._components.kill("etcd", "kube-controller-manager", "kube-scheduler")
        assert cluster.controllers_running() == ()
    finally:
        harm.undo(cluster, saved)
    assert harm.undone(cluster, saved)
    wait_as_before(lambda: picture(cluster), before)


@pytest.mark.parametrize(
    ("component", "path", "sentence"),
    [
        ("kube-proxy", "/bin/true", "there is no component 'kube-proxy'"),
        ("kube-controller-manager", "/no/such/file", "can't be read"),
        ("kube-controller-manager", __file__, "is no Linux program"),
    ],
)
def test_a_program_that_cannot_take_a_components_place_is_refused(
    cluster: SimulatedCluster, component: str, path: str, sentence: str
) -> None:
    before = settled(lambda: picture(cluster), lambda now: unsound(now.ready, now.taints))
    with pytest.raises(OrdealError, match=sentence):
        SwapComponent(component, path).plan(cluster)
    assert differences(before, picture(cluster)) == ""


def test_heartbeats_that_were_killed_are_started_anew_by_undo(cluster: SimulatedCluster, journal: Journal) -> None:
    """The process that was stopped is gone when the fault is undone: the undo still brings the heartbeats back."""
    before = settled(lambda: picture(cluster), lambda now: unsound(now.ready, now.taints))
    with inject(StopHeartbeats(("b",)), cluster, journal, History()):
        cluster._kubelets("b").send(signal.SIGKILL)
    wait_as_before(lambda: picture(cluster), before)


def test_heartbeats_that_are_stopped_already_are_refused(cluster: SimulatedCluster, journal: Journal) -> None:
    cluster.stop_heartbeats("rest")
    try:
        with (
            pytest.raises(OrdealError, match="stopped already"),
            inject(StopHeartbeats(("rest",)), cluster, journal, History()),
        ):
            pass
    finally:
        cluster.resume_heartbeats("rest")
    eventually(lambda: all(n.ready == "True" for n in cluster.nodes()), within_s=60, what="every node Ready")


def test_a_signal_that_has_no_effect_is_no_landing(
    cluster: SimulatedCluster, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault asks the kernel and the leases: a stop that did not happen is not taken for one."""
    monkeypatch.setattr(SimulatedCluster, "stop_heartbeats", lambda self, group: None)
    with (
        pytest.raises(FaultError, match="did not land"),
        inject(StopHeartbeats(("b",)), cluster, journal, History(), landing_within_s=3),
    ):
        pass


def test_that_a_claim_is_renewed_is_noted_by_the_api_server(
    cluster: SimulatedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until when it lasts is told by that, not by the date that its holder writes."""
    monkeypatch.setattr(claim, "RENEWED_EVERY_S", 0.2)
    with claim.Claim(cluster.api, "run a"):
        first = claim.held(cluster.api)
        assert "claimed by run a" in first
        eventually(lambda: claim.held(cluster.api) > first, within_s=60, what="it to last longer than at first")
    assert claim.held(cluster.api) == ""
