"""One edit's place in a batch: its ground, what was recorded of it, and the edit itself as harm that is journalled."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from chaos.campaign.edits import Edit, Kind, edited
from chaos.campaign.ground import EditGround, Place, read
from chaos.clusters.abilities import EtcdBehind
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.uses import Uses
from chaos.record.history import History
from chaos.record.records import ClusterEvent, NodeChange, PodChange
from chaos.subjects.aged.stored import written
from chaos.subjects.watch_cache.faults import EditEtcdBehind, EditEtcdBehindPlan

FAULT = EditEtcdBehind.kind
OUTLIVES = frozenset({Kind.NODE, Kind.LEASE})  # the namespace, so that it has to be as it was for the next one


class Opened(Cluster, EtcdBehind, Protocol):
    """A cluster whose etcd can be edited."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """EditEtcdBehind for a whole object: etcd holds `content` at the key. A journal's entry of it is undone by that.

    It has landed when etcd no longer holds what it held: of what is edited somebody may write more at once.
    """

    kind: ClassVar[str] = FAULT
    needs: ClassVar[tuple[type, ...]] = (EtcdBehind,)
    uses: ClassVar[Uses] = Uses()
    key: str
    content: bytes

    def plan(self, cluster: Opened) -> EditEtcdBehindPlan:
        """Raises OrdealError where etcd has no such object."""
        was = cluster.etcd_get(self.key)
        if not was:
            raise OrdealError(f"etcd has nothing at {self.key}")
        return EditEtcdBehindPlan(self.key, was, self.content)

    def apply(self, cluster: Opened, saved: EditEtcdBehindPlan) -> None:
        """Write it."""
        cluster.etcd_put(saved.key, saved.edited)

    def landed(self, cluster: Opened, saved: EditEtcdBehindPlan) -> bool:
        """Asks etcd."""
        return cluster.etcd_get(saved.key) != saved.was

    @staticmethod
    def lasts(cluster: Opened, saved: EditEtcdBehindPlan) -> None:
        """Whoever mends it may: that is what is looked at."""

    @staticmethod
    def undo(cluster: Opened, saved: EditEtcdBehindPlan) -> None:
        """Put back what nobody has written since."""
        EditEtcdBehind.undo(cluster, saved)

    @staticmethod
    def undone(cluster: Opened, saved: EditEtcdBehindPlan) -> bool:
        """Asks etcd."""
        return EditEtcdBehind.undone(cluster, saved)


class Slot:
    """A ground with its edit; the twin has none. Its history has the clock of the batch's recording."""

    def __init__(self, ground: EditGround, edit: Edit | None, recording: History) -> None:
        self.ground, self.edit, self._recording = ground, edit, recording
        self.own = History(began=recording.began, began_wall=recording.began_wall)

    def rewrite(self, cluster: Opened) -> tuple[Rewrite, Place] | None:
        """The edit as harm, and where; None where there is nothing to be edited. Raises OrdealError, ApiException."""
        if self.edit is None:
            return None
        kind = self.edit.field.kind
        with cluster.api() as client:
            place = self.ground.place(client, kind)
            changed = edited(read(client, place.path), self.edit)
        return None if changed is None else (Rewrite(place.key, written(changed)), place)

    def history(self) -> History:
        """All that is known of it: what was recorded of its namespace and its node, and what it has itself."""
        return History.of_records([*filter(self._is_mine, self._recording), *self.own])

    def _is_mine(self, record: object) -> bool:
        if isinstance(record, PodChange):
            return record.namespace == self.ground.namespace
        if isinstance(record, NodeChange):
            return record.name == self.ground.node
        return not isinstance(record, ClusterEvent)
