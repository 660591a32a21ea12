"""Existing clusters: whatever a kubeconfig names. They are never made and never deleted here.

A cluster whose nodes are kind containers on this machine (providerID kind://docker/CLUSTER/NODE) is reached from the
host's side like one of our own, and so has kind's abilities; any other has what the API gives.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from kubernetes.client import ApiClient, CoreV1Api
from urllib3.exceptions import HTTPError

from chaos.clusters import docker, rights
from chaos.clusters.base import EXISTING, Cluster, ClusterRef, Images, Node, Shape
from chaos.clusters.client import Access, api_client, read_nodes, server_version, unanswered
from chaos.clusters.kind import PUBLISHED_BUSYBOX, KindCluster, images_of
from chaos.errors import OrdealError


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
        return {"provider": "existing", "kubernetes": self.kubernetes, "nodes": str(len(self.nodes()))}

    def delete(self) -> None:
        """Does nothing: the cluster is not ours."""


def check(kubeconfig: Path, context: str) -> None:
    """Raises OrdealError where nothing answers, or the kubeconfig's user may not do what replays do."""
    with api_client(kubeconfig, context) as client:
        server_version(client)
        try:
            rights.require(client)
        except HTTPError as error:
            raise unanswered(client, error) from error


def attach(kubeconfig: Path, context: str, shape: Shape, busybox_image: str = "") -> Cluster:
    """The cluster that a kubeconfig names. Raises OrdealError where the file is unusable or nothing answers."""
    with api_client(kubeconfig, context) as client:
        server_version(client)
        try:
            nodes = CoreV1Api(client).list_node().items
        except Exception as error:
            raise unanswered(client, error) from error
    providers = [n.spec.provider_id or "" for n in nodes if n.spec]
    name = _local_kind_cluster(providers)
    ref = ClusterRef(EXISTING, name or context or "current-context", str(kubeconfig), context)
    if name is not None:
        images = Images(busybox_image) if busybox_image else images_of(ref)
        return KindCluster(ref, shape, images, tools=None)
    return ExistingCluster(ref, shape, Images(busybox_image or PUBLISHED_BUSYBOX))


def _local_kind_cluster(providers: list[str]) -> str | None:
    """The kind cluster's name, if every node is a container of it on this machine's engine."""
    parts = [p.removeprefix("kind://docker/").split("/") for p in providers if p.startswith("kind://docker/")]
    names = {p[0] for p in parts if len(p) == 2}
    if not providers or len(parts) != len(providers) or len(names) != 1:
        return None
    name = names.pop()
    try:
        local = set(docker.names_in_cluster(name))
    except OrdealError:  # no engine can be used
        return None
    return name if {p[1] for p in parts} <= local else None
