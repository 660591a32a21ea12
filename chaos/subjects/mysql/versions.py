"""Which versions of MySQL there are: of the pods that the API shows, by their images' names, and of an image itself."""

import re
from typing import Any

from kubernetes import client as k8s

from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.hosts import workload_build, workload_recipes
from chaos.hosts.command import CommandError
from chaos.hosts.engine import require
from chaos.record.history import History
from chaos.subjects.mysql.records import ServerVersion, version_in

# The names under which MySQL itself is published; what else speaks its protocol has version numbers of its own.
_IMAGE = re.compile(r"(?:^|/)(?:mysql|mysql-server|community-server|percona-server):([\w.-]+)$")


def read_running(cluster: Cluster, history: History) -> None:
    """A record for each pod whose image is a MySQL server's with a version in its tag. Nothing is asked of it."""
    with cluster.api() as client:
        found: Any = k8s.CoreV1Api(client).list_pod_for_all_namespaces()
    for pod in found.items:
        for container in pod.spec.containers:
            tag = _IMAGE.search(container.image or "")
            if tag is not None and version_in(tag[1]):
                name = f"{pod.metadata.namespace}/{pod.metadata.name}"
                history.add(ServerVersion(history.now(), name, tag[1], version_in(tag[1])))


def read_image(image: str, history: History) -> None:
    """A record of what the server in an image of this machine's engine says. Raises OrdealError."""
    try:
        said = workload_build.try_server(require(), workload_recipes.recipe("mysql"), image)
    except CommandError as error:
        raise OrdealError(f"the server in {image} can't be asked for its version: {error}") from error
    version = version_in(said)
    text = ".".join(str(part) for part in version) or said
    history.add(ServerVersion(history.now(), f"image {image}", text, version))


def read_of(history: History) -> list[ServerVersion]:
    """What was read."""
    return history.of(ServerVersion)
