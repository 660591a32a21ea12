"""What is made and deleted again and again: pods that are scheduled, Services, events; and watches that nobody ends."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_create, raw_delete, raw_get, raw_list, transport_of
from chaos.workloads.base import RUN_LABEL, WORKLOAD_LABEL, create_namespace, creating
from chaos.workloads.web import Deployed

AT_ONCE = 8
FEW = 4  # pods of the same names again and again
BATCH = 40
SCHEDULED_WITHIN_S = 180.0  # ends when it is seen
# Labels that no node has. The scheduler looks for each of them on each node: with so many an attempt takes some 20 ms.
NOWHERE, TERMS = "kube-ordeal/nowhere", 2500


@dataclass(frozen=True, slots=True)
class Soaked:
    """An empty namespace, in which all of it happens."""

    name: str = "soak"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it. Raises OrdealError."""
        with cluster.api() as client, creating(self.name, cluster):
            create_namespace(k8s.CoreV1Api(client), namespace, {RUN_LABEL: run})
        return Deployed(self.name, namespace, "", 0, cluster)


def churn(soaked: Deployed, count: int, begin: int = 0) -> None:
    """Make so many Services, each with a pod that is scheduled, and delete them; no name is used twice.

    `begin`: how many were made before. Raises WaitedInVainError where pods are not scheduled, ApiException, HTTPError.
    """
    path = f"/api/v1/namespaces/{soaked.namespace}"
    with soaked.cluster.api() as client:
        for first in range(begin, begin + count, BATCH):
            names = [f"soak-{number}" for number in range(first, min(first + BATCH, begin + count))]
            _each(lambda name: raw_create(client, f"{path}/services", _service(name)), names)
            _each(lambda name: raw_create(client, f"{path}/pods", _pod(soaked, name)), names)
            eventually(
                lambda: all(pod["spec"].get("nodeName") for pod in raw_list(client, f"{path}/pods")),
                within_s=SCHEDULED_WITHIN_S,
                what=f"pods of {soaked.name} to be scheduled",
            )
            _each(lambda name: raw_delete(client, f"{path}/pods/{name}?gracePeriodSeconds=0"), names)
            _each(lambda name: raw_delete(client, f"{path}/services/{name}"), names)


def make_unschedulable(soaked: Deployed) -> None:
    """Make a few pods that fit on no node, each of which is replaced under its name by one that is tried in no time.

    A scheduler that hears of it all at once tries the first for so long that it has heard of the second meanwhile.
    Raises ApiException, HTTPError.
    """
    path = f"/api/v1/namespaces/{soaked.namespace}/pods"
    with soaked.cluster.api() as client:
        for name in _few():
            raw_create(client, path, _pod(soaked, name, _nowhere(TERMS)))
            _replace(client, path, soaked, name)


def replace_unschedulable(soaked: Deployed, count: int) -> None:
    """Replace those pods under their names, so many times in all, and then delete them.

    Raises ApiException, HTTPError.
    """
    path = f"/api/v1/namespaces/{soaked.namespace}/pods"

    def again(name: str) -> None:
        for _ in range(max(1, count // FEW)):
            _replace(client, path, soaked, name)
        raw_delete(client, f"{path}/{name}?gracePeriodSeconds=0")

    with soaked.cluster.api() as client:
        _each(again, _few())


def _few() -> list[str]:
    return [f"again-{number}" for number in range(FEW)]


def _replace(client: ApiClient, path: str, soaked: Deployed, name: str) -> None:
    raw_delete(client, f"{path}/{name}?gracePeriodSeconds=0")
    raw_create(client, path, _pod(soaked, name, _nowhere(1)))


def make_events(soaked: Deployed, count: int, begin: int = 0) -> None:
    """Store so many events, each of its own name. Raises ApiException, HTTPError."""
    path = f"/api/v1/namespaces/{soaked.namespace}/events"

    def make(number: int) -> None:
        name = f"soak-{number}"
        about = {"apiVersion": "v1", "kind": "Pod", "namespace": soaked.namespace, "name": name}
        said = {"reason": "Soak", "message": "something happened", "type": "Normal", "source": {"component": "soak"}}
        raw_create(client, path, {"metadata": {"name": name}, "involvedObject": about, **said})

    with soaked.cluster.api() as client:
        _each(make, range(begin, begin + count))


def stored_events(client: ApiClient) -> int:
    """How many there are in the cluster. Raises ApiException, HTTPError."""
    listed: Any = msgspec.json.decode(raw_get(client, "/api/v1/events?limit=1"))
    return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount") or 0)


class EndlessWatches:
    """Watches of a client that forgets to end them: they are there until the block is over."""

    def __init__(self, soaked: Deployed) -> None:
        self._soaked, self._open = soaked, ExitStack()

    def __enter__(self) -> Self:
        self._client = self._open.enter_context(self._soaked.cluster.api())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def more(self, count: int) -> None:
        """Open so many, of ConfigMaps, of which none changes. Raises HTTPError."""
        url = f"{self._client.configuration.host}/api/v1/namespaces/{self._soaked.namespace}/configmaps?watch=true"
        for _ in range(count):
            watch = transport_of(self._client).request("GET", url, preload_content=False)
            self._open.callback(watch.close)


def _each(do: Callable[[Any], None], items: Iterable[object]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(do, items))


def _service(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "spec": {"selector": {"soak": name}, "ports": [{"port": 80}]}}


def _pod(soaked: Deployed, name: str, affinity: dict[str, object] | None = None) -> dict[str, object]:
    container = {"name": "idle", "image": soaked.cluster.images.busybox, "command": ["sleep", "100000"]}
    return {
        "metadata": {"name": name, "labels": {WORKLOAD_LABEL: soaked.name, "soak": name}},
        "spec": {
            "containers": [container],
            "affinity": affinity or {},
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
        },
    }


def _nowhere(count: int) -> dict[str, object]:
    terms = [{"matchExpressions": [{"key": f"{NOWHERE}-{number}", "operator": "Exists"}]} for number in range(count)]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
