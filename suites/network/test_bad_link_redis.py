"""bad-link: a Redis cluster while a link between two of its nodes is bad, and while one node has none to the rest."""

from dataclasses import dataclass
from functools import partial

from chaos.clusters.abilities import NodeNetwork, RunsContainers
from chaos.clusters.base import KIND
from chaos.clusters.shape import Shape, stateful_shape
from chaos.harm.link import BadLink
from chaos.hosts.parts import FIREWALL, LOSS, THROTTLING
from chaos.judge.data import no_acknowledged_write_lost, served_again_within
from chaos.record.history import History, Window
from chaos.record.records import FaultStep, Writes
from chaos.results.results import Row
from chaos.run.fit import fit_workers
from chaos.run.incident import STATEFUL, Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, exactly, judged, says
from chaos.subjects.links.promises import CLUSTER, whole_again_within
from chaos.subjects.links.redis import MASTERS, Redis, all_masters_beside, commands_processed, shards, start_load
from chaos.subjects.links.shards import CheckedShards, client_of, is_whole

NODE_TIMEOUT_S = {"smoke": 5.0, "full": 15.0}
HOLD_S = {"smoke": 12.0, "full": 60.0}
PER_S = 1000.0  # to each shard, beside redis-benchmark's load on all
SLOW_BITS_PER_S = 10_000_000
LOST = 0.03
WHOLE_WITHIN_S = 30.0
# After the node timeout the masters agree on the failure, and vote. A bad link may keep no shard away for longer than a
# dead master would.
ELECTED_AFTER_S = 5.0
ELECTED_WITHIN_S = 120.0  # ends when it is seen


@dataclass(frozen=True)
class Parts:
    """The parts of the story, in seconds of its recording: a link is bad, a node is cut off, healed, over."""

    bad: float
    cut: float
    healed: float
    end: float

    @classmethod
    def of(cls, history: History) -> "Parts":
        steps = [(step.step, step.at) for step in history.of(FaultStep) if step.fault == BadLink.kind]
        planned, undone = ([at for step, at in steps if step == which] for which in ("planned", "undone"))
        return cls(planned[0], planned[1], undone[1], max(writes.until for writes in history.of(Writes)))


def promises(told: Conditions) -> tuple[Judged, ...]:
    """Each of three shards is served again soon, while one link is bad, and in the cut and after it."""
    elected_s = NODE_TIMEOUT_S[told.profile.name] + ELECTED_AFTER_S
    bad = exactly("while a link was bad", lambda h: Window(Parts.of(h).bad, Parts.of(h).cut))
    cut = exactly("the cut, and after it", lambda h: Window(Parts.of(h).cut, Parts.of(h).end))
    healed_s = exactly("as long as the cut, and 30 s", lambda h: Parts.of(h).healed - Parts.of(h).cut + WHOLE_WITHIN_S)
    clients = [exactly(f"client {n}", partial(_client, n)) for n in range(MASTERS)]
    return judged(
        says(no_acknowledged_write_lost, "redis", members=(CLUSTER,)),
        says(whole_again_within, "redis", WHOLE_WITHIN_S, fault=BadLink.kind),
        *(says(served_again_within, "redis", elected_s, window=bad, client=client) for client in clients),
        *(says(served_again_within, "redis", healed_s, window=cut, client=client) for client in clients),
        harm=(BadLink,),
    )


def clients_of(history: History) -> list[str]:
    """The clients that wrote, one to each shard."""
    return sorted({writes.client for writes in history.of(Writes)})


def _client(which: int, history: History) -> str:
    return clients_of(history)[which]


