"""Faults of pods: all of a workload's are deleted at the same time, as a careless controller does."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.clusters.way.answers import objects
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.daemon import GONE, STOPPED, process_state, state_now
from chaos.harm.target import ready_worker
from chaos.harm.uses import Uses
from chaos.workloads.base import WORKLOAD_LABEL


class DeletePodsPlan(msgspec.Struct, frozen=True):
    """The workload, the number of its pods, and the UID of each."""

    namespace: str
    workload: str
    pods: int
    uids: tuple[str, ...]


@fault
@dataclass(frozen=True, slots=True)
class DeletePods:
    """Delete all pods of a workload with one request, so that all replacements start at once.

    There is nothing to put back: the workload's controller makes the replacements.
    """

    kind: ClassVar[str] = "delete-pods"
    counterpart: ClassVar[str] = "await_replacements"
    needs: ClassVar[tuple[type, ...]] = ()
    uses: ClassVar[Uses] = Uses()
    namespace: str
    workload: str

    def plan(self, cluster: Cluster) -> DeletePodsPlan:
        with cluster.api() as client:
            there = _uids(client, self.namespace, self.workload)
        if not there:
            raise OrdealError(f"there is no pod of {self.workload} in namespace {self.namespace} to delete")
        return DeletePodsPlan(self.namespace, self.workload, len(there), tuple(there))

    def apply(self, cluster: Cluster, saved: DeletePodsPlan) -> None:
        label = f"{WORKLOAD_LABEL}={saved.workload}"
        with cluster.api() as client:
            k8s.CoreV1Api(client).delete_collection_namespaced_pod(
                saved.namespace, label_selector=label, _request_timeout=(3, 60)
            )

    def landed(self, cluster: Cluster, saved: DeletePodsPlan) -> bool:
        """Each pod that was there is gone, or marked for deletion."""
        with cluster.api() as client:
            there = _uids(client, saved.namespace, saved.workload)
        return all(there.get(uid, True) for uid in saved.uids)

    @staticmethod
    def lasts(cluster: Cluster, saved: DeletePodsPlan) -> None:
        """Nobody looks: once they are deleted it is over."""

    @staticmethod
    def undo(cluster: Cluster, saved: DeletePodsPlan) -> None:
        """Nothing: deleted pods don't come back, and their replacements are the controller's work."""

    @staticmethod
    def undone(cluster: Cluster, saved: DeletePodsPlan) -> bool:
        return True


def _uids(client: ApiClient, namespace: str, workload: str) -> dict[str, bool]:
    """The pods of the workload by uid, and whether each is marked for deletion."""
    answer: Any = k8s.CoreV1Api(client).list_namespaced_pod(
        namespace, label_selector=f"{WORKLOAD_LABEL}={workload}", _preload_content=False
    )
    metadata = [item["metadata"] for item in objects(answer.data, client.configuration.host)]
    return {m["uid"]: "deletionTimestamp" in m for m in metadata}


UNIT = "containerd"


class _Node(Cluster, NodeExec, Protocol): ...


class StallRuntimePlan(msgspec.Struct, frozen=True):
    """containerd's process; `started`: in clock ticks since boot."""

    node: str
    pid: int
    started: str


@fault
@dataclass(frozen=True, slots=True)
class StallRuntime:
    """Stop containerd with SIGSTOP, so that it takes connections and answers none; undo lets it go on."""

    kind: ClassVar[str] = "stall-runtime"
    counterpart: ClassVar[str] = "resume_runtime"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(programs=("kill", "systemctl"))
    node: str

    def plan(self, cluster: _Node) -> StallRuntimePlan:
        ready_worker(cluster, self.node, "its runtime can't be stalled")
        shown = cluster.node_exec(self.node, ["systemctl", "show", "--property", "MainPID", "--value", UNIT])
        pid = int(shown.out.strip() or "0")
        state, started = process_state(cluster, self.node, pid)
        if state in {GONE, STOPPED}:
            how = "does not run" if state == GONE else "stands still already"
            raise OrdealError(f"{UNIT} on {self.node} {how}: run `kube-ordeal undo` first")
        return StallRuntimePlan(self.node, pid, started)

    def apply(self, cluster: _Node, saved: StallRuntimePlan) -> None:
        cluster.node_exec(saved.node, ["kill", "-STOP", str(saved.pid)])

    def landed(self, cluster: _Node, saved: StallRuntimePlan) -> bool:
        return StallRuntime.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Node, saved: StallRuntimePlan) -> bool:
        return state_now(cluster, saved.node, saved.pid, saved.started) == STOPPED

    @staticmethod
    def undo(cluster: _Node, saved: StallRuntimePlan) -> None:
        if state_now(cluster, saved.node, saved.pid, saved.started) == STOPPED:
            cluster.node_exec(saved.node, ["kill", "-CONT", str(saved.pid)])

    @staticmethod
    def undone(cluster: _Node, saved: StallRuntimePlan) -> bool:
        return state_now(cluster, saved.node, saved.pid, saved.started) != STOPPED
