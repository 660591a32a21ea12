"""What a component holds when it has come to rest, and what an API server that nobody asks reads from etcd."""

from typing import ClassVar

import msgspec

from chaos.record.records import Count
from chaos.record.registry import Seconds, record


class Keeper(msgspec.Struct, frozen=True, gc=False):
    """By which functions something is held, and how much of it: bytes of the heap, or goroutines."""

    stack: str
    held: Count


@record
class ComponentProfile(msgspec.Struct, frozen=True, gc=False):
    """A component's heap, in bytes after a forced collection, and its goroutines, with those who hold the most.

    `process`: when it was started, Unix time as it says itself: another one is another process. `operations`: how many
    it had done, by its own counter. `settled`: it did none any more, and what it held no longer went down.
    """

    kind: ClassVar[str] = "component-profile"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    component: str
    process: str
    operations: Count
    heap_bytes: Count
    goroutines: Count
    settled: bool
    heap: tuple[Keeper, ...] = ()
    stacks: tuple[Keeper, ...] = ()

    @property
    def object(self) -> str:
        return self.component

    def told(self) -> str:
        rest = "" if self.settled else ", and is not at rest"
        held = f"{self.heap_bytes / 1e6:.1f} MB, {self.goroutines} goroutines"
        return f"holds {held} after {self.operations} operations{rest}"


@record
class QuietSpan(msgspec.Struct, frozen=True, gc=False):
    """A span that ends `at`, in which nobody asked the API server for anything but what nodes and controllers do.

    `lasted_s` seconds; `read_bytes`: what etcd sent meanwhile; `stored`: how many events were stored; `processor_s`:
    what the API server took of processors. `processes`: when etcd and it were started: others are other processes.
    """

    kind: ClassVar[str] = "quiet-span"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    lasted_s: float
    read_bytes: Count
    stored: Count
    processor_s: float
    processes: tuple[str, ...]

    @property
    def object(self) -> str:
        return "kube-apiserver"

    def told(self) -> str:
        return (
            f"{self.read_bytes / 1e3:.0f} kB came from etcd in {self.lasted_s:.0f} s, with {self.stored} events stored"
        )
