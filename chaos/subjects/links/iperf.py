"""iperf3 on every node, in the node's network and in the pod network: what links between nodes are measured with."""

from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.workloads.base import create, creating, manifest
from chaos.workloads.ports import check_free
from chaos.workloads.web import Deployed

NODE_PORT, POD_PORT = 30391, 5201  # the former inside Kubernetes' NodePort range, where no daemon of a node listens
PORTS = {"node": NODE_PORT, "pod": POD_PORT}
LAYER_LABEL = "kube-ordeal/layer"
READY_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Iperf:
    """A DaemonSet for each of the two networks; nothing is measured by itself."""

    image: str
    name: str = "iperf3"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it, in a namespace of its own, and wait until a server runs on every node in both networks.

        Raises OrdealError where a node's port is taken, before anything is made, and with what a server said that does
        not run.
        """
        check_free(cluster, [n.name for n in cluster.nodes()], [NODE_PORT], "iperf3")
        filled = manifest("iperf3.yaml").safe_substitute(
            name=self.name,
            namespace=namespace,
            run=run,
            image=self.image,
            node_port=NODE_PORT,
            pod_port=POD_PORT,
        )
        with cluster.api() as client, creating(self.name, cluster):
            create(client, filled)
        nodes = len(cluster.nodes())
        deployed = Deployed(self.name, namespace, "", 2 * nodes, cluster)

        def ready() -> bool:
            with cluster.api() as client:
                sets: Any = k8s.AppsV1Api(client).list_namespaced_daemon_set(namespace).items
            return len(sets) == 2 and all(s.status.number_ready == nodes for s in sets)

        try:
            eventually(ready, within_s=READY_WITHIN_S, what=f"{self.name} to run on {nodes} nodes in both networks")
        except WaitedInVainError as error:
            raise OrdealError(f"{error}; {deployed.trouble()}") from error
        return deployed


@dataclass(frozen=True, slots=True)
class Server:
    """One iperf3 server: its pod, in which clients are run too, and where it listens."""

    node: str
    layer: str
    namespace: str
    pod: str
    address: str
    port: int


def servers(deployed: Deployed) -> tuple[Server, ...]:
    """The servers, by layer and node. Raises OrdealError where a pod has no address."""
    found = []
    for pod in deployed.pods():
        layer = pod.metadata.labels[LAYER_LABEL]
        if not pod.status.pod_ip:
            raise OrdealError(f"pod {deployed.namespace}/{pod.metadata.name} has no address")
        found.append(
            Server(pod.spec.node_name, layer, deployed.namespace, pod.metadata.name, pod.status.pod_ip, PORTS[layer])
        )
    return tuple(sorted(found, key=lambda s: (s.layer, s.node)))
