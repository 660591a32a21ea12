"""The ranges of addresses that clusters use, and what this machine has routes to."""

import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path

from chaos.hosts.command import run

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

POD_RANGE = "10.244.0.0/16"  # kind's default networking.podSubnet
SERVICE_RANGE = "10.96.0.0/16"  # kind's default networking.serviceSubnet
# Each cluster's nodes have a network of their own out of the first of these that has room.
NODE_RANGES = ("172.30.0.0/16", "172.29.0.0/16", "172.28.0.0/16", "10.230.0.0/16", "192.168.224.0/20")
NODE_RANGE_6 = "fd6b:6f72:6465::/48"
CLUSTER_BITS = 24  # the prefix length of one cluster's network
NO_IPV6 = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")


def node_range() -> str:
    """The first of NODE_RANGES that has room beside what this machine has routes to; "" where none has."""
    return next((f"{wide}" for wide, _ in subnets()), "")


def subnets() -> Iterator[tuple[ipaddress.IPv4Network, ipaddress.IPv4Network]]:
    """A network for one cluster after the other: its wide range, and itself. Nothing here has a route into it."""
    taken = [network for network in routed() if network.version == 4 and network.prefixlen > 0]
    for text in NODE_RANGES:
        wide = ipaddress.IPv4Network(text)
        for subnet in wide.subnets(new_prefix=CLUSTER_BITS):
            if not any(subnet.overlaps(other) for other in taken if isinstance(other, ipaddress.IPv4Network)):
                yield wide, subnet


def subnet_6(subnet: ipaddress.IPv4Network) -> ipaddress.IPv6Network:
    """The IPv6 network that goes with a cluster's IPv4 network: no two clusters have the same."""
    own = int(subnet.network_address) >> (32 - CLUSTER_BITS)
    wide = ipaddress.IPv6Network(NODE_RANGE_6)
    return ipaddress.IPv6Network((int(wide.network_address) | (own & 0xFFFF) << 64, 64))


def has_ipv6() -> bool:
    """Whether this machine speaks IPv6."""
    return NO_IPV6.is_file() and NO_IPV6.read_text().strip() == "0"


def wider(wide: str) -> str:
    """A route of this machine's that the range lies within, a VPN's say; "" where there is none."""
    own = ipaddress.ip_network(wide)
    found = (o for o in routed() if o.version == own.version and 0 < o.prefixlen < own.prefixlen and o.overlaps(own))
    return next((str(each) for each in found), "")


def routed() -> list[Network]:
    """What this machine has routes to, apart from the default and unreachable ones."""
    return [
        ipaddress.ip_network(route["dst"], strict=False)
        for route in _routes()
        if route.get("type", "unicast") == "unicast" and route["dst"] != "default"
    ]


def unreachable() -> set[str]:
    """The ranges that have an unreachable route."""
    return {str(route["dst"]) for route in _routes("type", "unreachable")}


def _routes(*which: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for family in ("-4", "-6"):
        said = run(["ip", family, "-json", "route", *(("show", *which) if which else ())], check=False)
        found += json.loads(said.out or "[]") if said.code == 0 else []
    return found
