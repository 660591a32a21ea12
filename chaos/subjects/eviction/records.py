"""What a kubelet says in its own log of evictions."""

from typing import ClassVar

import msgspec

from chaos.record.records import Observation
from chaos.record.registry import Seconds, record

SOURCE = "kubelet-log"  # of the gaps: "kubelet-log:NODE"


@record
class EvictionRanking(msgspec.Struct, frozen=True, gc=False):
    """The kubelet ranked these pods, "namespace/name", and would evict the first one first."""

    kind: ClassVar[str] = "eviction-ranking"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    pods: tuple[str, ...]

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return ", ".join(self.pods)

    @classmethod
    def of_observation(cls, old: Observation) -> "EvictionRanking":
        return cls(old.at, old.subject, tuple(old.seen.split(", ")) if old.seen else ())


@record
class KubeletEvicted(msgspec.Struct, frozen=True, gc=False):
    """The kubelet evicted a pod, "namespace/name"."""

    kind: ClassVar[str] = "kubelet-evicted"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    pod: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return self.pod

    @classmethod
    def of_observation(cls, old: Observation) -> "KubeletEvicted":
        return cls(old.at, old.subject, old.seen)


@record
class ImageRemoved(msgspec.Struct, frozen=True, gc=False):
    """The kubelet removed an image, by its id, to free bytes."""

    kind: ClassVar[str] = "image-removed"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    image: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return self.image

    @classmethod
    def of_observation(cls, old: Observation) -> "ImageRemoved":
        return cls(old.at, old.subject, old.seen)


@record
class Reclaims(msgspec.Struct, frozen=True, gc=False):
    """The kubelet tries to reclaim a resource, such as ephemeral-storage."""

    kind: ClassVar[str] = "kubelet-reclaims"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    resource: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return self.resource

    @classmethod
    def of_observation(cls, old: Observation) -> "Reclaims":
        return cls(old.at, old.subject, old.seen)


@record
class NoneLeft(msgspec.Struct, frozen=True, gc=False):
    """The kubelet has no pod that it may evict; `words` are its own."""

    kind: ClassVar[str] = "nothing-left-to-evict"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    words: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return self.words

    @classmethod
    def of_observation(cls, old: Observation) -> "NoneLeft":
        return cls(old.at, old.subject, old.seen)
