"""A web server whose pods go on serving for a pause when they are to end, by a ClusterIP and by ports of the nodes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_list
from chaos.subjects.ghosts.records import EndpointState
from chaos.workloads.base import RUN_LABEL, WORKLOAD_LABEL, create_namespace, creating
from chaos.workloads.web import READY_WITHIN_S, RESTARTED_AT, Deployed

PORT = 8080
SERVICE_LABEL = "kubernetes.io/service-name"  # of an EndpointSlice
LOCAL = "local"  # the end of the name of the Service whose ports lead to endpoints of their own node only
SERVER = "mkdir -p /tmp/www; hostname > /tmp/www/index.html; trap 'exit 0' TERM; httpd -f -p 8080 -h /tmp/www & wait"


@dataclass(frozen=True, slots=True)
class Going:
    """`pause_s`: for so many seconds a pod that is to end goes on serving (its preStop hook); 0 is no hook, and its
    server ends with SIGTERM at once. Its Service is of the type NodePort; another one of the same pods, of the name
    that `local_service` says, has externalTrafficPolicy Local.
    """

    pause_s: int
    replicas: int
    name: str = "going"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it, in a namespace of its own, and wait until every replica is Ready. Raises OrdealError."""
        with cluster.api() as client, creating(self.name, cluster):
            core = k8s.CoreV1Api(client)
            create_namespace(core, namespace, {RUN_LABEL: run})
            made: Any = core.create_namespaced_service(namespace, _service(self.name, self.name, "Cluster"))
            core.create_namespaced_service(namespace, _service(self.name, local_service(self.name), "Local"))
            k8s.AppsV1Api(client).create_namespaced_deployment(namespace, self._deployment(cluster.images.busybox))
        deployed = Deployed(self.name, namespace, f"http://{made.spec.cluster_ip}/", self.replicas, cluster)
        eventually(deployed.ready, within_s=READY_WITHIN_S, what=f"{self.replicas} replicas of {self.name} to be Ready")
        return deployed

    def _deployment(self, image: str) -> Any:
        labels = {WORKLOAD_LABEL: self.name}
        container: dict[str, Any] = {
            "name": "web",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-ec", SERVER],
            "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1},
        }
        if self.pause_s:
            container["lifecycle"] = {"preStop": {"sleep": {"seconds": self.pause_s}}}
        spread = {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels},
        }
        pod = {
            "terminationGracePeriodSeconds": self.pause_s + 10,
            "topologySpreadConstraints": [spread],
            "containers": [container],
        }
        return {
            "metadata": {"name": self.name, "labels": labels},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                # All at once: each node's endpoints are going at the same time.
                "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }


def local_service(name: str) -> str:
    """The name of the workload's Service with externalTrafficPolicy Local."""
    return f"{name}-{LOCAL}"


def node_port(deployed: Deployed, service: str) -> int:
    """The port of each node that leads to a Service of the workload. Raises ApiException."""
    with deployed.cluster.api() as client:
        found: Any = k8s.CoreV1Api(client).read_namespaced_service(service, deployed.namespace)
    return int(found.spec.ports[0].node_port)


def endpoint_states(client: ApiClient, deployed: Deployed) -> tuple[EndpointState, ...]:
    """All endpoints of the workload's Service, in the order of their addresses. Raises ApiException, HTTPError."""
    parts = raw_list(client, f"/apis/discovery.k8s.io/v1/namespaces/{deployed.namespace}/endpointslices")
    ours = [part for part in parts if part["metadata"]["labels"][SERVICE_LABEL] == deployed.name]
    states = []
    for each in (each for part in ours for each in part.get("endpoints") or []):
        said = each.get("conditions") or {}
        ready = said.get("ready") is not False
        serving = ready if said.get("serving") is None else bool(said["serving"])
        node, terminating = each.get("nodeName") or "", bool(said.get("terminating"))
        states += [EndpointState(address, node, ready, serving, terminating) for address in each["addresses"]]
    return tuple(sorted(states, key=lambda state: state.address))


def begin_rollout(deployed: Deployed) -> None:
    """Have every pod replaced, as `kubectl rollout restart` does; nothing is waited for."""
    template = {"metadata": {"annotations": {RESTARTED_AT: datetime.now(UTC).isoformat()}}}
    with deployed.cluster.api() as client:
        k8s.AppsV1Api(client).patch_namespaced_deployment(
            deployed.name, deployed.namespace, {"spec": {"template": template}}
        )


def scale(deployed: Deployed, replicas: int) -> None:
    """Have so many replicas; nothing is waited for."""
    with deployed.cluster.api() as client:
        k8s.AppsV1Api(client).patch_namespaced_deployment(
            deployed.name, deployed.namespace, {"spec": {"replicas": replicas}}
        )


def settled(deployed: Deployed, replicas: int) -> bool:
    """Whether there are so many pods, all of them Ready, of the newest template, and none that is going."""
    with deployed.cluster.api() as client:
        found: Any = k8s.AppsV1Api(client).read_namespaced_deployment_status(deployed.name, deployed.namespace)
    status = found.status
    counts = (status.updated_replicas, status.ready_replicas, status.replicas)
    if status.observed_generation != found.metadata.generation or counts != (replicas,) * 3:
        return False
    return len(deployed.pods()) == replicas


def _service(workload: str, name: str, policy: str) -> Any:
    ports = [{"port": 80, "targetPort": PORT}]
    spec = {
        "type": "NodePort",
        "externalTrafficPolicy": policy,
        "selector": {WORKLOAD_LABEL: workload},
        "ports": ports,
    }
    return {"metadata": {"name": name}, "spec": spec}
