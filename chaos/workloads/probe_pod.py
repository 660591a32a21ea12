"""Can this node still start a pod? The question after every incident."""

import time
import uuid
from contextlib import suppress
from typing import Any

from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import is_ready


def start_pod(cluster: Cluster, namespace: str, node: str, *, within_s: float) -> float | None:
    """Create a pod bound to `node` by affinity, wait until it is Ready, delete it.

    The namespace is the replay's own, which is removed with all that may have stayed in it. Returns the seconds from
    the request to Ready; None where it was not Ready within `within_s`.
    """
    name = f"{f'ordeal-start-{node}'[:56].rstrip('-.')}-{uuid.uuid4().hex[:6]}"
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    pod: Any = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"kube-ordeal/workload": "starter"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field]}]}
                }
            },
            "containers": [{"name": "sleep", "image": cluster.images.busybox, "command": ["sleep", "600"]}],
        },
    }
    with cluster.api() as client:
        core = k8s.CoreV1Api(client)
        began = time.monotonic()

        def create() -> bool:
            try:
                core.create_namespaced_pod(namespace, pod)
            except ApiException as error:
                if error.status != 409:
                    raise
            return True

        def ready() -> bool:
            return is_ready(core.read_namespaced_pod(name, namespace).status)

        try:
            # The service account's token may not be there yet when an API server has just come up.
            eventually(create, within_s=within_s, what=f"pod {name} to be accepted")
            left_s = max(1.0, within_s - (time.monotonic() - began))
            eventually(ready, within_s=left_s, what=f"pod {name} to be Ready", every_s=0.1)
            return time.monotonic() - began
        except WaitedInVainError:
            return None
        finally:
            with suppress(ApiException):
                core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
