"""Services of the user's own that are watched beside ours (`--ordeal-watch-service`). Nothing of them is changed."""

import re
from dataclasses import dataclass
from typing import Any

from chaos.errors import OrdealError

OPTION = "--ordeal-watch-service"
FORM = "NAMESPACE/NAME[:PORT][/PATH]"
HTTP = "http"
_LABEL = r"[a-z0-9](?:[-a-z0-9]{,61}[a-z0-9])?"
_SAID = re.compile(
    rf"(?P<namespace>{_LABEL})/(?P<service>{_LABEL})(?::(?P<port>[a-z0-9-]{{1,15}}))?(?P<path>/[!-+\--~]*)?"
)


@dataclass(frozen=True, slots=True)
class WatchedService:
    """A Service as the option names it; what it does not name is "". `port`: a number or a name."""

    namespace: str
    service: str
    port: str = ""
    path: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}{self.port and f':{self.port}'}{self.path}"


def parse(said: str) -> tuple[WatchedService, ...]:
    """The Services of an option's value, joined by commas. Raises OrdealError for what names none, or one twice."""
    found: list[WatchedService] = []
    for each in (part.strip() for part in said.split(",")) if said else ():
        parts = _SAID.fullmatch(each)
        if parts is None:
            raise OrdealError(f"{OPTION} {each!r} names no Service: write {FORM}, several joined by commas")
        service = WatchedService(**{name: value or "" for name, value in parts.groupdict().items()})
        if service in found:
            raise OrdealError(f"{OPTION} names {service} twice")
        found.append(service)
    return tuple(found)


def url_of(service: WatchedService, spec: Any) -> str:
    """What is asked of a Service: HTTP where a path was named or its port says so, else whether a connection is taken.
    `spec`: the Service's own (V1ServiceSpec). Raises OrdealError where that is not one thing.
    """
    address = spec.cluster_ip
    if spec.type == "ExternalName":
        raise OrdealError(f"{OPTION} {service}: it is an ExternalName, which nothing in the cluster serves")
    if not address or address == "None":
        raise OrdealError(f"{OPTION} {service}: it is headless, so it has no address that could be asked")
    ports = [each for each in spec.ports or () if service.port in {"", str(each.port), each.name}]
    named = ", ".join(f"{each.port}{f' ({each.name})' if each.name else ''}" for each in spec.ports or ()) or "none"
    if len(ports) != 1:
        raise OrdealError(f"{OPTION} {service}: name one of its ports, as {FORM}; it has {named}")
    (port,) = ports
    if port.protocol not in {None, "TCP"}:
        raise OrdealError(f"{OPTION} {service}: its port {port.port} is {port.protocol}, and only TCP can be asked")
    says = (port.app_protocol or port.name or "").lower()
    scheme = HTTP if service.path or says == HTTP or says.startswith(f"{HTTP}-") else "tcp"
    return f"{scheme}://{f'[{address}]' if ':' in address else address}:{port.port}{service.path or '/'}"
