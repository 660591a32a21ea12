"""What all workloads share."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from string import Template

import yaml
from kubernetes.client import ApiClient
from kubernetes.utils import create_from_dict

from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.hosts.places import manifests_dir

WORKLOAD_LABEL = "kube-ordeal/workload"  # on every pod of a workload; its value is the workload's name
RUN_LABEL = "kube-ordeal/run"  # on what a run has made; its value is the run's id


def manifest(file: str) -> Template:
    """A file below manifests/, to be filled in. A script in it may need `safe_substitute`."""
    return Template((manifests_dir() / file).read_text())


def create(client: ApiClient, text: str, *, without: Collection[str] = ()) -> None:
    """Create each object of a manifest, but for those of the kinds `without`. Raises what the client raises."""
    create_one: Callable[[ApiClient, object], object] = create_from_dict
    for each in yaml.safe_load_all(text):
        if each["kind"] not in without:
            create_one(client, each)


@contextmanager
def creating(name: str, cluster: Cluster) -> Iterator[None]:
    """Whatever keeps the block from creating the workload becomes an OrdealError that names it."""
    try:
        yield
    except Exception as error:
        raise OrdealError(f"the workload {name} can't be created on {cluster.ref.name}: {error}") from error
