"""Faults of file handles: a daemon's soft limit is lowered, handles are eaten.

No hard limit is ever touched: a soft one can be put back to what it was, a hard one only with more rights.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Capability, Uses
from chaos.subjects.handles.asking import answers, targets_of
from chaos.subjects.handles.sampler import DaemonProcess, processes_of
from chaos.subjects.handles.units import FOR_S, HANDLES_MOST, no_unit, start_unit, stop_unit, unit_runs

DAEMONS = ("containerd", "kubelet", "kube-proxy", "coredns")
LEAST = 64  # below it a daemon may not even run the program that would tell of it
NAMESPACE = "default"
POD = "kube-ordeal-eat-handles"
EATER = "kube-ordeal-eat-handles"  # a systemd unit on the node, for each target

# Holds so many connections to one target open, and makes those anew that the other side ends. A connection that waits
# in the listener's backlog counts as made: the daemon takes it as soon as it has a handle for it.
HOLD = r"""
use IO::Socket::UNIX; use IO::Socket::INET; use IO::Select;
my ($target, $count) = @ARGV;
my @new = $target =~ m{^/} ? ('UNIX', Peer => $target) : ('INET', PeerAddr => $target, Timeout => 2);
my $class = 'IO::Socket::' . shift @new;
my $held = IO::Select->new;
while (1) {
    for my $socket ($held->can_read(0)) {
        next if sysread($socket, my $said, 4096);
        $held->remove($socket);
        close $socket;
    }
    while ($held->count < $count) { my $socket = $class->new(@new) or last; $held->add($socket); }
    select undef, undef, undef, 0.1;
}
"""

# tail keeps each file that it follows open, and goes on where its limit lets it open no more of them.
EATING = (
    f"ulimit -n {{limit}}; ln -s /dev/null /tmp/{POD}; i=0; files=; "
    f'while [ "$i" -lt {{limit}} ]; do files="$files /tmp/{POD}"; i=$((i+1)); done; exec tail -f $files'
)
EATING_PROCESS = f"^tail -f /tmp/[{POD[0]}]{POD[1:]}"

# What a daemon has started meanwhile may have got its limit: shims and containers would keep it. Theirs go back too.
HEIRS = r"""
for p in /proc/[0-9]*; do
  stat=$(cat $p/stat 2>/dev/null) || continue
  rest=${stat##*) }
  set -- $rest
  shift 19
  [ "$1" -ge "$SINCE" ] || continue
  case "$stat" in
    *'(containerd-shim'*) ;;
    *) grep -q -e kubepods -e cri-containerd $p/cgroup 2>/dev/null || continue ;;
  esac
  limits=$(sed -n 's/^Max open files *\([0-9]*\) *\([0-9]*\) .*/\1 \2/p' $p/limits 2>/dev/null)
  [ "$limits" = "$LOW $HARD" ] || continue
  prlimit --pid "${p#/proc/}" --nofile="$SOFT:" || true
done
"""


class _Reached(Cluster, NodeExec, Protocol): ...


class Limited(msgspec.Struct, frozen=True, array_like=True):
    """A daemon's process as it was: its start in clock ticks since boot, its open handles, its soft and hard limit."""

    pid: int
    start: int
    open: int
    soft: int
    hard: int


class LowerHandleLimitPlan(msgspec.Struct, frozen=True):
    """`limit`: the new one; `since`: when it was planned, in clock ticks since boot. `targets`: where undo sees to it
    that the daemon takes connections; older versions did not write them.
    """

    node: str
    daemon: str
    limit: int
    since: int
    processes: tuple[Limited, ...]
    targets: tuple[str, ...] = ()


class EatHandlesPlan(msgspec.Struct, frozen=True):
    """`of`: the daemon whose `handles` are eaten, with how many it has `open`, and `processes` by pid and start; empty
    for a pod's own. `targets`: where connections go. `mends`: undo sees to it that the daemon takes connections again.
    Older versions did not write `processes` and `mends`.
    """

    node: str
    handles: int
    of: str
    targets: tuple[str, ...]
    open: int
    processes: tuple[tuple[int, int], ...] = ()
    mends: bool = True


