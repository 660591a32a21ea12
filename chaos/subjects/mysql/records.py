"""What is seen of MySQL servers: who does not follow and why, and which versions they are."""

import re
from typing import ClassVar

import msgspec

from chaos.record.records import Count, Observation
from chaos.record.registry import Seconds, record

# Samples by member, once a second: 1 while both replication threads run, and its clock less its node's.
RUNNING, OFFSET = "replication-running", "server-clock-offset-s"

# What a member of a Galera group says of the part of it that it is in, where that has the majority.
PRIMARY = "Primary"


@record
class NotFollowing(msgspec.Struct, frozen=True, gc=False):
    """A member does not follow the source, or does not answer; `why` is what it, or the client, says."""

    kind: ClassVar[str] = "member-does-not-follow"
    version: ClassVar[int] = 1
    at: Seconds
    member: str
    why: str

    @property
    def object(self) -> str:
        return self.member

    def told(self) -> str:
        return self.why

    @classmethod
    def of_observation(cls, old: Observation) -> "NotFollowing":
        return cls(old.at, old.subject, old.seen)


@record
class GroupLook(msgspec.Struct, frozen=True, gc=False):
    """What a member of a Galera group says of it. `component`: Primary, non-Primary or Disconnected; empty where it
    does not answer, and then `why` says what the client heard. `ready`: it takes statements; `state`: Synced, Joining,
    Donor/Desynced and the like.
    """

    kind: ClassVar[str] = "group-member"
    version: ClassVar[int] = 1
    at: Seconds
    member: str
    component: str
    size: Count = 0
    ready: bool = False
    state: str = ""
    why: str = ""

    @property
    def object(self) -> str:
        return self.member

    def told(self) -> str:
        return self.why or f"{self.component}, {self.size} members, {self.state}"


@record
class ServerVersion(msgspec.Struct, frozen=True, gc=False):
    """The version of a server, which is a pod or an image; `number` is empty where `text` has none."""

    kind: ClassVar[str] = "mysql-version"
    version: ClassVar[int] = 1
    at: Seconds
    server: str
    text: str
    number: tuple[int, ...]

    @property
    def object(self) -> str:
        return self.server

    def told(self) -> str:
        return self.text

    @classmethod
    def of_observation(cls, old: Observation) -> "ServerVersion":
        return cls(old.at, old.subject, old.seen, version_in(old.seen))


def version_in(text: str) -> tuple[int, ...]:
    """The first three numbers with dots between them, as in "mysqld  Ver 8.0.15 for Linux"; empty without."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else ()
