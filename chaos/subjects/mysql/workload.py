"""Three MySQL servers with GTID replication: member 0 takes the writes, the others follow it, each has its own data."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import NodeNetwork
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import is_ready
from chaos.clusters.way.podexec import exec_in_pod
from chaos.errors import OrdealError
from chaos.subjects.mysql.placing import MEMBERS, apart, check, claims, on, place_the_rest
from chaos.workloads.base import create, creating, manifest
from chaos.workloads.web import Deployed
from chaos.writers.client import ask

PORT = 3306
USER = "ordeal"
CONTAINER, PASSWORD = "mysql", "PASSWORD"  # the variable of its environment
GROUP_REPLICATION = "group_replication.so"  # in the server's plugin_dir; a build of the server alone has no plugins
CLOCK_VOLUME = "clock"
CLOCK_FILE = "/var/lib/ordeal-clock/offset"
DATA_VOLUME = "data"
# A published image has to initialise three data directories, half a minute each on two cores with nothing else to do.
READY_WITHIN_S = 300.0
FOLLOW_WITHIN_S = 60.0
BINLOG_BYTES = 16 * 1024**2
# What a data directory takes before anything is written: system tablespace, dictionary, undo and redo logs.
FRESH_BYTES = 160 * 1024**2
# What chaos.writers.mysql writes into.
TABLES = (
    "CREATE DATABASE ordeal",
    "CREATE TABLE ordeal.writes (client VARCHAR(32), number BIGINT, PRIMARY KEY (client, number))",
    "CREATE TABLE ordeal.bodies (client VARCHAR(32), piece SMALLINT, body BLOB NOT NULL, PRIMARY KEY (client, piece))",
)
# A known-bad liveness probe that people do write: it wants the server's clock to be the node's.
CLOCK_PROBE = (
    "for library in /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib*/faketime/libfaketimeMT.so.1 "
    "/usr/local/lib/faketime/libfaketimeMT.so.1; do if [ -e $library ]; then break; fi; done; node=$(date +%s); "
    f"mine=$(LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE={CLOCK_FILE} date +%s); "
    "test $((node - mine)) -lt 30 && test $((mine - node)) -lt 30"
)


@dataclass(frozen=True, slots=True)
class MySQL:
    """`storage_class`: each member's data is on a volume of it, of `volume_bytes`; empty: on the node's ephemeral
    storage. `expire_s`: binary logs older than that go at each rotation, every `binlog_bytes`; 0: they are kept for
    ever. `nodes`: where the members are, one name each; empty: one on each node, as the scheduler likes.

    `own_clock`: each server's clock is the node's plus what stands in a file of its pod. `clock_probe`: its liveness
    probe wants that to be nothing.
    """

    image: str
    storage_class: str = ""
    volume_bytes: int = 0
    expire_s: int = 0
    binlog_bytes: int = BINLOG_BYTES
    nodes: tuple[str, ...] = ()
    own_clock: bool = False
    clock_probe: bool = False
    name: str = "mysql"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it in a namespace of its own, wait until every member serves, and let the others follow member 0.

        Raises OrdealError where the StorageClass is missing or does not bind, a server does not start, or its binary
        log is off; WaitedInVainError.
        """
        if not isinstance(cluster, NodeNetwork):
            raise OrdealError(f"{cluster.ref.name} lets nothing into its network, so nobody could ask the servers")
        with cluster.api() as client:
            check(client, cluster, self.name, nodes=self.nodes, storage_class=self.storage_class)
            with creating(self.name, cluster):
                create(client, self.manifest(run, namespace))
                source: Any = k8s.CoreV1Api(client).read_namespaced_service(f"{self.name}-source", namespace)
            if len(set(self.nodes)) > 1:
                place_the_rest(client, namespace, self.name, self.nodes)
        url = f"mysql://{source.spec.cluster_ip}:{PORT}/"
        deployed = Deployed(self.name, namespace, url, MEMBERS, cluster)
        await_members(deployed)
        set_up_replication(deployed)
        return deployed

    def manifest(self, run: str, namespace: str) -> str:
        """The manifest, filled in."""
        here = self.nodes[0] if self.nodes else ""
        volumes: list[dict[str, object]] = [
            {"name": "start", "configMap": {"name": self.name}},
            {"name": CLOCK_VOLUME, "emptyDir": {}},
        ]
        if not self.storage_class:
            volumes.append({"name": DATA_VOLUME, "emptyDir": {}})
        # It fails three times, as by default, within 15 s: time for the turned clock to be seen before the restart.
        probe = {"exec": {"command": ["sh", "-c", CLOCK_PROBE]}, "periodSeconds": 5, "failureThreshold": 3}
        # A container may be given nothing at all for a probe, and JSON has that as null.
        liveness = probe | {"initialDelaySeconds": 20, "timeoutSeconds": 10} if self.clock_probe else None
        return manifest("mysql.yaml").substitute(
            name=self.name,
            namespace=namespace,
            run=run,
            password=secrets.token_hex(12),
            image=self.image,
            replicas=self.nodes.count(here) if self.nodes else MEMBERS,
            options=" ".join(self.options()),
            clock_file=CLOCK_FILE if self.own_clock else "",
            claims=json.dumps(claims(DATA_VOLUME, self.storage_class, self.volume_bytes)),
            affinity=json.dumps(on(here) if here else apart(self.name)),
            liveness=json.dumps(liveness),
            volumes=json.dumps(volumes),
        )

    def options(self) -> tuple[str, ...]:
        """The servers' options that matter here; those that only some versions know begin with `loose`."""
        return (
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--sync-binlog=1",
            "--binlog-error-action=ABORT_SERVER",
            f"--max-binlog-size={self.binlog_bytes}",
            f"--loose-binlog-expire-logs-seconds={self.expire_s}",
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--log-slave-updates=ON",
            "--relay-log=relay",
            "--relay-log-recovery=ON",
            "--loose-master-info-repository=TABLE",
            "--loose-relay-log-info-repository=TABLE",
        )


