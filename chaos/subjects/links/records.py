"""What is seen of links between nodes, and of a Redis cluster on them."""

from typing import ClassVar

import msgspec

from chaos.record.records import Observation
from chaos.record.registry import Seconds, record

# Samples by link, "LAYER/ONE/OTHER": the network, and the two nodes by name.
THROUGHPUT, LOSS, RTT = "link-throughput-bits-per-s", "link-loss-part", "link-rtt-s"
WHOLE = "redis-whole"  # Sample by store: 1 where its cluster is whole


@record
class NoResult(msgspec.Struct, frozen=True, gc=False):
    """Over a link between two nodes nothing could be measured; `why` is iperf3's last line."""

    kind: ClassVar[str] = "link-without-result"
    version: ClassVar[int] = 1
    at: Seconds
    layer: str
    one: str
    other: str
    why: str

    @property
    def object(self) -> str:
        return f"{self.layer}/{self.one}/{self.other}"

    def told(self) -> str:
        return self.why

    @classmethod
    def of_observation(cls, old: Observation) -> "NoResult":
        layer, one, other = old.subject.split("/")
        return cls(old.at, layer, one, other, old.seen)


@record
class NotWhole(msgspec.Struct, frozen=True, gc=False):
    """The cluster of a store is not whole, and why."""

    kind: ClassVar[str] = "redis-not-whole"
    version: ClassVar[int] = 1
    at: Seconds
    store: str
    why: str

    @property
    def object(self) -> str:
        return self.store

    def told(self) -> str:
        return self.why

    @classmethod
    def of_observation(cls, old: Observation) -> "NotWhole":
        return cls(old.at, old.subject, old.seen)
