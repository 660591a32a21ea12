"""A real API server behind a way that is made bad: nothing is held that was not seen, nothing ends in a traceback."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient

from chaos.basics.waiting import eventually, hold
from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape, Zone
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.conformance import leftovers
from chaos.conformance.runner import has_default_class
from chaos.errors import OrdealError
from chaos.record.history import History
from chaos.record.recorder import Recorder
from chaos.record.records import IN_SYNC, Blind, PodChange, Sample
from chaos.record.stream import LATE_S
from chaos.run.pool import Pool
from chaos.workloads.pinned import Spare
from chaos.workloads.web import remove_namespace
from tests.churn import PODS, request, witnessed
from tests.integration.hostile.between import LASTS, NAMED_BY
from tests.integration.hostile.troubles import TROUBLES, Trouble, restored, troubled
from tests.integration.hostile.way import HostileWay, hostile_way

ROOT = Path(__file__).parents[2]
TROUBLE_S = 3 * LATE_S
DRIPS = "a few bytes at a time"  # long lists take minutes then: nothing ends an answer that goes on coming
EACH = [pytest.param(each, id=each.name) for each in TROUBLES]

pytestmark = pytest.mark.nightly("toxiproxy is built and mitmproxy installed for it: minutes")


@pytest.fixture(scope="module")
def cluster(pool: Pool) -> Iterator[SimulatedCluster]:
    made = pool.acquire(SIMULATED, Shape(workers=0, zones=(Zone("a", 4),)))
    assert isinstance(made, SimulatedCluster)
    yield made
    pool.take_down(SIMULATED)


@pytest.fixture(scope="module")
def around(cluster: SimulatedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileWay]:
    with hostile_way(Path(cluster.ref.kubeconfig), tmp_path_factory.mktemp("way")) as made:
        yield made


@pytest.fixture
def way(around: HostileWay) -> Iterator[HostileWay]:
    yield around
    restored(around)


class Behind(SimulatedCluster):
    """The cluster, as it is reached over the way."""

    way: HostileWay

    def api(self) -> ApiClient:
        return self.way.client()


@pytest.fixture
def behind(cluster: SimulatedCluster, way: HostileWay) -> Behind:
    made = Behind(cluster.ref.name)
    made.way = way
    return made


def _pod(cluster: SimulatedCluster, verb: str, name: str) -> None:
    """By the straight way."""
    containers = [{"name": "c", "image": "pause"}]
    spec = {"nodeName": "a-1", "automountServiceAccountToken": False, "containers": containers}
    spec |= {"tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 0}
    with cluster.api() as client:
        if verb == "create":
            request(client, "POST", PODS, {"metadata": {"name": name}, "spec": spec})
        else:
            request(client, "DELETE", f"{PODS}/{name}")


@pytest.mark.parametrize("trouble", EACH)
def test_the_recorder_has_seen_all_or_says_when_it_was_blind(
    cluster: SimulatedCluster, way: HostileWay, tmp_path: Path, trouble: Trouble
) -> None:
    """What it saw late lies in a blindness, and what it vouches for is what etcd has."""
    history = History()
    happened: dict[str, float] = {}
    with witnessed(cluster, tmp_path / "witness") as told, Recorder(history, way.client) as recorder:
        with troubled(trouble, way):
            for name in ("one", "two"):
                _pod(cluster, "create", name)
                happened[name] = history.now()
            hold(TROUBLE_S)
            _pod(cluster, "delete", "two")
        _pod(cluster, "create", "three")
        happened["three"] = history.now()
        in_sync = recorder.catch_up(within_s=60)
        for name in ("one", "three"):
            _pod(cluster, "delete", name)
        eventually(lambda: sum(word == "delete" for word, _ in told()) == 3, within_s=60, what="etcd's witness")
    blind = [b for b in history.of(Blind) if b.source == "watch:pods"]
    vouched = [s.value for s in history.of(Sample) if s.name == IN_SYNC and s.subject == "watch:pods"]
    print(f"recorder | {trouble.name} | in sync {in_sync} | " + "; ".join(_said(b) for b in blind))
    assert in_sync
    assert vouched[-1] == 1.0
    assert all(b.complete for b in blind)
    seen = {p.name: p for p in history.of(PodChange) if p.change == "added"}
    for name, at in happened.items():
        if name in seen and seen[name].at > at + LATE_S:
            assert any(b.at <= at + LATE_S and b.until >= seen[name].at - LATE_S for b in blind), (name, at, blind)
    versions = [p.resource_version for p in history.of(PodChange)]
    etcd = [revision for _, revision in told()]
    listed = any("full list" in b.why for b in blind)
    assert versions == etcd or (listed and set(versions) <= set(etcd) | set(_deleted(history)))
    assert {p.name for p in history.of(PodChange) if p.change == "deleted"} >= {"one", "three"}


def _deleted(history: History) -> list[str]:
    """What a full list shows to be gone has the list's version."""
    return [p.resource_version for p in history.of(PodChange) if p.change == "deleted"]


