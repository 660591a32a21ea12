"""ConfigMaps that are written, deleted, and asked for in etcd itself: what a watcher's picture is compared with."""

import re
from collections.abc import Sequence

from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import EtcdBehind
from chaos.clusters.base import Cluster
from chaos.record.history import History
from chaos.record.informer import ABSENT, STORED
from chaos.record.records import Observation

NAMESPACE = "default"
KEY = "said"


def say(cluster: Cluster, name: str, value: str) -> None:
    """Make a ConfigMap that holds the value, or put the value into the one there is."""
    body = k8s.V1ConfigMap(metadata=k8s.V1ObjectMeta(name=name), data={KEY: value})
    with cluster.api() as client:
        try:
            k8s.CoreV1Api(client).replace_namespaced_config_map(name, NAMESPACE, body)
        except ApiException as error:
            if error.status != 404:
                raise
            k8s.CoreV1Api(client).create_namespaced_config_map(NAMESPACE, body)


def forget(cluster: Cluster, names: Sequence[str]) -> None:
    """Delete ConfigMaps."""
    with cluster.api() as client:
        for name in names:
            k8s.CoreV1Api(client).delete_namespaced_config_map(name, NAMESPACE)


def etcd_key(name: str) -> str:
    """Where etcd has a ConfigMap."""
    return f"/registry/configmaps/{NAMESPACE}/{name}"


def ask_etcd(cluster: EtcdBehind, history: History, names: Sequence[str]) -> None:
    """Write down what etcd itself holds, past the API server."""
    for name in names:
        stored = cluster.etcd_get(etcd_key(name))
        # The data map is the message's last field: key and value stand there as they are, with their lengths.
        found = re.search(KEY.encode() + rb"\x12.([ -~]+)", stored)
        value = found.group(1).decode() if found else ABSENT
        history.add(Observation(history.now(), STORED, f"{NAMESPACE}/{name}", value))
