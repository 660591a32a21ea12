"""Evidence: what a person needs afterwards, taken while the fault is still there, before any recovery."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from chaos.clusters.base import Cluster, NodeExec
from chaos.clusters.client import raw_get

API_OBJECTS = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "events": "/api/v1/events",
    "leases": "/apis/coordination.k8s.io/v1/leases",
}
UNITS = ("kubelet", "containerd")
JOURNAL_LINES = 3000


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of evidence, or why there is none: `missing` is then the sentence that says so."""

    name: str
    path: Path | None
    missing: str = ""


def collect(cluster: Cluster, nodes: tuple[str, ...], directory: Path) -> tuple[Piece, ...]:
    """Write API objects and each node's daemon logs into `directory`. What can't be had is said, never raised."""
    directory.mkdir(parents=True, exist_ok=True)
    jobs: dict[str, Callable[[], str]] = {f"{name}.json": _of_api(cluster, path) for name, path in API_OBJECTS.items()}
    if isinstance(cluster, NodeExec):
        jobs |= {f"{node}-{unit}.log": _of_node(cluster, node, unit) for node in nodes for unit in UNITS}
    with ThreadPoolExecutor(max_workers=4) as threads:
        running = {threads.submit(job): name for name, job in jobs.items()}
        pieces = [_written(directory / running[done], done.result) for done in as_completed(running)]
    return tuple(sorted(pieces, key=lambda piece: piece.name))


def _written(path: Path, text: Callable[[], str]) -> Piece:
    try:
        path.write_text(text())
    except Exception as error:  # noqa: BLE001  (a dead node or API server is expected here, and is itself told)
        why = str(error).strip().splitlines()
        return Piece(path.name, None, why[0][:300] if why else repr(error))
    return Piece(path.name, path)


def _of_api(cluster: Cluster, path: str) -> Callable[[], str]:
    def get() -> str:
        with cluster.api() as client:
            return raw_get(client, path).decode(errors="replace")

    return get


def _of_node(cluster: NodeExec, node: str, unit: str) -> Callable[[], str]:
    argv = ["journalctl", "--no-pager", "--unit", unit, "--lines", str(JOURNAL_LINES)]
    return lambda: cluster.node_exec(node, argv, timeout_s=15).out
