"""The ground of one edit: a namespace with a workload on a node of its own, and where its objects are."""

from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.basics.untrusted import json_of
from chaos.campaign.edits import SERVED_BY, Kind, Object
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_delete, raw_get, raw_list, raw_merge
from chaos.errors import OrdealError
from chaos.workloads.base import create, manifest

WEB, ORDERED, PINNED, JOINS, TRIED, ADDRESS, SETTINGS = (
    "web", "ordered", "pinned", "joins", "tried", "address", "settings",
)  # as manifests/simulated/campaign.yaml has them  # fmt: skip
PODS = {WEB: 2, ORDERED: 2, PINNED: 1, JOINS: 1}
APPS, CORE, DISCOVERY = "/apis/apps/v1", "/api/v1", "/apis/discovery.k8s.io/v1"
LEASES = "kube-node-lease"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is: etcd's key of it, its path in the API, and the path of its kind's list in all namespaces."""

    key: str
    path: str
    every: str


@dataclass(frozen=True, slots=True)
class EditGround:
    """A namespace, and the node that all of its pods are on."""

    namespace: str
    node: str

    def deploy(self, cluster: Cluster, run: str) -> None:
        """Create the workload; nothing is waited for. Raises what the client raises."""
        text = manifest("simulated/campaign.yaml").substitute(
            namespace=self.namespace, node=self.node, run=run, image=cluster.images.busybox
        )
        with cluster.api() as client:
            create(client, text)

    def place(self, client: ApiClient, kind: Kind) -> Place:
        """Where the object of that kind is. Raises OrdealError where there is none."""
        fixed = {
            Kind.DEPLOYMENT: ("deployments", APPS, WEB),
            Kind.STATEFUL_SET: ("statefulsets", APPS, ORDERED),
            Kind.DAEMON_SET: ("daemonsets", APPS, PINNED),
            Kind.SERVICE: ("services/specs", CORE, ADDRESS),
            Kind.ENDPOINTS: ("services/endpoints", CORE, ADDRESS),
            Kind.CONFIG_MAP: ("configmaps", CORE, SETTINGS),
        }
        found = {
            Kind.REPLICA_SET: ("replicasets", APPS, WEB),
            Kind.POD: ("pods", CORE, WEB),
            Kind.SLICE: ("endpointslices", DISCOVERY, ADDRESS),
            Kind.REVISION: ("controllerrevisions", APPS, ORDERED),
        }
        if kind is Kind.NODE:
            return Place(f"/registry/minions/{self.node}", f"{CORE}/nodes/{self.node}", f"{CORE}/nodes")
        if kind is Kind.NAMESPACE:
            of = f"namespaces/{self.namespace}"
            return Place(f"/registry/{of}", f"{CORE}/{of}", f"{CORE}/namespaces")
        if kind is Kind.LEASE:
            api = "/apis/coordination.k8s.io/v1"
            return Place(
                f"/registry/leases/{LEASES}/{self.node}",
                f"{api}/namespaces/{LEASES}/leases/{self.node}",
                f"{api}/leases",
            )
        folder, api, name = fixed[kind] if kind in fixed else found[kind]
        plural = {"services/specs": "services", "services/endpoints": "endpoints"}.get(folder, folder)
        inside = f"{api}/namespaces/{self.namespace}/{plural}"
        if kind in found:
            names = sorted(each["metadata"]["name"] for each in raw_list(client, inside))
            name = next((each for each in names if each.startswith(name)), "")
            if not name:
                raise OrdealError(f"{self.namespace} has no {kind}")
        return Place(f"/registry/{folder}/{self.namespace}/{name}", f"{inside}/{name}", f"{api}/{plural}")

    # --- what is done to each workload after its edit, and to the twin's

    def touch(self, client: ApiClient) -> None:
        """A pod joins the Service, the StatefulSet's template and the DaemonSet change, and a new pod is to start."""
        inside = f"{APPS}/namespaces/{self.namespace}"
        raw_merge(
            client, f"{CORE}/namespaces/{self.namespace}/pods/{JOINS}", {"metadata": {"labels": {SERVED_BY: WEB}}}
        )
        annotated = {"template": {"metadata": {"annotations": {"kube-ordeal/touched": "yes"}}}}
        raw_merge(client, f"{inside}/statefulsets/{ORDERED}", {"spec": annotated})
        raw_merge(client, f"{inside}/daemonsets/{PINNED}", {"spec": {"revisionHistoryLimit": 5}})
        body: Any = {
            "metadata": {"name": TRIED, "labels": {"kube-ordeal/workload": TRIED}},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": self.node},
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "main", "image": "busybox"}],
            },
        }
        k8s.CoreV1Api(client).create_namespaced_pod(self.namespace, body)

    def delete_deployment(self, client: ApiClient) -> None:
        """What it owns is the garbage collector's to delete."""
        raw_delete(client, f"{APPS}/namespaces/{self.namespace}/deployments/{WEB}")

    def remove(self, client: ApiClient) -> None:
        """Delete the namespace; nothing is waited for."""
        raw_delete(client, f"{CORE}/namespaces/{self.namespace}")


def read(client: ApiClient, path: str) -> Object:
    """The object at a path. Raises ApiException and what `json_of` raises."""
    found: Object = json_of(raw_get(client, path))
    return found
