"""Pods on one node: an echo server whose connections are kept, and spare pods that are started while a fault lasts."""

import json
import time
from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import Cluster
from chaos.workloads.base import create, creating, manifest
from chaos.workloads.web import GONE_WITHIN_S, READY_WITHIN_S, Deployed

PORT = 7007
# -ll is busybox's own nc, -lk its larger one (NC_110_COMPAT): an image has the one or the other.
ECHO = f"nc -ll -p {PORT} -e cat || nc -lk -p {PORT} -e cat"


@dataclass(frozen=True, slots=True)
class EchoServer:
    """An echo server on one node behind a Service; its url is for the prober, echo://ADDRESS:PORT/."""

    node: str
    name: str = "echo"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it, in a namespace of its own, and wait until it is Ready. Raises OrdealError, WaitedInVainError."""
        address = _create(cluster, self.name, run, namespace, self.node, ["sh", "-c", ECHO], replicas=1)
        deployed = Deployed(self.name, namespace, f"echo://{address}:{PORT}/", 1, cluster)
        eventually(deployed.ready, within_s=READY_WITHIN_S, what=f"{self.name} on {self.node} to be Ready")
        return deployed


@dataclass(frozen=True, slots=True)
class Spare:
    """A Deployment for one node that has no pods until `start_spare` gives it some. `name` is its workload's label."""

    node: str
    name: str = "spare"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it, in a namespace of its own. Raises OrdealError."""
        _create(cluster, self.name, run, namespace, self.node, ["sleep", "3600"], replicas=0)
        return Deployed(self.name, namespace, "", 0, cluster)


def start_spare(spare: Deployed, count: int, *, within_s: float) -> float | None:
    """Ask for so many pods of a `Spare`, as a user's controller would, and wait until all are Ready.

    Returns the seconds that it took; None where they were not Ready within `within_s`.
    """
    began = time.monotonic()
    _scale(spare, count)
    try:
        eventually(lambda: ready_replicas(spare) == count, within_s=within_s, what="new pods")
    except WaitedInVainError:
        return None
    return time.monotonic() - began


def stop_spare(spare: Deployed) -> None:
    """Take the pods of a `Spare` away. Raises WaitedInVainError where they stay."""
    _scale(spare, 0)
    with spare.cluster.api() as client:
        core = k8s.CoreV1Api(client)
        eventually(
            lambda: not core.list_namespaced_pod(spare.namespace).items,
            within_s=GONE_WITHIN_S,
            what=f"the pods of {spare.name} to be gone",
        )


def ready_replicas(deployed: Deployed) -> int:
    """How many pods of a workload are Ready now."""
    with deployed.cluster.api() as client:
        status: Any = k8s.AppsV1Api(client).read_namespaced_deployment_status(deployed.name, deployed.namespace).status
    return int(status.ready_replicas or 0)


def _scale(deployed: Deployed, replicas: int) -> None:
    with deployed.cluster.api() as client:
        body = {"spec": {"replicas": replicas}}
        k8s.AppsV1Api(client).patch_namespaced_deployment_scale(deployed.name, deployed.namespace, body)


def _create(
    cluster: Cluster, name: str, run: str, namespace: str, node: str, command: list[str], *, replicas: int
) -> str:
    """Fill in the manifest and create it; returns the Service's address."""
    filled = manifest("pinned.yaml").substitute(
        name=name,
        namespace=namespace,
        run=run,
        replicas=replicas,
        image=cluster.images.busybox,
        node=node,
        command=json.dumps(command),
        port=PORT,
    )
    with cluster.api() as client, creating(name, cluster):
        create(client, filled)
        service: Any = k8s.CoreV1Api(client).read_namespaced_service(name, namespace)
    return str(service.spec.cluster_ip)
