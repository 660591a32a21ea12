"""etcd stands still, or is full, while an API server's start hooks run."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol, cast

import msgspec

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import ControlPlaneSwap
from chaos.clusters.base import Cluster
from chaos.clusters.control_processes import ControlProcesses, EtcdWrites
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses
from chaos.subjects.slow_start.asking import APISERVER, ETCD, HOOK_BEGINS, REPAIR_HOOK, readiness
from chaos.subjects.slow_start.records import FULL, State

TRIES = 5
BEGINS_WITHIN_S = 90.0  # ends when it is seen, and is for the slowest machine
STANDS_WITHIN_S = 10.0


class EtcdInHand(ControlProcesses, EtcdWrites, Protocol):
    """A control plane whose etcd can be stopped, or filled, and let go on."""


class _Own(Cluster, ControlProcesses, ControlPlaneSwap, EtcdWrites, Protocol): ...


class StallEtcdAtStartPlan(msgspec.Struct, frozen=True):
    """The process of the API server before, by its pid; whether etcd is full, or stands still."""

    apiserver: int
    full: bool


@fault
@dataclass(frozen=True, slots=True)
class StallEtcdAtStart:
    """Start the API server anew, and let etcd stand still (SIGSTOP) as soon as its start hooks begin; `full`: etcd
    takes no writes instead, from before that start on. Whoever tells the story lets etcd go on. Undo does too, and
    starts what has ended itself meanwhile.
    """

    kind: ClassVar[str] = "stall-etcd-at-start"
    counterpart: ClassVar[str] = "resume_etcd"
    needs: ClassVar[tuple[type, ...]] = (ControlProcesses, ControlPlaneSwap, EtcdWrites)
    uses: ClassVar[Uses] = Uses()
    full: bool = False

    def plan(self, cluster: _Own) -> StallEtcdAtStartPlan:
        for name, state in ((APISERVER, state_of(cluster, APISERVER)), (ETCD, etcd_state(cluster))):
            if state != "running":
                raise OrdealError(f"{name} of {cluster.ref.name} is {state}: run `kube-ordeal undo` first")
        return StallEtcdAtStartPlan(_pid(cluster, APISERVER), self.full)

    def apply(self, cluster: _Own, saved: StallEtcdAtStartPlan) -> None:
        """A hook that was over before etcd stood still tries nothing: then it is begun again."""
        log = cluster.control_log(APISERVER)
        for _ in range(TRIES):
            if saved.full:
                cluster.etcd_refuse_writes(on=True)
            begin = log.stat().st_size if log.exists() else 0
            cluster.restart_component(APISERVER)
            begins = "the API server's start hooks to begin"
            eventually(_says(log, begin), within_s=BEGINS_WITHIN_S, what=begins, every_s=0.003)
            if not saved.full:
                _send(cluster, ETCD, signal.SIGSTOP)
            eventually(
                partial(_is_away, cluster, saved), within_s=STANDS_WITHIN_S, what="etcd to be away", every_s=0.01
            )
            if _is_pending(cluster):
                return
            let_go_on(cluster)

    def landed(self, cluster: _Own, saved: StallEtcdAtStartPlan) -> bool:
        """The kernel, or etcd, says that etcd is away, and the API server, another process, that its hook waits."""
        anew = _pid(cluster, APISERVER) != saved.apiserver and state_of(cluster, APISERVER) == "running"
        return anew and etcd_state(cluster) == _wanted(saved) and _is_pending(cluster)

    @staticmethod
    def lasts(cluster: _Own, saved: StallEtcdAtStartPlan) -> None:
        """Nobody looks: the story ends it on purpose, and a sampler of its own says when."""

    @staticmethod
    def undo(cluster: _Own, saved: StallEtcdAtStartPlan) -> None:
        let_go_on(cluster)
        cluster.start_first_control_plane()

    @staticmethod
    def undone(cluster: _Own, saved: StallEtcdAtStartPlan) -> bool:
        runs = etcd_state(cluster) == state_of(cluster, APISERVER) == "running"
        return runs and readiness(cluster).ready


def let_go_on(cluster: EtcdInHand) -> None:
    """Let etcd go on, and take writes; harmless where it does. Raises OrdealError where it does not answer."""
    _send(cluster, ETCD, signal.SIGCONT)
    cluster.etcd_refuse_writes(on=False)


def state_of(cluster: ControlProcesses, name: str) -> State:
    """What the kernel says of a component's process: "running", "stopped" or "gone"."""
    process = cluster.control_process(name)
    return "gone" if process is None else cast("State", process.state())


def etcd_state(cluster: EtcdInHand) -> State:
    """The same of etcd, and "full" where it runs and takes no writes. Raises OrdealError where it runs and is silent.

    One that was stopped after the kernel was asked says nothing, and the kernel is asked again.
    """
    state = state_of(cluster, ETCD)
    if state != "running":
        return state
    try:
        return FULL if cluster.etcd_refuses_writes() else state
    except OrdealError:
        state = state_of(cluster, ETCD)
        if state == "running":
            raise
        return state


def _pid(cluster: ControlProcesses, name: str) -> int:
    process = cluster.control_process(name)
    return 0 if process is None else process.pid


def _send(cluster: ControlProcesses, name: str, number: signal.Signals) -> None:
    process = cluster.control_process(name)
    if process is not None:
        process.send(number)


def _wanted(saved: StallEtcdAtStartPlan) -> State:
    return FULL if saved.full else "stopped"


def _is_away(cluster: EtcdInHand, saved: StallEtcdAtStartPlan) -> bool:
    """A full etcd is asked itself; of one that stands still the kernel alone tells, which is at once."""
    return (etcd_state(cluster) if saved.full else state_of(cluster, ETCD)) == _wanted(saved)


def _is_pending(cluster: Cluster) -> bool:
    """Whether the API server names the hook as one that is not done; waited for until it says anything."""
    said = eventually(
        lambda: [readiness(cluster)], within_s=BEGINS_WITHIN_S, what="the API server to say", every_s=0.05
    )
    return REPAIR_HOOK in said[0].pending


def _says(log: Path, begin: int) -> Callable[[], bool]:
    """Whether it is said, from a place of the log on, that the hook begins."""

    def said() -> bool:
        if not log.exists():
            return False
        with log.open("rb") as file:
            file.seek(begin)
            return HOOK_BEGINS in file.read()

    return said
