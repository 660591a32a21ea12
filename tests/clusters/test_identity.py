"""What tells a cluster from every other one, and that nothing is done to one that is another by now."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from chaos.clusters.base import EXISTING, KIND, ClusterRef, Images
from chaos.clusters.existing.cluster import attach
from chaos.clusters.identity import Identity, NodeIdentity, OtherClusterError, named_in, require_same
from chaos.clusters.kind import docker, ready
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.kind.home import CONFIG, IDENTITY, all_made_here, home_of
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import Access
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.run import pool
from tests.fake_apiserver import FakeApiServer
from tests.hosts.fake_docker import INFO, FakeDocker

MINE = Identity(
    uid="u1",
    ca="c1",
    server="https://a:6443",
    engine="e1",
    nodes=(NodeIdentity("w1", "m1", "i1"), NodeIdentity("w2", "m2")),
)
CP_ID, WORKER_ID = "aa" * 32, "bb" * 32


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (replace(MINE, uid="u2"), "the UID of the namespace kube-system was u1, and is u2 at https://a:6443"),
        (replace(MINE, ca="c2"), "the SHA-256 of its certificate authority was c1, and is c2"),
        (replace(MINE, engine="e2"), "the container engine was e1, and is e2"),
        (replace(MINE, nodes=(NodeIdentity("w1", "m1", "i2"),)), "the node w1 was the container i1, and is i2"),
        (replace(MINE, nodes=(NodeIdentity("w2", "m3"),)), "the node w2 was the machine m2, and is m3"),
    ],
)
def test_another_cluster_is_told_by_each_thing_that_only_one_has(now: Identity, says: str) -> None:
    with pytest.raises(OtherClusterError, match=f"the cluster x is not the one that is meant: {says}"):
        require_same(MINE, now, "x", {"w2"}, certain=True)


@pytest.mark.parametrize(
    "now",
    [
        MINE,
        replace(MINE, uid="", ca=""),  # the API server is away: the containers are the same
        replace(MINE, engine="", nodes=()),  # no engine answers: the API server does
        replace(MINE, server="https://b:6443"),  # it has another address
        replace(MINE, nodes=(NodeIdentity("w1", "m9", "i1"),)),  # a container keeps its id, whatever it says
        replace(MINE, nodes=(NodeIdentity("w2", "m3"),)),  # a node that nothing is to be done to was replaced
    ],
)
def test_what_cannot_be_read_and_what_may_change_is_no_difference(now: Identity) -> None:
    require_same(MINE, now, "x", {"w1"}, certain=True)


def test_where_nothing_answers_nobody_can_say_that_it_is_the_one() -> None:
    away = Identity(ca="c1", server="https://a:6443")  # what the kubeconfig says proves nothing
    with pytest.raises(OtherClusterError, match="neither its API server at https://a:6443 nor its nodes answer"):
        require_same(MINE, away, "x", (), certain=True)
    require_same(MINE, away, "x", (), certain=False)  # one that was made here, and is gone


def test_the_nodes_that_a_fault_names_are_found_wherever_they_stand() -> None:
    saved = {
        "node": "w1",
        "rules": [["w2", 1], {"peer": "w3"}],
        "text": "w4 and more",
        "number": 5,
        "manifests": {"w5": "..."},
    }
    assert named_in(saved, {"w1", "w2", "w3", "w4", "w5"}) == {"w1", "w2", "w3", "w5"}


def test_the_journal_keeps_of_thousands_of_nodes_only_those_that_matter() -> None:
    nodes = tuple(NodeIdentity(f"n{i}", f"m{i}") for i in range(5000))
    ref = ClusterRef(EXISTING, "x", "k", "c", Identity("u1", nodes=nodes)).narrowed({"n7"})
    assert ref.identity is not None
    assert ref.identity.nodes == (NodeIdentity("n7", "m7"),)


def test_a_reference_comes_back_from_the_journal_as_it_was() -> None:
    ref = ClusterRef(EXISTING, "x", "k", "c", MINE)
    assert msgspec.convert(json.loads(json.dumps(asdict(ref))), ClusterRef) == ref


def test_the_api_says_what_it_is_and_a_dead_one_only_what_the_kubeconfig_trusts(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path, tls=True) as api:
        api.put("nodes", "w1", status={"nodeInfo": {"machineID": "m1"}})
        api.put("nodes", "w2", status={})
        seen = Access(api.kubeconfig).identity()
        assert (seen.uid, seen.server) == (api.uid, api.url)
        assert len(seen.ca) == 64
        assert seen.nodes == (NodeIdentity("w1", "m1"), NodeIdentity("w2"))
    assert Access(api.kubeconfig).identity() == Identity(ca=seen.ca, server=api.url)


# --- a kind cluster of the user's own, and what only says that it is one


def engine_with(docker: FakeDocker, *, uid: str, machine: str = "m-w", name: str = "c") -> None:
    """An engine with a kind cluster of two nodes, whose control plane says which cluster it is."""
    docker.install(
        ps=f"""echo {name}-control-plane {CP_ID} control-plane
            echo {name}-worker {WORKER_ID} worker""",
        exec=f"""case "$*" in *{WORKER_ID}*machine-id*) echo {machine} ;; *machine-id*) echo m-cp ;;
            *kubectl*kube-system*) printf %s {uid} ;; esac""",
        info=f"echo '{json.dumps({**INFO, 'ID': 'engine-1'})}'",
        inspect="echo kindest/node:v1.34.4",
    )


def nodes_of(api: FakeApiServer, cluster: str = "c", provider: str = "kind://docker") -> None:
    for node, machine in ((f"{cluster}-control-plane", "m-cp"), (f"{cluster}-worker", "m-w")):
        api.put(
            "nodes",
            node,
            spec={"providerID": f"{provider}/{cluster}/{node}"},
            status={"nodeInfo": {"machineID": machine}},
        )


def test_a_kind_cluster_of_this_machine_is_reached_by_its_containers_ids(
    tmp_path: Path, docker_client: FakeDocker
) -> None:
    with FakeApiServer(tmp_path) as api:
        nodes_of(api)
        engine_with(docker_client, uid=api.uid)
        cluster = attach(api.kubeconfig, "fake", Shape())
    assert isinstance(cluster, KindCluster)
    assert cluster.ref.identity is not None
    assert cluster.ref.identity.uid == api.uid
    assert cluster.ref.identity.engine == "engine-1 /var/lib/docker"
    cluster.node_exec("c-worker", ["true"])
    assert docker_client.calls[-1] == f"exec {WORKER_ID} true"


@pytest.mark.parametrize(
    ("uid", "machine", "node"),
    [
        ("another", "m-w", "c"),  # a cluster of the same name, and its API server is on another machine
        ("mine", "m-other", "c"),  # its worker is another machine
        ("mine", "m-w", "postgres"),  # a Node may be called like any container
    ],
)
def test_names_and_provider_ids_alone_give_nobody_this_machines_containers(
    uid: str, machine: str, node: str, tmp_path: Path, docker_client: FakeDocker
) -> None:
    with FakeApiServer(tmp_path) as api:
        nodes_of(api, "c")
        if node != "c":
            api.put("nodes", node, spec={"providerID": "kind://docker/c/c-worker"}, status={})
        engine_with(docker_client, uid=api.uid if uid == "mine" else uid, machine=machine)
        cluster = attach(api.kubeconfig, "fake", Shape())
    assert not isinstance(cluster, KindCluster)
    changed = [call for call in docker_client.calls if not call.startswith(("ps", "exec", "info"))]
    assert not changed


def test_a_container_that_took_a_nodes_name_is_not_asked(docker_client: FakeDocker) -> None:
    identity = Identity("u1", engine="engine-1 /var/lib/docker", nodes=(NodeIdentity("c-worker", "m-w", WORKER_ID),))
    cluster = KindCluster(ClusterRef(KIND, "c", "", identity=identity), Shape(), Images("busybox"), None)
    docker_client.install(kill="exit 1", ps="echo c-control-plane 1 control-plane; echo c-worker 2 worker")
    assert cluster.workers == ("c-worker",)
    with pytest.raises(OrdealError, match="postgres is none of the containers of the kind cluster c"):
        cluster.pause("postgres")
    with pytest.raises(OrdealError, match="c-control-plane is none of the containers"):
        cluster.power_state("c-control-plane")  # made since: not of the cluster that was meant
    cluster.pause("c-worker")
    assert [call for call in docker_client.calls if call.startswith("pause")] == [f"pause {WORKER_ID}"]


# --- a cluster that was made here


def test_teardown_deletes_no_cluster_that_took_the_name_of_ours(
    tmp_path: Path, docker_client: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(ready, "kind_tools", lambda: None)
    home = home_of("c")
    home.mkdir(parents=True)
    (home / CONFIG).write_text("kind: Cluster")
    with FakeApiServer(tmp_path) as api:
        (home / "kubeconfig").write_text(api.kubeconfig.read_text())
        engine_with(docker_client, uid=api.uid)
        was = Identity("another", engine="engine-1 /var/lib/docker", nodes=(NodeIdentity("c-worker", "", "cc" * 32),))
        (home / IDENTITY).write_bytes(msgspec.json.encode(was))
        (ref,) = all_made_here()
        with pytest.raises(OtherClusterError, match="the UID of the namespace kube-system was another"):
            pool.delete(ref)
        (home / IDENTITY).write_bytes(msgspec.json.encode(replace(was, uid=api.uid)))
        (ref,) = all_made_here()
        with pytest.raises(OtherClusterError, match="the node c-worker was the container cccccccccccc"):
            pool.delete(ref)


def test_a_cluster_of_somebody_elses_is_never_among_those_that_were_made_here(
    tmp_path: Path, docker_client: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay gives a cluster a second control plane, whose kubeconfig was once put where those of ours are."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with FakeApiServer(tmp_path) as api:
        nodes_of(api)
        engine_with(docker_client, uid=api.uid)
        cluster = attach(api.kubeconfig, "fake", Shape())
    assert isinstance(cluster, KindCluster)
    monkeypatch.setattr(docker, "inspect", lambda _: SimpleNamespace(address="10.0.0.2"))
    monkeypatch.setattr(docker, "execute", lambda *_, **__: Output(0, "{spec: {containers: [{command: [a]}]}}", ""))
    written = Path(cluster._second_kubeconfig())
    assert "https://10.0.0.2:7443" in written.read_text()
    assert all_made_here() == ()
    cluster.stop_second_control_plane()
    assert not written.exists()
