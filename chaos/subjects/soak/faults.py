"""A component of the control plane stands still for a moment, and then has all at once what came meanwhile."""

import signal
from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.base import Cluster
from chaos.clusters.control_processes import ControlProcesses
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses


class _Own(Cluster, ControlProcesses, Protocol): ...


class PauseComponentPlan(msgspec.Struct, frozen=True):
    """The component, its process, and the kernel's start time of that, in clock ticks since boot."""

    component: str
    pid: int
    started: int


@fault
@dataclass(frozen=True, slots=True)
class PauseComponent:
    """Stop a component of the control plane, such as kube-scheduler, with SIGSTOP. Undo lets it go on.

    One that stands still for longer than its lease can be renewed ends itself then: undo starts it again.
    """

    kind: ClassVar[str] = "pause-component"
    counterpart: ClassVar[str] = "resume_component"
    needs: ClassVar[tuple[type, ...]] = (ControlProcesses,)
    uses: ClassVar[Uses] = Uses()
    component: str

    def plan(self, cluster: _Own) -> PauseComponentPlan:
        process = cluster.control_process(self.component)
        if process is None or process.state() != "running":
            raise OrdealError(f"{self.component} of {cluster.ref.name} does not run: run `kube-ordeal undo` first")
        return PauseComponentPlan(self.component, process.pid, process.started)

    def apply(self, cluster: _Own, saved: PauseComponentPlan) -> None:
        process = cluster.control_process(saved.component)
        if process is None or not process.send(signal.SIGSTOP):
            raise OrdealError(f"{saved.component} of {cluster.ref.name} is gone")

    def landed(self, cluster: _Own, saved: PauseComponentPlan) -> bool:
        """The kernel says that it is stopped."""
        return _is_stopped(cluster, saved)

    @staticmethod
    def lasts(cluster: _Own, saved: PauseComponentPlan) -> bool:
        return _is_stopped(cluster, saved)

    @staticmethod
    def undo(cluster: _Own, saved: PauseComponentPlan) -> None:
        process = cluster.control_process(saved.component)
        if process is None or not process.send(signal.SIGCONT):
            cluster.restart_component(saved.component)

    @staticmethod
    def undone(cluster: _Own, saved: PauseComponentPlan) -> bool:
        process = cluster.control_process(saved.component)
        return process is not None and process.state() == "running"


def _is_stopped(cluster: _Own, saved: PauseComponentPlan) -> bool:
    process = cluster.control_process(saved.component)
    same = process is not None and (process.pid, process.started) == (saved.pid, saved.started)
    return same and process is not None and process.state() == "stopped"
