"""Faults of pods: all of a workload's are deleted at the same time, as a careless controller does."""

from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from kubernetes.client import ApiClient, CoreV1Api

from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.faults.base import fault
from chaos.journal import Saved
from chaos.workloads.base import WORKLOAD_LABEL


@fault
@dataclass(frozen=True, slots=True)
class DeletePods:
    """Delete all pods of a workload with one request, so that all replacements start at once.

    There is nothing to put back: the workload's controller makes the replacements.
    """

    kind: ClassVar[str] = "delete-pods"
    needs: ClassVar[tuple[type, ...]] = ()
    namespace: str
    workload: str

    def plan(self, cluster: Cluster) -> Saved:
        with cluster.api() as client:
            there = _uids(client, self.namespace, self.workload)
        if not there:
            raise OrdealError(f"there is no pod of {self.workload} in namespace {self.namespace} to delete")
        return {"namespace": self.namespace, "workload": self.workload, "pods": len(there), "uids": list(there)}

    def apply(self, cluster: Cluster, saved: Saved) -> None:
        label = f"{WORKLOAD_LABEL}={saved['workload']}"
        with cluster.api() as client:
            CoreV1Api(client).delete_collection_namespaced_pod(
                str(saved["namespace"]), label_selector=label, _request_timeout=(3, 60)
            )

    def landed(self, cluster: Cluster, saved: Saved) -> bool:
        """Each pod that was there is gone, or marked for deletion."""
        with cluster.api() as client:
            there = _uids(client, str(saved["namespace"]), str(saved["workload"]))
        before = saved["uids"]
        assert isinstance(before, list)
        return all(there.get(str(uid), True) for uid in before)

    @staticmethod
    def undo(cluster: Cluster, saved: Saved) -> None:
        """Nothing: deleted pods don't come back, and their replacements are the controller's work."""

    @staticmethod
    def undone(cluster: Cluster, saved: Saved) -> bool:
        return True


def _uids(client: ApiClient, namespace: str, workload: str) -> dict[str, bool]:
    """The pods of the workload by uid, and whether each is marked for deletion."""
    answer: Any = CoreV1Api(client).list_namespaced_pod(
        namespace, label_selector=f"{WORKLOAD_LABEL}={workload}", _preload_content=False
    )
    metadata = [item["metadata"] for item in msgspec.json.decode(answer.data)["items"]]
    return {m["uid"]: "deletionTimestamp" in m for m in metadata}
