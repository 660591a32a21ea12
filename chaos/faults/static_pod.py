"""A static pod on one node: one that its kubelet runs from a file, without the API server."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import yaml
from kubernetes.client import CoreV1Api
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import Cluster, NodeExec, RunsContainers
from chaos.clusters.client import is_ready
from chaos.errors import OrdealError
from chaos.faults.base import fault
from chaos.faults.target import ready_worker
from chaos.journal import Saved

MANIFESTS = "/etc/kubernetes/manifests"  # staticPodPath as kubeadm sets it
NAMESPACE = "kube-system"


class _Shell(Cluster, NodeExec, RunsContainers, Protocol): ...


@fault
@dataclass(frozen=True, slots=True)
class PlaceStaticPod:
    """Let one node's kubelet run a static pod without a priority class, which it spares because it is static.

    It has landed when its mirror pod, NAME-NODE in kube-system, is Ready, and is undone when file and mirror are gone.
    """

    kind: ClassVar[str] = "place-static-pod"
    needs: ClassVar[tuple[type, ...]] = (NodeExec, RunsContainers)
    node: str
    name: str = "ordeal-static"

    def plan(self, cluster: _Shell) -> Saved:
        ready_worker(cluster, self.node, "it is given no static pod")
        path = f"{MANIFESTS}/{self.name}.yaml"
        if cluster.node_exec(self.node, ["test", "-e", path], check=False).code == 0:
            raise OrdealError(f"node {self.node} has a static pod {self.name} already: run `kube-ordeal undo`")
        return {"node": self.node, "name": self.name, "path": path, "image": cluster.images.busybox}

    def apply(self, cluster: _Shell, saved: Saved) -> None:
        container = {"name": "sleep", "image": saved["image"], "imagePullPolicy": "IfNotPresent"}
        container |= {"command": ["sh", "-c", "trap 'exit 0' TERM; sleep 86400 & wait"]}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": saved["name"], "namespace": NAMESPACE},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
        }
        # By a rename, so that the kubelet never reads a part; a file whose name begins with a dot is not read.
        script = 'printf %s "$2" > "$(dirname "$1")/.kube-ordeal"; mv "$(dirname "$1")/.kube-ordeal" "$1"'
        argv = ["sh", "-ec", script, "place", str(saved["path"]), yaml.safe_dump(pod)]
        cluster.node_exec(str(saved["node"]), argv)

    def landed(self, cluster: _Shell, saved: Saved) -> bool:
        mirror = _mirror(cluster, saved)
        return mirror is not None and is_ready(mirror.status)

    @staticmethod
    def undo(cluster: _Shell, saved: Saved) -> None:
        cluster.node_exec(str(saved["node"]), ["rm", "-f", str(saved["path"]), f"{MANIFESTS}/.kube-ordeal"])

    @staticmethod
    def undone(cluster: _Shell, saved: Saved) -> bool:
        gone = cluster.node_exec(str(saved["node"]), ["test", "-e", str(saved["path"])], check=False).code == 1
        return gone and _mirror(cluster, saved) is None


def _mirror(cluster: Cluster, saved: Saved) -> Any:
    """The pod by which the API shows the static pod; None where there is none."""
    with cluster.api() as client:
        try:
            return CoreV1Api(client).read_namespaced_pod(f"{saved['name']}-{saved['node']}", NAMESPACE)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
