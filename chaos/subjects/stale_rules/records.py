"""Where a node's rules lead, where they should, and what its kube-proxy says of itself."""

from typing import Annotated, ClassVar

import msgspec

from chaos.record.registry import Seconds, record

SOURCE = "rules"  # of the gaps: "rules:NODE"
GAP_S = 10.0  # longer without a look at a node is a gap: there is one a second
STOPPED = "T"  # of a process's state, as the kernel says it
UNHEALTHY = 503
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


@record
class NodeRules(msgspec.Struct, frozen=True, gc=False):
    """The addresses of a Service's ready endpoints as the API has them (`wanted`), and those that the rules in a node's
    kernel lead to (`written`), from now on. It is recorded where one of them changes.
    """

    kind: ClassVar[str] = "node-rules"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    node: str
    service: str
    wanted: tuple[str, ...]
    written: tuple[str, ...]

    @property
    def object(self) -> str:
        return f"{self.node}->{self.service}"

    def told(self) -> str:
        return f"{' '.join(self.written) or 'none'}, wanted: {' '.join(self.wanted) or 'none'}"


@record
class ProxyState(msgspec.Struct, frozen=True, gc=False):
    """What a node's kube-proxy says, from now on: the code of its /healthz, 0 where it gave no answer, and how often it
    could not write its rules (kubeproxy_sync_proxy_rules_iptables_restore_failures_total), since its start; what the
    kernel says of its process, and when that was started, in clock ticks since boot.
    """

    kind: ClassVar[str] = "proxy-state"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    node: str
    health: Count
    failures: Count
    state: str
    started: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return f"health {self.health or 'not told'}, {self.failures} failures, {self.state or 'gone'}"
