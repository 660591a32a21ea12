"""What kind is told of a cluster that is made: its configuration, from the shape that a suite asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chaos.clusters.base import Images
from chaos.clusters.kind.loopfs import LoopFileSystem
from chaos.clusters.kind.pytestkind import KindTools
from chaos.clusters.shape import SHARED, Shape
from chaos.errors import OrdealError
from chaos.hosts.image import kind_config_patches

POD_SUBNET = "10.244.0.0/16"
SERVICE_SUBNET = "10.96.0.0/16"
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KindSetup:
    """What a kind cluster is made with: the node image (None: kind's published default), its programs, images."""

    tools: KindTools
    version: str
    node_image: str | None
    images: Images
    cgroup_v1: bool


def kind_config(
    shape: Shape, setup: KindSetup, file_systems: Sequence[Sequence[LoopFileSystem]] = (), shared: Path | None = None
) -> str:
    """kind's configuration for a shape, as YAML. Times become whole seconds where the flag takes no fraction.

    `file_systems` are each worker's own, `shared` is a folder that every node has.
    """
    timers = shape.timers
    manager = {**timers.controller_manager_flags(), **dict(shape.controller_manager)}
    if shape.node_cidr_bits != Shape().node_cidr_bits:
        manager["node-cidr-mask-size"] = str(shape.node_cidr_bits)
    apiserver = {**timers.apiserver_flags(), **dict(shape.apiserver)}
    kubelet: Manifest = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # A quarter of it is the kubelet's renew interval (pkg/kubelet/kubelet.go, nodeLeaseRenewIntervalFraction):
        # four renewals must fit into the grace period, or a healthy node would be declared lost.
        "nodeLeaseDurationSeconds": min(40, max(4, int(timers.monitor_grace_s))),
    }
    if shape.max_pods:
        kubelet["maxPods"] = shape.max_pods
    cluster = {
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": _extra_args(apiserver, setup.version)},
        "controllerManager": {"extraArgs": _extra_args(manager, setup.version)},
        "scheduler": {"extraArgs": _extra_args(timers.leader_election_flags(), setup.version)},
    }
    for_cgroups = kind_config_patches(setup.version, 1 if setup.cgroup_v1 else 2)
    node = {"image": setup.node_image} if setup.node_image else {}
    nodes: list[Manifest] = [{"role": "control-plane", **node}]
    nodes += [{"role": "worker", **node} for _ in range(shape.workers)]
    own = [(), *file_systems, *[()] * (shape.workers - len(file_systems))]
    for each, its_own in zip(nodes, own, strict=True):
        mounts = [{"hostPath": str(f.mounted), "containerPath": f.path} for f in its_own]
        mounts += [{"hostPath": str(shared), "containerPath": SHARED}] if shared else []
        if mounts:
            each["extraMounts"] = mounts
    config = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"ipFamily": "ipv4", "podSubnet": POD_SUBNET, "serviceSubnet": SERVICE_SUBNET},
        "kubeadmConfigPatches": [yaml.safe_dump(cluster), yaml.safe_dump(kubelet), *for_cgroups],
        "nodes": nodes,
    }
    return yaml.safe_dump(config, sort_keys=False)


def check_addresses(shape: Shape) -> None:
    """Raises OrdealError where a node's range of pod addresses can't serve its maxPods."""
    pods = shape.max_pods or 110
    usable = 2 ** (32 - shape.node_cidr_bits) - 3  # without the network's, the broadcast's and the gateway's
    if pods > usable:
        raise OrdealError(
            f"maxPods={pods} on a node with a /{shape.node_cidr_bits} can't be served: it has {usable} addresses for "
            f"pods; give nodes a larger range (--node-cidr-mask-size) or lower maxPods"
        )


def _extra_args(flags: Mapping[str, str], version: str) -> object:
    """kubeadm v1beta3 takes a map; kind uses v1beta4, which takes a list, from Kubernetes 1.36 on."""
    if _minor(version) >= 36:
        return [{"name": name, "value": value} for name, value in flags.items()]
    return dict(flags)


def _minor(version: str) -> int:
    return int(version.removeprefix("v").split(".")[1])
