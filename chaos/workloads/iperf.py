"""iperf3 on every node, in the node's network and in the pod network: what links between nodes are measured with."""

from collections.abc import Callable
from dataclasses import dataclass
from string import Template
from typing import Any

import yaml
from kubernetes.client import ApiClient, AppsV1Api, CoreV1Api
from kubernetes.utils import create_from_dict

from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.hosts.places import manifests_dir
from chaos.waiting import WaitedInVainError, eventually
from chaos.workloads.base import WORKLOAD_LABEL
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

        Raises OrdealError with what a server said that does not run (a port that is taken).
        """
        filled = Template((manifests_dir() / "iperf3.yaml").read_text()).safe_substitute(
            name=self.name,
            namespace=namespace,
            run=run,
            image=self.image,
            node_port=NODE_PORT,
            pod_port=POD_PORT,
        )
        with cluster.api() as client:
            try:
                create: Callable[[ApiClient, object], object] = create_from_dict
                for manifest in yaml.safe_load_all(filled):
                    create(client, manifest)
            except Exception as error:
                raise OrdealError(
                    f"the workload {self.name} can't be created on {cluster.ref.name}: {error}"
                ) from error
        nodes = len(cluster.nodes())
        deployed = Deployed(self.name, namespace, "", 2 * nodes, cluster)

        def ready() -> bool:
            with cluster.api() as client:
                sets: Any = AppsV1Api(client).list_namespaced_daemon_set(namespace).items
            return len(sets) == 2 and all(s.status.number_ready == nodes for s in sets)

        try:
            eventually(ready, within_s=READY_WITHIN_S, what=f"{self.name} to run on {nodes} nodes in both networks")
        except WaitedInVainError as error:
            raise OrdealError(f"{error}; {_trouble(deployed)}") from error
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
    with deployed.cluster.api() as client:
        pods: Any = CoreV1Api(client).list_namespaced_pod(deployed.namespace, label_selector=_selector(deployed)).items
    found = []
    for pod in pods:
        layer = pod.metadata.labels[LAYER_LABEL]
        if not pod.status.pod_ip:
            raise OrdealError(f"pod {deployed.namespace}/{pod.metadata.name} has no address")
        found.append(
            Server(pod.spec.node_name, layer, deployed.namespace, pod.metadata.name, pod.status.pod_ip, PORTS[layer])
        )
    return tuple(sorted(found, key=lambda s: (s.layer, s.node)))


def _selector(deployed: Deployed) -> str:
    return f"{WORKLOAD_LABEL}={deployed.name}"


def _trouble(deployed: Deployed) -> str:
    """The last line of a server that has ended, or why one is not scheduled."""
    with deployed.cluster.api() as client:
        core = CoreV1Api(client)
        pods: Any = core.list_namespaced_pod(deployed.namespace, label_selector=_selector(deployed)).items
        for pod in pods:
            status = pod.status
            for condition in status.conditions or []:
                if condition.type == "PodScheduled" and condition.status != "True":
                    return f"{pod.metadata.name} has no node: {condition.message}"
            for container in status.container_statuses or []:
                if container.ready:
                    continue
                waiting = container.state.waiting
                if waiting is not None and not container.restart_count:
                    return f"{pod.metadata.name} on {pod.spec.node_name}: {waiting.reason}: {waiting.message or ''}"
                log = str(core.read_namespaced_pod_log(pod.metadata.name, deployed.namespace, tail_lines=2))
                return f"{pod.metadata.name} on {pod.spec.node_name} said: {log.strip()}"
    return "every pod says that it is well"
