"""One pod that writes into a volume for one node at a time who it is, as a Deployment or a StatefulSet."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import is_ready
from chaos.errors import OrdealError
from chaos.subjects.volumes.sampler import WatchedVolume
from chaos.workloads.base import create, creating, manifest
from chaos.workloads.web import Deployed

ROLLING_UPDATE, RECREATE, STATEFUL_SET = "rolling-update", "recreate", "stateful-set"
WRITERS = (ROLLING_UPDATE, RECREATE, STATEFUL_SET)
STRATEGIES = {ROLLING_UPDATE: "RollingUpdate", RECREATE: "Recreate"}
CLAIM = "data"
BEFORE, RUNS = {"Namespace", "ConfigMap", "PersistentVolumeClaim"}, {"Deployment", "StatefulSet"}  # of the manifest
WRITES_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class VolumeWriter:
    """`name` says what it is: a Deployment with the strategy RollingUpdate or Recreate, or a StatefulSet.

    It starts on `node`, where there is room, and may move to any other; all rather to the same, so that one update can
    move them again.
    """

    name: str
    storage_class: str
    node: str

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it, in a namespace of its own, and wait until it writes.

        Raises OrdealError where its claim is not bound by then, or its volume can't be mounted.
        """
        kind = "StatefulSet" if self.name == STATEFUL_SET else "Deployment"
        others = sorted(n.name for n in cluster.nodes() if not n.control_plane and n.name != self.node)
        filled = manifest("volume-writer.yaml").substitute(
            name=self.name,
            namespace=namespace,
            run=run,
            storage_class=self.storage_class,
            strategy=STRATEGIES.get(self.name, ""),
            affinity=json.dumps(affinity(prefer=(self.node, *others[:1]))),
            image=cluster.images.busybox,
        )
        deployed = Deployed(self.name, namespace, "", 1, cluster)
        with cluster.api() as client, creating(self.name, cluster):
            create(client, filled, without=RUNS)
            at_once = _binds_at_once(client, self.storage_class)
        try:
            # The scheduler may hear that a claim is bound before its own picture of the claims knows it, and then looks
            # at the pod again after five minutes (kubernetes/kubernetes#73216): a pod that comes later is not met.
            if at_once:
                eventually(
                    lambda: _bound(deployed), within_s=WRITES_WITHIN_S, what=f"the claim of {self.name} to be bound"
                )
            with cluster.api() as client, creating(self.name, cluster):
                create(client, filled, without=(RUNS | BEFORE) - {kind})
            eventually(lambda: writing_on(deployed), within_s=WRITES_WITHIN_S, what=f"{self.name} to write")
        except WaitedInVainError as error:
            raise OrdealError(_why_not(deployed, self.storage_class)) from error
        return deployed


def check_class(cluster: Cluster, name: str) -> None:
    """Raises OrdealError that names those there are, where there is no StorageClass of that name."""
    with cluster.api() as client:
        there: list[Any] = k8s.StorageV1Api(client).list_storage_class().items
    names = [each.metadata.name for each in there]
    if name not in names:
        raise OrdealError(
            f"cluster {cluster.ref.name} has no StorageClass {name}; it has {', '.join(sorted(names)) or 'none'}: name "
            "one of them with --ordeal-storage-class"
        )


def watched(deployed: Deployed) -> WatchedVolume:
    """The workload with its PersistentVolume. Raises OrdealError where its claim is not bound."""
    with deployed.cluster.api() as client:
        claim: Any = k8s.CoreV1Api(client).read_namespaced_persistent_volume_claim(CLAIM, deployed.namespace)
    if not claim.spec.volume_name:
        raise OrdealError(f"the claim {CLAIM} of {deployed.name} has no volume")
    return WatchedVolume(deployed.name, deployed.namespace, str(claim.spec.volume_name))


def writing_on(deployed: Deployed) -> str:
    """The node of the workload's newest pod that is Ready, and so has written; empty where none is."""
    with deployed.cluster.api() as client:
        pods: list[Any] = k8s.CoreV1Api(client).list_namespaced_pod(deployed.namespace).items
    ready = [pod for pod in pods if pod.metadata.deletion_timestamp is None and is_ready(pod.status)]
    return str(max(ready, key=lambda pod: pod.metadata.creation_timestamp).spec.node_name) if ready else ""


def affinity(*, prefer: Sequence[str] = (), avoid: str = "") -> dict[str, object]:
    """A pod's affinity: rather on these nodes, the first ones most, and never on the other."""

    def term(operator: str, node: str) -> dict[str, object]:
        return {"matchFields": [{"key": "metadata.name", "operator": operator, "values": [node]}]}

    rules: dict[str, object] = {}
    if prefer:
        rules["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": max(100 // 2**place, 1), "preference": term("In", node)} for place, node in enumerate(prefer)
        ]
    if avoid:
        rules["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [term("NotIn", avoid)]}
    return {"nodeAffinity": rules}


def _binds_at_once(client: ApiClient, storage_class: str) -> bool:
    """Whether a claim of the class is bound without a pod; the other mode waits for the first one."""
    mode = k8s.StorageV1Api(client).read_storage_class(storage_class).volume_binding_mode
    return mode in {None, "Immediate"}


def _bound(deployed: Deployed) -> bool:
    with deployed.cluster.api() as client:
        claim: Any = k8s.CoreV1Api(client).read_namespaced_persistent_volume_claim(CLAIM, deployed.namespace)
    return bool(claim.status.phase == "Bound")


def _why_not(deployed: Deployed, storage_class: str) -> str:
    """Why a workload does not write, by its claim and the last event about it."""
    with deployed.cluster.api() as client:
        core = k8s.CoreV1Api(client)
        claims: list[Any] = core.list_namespaced_persistent_volume_claim(deployed.namespace).items
        events: list[Any] = core.list_namespaced_event(deployed.namespace).items
    # What is said of the claim tells more than that the scheduler waits for it.
    kinds = ["PersistentVolumeClaim"] if any(c.status.phase != "Bound" for c in claims) else ["Pod"]
    about = [e for e in events if e.involved_object.kind in kinds] or [e for e in events if e.type == "Warning"]
    last = f'; the last event: "{about[-1].message[-300:]}"' if about else ""
    waited = f"within {WRITES_WITHIN_S:g} s"
    if any(claim.status.phase != "Bound" for claim in claims):
        return (
            f"a claim of the StorageClass {storage_class} was not bound {waited}{last}; look at its provisioner, or "
            "name another class with --ordeal-storage-class"
        )
    return f"{deployed.name} wrote nothing into its volume of the StorageClass {storage_class} {waited}{last}"
