"""The Kubernetes API client: made from a kubeconfig, never waiting for ever, its failures one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config
from kubernetes.client import ApiClient, Configuration, CoreV1Api, VersionApi
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError

from chaos.clusters.base import Node
from chaos.errors import OrdealError

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 20.0

CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"
ZONE_LABEL = "topology.kubernetes.io/zone"


def api_client(kubeconfig: Path, context: str = "") -> ApiClient:
    """A client for the cluster that a kubeconfig names; nothing is sent yet.

    Every request has a deadline (3 s to connect, 20 s between bytes) unless the call gives its own, and is sent once.
    Raises OrdealError where the file is missing, is no kubeconfig, or lacks the context.
    """
    if not kubeconfig.is_file():
        raise OrdealError(f"there is no kubeconfig at {kubeconfig}: name one with --ordeal-kubeconfig")
    try:
        if not isinstance(yaml.safe_load(kubeconfig.read_text()), dict):
            raise OrdealError(f"{kubeconfig} is not a usable kubeconfig: it holds no mapping")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OrdealError(f"{kubeconfig} is not a usable kubeconfig: {_brief(error)}") from error
    settings = Configuration()
    settings.retries = Retry(0, redirect=False)
    try:
        load: Callable[..., None] = config.load_kube_config
        load(str(kubeconfig), context=context or None, client_configuration=settings)
    except (config.ConfigException, yaml.YAMLError, TypeError, ValueError, AttributeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OrdealError(f"{kubeconfig} is not a usable kubeconfig: {first}") from error
    client = ApiClient(settings)
    _give_deadline(client)
    return client


def server_version(client: ApiClient) -> str:
    """The API server's version without the leading v. Raises OrdealError where it does not answer."""
    try:
        return str(VersionApi(client).get_code().git_version).removeprefix("v")
    except Exception as error:
        where = client.configuration.host
        raise OrdealError(f"the cluster at {where} does not answer ({_brief(error)}); is it running?") from error


def read_nodes(client: ApiClient) -> tuple[Node, ...]:
    """All nodes as they are now. Raises OrdealError where the API server does not answer."""
    try:
        items = CoreV1Api(client).list_node().items
    except Exception as error:
        raise OrdealError(f"the nodes can't be listed at {client.configuration.host} ({_brief(error)})") from error
    return tuple(_node(item) for item in items)


def is_ready(status: Any) -> bool:
    """Whether the status of a pod or a node, as the client gives it, has the condition Ready."""
    return any(c.type == "Ready" and c.status == "True" for c in status.conditions or ())


def _node(item: Any) -> Node:
    labels = item.metadata.labels or {}
    addresses = {a.type: a.address for a in item.status.addresses or []}
    return Node(
        name=item.metadata.name,
        control_plane=CONTROL_PLANE_LABEL in labels,
        ready=next((c.status for c in item.status.conditions or [] if c.type == "Ready"), "Unknown"),
        address=addresses.get("InternalIP", ""),
        zone=labels.get(ZONE_LABEL, ""),
        taints=tuple(f"{t.key}:{t.effect}" for t in item.spec.taints or []),
    )


def _give_deadline(client: ApiClient) -> None:
    """Make the deadline the default: the generated client has none, and would wait for ever for a cut-off server."""
    rest: Any = client.rest_client
    request = rest.request

    def with_deadline(*args: Any, **kwargs: Any) -> Any:
        kwargs["_request_timeout"] = kwargs.get("_request_timeout") or (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        return request(*args, **kwargs)

    rest.request = with_deadline


def _brief(error: Exception) -> str:
    if isinstance(error, MaxRetryError) and error.reason is not None:
        text = str(error.reason).rpartition(": ")[2].splitlines()
    else:
        text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__


__all__ = ["api_client", "raw_get", "read_nodes", "server_version"]


def raw_get(client: ApiClient, path: str) -> bytes:
    """The bytes that the API server answers for a path. Raises ApiException or a urllib3 error."""
    return _raw(client, "GET", path)


def raw_delete(client: ApiClient, path: str) -> None:
    """Delete what is at a path. Raises ApiException or a urllib3 error."""
    _raw(client, "DELETE", path)


def _raw(client: ApiClient, verb: str, path: str) -> bytes:
    method, url, headers, body, _ = client.param_serialize(verb, path, auth_settings=["BearerToken"])
    response = client.call_api(method, url, headers, body)
    read: Callable[[], bytes] = response.read
    return read()


def read_csi_drivers(client: ApiClient) -> dict[str, tuple[str, ...]]:
    """The CSI drivers that are registered on each node.

    Read as JSON: a node without one has `drivers: null`, which the client's own model refuses.
    """
    nodes = json.loads(raw_get(client, "/apis/storage.k8s.io/v1/csinodes"))["items"]
    return {n["metadata"]["name"]: tuple(d["name"] for d in n["spec"].get("drivers") or ()) for n in nodes}
