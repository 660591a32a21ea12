"""What pods have written into their volumes (manifests/volume-writer.yaml), and who holds the volumes."""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from kubernetes import client as k8s

from chaos.clusters.base import Cluster
from chaos.clusters.way.client import is_ready
from chaos.clusters.way.podexec import exec_in_pod
from chaos.errors import OrdealError
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.volumes import pool as rbd_lock
from chaos.subjects.volumes.records import (
    ATTACHMENT,
    HOLDERS_SEEN,
    LOCK,
    LOG_READ,
    HeldBy,
    Holder,
    Torn,
    Written,
)
from chaos.workloads.base import WORKLOAD_LABEL

LOG = "/data/log"
READ_EVERY_S, EXEC_EVERY_S, HOLDERS_EVERY_S = 0.2, 1.0, 2.0
FIRST_WITHIN_S = 60.0
_LINE = re.compile(r"(\d+) (\S+) (\S+) (\d+) ([\d.]+) (\d+)")


@dataclass(frozen=True, slots=True)
class WatchedVolume:
    """A workload that writes into a volume: its name, its namespace, its PersistentVolume's name."""

    workload: str
    namespace: str
    volume: str


class Logs(Protocol):
    """Where the logs are read, and whose clock their lines have."""

    every_s: float

    def read(self, watched: WatchedVolume, offset: int) -> tuple[int, bytes]:
        """The size in bytes of the log now, and what is in it from the offset on. Raises OrdealError, OSError."""
        ...

    def at(self, history: History, wall_s: float, uptime_s: float) -> float:
        """The history's time of a line, by its node's clock and uptime."""
        ...


class SharedLogs:
    """Logs in a folder of this machine, which is also that of every node: it is read whatever becomes of the nodes.

    The nodes are containers here, so their uptime is this machine's.
    """

    every_s = READ_EVERY_S

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, watched: WatchedVolume, offset: int) -> tuple[int, bytes]:
        with (self._folder / watched.volume / "log").open("rb") as log:
            size = log.seek(0, 2)
            log.seek(min(offset, size))
            return size, log.read()

    def at(self, history: History, wall_s: float, uptime_s: float) -> float:
        return uptime_s - (time.clock_gettime(time.CLOCK_BOOTTIME) - history.now())


class WriterLogs:
    """Logs read through a pod that has the volume, which any cluster allows; the nodes' clocks must agree with ours.

    Where no container of the workload runs there is nobody who could write, nor anybody to read for us.
    """

    every_s = EXEC_EVERY_S

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def read(self, watched: WatchedVolume, offset: int) -> tuple[int, bytes]:
        with self._cluster.api() as client:
            pods: Any = k8s.CoreV1Api(client).list_namespaced_pod(
                watched.namespace, label_selector=f"{WORKLOAD_LABEL}={watched.workload}"
            )
            running = [
                pod
                for pod in pods.items
                if any(c.state and c.state.running for c in pod.status.container_statuses or ())
            ]
            if not running:
                return offset, b""
            # Of a node that is gone the API shows what was: a pod that is Ready can be asked.
            pod = max(running, key=lambda pod: (_is_ready(pod), pod.metadata.creation_timestamp))
            script = f"wc -c < {LOG}; tail -c +{offset + 1} {LOG}"
            said = exec_in_pod(client, watched.namespace, pod.metadata.name, ["sh", "-ec", script], timeout_s=10).out
        size, _, rest = said.partition("\n")
        if not size.strip().isdigit():
            raise OrdealError(f"pod {watched.namespace}/{pod.metadata.name} says {size[:80]!r} for the size of {LOG}")
        return int(size), rest.encode()

    def at(self, history: History, wall_s: float, uptime_s: float) -> float:
        return wall_s + 0.5 - history.began_wall