@fault
@dataclass(frozen=True, slots=True)
class LowerHandleLimit:
    """Lower the soft limit of a running daemon's open files to `limit`, or to `above` more than it has open now.

    `limit` 0 means the second. Undo gives back the soft limit to the same processes (by pid and start time), and to the
    shims and containers that were started meanwhile; with `mends` it also ends a daemon that takes no connections any
    more (EatHandles says why). It has landed when the kernel shows the limit; whether it is reached is for a load to
    bring about.
    """

    kind: ClassVar[str] = "lower-handle-limit"
    counterpart: ClassVar[str] = "raise_handle_limit"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(
        capabilities=(Capability.SYS_RESOURCE, Capability.DAC_READ_SEARCH), programs=("pidof", "prlimit")
    )
    node: str
    daemon: str
    limit: int = 0
    above: int = 3
    mends: bool = False

    def plan(self, cluster: _Reached) -> LowerHandleLimitPlan:
        found = _daemon(cluster, self.node, self.daemon)
        limit = self.limit or max(p.open for p in found) + self.above
        least = LEAST if self.limit else max(p.open for p in found)  # what is open now it could open before
        for p in found:
            if not least <= limit <= p.hard:
                raise OrdealError(
                    f"a limit of {limit} can't be set for {self.daemon} on {self.node}: it may be {least} to {p.hard}, "
                    "the hard limit"
                )
            if p.soft <= limit:
                raise OrdealError(
                    f"the soft limit of {self.daemon} on {self.node} is {p.soft} already, not above {limit}: give a "
                    "lower one, or run `kube-ordeal undo`"
                )
        uptime_s = float(cluster.node_exec(self.node, ["cat", "/proc/uptime"]).out.split()[0])
        processes = tuple(Limited(p.pid, p.start, p.open, p.soft, p.hard) for p in found)
        targets = _mended(tuple(targets_of(cluster, self.node, self.daemon))) if self.mends else ()
        return LowerHandleLimitPlan(self.node, self.daemon, limit, int(uptime_s * 100), processes, targets)

    def apply(self, cluster: _Reached, saved: LowerHandleLimitPlan) -> None:
        for p in saved.processes:
            _prlimit(cluster, saved.node, p.pid, saved.limit)

    def landed(self, cluster: _Reached, saved: LowerHandleLimitPlan) -> bool:
        return LowerHandleLimit.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Reached, saved: LowerHandleLimitPlan) -> bool:
        """The kernel shows the soft limit for each of the processes, and the hard one as it was."""
        now = {(p.pid, p.start): (p.soft, p.hard) for p in _now(cluster, saved)}
        return all(now.get((p.pid, p.start)) == (saved.limit, p.hard) for p in saved.processes)

    @staticmethod
    def undo(cluster: _Reached, saved: LowerHandleLimitPlan) -> None:
        now = {(p.pid, p.start): p.soft for p in _now(cluster, saved)}
        for p in saved.processes:
            if now.get((p.pid, p.start), p.soft) != p.soft:
                _prlimit(cluster, saved.node, p.pid, p.soft)
        first = saved.processes[0]
        given = f"SINCE={saved.since} LOW={saved.limit} SOFT={first.soft} HARD={first.hard}\n"
        cluster.node_exec(saved.node, ["sh", "-c", given + HEIRS], timeout_s=60)
        _mend(cluster, saved.node, saved.daemon, saved.targets, {(p.pid, p.start) for p in saved.processes})

    @staticmethod
    def undone(cluster: _Reached, saved: LowerHandleLimitPlan) -> bool:
        """Each process that is still there has its soft limit again, and takes connections where it is mended; one that
        was restarted has a new one anyway.
        """
        now = {(p.pid, p.start): p.soft for p in _now(cluster, saved)}
        still = [p for p in saved.processes if (p.pid, p.start) in now]
        given_back = all(now[p.pid, p.start] == p.soft for p in still)
        return given_back and (not still or all(answers(cluster, saved.node, t) for t in saved.targets))


