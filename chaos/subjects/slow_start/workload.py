"""Services with node ports, which an API server looks through when it starts."""

from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s

from chaos.clusters.abilities import EtcdBehind
from chaos.clusters.base import Cluster
from chaos.workloads.base import RUN_LABEL, create_namespace, creating
from chaos.workloads.web import Deployed

PORTS = "/registry/ranges/servicenodeports"  # where etcd has which node ports are taken


@dataclass(frozen=True, slots=True)
class NodePorts:
    """So many Services of the type NodePort, without a pod."""

    count: int
    name: str = "node-ports"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create them, in a namespace of their own. Raises OrdealError."""
        with cluster.api() as client, creating(self.name, cluster):
            core = k8s.CoreV1Api(client)
            create_namespace(core, namespace, {RUN_LABEL: run})
            for number in range(self.count):
                body: Any = {"metadata": {"name": f"{self.name}-{number}"}, "spec": self._spec()}
                core.create_namespaced_service(namespace, body)
        return Deployed(self.name, namespace, "", 0, cluster)

    @staticmethod
    def _spec() -> dict[str, object]:
        return {"type": "NodePort", "ports": [{"port": 80}]}


def taken_ports(cluster: EtcdBehind) -> bytes:
    """Which node ports are taken, as etcd has it. Raises OrdealError."""
    return cluster.etcd_get(PORTS)


def forget_ports(cluster: EtcdBehind, before: bytes) -> None:
    """Let etcd have it as it was before: an API server that starts finds ports in use that are not taken, and has to
    write. Raises OrdealError.
    """
    cluster.etcd_put(PORTS, before)
