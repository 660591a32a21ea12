"""Endpoints of a Service that go, with and without their pods, and a Service that does."""

import json
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
from chaos.subjects.udp.workload import NO, SERVES, YES, find_pod, set_serves


class PodPlan(msgspec.Struct, frozen=True):
    """A pod: its uid tells it from a later one of its name."""

    namespace: str
    pod: str
    uid: str


@fault
@dataclass(frozen=True, slots=True)
class TakeOutOfService:
    """Take the label from a pod by which its Service finds it, as who looks into a faulty pod does: it runs on."""

    kind: ClassVar[str] = "take-out-of-service"
    counterpart: ClassVar[str] = "put_into_service"
    needs: ClassVar[tuple[type, ...]] = (RunsContainers,)
    uses: ClassVar[Uses] = Uses()
    namespace: str
    pod: str

    def plan(self, cluster: Cluster) -> PodPlan:
        return _planned(cluster, self.namespace, self.pod)

    def apply(self, cluster: Cluster, saved: PodPlan) -> None:
        set_serves(cluster, saved.namespace, saved.pod, NO)

    def landed(self, cluster: Cluster, saved: PodPlan) -> bool:
        """No endpoint of the namespace is that pod."""
        return not _is_endpoint(cluster, saved)

    @staticmethod
    def lasts(cluster: Cluster, saved: PodPlan) -> bool:
        return _serves(cluster, saved) != YES

    @staticmethod
    def undo(cluster: Cluster, saved: PodPlan) -> None:
        if _serves(cluster, saved) == NO:
            set_serves(cluster, saved.namespace, saved.pod, YES)

    @staticmethod
    def undone(cluster: Cluster, saved: PodPlan) -> bool:
        return _serves(cluster, saved) in {None, YES}


@fault
@dataclass(frozen=True, slots=True)
class LosePod:
    """Delete a pod at once, without a grace period. There is nothing to put back: it is the replay's own."""

    kind: ClassVar[str] = "lose-pod"
    counterpart: ClassVar[str] = "await_endpoint"
    needs: ClassVar[tuple[type, ...]] = (RunsContainers,)
    uses: ClassVar[Uses] = Uses()
    namespace: str
    pod: str

    def plan(self, cluster: Cluster) -> PodPlan:
        return _planned(cluster, self.namespace, self.pod)

    def apply(self, cluster: Cluster, saved: PodPlan) -> None:
        with cluster.api() as client:
            k8s.CoreV1Api(client).delete_namespaced_pod(saved.pod, saved.namespace, grace_period_seconds=0)

    def landed(self, cluster: Cluster, saved: PodPlan) -> bool:
        """It is gone, and no endpoint of the namespace is that pod."""
        return _serves(cluster, saved) is None and not _is_endpoint(cluster, saved)

    @staticmethod
    def lasts(cluster: Cluster, saved: PodPlan) -> None:
        """It is over when the pod is gone."""

    @staticmethod
    def undo(cluster: Cluster, saved: PodPlan) -> None:
        """Nothing."""

    @staticmethod
    def undone(cluster: Cluster, saved: PodPlan) -> bool:
        return True


def _planned(cluster: Cluster, namespace: str, name: str) -> PodPlan:
    pod = find_pod(cluster, namespace, name)
    if pod is None or (pod.metadata.labels or {}).get(SERVES) != YES:
        raise OrdealError(f"there is no pod {name} in namespace {namespace} with the label {SERVES}={YES}")
    return PodPlan(namespace, name, pod.metadata.uid)


def _serves(cluster: Cluster, saved: PodPlan) -> str | None:
    """The label of that very pod; None where it is gone."""
    pod = find_pod(cluster, saved.namespace, saved.pod)
    return None if pod is None or pod.metadata.uid != saved.uid else str((pod.metadata.labels or {}).get(SERVES, ""))


