"""Power that a killed run has left off is given back by the driver that the journal names, whoever else is away."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.agent import cluster as agent
from chaos.clusters.base import EXISTING, ClusterRef, PowerRef
from chaos.clusters.identity import Identity, NodeIdentity
from chaos.clusters.power import switch
from chaos.clusters.way.client import Access
from chaos.harm.base import undo_pending
from chaos.hosts.places import journals_dir
from chaos.record.journal import Journal, pending
from chaos.run.undo import Permission, Undone, undo_all
from tests.fake_apiserver import FakeApiServer

RUN = "20260101-000000-dead"
POWER = """#!/bin/sh
case "$1" in
  on) rm "off-$2" ;;
  state) if [ -e "off-$2" ]; then echo off; else echo on; fi ;;
esac
"""
SILENT = """{current-context: a, contexts: [{name: a, context: {cluster: a}}],
 clusters: [{name: a, cluster: {server: http://127.0.0.1:9}}]}"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the run was, with its user's command; w1 is off. What undoes is elsewhere."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(switch, "SETTLES_S", 0.01)
    made = tmp_path / "work"
    made.mkdir()
    (made / "power").write_text(POWER)
    (made / "power").chmod(0o755)
    (made / "off-w1").touch()
    monkeypatch.chdir("/")
    return made


@pytest.fixture
def silent(tmp_path: Path) -> Path:
    """The kubeconfig of a cluster whose API server is away: it is w1 that has no power."""
    made = tmp_path / "silent"
    made.write_text(SILENT)
    return made


def of(folder: Path, kubeconfig: Path, uid: str = "u1", context: str = "a") -> ClusterRef:
    power = PowerRef("command", "./power {off|on|state} {node}", str(folder))
    identity = Identity(uid, nodes=(NodeIdentity("w1", "m1"),))
    return ClusterRef(EXISTING, "theirs", str(kubeconfig), context, identity, power=power)


def leave(ref: ClusterRef, kind: str = "power-off", **saved: Any) -> None:
    with Journal(journals_dir() / f"{RUN}.jsonl") as journal:
        journal.planned(kind, ref, saved or {"node": "w1"})


def undone() -> tuple[Undone, ...]:
    return undo_all(lambda _: None, Permission(existing=True))


def test_the_driver_gives_it_back_from_any_folder_while_no_api_server_answers(folder: Path, silent: Path) -> None:
    leave(of(folder, silent))
    assert [each.error for each in undone()] == [""]
    assert not (folder / "off-w1").exists()
    assert not pending(journals_dir())


def test_agents_are_not_needed_for_it(folder: Path, silent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the node has no power, and others may have left by now."""

    def put_there(*_: object) -> None:
        raise AssertionError("agents were asked for")

    monkeypatch.setattr(agent, "again", put_there)
    leave(replace(of(folder, silent), agent=str(folder / "agents")))
    assert [each.error for each in undone()] == [""]
    assert not (folder / "off-w1").exists()


def test_where_it_runs_already_nothing_is_switched(folder: Path, silent: Path) -> None:
    (folder / "off-w1").unlink()
    leave(of(folder, silent))
    assert [each.error for each in undone()] == [""]


def test_where_the_kubeconfig_leads_to_another_cluster_by_now_nothing_is_switched(folder: Path, tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api:
        leave(of(folder, api.kubeconfig, "of the first", "fake"))
        (one,) = undone()
    assert "the UID of the namespace kube-system was of the first" in one.error
    assert (folder / "off-w1").exists()


@pytest.mark.parametrize("kind", ["power-off", "drain-node"])
def test_only_a_driver_may_go_where_nobody_can_say_which_cluster_it_is(folder: Path, silent: Path, kind: str) -> None:
    ref = of(folder, silent)
    leave(replace(ref, power=None) if kind == "power-off" else ref, kind)
    (one,) = undone()
    assert "nobody can say whether the cluster theirs is the one that is meant" in one.error
    assert pending(journals_dir())


def test_a_command_that_is_gone_is_told_and_the_entry_stays(folder: Path, silent: Path) -> None:
    leave(of(folder, silent))
    (folder / "power").unlink()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("chaos.run.undo.undo_pending", lambda one, on: undo_pending(one, on, within_s=0.01))
        (one,) = undone()
    assert "could not start: No such file or directory: ./power" in one.error
    assert pending(journals_dir())


def test_what_is_undone_next_waits_for_the_api_server(folder: Path, tmp_path: Path) -> None:
    """It was the control plane that had no power: it answers a while after its machine was switched on."""
    with FakeApiServer(tmp_path) as api:
        ref = of(folder, api.kubeconfig, api.uid, "fake")
        asks = {"wait": 3}
        leave(ref, "claim", holder="run x")
        leave(ref)

        def identity(_: Access) -> Identity:
            asks["wait"] -= 1
            return Identity(api.uid) if asks["wait"] < 0 else Identity()

        said: list[str] = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Access, "identity", identity)
            handled = undo_all(said.append, Permission(existing=True))
    assert [each.error for each in handled] == ["", ""]
    assert "waiting for the API server of theirs" in said
    assert list(journals_dir().iterdir()) == []
