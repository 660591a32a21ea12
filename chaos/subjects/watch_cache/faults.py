"""Faults behind the API server's back: etcd is edited, or set back to a snapshot, while the API server runs on."""

import uuid
from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import EtcdBehind
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses

MARKER = "kube-ordeal/restored-from"  # a key of ours, beside the API server's /registry
FAR_AHEAD = 1_000_000_000  # revisions; what etcd's documentation on disaster recovery proposes


class _Opened(Cluster, EtcdBehind, Protocol): ...


class EditEtcdBehindPlan(msgspec.Struct, frozen=True):
    """What etcd holds at the key, and what it is to hold; the journal has both in base64."""

    key: str
    was: bytes
    edited: bytes


class RestoreSnapshotPlan(msgspec.Struct, frozen=True):
    """The path of the snapshot; `before`: the name of another one, of what was there; `undo_bump`: in revisions;
    `controllers`: which ran, none where an older version planned it.
    """

    snapshot: str
    before: str
    undo_bump: int
    controllers: tuple[str, ...] = ()


@fault
@dataclass(frozen=True, slots=True)
class EditEtcdBehind:
    """Change bytes of a stored object in place, to others of the same number; undo puts the old bytes back.

    `key` is etcd's, such as "/registry/configmaps/default/NAME". Stored objects are protobuf: another number of bytes
    would make them unreadable.
    """

    kind: ClassVar[str] = "edit-etcd-behind"
    counterpart: ClassVar[str] = "revert_etcd_edit"
    needs: ClassVar[tuple[type, ...]] = (EtcdBehind,)
    uses: ClassVar[Uses] = Uses()
    key: str
    old: str
    new: str

    def plan(self, cluster: _Opened) -> EditEtcdBehindPlan:
        stored, old, new = cluster.etcd_get(self.key), self.old.encode(), self.new.encode()
        if len(old) != len(new) or old not in stored:
            raise OrdealError(f"{self.key} in etcd does not hold {self.old!r}, or {self.new!r} has another length")
        return EditEtcdBehindPlan(self.key, stored, stored.replace(old, new))

    def apply(self, cluster: _Opened, saved: EditEtcdBehindPlan) -> None:
        cluster.etcd_put(saved.key, saved.edited)

    def landed(self, cluster: _Opened, saved: EditEtcdBehindPlan) -> bool:
        return EditEtcdBehind.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Opened, saved: EditEtcdBehindPlan) -> bool:
        return cluster.etcd_get(saved.key) == saved.edited

    @staticmethod
    def undo(cluster: _Opened, saved: EditEtcdBehindPlan) -> None:
        # What somebody wrote since then is not ours to take back.
        if cluster.etcd_get(saved.key) == saved.edited:
            cluster.etcd_put(saved.key, saved.was)

    @staticmethod
    def undone(cluster: _Opened, saved: EditEtcdBehindPlan) -> bool:
        return cluster.etcd_get(saved.key) != saved.edited


@fault
@dataclass(frozen=True, slots=True)
class RestoreSnapshot:
    """Set etcd back to a snapshot while the API server runs on.

    `bump_revision` > 0 restores as etcd's documentation on disaster recovery asks for clusters with watchers: with
    --bump-revision and --mark-compacted. Undo restores what was there before, with a bump larger than that.
    """

    kind: ClassVar[str] = "restore-snapshot"
    counterpart: ClassVar[str] = "return_from_snapshot"
    needs: ClassVar[tuple[type, ...]] = (EtcdBehind,)
    uses: ClassVar[Uses] = Uses()
    snapshot: str
    bump_revision: int = 0

    def plan(self, cluster: _Opened) -> RestoreSnapshotPlan:
        cluster.etcd_revision()  # etcd answers, or nothing is begun
        return RestoreSnapshotPlan(
            snapshot=self.snapshot,
            before=f"before-{uuid.uuid4().hex[:12]}",
            undo_bump=self.bump_revision + FAR_AHEAD,
            controllers=cluster.controllers_running(),
        )

    def apply(self, cluster: _Opened, saved: RestoreSnapshotPlan) -> None:
        # What is there before holds the marker, the snapshot does not: so etcd itself says which of them it has.
        cluster.etcd_put(MARKER, saved.before.encode())
        cluster.etcd_snapshot(saved.before)
        cluster.etcd_restore(saved.snapshot, bump_revision=self.bump_revision)

    def landed(self, cluster: _Opened, saved: RestoreSnapshotPlan) -> bool:
        return RestoreSnapshot.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Opened, saved: RestoreSnapshotPlan) -> bool:
        return not _as_before(cluster, saved)

    @staticmethod
    def undo(cluster: _Opened, saved: RestoreSnapshotPlan) -> None:
        cluster.start_etcd()
        before = cluster.etcd_snapshot_of(saved.before)
        if before is not None and not _as_before(cluster, saved):
            cluster.etcd_restore(before, bump_revision=saved.undo_bump)
        if saved.controllers:
            cluster.start_controllers(saved.controllers)

    @staticmethod
    def undone(cluster: _Opened, saved: RestoreSnapshotPlan) -> bool:
        restored = _as_before(cluster, saved) or cluster.etcd_snapshot_of(saved.before) is None
        return restored and (not saved.controllers or {*saved.controllers} <= {*cluster.controllers_running()})


def _as_before(cluster: _Opened, saved: RestoreSnapshotPlan) -> bool:
    return cluster.etcd_get(MARKER) == saved.before.encode()