def _is_endpoint(cluster: Cluster, saved: PodPlan) -> bool:
    with cluster.api() as client:
        found = k8s.DiscoveryV1Api(client).list_namespaced_endpoint_slice(saved.namespace).items
    parts = [each for part in found for each in part.endpoints or []]
    ready = [each for each in parts if each.conditions is None or each.conditions.ready is not False]
    return any(each.target_ref is not None and each.target_ref.uid == saved.uid for each in ready)


class DeleteServicePlan(msgspec.Struct, frozen=True):
    """The Service, and as JSON its specification, with the address that it has, its labels and annotations; both are
    empty where an entry of an earlier version has none.
    """

    namespace: str
    name: str
    spec: str
    labels: str = ""
    annotations: str = ""


@fault
@dataclass(frozen=True, slots=True)
class DeleteService:
    """Delete a Service of the type ClusterIP; undo makes it again, with the address that it had.

    One without a selector is refused: its endpoints are somebody's own, and nobody would make them again. Where its
    namespace is gone, or about to go, there is nothing to make again.
    """

    kind: ClassVar[str] = "delete-service"
    counterpart: ClassVar[str] = "create_service"
    needs: ClassVar[tuple[type, ...]] = ()
    uses: ClassVar[Uses] = Uses()
    namespace: str
    name: str

    def plan(self, cluster: Cluster) -> DeleteServicePlan:
        found = _service(cluster, self.namespace, self.name)
        if found is None or found["spec"].get("type") != "ClusterIP":
            raise OrdealError(f"there is no Service {self.name} of the type ClusterIP in namespace {self.namespace}")
        if not found["spec"].get("selector"):
            raise OrdealError(f"the Service {self.name} has no selector: its endpoints would not be made again")
        told = found["metadata"]
        kept = (json.dumps(told.get(part) or {}) for part in ("labels", "annotations"))
        return DeleteServicePlan(self.namespace, self.name, json.dumps(found["spec"]), *kept)

    def apply(self, cluster: Cluster, saved: DeleteServicePlan) -> None:
        with cluster.api() as client:
            k8s.CoreV1Api(client).delete_namespaced_service(saved.name, saved.namespace)

    def landed(self, cluster: Cluster, saved: DeleteServicePlan) -> bool:
        """It is gone, and its endpoints with it."""
        label = f"kubernetes.io/service-name={saved.name}"
        with cluster.api() as client:
            found = k8s.DiscoveryV1Api(client).list_namespaced_endpoint_slice(saved.namespace, label_selector=label)
        return not found.items and DeleteService.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: Cluster, saved: DeleteServicePlan) -> bool:
        return _service(cluster, saved.namespace, saved.name) is None

    @staticmethod
    def undo(cluster: Cluster, saved: DeleteServicePlan) -> None:
        if not DeleteService.undone(cluster, saved):
            parts = {"labels": saved.labels, "annotations": saved.annotations}
            told = {part: json.loads(text) for part, text in parts.items() if text}
            body: Any = {"metadata": {"name": saved.name, **told}, "spec": json.loads(saved.spec)}
            with cluster.api() as client:
                k8s.CoreV1Api(client).create_namespaced_service(saved.namespace, body)

    @staticmethod
    def undone(cluster: Cluster, saved: DeleteServicePlan) -> bool:
        """It is there, or its namespace is not to stay."""
        return not DeleteService.lasts(cluster, saved) or _goes(cluster, saved.namespace)


def _service(cluster: Cluster, namespace: str, name: str) -> dict[str, Any] | None:
    """A Service as the API has it; None where there is none."""
    with cluster.api() as client:
        try:
            found = k8s.CoreV1Api(client).read_namespaced_service(name, namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        service: dict[str, Any] = client.sanitize_for_serialization(found)
    return service


def _goes(cluster: Cluster, namespace: str) -> bool:
    """Whether a namespace is gone, or being deleted: nothing can be made in it."""
    with cluster.api() as client:
        try:
            found: Any = k8s.CoreV1Api(client).read_namespace(namespace)
        except ApiException as error:
            if error.status == 404:
                return True
            raise
    return found.metadata.deletion_timestamp is not None
