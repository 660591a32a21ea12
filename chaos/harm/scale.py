"""A Deployment has no replica for a while."""

from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import RunsContainers
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses


class ScaleToZeroPlan(msgspec.Struct, frozen=True):
    """The Deployment, and the replicas that it had."""

    namespace: str
    name: str
    replicas: int


@fault
@dataclass(frozen=True, slots=True)
class ScaleToZero:
    """Take a Deployment ("namespace/name", such as the cluster's DNS) down to no replica.

    It has landed when no pod of it is left. Undo gives it the replicas that it had, and is done when they are Ready.
    """

    kind: ClassVar[str] = "scale-to-zero"
    counterpart: ClassVar[str] = "scale_back"
    needs: ClassVar[tuple[type, ...]] = (RunsContainers,)
    uses: ClassVar[Uses] = Uses()
    deployment: str = "kube-system/coredns"

    def plan(self, cluster: Cluster) -> ScaleToZeroPlan:
        namespace, _, name = self.deployment.partition("/")
        if not namespace or not name:
            raise OrdealError(f"{self.deployment!r} names no Deployment: say NAMESPACE/NAME")
        try:
            found = _read(cluster, namespace, name)
        except ApiException as error:
            raise OrdealError(f"there is no Deployment {name} in namespace {namespace} ({error.status})") from error
        if not found.spec.replicas:
            raise OrdealError(f"Deployment {self.deployment} has no replica already, so nothing could be taken from it")
        return ScaleToZeroPlan(namespace, name, found.spec.replicas)

    def apply(self, cluster: Cluster, saved: ScaleToZeroPlan) -> None:
        _scale(cluster, saved, 0)

    def landed(self, cluster: Cluster, saved: ScaleToZeroPlan) -> bool:
        found = _read(cluster, saved.namespace, saved.name)
        selector = ",".join(f"{key}={value}" for key, value in found.spec.selector.match_labels.items())
        with cluster.api() as client:
            pods: Any = k8s.CoreV1Api(client).list_namespaced_pod(saved.namespace, label_selector=selector)
        return not pods.items

    @staticmethod
    def lasts(cluster: Cluster, saved: ScaleToZeroPlan) -> bool:
        return bool(_read(cluster, saved.namespace, saved.name).spec.replicas == 0)

    @staticmethod
    def undo(cluster: Cluster, saved: ScaleToZeroPlan) -> None:
        _scale(cluster, saved, saved.replicas)

    @staticmethod
    def undone(cluster: Cluster, saved: ScaleToZeroPlan) -> bool:
        found = _read(cluster, saved.namespace, saved.name)
        return bool(found.spec.replicas == saved.replicas == found.status.ready_replicas)


def _read(cluster: Cluster, namespace: str, name: str) -> Any:
    with cluster.api() as client:
        return k8s.AppsV1Api(client).read_namespaced_deployment(name, namespace)


def _scale(cluster: Cluster, saved: ScaleToZeroPlan, replicas: int) -> None:
    change = {"spec": {"replicas": replicas}}
    with cluster.api() as client:
        k8s.AppsV1Api(client).patch_namespaced_deployment_scale(saved.name, saved.namespace, change)
