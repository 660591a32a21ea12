"""Pods with values in their environment that older kubelets took: bytes that are no text, and a dollar sign."""

from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s

from chaos.clusters.base import Cluster
from chaos.workloads.base import RUN_LABEL, WORKLOAD_LABEL, create_namespace, creating
from chaos.workloads.web import Deployed

NAME, SECRET, KEY = "values", "old-key", "key"
BINARY, DOLLAR = "binary", "dollar"  # the workloads
NO_TEXT = "//79"  # three bytes, in base64, that are in no UTF-8
DOLLAR_VALUE = "costs $é"  # what follows the dollar sign takes two bytes
# A shell that waits uses no CPU, and unlike a bare sleep as process 1 it obeys SIGTERM.
COMMAND = ["sh", "-c", "trap exit TERM; sleep 100000 & wait"]


@dataclass(frozen=True, slots=True)
class OldValues:
    """A Secret whose value is no text, in a namespace of its own; `start` makes the pods."""

    name: str = NAME

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it. Raises OrdealError."""
        secret: Any = {"metadata": {"name": SECRET}, "data": {KEY: NO_TEXT}}
        with cluster.api() as client, creating(self.name, cluster):
            core = k8s.CoreV1Api(client)
            create_namespace(core, namespace, {RUN_LABEL: run})
            core.create_namespaced_secret(namespace, secret)
        return Deployed(self.name, namespace, "", 0, cluster)


def start(values: Deployed, node: str, *, as_file: bool) -> None:
    """Make a pod that has the Secret's value in its environment, or as a file, and one that has the dollar sign, both
    on that node.
    """
    secret = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": KEY}}}
    volume = {"name": "key", "secret": {"secretName": SECRET}}
    mounted = {"volumeMounts": [{"name": "key", "mountPath": "/key"}]}
    binary = (
        _pod(values, node, BINARY, mounted, [volume]) if as_file else _pod(values, node, BINARY, {"env": [secret]}, [])
    )
    dollar = _pod(values, node, DOLLAR, {"env": [{"name": "PRICE", "value": DOLLAR_VALUE}]}, [])
    with values.cluster.api() as client:
        for pod in (binary, dollar):
            k8s.CoreV1Api(client).create_namespaced_pod(values.namespace, pod)


def _pod(values: Deployed, node: str, name: str, also: dict[str, Any], volumes: list[Any]) -> Any:
    image = values.cluster.images.busybox
    main = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": COMMAND, **also}
    selector = {"kubernetes.io/hostname": node}
    return {
        "metadata": {"name": name, "labels": {WORKLOAD_LABEL: name}},
        "spec": {
            "nodeSelector": selector,
            "terminationGracePeriodSeconds": 1,
            "containers": [main],
            "volumes": volumes,
        },
    }