@fault
@dataclass(frozen=True, slots=True)
class EatHandles:
    """Eat so many handles on a node: a pod's own, or those of a daemon (`of`), by connections that are held open.

    The connections go to containerd's socket, or to the daemon's port for health or metrics, from the node itself. It
    has landed when the kernel counts the handles: of the pod's process, or of the daemon, as far as its limit allows.

    Undo ends a daemon that takes no connections any more once it has handles again, so that it is started anew:
    kube-proxy's listeners end at the first accept that is refused (MultiListen in k8s.io/utils/net/multi_listen.go, as
    used by pkg/proxy/healthcheck/common.go), and only a restart brings them back. Without `mends` it is left as it is,
    to be asked: whoever lowered its limit restarts it then.
    """

    kind: ClassVar[str] = "eat-handles"
    counterpart: ClassVar[str] = "release_handles"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(
        capabilities=(Capability.DAC_READ_SEARCH, Capability.KILL),
        programs=("kill", "perl", "pgrep", "pidof", "systemctl", "systemd-run"),
    )
    node: str
    handles: int = 1000
    of: str = ""
    mends: bool = True

    def plan(self, cluster: _Reached) -> EatHandlesPlan:
        if not self.of:
            ready_worker(cluster, self.node, "no handles are eaten there")
        if not 1 <= self.handles <= HANDLES_MOST:
            raise OrdealError(f"{self.handles} handles can't be eaten: take 1 to {HANDLES_MOST}")
        if not self.of:
            with cluster.api() as client:
                if _pod(client, POD) is not None:
                    raise OrdealError(f"there is a pod {NAMESPACE}/{POD} already: run `kube-ordeal undo` first")
            return EatHandlesPlan(self.node, self.handles, of="", targets=(), open=0)
        found = _daemon(cluster, self.node, self.of)
        no_unit(cluster, self.node, EATER)
        targets = tuple(targets_of(cluster, self.node, self.of))
        before = max(p.open for p in found)
        deaf = [t for t in _mended(targets) if not answers(cluster, self.node, t)]
        if deaf:
            raise OrdealError(
                f"{self.of} on {self.node} takes no connections at {deaf[0]} before the fault: mend it first"
            )
        processes = tuple((p.pid, p.start) for p in found)
        return EatHandlesPlan(self.node, self.handles, self.of, targets, before, processes, self.mends)

    def apply(self, cluster: _Reached, saved: EatHandlesPlan) -> None:
        if saved.of:
            targets = saved.targets
            for number, target in enumerate(targets):
                start_unit(cluster, self.node, f"{EATER}-{number}", HOLD, target, self.handles)
            return
        command = EATING.format(limit=self.handles)
        body: Any = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": POD, "labels": {"kube-ordeal/workload": "eat-handles"}},
            "spec": {
                "nodeName": self.node,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "activeDeadlineSeconds": FOR_S,
                "containers": [{"name": "eat", "image": cluster.images.busybox, "command": ["sh", "-c", command]}],
            },
        }
        with cluster.api() as client:
            k8s.CoreV1Api(client).create_namespaced_pod(NAMESPACE, body)

    def landed(self, cluster: _Reached, saved: EatHandlesPlan) -> bool:
        """What the kernel counts. A daemon at its limit has a handle free now and then: two are allowed."""
        eaten = saved.handles
        if not saved.of:
            script = f"for p in $(pgrep -f '{EATING_PROCESS}'); do ls /proc/$p/fd | wc -l; done"
            counts = cluster.node_exec(self.node, ["sh", "-c", script], check=False).out.split()
            return any(int(count) >= 0.9 * eaten for count in counts)
        found = processes_of(cluster, self.node, [saved.of])
        wanted = saved.open + 0.9 * eaten
        return bool(found) and all(p.open >= min(p.soft - 2, wanted) for p in found)

    @staticmethod
    def lasts(cluster: _Reached, saved: EatHandlesPlan) -> bool:
        """What eats them runs."""
        if saved.of:
            return all(unit_runs(cluster, saved.node, f"{EATER}-{number}") for number in range(len(saved.targets)))
        return bool(cluster.node_exec(saved.node, ["sh", "-c", f"pgrep -f '{EATING_PROCESS}' || true"]).out)

    @staticmethod
    def undo(cluster: _Reached, saved: EatHandlesPlan) -> None:
        node = saved.node
        for number in range(len(saved.targets)):
            stop_unit(cluster, node, f"{EATER}-{number}")
        if saved.mends:
            _mend(cluster, node, saved.of, saved.targets, set(saved.processes))
        if not saved.of:
            with cluster.api() as client:
                if _pod(client, POD) is not None:
                    k8s.CoreV1Api(client).delete_namespaced_pod(POD, NAMESPACE, grace_period_seconds=0)

    @staticmethod
    def undone(cluster: _Reached, saved: EatHandlesPlan) -> bool:
        """Nothing runs any more that holds them, and the daemon takes connections, where it is mended."""
        node = saved.node
        if any(unit_runs(cluster, node, f"{EATER}-{n}") for n in range(len(saved.targets))):
            return False
        if saved.of:
            return not saved.mends or all(answers(cluster, node, target) for target in _mended(saved.targets))
        with cluster.api() as client:
            there = _pod(client, POD) is not None
        return not there and cluster.node_exec(node, ["pgrep", "-f", EATING_PROCESS], check=False).code != 0


