"""The nodes of a simulated cluster: in which heartbeat groups they are, how they are made and read.

The API is asked with plain requests here: the generated client takes a hundred times as long for thousands of objects.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import urllib3
from kubernetes.client import ApiClient

from chaos.basics.waiting import eventually
from chaos.clusters.base import Node
from chaos.clusters.shape import Shape, Timers, Zone
from chaos.clusters.way.client import CONTROL_PLANE_LABEL, ZONE_LABEL
from chaos.errors import OrdealError
from chaos.hosts import go

GROUP_LABEL = "kube-ordeal/heartbeats"
CONTROL_PLANE_GROUP = "control-plane"
CONTROL_PLANE_NODE = "control-plane"
WORKERS_GROUP = "workers"
CONNECTIONS = 8
NODES_PER_S = 20  # the slowest at which nodes may become Ready before it is called a failure


@dataclass(frozen=True, slots=True)
class Placed:
    """A node and the zone it is in."""

    name: str
    zone: str


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes whose heartbeats one process sends."""

    name: str
    nodes: tuple[Placed, ...]


def groups_of(shape: Shape) -> tuple[NodeGroup, ...]:
    """The heartbeat groups of a shape: each zone's (or the workers'), then the control plane's."""
    members: dict[str, list[Placed]] = {}
    for zone in shape.zones or (Zone("", shape.workers),):
        parts = zone.parts or ((zone.name or WORKERS_GROUP, zone.nodes),)
        if sum(size for _, size in parts) != zone.nodes:
            raise OrdealError(f"zone {zone.name} has {zone.nodes} nodes, but its parts have another number in all")
        placed = [Placed(f"{zone.name or 'worker'}-{number}", zone.name) for number in range(1, zone.nodes + 1)]
        for name, size in parts:
            members.setdefault(name, []).extend(placed[:size])
            placed = placed[size:]
    if CONTROL_PLANE_GROUP in members:
        raise OrdealError(f"the heartbeat group {CONTROL_PLANE_GROUP} is the control plane's; give yours another name")
    members[CONTROL_PLANE_GROUP] = [Placed(CONTROL_PLANE_NODE, "")]
    return tuple(NodeGroup(name, tuple(nodes)) for name, nodes in members.items())


def lease_duration_s(timers: Timers) -> int:
    """Kubernetes' own proportion: a lease of 40 s (renewed every 10 s) at a grace period of 50 s. At least 4 s."""
    return max(4, int(timers.monitor_grace_s * 0.8))


def manifest(group: NodeGroup, node: Placed) -> dict[str, object]:
    """The Node object of a group's node, to be POSTed; its kubelet makes it Ready."""
    system = {"os": "linux", "arch": go.goarch()}
    labels = {
        "kubernetes.io/hostname": node.name,
        GROUP_LABEL: group.name,
        **{f"kubernetes.io/{key}": value for key, value in system.items()},
        **{f"beta.kubernetes.io/{key}": value for key, value in system.items()},  # or the controller adds them later
    }
    spec: dict[str, object] = {}
    if node.zone:
        labels[ZONE_LABEL] = node.zone
    if group.name == CONTROL_PLANE_GROUP:
        labels[CONTROL_PLANE_LABEL] = ""
        spec["taints"] = [{"key": CONTROL_PLANE_LABEL, "effect": "NoSchedule"}]
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "spec": spec,
        "status": {"capacity": room, "allocatable": room},
    }


def parsed(item: Mapping[str, Any]) -> Node:
    """A node of a list's JSON."""
    labels, status = item["metadata"].get("labels", {}), item.get("status", {})
    addresses = {entry["type"]: entry["address"] for entry in status.get("addresses", ())}
    return Node(
        name=item["metadata"]["name"],
        control_plane=CONTROL_PLANE_LABEL in labels,
        ready=next((c["status"] for c in status.get("conditions", ()) if c["type"] == "Ready"), "Unknown"),
        address=addresses.get("InternalIP", ""),
        zone=labels.get(ZONE_LABEL, ""),
        taints=tuple(f"{taint['key']}:{taint['effect']}" for taint in item["spec"].get("taints", ())),
    )


def ready_nodes(client: ApiClient) -> int:
    """How many nodes are Ready; asked as a table, which is a hundredth of the full list."""
    table = get(client, "/api/v1/nodes?includeObject=None", "application/json;as=Table;v=v1;g=meta.k8s.io")
    status = next(i for i, column in enumerate(table["columnDefinitions"]) if column["name"] == "Status")
    return sum(1 for row in table["rows"] or () if row["cells"][status] == "Ready")


def create(client: ApiClient, groups: Sequence[NodeGroup]) -> set[int]:
    """Make the nodes of those groups that are not there; returns the HTTP statuses by which some were refused.

    Raises OrdealError where no answer comes.
    """
    bodies = (msgspec.json.encode(manifest(group, node)) for group in groups for node in group.nodes)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        answers = set(pool.map(lambda body: status(client, "POST", "/api/v1/nodes", body), bodies))
    return answers - {201, 409}


def listed(client: ApiClient) -> tuple[Node, ...]:
    """All nodes. Raises OrdealError where no answer comes."""
    return tuple(parsed(item) for item in get(client, "/api/v1/nodes")["items"])


def all_schedulable(client: ApiClient) -> bool:
    """Whether no node has the taint any more that each starts with. Raises OrdealError where no answer comes."""
    return not any(
        taint.startswith("node.kubernetes.io/not-ready:") for node in listed(client) for taint in node.taints
    )


def wait_ready(client: ApiClient, total: int) -> None:
    """Wait until so many nodes are Ready, take pods, and the default namespace has its service account.

    Raises WaitedInVainError.
    """
    within_s = 30 + total / NODES_PER_S
    eventually(lambda: ready_nodes(client) == total, within_s=within_s, what="all nodes to be Ready")
    untainted = partial(all_schedulable, client)
    eventually(untainted, within_s=within_s, what="all nodes to lose the taint they start with")
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    eventually(lambda: status(client, "GET", account) == 200, within_s=30, what="the default service account")


def get(client: ApiClient, path: str, accept: str = "application/json") -> Any:
    """A parsed answer. The typed client takes a hundred times as long for a list of thousands."""
    answer = _request(client, "GET", path, None, accept)
    if answer.status != 200:
        raise OrdealError(f"{client.configuration.host}{path} answered HTTP {answer.status}")
    return msgspec.json.decode(answer.data)


def status(client: ApiClient, method: str, path: str, body: bytes | None = None) -> int:
    """The HTTP status of an answer. Raises OrdealError where none comes."""
    return int(_request(client, method, path, body, "application/json").status)


def _request(client: ApiClient, method: str, path: str, body: bytes | None, accept: str) -> Any:
    host = client.configuration.host
    try:
        return client.rest_client.pool_manager.request(
            method,
            f"{host}{path}",
            body=body,
            headers={"Content-Type": "application/json", "Accept": accept},
            timeout=urllib3.Timeout(connect=3, read=60),
            retries=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise OrdealError(f"the API server at {host} does not answer: {error}") from error
