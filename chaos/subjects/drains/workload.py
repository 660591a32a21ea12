"""Pods that budgets guard, on simulated nodes: of which some crash, some take their time to end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.workloads.base import RUN_LABEL, WORKLOAD_LABEL, create_namespace, creating
from chaos.workloads.web import Deployed

CRASHES, ENDS_AFTER = "kube-ordeal/crashes", "kube-ordeal/ends-after"  # as manifests/simulated/kubelets.yaml has them
RUN_WITHIN_S = 120.0  # ends when it is seen, and is for the slowest machine
ALWAYS_ALLOW = "AlwaysAllow"


@dataclass(frozen=True, slots=True)
class PodBudget:
    """A PodDisruptionBudget: how many pods it keeps, a number or a share such as "100%".

    `unhealthy`: its unhealthyPodEvictionPolicy (KEP-3017); "" leaves the default, IfHealthyBudget.
    """

    keeps: int | str
    unhealthy: str = ""

    def spec(self, selector: Mapping[str, str]) -> dict[str, object]:
        """As the API has it."""
        policy = {"unhealthyPodEvictionPolicy": self.unhealthy} if self.unhealthy else {}
        return {"minAvailable": self.keeps, "selector": {"matchLabels": dict(selector)}, **policy}


@dataclass(frozen=True, slots=True)
class GuardedPods:
    """A StatefulSet, which makes a pod again only when the old one is gone, under budgets. It is spread evenly.

    `crashes`: its pods run and are never Ready. `ends_after_s`: how long a pod takes to end.
    """

    name: str
    replicas: int
    budgets: tuple[PodBudget, ...]
    crashes: bool = False
    ends_after_s: int = 0

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it, in a namespace of its own, and wait until its pods are as they are to be, and its budgets known.

        Raises OrdealError, WaitedInVainError.
        """
        with cluster.api() as client, creating(self.name, cluster):
            create_namespace(k8s.CoreV1Api(client), namespace, {RUN_LABEL: run})
            k8s.AppsV1Api(client).create_namespaced_stateful_set(namespace, self._body(cluster))
            for number, budget in enumerate(self.budgets, 1):
                body: Any = {"metadata": {"name": f"{self.name}-{number}"}, "spec": budget.spec(self._labels)}
                k8s.PolicyV1Api(client).create_namespaced_pod_disruption_budget(namespace, body)
        deployed = Deployed(self.name, namespace, "", self.replicas, cluster)
        what = f"{self.replicas} pods of {self.name} to run, and their budgets to count them"
        eventually(lambda: self.settled(deployed), within_s=RUN_WITHIN_S, what=what)
        return deployed

    def settled(self, deployed: Deployed) -> bool:
        """Whether each pod is there as it is to be, and each budget counts them."""
        pods = deployed.pods()
        runs = [p for p in pods if p.metadata.deletion_timestamp is None and p.status.phase == "Running"]
        ready = sum(c.type == "Ready" and c.status == "True" for p in runs for c in p.status.conditions or ())
        healthy = 0 if self.crashes else self.replicas
        if (len(pods), len(runs), ready) != (self.replicas, self.replicas, healthy):
            return False
        with deployed.cluster.api() as client:
            budgets: Any = k8s.PolicyV1Api(client).list_namespaced_pod_disruption_budget(deployed.namespace)
        counted = [(b.status.expected_pods, b.status.current_healthy) for b in budgets.items if b.status]
        return counted == [(self.replicas, healthy)] * len(self.budgets)

    @property
    def _labels(self) -> dict[str, str]:
        return {WORKLOAD_LABEL: self.name}

    def _body(self, cluster: Cluster) -> Any:
        annotations = {CRASHES: ""} if self.crashes else {}
        annotations |= {ENDS_AFTER: f"{self.ends_after_s}s"} if self.ends_after_s else {}
        spread = {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "nodeTaintsPolicy": "Honor",  # a cordoned node is none to be spread over
            "labelSelector": {"matchLabels": self._labels},
        }
        pod = {
            "terminationGracePeriodSeconds": max(2, 2 * self.ends_after_s),
            "topologySpreadConstraints": [spread],
            "containers": [{"name": "runs", "image": cluster.images.busybox}],
        }
        return {
            "metadata": {"name": self.name, "labels": self._labels},
            "spec": {
                "replicas": self.replicas,
                "serviceName": self.name,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": self._labels},
                "template": {"metadata": {"labels": self._labels, "annotations": annotations}, "spec": pod},
            },
        }


def is_empty(cluster: Cluster, node: str) -> bool:
    """Whether no pod of our workloads is on a node, not even one on its way out."""
    with cluster.api() as client:
        pods: Any = k8s.CoreV1Api(client).list_pod_for_all_namespaces(
            label_selector=WORKLOAD_LABEL, field_selector=f"spec.nodeName={node}", limit=1
        )
    return not pods.items
