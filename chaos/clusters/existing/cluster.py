"""Existing clusters: whatever a kubeconfig names. They are never made and never deleted here.

A cluster whose nodes are kind containers on this machine (providerID kind://docker/CLUSTER/NODE) is reached from the
host's side like one of our own, and so has kind's abilities; any other has what the API gives, and power by a driver.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient
from urllib3.exceptions import HTTPError

from chaos.clusters.agent import cluster as agent
from chaos.clusters.base import EXISTING, Cluster, ClusterRef, Images, Node, PowerRef
from chaos.clusters.existing import rights
from chaos.clusters.identity import Identity
from chaos.clusters.kind import docker
from chaos.clusters.kind.cluster import KindCluster, images_of
from chaos.clusters.power import drivers
from chaos.clusters.power.switch import PowerSwitch
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import SYSTEM, Access, api_client, raw_list, read_nodes, server_version, unanswered
from chaos.errors import OrdealError
from chaos.hosts import registry

PROVIDER_ID = "kind://docker/"  # then the cluster's name, a slash, and the node's
MACHINE_ID = "/etc/machine-id"
ADMIN = "/etc/kubernetes/admin.conf"


class ExistingCluster:
    """A cluster known by its kubeconfig alone. Has no ability that the API does not give."""

    def __init__(self, ref: ClusterRef, shape: Shape, images: Images) -> None:
        self._ref, self._shape, self._images = ref, shape, images

    @property
    def ref(self) -> ClusterRef:
        return self._ref

    @property
    def shape(self) -> Shape:
        return self._shape

    @property
    def images(self) -> Images:
        return self._images

    @cached_property
    def kubernetes(self) -> str:
        with self.api() as client:
            return server_version(client)

    @cached_property
    def _access(self) -> Access:
        """Kept, so that a plugin is not asked for credentials with every client."""
        return Access(Path(self._ref.kubeconfig), self._ref.context)

    def api(self) -> ApiClient:
        return self._access.client()

    def nodes(self) -> tuple[Node, ...]:
        with self.api() as client:
            return read_nodes(client)

    def facts(self) -> Mapping[str, str]:
        facts = {"provider": "existing", "kubernetes": self.kubernetes, "nodes": str(len(self.nodes()))}
        return facts if self._ref.power is None else {**facts, "power driver": self._ref.power.driver}

    def identity(self) -> Identity:
        return self._access.identity()

    def identify(self) -> None:
        self._ref = replace(self._ref, identity=self.identity())

    def delete(self) -> None:
        """Does nothing: the cluster is not ours."""


class PoweredCluster(ExistingCluster):
    """The same, and a driver switches its nodes."""

    def __init__(self, ref: ClusterRef, shape: Shape, images: Images, power: PowerSwitch) -> None:
        super().__init__(ref, shape, images)
        self._power = power

    # --- NodePower

    def power_state(self, node: str) -> str:
        return self._power.power_state(node)

    def power_off(self, node: str) -> None:
        self._power.power_off(node)

    def power_on(self, node: str) -> None:
        self._power.power_on(node)


def check(kubeconfig: Path, context: str, *, agents: bool = False) -> None:
    """Raises OrdealError where nothing answers, or the kubeconfig's user may not do what every run does, and with
    `agents` what putting agents onto nodes takes.
    """
    with api_client(kubeconfig, context) as client:
        server_version(client)
        try:
            rights.require(client, rights.EVERY_RUN, *([rights.AGENTS] if agents else []))
        except HTTPError as error:
            raise unanswered(client, error) from error


def require_all_rights(cluster: Cluster, what: str) -> None:
    """Raises OrdealError where the user of a cluster that is not ours may not do everything, which `what` needs."""
    if cluster.ref.kind != EXISTING:
        return
    with cluster.api() as client:
        try:
            rights.require_all(client, what)
        except HTTPError as error:
            raise unanswered(client, error) from error


def attach(
    kubeconfig: Path, context: str, shape: Shape, busybox_image: str = "", power: PowerRef | None = None
) -> Cluster:
    """The cluster that a kubeconfig names. `power`: what switches its nodes.

    Raises OrdealError where the file is unusable, nothing answers, no image for small workloads is named or known by
    its digest, or a driver is named for nodes that this machine's engine switches.
    """
    access = Access(kubeconfig, context)
    with access.client() as client:
        server_version(client)
        try:
            nodes = raw_list(client, "/api/v1/nodes")
        except Exception as error:
            raise unanswered(client, error) from error
    seen = access.identity()
    local = _local_kind_cluster(nodes, seen)
    if local is not None and power is not None:
        raise OrdealError(
            f"the nodes of the kind cluster {local.name} are containers of this machine, which are switched without a "
            f"power driver: leave it out"
        )
    if local is not None:
        ref = ClusterRef(EXISTING, local.name, str(kubeconfig), context, local.identity)
        images = Images(busybox_image or images_of(ref).busybox or registry.busybox())
        return KindCluster(ref, shape, images, tools=None)
    ref = _ref_by_api(kubeconfig, context, seen, power)
    return _by_api(ref, shape, Images(busybox_image or registry.busybox()))


def attach_by_api(
    kubeconfig: Path, context: str, shape: Shape, busybox_image: str = "", power: PowerRef | None = None
) -> ExistingCluster:
    """The same, with nothing but what its API server and the driver give, also where this machine's engine has its
    nodes.
    """
    ref = _ref_by_api(kubeconfig, context, Access(kubeconfig, context).identity(), power)
    return _by_api(ref, shape, Images(busybox_image or registry.busybox()))


def _ref_by_api(kubeconfig: Path, context: str, seen: Identity, power: PowerRef | None) -> ClusterRef:
    return ClusterRef(EXISTING, context or "current-context", str(kubeconfig), context, seen, power=power)


def _by_api(ref: ClusterRef, shape: Shape, images: Images) -> ExistingCluster:
    if ref.power is None:
        return ExistingCluster(ref, shape, images)
    return PoweredCluster(ref, shape, images, drivers.switch(ref.power))


def attach_again(ref: ClusterRef, shape: Shape, busybox: str = "") -> Cluster:
    """The cluster of a reference, as it was then: with the abilities that it had, also where its API server is away.

    `busybox`: the image that it was given, where the user named one.
    """
    if ref.identity is None:
        return attach(Path(ref.kubeconfig), ref.context, shape, busybox)
    if ref.identity.engine:
        return KindCluster(ref, shape, Images(busybox) if busybox else images_of(ref), tools=None)
    plain = _by_api(ref, shape, Images(busybox or registry.known(registry.BUSYBOX)))
    return agent.again(plain, Path(ref.agent)) if ref.agent else plain


@dataclass(frozen=True, slots=True)
class _Local:
    """A kind cluster whose nodes are containers of this machine's engine."""

    name: str
    identity: Identity


