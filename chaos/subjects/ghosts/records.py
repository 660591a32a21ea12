"""What EndpointSlices say of a Service's endpoints while these come and go."""

from typing import ClassVar

import msgspec

from chaos.record.registry import Seconds, record

SOURCE = "slices"  # of the gaps: "slices:SERVICE"
GAP_S = 10.0  # longer without a look at the slices is a gap: there are two a second


class EndpointState(msgspec.Struct, frozen=True, gc=False):
    """An endpoint's address and node, and its conditions as its EndpointSlice has them (discovery/v1 says what they
    mean; one that is not told counts as its documentation says).
    """

    address: str
    node: str
    ready: bool
    serving: bool
    terminating: bool

    def told(self) -> str:
        """For a reader."""
        said = "ready" if self.ready else "serving" if self.serving else "not serving"
        return f"{self.address} {said}{', terminating' if self.terminating else ''}"


@record
class EndpointStates(msgspec.Struct, frozen=True, gc=False):
    """All endpoints of a Service, from now on, as the API has them. It is recorded where one changes."""

    kind: ClassVar[str] = "endpoint-states"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    service: str
    endpoints: tuple[EndpointState, ...]

    @property
    def object(self) -> str:
        return self.service

    def told(self) -> str:
        return "; ".join(each.told() for each in self.endpoints) or "none"

    def serving(self, node: str | None) -> frozenset[str]:
        """The addresses that serve, of all nodes or of one."""
        return frozenset(each.address for each in self.endpoints if each.serving and node in {None, each.node})

    def terminating(self) -> bool:
        """Whether one of them serves, and is about to end."""
        return any(each.serving and each.terminating for each in self.endpoints)