@incident(
    "bad-link",
    on=("kind",),
    needs=(RunsContainers, NodeNetwork),
    host=(FIREWALL, LOSS, THROTTLING),
    controls=("unconfirmed",),
    variant="under a Redis cluster",
    shape=STATEFUL,
    load=Load.ALONE,  # redis-benchmark takes what there is
    images=("redis",),
    promises=promises,
)
def test_redis_keeps_what_replicas_have_confirmed(lab: Lab) -> None:
    """When a link of a Redis cluster is slow and lossy, and when a node is cut off the others' nodes past
    cluster-node-timeout, no write that a replica had confirmed (WAIT 1) MUST be lost, and the cluster MUST be whole
    again soon after the link is.

    Redis promises no more: a write that only the master has acknowledged is lost with the master that a failover
    replaces. The control counts such writes as acknowledged, and has no min-replicas-to-write.
    """
    shape = stateful_shape(lab.timers) if lab.cluster_kind == KIND else Shape(timers=lab.timers)
    fit_workers(lab.cluster(shape), least=MASTERS)
    confirm = 0 if lab.control == "unconfirmed" else 1
    timeout_s = NODE_TIMEOUT_S[lab.profile.name]
    redis = lab.deploy(Redis(lab.image("redis"), node_timeout_s=timeout_s, replicas_to_write=confirm))
    there = shards(redis)
    one, two, three = (shard.master.node for shard in there)
    start_load(redis)
    with lab.record() as history:
        before, began = commands_processed(redis), history.now()
        with CheckedShards(history, redis, confirm=confirm, per_s=PER_S):
            with lab.inject(BadLink(two, (three,), rate_bits_per_s=SLOW_BITS_PER_S, loss=LOST)):
                lab.hold(HOLD_S[lab.profile.name], "one link is slow and lossy")
            lab.recover(lambda: is_whole(history, redis), within_s=WHOLE_WITHIN_S, what="the cluster to be whole")
            with lab.inject(BadLink(one, (two, three), loss=1.0)):
                lab.hold(timeout_s + ELECTED_AFTER_S, "past cluster-node-timeout and the election")
                # Without a new master nothing can be lost: a busy machine may take longer to elect one.
                lab.hold_until(
                    lambda: all_masters_beside(redis, one),
                    within_s=ELECTED_WITHIN_S,
                    because=f"all masters are on other nodes than {one}",
                )
            lab.recover(lambda: is_whole(history, redis), within_s=WHOLE_WITHIN_S, what="the cluster to be whole")
            lab.hold(2.0, "writers go on")
        lab.fact("commands_per_s", round((commands_processed(redis) - before) / (history.now() - began)))
    parts, writes = Parts.of(history), history.of(Writes)
    lab.table("shards", [row(client_of(shard), shard.master.node, writes, parts) for shard in there])
    lab.expect(
        history,
        no_acknowledged_write_lost(redis.name, members=(CLUSTER,)),
        whole_again_within(redis.name, WHOLE_WITHIN_S, fault=BadLink.kind),
        *(
            served_again_within(
                redis.name,
                timeout_s + ELECTED_AFTER_S,
                window=Window(parts.bad, parts.cut),
                client=client_of(shard),
            )
            for shard in there
        ),
        *(
            served_again_within(
                redis.name,
                parts.healed - parts.cut + WHOLE_WITHIN_S,
                window=Window(parts.cut, parts.end),
                client=client_of(shard),
            )
            for shard in there
        ),
    )


def row(client: str, node: str, writes: list[Writes], parts: Parts) -> Row:
    """A line of the table: what became of a shard's writes while one link was bad, in the cut, and after it."""
    of_it = [w for w in writes if w.client == client]
    line: dict[str, str | int | float] = {"shard": client, "its first master on": node}
    for name, start, end in (
        ("bad link", parts.bad, parts.cut),
        ("cut off", parts.cut, parts.healed),
        ("healed", parts.healed, float("inf")),
    ):
        then = [w for w in of_it if start <= w.at < end]
        acknowledged = sum(w.count for w in then if w.ok)
        line |= {f"{name}: acknowledged": acknowledged, f"{name}: not": sum(w.count for w in then) - acknowledged}
    return line
