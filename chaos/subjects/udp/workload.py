"""DNS servers that answer with their own address, as bare pods behind a UDP Service."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import is_ready
from chaos.errors import OrdealError
from chaos.workloads.base import RUN_LABEL, WORKLOAD_LABEL, create_namespace, creating
from chaos.workloads.web import READY_WITHIN_S, Deployed

SERVES, YES, NO = "kube-ordeal/serves", "yes", "no"  # a label: the Service names the pods that have YES
ASKED_FOR = "who.answers.test"
DNS_PODS = "k8s-app=kube-dns"
PORT = 5300
DNS, BESIDE = "dns", "beside"  # ports of the Service, which have endpoints of their own: each pod has one of them
PORTS = {DNS: 53, BESIDE: 54}
# Whatever is asked, the answer is the pod's own address: CoreDNS puts what is in its environment into its file.
COREFILE = f""".:{PORT} {{
    template IN A {{
        answer "{{{{ .Name }}}} 1 IN A {{$POD_IP}}"
    }}
    ready :8181
}}
"""


@dataclass(frozen=True, slots=True)
class Answerers:
    """So many pods on one node, each a CoreDNS that answers with its own address, and a Service of those that have the
    label SERVES. Its url is for the prober: flow://ADDRESS:PORT/NAME, from one port that is kept. `beside`: so many
    more are endpoints of another port of the same Service, and of no other.
    """

    node: str
    pods: int
    name: str = "udp"
    beside: int = 0

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it, in a namespace of its own, and wait until all pods are endpoints. Raises OrdealError."""
        image = coredns_image(cluster)
        selector = {WORKLOAD_LABEL: self.name, SERVES: YES}
        ports = [{"name": name, "port": port, "targetPort": name, "protocol": "UDP"} for name, port in PORTS.items()]
        service: Any = {"metadata": {"name": self.name}, "spec": {"selector": selector, "ports": ports}}
        corefile: Any = {"metadata": {"name": self.name}, "data": {"Corefile": COREFILE}}
        with cluster.api() as client, creating(self.name, cluster):
            core = k8s.CoreV1Api(client)
            create_namespace(core, namespace, {RUN_LABEL: run})
            core.create_namespaced_config_map(namespace, corefile)
            made: Any = core.create_namespaced_service(namespace, service)
            for port, pods in ((DNS, self.pods), (BESIDE, self.beside)):
                for number in range(pods):
                    name = f"{self.name}-{number}" if port == DNS else f"{self.name}-{port}-{number}"
                    core.create_namespaced_pod(namespace, _pod(name, self.name, self.node, image, port))
        url = f"flow://{made.spec.cluster_ip}:{PORTS[DNS]}/{ASKED_FOR}"
        deployed = Deployed(self.name, namespace, url, self.pods, cluster)
        what = f"{self.pods} and {self.beside} pods of {self.name} to be endpoints"

        def there() -> bool:
            return (len(endpoints(deployed)), len(endpoints(deployed, BESIDE))) == (self.pods, self.beside)

        eventually(there, within_s=READY_WITHIN_S, what=what)
        return deployed


def url_beside(deployed: Deployed) -> str:
    """What the prober is given to ask the Service's other port."""
    return deployed.url.replace(f":{PORTS[DNS]}/", f":{PORTS[BESIDE]}/")


def add_pod(deployed: Deployed, name: str, node: str) -> None:
    """One pod more, and wait until it is Ready. Raises WaitedInVainError, ApiException."""
    image = coredns_image(deployed.cluster)
    with deployed.cluster.api() as client:
        core = k8s.CoreV1Api(client)
        core.create_namespaced_pod(deployed.namespace, _pod(name, deployed.name, node, image))

        def there() -> bool:
            pod: Any = core.read_namespaced_pod(name, deployed.namespace)
            return is_ready(pod.status)

        eventually(there, within_s=READY_WITHIN_S, what=f"{name} to be Ready")


def coredns_image(cluster: Cluster) -> str:
    """The image of the cluster's own CoreDNS, which its nodes have. Raises OrdealError where it has none."""
    with cluster.api() as client:
        pods: Sequence[Any] = k8s.CoreV1Api(client).list_namespaced_pod("kube-system", label_selector=DNS_PODS).items
    images = [c.image for pod in pods for c in pod.spec.containers if "coredns" in c.image]
    if not images:
        raise OrdealError(f"{cluster.ref.name} has no CoreDNS in kube-system, whose image the UDP servers would be")
    return str(images[0])


def endpoints(deployed: Deployed, port: str = DNS) -> dict[str, str]:
    """The ready endpoints of a port of the workload's Service as the API has them: by address the pod's name."""
    with deployed.cluster.api() as client:
        found: Any = k8s.DiscoveryV1Api(client).list_namespaced_endpoint_slice(
            deployed.namespace, label_selector=f"kubernetes.io/service-name={deployed.name}"
        )
    return {
        address: each.target_ref.name if each.target_ref else ""
        for part in found.items
        if port in {each.name for each in part.ports or ()}
        for each in part.endpoints or []
        if each.conditions is None or each.conditions.ready is not False
        for address in each.addresses
    }


def set_serves(cluster: Cluster, namespace: str, pod: str, value: str) -> None:
    """Whether a pod is to be an endpoint; one that is gone is no error."""
    with cluster.api() as client:
        try:
            k8s.CoreV1Api(client).patch_namespaced_pod(pod, namespace, {"metadata": {"labels": {SERVES: value}}})
        except ApiException as error:
            if error.status != 404:
                raise


def find_pod(cluster: Cluster, namespace: str, pod: str) -> Any:
    """The pod as the API shows it; None where it is gone."""
    with cluster.api() as client:
        try:
            return k8s.CoreV1Api(client).read_namespaced_pod(pod, namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise


def _pod(name: str, workload: str, node: str, image: str, port: str = DNS) -> Any:
    container = {
        "name": "dns",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"name": port, "containerPort": PORT, "protocol": "UDP"}],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "volumeMounts": [{"name": "corefile", "mountPath": "/etc/coredns", "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {WORKLOAD_LABEL: workload, SERVES: YES}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "dnsPolicy": "Default",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "tolerations": [{"operator": "Exists"}],
            "volumes": [{"name": "corefile", "configMap": {"name": workload}}],
        },
    }
