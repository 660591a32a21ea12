"""The Kubernetes API client: made from a kubeconfig, never waiting for ever, its failures one sentence."""

import hashlib
import json
import ssl
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes import client as k8s
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.utils import FailToCreateError
from kubernetes.utils.quantity import parse_quantity
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ProxyError, SSLError

from chaos.clusters.base import Node
from chaos.clusters.identity import Identity, NodeIdentity
from chaos.clusters.way import kubeconfig as kubeconfigs
from chaos.clusters.way import proxies
from chaos.clusters.way.answers import CheckedClient, objects
from chaos.clusters.way.credentials import Login
from chaos.clusters.way.proxies import Proxy
from chaos.clusters.way.transport import UNAUTHORIZED, Transport, authorities, certificates
from chaos.errors import OrdealError

CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"
ZONE_LABEL = "topology.kubernetes.io/zone"
SYSTEM = "kube-system"  # the namespace that every cluster has from its first moment on
IDENTITY_WITHIN_S = 5.0
# They are imported where they are first named, which takes half a second: not in the middle of what is measured.
USED = (
    "AppsV1Api", "BatchV1Api", "CoordinationV1Api", "CoreV1Api", "PolicyV1Api", "RbacAuthorizationV1Api",
    "StorageV1Api", "VersionApi",
)  # fmt: skip
FAILURES = (OrdealError, ApiException, HTTPError)  # whatever a request can come to; `told` has words for each


class Access:
    """The way to the cluster of a kubeconfig's context. Its clients share credentials, which are renewed for all."""

    def __init__(self, kubeconfig: Path, context: str = "", *, direct: bool = False, in_haste: bool = False) -> None:
        """Nothing is sent yet, and no plugin is started. `direct`: the environment's proxy is not on the way.
        `in_haste`: for a request or two, which are sooner done than what a recording uses is loaded.

        Raises OrdealError where the file is missing, is no kubeconfig, lacks the context, or names what is not there.
        """
        for each in () if in_haste else USED:
            getattr(k8s, each)
        again = partial(_chosen, kubeconfig, context)
        self._chosen = again()
        self._server = kubeconfigs.server_url(self._chosen.cluster.server)
        proxy = self._chosen.cluster.proxy_url
        if proxy:
            self._proxy: Proxy | None = proxies.of_kubeconfig(proxy)
        else:
            self._proxy = None if direct else proxies.of_environment(self._server)
        # Over plain HTTP Go sends no credentials; nobody listens on this machine's own addresses.
        secret = self._server.startswith("https://") or proxies.is_local(self._server)
        self._login = Login(self._chosen, again) if secret else None

    def client(self) -> ApiClient:
        """A client of its own. Every request has a deadline (3 s to connect, 20 s between bytes) unless the call gives
        its own, and is sent once. Raises OrdealError where TLS or the proxy can't be had.
        """
        settings = Configuration()
        settings.host = self._server
        settings.proxy = None  # or the client would take the environment's, by rules of its own
        client = CheckedClient(settings)
        rest: Any = client.rest_client
        rest.pool_manager = Transport(self._chosen, self._login, self._proxy)
        return client

    @property
    def authority(self) -> str:
        """SHA-256 of the certificates that the kubeconfig trusts; "" where it names none. Raises as `client`."""
        found = sorted(certificates(authorities(self._chosen)))
        return hashlib.sha256(b"".join(found)).hexdigest() if found else ""

    def identity(self) -> Identity:
        """What the API server says that it is, and what the kubeconfig says of it. Where it is away, the latter."""
        ca = self.authority
        with self.client() as client:
            try:
                space = json.loads(raw_get(client, f"/api/v1/namespaces/{SYSTEM}", timeout_s=IDENTITY_WITHIN_S))
                nodes = raw_list(client, "/api/v1/nodes", timeout_s=IDENTITY_WITHIN_S)
                machines = tuple(NodeIdentity(n["metadata"]["name"], _machine(n)) for n in nodes)
                return Identity(space["metadata"]["uid"], ca, self._server, nodes=machines)
            except (*FAILURES, ValueError, LookupError, TypeError, AttributeError):
                return Identity(ca=ca, server=self._server)


def _machine(node: Mapping[str, Any]) -> str:
    return str(((node.get("status") or {}).get("nodeInfo") or {}).get("machineID") or "")


def _chosen(kubeconfig: Path, context: str) -> kubeconfigs.Chosen:
    return kubeconfigs.read(kubeconfig).choose(context)


def api_client(kubeconfig: Path, context: str = "", *, direct: bool = False) -> ApiClient:
    """A client for the cluster that a kubeconfig names; see Access."""
    return Access(kubeconfig, context, direct=direct).client()


def transport_of(client: ApiClient) -> Transport:
    """What a client's requests are sent by."""
    rest: Any = client.rest_client
    transport: Transport = rest.pool_manager
    return transport


def server_version(client: ApiClient) -> str:
    """The API server's version without the leading v. Raises OrdealError where it does not answer."""
    try:
        return str(json.loads(raw_get(client, "/version"))["gitVersion"]).removeprefix("v")
    except Exception as error:
        raise unanswered(client, error) from error


