"""An admission webhook serves a cluster; and its backend is gone, or slow."""

import json
import re
import socket
import sys
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import EtcdBehind
from chaos.clusters.base import Cluster
from chaos.clusters.beside import ServesBeside
from chaos.clusters.way.client import raw_get
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses
from chaos.subjects.webhooks.configured import NAME, PODS, Asks, configuration
from chaos.subjects.webhooks.server import LOOPBACK

PROCESS, SLOW = "webhook", "webhook-slow"
REFUSED = "failed calling webhook"  # apiserver, pkg/admission/plugin/webhook/errors/statuserror.go
CONNECT_WITHIN_S = 2.0
_CALLED = "apiserver_admission_webhook_request_total{"
_FAILED = (
    "apiserver_admission_webhook_rejection_count{",
    "apiserver_admission_webhook_fail_open_count{",
)
_CALLING = "calling_webhook_error"
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class _Served(Cluster, ServesBeside, EtcdBehind, Protocol): ...


class ServeWebhookPlan(msgspec.Struct, frozen=True):
    """The namespace of its pods, what it is asked for, its port on loopback, the controllers that ran."""

    own: str
    asks: Asks
    port: int
    controllers: tuple[str, ...]


class LoseWebhookPlan(msgspec.Struct, frozen=True):
    """The namespace of its pods, one about whose pods it is asked, its port, after how long it answers (0: never), and
    how many calls of it had failed before.
    """

    own: str
    asked: str
    port: int
    answer_after_s: float
    failed: int


@fault
@dataclass(frozen=True, slots=True)
class ServeWebhook:
    """A webhook is asked for pods and leases, and allows all. Its pods are in the namespace `own`; what serves in their
    place is a process of this machine. `asked`: a namespace that it is asked about.

    Undo takes the configuration away, which no webhook is ever asked about, and starts the controllers that ran.
    """

    kind: ClassVar[str] = "serve-webhook"
    counterpart: ClassVar[str] = "remove_webhook"
    needs: ClassVar[tuple[type, ...]] = (ServesBeside, EtcdBehind)
    uses: ClassVar[Uses] = Uses()
    own: str
    asked: str
    asks: Asks = Asks.HARDENED

    def plan(self, cluster: _Served) -> ServeWebhookPlan:
        if port_of(cluster) is not None:
            raise OrdealError(f"there is a webhook {NAME} on {cluster.ref.name} already: run `kube-ordeal undo` first")
        return ServeWebhookPlan(self.own, self.asks, cluster.beside().free_port(), cluster.controllers_running())

    def apply(self, cluster: _Served, saved: ServeWebhookPlan) -> None:
        _start(cluster, PROCESS, saved.port, 0)
        with cluster.api() as client:
            body = configuration(saved.asks, saved.own, saved.port, cluster.beside().keys.authority)
            create: Any = k8s.AdmissionregistrationV1Api(client).create_validating_webhook_configuration
            create(body)

    def landed(self, cluster: _Served, saved: ServeWebhookPlan) -> bool:
        """A pod would be admitted, and the API server has counted that it asked for that."""
        with cluster.api() as client:
            return admits(client, self.asked) and bool(_counted(client, _CALLED, name=PODS))

    @staticmethod
    def lasts(cluster: _Served, saved: ServeWebhookPlan) -> bool:
        return port_of(cluster) == saved.port

    @staticmethod
    def undo(cluster: _Served, saved: ServeWebhookPlan) -> None:
        with cluster.api() as client:
            delete: Any = k8s.AdmissionregistrationV1Api(client).delete_validating_webhook_configuration
            try:
                delete(NAME)
            except ApiException as error:
                if error.status != 404:
                    raise
        cluster.beside().kill(PROCESS, SLOW)
        if saved.controllers:
            cluster.start_controllers(saved.controllers)

    @staticmethod
    def undone(cluster: _Served, saved: ServeWebhookPlan) -> bool:
        serves = cluster.beside().runs(PROCESS) or cluster.beside().runs(SLOW)
        return port_of(cluster) is None and not serves and {*saved.controllers} <= {*cluster.controllers_running()}


