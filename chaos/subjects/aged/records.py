"""The control plane's processes, and what of the old objects is stored, touched, followed and selected."""

from typing import ClassVar

import msgspec

from chaos.record.records import Count
from chaos.record.registry import Seconds, record


@record
class ComponentSeen(msgspec.Struct, frozen=True, gc=False):
    """The process that was started last as a component of the control plane: which it is, and whether it is there.

    `started`: the kernel's start time of it, in clock ticks since boot. No process was ever started: 0 and 0.
    `lost_lease`: of one that ended, whether it said that it had lost its lease as a leader.
    """

    kind: ClassVar[str] = "component"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    component: str
    pid: Count
    started: Count
    runs: bool
    lost_lease: bool = False

    @property
    def object(self) -> str:
        return self.component

    @property
    def process(self) -> tuple[int, int]:
        """What tells it from every other process."""
        return self.pid, self.started


@record
class AgedStored(msgspec.Struct, frozen=True, gc=False):
    """etcd was asked for an object: whether it is stored there as an older version wrote it."""

    kind: ClassVar[str] = "aged-stored"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    key: str
    aged: bool

    @property
    def object(self) -> str:
        return self.key

    def told(self) -> str:
        return "as an older version wrote it" if self.aged else "as this version writes it"


@record
class Touched(msgspec.Struct, frozen=True, gc=False):
    """From now on somebody has changed an object; `name` is "Kind/name"."""

    kind: ClassVar[str] = "touched"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    name: str
    what: str

    @property
    def object(self) -> str:
        return self.name

    def told(self) -> str:
        return self.what


@record
class Followed(msgspec.Struct, frozen=True, gc=False):
    """The addresses of the Ready pods that a Service selects, and those that Endpoints and EndpointSlices name.

    It was asked `at`, and the last answer came at `until`.
    """

    kind: ClassVar[str] = "followed"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    until: Seconds
    service: str
    pods: tuple[str, ...]
    endpoints: tuple[str, ...]
    slices: tuple[str, ...]

    @property
    def object(self) -> str:
        return self.service

    @property
    def is_right(self) -> bool:
        """Whether both name those pods and no others."""
        return self.pods == self.endpoints == self.slices


@record
class Selected(msgspec.Struct, frozen=True, gc=False):
    """The nodes that a DaemonSet's nodeSelector finds, and those that have a Ready pod of it.

    `observed`: its controller has seen its newest generation. It was asked `at`, and the last answer came at `until`.
    """

    kind: ClassVar[str] = "selected"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    until: Seconds
    workload: str
    found: tuple[str, ...]
    served: tuple[str, ...]
    observed: bool

    @property
    def object(self) -> str:
        return self.workload
