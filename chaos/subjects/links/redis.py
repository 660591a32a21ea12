"""A Redis cluster: three masters with a replica each over the workers, no master with its replica on one node."""

import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import Cluster
from chaos.clusters.way.podexec import exec_in_pod
from chaos.errors import OrdealError
from chaos.workloads.base import create, creating, manifest
from chaos.workloads.web import Deployed

PORT = 6379
MASTERS = 3
SLOTS = 16_384
READY_WITHIN_S = 180.0
WHOLE_WITHIN_S = 60.0
SEPARATOR = "--8<--"


@dataclass(frozen=True, slots=True)
class Redis:
    """`node_timeout_s`: cluster-node-timeout. `replicas_to_write`: min-replicas-to-write; 0 is the shipped setting: a
    master that is cut off from its replica goes on taking writes until the node timeout is over.
    """

    image: str
    node_timeout_s: float = 15.0
    replicas_to_write: int = 0
    name: str = "redis"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it in a namespace of its own, and make a cluster of the members.

        Raises OrdealError where there are not three nodes for it, where a server does not start, or no cluster comes of
        them.
        """
        workers = [n.name for n in cluster.nodes() if not n.control_plane and n.ready == "True"]
        if len(workers) < MASTERS:
            raise OrdealError(
                f"a Redis cluster with {MASTERS} masters, each on a node of its own, needs {MASTERS} workers that are "
                f"Ready; {cluster.ref.name} has {len(workers)}"
            )
        filled = manifest("redis.yaml").safe_substitute(
            name=self.name,
            namespace=namespace,
            run=run,
            image=self.image,
            replicas=2 * MASTERS,
            command=json.dumps(self.command()),
        )
        with cluster.api() as client, creating(self.name, cluster):
            create(client, filled)
        deployed = Deployed(self.name, namespace, f"redis://{self.name}.{namespace}:{PORT}/", 2 * MASTERS, cluster)
        self._await_members(deployed)
        form_cluster(deployed)
        return deployed

    def command(self) -> list[str]:
        """The server and its settings: data in memory alone, the pod's address as the member's."""
        settings: dict[str, object] = {
            "port": PORT,
            "protected-mode": "no",
            "dir": "/data",
            "save": "",
            "appendonly": "no",
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-announce-ip": "$(ADDRESS)",
            "cluster-node-timeout": round(1000 * self.node_timeout_s),
            "repl-ping-replica-period": 1,
            "repl-diskless-sync-delay": 0,
            "min-replicas-to-write": self.replicas_to_write,
            "min-replicas-max-lag": 2,
        }
        return ["redis-server", *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]

    def _await_members(self, deployed: Deployed) -> None:
        def ready() -> bool:
            with deployed.cluster.api() as client:
                found: Any = k8s.AppsV1Api(client).read_namespaced_stateful_set_status(self.name, deployed.namespace)
            return bool(found.status.ready_replicas == 2 * MASTERS)

        try:
            eventually(ready, within_s=READY_WITHIN_S, what=f"{2 * MASTERS} members of {self.name} to be Ready")
        except WaitedInVainError as error:
            raise OrdealError(f"{error}; {deployed.trouble()}") from error


@dataclass(frozen=True, slots=True)
class RedisServer:
    """One server: its pod, the node that it is on, its address."""

    name: str
    node: str
    address: str


@dataclass(frozen=True, slots=True)
class Shard:
    """A master and its replica when the cluster was made, and a hash tag whose keys are theirs."""

    master: RedisServer
    replica: RedisServer
    tag: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """A line of CLUSTER NODES (Redis documentation)."""

    id: str
    address: str
    flags: tuple[str, ...]
    master: str
    linked: bool
    slots: tuple[tuple[int, int], ...]


def members(deployed: Deployed) -> tuple[RedisServer, ...]:
    """The servers, by node, then by name."""
    found = [RedisServer(p.metadata.name, p.spec.node_name or "", p.status.pod_ip or "") for p in deployed.pods()]
    return tuple(sorted(found, key=lambda m: (m.node, m.name)))


def form_cluster(deployed: Deployed) -> None:
    """Make masters of the first member on each node, and give each a replica on the next node. Raises OrdealError."""
    by_node: dict[str, list[RedisServer]] = {}
    for member in members(deployed):
        by_node.setdefault(member.node, []).append(member)
    placed = [found for found in by_node.values() if len(found) == 2]
    if len(placed) != MASTERS:
        counts = ", ".join(f"{len(found)} on {node}" for node, found in by_node.items())
        raise OrdealError(f"the members of {deployed.name} are not two on each of {MASTERS} nodes: {counts}")
    masters = [first for first, _ in placed]
    replicas = [placed[(n + 1) % MASTERS][1] for n in range(MASTERS)]  # of master n, on the next node
    addresses = [f"{m.address}:{PORT}" for m in masters]
    _cli(deployed, masters[0], "--cluster", "create", *addresses, "--cluster-yes", timeout_s=WHOLE_WITHIN_S)
    for master, replica in zip(masters, replicas, strict=True):
        identity = _cli(deployed, master, "cluster", "myid").strip()
        _cli(deployed, replica, "cluster", "meet", master.address, str(PORT))

        def follows(identity: str = identity, replica: RedisServer = replica) -> bool:
            return _cli(deployed, replica, "cluster", "replicate", identity).strip() == "OK"

        what = f"{replica.name} to know {master.name} and follow it"
        eventually(follows, within_s=WHOLE_WITHIN_S, what=what)
    eventually(lambda: _or_raise(broken(deployed)), within_s=WHOLE_WITHIN_S, what=f"{deployed.name} to be whole")


def shards(deployed: Deployed) -> tuple[Shard, ...]:
    """The shards as they are now, by the master's node. Raises OrdealError where the cluster is not whole."""
    there = {m.address: m for m in members(deployed)}
    first = next(iter(there.values()))
    seen = nodes_in(_cli(deployed, first, "cluster", "nodes"))
    masters = {s.id: s for s in seen if "master" in s.flags and s.slots}
    found = []
    for replica in (s for s in seen if s.master in masters):
        master = masters[replica.master]
        found.append(Shard(there[master.address], there[replica.address], tag_in(master.slots)))
    if len(found) != MASTERS:
        raise OrdealError(f"{deployed.name} has {len(found)} masters with a replica, and {MASTERS} are wanted")
    return tuple(sorted(found, key=lambda s: s.master.node))


