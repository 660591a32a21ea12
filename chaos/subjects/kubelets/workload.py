"""Pods of several shapes on one node, each for a way in which a restarted kubelet may get it wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import is_ready
from chaos.workloads.base import RUN_LABEL, WORKLOAD_LABEL, create_namespace, creating
from chaos.workloads.web import READY_WITHIN_S, Deployed

LABEL, VALUE = "kube-ordeal/rack", "a"  # of the node, for which one of the pods asks
GATE = "kube-ordeal/serves"  # the condition that somebody else than the kubelet keeps
PROBE_PERIOD_S = 10
# A shell that waits uses no CPU, and unlike a bare sleep as process 1 it obeys SIGTERM.
SCRIPT = "trap exit TERM; sleep 100000 & wait"
# A second is what many a probe takes, and long enough to be seen by who watches.
PROBE: Mapping[str, object] = {
    "exec": {"command": ["sleep", "1"]},
    "timeoutSeconds": 5,
    "periodSeconds": PROBE_PERIOD_S,
}


@dataclass(frozen=True, slots=True)
class Shapes:
    """Three bare pods on one node: `plain`; `sidecar`, with one beside its container; `affinity`, which asks for a
    label of the node.

    `probes`: readiness is what the kubelet's readiness probe says, and the sidecar has a startup probe. Without it a
    readiness gate says so, which is set from outside, and a hook of the sidecar's start is waited for.
    """

    node: str
    probes: bool = False
    name: str = "shapes"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create them, in a namespace of their own, and wait until all are Ready. Raises OrdealError."""
        pods = self.manifests(cluster)
        deployed = Deployed(self.name, namespace, "", len(pods), cluster)
        with cluster.api() as client, creating(self.name, cluster):
            core = k8s.CoreV1Api(client)
            create_namespace(core, namespace, {RUN_LABEL: run})
            for pod in pods:
                core.create_namespaced_pod(namespace, pod)
            if not self.probes:
                for pod in pods:
                    core.patch_namespaced_pod_status(pod["metadata"]["name"], namespace, _serves())
        eventually(lambda: ready(deployed), within_s=READY_WITHIN_S, what=f"the pods of {self.name} to be Ready")
        return deployed

    def manifests(self, cluster: Cluster) -> list[Any]:
        """The pods, as the API takes them."""
        image = cluster.images.busybox
        rack = {"key": LABEL, "operator": "In", "values": [VALUE]}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [rack]}]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
        started = {"startupProbe": PROBE} if self.probes else {"lifecycle": {"postStart": {"exec": PROBE["exec"]}}}
        sidecar = {**_container("sidecar", image), "restartPolicy": "Always", **started}
        return [
            self._pod("plain", image),
            self._pod("sidecar", image, {"initContainers": [sidecar]}),
            self._pod("affinity", image, {"affinity": affinity}),
        ]

    def _pod(self, name: str, image: str, more: Mapping[str, object] | None = None) -> dict[str, Any]:
        readiness = {"readinessProbe": PROBE} if self.probes else {}
        gates = {} if self.probes else {"readinessGates": [{"conditionType": GATE}]}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {WORKLOAD_LABEL: self.name}},
            "spec": {
                "nodeName": self.node,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": 5,
                "containers": [{**_container("main", image), **readiness}],
                "tolerations": [{"operator": "Exists"}],
                **gates,
                **(more or {}),
            },
        }


def ready(deployed: Deployed) -> bool:
    """Whether all of the pods are Ready now."""
    pods: Sequence[Any] = deployed.pods()
    return len(pods) == deployed.replicas and all(is_ready(pod.status) for pod in pods)


def _container(name: str, image: str) -> dict[str, Any]:
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", SCRIPT]}


def _serves() -> Any:
    """The gate's condition, as whoever knows whether the pod serves would set it."""
    return {"status": {"conditions": [{"type": GATE, "status": "True"}]}}