@dataclass(frozen=True, slots=True)
class DatabaseMember:
    """A member's pod as the API shows it now. `uid` is the pod's, which names its folder on the node."""

    name: str
    uid: str
    node: str
    address: str
    ready: bool


def members(deployed: Deployed) -> tuple[DatabaseMember, ...]:
    """The members that have a pod, by name."""
    found = [
        DatabaseMember(
            pod.metadata.name,
            pod.metadata.uid,
            pod.spec.node_name or "",
            pod.status.pod_ip or "",
            is_ready(pod.status),
        )
        for pod in deployed.pods()
    ]
    return tuple(sorted(found, key=lambda member: member.name))


def password(cluster: Cluster, namespace: str, name: str = "mysql") -> str:
    """The servers' password, which each deployment has for itself. Raises OrdealError where there is none."""
    with cluster.api() as client:
        try:
            found: Any = k8s.AppsV1Api(client).read_namespaced_stateful_set(name, namespace)
        except ApiException as error:
            raise OrdealError(f"namespace {namespace} has no servers {name} of ours: {error.reason}") from error
    (container,) = found.spec.template.spec.containers
    return next(str(each.value) for each in container.env if each.name == PASSWORD)


def node_to_ask_from(cluster: Cluster) -> str:
    """The node in whose network the clients are: the control plane's, which no workload's disk or memory reaches."""
    nodes = cluster.nodes()
    return next((n.name for n in nodes if n.control_plane), nodes[0].name)


def ask_members(deployed: Deployed, statements: Sequence[str]) -> dict[str, list[list[list[object]]]]:
    """Run the statements on each member, one after the other; each one's rows by the member's name.

    Raises OrdealError where a member can't be asked.
    """
    there = members(deployed)
    hosts = {m.name: m.address for m in there}
    return ask_hosts(deployed.cluster, deployed.namespace, deployed.name, hosts, statements)


