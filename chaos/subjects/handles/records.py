"""The file handles of a node's daemons, and what the daemons say of them."""

import re
from typing import ClassVar

import msgspec

from chaos.record.records import Count, Observation
from chaos.record.registry import Seconds, record

OPEN = "open-handles"  # Sample by NODE/DAEMON: of its process that is nearest to its limit
LIMIT = "handle-limit"  # Sample by NODE/DAEMON: the soft limit of that process
IN_USE = "node-handles"  # Sample by NODE: all open files of the kernel (a kind node shares the machine's)
ANSWERS = "daemon-answers"  # Sample by NODE/DAEMON: 1 where it took a connection and said something, else 0
TIME_WAIT = "time-wait-sockets"  # Sample by NODE: TIME_WAIT sockets in the node's own network
TOO_MANY = "too many open files"
SAMPLE_GAP_S = 5.0  # longer without a sample is a gap
_OLD_SAID = re.compile(r"(\d+) times(?:, first: (.*))?", re.DOTALL)


class ProcessId(msgspec.Struct, frozen=True):
    """A process: its start time in ticks tells it from a later one of the same pid."""

    pid: int
    start: int

    def __str__(self) -> str:
        return f"{self.pid}:{self.start}"


@record
class DaemonProcesses(msgspec.Struct, frozen=True, gc=False):
    """The processes of a daemon on a node from now on: it is recorded where they change."""

    kind: ClassVar[str] = "daemon-processes"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    daemon: str
    processes: tuple[ProcessId, ...]

    @property
    def object(self) -> str:
        return f"{self.node}/{self.daemon}"

    def told(self) -> str:
        return " ".join(map(str, self.processes))

    @classmethod
    def of_observation(cls, old: Observation) -> "DaemonProcesses":
        node, _, daemon = old.subject.rpartition("/")
        pairs = [each.split(":") for each in old.seen.split()]
        return cls(old.at, node, daemon, tuple(ProcessId(int(pid), int(start)) for pid, start in pairs))


@record
class SaidTooMany(msgspec.Struct, frozen=True, gc=False):
    """How often the log of a daemon on a node says "too many open files", and the first line that does."""

    kind: ClassVar[str] = "said-too-many-open-files"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    daemon: str
    times: Count
    first: str

    @property
    def object(self) -> str:
        return f"{self.node}/{self.daemon}"

    def told(self) -> str:
        return f"{self.times} times" + (f", first: {self.first}" if self.first else "")

    @classmethod
    def of_observation(cls, old: Observation) -> "SaidTooMany":
        node, _, daemon = old.subject.rpartition("/")
        found = _OLD_SAID.fullmatch(old.seen)
        if found is None:
            raise ValueError(f"{old.seen!r} is no number of lines")
        return cls(old.at, node, daemon, int(found[1]), found[2] or "")
