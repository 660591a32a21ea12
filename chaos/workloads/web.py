"""A web server in several replicas behind a Service: what goes on serving, or does not, while a fault lasts."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import told
from chaos.errors import OrdealError
from chaos.workloads.base import WORKLOAD_LABEL, create, creating, manifest

READY_WITHIN_S = 300.0  # these end when it is seen, and are for the slowest machine
GONE_WITHIN_S = 180.0
RESTARTED_AT = "kube-ordeal/restarted-at"
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"


@dataclass(frozen=True, slots=True)
class Web:
    """`tolerate_for_ever`: the pods tolerate not-ready and unreachable nodes without seconds, so that the taint
    eviction controller never deletes them (pkg/controller/tainteviction); else the cluster's defaults are put in by
    the DefaultTolerationSeconds admission plugin. `tolerate_s` > 0: for so many seconds, whatever the defaults are.

    `publish_not_ready`: the Service names pods that are not Ready too. The node life cycle controller marks the pods of
    lost nodes not Ready while they serve; without this a kube-proxy that hears of it rejects every connection.

    `at_least`: a PodDisruptionBudget keeps so many of them available through drains; 0 is none.
    """

    name: str = "web"
    replicas: int = 6
    tolerate_for_ever: bool = False
    tolerate_s: int = 0
    publish_not_ready: bool = False
    at_least: int = 0

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> "Deployed":
        """Create it, in a namespace of its own, and wait until every replica is Ready.

        Raises OrdealError, WaitedInVainError.
        """
        filled = manifest("web.yaml").substitute(
            name=self.name,
            namespace=namespace,
            run=run,
            replicas=self.replicas,
            image=cluster.images.busybox,
            publish_not_ready=json.dumps(self.publish_not_ready),
            tolerations=json.dumps(self._tolerations()),
        )
        with cluster.api() as client, creating(self.name, cluster):
            create(client, filled)
            if self.at_least:
                k8s.PolicyV1Api(client).create_namespaced_pod_disruption_budget(namespace, self._budget())
            service: Any = k8s.CoreV1Api(client).read_namespaced_service(self.name, namespace)
        deployed = Deployed(self.name, namespace, f"http://{service.spec.cluster_ip}/", self.replicas, cluster)
        eventually(deployed.ready, within_s=READY_WITHIN_S, what=f"{self.replicas} replicas of {self.name} to be Ready")
        return deployed

    def _tolerations(self) -> list[dict[str, object]]:
        if not self.tolerate_for_ever and not self.tolerate_s:
            return []
        seconds = {"tolerationSeconds": self.tolerate_s} if self.tolerate_s else {}
        named = ({"key": key, "operator": "Exists", "effect": "NoExecute"} for key in (NOT_READY, UNREACHABLE))
        return [{**each, **seconds} for each in named]

    def _budget(self) -> Any:
        selector = {"matchLabels": {WORKLOAD_LABEL: self.name}}
        return {"metadata": {"name": self.name}, "spec": {"minAvailable": self.at_least, "selector": selector}}


@dataclass(frozen=True, slots=True)
class Deployed:
    """A workload that runs: its name (the value of the label kube-ordeal/workload), its Service's URL."""

    name: str
    namespace: str
    url: str
    replicas: int
    cluster: Cluster

    def ready(self) -> bool:
        """Whether every replica is Ready now, and none is left over."""
        with self.cluster.api() as client:
            status: Any = k8s.AppsV1Api(client).read_namespaced_deployment_status(self.name, self.namespace).status
        return bool(status.ready_replicas == self.replicas and status.replicas == self.replicas)

    def pods(self) -> list[Any]:
        """The pods of the workload that the API shows, whatever their state."""
        with self.cluster.api() as client:
            found: Any = k8s.CoreV1Api(client).list_namespaced_pod(
                self.namespace, label_selector=f"{WORKLOAD_LABEL}={self.name}"
            )
        return list(found.items)

    def trouble(self) -> str:
        """Of the first pod that does not run: why it has no node, what it waits for, or its last lines."""
        for pod in self.pods():
            for condition in pod.status.conditions or []:
                if condition.type == "PodScheduled" and condition.status != "True":
                    return f"{pod.metadata.name} has no node: {condition.message}"
            where = f"{pod.metadata.name} on {pod.spec.node_name}"
            for container in pod.status.container_statuses or []:
                if container.ready:
                    continue
                waiting = container.state.waiting
                if waiting is not None and not container.restart_count:
                    return f"{where}: {waiting.reason}: {waiting.message or ''}"
                with self.cluster.api() as client:
                    log = k8s.CoreV1Api(client).read_namespaced_pod_log(pod.metadata.name, self.namespace, tail_lines=2)
                return f"{where} said: {str(log).strip()}"
        return "every pod says that it is well"

    def roll_out(self, *, within_s: float) -> None:
        """Replace every pod, as `kubectl rollout restart` does, and wait until all new ones are Ready.

        Raises WaitedInVainError.
        """
        template = {"metadata": {"annotations": {RESTARTED_AT: datetime.now(UTC).isoformat()}}}
        with self.cluster.api() as client:
            apps = k8s.AppsV1Api(client)
            apps.patch_namespaced_deployment(self.name, self.namespace, {"spec": {"template": template}})

            def replaced() -> bool:
                found: Any = apps.read_namespaced_deployment_status(self.name, self.namespace)
                status = found.status
                counts = (status.updated_replicas, status.ready_replicas, status.replicas)
                return status.observed_generation == found.metadata.generation and counts == (self.replicas,) * 3

            eventually(replaced, within_s=within_s, what=f"every replica of {self.name} to be a new one and Ready")


def remove_namespace(cluster: Cluster, namespace: str) -> None:
    """Delete a workload's namespace and wait until its pods are gone; one that is not there is no error.

    Raises OrdealError where the API server does not answer, WaitedInVainError where the pods stay.
    """
    with cluster.api() as client:
        core = k8s.CoreV1Api(client)
        try:
            core.delete_namespace(namespace)
        except (ApiException, HTTPError) as error:
            if not (isinstance(error, ApiException) and error.status in {404, 409}):
                why = f"namespace {namespace} can't be deleted on {cluster.ref.name}: {told(error)}"
                raise OrdealError(why) from error

        def gone() -> bool:
            return not core.list_namespaced_pod(namespace, limit=1).items  # of hundreds one is enough to know

        eventually(gone, within_s=GONE_WITHIN_S, what=f"the pods in namespace {namespace} to be gone")
