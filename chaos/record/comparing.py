"""What a recorder wrote down, compared with what the API server tells of the same time: is anything missing?

A recorder that loses a change would not know it: it goes on behind it. But each change has a resourceVersion that no
other one has, so that what was written down can be told from what was not, whoever lost it, and wherever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from chaos.record.history import History
from chaos.record.records import ClusterEvent, PodChange
from chaos.record.resources import Change, Resource, metadata_of, uid_of, version_of


def revision_of(item: Any) -> int:
    """An object's resourceVersion, as etcd counts its changes."""
    return int(version_of(item))


@dataclass(frozen=True, slots=True)
class WrittenDown:
    """The versions that the records of one kind have, and the last record of each object, by its uid or name."""

    versions: frozenset[str]
    last: dict[str, Change]

    @classmethod
    def of(cls, history: History, kind: type[Change], known: frozenset[str]) -> Self:
        """`known`: versions that were seen and are no records on purpose."""
        changes = history.of(kind)
        return cls(known.union(c.resource_version for c in changes), {_identity(c): c for c in changes})

    def newest(self, since: int) -> int:
        """The newest version that was written down; 0 where there is none after `since`."""
        newest = max((int(version) for version in self.versions if version), default=0)
        return newest if newest > since else 0

    def lacks(self, items: Iterable[Any], resource: Resource) -> str:
        """What a full list has that was not written down, or has not although its last record is none of its end; ""
        where there is nothing.
        """
        there = list(items)
        for item in there:
            if version_of(item) not in self.versions:
                return _unwritten(item, "has")
        if resource.record is ClusterEvent:  # they expire, which is not recorded
            return ""
        listed = {_identity_of(item, resource.record) for item in there}
        newest = max(map(revision_of, there), default=0)
        for who, last in self.last.items():
            if (
                getattr(last, "change", "deleted") != "deleted"
                and who not in listed
                and int(last.resource_version) <= newest
            ):
                return f"{last.object} is gone at the end, and no record says so"
        return ""

    def lacks_of_watch(self, events: Iterable[tuple[str, Any]], until: int) -> str:
        """What a watch tells, up to a version, that was not written down; "" where there is nothing."""
        for kind, item in events:
            version, about = version_of(item), item.get("involvedObject")
            expired = kind == "DELETED" and about is not None
            if int(version) <= until and version not in self.versions and not expired:
                return _unwritten(item, "had")
        return ""


def passed_over(known: Mapping[str, Change], items: Iterable[Any], position: int) -> str:
    """What a full list has in a version that a stream went by without having seen it; "" where there is nothing.

    `known`: what was seen last of each object, by its uid; `position`: the version up to which all was seen. An older
    version than was seen of an object is that of a server which went back in time.
    """
    for item in items:
        before = known.get(uid_of(item))
        if before is not None and int(before.resource_version) < revision_of(item) <= position:
            return _unwritten(item, "had")
    return ""


def _identity(change: Change) -> str:
    return change.uid if isinstance(change, PodChange) else change.object


def _identity_of(item: Any, kind: type[Change]) -> str:
    """That of the record that an object would have."""
    return uid_of(item) if kind is PodChange else str(metadata_of(item)["name"])


def _unwritten(item: Any, had: str) -> str:
    metadata = metadata_of(item)
    return f"{metadata['name']} {had} the version {metadata['resourceVersion']}, and no record says so"
