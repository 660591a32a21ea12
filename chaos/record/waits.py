"""How long pods waited for a processor: what tells a cluster that does not serve from a machine that is too slow.

A process that could run and may not, because others do, waits in a run queue. The kernel counts for how long, of each
task (/proc/PID/schedstat, the second number: Documentation/scheduler/sched-stats.rst). A process that nobody asks, that
is stopped, or to which the network brings nothing does not wait.
"""

import re
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from chaos.record.history import History
from chaos.record.records import PodChange, ProcessorWait
from chaos.record.sampler import Sampler

EVERY_S = 1.0
TOLD_S = 0.05  # less than this in addition is no record: processes wait for moments all the time
NS = 1e-9
# How the kubelet names a pod's cgroup; with systemd's driver a uid has "_" for "-" (cgroup_manager_linux.go).
POD = re.compile(r"kubepods.*?pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")


class Waited:
    """Of one pod, or prober: tells its sum where it grows, with the look before, so that what grew between two records
    did so between these looks. A sum that is smaller than before is another process's.
    """

    def __init__(self, history: History, who: str, uid: str) -> None:
        self._history, self._who, self._uid = history, who, uid
        self._last: tuple[float, float] | None = None  # when it was looked at, and its sum then
        self._told = (0.0, 0.0)

    def look(self, at: float, waited_s: float) -> None:
        """Its sum `at`, in seconds since the history began."""
        last, self._last = self._last, (at, waited_s)
        if last is not None and 0 <= waited_s - self._told[1] < TOLD_S:
            return
        if last is not None and last[0] > self._told[0]:
            self._tell(*last)
        self._tell(at, waited_s)
        self._told = (at, waited_s)

    def _tell(self, at: float, waited_s: float) -> None:
        self._history.add(ProcessorWait(at, self._who, self._uid, round(waited_s, 3)))


class PodWaits:
    """Looks once a second at the processes of each pod of a workload, for as long as the block lasts.

    Only for nodes whose processes are this machine's, as where nodes are containers of it: what is not in its /proc is
    not seen, and has no records. Of each look the process that waited longest counts, by its first thread.
    """

    def __init__(self, history: History, proc: Path = Path("/proc")) -> None:
        self._history, self._proc = history, proc
        # By process, of all that are there: its pod's uid, "" where it has none, None where it had none at one look
        # only: a container's first process is there before it is put into its cgroup.
        self._uids: dict[str, str | None] = {}
        self._waits: dict[str, int] = {}  # of each process of a pod, in ns
        self._sums: dict[str, float] = {}  # by pod, since it was first looked at
        self._pods: dict[str, Waited] = {}
        self._sampler = Sampler("pod-waits", self.look, every_s=EVERY_S, once_more=True)

    def __enter__(self) -> Self:
        self._sampler.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampler.__exit__(kind, error, at)

    def look(self) -> None:
        """Look once."""
        named = {change.uid: change.object for change in self._history.of(PodChange) if change.workload}
        there = [each.name for each in self._proc.iterdir() if each.name.isdecimal()]
        self._uids = {pid: self._pod_of(pid) if self._uids.get(pid) is None else self._uids[pid] for pid in there}
        at = self._history.now()
        grown: dict[str, int] = {}
        waits: dict[str, int] = {}
        for pid, uid in self._uids.items():
            if uid in named and (waited := self._waited(pid)) is not None:
                waits[pid] = waited
                # Of a process that is new since the look before all of it is new.
                grown[uid] = max(grown.get(uid, 0), waited - self._waits.get(pid, 0))
        self._waits = waits
        for uid, by in grown.items():
            # What it waited for before it was first seen is nobody's.
            self._sums[uid] = self._sums[uid] + by * NS if uid in self._sums else 0.0
            self._pods.setdefault(uid, Waited(self._history, named[uid], uid)).look(at, self._sums[uid])

    def _pod_of(self, pid: str) -> str | None:
        with suppress(OSError):
            if found := POD.search((self._proc / pid / "cgroup").read_text()):
                return found[1].replace("_", "-")
        return "" if pid in self._uids else None

    def _waited(self, pid: str) -> int | None:
        """None where it is gone, or the kernel does not count."""
        with suppress(OSError, ValueError, IndexError):
            return int((self._proc / pid / "schedstat").read_text().split()[1])
        return None