def _daemon(cluster: _Reached, node: str, daemon: str) -> tuple[DaemonProcess, ...]:
    # CoreDNS is a pod like others: where it runs on a control plane, it can be harmed without harm to that.
    ready_worker(cluster, node, f"{daemon} is not harmed there", or_control_plane=daemon == "coredns")
    if daemon not in DAEMONS:
        raise OrdealError(f"{daemon!r} is no daemon whose handles can be looked at: name one of {', '.join(DAEMONS)}")
    found = processes_of(cluster, node, [daemon])
    if not found:
        raise OrdealError(f"there is no process {daemon} on {node}: name a node where it runs")
    return found


def _now(cluster: _Reached, saved: LowerHandleLimitPlan) -> tuple[DaemonProcess, ...]:
    return processes_of(cluster, saved.node, [saved.daemon])


def _prlimit(cluster: NodeExec, node: str, pid: int, soft: int) -> None:
    cluster.node_exec(node, ["prlimit", "--pid", str(pid), f"--nofile={soft}:"])


def _mended(targets: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the targets that may need a restart to take connections again: containerd's socket is none."""
    return tuple(target for target in targets if not target.startswith("/"))


def _mend(cluster: NodeExec, node: str, daemon: str, targets: tuple[str, ...], processes: set[tuple[int, int]]) -> None:
    """End a daemon that is deaf, so that systemd or the kubelet starts it anew: the processes that there were at the
    plan, by pid and start, and no later ones. Asked twice, so that a machine that is busy is not taken for one.
    """
    if all(answers(cluster, node, t) or answers(cluster, node, t) for t in _mended(targets)):
        return
    for process in processes_of(cluster, node, [daemon]):
        if (process.pid, process.start) in processes:
            cluster.node_exec(node, ["kill", str(process.pid)], check=False)


def _pod(client: Any, name: str) -> Any:
    try:
        return k8s.CoreV1Api(client).read_namespaced_pod(name, NAMESPACE)
    except ApiException as error:
        if error.status == 404:
            return None
        raise
