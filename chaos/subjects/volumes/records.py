"""What is seen of a volume: the lines that pods wrote into it, and who holds it."""

import re
from typing import ClassVar

import msgspec

from chaos.record.history import History
from chaos.record.records import Count, Observation
from chaos.record.registry import Seconds, record

LOG_READ = "log-read"  # Sample by workload, once a second: the bytes read so far, with nothing unread before `at`
HOLDERS_SEEN = "volume-holders-seen"  # Sample by workload, each time that they were asked: how many there were
LOCK, ATTACHMENT = "lock", "attachment"
_OLD_LINE = re.compile(r"(\d+) (\S+) (\S+) (\d+)")


@record
class Written(msgspec.Struct, frozen=True, gc=False):
    """A line that a pod of a workload wrote into its volume; they are in the order of the file.

    `lease_s`: for how long its writer said that nobody else writes.
    """

    kind: ClassVar[str] = "written"
    version: ClassVar[int] = 1
    at: Seconds
    workload: str
    number: Count
    writer: str
    node: str
    lease_s: Count

    @property
    def object(self) -> str:
        return self.workload

    def told(self) -> str:
        return f"{self.number} {self.writer} {self.node} {self.lease_s}"

    @classmethod
    def of_observation(cls, old: Observation) -> "Written":
        found = _OLD_LINE.fullmatch(old.seen)
        if found is None:
            raise ValueError(f"{old.seen!r} is no line of a writer's")
        number, writer, node, lease = found.groups()
        return cls(old.at, old.subject, int(number), writer, node, int(lease))


@record
class Torn(msgspec.Struct, frozen=True, gc=False):
    """Something in a workload's volume that is no line of a writer's."""

    kind: ClassVar[str] = "torn"
    version: ClassVar[int] = 1
    at: Seconds
    workload: str
    text: str

    @property
    def object(self) -> str:
        return self.workload

    def told(self) -> str:
        return self.text

    @classmethod
    def of_observation(cls, old: Observation) -> "Torn":
        return cls(old.at, old.subject, old.seen)


class Holder(msgspec.Struct, frozen=True, order=True):
    """A node that holds a volume, by a lock or by an attachment."""

    by: str
    node: str

    def __str__(self) -> str:
        return f"{self.by}:{self.node}"


@record
class HeldBy(msgspec.Struct, frozen=True, gc=False):
    """Who holds the volume of a workload from now on: it is recorded where it changes."""

    kind: ClassVar[str] = "volume-held-by"
    version: ClassVar[int] = 1
    at: Seconds
    workload: str
    holders: tuple[Holder, ...]

    @property
    def object(self) -> str:
        return self.workload

    def told(self) -> str:
        return " ".join(map(str, self.holders))

    @classmethod
    def of_observation(cls, old: Observation) -> "HeldBy":
        pairs = [each.partition(":") for each in old.seen.split()]
        return cls(old.at, old.subject, tuple(Holder(by, node) for by, _, node in pairs))


def lines_of(history: History, workload: str) -> list[Written]:
    """What was written into a workload's volume, in the order of the file."""
    return [line for line in history.of(Written) if line.workload == workload]
