"""A Redis cluster under checking clients: a client for each shard, on its master's node, and whether it is whole."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from chaos.clusters.abilities import NodeNetwork
from chaos.errors import OrdealError
from chaos.judge.data import acknowledged_numbers, stored
from chaos.record.history import History
from chaos.record.records import Observation, Sample, Writes
from chaos.subjects.links.promises import CLUSTER
from chaos.subjects.links.records import WHOLE, NotWhole
from chaos.subjects.links.redis import PORT, RedisServer, Shard, broken, members, shards
from chaos.workloads.web import Deployed
from chaos.writers.client import Writing, ask
from chaos.writers.ranges import numbers_in

PIPELINE = 16
TIMEOUT_S = 1.0
CONFIRM_MS = 700  # less than the client's patience: a write that no replica has must not look like a lost answer


def client_of(shard: Shard) -> str:
    """The name of the client that writes to a shard: it is called as the shard's first master."""
    return shard.master.name


class CheckedShards:
    """Writes to every shard for as long as the block lasts, then reads back what the cluster has.

    Each client writes from the network of the node that its shard's master is on when the block begins, so that a
    master that is cut off keeps its client. `confirm`: so many replicas must have a write before it counts as
    acknowledged (WAIT); 0: the master's answer is enough. At the end Stored records say what the cluster lacks; the
    block must not be left before the cluster is whole.
    """

    def __init__(self, history: History, deployed: Deployed, *, confirm: int, per_s: float) -> None:
        """`per_s`: writes a second to each shard. Raises OrdealError where the nodes' networks can't be entered."""
        cluster = deployed.cluster
        if not isinstance(cluster, NodeNetwork):
            raise OrdealError(f"{cluster.ref.name} lets nothing into its network, so nobody could write to the servers")
        self._cluster, self._history, self._deployed = cluster, history, deployed
        self._shards, self._members = shards(deployed), members(deployed)
        self._writing = ExitStack()
        self._settings = {
            "pipeline": PIPELINE,
            "per_s": per_s,
            "confirm": confirm,
            "confirm_ms": CONFIRM_MS,
            "timeout_s": TIMEOUT_S,
        }

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for shard in self._shards:
                own = {
                    **self._settings,
                    "clients": [{"name": client_of(shard), "tag": shard.tag}],
                    "members": addresses([shard.master, *(m for m in self._members if m != shard.master)]),
                }
                node, store = shard.master.node, self._deployed.name
                stack.enter_context(Writing(self._cluster, self._history, node, store, "redis", own))
            self._writing = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._writing.__exit__(kind, error, at)
        if kind is None:
            read_back(self._history, self._deployed, self._shards)


def addresses(there: list[RedisServer]) -> list[list[object]]:
    """As the client wants them."""
    return [[m.address, PORT] for m in there]


def read_back(history: History, deployed: Deployed, there: tuple[Shard, ...]) -> None:
    """Read each shard from whoever has it now, and record which acknowledged writes the cluster lacks.

    Where it can't be read this is an Observation, and what depends on it unknown.
    """
    cluster, node = deployed.cluster, there[0].master.node
    assert isinstance(cluster, NodeNetwork)
    acknowledged = acknowledged_numbers([w for w in history.of(Writes) if w.store == deployed.name])
    highest = {w.client: w.last for w in history.of(Writes) if w.store == deployed.name}
    settings = {
        "clients": [{"name": client_of(s), "tag": s.tag, "highest": highest.get(client_of(s), 0)} for s in there],
        "members": addresses(list(members(deployed))),
    }
    try:
        said = ask(cluster, node, "redis", settings)
    except OrdealError as error:
        history.add(Observation(history.now(), "not-read", CLUSTER, str(error)))
        return
    at = history.now()
    for client, ranges in said.items():
        numbers = acknowledged.get(client, set())
        if numbers:
            history.add(stored(at, deployed.name, CLUSTER, client, numbers, numbers_in(ranges)))


def is_whole(history: History, deployed: Deployed) -> bool:
    """Whether the cluster is whole now; each look is a Sample, and what is wrong a NotWhole."""
    why = broken(deployed)
    history.add(Sample(history.now(), WHOLE, deployed.name, 0.0 if why else 1.0))
    if why:
        history.add(NotWhole(history.now(), deployed.name, why))
    return not why
