"""Abilities: the components of a control plane are processes of this machine, and its etcd may be full."""

import signal
from pathlib import Path
from typing import Protocol, runtime_checkable


class ControlProcess(Protocol):
    """One process, and never one that got its pid later."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    @property
    def started(self) -> int:
        """The kernel's start time of it, in clock ticks since boot: with the pid it tells it from every other one."""
        ...

    def state(self) -> str:
        """What the kernel says of it: "running", "stopped" (by a signal) or "gone"."""
        ...

    def send(self, number: signal.Signals) -> bool:
        """Signal it; False where it is gone."""
        ...


@runtime_checkable
class ControlProcesses(Protocol):
    """What the kernel says of each component's process, and what that says itself; it can be started anew."""

    def control_process(self, name: str) -> ControlProcess | None:
        """The one that was started last for a component, such as "etcd"; None where none ever was."""
        ...

    def control_log(self, name: str) -> Path:
        """The file to which it says what it says, from when it was started by us."""
        ...

    def restart_component(self, name: str) -> None:
        """End it, and start it with the same flags; whether it answers is not waited for. Raises OrdealError."""
        ...


@runtime_checkable
class EtcdWrites(Protocol):
    """etcd can be made to refuse writes, and to answer reads, as one that is full does."""

    def etcd_refuse_writes(self, *, on: bool) -> None:
        """Begin with it, or end it; harmless where it is so. Raises OrdealError where etcd does not answer."""
        ...

    def etcd_refuses_writes(self) -> bool:
        """What etcd says. Raises OrdealError where it does not answer."""
        ...


@runtime_checkable
class ComponentPages(Protocol):
    """Each component of the control plane, etcd too, answers at its own port: figures, and profiles of itself."""

    def component_page(self, name: str, path: str) -> bytes:
        """What the component `name`, such as "kube-scheduler", answers at a path such as "/metrics".

        Raises OrdealError where it does not answer, or with something else than HTTP 200.
        """
        ...
