"""What earlier runs left is undone on the cluster that it was done to, by leave of whose it is, and nowhere else."""

import json
import signal
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from kubernetes.client import ApiException

from chaos.basics.signals import as_interrupts
from chaos.clusters.base import EXISTING, KIND, SIMULATED, Cluster, ClusterRef
from chaos.clusters.existing import cluster as existing
from chaos.clusters.identity import Identity, NodeIdentity, OtherClusterError
from chaos.errors import OrdealError
from chaos.harm import base, load_all
from chaos.harm.base import inject, registered
from chaos.hosts.places import journals_dir
from chaos.record.history import History
from chaos.record.journal import CLUSTER, WORKLOAD, Journal, pending
from chaos.run import pool
from chaos.run.undo import Permission, Undone, forget_entry, left_on_existing, require_nothing_left, undo_all
from tests.fake_apiserver import FakeApiServer
from tests.harm.made_up import SAVED, SHORT_S, Harm, Target, raises, send
from tests.hosts.fake_docker import INFO, FakeDocker

load_all()
MEANT = Identity("u1", server="https://a:6443", nodes=(NodeIdentity("w1", "m1"),))
TOLD = Permission(existing=True)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def leave(kind: str, ref: ClusterRef, run: str = "20260101-000000-dead", /, **saved: Any) -> None:
    """What a killed run leaves."""
    with Journal(journals_dir() / f"{run}.jsonl") as journal:
        journal.planned(kind, ref, saved)


def there(api: FakeApiServer, identity: Identity | None) -> ClusterRef:
    return ClusterRef(EXISTING, "theirs", str(api.kubeconfig), "fake", identity)


def undone(allowed: Permission = TOLD) -> tuple[Undone, ...]:
    return undo_all(lambda _: None, allowed)


class Untouchable:
    """A cluster that must only be asked what it is: anything else is harm to the wrong one."""

    def __init__(self, ref: ClusterRef, now: Identity) -> None:
        self.ref, self._now = ref, now

    def identity(self) -> Identity:
        return self._now

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} of another cluster was used")


class ReadOnly:
    """A fault that has planned, of any kind; everything after that is harm."""

    def __init__(self, kind: str) -> None:
        self.kind, self.needs = kind, ()

    def plan(self, _cluster: Cluster) -> Mapping[str, Any]:
        return {"node": "w1"}

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was done to another cluster")


OTHERS = {
    "another API server": replace(MEANT, uid="u2"),
    "another machine": replace(MEANT, nodes=(NodeIdentity("w1", "m2"),)),
    "nobody": Identity(server="https://a:6443"),
}


