"""A Deployment without a replica."""

from dataclasses import dataclass
from typing import Any, ClassVar

from kubernetes.client import AppsV1Api, CoreV1Api
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import Cluster, RunsContainers
from chaos.errors import OrdealError
from chaos.faults.base import fault
from chaos.journal import Saved


@fault
@dataclass(frozen=True, slots=True)
class ScaleToZero:
    """Take a Deployment ("namespace/name", such as the cluster's DNS) down to no replica.

    It has landed when no pod of it is left. Undo gives it the replicas that it had, and is done when they are Ready.
    """

    kind: ClassVar[str] = "scale-to-zero"
    needs: ClassVar[tuple[type, ...]] = (RunsContainers,)
    deployment: str = "kube-system/coredns"

    def plan(self, cluster: Cluster) -> Saved:
        namespace, _, name = self.deployment.partition("/")
        if not namespace or not name:
            raise OrdealError(f"{self.deployment!r} names no Deployment: say NAMESPACE/NAME")
        try:
            found = _read(cluster, namespace, name)
        except ApiException as error:
            raise OrdealError(f"there is no Deployment {name} in namespace {namespace} ({error.status})") from error
        if not found.spec.replicas:
            raise OrdealError(f"Deployment {self.deployment} has no replica already, so nothing could be taken from it")
        return {"namespace": namespace, "name": name, "replicas": found.spec.replicas}

    def apply(self, cluster: Cluster, saved: Saved) -> None:
        _scale(cluster, saved, 0)

    def landed(self, cluster: Cluster, saved: Saved) -> bool:
        found = _read(cluster, str(saved["namespace"]), str(saved["name"]))
        selector = ",".join(f"{key}={value}" for key, value in found.spec.selector.match_labels.items())
        with cluster.api() as client:
            pods: Any = CoreV1Api(client).list_namespaced_pod(str(saved["namespace"]), label_selector=selector)
        return not pods.items

    @staticmethod
    def undo(cluster: Cluster, saved: Saved) -> None:
        _scale(cluster, saved, int(str(saved["replicas"])))

    @staticmethod
    def undone(cluster: Cluster, saved: Saved) -> bool:
        found = _read(cluster, str(saved["namespace"]), str(saved["name"]))
        return bool(found.spec.replicas == saved["replicas"] == found.status.ready_replicas)


def _read(cluster: Cluster, namespace: str, name: str) -> Any:
    with cluster.api() as client:
        return AppsV1Api(client).read_namespaced_deployment(name, namespace)


def _scale(cluster: Cluster, saved: Saved, replicas: int) -> None:
    change = {"spec": {"replicas": replicas}}
    with cluster.api() as client:
        AppsV1Api(client).patch_namespaced_deployment_scale(str(saved["name"]), str(saved["namespace"]), change)
