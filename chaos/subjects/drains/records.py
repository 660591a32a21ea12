"""What came of asking for the eviction of a pod."""

from typing import Annotated, ClassVar

import msgspec

from chaos.record.registry import Seconds, record

GRANTED, GONE = 201, 404
# What budgets answer: 429, and 500 to a pod that has two (pkg/registry/core/pod/storage/eviction.go).
NO_DISRUPTION, TWO_BUDGETS = 429, 500
Code = Annotated[int, msgspec.Meta(ge=100, le=599)]


@record
class EvictionAnswered(msgspec.Struct, frozen=True, gc=False):
    """The API server's answer to an eviction, by its HTTP status. `budget`: that which it names as what refuses it; ""
    where it names none. `why`: what else it said.
    """

    kind: ClassVar[str] = "eviction-answered"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "why"
    at: Seconds
    namespace: str
    pod: str
    uid: str
    node: str
    workload: str
    code: Code
    budget: str = ""
    why: str = ""

    @property
    def object(self) -> str:
        return f"{self.namespace}/{self.pod}"

    @property
    def refused(self) -> bool:
        """Whether a budget keeps the pod for now."""
        return self.code in {NO_DISRUPTION, TWO_BUDGETS}

    def told(self) -> str:
        if not self.refused:
            return "evicted"
        by = f" by the budget {self.budget}" if self.budget else ""
        return f"refused with {self.code}{by}: {self.why}"
