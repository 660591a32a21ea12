"""Evidence: what a person needs afterwards, taken while the fault is still there, before any recovery."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from urllib3.exceptions import HTTPError

from chaos import rbd_lock, stacks
from chaos.clusters.base import Cluster, NodeExec
from chaos.clusters.client import raw_get
from chaos.errors import OrdealError
from chaos.hosts.files import file_name, place
from chaos.waiting import WaitedInVainError, eventually

API_OBJECTS = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "events": "/api/v1/events",
    "leases": "/apis/coordination.k8s.io/v1/leases",
    "persistentvolumes": "/api/v1/persistentvolumes",
    "persistentvolumeclaims": "/api/v1/persistentvolumeclaims",
    "volumeattachments": "/apis/storage.k8s.io/v1/volumeattachments",
}
UNITS = ("kubelet", "containerd")
JOURNAL_LINES = 20000
KERNEL_LINES = 2000
# Of the control plane, the proxies, DNS and our storage driver; a node's other pods may be hundreds. Kubelets keep the
# logs there (pkg/kubelet/kuberuntime, podLogsRootDirectory), and the files outlive the API server.
POD_LOGS = """for log in /var/log/pods/kube-system_*/*/*.log /var/log/pods/ordeal-csi-*/*/*.log; do
    [ -e "$log" ] || continue
    echo "== $log"
    tail -n 500 "$log"
done"""
# Of the kubelet, through the API server. The handler is there unless enableDebuggingHandlers is false.
GOROUTINES = "/api/v1/nodes/{node}/proxy/debug/pprof/goroutine?debug=2"
METRICS = "/api/v1/nodes/{node}/proxy/metrics"
# containerd writes its goroutines into its log and into this file at SIGUSR1 (cmd/containerd/command/main_unix.go).
CONTAINERD_STACKS = "/tmp/containerd.{pid}.stacks.log"  # noqa: S108  (its own choice, on the node)
STACKS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of evidence, or why there is none: `missing` is then the sentence that says so."""

    name: str
    path: Path | None
    missing: str = ""


def collect(
    cluster: Cluster, nodes: tuple[str, ...], directory: Path, *, since_wall: float | None = None
) -> tuple[Piece, ...]:
    """Write API objects, each node's daemon logs, its kernel's log, its daemons' goroutines and metrics to `directory`.

    `since_wall`: logs from that time on (seconds since 1970; None: the last lines). A dump of goroutines has a summary
    beside it. What can't be had is said, never raised.
    """
    directory.mkdir(parents=True, exist_ok=True)
    api = _Api(cluster)
    jobs: dict[str, Callable[[], str]] = {f"{name}.json": partial(api.get, path) for name, path in API_OBJECTS.items()}
    with suppress(Exception):  # no API server, no word of a pool
        if cluster.shape.shared_folder and rbd_lock.serves(cluster):
            jobs["rbd-lock-list.txt"] = partial(rbd_lock.lock_list, cluster)
    if isinstance(cluster, NodeExec):
        since = () if since_wall is None else ("--since", f"@{since_wall:.0f}")
        for node in nodes:
            of = file_name(node)
            jobs |= {f"{of}-{unit}.log": _journal_of(cluster, node, unit, since) for unit in UNITS}
            jobs[f"{of}-kubelet-goroutines.txt"] = partial(api.get, GOROUTINES.format(node=node))
            jobs[f"{of}-kubelet-metrics.txt"] = partial(api.get, METRICS.format(node=node))
            jobs[f"{of}-containerd-goroutines.txt"] = _containerd_stacks(cluster, node)
            jobs[f"{of}-kernel.log"] = _said_by(cluster, node, f"dmesg | tail -n {KERNEL_LINES}")
            jobs[f"{of}-pods.log"] = _said_by(cluster, node, POD_LOGS)
    with ThreadPoolExecutor(max_workers=4) as threads:
        running = {threads.submit(job): name for name, job in jobs.items()}
        pieces = [piece for done in as_completed(running) for piece in _written(directory / running[done], done.result)]
    return tuple(sorted(pieces, key=lambda piece: piece.name))


def _written(path: Path, text: Callable[[], str]) -> Iterator[Piece]:
    try:
        said = text()
        place(path, said, within=path.parent)
    except Exception as error:  # noqa: BLE001  (a dead node or API server is expected here, and is itself told)
        why = str(error).strip().splitlines()
        yield Piece(path.name, None, why[0][:300] if why else repr(error))
        return
    yield Piece(path.name, path)
    if path.name.endswith("-goroutines.txt"):
        summary = path.with_name(path.name.replace("-goroutines.txt", "-goroutines-summary.txt"))
        with suppress(OSError):  # the disk has just become full: the dump itself is there
            place(summary, stacks.summary(said), within=path.parent)
            yield Piece(summary.name, summary)


class _Api:
    """The API server, asked by several threads; once it does not answer, nobody waits for it again."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._dead = cluster, ""

    def get(self, path: str) -> str:
        if self._dead:
            raise OrdealError(self._dead)
        try:
            with self._cluster.api() as client:
                return raw_get(client, path).decode(errors="replace")
        except HTTPError as error:
            self._dead = f"the API server does not answer: {str(error).splitlines()[0]}"
            raise


def _journal_of(cluster: NodeExec, node: str, unit: str, since: tuple[str, ...]) -> Callable[[], str]:
    argv = ["journalctl", "--no-pager", "--unit", unit, "--lines", str(JOURNAL_LINES), *since]
    return lambda: cluster.node_exec(node, argv, timeout_s=30).out


def _said_by(cluster: NodeExec, node: str, script: str) -> Callable[[], str]:
    return lambda: cluster.node_exec(node, ["sh", "-c", script], timeout_s=15).out


def _containerd_stacks(cluster: NodeExec, node: str) -> Callable[[], str]:
    """Ask containerd for its goroutines."""

    def get() -> str:
        pid = cluster.node_exec(node, ["pidof", "-s", "containerd"], timeout_s=10).out.strip()
        file = CONTAINERD_STACKS.format(pid=int(pid))
        state = cluster.node_exec(node, ["sh", "-c", f"cut -d' ' -f3 /proc/{pid}/stat"], timeout_s=10).out.strip()
        if state == "T":
            raise OrdealError("containerd is stopped, so it can't write down its goroutines")
        cluster.node_exec(node, ["kill", "-USR1", pid], timeout_s=10)
        said: list[str] = []

        def written() -> bool:
            answer = cluster.node_exec(node, ["cat", file], timeout_s=10, check=False)
            said[:] = [answer.out]
            return answer.code == 0 and bool(answer.out.strip())

        try:
            eventually(written, within_s=STACKS_WITHIN_S, what="containerd to write down its goroutines", every_s=0.2)
        except WaitedInVainError as error:
            raise OrdealError(f"containerd wrote no goroutines to {file} within {STACKS_WITHIN_S:g} s") from error
        finally:
            cluster.node_exec(node, ["rm", "-f", file], timeout_s=10, check=False)
        return said[0]

    return get