def ask_member(deployed: Deployed, member: DatabaseMember, statements: Sequence[str]) -> list[list[list[object]]]:
    """Run the statements on one member; each one's rows. Raises OrdealError where it can't be asked."""
    hosts = {member.name: member.address}
    return ask_hosts(deployed.cluster, deployed.namespace, deployed.name, hosts, statements)[member.name]


def ask_hosts(
    cluster: Cluster, namespace: str, name: str, hosts: Mapping[str, str], statements: Sequence[str]
) -> dict[str, list[list[list[object]]]]:
    """As `ask_members`, for addresses that are known."""
    said: dict[str, list[list[list[object]]]] = _ask(
        cluster, namespace, name, "ask", {"hosts": hosts, "statements": statements}
    )
    return said


def clock_offset_s(cluster: Cluster, namespace: str, name: str, pod: str, address: str) -> float:
    """How far a server's clock is ahead of this machine's, which is the nodes' too. Raises OrdealError."""
    return float(_ask(cluster, namespace, name, "clock", {"hosts": {pod: address}})[pod])


def _ask(cluster: Cluster, namespace: str, name: str, command: str, settings: Mapping[str, Any]) -> Any:
    if not isinstance(cluster, NodeNetwork):
        raise OrdealError(f"{cluster.ref.name} lets nothing into its network, so nobody can ask the servers")
    nowhere = [member for member, address in settings["hosts"].items() if not address]
    if nowhere:
        raise OrdealError(f"{nowhere[0]} has no address: its pod does not run")
    login = {"user": USER, "password": password(cluster, namespace, name), "port": PORT}
    return ask(cluster, node_to_ask_from(cluster), "mysql", {**login, **settings}, command=command)


def set_up_replication(deployed: Deployed) -> None:
    """Let every other member follow member 0 by GTIDs, and make the tables. Raises OrdealError, WaitedInVainError."""
    source = f"{deployed.name}-0"
    there = {m.name: m.address for m in members(deployed)}
    checked = ask_hosts(
        deployed.cluster, deployed.namespace, deployed.name, there, ["SELECT @@log_bin, @@gtid_mode, VERSION()"]
    )
    for name, ((row,),) in checked.items():
        if str(row[0]) != "1" or row[1] != "ON":
            raise OrdealError(
                f"{name} (MySQL {row[2]}) has log_bin={row[0]} and gtid_mode={row[1]}: without its binary log nothing "
                "is replicated; take an image that honours these options"
            )
    secret = password(deployed.cluster, deployed.namespace, deployed.name)
    address = deployed.url.removeprefix("mysql://").split(":")[0]
    change = (
        f"CHANGE MASTER TO MASTER_HOST='{address}', MASTER_PORT={PORT}, MASTER_USER='{USER}', "
        f"MASTER_PASSWORD='{secret}', MASTER_AUTO_POSITION=1, MASTER_CONNECT_RETRY=1, MASTER_RETRY_COUNT=100000"
    )
    follow = [
        "STOP SLAVE",
        "RESET MASTER",  # what its initialisation wrote is nobody else's
        change,
        "START SLAVE",
    ]
    cluster, namespace, name = deployed.cluster, deployed.namespace, deployed.name
    ask_hosts(cluster, namespace, name, {source: there[source]}, ["RESET MASTER", *TABLES])
    ask_hosts(cluster, namespace, name, {n: a for n, a in there.items() if n != source}, follow)
    eventually(lambda: caught_up(deployed), within_s=FOLLOW_WITHIN_S, what=f"{deployed.name} to follow {source}")


def caught_up(deployed: Deployed) -> bool:
    """Whether every member has executed all that member 0 has now. Raises OrdealError where one can't be asked."""
    there = ask_members(deployed, [behind(deployed)])
    return len(there) == MEMBERS and all(str(rows[0][0][0]) == "0" for rows in there.values())


def behind(deployed: Deployed) -> str:
    """The statement that asks a member whether it is behind (1) what member 0 has executed now, or not (0).

    Where member 0 can't be asked nobody knows of more, and none is. Where it has executed nothing, all are behind.
    """
    source = next((m for m in members(deployed) if m.name == f"{deployed.name}-0"), None)
    if source is None:
        return "SELECT 0"
    try:
        executed = str(ask_member(deployed, source, ["SELECT @@GLOBAL.gtid_executed"])[0][0][0]).strip()
    except OrdealError:
        return "SELECT 0"
    return "SELECT 1" if not executed else f"SELECT NOT GTID_SUBSET('{executed}', @@GLOBAL.gtid_executed)"


