"""Where a database's members are and what they keep their data on: three pods of a StatefulSet."""

from collections.abc import Sequence
from typing import Any

from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.hosts import extras
from chaos.workloads.base import WORKLOAD_LABEL

MEMBERS = 3


def check(client: ApiClient, cluster: Cluster, name: str, *, nodes: Sequence[str], storage_class: str) -> None:
    """What would fail anyway, said before anything is made. Raises OrdealError."""
    extras.need(extras.DATABASES)  # the client, which is a process of its own
    if nodes and len(nodes) != MEMBERS:
        raise OrdealError(f"{name} has {MEMBERS} members, and {len(nodes)} nodes were named for them")
    if not storage_class:
        return
    found: Any = k8s.StorageV1Api(client).list_storage_class()
    there = [c.metadata.name for c in found.items]
    if storage_class not in there:
        raise OrdealError(
            f"cluster {cluster.ref.name} has no StorageClass {storage_class}; it has {', '.join(there) or 'none'}"
        )


def claims(volume: str, storage_class: str, size_bytes: int) -> list[dict[str, object]]:
    """What a member claims for its data; nothing where no StorageClass is named."""
    if not storage_class:
        return []
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": str(size_bytes)}},
    }
    return [{"metadata": {"name": volume}, "spec": spec}]


def place_the_rest(client: ApiClient, namespace: str, name: str, nodes: Sequence[str]) -> None:
    """Let all members be there: what is added to those of the first node is of another revision, for the last node.

    Those of the first node keep their own, also when they are made anew (updateStrategy.rollingUpdate.partition). Where
    no nodes are named all are of one revision.
    """
    spec: dict[str, object] = {"replicas": MEMBERS}
    if nodes:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": nodes.count(nodes[0])}}
        spec |= {"updateStrategy": rolling, "template": {"spec": {"affinity": on(nodes[-1])}}}
    k8s.AppsV1Api(client).patch_namespaced_stateful_set(name, namespace, {"spec": spec})


def on(node: str) -> dict[str, object]:
    """The affinity of what is on that node."""
    here = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [here]}]}
        }
    }


def apart(name: str) -> dict[str, object]:
    """The affinity of a workload's pods that are on a node each."""
    alike = {"labelSelector": {"matchLabels": {WORKLOAD_LABEL: name}}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [alike]}}
