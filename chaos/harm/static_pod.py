"""A static pod on one node: one that its kubelet runs from a file, without the API server."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
import yaml
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import NodeExec, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import is_ready
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Uses
from chaos.workloads.base import WORKLOAD_LABEL

MANIFESTS = "/etc/kubernetes/manifests"  # staticPodPath as kubeadm sets it
NAMESPACE = "kube-system"


class _Shell(Cluster, NodeExec, RunsContainers, Protocol): ...


class PlaceStaticPodPlan(msgspec.Struct, frozen=True):
    """The pod's name, its file on the node, and its container's image; `workload`: the value of its label."""

    node: str
    name: str
    path: str
    image: str
    workload: str = ""


@fault
@dataclass(frozen=True, slots=True)
class PlaceStaticPod:
    """Let one node's kubelet run a static pod without a priority class, which it spares because it is static.

    It has landed when its mirror pod, NAME-NODE in kube-system, is Ready, and is undone when file and mirror are gone.
    `workload`: the one by whose name promises know it.
    """

    kind: ClassVar[str] = "place-static-pod"
    counterpart: ClassVar[str] = "remove_static_pod"
    needs: ClassVar[tuple[type, ...]] = (NodeExec, RunsContainers)
    uses: ClassVar[Uses] = Uses(labels=True)
    node: str
    name: str = "ordeal-static"
    workload: str = ""

    def plan(self, cluster: _Shell) -> PlaceStaticPodPlan:
        ready_worker(cluster, self.node, "it is given no static pod")
        path = f"{MANIFESTS}/{self.name}.yaml"
        if _is_there(cluster, self.node, path):
            raise OrdealError(f"node {self.node} has a static pod {self.name} already: run `kube-ordeal undo`")
        return PlaceStaticPodPlan(self.node, self.name, path, cluster.images.busybox, self.workload)

    def apply(self, cluster: _Shell, saved: PlaceStaticPodPlan) -> None:
        container = {
            "name": "sleep",
            "image": saved.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 86400 & wait"],
        }
        labels = {WORKLOAD_LABEL: saved.workload} if saved.workload else {}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": saved.name, "namespace": NAMESPACE, "labels": labels},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
        }
        # By a rename, so that the kubelet never reads a part; a file whose name begins with a dot is not read.
        script = 'printf %s "$2" > "$(dirname "$1")/.kube-ordeal"; mv "$(dirname "$1")/.kube-ordeal" "$1"'
        argv = ["sh", "-ec", script, "place", saved.path, yaml.safe_dump(pod)]
        cluster.node_exec(saved.node, argv)

    def landed(self, cluster: _Shell, saved: PlaceStaticPodPlan) -> bool:
        mirror = _mirror(cluster, saved)
        return mirror is not None and is_ready(mirror.status)

    @staticmethod
    def lasts(cluster: _Shell, saved: PlaceStaticPodPlan) -> bool:
        return _is_there(cluster, saved.node, saved.path)

    @staticmethod
    def undo(cluster: _Shell, saved: PlaceStaticPodPlan) -> None:
        cluster.node_exec(saved.node, ["rm", "-f", saved.path, f"{MANIFESTS}/.kube-ordeal"])

    @staticmethod
    def undone(cluster: _Shell, saved: PlaceStaticPodPlan) -> bool:
        return not _is_there(cluster, saved.node, saved.path) and _mirror(cluster, saved) is None


def _is_there(cluster: NodeExec, node: str, path: str) -> bool:
    """Whether the node has the file, as it says itself. Raises CommandError where it does not answer."""
    return bool(cluster.node_exec(node, ["sh", "-c", f"[ ! -e {path} ] || echo there"]).out)


def _mirror(cluster: Cluster, saved: PlaceStaticPodPlan) -> Any:
    """The pod by which the API shows the static pod; None where there is none."""
    with cluster.api() as client:
        try:
            return k8s.CoreV1Api(client).read_namespaced_pod(f"{saved.name}-{saved.node}", NAMESPACE)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
