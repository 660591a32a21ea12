"""What is asked again and again while an upgraded control plane meets old objects."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from kubernetes.client import ApiClient

from chaos.basics.files import last_lines
from chaos.basics.untrusted import json_of
from chaos.clusters.abilities import ComponentSwap
from chaos.clusters.base import Cluster
from chaos.clusters.control_processes import ControlProcesses
from chaos.clusters.way.client import raw_get, raw_list
from chaos.record.history import History
from chaos.record.records import Observation
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.aged.promises import COMPONENTS, MUSEUM
from chaos.subjects.aged.records import ComponentSeen, Followed, Selected

LOOK_EVERY_S, ASK_EVERY_S = 0.5, 1.0
SAID_LAST = "said-last"  # Observation of a component that ended
SLICE_OF = "kubernetes.io/service-name"
LOG_BYTES, WORDS, LINES = 64 * 1024, 2000, 12
# Said as the last by one that could not renew its lease in time (cmd/kube-controller-manager/app/controllermanager.go
# and cmd/kube-scheduler/app/server.go, OnStoppedLeading).
LOST_LEASE = "leaderelection lost"


class WatchedPlane(Cluster, ComponentSwap, ControlProcesses, Protocol):
    """A cluster whose control plane is looked at."""


class MuseumWatch:
    """Looks at each component's process twice a second, and once a second at what Services name and a DaemonSet finds.

    What could not be asked is a Blind of the source `components` or `museum`; a component that is gone is no gap. What
    one that ended had said last is told at the end.
    """

    def __init__(
        self, history: History, cluster: WatchedPlane, namespace: str, services: Sequence[str], daemon: str
    ) -> None:
        self._history, self._cluster, self._namespace = history, cluster, namespace
        self._services, self._daemon = services, daemon
        self._sampling = ExitStack()
        self._gone: dict[str, ComponentSeen] = {}

    def __enter__(self) -> Self:
        seen, asked = Gap(self._history, COMPONENTS), Gap(self._history, MUSEUM)
        with ExitStack() as stack:
            looks = Sampler("components", partial(self._look, seen), every_s=LOOK_EVERY_S, gaps=[seen], once_more=True)
            stack.enter_context(looks)
            asks = stack.enter_context(Sampler("museum", partial(self._ask, asked), every_s=ASK_EVERY_S, gaps=[asked]))
            asks.wait_first("the Services and the DaemonSet to be listed", within_s=60)
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _look(self, gap: Gap) -> None:
        for component in self._cluster.components():
            seen = component_seen(self._cluster, component, self._history.now())
            self._history.add(seen)
            if not seen.runs and (component not in self._gone or self._gone[component].process != seen.process):
                self._gone[component] = seen
                words = last_words(self._cluster.control_log(component))
                self._history.add(Observation(seen.at, SAID_LAST, component, words))
        gap.seen(self._history.now())

    def _ask(self, gap: Gap) -> None:
        with self._cluster.api() as client:
            at = self._history.now()
            for followed in self._followed(client, at):
                self._history.add(followed)
            self._history.add(self._selected(client, at))
        gap.seen(at)

    def _followed(self, client: ApiClient, at: float) -> list[Followed]:
        where = f"/api/v1/namespaces/{self._namespace}"
        # Pods last: an endpoint that is named before its pod is seen to be Ready would look wrong.
        services, named = raw_list(client, f"{where}/services"), raw_list(client, f"{where}/endpoints")
        slices = raw_list(client, f"/apis/discovery.k8s.io/v1/namespaces/{self._namespace}/endpointslices")
        pods = raw_list(client, f"{where}/pods")
        return followed_of(self._services, services, named, slices, pods, at=at, until=self._history.now())

    def _selected(self, client: ApiClient, at: float) -> Selected:
        daemon = json_of(raw_get(client, f"/apis/apps/v1/namespaces/{self._namespace}/daemonsets/{self._daemon}"))
        wanted = daemon["spec"]["template"]["spec"].get("nodeSelector") or {}
        labels = daemon["spec"]["selector"]["matchLabels"]
        found = [each["metadata"]["name"] for each in raw_list(client, "/api/v1/nodes") if _matches(each, wanted)]
        pods = raw_list(client, f"/api/v1/namespaces/{self._namespace}/pods")
        served = {pod["spec"]["nodeName"] for pod in pods if is_ready(pod) and _matches(pod, labels)}
        observed = daemon["status"].get("observedGeneration") == daemon["metadata"]["generation"]
        return Selected(at, self._history.now(), self._daemon, tuple(sorted(found)), tuple(sorted(served)), observed)


def followed_of(
    names: Sequence[str],
    services: Sequence[Any],
    endpoints: Sequence[Any],
    slices: Sequence[Any],
    pods: Sequence[Any],
    *,
    at: float,
    until: float,
) -> list[Followed]:
    """Of each Service that is there what it selects and what is named, by the objects of one namespace as JSON.

    It was asked `at`, and the last answer came at `until`.
    """
    selectors = {each["metadata"]["name"]: each["spec"].get("selector") or {} for each in services}
    named = {each["metadata"]["name"]: _addresses(each) for each in endpoints}
    return [
        Followed(
            at,
            until,
            service,
            tuple(sorted(_address(pod) for pod in pods if is_ready(pod) and _matches(pod, selectors[service]))),
            named.get(service, ()),
            _in_slices(slices, service),
        )
        for service in names
        if service in selectors
    ]


def component_seen(cluster: WatchedPlane, component: str, at: float) -> ComponentSeen:
    """Which process a component's is, and whether it is there."""
    process = cluster.control_process(component)
    runs = process is not None and process.state() != "gone"
    pid, started = (process.pid, process.started) if process else (0, 0)
    return ComponentSeen(at, component, pid, started, runs, not runs and lost_lease(cluster.control_log(component)))


def last_words(log: Path) -> str:
    """Of what a component said last, how it ended: a panic with the calls that led to it, or the very last lines; empty
    where it said nothing.
    """
    lines = _lines(log)
    begin = _panic(lines)
    return "\n".join(lines[max(0, len(lines) - 3) if begin is None else begin :][:LINES])[:WORDS]


def lost_lease(log: Path) -> bool:
    """Whether a component ended because it could no longer be the leader: so it says last, and of no panic."""
    lines = _lines(log)
    return _panic(lines) is None and any(LOST_LEASE in line.lower() for line in lines[-LINES:])


def _lines(log: Path) -> list[str]:
    if not log.exists():
        return []
    with log.open("rb") as file:
        return last_lines(file, LOG_BYTES)


def _panic(lines: Sequence[str]) -> int | None:
    return next((number for number, line in enumerate(lines) if line.startswith("panic: ")), None)


def _matches(item: Any, wanted: Any) -> bool:
    labels = item["metadata"].get("labels") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def is_ready(pod: Any) -> bool:
    """Whether a pod, as JSON, is Ready and nobody has deleted it."""
    conditions = pod["status"].get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _address(pod: Any) -> str:
    return str(pod["status"].get("podIP") or "")


def _addresses(endpoints: Any) -> tuple[str, ...]:
    subsets = endpoints.get("subsets") or ()
    return tuple(sorted(each["ip"] for subset in subsets for each in subset.get("addresses") or ()))


def _in_slices(slices: Sequence[Any], service: str) -> tuple[str, ...]:
    found: set[str] = set()
    for each in slices:
        if (each["metadata"].get("labels") or {}).get(SLICE_OF) == service:
            for endpoint in each.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready"):
                    found.update(endpoint.get("addresses") or ())
    return tuple(sorted(found))
