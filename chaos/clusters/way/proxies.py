"""The proxy on the way to a server: the one of a kubeconfig, or the one of the environment by the rules of Go.

The rules are those of golang.org/x/net/http/httpproxy, which kubectl has: never for this machine's own addresses.
"""

import ipaddress
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from chaos.errors import OrdealError

SCHEMES = ("http", "https", "socks5", "socks5h")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and where it is named: a variable, or the key of a kubeconfig."""

    url: SplitResult
    named_by: str

    def __str__(self) -> str:
        return beginning(self.url)

    @property
    def user(self) -> str | None:
        """Who asks the proxy, where that is said."""
        return unquote(self.url.username) if self.url.username else None

    @property
    def password(self) -> str | None:
        """The user's."""
        return unquote(self.url.password) if self.url.password else None

    @property
    def from_environment(self) -> bool:
        """Whether NO_PROXY can take it out of the way."""
        return self.named_by.upper().endswith("_PROXY")


def beginning(url: SplitResult) -> str:
    """Scheme, host and port of a URL: what may be shown of it, for a password, the path and the query may be secret."""
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


def of_kubeconfig(url: str) -> Proxy:
    """The proxy-url of a cluster. Raises OrdealError where it is no address."""
    return _proxy(url, "proxy-url")


def of_environment(server: str, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy that the environment has for that server (a URL); None where it is reached without one.

    Raises OrdealError where the variable names none.
    """
    url = urlsplit(server)
    name, value = _first(environment, f"{url.scheme.upper()}_PROXY")
    if not value or is_local(server) or _excluded(url, _first(environment, "NO_PROXY")[1]):
        return None
    return _proxy(value, name)


def is_local(server: str) -> bool:
    """Whether the server (a URL) is on a loopback address of this machine."""
    host = urlsplit(server).hostname or ""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _first(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    return next(((n, environment[n]) for n in (name, name.lower()) if environment.get(n)), (name, ""))


def _proxy(value: str, named_by: str) -> Proxy:
    try:
        url = urlsplit(value)
        if not url.scheme or not url.netloc:
            url = urlsplit(f"http://{value}")
        good = url.scheme in SCHEMES and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        good = False
    if not good:
        raise OrdealError(
            f"{named_by} is no proxy that can be used: {value.rpartition('@')[2]!r}; write it like http://host:port "
            f"({', '.join(SCHEMES[:-1])} or {SCHEMES[-1]})"
        )
    return Proxy(url, named_by)


def _excluded(url: SplitResult, no_proxy: str) -> bool:
    host = (url.hostname or "").lower()
    address, port = _address(host), url.port or _PORTS.get(url.scheme, 0)
    return any(_matches(entry.strip().lower(), host, address, port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, address: "ipaddress.IPv4Address | ipaddress.IPv6Address | None", port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        with suppress(ValueError):
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
    name, only = _split_port(entry)
    named = _address(name)
    if address is not None or named is not None:
        same = named == address
    else:
        name = name.removeprefix("*")
        same = bool(name) and (host == name or host.endswith(f".{name.lstrip('.')}"))
    return same and only in {"", str(port)}


def _split_port(entry: str) -> tuple[str, str]:
    """An entry's host and port, which may be "": of host:port, [v6]:port, host or v6."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    name, colon, port = entry.rpartition(":")
    return (name, port) if colon and ":" not in name else (entry, "")


def _address(host: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address | None":
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
