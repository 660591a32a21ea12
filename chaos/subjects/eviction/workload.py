"""Pods on one node that take a stated part of its disk: what a kubelet under disk pressure is to evict first."""

from dataclasses import dataclass

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.workloads.base import create, creating, manifest
from chaos.workloads.web import READY_WITHIN_S, Deployed

LAYER, VOLUME = "/eaten", "/scratch/eaten"


@dataclass(frozen=True, slots=True)
class Eater:
    """`replicas` pods that each write `mib` MiB at their start. They serve nothing, and request no ephemeral storage.

    `into_volume`: into an emptyDir volume, which is on the kubelet's file system; else into their writable layers,
    which are on the image file system.
    """

    node: str
    into_volume: bool = False
    mib: int = 64
    replicas: int = 2
    name: str = "eater"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it, in a namespace of its own, and wait until every replica has written what it writes.

        Raises OrdealError, WaitedInVainError.
        """
        filled = manifest("eater.yaml").substitute(
            name=self.name,
            namespace=namespace,
            run=run,
            replicas=self.replicas,
            node=self.node,
            image=cluster.images.busybox,
            file=VOLUME if self.into_volume else LAYER,
            mib=self.mib,
        )
        with cluster.api() as client, creating(self.name, cluster):
            create(client, filled)
        deployed = Deployed(self.name, namespace, "", self.replicas, cluster)
        eventually(deployed.ready, within_s=READY_WITHIN_S, what=f"{self.replicas} replicas of {self.name} to be Ready")
        return deployed
