"""The Docker network that a kind cluster has for itself.

It has a subnet of its own, so that addresses can be chosen in it, and no other cluster's node is given the address of
one that is away.
It is made before the cluster and removed with it. Networks of other tools, kind's own among them, are never used.
"""

from collections.abc import Callable

from chaos.errors import OrdealError
from chaos.hosts import engine, preparations, ranges
from chaos.hosts.command import CommandError

LABEL = "org.kube-ordeal.cluster"
KINDS = "KIND_EXPERIMENTAL_DOCKER_NETWORK"  # kind reads the network that it is to use from it
# What the engine says of a subnet that another network has.
_TAKEN = ("pool overlaps", "overlapping ipv4", "overlapping ipv6")
_OPTIONS = ("--driver=bridge", "--opt=com.docker.network.bridge.enable_ip_masquerade=true")
_MTU = "com.docker.network.driver.mtu"


def name_of(cluster: str) -> str:
    """The name of a cluster's network."""
    return f"kube-ordeal-{cluster}"


def make(cluster: str, report: Callable[[str], None]) -> str:
    """Make the network of a cluster; returns its name. Raises OrdealError where no range has room, CommandError."""
    name, running = name_of(cluster), engine.chosen()
    mtu = running.docker("network", "inspect", "bridge", "--format", f'{{{{index .Options "{_MTU}"}}}}', check=False)
    options = [
        *_OPTIONS,
        f"--label={LABEL}={cluster}",
        *([f"--opt={_MTU}={mtu.out.strip()}"] if mtu.out.strip() else []),
    ]
    families = ranges.has_ipv6()
    for wide, subnet in ranges.subnets():
        six = ["--ipv6", f"--subnet={ranges.subnet_6(subnet)}"] if families else []
        try:
            running.docker("network", "create", *options, f"--subnet={subnet}", *six, name)
        except CommandError as error:
            if any(each in error.output.lower() for each in _TAKEN):
                continue  # another process took it since, or a network without a bridge has it
            if not six or "ipv6" not in error.output.lower():
                raise
            families = False  # this engine can't: the nodes do without
            running.docker("network", "create", *options, f"--subnet={subnet}", name)
        report(f"made the network {name}, {subnet}")
        if running.ours:
            preparations.contain((f"{wide}", *([ranges.NODE_RANGE_6] if families else [])), report)
        return name
    raise OrdealError(f"every range for nodes' networks is in use here: {', '.join(ranges.NODE_RANGES)}; free one")


def is_there(cluster: str) -> bool:
    """Whether there is a network that was made for that cluster."""
    filters = (f"--filter=name=^{name_of(cluster)}$", f"--filter=label={LABEL}={cluster}")
    listed = engine.chosen().docker("network", "ls", "--quiet", *filters, timeout_s=20)
    return bool(listed.out.strip())


def remove(cluster: str) -> None:
    """Remove the network that was made for a cluster, where there is one. Raises CommandError where it is in use."""
    if is_there(cluster):
        engine.chosen().docker("network", "rm", name_of(cluster), timeout_s=60)
