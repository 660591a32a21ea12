"""A kind cluster as somebody else makes it: with kind itself, another name, and a pod network that is not ours.

Every pod hangs on its node by a veth pair of its own (CNI's ptp, addresses by host-local), and each node has a plain
route to the pods of each other one. No agent runs, nothing registers nodes, and nobody mends what is cut.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import CoreV1Api

from chaos.clusters.base import Node
from chaos.clusters.existing.cluster import attach
from chaos.clusters.kind import docker, networks
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.kind.config import POD_SUBNET, SERVICE_SUBNET
from chaos.clusters.kind.ready import kind_setup
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import api_client
from chaos.hosts.command import run
from chaos.hosts.image import kind_config_patches

CNI, ROUTES = "/etc/cni/net.d/10-somebodys.conflist", "somebodys-routes.service"
READY_WITHIN_S = 600.0  # ends by what is seen; beside another cluster on two cores three minutes were not enough


@contextmanager
def foreign_cluster(name: str, version: str, work: Path, network: str = "kind") -> Iterator[Path]:
    """The kubeconfig of a cluster with one control plane and two workers, all Ready; deleted at the block's end.

    `network`: the engine's, that its nodes are in.
    """
    setup = kind_setup(version)
    config, kubeconfig = work / "kind.yaml", work / "kubeconfig"
    image = {"image": setup.node_image} if setup.node_image else {}
    wanted = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        # The ranges are ours: the machine has unreachable routes for them, so that nothing leaves by its uplink.
        "networking": {
            "ipFamily": "ipv4",
            "disableDefaultCNI": True,
            "podSubnet": POD_SUBNET,
            "serviceSubnet": SERVICE_SUBNET,
        },
        "kubeadmConfigPatches": list(kind_config_patches(version)),
        "nodes": [{"role": role, **image} for role in ("control-plane", "worker", "worker")],
    }
    config.write_text(yaml.safe_dump(wanted))
    kind, named = str(setup.tools.kind), ("--name", name, "--kubeconfig", str(kubeconfig))
    try:
        run(
            [kind, "create", "cluster", *named, "--config", str(config)],
            timeout_s=600,
            env={networks.KINDS: network},
        )
        give_pod_network(kubeconfig)
        cluster = attach(kubeconfig, "", Shape())
        assert isinstance(cluster, KindCluster)
        cluster.wait_ready(READY_WITHIN_S)
        yield kubeconfig
    finally:
        run([kind, "delete", "cluster", *named], timeout_s=120)


def give_pod_network(kubeconfig: Path) -> None:
    """A CNI configuration for each node, and on each a route to the pods of the others, also after a start."""
    with api_client(kubeconfig) as client:
        listed: Any = CoreV1Api(client).list_node()
    ranges = {n.metadata.name: n.spec.pod_cidr for n in listed.items}
    addresses = {name: docker.inspect(name).address for name in ranges}
    for name, own in ranges.items():
        routes = [f"ip route replace {ranges[other]} via {addresses[other]}" for other in ranges if other != name]
        lines = ["[Service]", "Type=oneshot", *(f"ExecStart={each}" for each in routes)]
        unit = "\n".join([*lines, "[Install]", "WantedBy=multi-user.target", ""])
        script = "; ".join(["mkdir -p /etc/cni/net.d", f"cat > {CNI}"])
        docker.execute(name, ["sh", "-ec", script], timeout_s=30, check=True, stdin=json.dumps(cni(own)))
        script = f"cat > /etc/systemd/system/{ROUTES}; systemctl enable --now {ROUTES}"
        docker.execute(name, ["sh", "-ec", script], timeout_s=30, check=True, stdin=unit)


def cni(pods: str) -> dict[str, object]:
    """The CNI configuration of a node whose pods have addresses of this range."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]}
    plugins = [{"type": "ptp", "ipam": addresses}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return {"cniVersion": "0.4.0", "name": "somebodys", "plugins": plugins}


def nodes_of(kubeconfig: Path) -> tuple[Node, ...]:
    """The cluster's nodes now."""
    return attach(kubeconfig, "", Shape()).nodes()
