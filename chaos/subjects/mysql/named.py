"""A pod that only names an image: it is never pulled and never runs, but the API shows it."""

from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s

from chaos.clusters.base import Cluster
from chaos.clusters.way.client import told
from chaos.errors import OrdealError
from chaos.workloads.base import RUN_LABEL, WORKLOAD_LABEL, create_namespace
from chaos.workloads.web import Deployed


@dataclass(frozen=True, slots=True)
class Named:
    """One pod with `image`, which no node has (imagePullPolicy Never)."""

    image: str
    name: str = "named"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it in a namespace of its own, and do not wait for anything. Raises OrdealError."""
        container = {"name": "main", "image": self.image, "imagePullPolicy": "Never"}
        pod = {
            "metadata": {"name": self.name, "labels": {WORKLOAD_LABEL: self.name}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
        }
        with cluster.api() as client:
            core: Any = k8s.CoreV1Api(client)
            try:
                create_namespace(core, namespace, {RUN_LABEL: run})
                core.create_namespaced_pod(namespace, pod)
            except Exception as error:
                raise OrdealError(f"a pod can't be created on {cluster.ref.name}: {told(error)}") from error
        return Deployed(self.name, namespace, "", 0, cluster)
