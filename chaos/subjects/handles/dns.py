"""The cluster's own DNS: where it is asked, and where it runs."""

from kubernetes import client as k8s

from chaos.clusters.base import Cluster
from chaos.clusters.way.client import is_ready
from chaos.errors import OrdealError

NAMESPACE, LABEL = "kube-system", "k8s-app=kube-dns"
NAME = "kubernetes.default.svc.cluster.local"


def dns_url(cluster: Cluster) -> str:
    """What the prober asks of the DNS Service: a name that every cluster has. Raises OrdealError without a Service."""
    with cluster.api() as client:
        found = k8s.CoreV1Api(client).list_namespaced_service(NAMESPACE, label_selector=LABEL).items
    address = found[0].spec.cluster_ip if found and found[0].spec else None
    if not address:
        raise OrdealError(f"{cluster.ref.name} has no Service in {NAMESPACE} with the label {LABEL} to ask for names")
    return f"dns://{address}:53/{NAME}"


def dns_ready(cluster: Cluster) -> bool:
    """Whether every pod of the cluster's DNS is Ready now."""
    with cluster.api() as client:
        pods = k8s.CoreV1Api(client).list_namespaced_pod(NAMESPACE, label_selector=LABEL).items
    return bool(pods) and all(pod.status is not None and is_ready(pod.status) for pod in pods)


def dns_node(cluster: Cluster) -> str:
    """A node on which CoreDNS runs; a worker, where there is one. Raises OrdealError where there is none."""
    with cluster.api() as client:
        pods = k8s.CoreV1Api(client).list_namespaced_pod(NAMESPACE, label_selector=LABEL).items
    with_dns = {pod.spec.node_name for pod in pods if pod.spec}
    found = sorted((n.control_plane, n.name) for n in cluster.nodes() if n.name in with_dns)
    if not found:
        raise OrdealError(f"no pod with the label {LABEL} runs in {cluster.ref.name}")
    return found[0][1]
