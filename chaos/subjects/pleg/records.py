"""What a kubelet's PLEG was seen to do, and the waves of pods that it had to follow."""

from typing import ClassVar

import msgspec

from chaos.record.records import Observation
from chaos.record.registry import Seconds, record

# Samples by node.
LAST_SEEN_AGE = "pleg-last-seen-age-s"  # how long kubelet_pleg_last_seen_seconds has not changed, at least
REPORTED_AGE = "pleg-reported-age-s"  # how long ago by the kubelet's own word in its Node's Ready condition
RELIST = "pleg-relist-s"  # the mean length of the relists that ended since the last scrape
DISCARDED = "pleg-discarded-events"  # since the recording began
KUBELET_GOROUTINES, KUBELET_HANDLES = "kubelet-goroutines", "kubelet-handles"
RUNTIME_HANDLES = "containerd-handles"
SOURCE = "pleg"  # of the gaps: "pleg:NODE"
GAP_S = 3.0  # longer without a scrape is a gap: there is one a second, and a slow one takes some


@record
class Wave(msgspec.Struct, frozen=True, gc=False):
    """From here on many pods of a node are to start or to go; `what` is asked for."""

    kind: ClassVar[str] = "pods-wave"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    what: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return self.what

    @classmethod
    def of_observation(cls, old: Observation) -> "Wave":
        return cls(old.at, old.subject, old.seen)


@record
class WaveOver(msgspec.Struct, frozen=True, gc=False):
    """What the wave asked for is there, or is not waited for any more."""

    kind: ClassVar[str] = "pods-wave-over"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    what: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return self.what

    @classmethod
    def of_observation(cls, old: Observation) -> "WaveOver":
        return cls(old.at, old.subject, old.seen)


@record
class RelistStack(msgspec.Struct, frozen=True, gc=False):
    """Where the relist stood, by the kubelet's goroutine dump, in `words`.

    `blocked`: it waits to send on a full channel.
    """

    kind: ClassVar[str] = "pleg-relist-stack"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    blocked: bool
    words: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return self.words

    @classmethod
    def of_observation(cls, old: Observation) -> "RelistStack":
        return cls(old.at, old.subject, "BLOCKED" in old.seen, old.seen)