def broken(deployed: Deployed) -> str:
    """Why the cluster is not whole now, in a few words; empty where it is.

    It is whole where every member says cluster_state:ok with all slots served, sees every other without a failure, and
    each of three masters has a replica whose link to it is up.
    """
    there = members(deployed)
    ask = "cluster info; redis-cli -h {0} -p {1} cluster nodes; redis-cli -h {0} -p {1} info replication"
    script = "; ".join(
        f"redis-cli -h {m.address} -p {PORT} {ask.format(m.address, PORT)}; echo '{SEPARATOR}'" for m in there
    )
    try:
        with deployed.cluster.api() as client:
            said = exec_in_pod(client, deployed.namespace, there[0].name, ["sh", "-c", script], timeout_s=20).out
    except OrdealError as error:
        return str(error).splitlines()[0]
    answers = said.split(SEPARATOR)[:-1]
    if len(answers) != len(there):
        return f"{len(answers)} of {len(there)} members answered"
    for member, answer in zip(there, answers, strict=True):
        why = trouble_in(answer, len(there))
        if why:
            return f"{member.name}: {why}"
    return ""


def all_masters_beside(deployed: Deployed, node: str) -> bool:
    """Whether there are as many masters on the other nodes as there are shards, each by its own word: one that the node
    had is replaced then. Raises OrdealError where one of them does not answer.
    """
    others = [m for m in members(deployed) if m.node != node]
    return sum(_cli(deployed, m, "role").split()[:1] == ["master"] for m in others) == MASTERS


