"""Faults behind the API server's back: etcd is edited, or set back to a snapshot, while the API server runs on."""

import base64
import uuid
from dataclasses import dataclass
from typing import ClassVar, Protocol

from chaos.clusters.base import Cluster, EtcdBehind
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.record.journal import Saved

MARKER = "kube-ordeal/restored-from"  # a key of ours, beside the API server's /registry
FAR_AHEAD = 1_000_000_000  # revisions; what etcd's documentation on disaster recovery proposes


class _Opened(Cluster, EtcdBehind, Protocol): ...


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
    key: str
    old: str
    new: str

    def plan(self, cluster: _Opened) -> Saved:
        stored, old, new = cluster.etcd_get(self.key), self.old.encode(), self.new.encode()
        if len(old) != len(new) or old not in stored:
            raise OrdealError(f"{self.key} in etcd does not hold {self.old!r}, or {self.new!r} has another length")
        return {"key": self.key, "was": _text(stored), "edited": _text(stored.replace(old, new))}

    def apply(self, cluster: _Opened, saved: Saved) -> None:
        cluster.etcd_put(str(saved["key"]), _bytes(saved, "edited"))

    def landed(self, cluster: _Opened, saved: Saved) -> bool:
        return cluster.etcd_get(str(saved["key"])) == _bytes(saved, "edited")

    @staticmethod
    def undo(cluster: _Opened, saved: Saved) -> None:
        # What somebody wrote since then is not ours to take back.
        if cluster.etcd_get(str(saved["key"])) == _bytes(saved, "edited"):
            cluster.etcd_put(str(saved["key"]), _bytes(saved, "was"))

    @staticmethod
    def undone(cluster: _Opened, saved: Saved) -> bool:
        return cluster.etcd_get(str(saved["key"])) != _bytes(saved, "edited")


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
    snapshot: str
    bump_revision: int = 0

    def plan(self, cluster: _Opened) -> Saved:
        cluster.etcd_revision()  # etcd answers, or nothing is begun
        return {
            "snapshot": self.snapshot,
            "before": f"before-{uuid.uuid4().hex[:12]}",
            "undo_bump": self.bump_revision + FAR_AHEAD,
            "controllers": list(cluster.controllers_running()),
        }

    def apply(self, cluster: _Opened, saved: Saved) -> None:
        # What is there before holds the marker, the snapshot does not: so etcd itself says which of them it has.
        cluster.etcd_put(MARKER, str(saved["before"]).encode())
        cluster.etcd_snapshot(str(saved["before"]))
        cluster.etcd_restore(str(saved["snapshot"]), bump_revision=self.bump_revision)

    def landed(self, cluster: _Opened, saved: Saved) -> bool:
        return not _as_before(cluster, saved)

    @staticmethod
    def undo(cluster: _Opened, saved: Saved) -> None:
        cluster.start_etcd()
        before = cluster.etcd_snapshot_of(str(saved["before"]))
        bump = saved["undo_bump"]
        assert isinstance(bump, int)
        if before is not None and not _as_before(cluster, saved):
            cluster.etcd_restore(before, bump_revision=bump)
        cluster.start_controllers(_controllers(saved))

    @staticmethod
    def undone(cluster: _Opened, saved: Saved) -> bool:
        restored = _as_before(cluster, saved) or cluster.etcd_snapshot_of(str(saved["before"])) is None
        return restored and {*_controllers(saved)} <= {*cluster.controllers_running()}


def _as_before(cluster: _Opened, saved: Saved) -> bool:
    return cluster.etcd_get(MARKER) == str(saved["before"]).encode()


def _controllers(saved: Saved) -> list[str]:
    """Those that ran when the fault was planned."""
    names = saved["controllers"]
    assert isinstance(names, list)
    return [str(each) for each in names]


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(saved: Saved, name: str) -> bytes:
    return base64.b64decode(str(saved[name]))