def read_nodes(client: ApiClient) -> tuple[Node, ...]:
    """All nodes as they are now. Raises OrdealError where the API server does not answer."""
    try:
        return tuple(_node(item) for item in k8s.CoreV1Api(client).list_node().items)
    except Exception as error:
        raise unanswered(client, error) from error


def count(quantity: str) -> int:
    """A whole number as the API writes quantities: 60k is 60,000 (apimachinery, pkg/api/resource/quantity.go)."""
    return int(parse_quantity(quantity))  # type: ignore[no-untyped-call]


def unanswered(client: ApiClient, error: Exception) -> OrdealError:
    """The sentence for a request that came to nothing."""
    if isinstance(error, OrdealError):
        return error
    where, proxy = client.configuration.host, transport_of(client).proxy
    if isinstance(error, ApiException) and error.status == UNAUTHORIZED:
        return OrdealError(
            f"the cluster at {where} does not accept the kubeconfig's credentials ({told(error)}); log in again"
        )
    if isinstance(error, ApiException) and error.status:
        return OrdealError(f"the cluster at {where} refuses: {told(error)}")
    if isinstance(_innermost(error), ssl.SSLCertVerificationError):
        return OrdealError(f"the cluster at {where}: {told(error)}")
    if proxy is not None:
        around = "; where it is reached without one, name its host in NO_PROXY" if proxy.from_environment else ""
        way = f"through the proxy {proxy} ({proxy.named_by})"
        return OrdealError(f"the cluster at {where} does not answer {way}: {told(error)}{around}")
    return OrdealError(f"the cluster at {where} does not answer ({told(error)}); is it running?")


def told(error: Exception) -> str:
    """What went wrong with a request, in less than a line: what the API server says of it, where it says something."""
    if isinstance(error, OrdealError):
        return str(error)
    if isinstance(error, FailToCreateError) and error.api_exceptions:
        error = error.api_exceptions[0]
    if isinstance(error, ApiException) and error.status:
        try:
            said = str(json.loads(error.body or "")["message"])
        except (ValueError, KeyError, TypeError):
            said = ""
        return said.strip()[:300] or f"HTTP {error.status} {error.reason or ''}".strip()
    error = _innermost(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted by what the kubeconfig says: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {str(error.reason or error).lower().replace('_', ' ')}"[:300]
    text = str(error).strip().splitlines()
    if isinstance(error, HTTPError):  # urllib3 begins with the connection's repr
        text = [text[0].rpartition(": ")[2]] if text else []
    return text[0][:300] if text else type(error).__name__


def _innermost(error: Exception) -> Exception:
    """What urllib3 has wrapped into other errors."""
    inner: object = None
    if isinstance(error, MaxRetryError):
        inner = error.reason
    elif isinstance(error, ProxyError):
        inner = error.original_error
    elif isinstance(error, ProtocolError):
        inner = error.args[-1]
    elif isinstance(error, SSLError) and error.args:
        inner = error.args[0]
    return _innermost(inner) if isinstance(inner, Exception) else error


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


def container_runtime(client: ApiClient, node: str) -> str:
    """Its name and version, such as "containerd://2.1.4", as the Node says. Raises ApiException, HTTPError."""
    status: Any = k8s.CoreV1Api(client).read_node(node).status
    return str(status.node_info.container_runtime_version)


def raw_get(client: ApiClient, path: str, timeout_s: float | None = None) -> bytes:
    """The bytes that the API server answers for a path. Raises ApiException or a urllib3 error."""
    return _raw(client, "GET", path, timeout_s)


def raw_list(client: ApiClient, path: str, timeout_s: float | None = None) -> list[dict[str, Any]]:
    """The objects of a list, as JSON; each has a metadata with a name. Raises as `raw_get`, and OddAnswerError."""
    return objects(raw_get(client, path, timeout_s), client.configuration.host)


def raw_delete(client: ApiClient, path: str) -> None:
    """Delete what is at a path. Raises ApiException or a urllib3 error."""
    _raw(client, "DELETE", path)


def raw_create(client: ApiClient, path: str, body: Mapping[str, object]) -> None:
    """Create an object at the path of its list. Raises ApiException or a urllib3 error."""
    _raw(client, "POST", path, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def raw_merge(client: ApiClient, path: str, change: Mapping[str, object]) -> None:
    """Merge a change into what is at a path (RFC 7386). Raises ApiException or a urllib3 error."""
    headers = {"Content-Type": "application/merge-patch+json"}
    _raw(client, "PATCH", path, body=json.dumps(change).encode(), headers=headers)


def _raw(client: ApiClient, verb: str, path: str, timeout_s: float | None = None, **sent: Any) -> bytes:
    answer = transport_of(client).request(verb, f"{client.configuration.host}{path}", timeout=timeout_s, **sent)
    if not 200 <= answer.status < 300:
        refused = ApiException(status=answer.status, reason=answer.reason)
        refused.body = answer.data.decode(errors="replace")
        raise refused
    data: bytes = answer.data
    return data


def read_csi_drivers(client: ApiClient) -> dict[str, tuple[str, ...]]:
    """The CSI drivers that are registered on each node.

    Read as JSON: a node without one has `drivers: null`, which the client's own model refuses.
    """
    nodes = raw_list(client, "/apis/storage.k8s.io/v1/csinodes")
    return {n["metadata"]["name"]: tuple(d["name"] for d in n["spec"].get("drivers") or ()) for n in nodes}
