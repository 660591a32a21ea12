"""What all workloads share."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from string import Template
from typing import Any

import yaml
from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.utils import create_from_dict
from urllib3.exceptions import HTTPError

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import told
from chaos.errors import OrdealError
from chaos.hosts.places import manifests_dir

WORKLOAD_LABEL = "kube-ordeal/workload"  # on every pod of a workload; its value is the workload's name
RUN_LABEL = "kube-ordeal/run"  # on what a run has made; its value is the run's id
# A cluster's own default may let in nothing but restricted pods (the admission plugin PodSecurity's configuration), and
# a web server on port 80 is none. What a namespace says goes before the default.
POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
ASKED_PODS = 20  # all of a workload run the same few images
ACCOUNT_WITHIN_S = 60.0  # a busy controller manager gives a namespace its service account seconds later


def manifest(file: str) -> Template:
    """A file below manifests/, to be filled in. A script in it may need `safe_substitute`."""
    return Template((manifests_dir() / file).read_text())


def create(client: ApiClient, text: str, *, without: Collection[str] = ()) -> None:
    """Create each object of a manifest, but for those of the kinds `without`. Raises what the client raises.

    Before a pod it waits for the namespace's service account, as `create_namespace` does.
    """
    create_one: Callable[[ApiClient, object], object] = create_from_dict
    for each in yaml.safe_load_all(text):
        if each["kind"] in without:
            continue
        if each["kind"] == "Namespace":
            each["metadata"]["labels"] = {**POD_SECURITY, **each["metadata"].get("labels", {})}
        if each["kind"] == "Pod":
            _wait_for_account(k8s.CoreV1Api(client), each["metadata"]["namespace"])
        create_one(client, each)


def pulled_by_nodes(cluster: Cluster, namespace: str) -> dict[str, str]:
    """What nodes say that the images of some pods there are, as facts of the cluster; empty where none can be asked."""
    found: dict[str, str] = {}
    with suppress(ApiException, HTTPError, OrdealError), cluster.api() as client:
        pods: list[Any] = k8s.CoreV1Api(client).list_namespaced_pod(namespace, limit=ASKED_PODS).items
        for status in (each for pod in pods for each in pod.status.container_statuses or ()):
            if status.image_id:
                found[f"image {status.image}"] = status.image_id
    return found


@contextmanager
def creating(name: str, cluster: Cluster) -> Iterator[None]:
    """Whatever keeps the block from creating the workload becomes an OrdealError that names it."""
    try:
        yield
    except Exception as error:
        raise OrdealError(f"the workload {name} can't be created on {cluster.ref.name}: {told(error)}") from error


def create_namespace(core: "k8s.CoreV1Api", name: str, labels: dict[str, str]) -> None:
    """Create a namespace, and wait until pods can be: without its service account the API server forbids them.

    The controller manager makes that account (kubernetes/pkg/controller/serviceaccount); controllers try again until
    it is there, whoever creates a pod himself has to wait. Raises ApiException, OrdealError where it does not come.
    """
    body: Any = {"metadata": {"name": name, "labels": {**POD_SECURITY, **labels}}}
    core.create_namespace(body)
    _wait_for_account(core, name)


def _wait_for_account(core: "k8s.CoreV1Api", namespace: str) -> None:
    what = f"the namespace {namespace} to have its service account"
    eventually(lambda: core.read_namespaced_service_account("default", namespace), within_s=ACCOUNT_WITHIN_S, what=what)
