"""The members of a replicated MySQL, sampled: what each one's data takes on its disk, whether it follows, its clock."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from chaos.clusters.abilities import NodeNetwork, NodeProcesses
from chaos.errors import OrdealError
from chaos.judge.data import DISK_USE, acknowledged_numbers, stored
from chaos.record.history import History
from chaos.record.records import Observation, Sample, Writes
from chaos.record.sampler import Sampler
from chaos.subjects.mysql.answers import Answers
from chaos.subjects.mysql.promises import SOURCE
from chaos.subjects.mysql.records import OFFSET, RUNNING, GroupLook, NotFollowing
from chaos.subjects.mysql.workload import (
    PORT,
    USER,
    DatabaseMember,
    ask_member,
    behind,
    data_path,
    members,
    node_to_ask_from,
    password,
)
from chaos.workloads.web import Deployed
from chaos.writers.client import ClientProcess, Line, argv_of

EVERY_S = 1.0
# A file that goes while du looks at it makes it end with 1, and it has counted the others.
DISK_USES = 'while read -r path; do said=$(du -s --block-size=1 "$path" 2>/dev/null); echo "$said"; done'


class DiskSamples:
    """Samples, once a second, how many bytes each member's data takes, in its volume's folder or its pod's.

    A member whose pod or node is gone has no samples: the gap is what says so.
    """

    def __init__(self, history: History, deployed: Deployed, folder: str = "") -> None:
        """`folder`: where the volumes are on their nodes; empty: data is in the pods' own folders."""
        self._history, self._deployed, self._folder = history, deployed, folder
        self._sampling = ExitStack()

    def __enter__(self) -> Self:
        cluster = self._deployed.cluster
        assert isinstance(cluster, NodeProcesses)
        with ExitStack() as stack:
            for member in members(self._deployed):
                answers = stack.enter_context(Answers(cluster.on_node(member.node, ["sh", "-c", DISK_USES])))
                ask = partial(self._ask, answers, member)
                stack.enter_context(Sampler(f"disk-{member.name}", ask, every_s=EVERY_S))
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _ask(self, answers: Answers, member: DatabaseMember) -> None:
        size_bytes = float(answers.ask(data_path(member, self._folder), within_s=20).split()[0])
        self._history.add(Sample(self._history.now(), DISK_USE, member.name, size_bytes))


class MemberWatch:
    """Watches each member once a second: whether it follows the source, or why not, and what its clock says.

    A member that does not answer does not follow; what is not seen at all is a Blind of the source `members:STORE`.
    """

    def __init__(self, history: History, deployed: Deployed) -> None:
        self._history = history
        also = {"source": f"{deployed.name}-0"}
        self._process = _watching(history, deployed, "watch", also, take=self._add)

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.__exit__(kind, error, at)

    def _add(self, said: Line) -> None:
        at, member = said["at"] - self._history.began, said["member"]
        if said["error"]:
            self._history.add(NotFollowing(at, member, said["error"]))
            return
        self._history.add(Sample(at, OFFSET, member, said["offset_s"]))
        if said["running"] is not None:
            self._history.add(Sample(at, RUNNING, member, float(said["running"])))
            if not said["running"]:
                self._history.add(NotFollowing(at, member, said["why"]))


class GroupWatch:
    """Watches each member of a group once a second: a GroupLook each. A member is asked at the address that it has when
    this begins; what is not seen at all is a Blind of the source `members:STORE`.
    """

    def __init__(self, history: History, deployed: Deployed) -> None:
        self._history = history
        self._process = _watching(history, deployed, "group", {}, take=self._add)

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.__exit__(kind, error, at)

    def _add(self, said: Line) -> None:
        at, member = said["at"] - self._history.began, said["member"]
        if said["error"]:
            self._history.add(GroupLook(at, member, "", why=said["error"]))
        else:
            look = GroupLook(at, member, said["component"], said["size"], said["ready"], said["state"])
            self._history.add(look)


def _watching(
    history: History, deployed: Deployed, command: str, also: Mapping[str, object], *, take: Callable[[Line], None]
) -> ClientProcess:
    """The client that looks at each member once a second, where it is now."""
    cluster = deployed.cluster
    assert isinstance(cluster, NodeNetwork)
    settings: dict[str, object] = {
        "hosts": {m.name: m.address for m in members(deployed)},
        "port": PORT,
        "user": USER,
        "password": password(cluster, deployed.namespace, deployed.name),
        "every_s": EVERY_S,
        **also,
    }
    return ClientProcess(
        cluster,
        history,
        node_to_ask_from(cluster),
        argv_of("mysql", command),
        settings,
        take=take,
        source=f"{SOURCE}:{deployed.name}",
        silent_after_s=10.0,
    )


def write_settings(deployed: Deployed, *, clients: int, body_bytes: int, per_s: float) -> dict[str, object]:
    """What the writing client wants to know (chaos.writers.mysql): it writes to the Service of the source."""
    host, port = deployed.url.removeprefix("mysql://").rstrip("/").split(":")
    return {
        "host": host,
        "port": int(port),
        "user": USER,
        "password": password(deployed.cluster, deployed.namespace, deployed.name),
        "clients": clients,
        "body_bytes": body_bytes,
        "per_s": per_s,
        "timeout_s": 3.0,
    }


def read_back(history: History, deployed: Deployed, report: Callable[[str], None] = lambda _: None) -> None:
    """Read every member's rows, and record which acknowledged ones it lacks. A member that can't be read is left out:
    what depends on it is unknown. So is what one lacks that is still behind the source.
    """
    read_members(history, deployed, (behind(deployed),), report)


def read_members(
    history: History, deployed: Deployed, first: Sequence[str], report: Callable[[str], None] = lambda _: None
) -> None:
    """As `read_back`. `first`: what each member is told before, of which the last says whether it is behind (1)."""
    acknowledged = acknowledged_numbers([w for w in history.of(Writes) if w.store == deployed.name])
    for member in members(deployed):
        try:
            *_, is_behind, rows = ask_member(deployed, member, [*first, "SELECT client, number FROM ordeal.writes"])
        except OrdealError as error:
            report(f"{member.name} can't be read: {error}")
            history.add(Observation(history.now(), "not-read", member.name, str(error)))
            continue
        at, late = history.now(), str(is_behind[0][0]) == "1"
        there: dict[str, set[int]] = {}
        for client, number in rows:
            there.setdefault(str(client), set()).add(int(str(number)))
        for client, numbers in acknowledged.items():
            history.add(stored(at, deployed.name, member.name, client, numbers, there.get(client, set()), behind=late))


def observe_logs(history: History, said: dict[str, str]) -> None:
    """Put the servers' last lines into the history: what they said before they ended."""
    for member, text in said.items():
        history.add(Observation(history.now(), "server-log", member, text[-8000:]))