def _said(blind: Blind) -> str:
    return f"blind {blind.until - blind.at:.1f} s ({blind.why[:60]})"


@pytest.mark.parametrize("trouble", [each for each in EACH if each.id != DRIPS])
def test_a_workload_comes_and_goes_or_says_why_not(behind: Behind, cluster: SimulatedCluster, trouble: Trouble) -> None:
    told, namespace = "made and removed", f"hostile-{uuid.uuid4().hex[:6]}"
    try:
        with troubled(trouble, behind.way):
            try:
                Spare("a-1").deploy(behind, "run", namespace)
                remove_namespace(behind, namespace)
            except OrdealError as error:
                told = str(error)
                assert "\n" not in told
                assert "Traceback" not in told
        restored(behind.way)
        remove_namespace(behind, namespace)  # as a replay does at its end
    finally:
        remove_namespace(cluster, namespace)
    print(f"workload | {trouble.name} | {told}")
    eventually(lambda: _nothing_left(cluster, namespace), within_s=60, what="the workload to be gone")


def _nothing_left(cluster: SimulatedCluster, namespace: str) -> bool:
    """Not in that namespace, nor of it itself: the one that is being deleted is listed until it is empty."""
    with cluster.api() as client:
        items = request(client, "GET", "/api/v1/namespaces")["items"]
    return namespace not in {item["metadata"]["name"] for item in items}


@pytest.mark.parametrize("trouble", [each for each in EACH if each.id != DRIPS])
def test_what_conformance_asks_has_an_answer_for_it(way: HostileWay, trouble: Trouble) -> None:
    with troubled(trouble, way):
        assert has_default_class(way.kubeconfig) in {True, False}
        assert leftovers.remove(way.kubeconfig, "", "nobody") == ()


COMMANDS = {
    "guard show": ("guard", "show", "--kubeconfig"),
    "halt": ("halt", "--kubeconfig"),
}


@pytest.mark.parametrize("trouble", [each for each in EACH if each.id != DRIPS])
def test_a_command_ends_with_one_sentence(way: HostileWay, tmp_path: Path, trouble: Trouble) -> None:
    with troubled(trouble, way):
        started = {
            name: subprocess.Popen(
                [sys.executable, "-m", "chaos", *argv, str(way.kubeconfig)],
                cwd=ROOT,
                env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for name, argv in COMMANDS.items()
        }
        ended = {name: (*process.communicate(timeout=300), process.returncode) for name, process in started.items()}
    for name, (out, err, code) in ended.items():
        last = (err.strip() or out.strip()).splitlines()[-1:]
        print(f"{name} | {trouble.name} | exit {code} | {''.join(last)[:200]}")
        assert "Traceback" not in out + err, out + err
        assert code in {0, 1, 2, 3, 4}, (name, code, err)


REPLAY = "suites/control_plane/test_mass_termination_simulated.py::test_a_small_cluster_keeps_its_pods"


def replayed(trouble: str, lasts_s: str, results: Path) -> Mapping[str, Any]:
    """The small mass-termination, hardened, with the trouble in its recording; its entry in the results."""
    argv = [sys.executable, "-m", "pytest", "-p", "tests.integration.hostile.between", REPLAY, "-k", "hardened"]
    argv += ["--ordeal-cluster", "simulated", "--ordeal-cluster-name", "hostile", "--ordeal-results", str(results)]
    env = {**os.environ, NAMED_BY: trouble, LASTS: lasts_s}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False)
    said = done.stdout + done.stderr
    assert done.returncode in {0, 1}, said[-6000:]
    assert "Traceback (most recent call last)" not in said, said[-6000:]
    (told,) = json.loads((results / "latest" / "results.json").read_text())["incidents"]
    assert isinstance(told, dict)
    print(f"replay | {trouble} | {lasts_s} | {told['verdict']} | {told['why'][:200]}")
    return told


@pytest.mark.parametrize("lasts_s", ["5", "on"])
@pytest.mark.parametrize("trouble", [each.name for each in TROUBLES])
def test_a_replay_is_held_only_where_all_was_seen_in_the_end(tmp_path: Path, trouble: str, lasts_s: str) -> None:
    """Never violated either: the cluster is not to blame. Each blindness is over, and the end is vouched for."""
    told = replayed(trouble, lasts_s, tmp_path)
    assert told["verdict"] in {"held", "unknown"}, told["why"]
    if told["verdict"] == "held":
        (path,) = (tmp_path / "latest").glob("*/history/*.jsonl")
        history = History.load(path)
        assert all(b.complete for b in history.of(Blind) if b.source.startswith("watch:"))
        words = {s.subject: s.value for s in history.of(Sample) if s.name == IN_SYNC}
        assert set(words.values()) == {1.0}
