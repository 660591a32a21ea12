"""What a kubelet and the containers of its node were seen to be. The writer is sampler.py."""

from typing import ClassVar

import msgspec

from chaos.record.records import Count
from chaos.record.registry import Seconds, record

SOURCE = "containers"  # of the gaps: "containers:NODE"
GAP_S = 5.0  # longer without a look at the node's kernel is a gap: there is one a second, and a slow one takes some


@record
class KubeletProcess(msgspec.Struct, frozen=True, gc=False):
    """The kubelet's process on a node from now on: `start`, in clock ticks since boot, tells it from a later one of the
    same pid. Both are 0 while there is none. It is recorded where it changes.
    """

    kind: ClassVar[str] = "kubelet-process"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    node: str
    pid: Count
    start: Count

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return f"{self.pid}:{self.start}" if self.pid else "none"


@record
class KubeletPods(msgspec.Struct, frozen=True, gc=False):
    """The pods that the kubelet of a node says it has, as "namespace/name", from now on. It is recorded where it
    changes, and where `start`, of the kubelet's process, does. A static pod has other uids for the kubelet and the API.
    """

    kind: ClassVar[str] = "kubelet-pods"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    node: str
    start: Count
    pods: tuple[str, ...]

    @property
    def object(self) -> str:
        return self.node


class RunningContainer(msgspec.Struct, frozen=True, array_like=True):
    """A container that runs, by its runtime's id, and the uid of its pod as the kubelet has it."""

    pod: str
    id: str
    pid: int


@record
class NodeContainers(msgspec.Struct, frozen=True, gc=False):
    """The containers of a node from now on, sandboxes with them, as the kernel has their first processes. It is
    recorded where it changes.
    """

    kind: ClassVar[str] = "node-containers"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    node: str
    containers: tuple[RunningContainer, ...]

    @property
    def object(self) -> str:
        return self.node


@record
class ContainerKilled(msgspec.Struct, frozen=True, gc=False):
    """The first process of a container was killed `at`; `pod` is its pod's uid as the kubelet has it."""

    kind: ClassVar[str] = "container-killed"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    node: str
    name: str
    pod: str
    id: str

    @property
    def object(self) -> str:
        return f"{self.node}/{self.name}"

    def told(self) -> str:
        return f"{self.name}: {self.id[:12]}"