def kind_of_replication(deployed: Deployed) -> str:
    """How the members replicate, and whether their image has the plugin for group replication.

    Raises OrdealError where the source can't be asked.
    """
    source = next((m for m in members(deployed) if m.name == f"{deployed.name}-0"), None)
    if source is None:
        raise OrdealError(f"{deployed.name} has no member {deployed.name}-0, so nobody can say how it replicates")
    version, plugins = map(str, ask_member(deployed, source, ["SELECT VERSION(), @@plugin_dir"])[0][0])
    with deployed.cluster.api() as client:
        look = ["test", "-e", f"{plugins.rstrip('/')}/{GROUP_REPLICATION}"]
        has = exec_in_pod(client, deployed.namespace, source.name, look, check=False).code == 0
    group = "the image has group_replication.so, unused" if has else "the image has no group_replication.so"
    return f"MySQL {version}, one source and two replicas, asynchronous, by GTIDs; {group}"


def data_path(member: DatabaseMember, storage: str = "") -> str:
    """Where the member's data is on its node; `storage`: the folder of its volume, where it has one."""
    return storage or f"/var/lib/kubelet/pods/{member.uid}/volumes/kubernetes.io~empty-dir/{DATA_VOLUME}"


def logs(deployed: Deployed, lines: int = 100) -> dict[str, str]:
    """The last lines that each member's server wrote, and where it was restarted the one before it."""
    said: dict[str, str] = {}
    with deployed.cluster.api() as client:
        core = k8s.CoreV1Api(client)
        for member in members(deployed):
            for previous in (True, False):
                try:
                    text: Any = core.read_namespaced_pod_log(
                        member.name, deployed.namespace, container=CONTAINER, tail_lines=lines, previous=previous
                    )
                except ApiException:
                    continue
                said[f"{member.name}{' before its restart' if previous else ''}"] = str(text)
    return said


def await_members(deployed: Deployed, count: int = MEMBERS) -> None:
    """Wait until so many members are there and all are Ready. Raises OrdealError that says why one is not."""

    def ready() -> bool:
        there = members(deployed)
        return len(there) == count and all(m.ready for m in there)

    try:
        eventually(ready, within_s=READY_WITHIN_S, what=f"{count} members of {deployed.name}")
    except WaitedInVainError as error:
        raise OrdealError(f"{deployed.name} does not start: {_why_not(deployed) or error}") from error


def _why_not(deployed: Deployed) -> str:
    """What the API says of the members that are not Ready, or the last line that a server wrote."""
    with deployed.cluster.api() as client:
        core = k8s.CoreV1Api(client)
        claims: Any = core.list_namespaced_persistent_volume_claim(deployed.namespace)
        for claim in claims.items:
            if claim.status.phase != "Bound":
                events: Any = core.list_namespaced_event(
                    deployed.namespace, field_selector=f"involvedObject.name={claim.metadata.name}"
                )
                why = f" ({events.items[-1].message})" if events.items else ""
                return f"StorageClass {claim.spec.storage_class_name} does not bind {claim.metadata.name}{why}"
    for pod in deployed.pods():
        for status in pod.status.container_statuses or []:
            waiting = status.state.waiting if status.state else None
            if waiting is not None and not status.ready:
                last = logs(deployed, lines=3).get(pod.metadata.name, "").strip().splitlines()[-1:]
                return (
                    f"{pod.metadata.name}: {waiting.reason} {waiting.message or ''} {last[0] if last else ''}".strip()
                )
        if pod.status.phase == "Pending":
            said = [c.message for c in pod.status.conditions or [] if c.status == "False" and c.message]
            return f"{pod.metadata.name} is Pending: {said[0] if said else 'no reason is given'}"
    return ""
