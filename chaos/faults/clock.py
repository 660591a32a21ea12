"""The clock of one database server, turned while it runs. No other process sees it, the machine's own stays."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from kubernetes.client import CoreV1Api
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import Cluster, NodeExec, NodeNetwork
from chaos.errors import OrdealError
from chaos.faults.base import fault
from chaos.journal import Saved
from chaos.workloads.base import WORKLOAD_LABEL
from chaos.workloads.mysql import CLOCK_FILE, CLOCK_VOLUME, clock_offset_s

RIGHT = "+0"
LARGEST_S = 400 * 24 * 3600
OFF_BY_S = 0.4


class _Reachable(Cluster, NodeExec, NodeNetwork, Protocol): ...


@fault
@dataclass(frozen=True, slots=True)
class TurnClock:
    """Turn the clock of the server in `pod` by `offset_s` seconds against its node's; negative is back.

    The server was started under libfaketime, which reads the offset from a file of the pod at each look at the clock
    (manifests/mysql.yaml). The file is written from the node's side. It has landed when the server itself says so.
    A server that was restarted meanwhile has the right clock: its start writes the file anew.
    """

    kind: ClassVar[str] = "turn-clock"
    needs: ClassVar[tuple[type, ...]] = (NodeExec, NodeNetwork)
    namespace: str
    pod: str
    offset_s: float

    def plan(self, cluster: _Reachable) -> Saved:
        if isinstance(self.offset_s, bool) or not 0 < abs(self.offset_s) <= LARGEST_S:
            raise OrdealError(
                f"the clock can't be turned by {self.offset_s} s: say a number of seconds, negative for back, of at "
                f"most {LARGEST_S:g}"
            )
        pod = _pod(cluster, self.namespace, self.pod)
        if pod is None:
            raise OrdealError(f"there is no pod {self.namespace}/{self.pod} on cluster {cluster.ref.name}")
        name = (pod.metadata.labels or {}).get(WORKLOAD_LABEL, "")
        volumes = {v.name for v in pod.spec.volumes or [] if v.empty_dir is not None}
        if not name or CLOCK_VOLUME not in volumes:
            raise OrdealError(
                f"{self.namespace}/{self.pod} is no database of ours: only the clock of a server that this suite has "
                "deployed is turned"
            )
        if not pod.status.pod_ip or pod.status.phase != "Running":
            raise OrdealError(f"{self.namespace}/{self.pod} does not run ({pod.status.phase}), so it has no clock")
        folder = f"/var/lib/kubelet/pods/{pod.metadata.uid}/volumes/kubernetes.io~empty-dir/{CLOCK_VOLUME}"
        path = f"{folder}/{CLOCK_FILE.rsplit('/', 1)[1]}"
        said = cluster.node_exec(pod.spec.node_name, ["cat", path], check=False)
        if said.code != 0:
            raise OrdealError(
                f"the server of {self.namespace}/{self.pod} reads its clock from no file: deploy it with own_clock"
            )
        if said.out.strip() != RIGHT:
            raise OrdealError(
                f"the clock of {self.pod} is turned by {said.out.strip()} s already: run `kube-ordeal undo`"
            )
        return {
            "node": pod.spec.node_name,
            "namespace": self.namespace,
            "pod": self.pod,
            "uid": pod.metadata.uid,
            "workload": name,
            "path": path,
            "offset_s": self.offset_s,
        }

    def apply(self, cluster: _Reachable, saved: Saved) -> None:
        _write(cluster, saved, f"{float(str(saved['offset_s'])):+g}")

    def landed(self, cluster: _Reachable, saved: Saved) -> bool:
        return abs(_offset_s(cluster, saved) - float(str(saved["offset_s"]))) < OFF_BY_S

    @staticmethod
    def undo(cluster: _Reachable, saved: Saved) -> None:
        if _is_there(cluster, saved):
            _write(cluster, saved, RIGHT)

    @staticmethod
    def undone(cluster: _Reachable, saved: Saved) -> bool:
        """By the file: the server may be away just now, and reads it when it is back."""
        said = cluster.node_exec(str(saved["node"]), ["cat", str(saved["path"])], check=False)
        return said.out.strip() == RIGHT if said.code == 0 else not _is_there(cluster, saved)


def _pod(cluster: Cluster, namespace: str, name: str) -> Any:
    with cluster.api() as client:
        try:
            return CoreV1Api(client).read_namespaced_pod(name, namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise


def _is_there(cluster: NodeExec, saved: Saved) -> bool:
    """Whether the pod's folder is still on its node: the file goes with the pod."""
    folder = str(saved["path"]).rsplit("/", 1)[0]
    return cluster.node_exec(str(saved["node"]), ["test", "-d", folder], check=False).code == 0


def _write(cluster: NodeExec, saved: Saved, offset: str) -> None:
    """By a rename, so that a look at the clock never finds half of it; the server's user may write it anew."""
    script = 'printf "%s\\n" "$2" > "$1.kube-ordeal"; chmod 0666 "$1.kube-ordeal"; mv "$1.kube-ordeal" "$1"'
    cluster.node_exec(str(saved["node"]), ["sh", "-ec", script, "write", str(saved["path"]), offset])


def _offset_s(cluster: Cluster, saved: Saved) -> float:
    """How far the server's clock is from this machine's, which is the nodes'. Raises OrdealError."""
    pod = _pod(cluster, str(saved["namespace"]), str(saved["pod"]))
    if pod is None or pod.metadata.uid != saved["uid"] or not pod.status.pod_ip:
        raise OrdealError(f"{saved['pod']} is not the pod whose clock was turned any more")
    namespace, workload = str(saved["namespace"]), str(saved["workload"])
    return clock_offset_s(cluster, namespace, workload, str(saved["pod"]), str(pod.status.pod_ip))
