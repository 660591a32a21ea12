"""Many small pods on one node: what is created and deleted in waves."""

from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s

from chaos.clusters.base import Cluster
from chaos.clusters.way.client import count
from chaos.errors import OrdealError
from chaos.harm.target import ready_worker
from chaos.workloads.base import RUN_LABEL, WORKLOAD_LABEL, create_namespace, creating
from chaos.workloads.web import Deployed

# The slowest at which pods may become Ready before it is called a failure. Measured were 3.4/s on an idle machine of 2
# cores, and 0.6/s on the same one with four clusters at work.
PODS_PER_S = 0.4
# A shell that waits uses no CPU, and unlike a bare sleep as process 1 it obeys SIGTERM.
SCRIPT = "trap exit TERM; sleep 100000 & wait"


@dataclass(frozen=True, slots=True)
class Churn:
    """A Deployment for so many pods, all of them on `node`, without probes and without anything to do.

    It is made without any: the first wave is that they are asked for.
    """

    node: str
    replicas: int
    name: str = "churn"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it, in a namespace of its own, without pods.

        Raises OrdealError where the node is none for it or has no room for so many pods.
        """
        check_room(cluster, self.node, self.replicas)
        with cluster.api() as client, creating(self.name, cluster):
            create_namespace(k8s.CoreV1Api(client), namespace, {RUN_LABEL: run})
            k8s.AppsV1Api(client).create_namespaced_deployment(namespace, self.manifest(cluster))
        return Deployed(self.name, namespace, "", self.replicas, cluster)

    def manifest(self, cluster: Cluster) -> Any:
        """The Deployment, which has no pod yet, as the API takes it."""
        labels = {WORKLOAD_LABEL: self.name}
        here = {"key": "metadata.name", "operator": "In", "values": [self.node]}
        container = {
            "name": "idle",
            "image": cluster.images.busybox,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", SCRIPT],
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name},
            "spec": {
                "replicas": 0,
                "progressDeadlineSeconds": 7200,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "automountServiceAccountToken": False,
                        "enableServiceLinks": False,
                        "terminationGracePeriodSeconds": 10,
                        "containers": [container],
                        # They stay bound to their node while it is not Ready: it is this node that is looked at.
                        "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
                        "affinity": {
                            "nodeAffinity": {
                                "requiredDuringSchedulingIgnoredDuringExecution": {
                                    "nodeSelectorTerms": [{"matchFields": [here]}]
                                }
                            }
                        },
                    },
                },
            },
        }


def ready_within_s(pods: int) -> float:
    """How long so many pods may take to be Ready on one node."""
    return 60.0 + pods / PODS_PER_S


def check_room(cluster: Cluster, node: str, pods: int) -> None:
    """Raises OrdealError where the node is not there, no Ready worker, or its maxPods leaves no room for so many."""
    ready_worker(cluster, node, "pods can't be churned on it")
    with cluster.api() as client:
        core = k8s.CoreV1Api(client)
        status: Any = core.read_node(node).status
        there = core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node}").items
    most, used = count(status.allocatable["pods"]), len(there)
    if pods + used > most:
        raise OrdealError(
            f"{pods} pods don't fit on {node}: its maxPods is {most}, and {used} are there; give it a higher maxPods "
            f"or ask for {most - used}"
        )


def scale(deployed: Deployed, replicas: int) -> None:
    """Ask for another number of pods; does not wait."""
    with deployed.cluster.api() as client:
        body = {"spec": {"replicas": replicas}}
        k8s.AppsV1Api(client).patch_namespaced_deployment_scale(deployed.name, deployed.namespace, body)


def pods_left(deployed: Deployed) -> int:
    """How many pods of the workload the API still shows, whatever their state."""
    with deployed.cluster.api() as client:
        found: Any = k8s.CoreV1Api(client).list_namespaced_pod(
            deployed.namespace, label_selector=f"{WORKLOAD_LABEL}={deployed.name}", limit=1
        )
        return len(found.items) + int(found.metadata.remaining_item_count or 0)
