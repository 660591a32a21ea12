"""Harm to an etcd that is a fake at the boundary: what is planned, when it has landed, what its undo does."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from chaos.clusters.abilities import EtcdBehind
from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.subjects.watch_cache.faults import EditEtcdBehind, RestoreSnapshot
from tests.harm.journalled import through_the_journal


class FakeEtcd:
    """An etcd that holds keys; a snapshot is a copy."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {"/registry/x": b"abc old xyz"}
        self.snapshots: dict[str, dict[str, bytes]] = {}
        self.bumps: list[int] = []
        self.started = 0
        self.controllers = ["kube-controller-manager", "kube-scheduler"]

    def etcd_get(self, key: str) -> bytes:
        return self.keys.get(key, b"")

    def etcd_put(self, key: str, value: bytes) -> int:
        self.keys[key] = value
        return len(self.keys)

    def etcd_revision(self) -> int:
        return 1

    def etcd_snapshot(self, name: str) -> str:
        self.snapshots[name] = dict(self.keys)
        return name

    def etcd_snapshot_of(self, name: str) -> str | None:
        return name if name in self.snapshots else None

    def start_etcd(self) -> None:
        self.started += 1

    def controllers_running(self) -> tuple[str, ...]:
        return tuple(self.controllers)

    def start_controllers(self, names: Sequence[str]) -> None:
        self.controllers = sorted({*self.controllers, *names})

    def etcd_restore(self, snapshot: str, *, bump_revision: int = 0) -> None:
        self.keys = dict(self.snapshots[snapshot])
        self.bumps.append(bump_revision)


@pytest.fixture
def etcd() -> Any:
    made = FakeEtcd()
    assert isinstance(made, EtcdBehind)
    return made


# --- an edit


EDIT = EditEtcdBehind("/registry/x", "old", "new")


def test_an_edit_lands_and_is_undone(etcd: Any) -> None:
    saved = through_the_journal(EDIT.plan(etcd))
    assert not EDIT.landed(etcd, saved)
    EDIT.apply(etcd, saved)
    assert EDIT.landed(etcd, saved)
    assert etcd.etcd_get("/registry/x") == b"abc new xyz"
    EDIT.undo(etcd, saved)
    EDIT.undo(etcd, saved)
    assert EDIT.undone(etcd, saved)
    assert etcd.etcd_get("/registry/x") == b"abc old xyz"


def test_an_edit_that_was_planned_only_is_undone(etcd: Any) -> None:
    saved = through_the_journal(EDIT.plan(etcd))
    EDIT.undo(etcd, saved)
    assert EDIT.undone(etcd, saved)
    assert etcd.etcd_get("/registry/x") == b"abc old xyz"


def test_what_somebody_wrote_since_is_not_taken_back(etcd: Any) -> None:
    saved = through_the_journal(EDIT.plan(etcd))
    EDIT.apply(etcd, saved)
    etcd.etcd_put("/registry/x", b"theirs")
    EDIT.undo(etcd, saved)
    assert EDIT.undone(etcd, saved)
    assert etcd.etcd_get("/registry/x") == b"theirs"


@pytest.mark.parametrize(("old", "new"), [("old", "newer"), ("not there", "not-there")])
def test_an_edit_that_would_make_the_object_unreadable_is_refused(etcd: Any, old: str, new: str) -> None:
    with pytest.raises(OrdealError, match="/registry/x"):
        EditEtcdBehind("/registry/x", old, new).plan(etcd)


# --- a restore


def test_a_restore_lands_and_is_undone_with_a_larger_bump(etcd: Any) -> None:
    etcd.etcd_snapshot("saved")
    etcd.etcd_put("/registry/later", b"1")
    harm = RestoreSnapshot("saved", bump_revision=5)
    saved = through_the_journal(harm.plan(etcd))
    harm.apply(etcd, saved)
    assert harm.landed(etcd, saved)
    assert etcd.etcd_get("/registry/later") == b""
    harm.undo(etcd, saved)
    harm.undo(etcd, saved)
    assert harm.undone(etcd, saved)
    assert etcd.etcd_get("/registry/later") == b"1"
    assert etcd.bumps[0] == 5
    assert etcd.bumps[1] > 5
    assert len(etcd.bumps) == 2  # what is undone is not undone again


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_restore_cut_short_before_the_harm_needs_no_restore(etcd: Any, steps: int) -> None:
    """Killed after the plan, after the marker, after the snapshot: nothing has been lost, and nothing is set back."""
    etcd.etcd_snapshot("saved")
    harm = RestoreSnapshot("saved")
    saved = through_the_journal(harm.plan(etcd))
    if steps >= 1:
        etcd.etcd_put("kube-ordeal/restored-from", saved.before.encode())
    if steps >= 2:
        etcd.etcd_snapshot(saved.before)
    etcd.etcd_put("/registry/since", b"1")
    harm.undo(etcd, saved)
    assert harm.undone(etcd, saved)
    assert etcd.etcd_get("/registry/since") == b"1"
    assert etcd.bumps == []
    assert etcd.started == 1  # it may be down: the kill may have come between its stop and its start


@pytest.mark.parametrize("ran", [["kube-controller-manager", "kube-scheduler"], ["kube-scheduler"]])
def test_controllers_that_gave_up_meanwhile_are_started_again_and_no_other(etcd: Any, ran: list[str]) -> None:
    etcd.etcd_snapshot("saved")
    etcd.controllers = [*ran]
    harm = RestoreSnapshot("saved")
    saved = through_the_journal(harm.plan(etcd))
    harm.apply(etcd, saved)
    etcd.controllers.remove("kube-scheduler")
    assert not harm.undone(etcd, saved)
    harm.undo(etcd, saved)
    assert harm.undone(etcd, saved)
    assert etcd.controllers == ran


def test_a_restore_that_an_older_version_planned_is_undone(etcd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It did not write down which controllers ran, so none is asked for."""
    etcd.etcd_snapshot("saved")
    harm = RestoreSnapshot("saved")
    saved = replace(through_the_journal(harm.plan(etcd)), controllers=())
    harm.apply(etcd, saved)
    monkeypatch.delattr(FakeEtcd, "start_controllers")
    monkeypatch.delattr(FakeEtcd, "controllers_running")
    harm.undo(etcd, saved)
    assert harm.undone(etcd, saved)
    assert etcd.bumps == [0, saved.undo_bump]
