"""Faults of a node's kubelet and of the containers that it runs: it is restarted, they are killed."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s

from chaos.clusters.abilities import NodeExec, RunsContainers
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Capability, Uses
from chaos.subjects.kubelets.records import RunningContainer
from chaos.subjects.kubelets.sampler import look
from chaos.workloads.base import WORKLOAD_LABEL

UNIT = "kubelet"
RESTART, KILL = WAYS = ("restart", "kill")


class _Reached(Cluster, NodeExec, Protocol): ...


class _Runs(Cluster, NodeExec, RunsContainers, Protocol): ...


class RestartKubeletPlan(msgspec.Struct, frozen=True):
    """The kubelet's process as it was; `start`: in clock ticks since boot."""

    node: str
    pid: int
    start: int


@fault
@dataclass(frozen=True, slots=True)
class RestartKubelet:
    """Restart a worker's kubelet: `how` is "restart", as systemd does it, or "kill" (SIGKILL), after which systemd
    starts it again. It has landed when another process is the kubelet; undo sees to it that there is one.
    """

    kind: ClassVar[str] = "restart-kubelet"
    counterpart: ClassVar[str] = "start_kubelet"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(capabilities=(Capability.KILL,), programs=("kill", "systemctl"))
    node: str
    how: str = RESTART

    def plan(self, cluster: _Reached) -> RestartKubeletPlan:
        if self.how not in WAYS:
            raise OrdealError(f"a kubelet can't be restarted by {self.how!r}: say one of {', '.join(WAYS)}")
        ready_worker(cluster, self.node, "its kubelet is not restarted")
        _, (pid, start) = look(cluster, self.node)
        if not pid:
            raise OrdealError(f"no kubelet runs on {self.node} as systemd's unit {UNIT}: name another node")
        return RestartKubeletPlan(self.node, pid, start)

    def apply(self, cluster: _Reached, saved: RestartKubeletPlan) -> None:
        if self.how == KILL:
            cluster.node_exec(saved.node, ["kill", "-KILL", str(saved.pid)])
            return
        cluster.node_exec(saved.node, ["systemctl", "restart", UNIT], timeout_s=60)

    def landed(self, cluster: _Reached, saved: RestartKubeletPlan) -> bool:
        """The kernel has another process as the kubelet."""
        _, now = look(cluster, saved.node)
        return now[0] > 0 and now != (saved.pid, saved.start)

    @staticmethod
    def lasts(cluster: _Reached, saved: RestartKubeletPlan) -> None:
        """It is over when the new one runs."""

    @staticmethod
    def undo(cluster: _Reached, saved: RestartKubeletPlan) -> None:
        if not _runs(cluster, saved.node):
            script = f"systemctl reset-failed {UNIT} || true; systemctl start {UNIT}"
            cluster.node_exec(saved.node, ["sh", "-c", script], timeout_s=60)

    @staticmethod
    def undone(cluster: _Reached, saved: RestartKubeletPlan) -> bool:
        return _runs(cluster, saved.node)


def _runs(cluster: NodeExec, node: str) -> bool:
    return look(cluster, node)[1][0] > 0


class Victim(msgspec.Struct, frozen=True, array_like=True):
    """A container that is to be killed: its pod's name, and the container as the kernel has it."""

    name: str
    container: RunningContainer


class CrashContainersPlan(msgspec.Struct, frozen=True):
    """The node, and its containers that are killed."""

    node: str
    victims: tuple[Victim, ...]


