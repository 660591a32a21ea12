"""Evidence: what a person needs afterwards, taken while the fault is still there, before any recovery.

It is handed to others, so it holds nothing of others: of the API only what is ours and the system's
(chaos.record.objects), of the kernel's log only the lines that a judge looks for, and no secret (chaos.basics.scrub).
What is too long is cut, and that is said. What only a subject has to show it adds by `also`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path

from urllib3.exceptions import HTTPError

from chaos.basics.files import file_name, place
from chaos.basics.scrub import scrub
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_get, told
from chaos.errors import OrdealError
from chaos.hosts.places import make_private
from chaos.record import objects, stacks
from chaos.record.nodefacts import SLUB

UNITS = ("kubelet", "containerd")
JOURNAL_LINES = 20000
KERNEL_LINES = 2000
MAX_BYTES = 16 * 1024**2  # of one file
MAX_NODES = 20
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
NAMESPACE = re.compile(r'[{,]namespace="([^"]*)"')  # of a metric
# containerd writes its goroutines into its log and into this file at SIGUSR1 (cmd/containerd/command/main_unix.go).
CONTAINERD_STACKS = "/tmp/containerd.{pid}.stacks.log"  # noqa: S108  (its own choice, on the node)
STACKS_WITHIN_S = 5.0
More = Callable[[Cluster], Mapping[str, Callable[[], str]]]


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of evidence, or why there is none: `missing` is then the sentence that says so.

    What was cut off a file, and nodes that were left out, are pieces that are missing.
    """

    name: str
    path: Path | None
    missing: str = ""


_MORE: list[More] = []


def also(more: More) -> More:
    """Add a subject's own pieces: a function that says, for a cluster, which files there are and how each is had."""
    _MORE.append(more)
    return more


def new_folder(root: Path, name: str) -> Path:
    """A folder of that name that is not there yet, or `name-2`: a replay may do one fault several times."""
    return next(path for each in chain([name], (f"{name}-{n}" for n in count(2))) if not (path := root / each).exists())


def collect(
    cluster: Cluster, nodes: tuple[str, ...], directory: Path, *, since_wall: float | None = None
) -> tuple[Piece, ...]:
    """Write API objects, each node's daemon logs, its kernel's log, its daemons' goroutines and metrics to `directory`.

    `since_wall`: logs from that time on (seconds since 1970; None: the last lines). A dump of goroutines has a summary
    beside it. What can't be had is said, never raised.
    """
    make_private(directory)
    api = _Api(cluster)
    pieces: list[Piece] = []
    namespaces: Sequence[str] = objects.SYSTEM
    try:
        namespaces = objects.our_namespaces(api.get)
    except Exception as error:  # noqa: BLE001  (as of every other piece)
        pieces.append(Piece("our namespaces", None, _first_line(error)))
    jobs: dict[str, Callable[[], str | objects.Kept]] = {
        f"{name}.json": partial(objects.kept, api.get, name, namespaces) for name in objects.RESOURCES
    }
    for more in _MORE:
        with suppress(Exception):  # no API server, no word of what would be there
            jobs |= more(cluster)
    if isinstance(cluster, NodeExec):
        since = () if since_wall is None else ("--since", f"@{since_wall:.0f}")
        for node in nodes[:MAX_NODES]:
            of = file_name(node)
            jobs |= {f"{of}-{unit}.log": _journal_of(cluster, node, unit, since) for unit in UNITS}
            jobs[f"{of}-kubelet-goroutines.txt"] = partial(api.get, GOROUTINES.format(node=node))
            jobs[f"{of}-kubelet-metrics.txt"] = _metrics(api, node)
            jobs[f"{of}-containerd-goroutines.txt"] = _containerd_stacks(cluster, node)
            jobs[f"{of}-kernel.log"] = _kernel_log(cluster, node)
            jobs[f"{of}-pods.log"] = _said_by(cluster, node, POD_LOGS)
    with ThreadPoolExecutor(max_workers=4) as threads:
        running = {threads.submit(job): name for name, job in jobs.items()}
        for done in as_completed(running):
            pieces += _written(directory / running[done], done.result)
    if left_out := nodes[MAX_NODES:]:
        pieces.append(Piece(f"{len(left_out)} more nodes", None, f"evidence is taken of {MAX_NODES} nodes"))
    return tuple(sorted(pieces, key=lambda piece: piece.name))


def _written(path: Path, text: Callable[[], str | objects.Kept]) -> Iterator[Piece]:
    try:
        said = text()
        kept = said if isinstance(said, objects.Kept) else _kept(path.name, scrub(said))
        place(path, kept.text, within=path.parent)
    except Exception as error:  # noqa: BLE001  (a dead node or API server is expected here, and is itself told)
        yield Piece(path.name, None, _first_line(error))
        return
    yield Piece(path.name, path)
    if kept.cut:
        yield Piece(f"{path.name} (the rest)", None, kept.cut)
    if path.name.endswith("-goroutines.txt"):
        summary = path.with_name(path.name.replace("-goroutines.txt", "-goroutines-summary.txt"))
        with suppress(OSError):  # the disk has just become full: the dump itself is there
            place(summary, stacks.summary(kept.text), within=path.parent)
            yield Piece(summary.name, summary)


def _first_line(error: Exception) -> str:
    why = scrub(told(error)).strip().splitlines()
    return why[0][:300] if why else type(error).__name__


def _kept(name: str, text: str) -> objects.Kept:
    """As much as one file may have: of a log its end, of all else the beginning."""
    if len(text) <= MAX_BYTES:
        return objects.Kept(text)
    is_log = name.endswith(".log")
    part = "the last" if is_log else "the first"
    cut = f"cut: {part} {MAX_BYTES // 1024**2} MiB of {len(text) / 1024**2:.0f} are kept"
    kept = text[-MAX_BYTES:] if is_log else text[:MAX_BYTES]
    return objects.Kept(f"({cut})\n{kept}" if is_log else f"{kept}\n({cut})\n", cut)


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


def _metrics(api: _Api, node: str) -> Callable[[], str]:
    """A kubelet names the volumes of every namespace."""

    def get() -> str:
        lines = api.get(METRICS.format(node=node)).splitlines(keepends=True)
        return "".join(line for line in lines if (of := NAMESPACE.search(line)) is None or objects.is_ours(of[1]))

    return get


def _kernel_log(cluster: NodeExec, node: str) -> Callable[[], str]:
    """A kind node's kernel is its host's, whose log tells of everything: kept is what nodefacts looks for."""

    def get() -> str:
        lines = cluster.node_exec(node, ["dmesg"], timeout_s=15).out.splitlines()
        judged = [line for line in lines if SLUB in line][-KERNEL_LINES:]
        return "\n".join([f"{len(judged)} of {len(lines)} lines are kept: those that a judge looks for", *judged, ""])

    return get


def _journal_of(cluster: NodeExec, node: str, unit: str, since: tuple[str, ...]) -> Callable[[], str]:
    argv = ["journalctl", "--no-pager", "--unit", unit, "--lines", str(JOURNAL_LINES), *since]

    def get() -> str:
        said = cluster.node_exec(node, argv, timeout_s=30).out
        cut = said.count("\n") >= JOURNAL_LINES
        return f"(the last {JOURNAL_LINES} lines; there were more)\n{said}" if cut else said

    return get


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
