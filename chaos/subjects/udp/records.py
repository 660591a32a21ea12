"""What a UDP Service's endpoints were, and where the kernel of a client's node sends its flow."""

from typing import ClassVar

import msgspec

from chaos.record.registry import Seconds, record

TARGET = "udp"  # of the client's probes; who answered is the address of a pod
SOURCE = "endpoints"  # of the gaps: "endpoints:SERVICE"
GAP_S = 3.0  # longer without a look at the endpoints is a gap: there are four a second


def of_port(service: str, port: str) -> str:
    """What records call a port of a Service that has endpoints of its own."""
    return f"{service}:{port}"


@record
class ServiceEndpoints(msgspec.Struct, frozen=True, gc=False):
    """The addresses of a Service's endpoints that are ready, from now on, as the API has them. It is recorded where
    they change.
    """

    kind: ClassVar[str] = "service-endpoints"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    service: str
    addresses: tuple[str, ...]

    @property
    def object(self) -> str:
        return self.service

    def told(self) -> str:
        return " ".join(self.addresses) or "none"


@record
class UdpFlows(msgspec.Struct, frozen=True, gc=False):
    """The addresses to which the kernel of a node translates UDP flows to a Service, from now on: the sources of the
    replies in its connection tracking. It is recorded where they change.
    """

    kind: ClassVar[str] = "udp-flows"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    node: str
    service: str
    to: tuple[str, ...]

    @property
    def object(self) -> str:
        return f"{self.node}->{self.service}"

    def told(self) -> str:
        return " ".join(self.to) or "none"
