"""Three MariaDB servers that are a Galera group: a majority of them takes writes, a minority refuses to."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import NodeNetwork
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.subjects.mysql.placing import MEMBERS, apart, check, claims, on, place_the_rest
from chaos.subjects.mysql.records import PRIMARY
from chaos.subjects.mysql.workload import (
    BINLOG_BYTES,
    DATA_VOLUME,
    PORT,
    TABLES,
    DatabaseMember,
    ask_member,
    await_members,
    members,
)
from chaos.workloads.base import create, creating, manifest
from chaos.workloads.web import Deployed

BEGUN = "begun"
WRITES_TO = MEMBERS - 1  # the number of the member that rows are written to
WHOLE_WITHIN_S = 120.0
BEGUN_WITHIN_S = 120.0
CACHE_BYTES = 32 * 1024**2
# How long a member may be silent before the others go on without it. By default 5 s: on a machine with two cores each
# waits for its turn longer than that now and then.
SUSPECTED_AFTER_S, GONE_AFTER_S = 15, 30
STATE = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN "
    "('wsrep_cluster_status', 'wsrep_cluster_size', 'wsrep_ready', 'wsrep_local_state_comment', 'wsrep_last_committed')"
)
# pc.bootstrap: this member's component becomes the primary one, with what it has (Galera's manual, "Resetting the
# quorum"). It is forgotten again by itself.
# Before a read: it waits until all that the group has committed is there too (wsrep_sync_wait), so none is behind.
READ_ALL = ("SET SESSION wsrep_sync_wait = 1", "SELECT 0")
BEGIN_ANEW = "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'"


@dataclass(frozen=True, slots=True)
class Galera:
    """`storage_class`, `volume_bytes`, `expire_s`, `binlog_bytes`, `nodes`: as of chaos.subjects.mysql.workload.MySQL.

    A member that has lost its data joins the others and is given theirs (rsync). Rows are written to the last member.

    `behind_shell`: the container's first process is a shell that waits for the server, and does not pass on the signal
    by which it is asked to end. Such a server takes no leave of its group: it is killed when its grace is over.
    """

    image: str
    storage_class: str = ""
    volume_bytes: int = 0
    expire_s: int = 0
    binlog_bytes: int = BINLOG_BYTES
    nodes: tuple[str, ...] = ()
    behind_shell: bool = False
    name: str = "galera"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it in a namespace of its own: the first member begins the group, the others join, the tables are made.

        Raises OrdealError where the StorageClass is missing or does not bind, or a server does not start;
        WaitedInVainError.
        """
        if not isinstance(cluster, NodeNetwork):
            raise OrdealError(f"{cluster.ref.name} lets nothing into its network, so nobody could ask the servers")
        with cluster.api() as client:
            check(client, cluster, self.name, nodes=self.nodes, storage_class=self.storage_class)
            with creating(self.name, cluster):
                create(client, self.manifest(run, namespace))
                source: Any = k8s.CoreV1Api(client).read_namespaced_service(f"{self.name}-source", namespace)
        url = f"mysql://{source.spec.cluster_ip}:{PORT}/"
        deployed = Deployed(self.name, namespace, url, MEMBERS, cluster)
        await_members(deployed, 1)
        with cluster.api() as client, creating(self.name, cluster):
            begun: Any = {"metadata": {"name": f"{self.name}-{BEGUN}"}, "data": {BEGUN: ""}}
            k8s.CoreV1Api(client).create_namespaced_config_map(namespace, begun)
            place_the_rest(client, namespace, self.name, self.nodes)
        await_members(deployed)
        eventually(lambda: is_whole(deployed), within_s=WHOLE_WITHIN_S, what=f"the group of {self.name} to be whole")
        ask_member(deployed, members(deployed)[WRITES_TO], TABLES)
        return deployed

    def manifest(self, run: str, namespace: str) -> str:
        """The manifest, filled in."""
        here = self.nodes[0] if self.nodes else ""
        begun = {"name": f"{self.name}-{BEGUN}", "optional": True}
        volumes: list[dict[str, object]] = [
            {"name": "start", "configMap": {"name": self.name}},
            {"name": BEGUN, "configMap": begun},
        ]
        if not self.storage_class:
            volumes.append({"name": DATA_VOLUME, "emptyDir": {}})
        provider = {
            "gcache.size": CACHE_BYTES,
            "evs.suspect_timeout": f"PT{SUSPECTED_AFTER_S}S",
            "evs.inactive_timeout": f"PT{GONE_AFTER_S}S",
        }
        return manifest("galera.yaml").substitute(
            name=self.name,
            namespace=namespace,
            run=run,
            password=secrets.token_hex(12),
            image=self.image,
            writes_to=WRITES_TO,
            exec="" if self.behind_shell else "exec ",
            peers=",".join(f"{self.name}-{n}.{self.name}" for n in range(MEMBERS)),
            options="\n    ".join(self.options()),
            provider_options=json.dumps("; ".join(f"{name}={value}" for name, value in provider.items())),
            claims=json.dumps(claims(DATA_VOLUME, self.storage_class, self.volume_bytes)),
            affinity=json.dumps(on(here) if here else apart(self.name)),
            volumes=json.dumps(volumes),
        )

    def options(self) -> tuple[str, ...]:
        """The servers' options that matter here, as lines of a file."""
        return (
            "log-bin=binlog",
            "binlog-format=ROW",
            "log-slave-updates=ON",
            f"max-binlog-size={self.binlog_bytes}",
            f"binlog-expire-logs-seconds={self.expire_s}",
        )