@pytest.mark.parametrize("kind", registered())
@pytest.mark.parametrize("other", OTHERS)
def test_no_fault_is_undone_on_another_cluster(kind: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = ClusterRef(EXISTING, "theirs", "/nowhere", "fake", MEANT)
    leave(kind, ref, node="w1")
    monkeypatch.setattr(existing, "attach_again", lambda ref, *_: Untouchable(ref, OTHERS[other]))
    monkeypatch.setattr("chaos.run.undo.Access", lambda *_: Untouchable(ref, Identity()))
    (one,) = undone()
    assert "that is meant" in one.error
    assert "`kube-ordeal undo --forget 20260101-000000-dead:1` drops it" in one.error
    assert [p.kind for p in pending(journals_dir())] == [kind], "it is kept"


@pytest.mark.parametrize("kind", registered())
@pytest.mark.parametrize("other", OTHERS)
def test_no_fault_is_done_to_another_cluster(kind: str, other: str, tmp_path: Path) -> None:
    ref = ClusterRef(EXISTING, "theirs", "/nowhere", "fake", MEANT)
    cluster: Any = Untouchable(ref, OTHERS[other])
    with Journal(tmp_path / "run.jsonl") as journal:
        with pytest.raises(OtherClusterError), inject(ReadOnly(kind), cluster, journal, History()):  # type: ignore[arg-type]
            pass
        assert not (tmp_path / "run.jsonl").read_bytes(), "nothing is planned"


def test_a_workloads_namespace_that_is_not_there_ends_nothing_on_another_cluster(state: Path) -> None:
    """`kubectl config use-context` has made another cluster of the context since: there, the namespace is unknown."""
    with FakeApiServer(state) as api:
        leave(WORKLOAD, there(api, replace(MEANT, uid="of the first")), namespace="ordeal-web")
        (one,) = undone()
        assert not [a for a in api.asked if "ordeal-web" in a.path]
    assert "the UID of the namespace kube-system was of the first, and is " in one.error
    assert pending(journals_dir())


def test_a_journal_that_cannot_be_read_keeps_nothing_else_from_being_undone(state: Path) -> None:
    torn = journals_dir() / "20260102-000000-torn.jsonl"
    with FakeApiServer(state) as api:
        leave("claim", there(api, Identity(api.uid)), holder="run x")
        torn.write_bytes(b"{nonsense\n")
        bad, good = sorted(undone(), key=lambda each: not each.error)
    assert (good.what.split()[0], good.error) == ("claim", "")
    assert bad.what == "the journal of 20260102-000000-torn"
    why = f"the journal {torn} is damaged at line 1: "
    assert bad.error.startswith(why)
    assert bad.error.endswith("; read it, undo by hand and remove it")
    assert [each.name for each in journals_dir().iterdir()] == [torn.name], "it is kept"
    with pytest.raises(OrdealError, match="is damaged at line 1"):  # no run begins beside what nobody knows
        require_nothing_left("now", "give --ordeal-undo")
    with pytest.raises(OrdealError, match="is damaged at line 1"):
        forget_entry(f"{torn.stem}:1", print)
    with pytest.raises(OrdealError, match="nothing pending is named"):
        forget_entry("20260101-000000-dead:1", print)


def test_on_the_cluster_that_it_was_done_to_it_is_undone_whatever_it_is_called_now(state: Path) -> None:
    with FakeApiServer(state) as api:
        leave("claim", replace(there(api, Identity(api.uid)), name="an older name"), holder="run x")
        (one,) = undone()
    assert not one.error
    assert not pending(journals_dir())


# --- leave


def test_what_was_done_to_a_cluster_that_is_not_ours_stays_until_somebody_says_so(state: Path) -> None:
    with FakeApiServer(state) as api:
        leave("claim", there(api, Identity(api.uid, server=api.url)), holder="run x")
        assert undone(Permission()) == ()
        assert undone(Permission(run="20260101-000000-other")) == ()
        assert left_on_existing("20260101-000000-other") == (f"claim on theirs ({api.url}) [20260101-000000-dead:1]",)
        with pytest.raises(OrdealError, match="have left on clusters that are not ours to make: claim on theirs"):
            require_nothing_left("now", "give --ordeal-undo")
        assert not api.requests, "not even asked"
        assert [one.error for one in undone()] == [""]
    require_nothing_left("now", "give --ordeal-undo")


@pytest.mark.parametrize("stem", ["20260101-000000-dead", "20260101-000000-dead-gw1"])
def test_a_run_undoes_what_its_own_processes_left(state: Path, stem: str) -> None:
    with FakeApiServer(state) as api:
        leave("claim", there(api, Identity(api.uid)), stem, holder="run x")
        assert left_on_existing("20260101-000000-dead") == ()
        assert [one.error for one in undone(Permission(run="20260101-000000-dead"))] == [""]


def test_an_old_entry_needs_the_server_and_the_context(state: Path) -> None:
    with FakeApiServer(state) as api:
        leave("claim", there(api, None), holder="run x")
        for allowed in (TOLD, replace(TOLD, server=api.url), replace(TOLD, server="https://b", context="fake")):
            (one,) = undone(allowed)
            assert f"`kube-ordeal undo --server {api.url} --context fake`" in one.error
        (one,) = undone(Permission(existing=True, server=api.url, context="fake"))
    assert not one.error


def test_an_entry_is_forgotten_by_its_name_alone(state: Path) -> None:
    leave("power-off", ClusterRef(EXISTING, "theirs", str(state / "gone"), "fake", MEANT), node="w1")
    with pytest.raises(OrdealError, match="nothing pending is named 'dead:1'"):
        forget_entry("dead:1", print)
    said: list[str] = []
    forget_entry("20260101-000000-dead:1", said.append)
    assert said == ["forgotten, and not undone: power-off on theirs (https://a:6443) [20260101-000000-dead:1]"]
    assert not pending(journals_dir())


# --- others, at the same time


def test_a_cluster_that_a_run_uses_is_not_undone_on() -> None:
    leave(CLUSTER, ClusterRef(SIMULATED, "kept", ""))
    with pool.name_held("kept"):
        (one,) = undone(Permission())
        assert "another run uses the cluster kept now" in one.error
    (one,) = undone(Permission())
    assert not one.error


def test_an_existing_cluster_that_a_run_has_claimed_is_not_undone_on(state: Path) -> None:
    with FakeApiServer(state) as api:
        leave("taint", there(api, Identity(api.uid)), node="w1")
        api.lease = claimed_by("run b of bob")
        (one,) = undone()
    assert "claimed by run b of bob" in one.error


def claimed_by(holder: str) -> dict[str, Any]:
    """The Lease of one who has the cluster now."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 600, "renewTime": "2999-01-01T00:00:00Z"}
    return {"metadata": {"name": "kube-ordeal", "resourceVersion": "1"}, "spec": spec}


def test_the_claim_of_a_dead_run_is_no_obstacle_to_giving_it_back(state: Path) -> None:
    with FakeApiServer(state) as api:
        leave("claim", there(api, Identity(api.uid)), holder="run a")
        api.lease = claimed_by("run a")
        assert [each.error for each in undone()] == [""]
        assert api.lease is None


def test_a_runs_own_claim_is_no_obstacle_to_undoing_what_its_processes_left(
    harm: Harm, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeApiServer(state) as api:
        monkeypatch.setattr(pool, "attach", lambda ref: Target(ref, Identity(api.uid)))
        leave(Harm.kind, there(api, Identity(api.uid)), "20260101-000000-dead-gw1", **SAVED)
        api.lease = claimed_by("run dead")
        assert [each.error for each in undone(Permission(run="20260101-000000-dead"))] == [""]
    assert harm.taken == ["undo", "undone"]


# --- another engine


def info(engine: str, root: str = "/var/lib/docker") -> str:
    return f"echo '{json.dumps({**INFO, 'ID': engine, 'DockerRootDir': root})}'"


@pytest.mark.parametrize(("now", "root"), [("engine-2", "/var/lib/docker"), ("engine-1", "/srv/docker")])
def test_on_another_container_engine_a_cluster_is_not_taken_for_gone(
    now: str, root: str, docker_client: FakeDocker, tmp_path: Path
) -> None:
    """DOCKER_HOST leads elsewhere now: there is no container of that name there, and the node is still off here."""
    docker_client.install(info=info(now, root))
    identity = Identity("u1", engine="engine-1 /var/lib/docker", nodes=(NodeIdentity("c-worker", "", "aa" * 32),))
    leave("power-off", ClusterRef(KIND, "c", str(tmp_path / "k"), identity=identity), node="c-worker")
    (one,) = undone(Permission())
    assert f"the cluster c was on the container engine engine-1 /var/lib/docker, and {now} {root} answers" in one.error
    assert pending(journals_dir())


@pytest.mark.parametrize("kind", [CLUSTER, "power-off"])
def test_containers_that_took_the_names_of_a_clusters_nodes_are_left_alone(
    kind: str, docker_client: FakeDocker, tmp_path: Path
) -> None:
    docker_client.install(info=info("engine-1"), ps=f"echo c-worker {'bb' * 32} worker")
    config = tmp_path / "k"
    config.write_text(
        "{current-context: a, contexts: [{name: a, context: {cluster: a}}],"
        " clusters: [{name: a, cluster: {server: http://127.0.0.1:9}}]}"
    )
    identity = Identity("u1", engine="engine-1 /var/lib/docker", nodes=(NodeIdentity("c-worker", "", "aa" * 32),))
    leave(kind, ClusterRef(KIND, "c", str(config), identity=identity), node="c-worker")
    (one,) = undone(Permission())
    assert "the node c-worker was the container aaaaaaaaaaaa, and is bbbbbbbbbbbb" in one.error
    assert pending(journals_dir())
    assert not [call for call in docker_client.calls if call.startswith(("rm", "start", "kill", "network"))]


# --- what goes with its cluster


def test_what_was_done_to_a_cluster_that_does_not_go_is_not_dropped(docker_client: FakeDocker, tmp_path: Path) -> None:
    """Another engine answers, so the cluster stays, and so must the way back of what was done to it."""
    docker_client.install(info=info("engine-2"))
    identity = Identity("u1", engine="engine-1 /var/lib/docker", nodes=(NodeIdentity("c-worker", "", "aa" * 32),))
    made = ClusterRef(KIND, "c", str(tmp_path / "k"), identity=identity)
    with Journal(journals_dir() / "20260101-000000-dead.jsonl") as journal:
        journal.planned(CLUSTER, made, {})
        journal.planned("power-off", made, {"node": "c-worker"})
    assert ["another engine" if "and engine-2" in each.error else each.error for each in undone()] == [
        "another engine",
        "another engine",
    ]
    assert {each.kind for each in pending(journals_dir())} == {CLUSTER, "power-off"}


@pytest.mark.parametrize(
    ("ref", "goes"),
    [
        (ClusterRef(SIMULATED, "c", "", identity=Identity("u1")), True),
        (ClusterRef(SIMULATED, "c", ""), True),
        (ClusterRef(SIMULATED, "c", "", identity=Identity("u2")), False),
        (ClusterRef(KIND, "c", "", identity=Identity("u1")), False),
    ],
    ids=["it", "of an older version", "another of that name", "of that name and another kind"],
)
def test_only_what_was_done_to_a_cluster_goes_with_it(
    ref: ClusterRef, goes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ClusterRef(SIMULATED, "c", "", identity=Identity("u1"))
    deleted, asked = list[str](), list[ClusterRef]()
    monkeypatch.setattr(pool, "exists", asked.append)  # None: it is not there
    monkeypatch.setattr(pool, "attach", lambda each: SimpleNamespace(delete=lambda: deleted.append(each.name)))
    with Journal(journals_dir() / "20260101-000000-dead.jsonl") as journal:
        journal.planned(CLUSTER, made, {})
        journal.planned(WORKLOAD, ref, {"namespace": "ordeal-x"})
    assert [each.error for each in undone()] == ["", ""]
    assert deleted == ["c"]
    assert asked == ([made] if goes else [made, ref])


# --- one that fails keeps no other from being undone, stays, and is told


OURS = ClusterRef(SIMULATED, "c", "")
NEXT = ClusterRef(SIMULATED, "d", "")
LEFT = "made-up on c [20260101-000000-dead:1]"


@pytest.fixture
def harm(monkeypatch: pytest.MonkeyPatch) -> Harm:
    """A fault that this version knows, on clusters that are there."""
    made = Harm()
    monkeypatch.setitem(base._REGISTRY, Harm.kind, made)
    monkeypatch.setattr("chaos.run.undo.undo_pending", lambda one, on: base.undo_pending(one, on, within_s=SHORT_S))
    monkeypatch.setattr(pool, "exists", lambda _: True)
    monkeypatch.setattr(pool, "attach", Target)
    return made


def told(allowed: Permission = TOLD) -> tuple[tuple[Undone, ...], list[str]]:
    """What was handled, and what was said meanwhile."""
    said: list[str] = []
    return undo_all(said.append, allowed), said


def left_now() -> list[tuple[str, str, str]]:
    """What is pending: its kind, its cluster, and why it could not be undone."""
    return [(each.kind, each.cluster.name, each.last_error) for each in pending(journals_dir())]


def test_what_is_undone_is_told_and_leaves_no_journal(harm: Harm) -> None:
    leave(Harm.kind, OURS, **SAVED)
    assert told() == ((Undone(LEFT),), [f"an earlier run left {LEFT} behind; undoing it"])
    assert harm.taken == ["undo", "undone"]
    assert not list(journals_dir().iterdir())


def test_what_no_undo_takes_back_is_told_beside_what_was(harm: Harm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Harm, "remains", "half of it may be done", raising=False)
    leave(Harm.kind, OURS, **SAVED)
    handled, said = told()
    assert handled == (Undone(LEFT),)
    assert said[1:] == [f"{LEFT}: half of it may be done"]
    assert base.remains("no-such-fault") == ""
    assert base.remains("upgrade-command").startswith("an upgrade that was cut short may be half done")


def test_with_nothing_left_nothing_is_told() -> None:
    assert told() == ((), [])


@pytest.mark.parametrize(
    ("does", "because"),
    [
        ({"undo": raises(OSError("docker is gone"))}, "the last try raised OSError('docker is gone')"),
        ({"undone": bool}, "the last answer was False"),
    ],
    ids=["undo raises", "undone is false"],
)
def test_a_fault_that_cannot_be_undone_stays_and_the_others_are_undone(
    harm: Harm, does: Mapping[str, Any], because: str
) -> None:
    leave(WORKLOAD, NEXT, "20260101-000000-also", namespace="of nobody")
    leave(Harm.kind, OURS, **SAVED)
    harm.does = does
    with mock.patch("chaos.run.undo.remove_namespace") as remove:
        handled, said = told()
    why = f"waited 0.05 s for made-up to be undone, in vain; {because}"
    error = (
        f"the fault made-up on cluster c could not be undone ({why}); it stays in the journal: mend the cause and run "
        "`kube-ordeal undo`"
    )
    assert handled == (Undone(LEFT, error), Undone("workload on d [20260101-000000-also:1]"))
    assert f"{LEFT} could not be undone: {error}" in said
    assert left_now() == [(Harm.kind, "c", why)]
    assert [each.args[1] for each in remove.mock_calls] == ["of nobody"]


CANT = [
    OrdealError("it is away"),
    ApiException(403, "Forbidden"),
    PermissionError(13, "Permission denied", "/its/home"),
]


@pytest.mark.parametrize("error", CANT, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("kind", [WORKLOAD, CLUSTER, Harm.kind])
def test_what_fails_in_any_way_stays_and_the_others_are_undone(
    harm: Harm, kind: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach(ref: ClusterRef) -> Any:
        if ref == OURS:
            raise error
        return Target(ref)

    monkeypatch.setattr(pool, "attach", attach)
    leave(Harm.kind, NEXT, "20260101-000000-also", **SAVED)
    leave(kind, OURS, namespace="x", **SAVED)
    handled, said = told()
    assert {each.what: bool(each.error) for each in handled} == {
        f"{kind} on c [20260101-000000-dead:1]": True,
        "made-up on d [20260101-000000-also:1]": False,
    }
    assert [each for each in said if f"{kind} on c [20260101-000000-dead:1] could not be undone: " in each]
    assert left_now() == [(kind, "c", "")]


@pytest.mark.parametrize("kind", [WORKLOAD, "claim"])
def test_an_entry_that_lacks_what_its_undo_needs_is_told_with_its_file(harm: Harm, kind: str) -> None:
    leave(kind, OURS)
    ((one,), said) = told()
    path = journals_dir() / "20260101-000000-dead.jsonl"
    assert one.error.startswith(f"its entry in {path} is not what this version writes (KeyError(")
    assert one.error.endswith("): undo it by hand")
    assert said[-1] == f"{one.what} could not be undone: {one.error}"
    assert left_now() == [(kind, "c", "")]


def test_a_fault_that_this_version_does_not_know_stays(harm: Harm) -> None:
    leave("of tomorrow", OURS)
    ((one,), _) = told()
    assert one.error.endswith("names a fault 'of tomorrow' that this version does not know")
    assert left_now() == [("of tomorrow", "c", "")]


def test_what_another_process_undoes_meanwhile_is_left_to_it(harm: Harm) -> None:
    leave(Harm.kind, OURS, **SAVED)
    leave(WORKLOAD, NEXT, "20260101-000000-also", namespace="x")
    opened: list[Journal] = []
    with mock.patch("chaos.run.undo.remove_namespace") as remove, ExitStack() as other:

        def took(_: str) -> None:
            if not opened:
                opened.extend(other.enter_context(Journal(path)) for path in journals_dir().iterdir())

        assert undo_all(took, TOLD) == ()
    assert (harm.taken, remove.mock_calls) == ([], [])
    assert len(left_now()) == 2


def test_what_a_live_run_has_is_neither_undone_nor_told(harm: Harm) -> None:
    with Journal(journals_dir() / "alive.jsonl") as journal:
        journal.planned(Harm.kind, OURS, SAVED)
        assert told() == ((), [])
    assert harm.taken == []


# --- order, and what there is to do for each kind


def test_clusters_go_first_and_what_came_last_goes_before_what_came_first(harm: Harm) -> None:
    with Journal(journals_dir() / "20260101-000000-dead.jsonl") as journal:
        for kind, ref in ((CLUSTER, NEXT), (WORKLOAD, OURS), (Harm.kind, OURS), (CLUSTER, replace(OURS, name="e"))):
            journal.planned(kind, ref, {"namespace": "x", **SAVED})
    with (
        mock.patch("chaos.run.undo.remove_namespace"),
        mock.patch.object(Target, "delete", create=True),
    ):
        handled, _ = told()
    assert [each.what.partition(" [")[0] for each in handled] == [
        "cluster on e",
        "cluster on d",
        "made-up on c",
        "workload on c",
    ]


def test_two_faults_on_one_cluster_are_each_undone(harm: Harm) -> None:
    """The one that is undone first is no reason to drop the other, as the end of its cluster would be."""
    leave(Harm.kind, OURS, **SAVED)
    leave(Harm.kind, OURS, "20260101-000000-also", **SAVED)
    assert [each.error for each in undone()] == ["", ""]
    assert harm.taken == ["undo", "undone"] * 2


def test_what_was_done_to_a_cluster_that_is_gone_needs_no_undo(harm: Harm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "exists", lambda _: False)
    with Journal(journals_dir() / "20260101-000000-dead.jsonl") as journal:
        for kind in (Harm.kind, WORKLOAD, "claim"):
            journal.planned(kind, OURS, SAVED)
    handled, _ = told()
    assert [each.error for each in handled] == ["", "", ""]
    assert harm.taken == []
    assert left_now() == []


def test_what_was_left_of_a_cluster_that_was_never_whole_is_deleted(
    harm: Harm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "exists", lambda _: False)
    leave(CLUSTER, OURS)
    with mock.patch.object(Target, "delete", create=True) as delete:
        assert [each.error for each in undone()] == [""]
    delete.assert_called_once_with()


def test_a_cluster_that_cannot_be_deleted_keeps_what_was_done_to_it_to_be_undone(harm: Harm) -> None:
    with Journal(journals_dir() / "20260101-000000-dead.jsonl") as journal:
        journal.planned(CLUSTER, OURS, {})
        journal.planned(Harm.kind, OURS, SAVED)
    with mock.patch.object(Target, "delete", create=True, side_effect=OSError("a mount is busy")):
        handled, _ = told()
    assert [each.error for each in handled] == ["a mount is busy", ""]
    assert harm.taken == ["undo", "undone"]
    assert left_now() == [(CLUSTER, "c", "")]


# --- a signal


@pytest.mark.parametrize("at", ["undo", "undone"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_waits_for_the_undo_that_goes_on_and_keeps_the_rest_for_the_next_start(
    harm: Harm, at: str, number: signal.Signals
) -> None:
    leave(Harm.kind, NEXT, "20260101-000000-also", **SAVED)
    leave(Harm.kind, OURS, **SAVED)
    harm.does = {at: send(number)}
    with pytest.raises(KeyboardInterrupt), as_interrupts():
        undone()
    assert harm.taken == ["undo", "undone"]
    assert left_now() == [(Harm.kind, "d", "")]
    harm.does = {}
    assert [each.error for each in undone()] == [""]
    assert left_now() == []


def test_a_signal_while_a_cluster_is_deleted_keeps_it_to_be_deleted_again(harm: Harm) -> None:
    leave(CLUSTER, OURS)
    with mock.patch.object(Target, "delete", create=True, side_effect=send(signal.SIGINT)):
        with pytest.raises(KeyboardInterrupt):
            undone()
        assert left_now() == [(CLUSTER, "c", "")]
    with mock.patch.object(Target, "delete", create=True):
        assert [each.error for each in undone()] == [""]
    assert left_now() == []
