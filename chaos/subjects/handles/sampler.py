"""The file handles of a node's daemons: how many are open, how many may be, as the node's kernel counts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from chaos.clusters.abilities import NodeExec
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.handles.records import (
    IN_USE,
    LIMIT,
    OPEN,
    SAMPLE_GAP_S,
    TIME_WAIT,
    DaemonProcesses,
    ProcessId,
    SaidTooMany,
)

EVERY_S = 0.5
FIRST_WITHIN_S = 30.0

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
# The logs' times are by the node's clock, and so is what is looked for: it is told how many seconds ago that began.
LOGS = r"""
began=$(awk -v now="$(date +%s.%N)" -v ago="$1" 'BEGIN { printf "%.6f", now - ago }')
stamp=$(date -u -d "@$began" +%Y-%m-%dT%H:%M:%S.%6N)
for unit in containerd kubelet; do
  journalctl --no-pager --quiet --output cat --since "@$began" --unit "$unit" | grep -i 'too many open files' |
    sed "s/^/$unit /"
done
for file in /var/log/pods/*/kube-proxy/*.log /var/log/pods/*/coredns/*.log; do
  [ -f "$file" ] || continue
  daemon=${file%/*}
  grep -i 'too many open files' "$file" |
    awk -v since="$stamp" -v daemon="${daemon##*/}" '$1 >= since { print daemon, $0 }'
done
true
"""


@dataclass(frozen=True, slots=True)
class DaemonProcess:
    """A daemon's process: its start time in ticks tells it from a later one of the same pid."""

    daemon: str
    pid: int
    start: int
    open: int
    soft: int
    hard: int


def processes_of(cluster: NodeExec, node: str, daemons: Sequence[str]) -> tuple[DaemonProcess, ...]:
    """The processes of these programs on the node, those in its containers too. Raises CommandError."""
    said = cluster.node_exec(node, ["sh", "-c", LISTING, "sh", *daemons], timeout_s=15)
    return _parsed(said.out)


class HandleSamples:
    """Samples the daemons of a node twice a second for as long as the block lasts.

    While the node does not answer, or one of the daemons has no process, there is a Blind record "open-handles".
    """

    def __init__(self, cluster: NodeExec, history: History, node: str, daemons: Sequence[str]) -> None:
        self._cluster, self._history, self._node, self._daemons = cluster, history, node, tuple(daemons)
        self._known: dict[str, tuple[ProcessId, ...]] = {}
        self._gaps = {d: Gap(history, f"{OPEN}:{node}/{d}", late_after_s=SAMPLE_GAP_S) for d in daemons}
        self._sampler = Sampler(f"handles-{node}", self._sample, every_s=EVERY_S, gaps=list(self._gaps.values()))

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where some daemon can't be read at all."""
        what = f"a first sample of {', '.join(self._daemons)} on {self._node}"
        self._sampler.__enter__().wait_first(what, within_s=FIRST_WITHIN_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampler.end()

    def _sample(self) -> None:
        argv = ["sh", "-c", LISTING + TOTALS, "sh", *self._daemons]
        said = self._cluster.node_exec(self._node, argv, timeout_s=15).out
        at = self._history.now()
        *lines, totals = said.strip().splitlines()
        found = _parsed("\n".join(lines))
        for daemon in self._daemons:
            own = sorted((p for p in found if p.daemon == daemon), key=lambda p: p.soft - p.open)
            if not own:
                self._gaps[daemon].missed(f"no process {daemon} on {self._node}")
                continue
            subject = f"{self._node}/{daemon}"
            self._gaps[daemon].seen(at)
            self._history.add(Sample(at, OPEN, subject, own[0].open))
            self._history.add(Sample(at, LIMIT, subject, own[0].soft))
            who = tuple(sorted((ProcessId(p.pid, p.start) for p in own), key=str))
            if self._known.get(daemon) != who:
                self._known[daemon] = who
                self._history.add(DaemonProcesses(at, self._node, daemon, who))
        _, in_use, *waiting = totals.split()
        self._history.add(Sample(at, IN_USE, self._node, int(in_use)))
        if waiting:
            self._history.add(Sample(at, TIME_WAIT, self._node, int(waiting[0])))


def _parsed(listing: str) -> tuple[DaemonProcess, ...]:
    found = []
    for line in listing.splitlines():
        daemon, *numbers = line.split()
        if len(numbers) == 5:  # fewer where it ended while it was looked at
            found.append(DaemonProcess(daemon, *map(int, numbers)))
    return tuple(found)


def what_the_logs_say(cluster: NodeExec, history: History, node: str, since: float) -> None:
    """Look for "too many open files" in the daemons' logs on a node, since a time of the history; record what is there.

    Raises CommandError where the logs can't be read.
    """
    argv = ["sh", "-c", LOGS, "sh", f"{history.now() - since:.6f}"]
    lines: dict[str, list[str]] = {}
    for line in cluster.node_exec(node, argv, timeout_s=30).out.splitlines():
        daemon, _, text = line.partition(" ")
        lines.setdefault(daemon, []).append(text)
    for daemon, said in lines.items():
        history.add(SaidTooMany(history.now(), node, daemon, len(said), said[0][:300]))
