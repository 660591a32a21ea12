"""What is seen of an API server that starts: its process and etcd's, and what it says of its start hooks."""

from typing import ClassVar, Final, Literal

import msgspec

from chaos.record.records import Count
from chaos.record.registry import Seconds, record

State = Literal["running", "stopped", "gone", "full"]
FULL: Final = "full"  # of etcd alone: it runs, and takes no writes


@record
class ControlPlaneProcesses(msgspec.Struct, frozen=True, gc=False):
    """The API server's process and etcd's, as the kernel has them; etcd's own word is "full". `pid`: the API server's.

    `hook`: the start hook whose failure it named as why it ends itself; "" where it names none. `words`: what it said.
    """

    kind: ClassVar[str] = "control-plane-processes"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "words"
    at: Seconds
    pid: Count
    apiserver: State
    etcd: State
    hook: str = ""
    words: str = ""

    @property
    def object(self) -> str:
        return "control-plane"

    def told(self) -> str:
        return f"API server {self.apiserver}, etcd {self.etcd}{f': {self.words}' if self.words else ''}"


@record
class StartHooks(msgspec.Struct, frozen=True, gc=False):
    """An API server's answer to /readyz?verbose: is it ready, which of its start hooks are not done, and does
    etcd answer it?
    """

    kind: ClassVar[str] = "start-hooks"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    ready: bool
    pending: tuple[str, ...] = ()
    etcd: bool = True

    @property
    def object(self) -> str:
        return "kube-apiserver"

    def told(self) -> str:
        return "ready" if self.ready else f"waits for {', '.join(self.pending) or 'no start hook'}"
