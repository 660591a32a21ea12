"""Containers that start, end and are gone: what a leak of a container runtime or a kernel shows itself by."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import told
from chaos.errors import OrdealError
from chaos.record.history import History
from chaos.record.nodefacts import STARTED
from chaos.record.records import Sample
from chaos.workloads.base import RUN_LABEL, WORKLOAD_LABEL, create_namespace
from chaos.workloads.web import Deployed

if TYPE_CHECKING:
    from chaos.run.lab import Lab

DONE_WITHIN_S = 240.0


@dataclass(frozen=True, slots=True)
class Starts:
    """`pods` pods of `containers` containers each on one node; every container ends at once and is not restarted."""

    node: str
    pods: int = 10
    containers: int = 20
    name: str = "starts"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create them in a namespace of their own and wait until every container has ended well.

        Raises OrdealError where one failed, WaitedInVainError.
        """
        labels = {WORKLOAD_LABEL: self.name, RUN_LABEL: run}
        with cluster.api() as client:
            core = k8s.CoreV1Api(client)
            try:
                create_namespace(core, namespace, labels)
                for number in range(self.pods):
                    core.create_namespaced_pod(namespace, self._pod(f"{self.name}-{number}", labels, cluster))
            except ApiException as error:
                raise OrdealError(f"{self.name} can't be created on {cluster.ref.name}: {told(error)}") from error

            def ended() -> list[Any]:
                """The pods, where all have come to an end or one has failed: that one does not start again."""
                pods: list[Any] = core.list_namespaced_pod(namespace).items
                phases = [pod.status.phase for pod in pods]
                return pods if "Failed" in phases or phases == ["Succeeded"] * self.pods else []

            what = f"{self.pods * self.containers} containers to have run on {self.node}"
            for pod in eventually(ended, within_s=DONE_WITHIN_S, what=what, every_s=0.5):
                if pod.status.phase == "Failed":
                    raise OrdealError(f"pod {pod.metadata.name} failed on node {self.node}: {_why(pod.status)}")
        return Deployed(self.name, namespace, "", self.pods, cluster)

    def _pod(self, name: str, labels: dict[str, str], cluster: Cluster) -> Any:
        container = {"image": cluster.images.busybox, "command": ["true"], "imagePullPolicy": "IfNotPresent"}
        return {
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "nodeName": self.node,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "containers": [{"name": f"c{number}", **container} for number in range(self.containers)],
            },
        }


def _why(status: Any) -> str:
    """What the kubelet says of a failed pod, and of the first of its containers that did not end well."""
    said = [str(each) for each in (status.reason, status.message) if each]
    ends = [each.state.terminated for each in status.container_statuses or () if each.state.terminated]
    bad = next((end for end in ends if end.exit_code), None)
    if bad is not None:
        said.append(f"exit code {bad.exit_code}, {bad.reason}: {bad.message or 'no message'}")
    return "; ".join(said) or "the kubelet does not say why"


def start_and_remove(lab: "Lab", history: History, node: str, *, pods: int = 10, containers: int = 20) -> int:
    """Let containers run to their end on a node, remove them, and record how many they were. Returns that."""
    lab.deploy(Starts(node, pods=pods, containers=containers))
    lab.remove_workloads()
    history.add(Sample(history.now(), STARTED, node, float(pods * containers)))
    return pods * containers
