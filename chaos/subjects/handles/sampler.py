"""The file handles of a node's daemons: how many are open, how many may be, as the node's kernel counts them."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import NodeExec
from chaos.record.history import History
from chaos.record.records import Blind, Observation, Sample

OPEN = "open-handles"  # Sample by NODE/DAEMON: of its process that is nearest to its limit
LIMIT = "handle-limit"  # Sample by NODE/DAEMON: the soft limit of that process
PROCESSES = "daemon-processes"  # Observation by NODE/DAEMON, whenever it changes: "PID:START ..." of its processes
IN_USE = "node-handles"  # Sample by NODE: all open files of the kernel (a kind node shares the machine's)
TIME_WAIT = "time-wait-sockets"  # Sample by NODE: TIME_WAIT sockets in the node's own network
SAID = "said-too-many-open-files"  # Observation by NODE/DAEMON: how often its log says so, and the first line
TOO_MANY = "too many open files"
EVERY_S = 0.5

# One line a process: name, pid, start time in ticks, open handles, soft limit, hard limit (proc_pid_stat(5), (limits)).
# A daemon's child that bears its name is about to become another program.
LISTING = r"""
for daemon in "$@"; do
  pids=$(pidof "$daemon")
  for pid in $pids; do
    [ -d "/proc/$pid/fd" ] || continue
    set -- $(sed 's/.*) //' "/proc/$pid/stat")
    case " $pids " in *" $2 "*) continue ;; esac
    shift 19
    start=$1
    limits=$(sed -n 's/^Max open files *\([0-9]*\) *\([0-9]*\) .*/\1 \2/p' "/proc/$pid/limits")
    echo "$daemon $pid $start $(ls "/proc/$pid/fd" | wc -l) $limits"
  done
done
"""
TOTALS = (
    r"""echo "total $(cut -f 1 /proc/sys/fs/file-nr) $(sed -n 's/^TCP:.* tw \([0-9]*\) .*/\1/p' /proc/net/sockstat)" """
)

# containerd and the kubelet are systemd units; the others are pods, whose logs the node has as files.
LOGS = r"""
for unit in containerd kubelet; do
  journalctl --no-pager --quiet --output cat --since "@$1" --unit "$unit" | grep -i 'too many open files' |
    sed "s/^/$unit /"
done
for file in /var/log/pods/*/kube-proxy/*.log /var/log/pods/*/coredns/*.log; do
  [ -f "$file" ] || continue
  daemon=${file%/*}
  grep -i 'too many open files' "$file" | awk -v since="$2" -v daemon="${daemon##*/}" '$1 >= since { print daemon, $0 }'
done
true
"""


@dataclass(frozen=True, slots=True)
class Process:
    """A daemon's process: its start time in ticks tells it from a later one of the same pid."""

    daemon: str
    pid: int
    start: int
    open: int
    soft: int
    hard: int


def processes_of(cluster: NodeExec, node: str, daemons: Sequence[str]) -> tuple[Process, ...]:
    """The processes of these programs on the node, those in its containers too. Raises CommandError."""
    said = cluster.node_exec(node, ["sh", "-c", LISTING, "sh", *daemons], timeout_s=15)
    return _parsed(said.out)


class HandleSamples:
    """Samples the daemons of a node twice a second for as long as the block lasts.

    While the node does not answer, or one of the daemons has no process, there is a Blind record "open-handles".
    """

    def __init__(self, cluster: NodeExec, history: History, node: str, daemons: Sequence[str]) -> None:
        self._cluster, self._history, self._node, self._daemons = cluster, history, node, tuple(daemons)
        self._known: dict[str, str] = {}
        self._sampled_at: dict[str, float] = {}
        self._trouble: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"handles-{node}", daemon=True)

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where some daemon can't be read at all."""
        self._thread.start()
        eventually(
            lambda: set(self._sampled_at) == set(self._daemons),
            within_s=30,
            what=f"a first sample of {', '.join(self._daemons)} on {self._node}",
            every_s=0.05,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join(30)

    def _run(self) -> None:
        while True:
            try:
                self._sample()
            except Exception as error:  # noqa: BLE001  (whatever it was: it is a gap, and is told)
                why = (str(error).strip().splitlines() or [repr(error)])[0][:200]
                self._trouble |= {d: why for d in self._daemons if d not in self._trouble}
            if self._stopped.wait(EVERY_S):
                break
        for daemon in tuple(self._trouble):
            self._see_again(daemon, self._history.now())

    def _sample(self) -> None:
        argv = ["sh", "-c", LISTING + TOTALS, "sh", *self._daemons]
        said = self._cluster.node_exec(self._node, argv, timeout_s=15).out
        at = self._history.now()
        *lines, totals = said.strip().splitlines()
        found = _parsed("\n".join(lines))
        for daemon in self._daemons:
            own = sorted((p for p in found if p.daemon == daemon), key=lambda p: p.soft - p.open)
            if not own:
                self._trouble.setdefault(daemon, f"no process {daemon} on {self._node}")
                continue
            subject = f"{self._node}/{daemon}"
            self._see_again(daemon, at)
            self._history.add(Sample(at, OPEN, subject, own[0].open))
            self._history.add(Sample(at, LIMIT, subject, own[0].soft))
            who = " ".join(sorted(f"{p.pid}:{p.start}" for p in own))
            if self._known.get(daemon) != who:
                self._known[daemon] = who
                self._history.add(Observation(at, PROCESSES, subject, who))
            self._sampled_at[daemon] = at
        _, in_use, *waiting = totals.split()
        self._history.add(Sample(at, IN_USE, self._node, int(in_use)))
        if waiting:
            self._history.add(Sample(at, TIME_WAIT, self._node, int(waiting[0])))

    def _see_again(self, daemon: str, until: float) -> None:
        why = self._trouble.pop(daemon, "")
        if why:
            since = self._sampled_at.get(daemon, 0.0)
            self._history.add(Blind(since, f"{OPEN}:{self._node}/{daemon}", until, why))


def _parsed(listing: str) -> tuple[Process, ...]:
    found = []
    for line in listing.splitlines():
        daemon, *numbers = line.split()
        if len(numbers) == 5:  # fewer where it ended while it was looked at
            found.append(Process(daemon, *map(int, numbers)))
    return tuple(found)


def what_the_logs_say(cluster: NodeExec, history: History, node: str, since: float) -> None:
    """Look for "too many open files" in the daemons' logs on a node, since a time of the history; record what is there.

    Raises CommandError where the logs can't be read.
    """
    began = history.began_wall + since
    stamp = datetime.fromtimestamp(began, UTC).isoformat().removesuffix("+00:00")
    argv = ["sh", "-c", LOGS, "sh", f"{began:.6f}", stamp]
    lines: dict[str, list[str]] = {}
    for line in cluster.node_exec(node, argv, timeout_s=30).out.splitlines():
        daemon, _, text = line.partition(" ")
        lines.setdefault(daemon, []).append(text)
    for daemon, said in lines.items():
        seen = f"{len(said)} times, first: {said[0][:300]}"
        history.add(Observation(history.now(), SAID, f"{node}/{daemon}", seen))