@fault
@dataclass(frozen=True, slots=True)
class LoseWebhook:
    """The backend of the webhook that ServeWebhook made is gone, or, with `answer_after_s`, slow; its pods, in the
    namespace `own`, are deleted. `asked`: a namespace that it is asked about.

    Undo starts it anew, where it is still configured.
    """

    kind: ClassVar[str] = "lose-webhook"
    counterpart: ClassVar[str] = "return_webhook"
    needs: ClassVar[tuple[type, ...]] = (ServesBeside, EtcdBehind)
    uses: ClassVar[Uses] = Uses()
    own: str
    asked: str
    answer_after_s: float = 0.0

    def plan(self, cluster: _Served) -> LoseWebhookPlan:
        port = port_of(cluster)
        if port is None or not cluster.beside().runs(PROCESS):
            raise OrdealError(f"no webhook {NAME} serves {cluster.ref.name}, so none can be lost: serve one first")
        with cluster.api() as client:
            return LoseWebhookPlan(self.own, self.asked, port, self.answer_after_s, _failures(client))

    def apply(self, cluster: _Served, saved: LoseWebhookPlan) -> None:
        cluster.beside().kill(PROCESS)
        if saved.answer_after_s:
            _start(cluster, SLOW, saved.port, saved.answer_after_s)
        with cluster.api() as client:
            k8s.CoreV1Api(client).delete_collection_namespaced_pod(saved.own)

    def landed(self, cluster: _Served, saved: LoseWebhookPlan) -> bool:
        """A pod that it would be asked about is refused, and the API server has counted that the call has failed."""
        with cluster.api() as client:
            return not admits(client, saved.asked) and _failures(client) > saved.failed

    @staticmethod
    def lasts(cluster: _Served, saved: LoseWebhookPlan) -> bool:
        return not cluster.beside().runs(PROCESS) and cluster.beside().runs(SLOW) == bool(saved.answer_after_s)

    @staticmethod
    def undo(cluster: _Served, saved: LoseWebhookPlan) -> None:
        beside = cluster.beside()
        beside.kill(SLOW)
        if port_of(cluster) == saved.port and not beside.runs(PROCESS):
            _start(cluster, PROCESS, saved.port, 0)

    @staticmethod
    def undone(cluster: _Served, saved: LoseWebhookPlan) -> bool:
        """Where it is still configured, it serves again: a process that has begun does not yet."""
        beside, wanted = cluster.beside(), port_of(cluster) == saved.port
        return not beside.runs(SLOW) and beside.runs(PROCESS) == wanted and (not wanted or _listens(saved.port))


def port_of(cluster: Cluster) -> int | None:
    """The port at which the API server calls the webhook; None where none is configured."""
    with cluster.api() as client:
        read: Any = k8s.AdmissionregistrationV1Api(client).read_validating_webhook_configuration
        try:
            url = read(NAME).webhooks[0].client_config.url
        except ApiException as error:
            if error.status == 404:
                return None
            raise
    return int(url.rstrip("/").rpartition(":")[2])


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), CONNECT_WITHIN_S).close()
    except OSError:
        return False
    return True


def admits(client: ApiClient, namespace: str) -> bool:
    """Whether a pod would be admitted there now. Raises ApiException where it is refused by somebody else."""
    body: Any = {
        "metadata": {"generateName": "kube-ordeal-tried-"},
        "spec": {"containers": [{"name": "none", "image": "none"}]},
    }
    return not refused(lambda: k8s.CoreV1Api(client).create_namespaced_pod(namespace, body, dry_run="All"))


def refused(ask: Any) -> bool:
    """Whether a request is refused because a webhook could not be called. Raises ApiException where it is refused by
    somebody else.
    """
    try:
        ask()
    except ApiException as error:
        try:
            said = str(json.loads(error.body or "")["message"])
        except (ValueError, KeyError, TypeError):
            said = ""
        if REFUSED in said:
            return True
        raise
    return False


def _start(cluster: ServesBeside, name: str, port: int, answer_after_s: float) -> None:
    beside = cluster.beside()
    keys = beside.keys
    argv = [sys.executable, "-m", "chaos.subjects.webhooks.server", str(port), str(keys.certificate), str(keys.key)]
    beside.start(name, [*argv, f"{answer_after_s:g}"])


def _failures(client: ApiClient) -> int:
    return sum(_counted(client, each, name=PODS) for each in _FAILED)


def _counted(client: ApiClient, metric: str, *, name: str) -> int:
    """The sum of an API server's own counter over one webhook."""
    lines = raw_get(client, "/metrics").decode().splitlines()
    of = [(dict(_LABEL.findall(line)), line) for line in lines if line.startswith(metric)]
    ours = [line for labels, line in of if labels["name"] == name and labels.get("error_type", _CALLING) == _CALLING]
    return sum(int(float(line.rpartition(" ")[2])) for line in ours)
