"""Endpoints of a web server that are lost, and replaced by others."""

from kubernetes import client as k8s

from chaos.errors import OrdealError
from chaos.subjects.stale_rules.asking import wanted
from chaos.workloads.web import Deployed


def an_endpoint(web: Deployed) -> str:
    """The address of one of the workload's endpoints. Raises OrdealError where there is none."""
    found = wanted(web.cluster, web.namespace, web.name)
    if not found:
        raise OrdealError(f"the Service {web.name} has no endpoint that could be lost")
    return min(found)


def lose(web: Deployed, address: str) -> None:
    """Delete the pod with that address at once, so that the endpoints change."""
    pod = wanted(web.cluster, web.namespace, web.name)[address]
    with web.cluster.api() as client:
        k8s.CoreV1Api(client).delete_namespaced_pod(pod, web.namespace, grace_period_seconds=0)
