"""The logs of the pods that a spec made, read while they are there: upstream deletes its namespace at the end."""

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.basics.files import file_name, place
from chaos.basics.scrub import scrub
from chaos.clusters.base import Cluster
from chaos.hosts.places import make_private
from chaos.record.sampler import Sampler

EVERY_S = 2.0
TAIL_LINES = 200
MADE_BY_UPSTREAM = "e2e-framework"  # the label of each namespace that upstream's framework makes


class PodLogs:
    """Follows the pods in upstream's namespaces for as long as the block lasts.

    A pod that comes and goes between two looks is not seen: one that a failed spec waits for is there for longer.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._seen: dict[str, str] = {}
        self._old: set[str] = set()
        self._sampler = Sampler("pod-logs", self._follow, every_s=EVERY_S)

    def __enter__(self) -> Self:
        self._sampler.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampler.end(10.0)

    def take(self, said: str, folder: Path | None) -> tuple[Path, ...]:
        """A spec has ended and `said` this, which names its namespaces: write what its pods said to `folder`.

        A file for each pod; None: leave it. Of a spec that said nothing nobody knows which pods are its own: all are.
        """
        with self._lock:
            mine = {pod: text for pod, text in self._seen.items() if not said or pod.partition("/")[0] in said}
            self._seen = {pod: text for pod, text in self._seen.items() if pod not in mine}
            if said:
                self._old |= {pod.partition("/")[0] for pod in mine}
        if folder is None or not mine:
            return ()
        make_private(folder)
        paths = []
        for pod, text in sorted(mine.items()):
            path = folder / f"{file_name(pod)}.log"
            place(path, scrub(text), within=folder)
            paths.append(path)
        return tuple(paths)

    def _follow(self) -> None:
        with self._cluster.api() as client:
            self._look(client)

    def _look(self, client: ApiClient) -> None:
        core = k8s.CoreV1Api(client)
        spaces: list[Any] = core.list_namespace(label_selector=MADE_BY_UPSTREAM).items
        for space in (s.metadata.name for s in spaces):
            if space in self._old:  # of a spec that has ended, and going
                continue
            pods: list[Any] = core.list_namespaced_pod(space).items
            for pod in pods:
                text = "\n".join([told(pod), *self._logs(core, space, pod)])
                with self._lock:
                    if space not in self._old:
                        self._seen[f"{space}/{pod.metadata.name}"] = text

    def _logs(self, core: "k8s.CoreV1Api", space: str, pod: Any) -> list[str]:
        texts = []
        for container in pod.spec.containers:
            with suppress(ApiException):
                said = core.read_namespaced_pod_log(
                    pod.metadata.name, space, container=container.name, tail_lines=TAIL_LINES, timestamps=True
                )
                texts.append(f"--- {container.name}\n{said}")
        return texts


def upstreams_namespaces(cluster: Cluster) -> tuple[str, ...]:
    """The namespaces that upstream's framework has made and that are still there. Raises OrdealError, ApiException."""
    with cluster.api() as client:
        found: list[Any] = k8s.CoreV1Api(client).list_namespace(label_selector=MADE_BY_UPSTREAM).items
    return tuple(space.metadata.name for space in found)


def told(pod: Any) -> str:
    """Where a pod is and how it is, in a few lines."""
    status = pod.status
    lines = [f"{pod.metadata.namespace}/{pod.metadata.name} on {pod.spec.node_name or 'no node'}: {status.phase}"]
    lines += [
        f"{c.type} is {c.status}: {c.reason or ''} {c.message or ''}".rstrip()
        for c in status.conditions or []
        if c.status != "True"
    ]
    for each in status.container_statuses or []:
        state = each.state.waiting or each.state.terminated
        if state is not None:
            lines.append(f"{each.name}: {state.reason or ''} {state.message or ''}".rstrip())
    return "\n".join(lines)
