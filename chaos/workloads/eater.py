"""Pods on one node that take a stated part of its disk: what a kubelet under disk pressure is to evict first."""

from collections.abc import Callable
from dataclasses import dataclass
from string import Template

import yaml
from kubernetes.client import ApiClient
from kubernetes.utils import create_from_dict

from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.hosts.places import manifests_dir
from chaos.waiting import eventually
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
        filled = Template((manifests_dir() / "eater.yaml").read_text()).substitute(
            name=self.name,
            namespace=namespace,
            run=run,
            replicas=self.replicas,
            node=self.node,
            image=cluster.images.busybox,
            file=VOLUME if self.into_volume else LAYER,
            mib=self.mib,
        )
        with cluster.api() as client:
            try:
                create: Callable[[ApiClient, object], object] = create_from_dict
                for manifest in yaml.safe_load_all(filled):
                    create(client, manifest)
            except Exception as error:
                raise OrdealError(
                    f"the workload {self.name} can't be created on {cluster.ref.name}: {error}"
                ) from error
        deployed = Deployed(self.name, namespace, "", self.replicas, cluster)
        eventually(deployed.ready, within_s=READY_WITHIN_S, what=f"{self.replicas} replicas of {self.name} to be Ready")
        return deployed