@dataclass(frozen=True, slots=True)
class MemberState:
    """What a member says of its group. `component`: Primary, non-Primary or Disconnected; `committed`: the number of
    the last write that it has, -1 where it knows of none.
    """

    member: str
    component: str
    size: int
    ready: bool
    state: str
    committed: int


def states(deployed: Deployed) -> tuple[MemberState, ...]:
    """What each member says now that can be asked, by name."""
    found = []
    for member in members(deployed):
        try:
            found.append(_state(deployed, member))
        except OrdealError:  # it is away, or is just being given its data
            continue
    return tuple(found)


def _state(deployed: Deployed, member: DatabaseMember) -> MemberState:
    said = {str(name): str(value) for name, value in ask_member(deployed, member, [STATE])[0]}
    return MemberState(
        member.name,
        said["wsrep_cluster_status"],
        int(said["wsrep_cluster_size"]),
        said["wsrep_ready"] == "ON",
        said["wsrep_local_state_comment"],
        int(said["wsrep_last_committed"]),
    )


def is_whole(deployed: Deployed) -> bool:
    """Whether every member is in the primary component, has all data and takes writes."""
    found = states(deployed)
    return len(found) == MEMBERS and all(
        each.component == PRIMARY and each.size == MEMBERS and each.ready and each.state == "Synced" for each in found
    )


def most_advanced(found: tuple[MemberState, ...]) -> MemberState:
    """The member that has the most writes: of it a group that lost its quorum is begun anew. Raises OrdealError where
    none answers.
    """
    if not found:
        raise OrdealError("no member answers, so nobody can say which has the most writes")
    return max(found, key=lambda each: each.committed)


def begin_anew(deployed: Deployed) -> MemberState:
    """Take the most advanced member that answers for the group: those that come back are given its data.

    Returns what it was before. Tried again where it is refused, as it is while a member comes or goes ("Incorrect
    arguments to SET"; gcomm/src/pc_proto.cpp). Raises OrdealError where none answers, or one is in a primary component:
    there would be two groups; WaitedInVainError.
    """
    found = states(deployed)
    if primary := [each.member for each in found if each.component == PRIMARY]:
        raise OrdealError(f"{primary[0]} is in a primary component: another would be a second group")
    chosen = most_advanced(found)
    there = next(each for each in members(deployed) if each.name == chosen.member)

    def begun() -> bool:
        if _state(deployed, there).component == PRIMARY:
            return True
        ask_member(deployed, there, [BEGIN_ANEW])
        return _state(deployed, there).component == PRIMARY

    eventually(begun, within_s=BEGUN_WITHIN_S, what=f"{chosen.member} to begin the group anew", every_s=1.0)
    return chosen