def _local_kind_cluster(nodes: list[Any], seen: Identity) -> _Local | None:
    """The kind cluster that it is, if every node is a container of it on this machine's engine.

    Names prove nothing: any API server can say them, such as that of a cluster of the same name on another machine. So
    the containers are asked which cluster they are (kubeadm's admin.conf, on a control-plane node) and which machines.
    """
    named = {n["metadata"]["name"]: (n["spec"].get("providerID") or "").removeprefix(PROVIDER_ID) for n in nodes}
    clusters = {each.partition("/")[0] for each in named.values()}
    name = next(iter(clusters), "")
    if len(clusters) != 1 or any(each != f"{name}/{node}" for node, each in named.items()):
        return None
    try:
        containers = docker.ids_in_cluster(name)
        identity = replace(
            seen,
            engine=docker.engine_id(),
            nodes=tuple(replace(node, container=containers.get(node.name, "")) for node in seen.nodes),
        )
        is_it = set(named) <= set(containers) and _is_of(name, identity)
    except OrdealError:  # no engine can be used
        return None
    return _Local(name, identity) if is_it else None


def _is_of(cluster: str, claimed: Identity) -> bool:
    """Whether the containers are the nodes of the cluster that was reached by the kubeconfig."""
    for node in claimed.nodes:
        said = docker.execute(node.container, ["cat", MACHINE_ID], timeout_s=20, check=False, stdin=None)
        if said.code == 0 and said.out.strip() != node.machine:  # one that is off can't be asked
            return False
    for name in docker.names_in_cluster(cluster, "control-plane"):
        container = next((node.container for node in claimed.nodes if node.name == name), "")
        if container and (uid := _uid_inside(container)):
            return uid == claimed.uid
    return False


def _uid_inside(container: str) -> str:
    """The UID of kube-system as a control-plane node's own administrator gets it; "" where that can't be asked."""
    argv = ["kubectl", f"--kubeconfig={ADMIN}", "--request-timeout=10s", "get", "namespace", SYSTEM]
    said = docker.execute(
        container, [*argv, "--output=jsonpath={.metadata.uid}"], timeout_s=20, check=False, stdin=None
    )
    return said.out.strip() if said.code == 0 else ""
