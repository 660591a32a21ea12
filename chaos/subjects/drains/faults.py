"""Pods that do not end: each has a finalizer, and whoever is to take that off does not."""

from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses

FINALIZER = "kube-ordeal/held"


class HoldPodsPlan(msgspec.Struct, frozen=True):
    """The namespace, and its pods by name."""

    namespace: str
    pods: tuple[str, ...]


@fault
@dataclass(frozen=True, slots=True)
class HoldPods:
    """Give each pod of a namespace a finalizer: it ends, and stays. Undo takes the finalizer off, and it goes."""

    kind: ClassVar[str] = "hold-pods"
    counterpart: ClassVar[str] = "let_pods_go"
    needs: ClassVar[tuple[type, ...]] = ()
    uses: ClassVar[Uses] = Uses()
    namespace: str

    def plan(self, cluster: Cluster) -> HoldPodsPlan:
        pods = _pods(cluster, self.namespace)
        if not pods:
            raise OrdealError(f"there is no pod in namespace {self.namespace} that could be held")
        return HoldPodsPlan(self.namespace, tuple(pod.metadata.name for pod in pods))

    def apply(self, cluster: Cluster, saved: HoldPodsPlan) -> None:
        with cluster.api() as client:
            for name in saved.pods:
                change = {"metadata": {"finalizers": [FINALIZER]}}
                k8s.CoreV1Api(client).patch_namespaced_pod(name, saved.namespace, change)

    def landed(self, cluster: Cluster, saved: HoldPodsPlan) -> bool:
        """Each of them has it."""
        return {pod.metadata.name for pod in _held(cluster, saved.namespace)} == {*saved.pods}

    @staticmethod
    def lasts(cluster: Cluster, saved: HoldPodsPlan) -> bool:
        return bool(_held(cluster, saved.namespace))

    @staticmethod
    def undo(cluster: Cluster, saved: HoldPodsPlan) -> None:
        with cluster.api() as client:
            for pod in _held(cluster, saved.namespace):
                left = [each for each in pod.metadata.finalizers if each != FINALIZER]
                change = [{"op": "replace", "path": "/metadata/finalizers", "value": left}]
                try:
                    k8s.CoreV1Api(client).patch_namespaced_pod(pod.metadata.name, saved.namespace, change)
                except ApiException as error:
                    if error.status != 404:
                        raise

    @staticmethod
    def undone(cluster: Cluster, saved: HoldPodsPlan) -> bool:
        return not _held(cluster, saved.namespace)


def _pods(cluster: Cluster, namespace: str) -> list[Any]:
    with cluster.api() as client:
        pods: Any = k8s.CoreV1Api(client).list_namespaced_pod(namespace)
    return list(pods.items)


def _held(cluster: Cluster, namespace: str) -> list[Any]:
    return [pod for pod in _pods(cluster, namespace) if FINALIZER in (pod.metadata.finalizers or ())]