class VolumeSamples:
    """Reads what the workloads write, and asks who holds their volumes, for as long as the block lasts; at its end too.

    While a log can't be read there is a Blind "written:WORKLOAD": complete where all was read later.
    """

    def __init__(self, history: History, cluster: Cluster, watched: Sequence[WatchedVolume], logs: Logs) -> None:
        self._history, self._cluster, self._watched, self._logs = history, cluster, tuple(watched), logs
        self._with_locks = rbd_lock.serves(cluster)
        self._followers = {each.workload: _Follower(history, each, logs) for each in watched}
        self._known: dict[str, tuple[Holder, ...]] = {}
        self._over = False
        followers = self._followers.values()
        self._logs_read = Sampler(
            "volume-logs", self._read_logs, every_s=logs.every_s, gaps=[f.gap for f in followers], once_more=True
        )
        self._holders_asked = Sampler("volume-holders", self._ask_holders, every_s=HOLDERS_EVERY_S, once_more=True)
        self._sampling = ExitStack()

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where some workload writes nothing, or it can't be read."""
        with ExitStack() as stack:
            stack.enter_context(self._holders_asked)
            what = f"{', '.join(self._followers)} to write into their volumes"
            stack.enter_context(self._logs_read).wait_first(what, within_s=FIRST_WITHIN_S)
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over = True
        self._sampling.close()

    def _read_logs(self) -> None:
        for follower in self._followers.values():
            follower.read(last=self._over)

    def _ask_holders(self) -> None:
        asked = self._history.now()
        held = holders(self._cluster, self._watched, with_locks=self._with_locks)
        for workload, seen in held.items():
            if self._known.get(workload) != seen:
                self._known[workload] = seen
                self._history.add(HeldBy(asked, workload, seen))
            self._history.add(Sample(asked, HOLDERS_SEEN, workload, len(seen)))


def _is_ready(pod: Any) -> bool:
    """Whether the API shows a pod as Ready, and it is not to go."""
    return is_ready(pod.status) and pod.metadata.deletion_timestamp is None


class _Follower:
    """Follows one log to its end, again and again."""

    def __init__(self, history: History, watched: WatchedVolume, logs: Logs) -> None:
        self.lines = 0
        self._history, self._watched, self._logs = history, watched, logs
        self._offset, self._latest, self._said_at = 0, 0.0, float("-inf")
        self.gap = Gap(history, f"{Written.kind}:{watched.workload}", read_later=True)

    def read(self, *, last: bool = False) -> None:
        asked = self._history.now()
        try:
            size, new = self._logs.read(self._watched, self._offset)
        except Exception as error:  # noqa: BLE001  (whatever it was, it is tried again; the gap is in the history)
            if self.lines:  # before the first line there is no file
                self.gap.missed((str(error).strip().splitlines() or [repr(error)])[0][:200])
            return
        if size < self._offset:  # another file than the one that was read
            self._offset, new = 0, self._logs.read(self._watched, 0)[1]
        whole, _, _ = new.rpartition(b"\n")
        first = not self.lines
        texts = whole.decode(errors="replace").splitlines()
        for text in texts[-1:] if first else texts:  # what was written before the recording is only counted
            self._add(text)
        self._offset += len(whole) + 1 if whole else 0
        if self.lines:
            self.gap.seen(asked)
        if last or asked - self._said_at >= 1.0:
            self._said_at = asked
            self._history.add(Sample(asked, LOG_READ, self._watched.workload, self._offset))

    def _add(self, text: str) -> None:
        found = _LINE.fullmatch(text)
        if found is None:
            self._history.add(Torn(self._history.now(), self._watched.workload, text[:200]))
            return
        number, writer, node, wall, uptime, lease = found.groups()
        # In the order of the file, whatever the nodes' clocks say.
        self._latest = max(self._latest, self._logs.at(self._history, float(wall), float(uptime)), 0.0)
        self._history.add(Written(self._latest, self._watched.workload, int(number), writer, node, int(lease)))
        self.lines += 1


def holders(
    cluster: Cluster, watched: Sequence[WatchedVolume], *, with_locks: bool
) -> Mapping[str, tuple[Holder, ...]]:
    """Who holds the volume of each workload now, in order. Raises OrdealError, ApiException."""
    locks = rbd_lock.locks(cluster) if with_locks else {}
    with cluster.api() as client:
        attachments: Any = k8s.StorageV1Api(client).list_volume_attachment().items
    found = {}
    for each in watched:
        held = [Holder(LOCK, lock.node) for lock in locks.get(each.volume, ())]
        held += [
            Holder(ATTACHMENT, a.spec.node_name)
            for a in attachments
            if a.spec.source.persistent_volume_name == each.volume
        ]
        found[each.workload] = tuple(sorted(held))
    return found