def trouble_in(answer: str, count: int) -> str:
    """What is wrong by a member's CLUSTER INFO, CLUSTER NODES and INFO replication; empty where nothing is."""
    lines = dict(
        line.split(":", 1) for line in answer.replace("\r", "").splitlines() if ":" in line and " " not in line
    )
    seen = nodes_in(answer)
    bad = next((n for n in seen if {"fail", "fail?", "handshake", "noaddr"} & set(n.flags) or not n.linked), None)
    masters = {n.id for n in seen if "master" in n.flags and n.slots}
    followed = {n.master for n in seen if "slave" in n.flags} & masters
    role = lines.get("role")
    wrong = {
        f"cluster_state is {lines.get('cluster_state', 'not told')}": lines.get("cluster_state") != "ok",
        f"{lines.get('cluster_slots_ok')} of {SLOTS} slots are served": lines.get("cluster_slots_ok") != str(SLOTS),
        f"it knows {len(seen)} of {count} members": len(seen) != count,
        f"it sees {bad.address if bad else ''} as {','.join(bad.flags) if bad else ''} or not connected": bad
        is not None,
        f"{len(masters)} masters have slots, {len(followed)} of them a replica": (len(masters), len(followed))
        != (MASTERS, MASTERS),
        "its link to its master is down": role == "slave" and lines.get("master_link_status") != "up",
        f"it has {lines.get('connected_slaves')} replicas": role == "master" and lines.get("connected_slaves") != "1",
    }
    return next((why for why, is_so in wrong.items() if is_so), "")


def nodes_in(text: str) -> tuple[_Seen, ...]:
    """The lines of CLUSTER NODES in a text."""
    found = []
    for line in text.replace("\r", "").splitlines():
        words = line.split()
        if len(words) < 8 or len(words[0]) != 40:
            continue
        slots = tuple(_range(word) for word in words[8:] if not word.startswith("["))
        address = words[1].split("@")[0].rpartition(":")[0]
        flags = tuple(f for f in words[2].split(",") if f != "myself")
        found.append(_Seen(words[0], address, flags, words[3].strip("-"), words[7] == "connected", slots))
    return tuple(found)


def slot_of(tag: str) -> int:
    """The slot of the keys with that hash tag: CRC16 modulo 16384 (Redis cluster specification)."""
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def tag_in(slots: Sequence[tuple[int, int]]) -> str:
    """A hash tag whose slot is one of these."""
    return next(t for n in range(SLOTS * 20) if any(a <= slot_of(t := f"s{n}") <= b for a, b in slots))


def start_load(deployed: Deployed) -> None:
    """Let redis-benchmark write to all masters, again and again, until the workload is removed. Does not wait."""
    with deployed.cluster.api() as client:
        k8s.AppsV1Api(client).patch_namespaced_deployment_scale(
            f"{deployed.name}-load", deployed.namespace, {"spec": {"replicas": 1}}
        )


def commands_processed(deployed: Deployed) -> int:
    """How many commands the members have processed since they were started (INFO stats)."""
    there = members(deployed)
    asked = "; ".join(f"redis-cli -h {m.address} -p {PORT} info stats" for m in there)
    with deployed.cluster.api() as client:
        said = exec_in_pod(client, deployed.namespace, there[0].name, ["sh", "-c", asked], timeout_s=20).out
    lines = [line.partition(":") for line in said.split()]
    return sum(int(value) for name, _, value in lines if name == "total_commands_processed")


def _cli(deployed: Deployed, member: RedisServer, *words: str, timeout_s: float = 20.0) -> str:
    """What redis-cli says in a member's pod. Raises CommandError where it fails."""
    with deployed.cluster.api() as client:
        return exec_in_pod(client, deployed.namespace, member.name, ["redis-cli", *words], timeout_s=timeout_s).out


def _or_raise(why: str) -> bool:
    if why:
        raise OrdealError(why)
    return True


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)