@fault
@dataclass(frozen=True, slots=True)
class CrashContainers:
    """Kill the first process of each container of a workload's pods on a node, but not of their sidecars.

    There is nothing to put back: that the kubelet starts them again is what is tried.
    """

    kind: ClassVar[str] = "crash-containers"
    counterpart: ClassVar[str] = "await_containers"
    needs: ClassVar[tuple[type, ...]] = (NodeExec, RunsContainers)
    uses: ClassVar[Uses] = Uses(capabilities=(Capability.KILL,), programs=("kill", "systemctl"))
    node: str
    workload: str

    def plan(self, cluster: _Runs) -> CrashContainersPlan:
        ready_worker(cluster, self.node, "no container is killed there")
        running = {container.id: container for container in look(cluster, self.node)[0]}
        victims = [
            Victim(pod.metadata.name, running[container_id])
            for pod in pods_of(cluster, self.workload, self.node)
            for container_id in _container_ids(pod)
            if container_id in running
        ]
        if not victims:
            raise OrdealError(f"no container of a pod of {self.workload} runs on {self.node}")
        return CrashContainersPlan(self.node, tuple(victims))

    def apply(self, cluster: _Runs, saved: CrashContainersPlan) -> None:
        cluster.node_exec(saved.node, ["kill", "-KILL", *(str(each.container.pid) for each in saved.victims)])

    def landed(self, cluster: _Runs, saved: CrashContainersPlan) -> bool:
        """The kernel has none of them any more."""
        running = {container.id for container in look(cluster, saved.node)[0]}
        return not any(each.container.id in running for each in saved.victims)

    @staticmethod
    def lasts(cluster: _Runs, saved: CrashContainersPlan) -> None:
        """The kubelet starts them again, or it is what is found."""

    @staticmethod
    def undo(cluster: _Runs, saved: CrashContainersPlan) -> None:
        """Nothing: the kubelet does it."""

    @staticmethod
    def undone(cluster: _Runs, saved: CrashContainersPlan) -> bool:
        return True


def pods_of(cluster: Cluster, workload: str, node: str) -> list[Any]:
    """The pods of a workload on a node, in all namespaces, as the API shows them."""
    with cluster.api() as client:
        found: Any = k8s.CoreV1Api(client).list_pod_for_all_namespaces(
            label_selector=f"{WORKLOAD_LABEL}={workload}", field_selector=f"spec.nodeName={node}"
        )
    return list(found.items)


def _container_ids(pod: Any) -> list[str]:
    """The ids of its running containers, without "containerd://"."""
    statuses = pod.status.container_statuses or []
    return [s.container_id.rpartition("/")[2] for s in statuses if s.container_id and s.state.running is not None]


class SetNodeLabelPlan(msgspec.Struct, frozen=True):
    """The label's key, its value then, and as it was; None where the node has none."""

    node: str
    key: str
    value: str | None
    was: str | None


@fault
@dataclass(frozen=True, slots=True)
class SetNodeLabel:
    """Give a node a label, another value of it, or take it away (`value` None)."""

    kind: ClassVar[str] = "set-node-label"
    counterpart: ClassVar[str] = "put_node_label_back"
    needs: ClassVar[tuple[type, ...]] = ()
    uses: ClassVar[Uses] = Uses()
    node: str
    key: str
    value: str | None

    def plan(self, cluster: Cluster) -> SetNodeLabelPlan:
        ready_worker(cluster, self.node, "its labels are left alone")
        was = _label(cluster, self.node, self.key)
        if was == self.value:
            raise OrdealError(f"the label {self.key} of {self.node} is {self.value!r} already: there is nothing to do")
        return SetNodeLabelPlan(self.node, self.key, self.value, was)

    def apply(self, cluster: Cluster, saved: SetNodeLabelPlan) -> None:
        _set_label(cluster, saved.node, saved.key, saved.value)

    def landed(self, cluster: Cluster, saved: SetNodeLabelPlan) -> bool:
        return SetNodeLabel.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: Cluster, saved: SetNodeLabelPlan) -> bool:
        return _label(cluster, saved.node, saved.key) == saved.value

    @staticmethod
    def undo(cluster: Cluster, saved: SetNodeLabelPlan) -> None:
        _set_label(cluster, saved.node, saved.key, saved.was)

    @staticmethod
    def undone(cluster: Cluster, saved: SetNodeLabelPlan) -> bool:
        return _label(cluster, saved.node, saved.key) == saved.was


def _label(cluster: Cluster, node: str, key: str) -> str | None:
    with cluster.api() as client:
        found: Any = k8s.CoreV1Api(client).read_node(node)
    value = (found.metadata.labels or {}).get(key)
    return None if value is None else str(value)


def _set_label(cluster: Cluster, node: str, key: str, value: str | None) -> None:
    with cluster.api() as client:
        k8s.CoreV1Api(client).patch_node(node, {"metadata": {"labels": {key: value}}})
