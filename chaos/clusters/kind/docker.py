"""Nodes that are Docker containers, as kind makes them: power, network and commands, all from the host's side."""

import ipaddress
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.clusters.abilities import OFF, PAUSED, RUNNING
from chaos.clusters.kind import networks
from chaos.errors import OrdealError
from chaos.hosts import engine
from chaos.hosts.command import CommandError, Output, run

STATES = {"running": RUNNING, "paused": PAUSED, "exited": OFF, "created": OFF, "dead": OFF}
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
# Beside them kind has a load balancer with the cluster's label where there are several control planes (pkg/cluster/
# constants): a container, and no node.
NODE_ROLES = ("control-plane", "worker")
CABLE = "eth0"  # what the engine calls a container's interface


@dataclass(frozen=True, slots=True)
class Container:
    """A node's container: what the engine says of it now."""

    name: str
    id: str
    cluster: str
    state: str
    pid: int
    network: str
    address: str
    address6: str


def inspect(name: str) -> Container:
    """Ask the engine for a container, by its name or id, as everywhere here.

    Raises CommandError where there is no such container or the engine does not answer.
    """
    raw = json.loads(_docker("inspect", "--type", "container", name).out)[0]
    state = raw["State"]
    cluster = (raw["Config"]["Labels"] or {}).get(CLUSTER_LABEL, "")
    there = raw["NetworkSettings"]["Networks"]
    network = _of_nodes(there, cluster)
    of_network = there.get(network) or {}
    return Container(
        name=raw["Name"].removeprefix("/"),
        id=raw["Id"],
        cluster=cluster,
        state=STATES.get(state["Status"], state["Status"]),
        pid=int(state["Pid"]),
        network=network,
        address=of_network.get("IPAddress") or "",
        address6=of_network.get("GlobalIPv6Address") or "",
    )


def _of_nodes(there: Collection[str], cluster: str) -> str:
    """Which of a container's networks the cluster's nodes share: users connect nodes to others. "": it has none."""
    likely = (networks.name_of(cluster), os.environ.get(networks.KINDS, ""), "kind")
    return next((each for each in likely if each in there), next(iter(there), ""))


def names_in_cluster(cluster: str, role: str | None = None) -> tuple[str, ...]:
    """The node containers of a kind cluster, running or not; `role` is control-plane or worker."""
    return tuple(each.name for each in _listed(cluster) if each.role in ((role,) if role else NODE_ROLES))


def ids_in_cluster(cluster: str) -> dict[str, str]:
    """The ids of the node containers of a kind cluster, running or not, by their names."""
    return {each.name: each.id for each in _listed(cluster) if each.role in NODE_ROLES}


@dataclass(frozen=True, slots=True)
class _Listed:
    """A container with a cluster's label."""

    name: str
    id: str
    role: str


def _listed(cluster: str) -> list[_Listed]:
    argv = ["ps", "--all", "--no-trunc", "--filter", f"label={CLUSTER_LABEL}={cluster}"]
    lines = _docker(*argv, "--format", f'{{{{.Names}}}} {{{{.ID}}}} {{{{.Label "{ROLE_LABEL}"}}}}').out.splitlines()
    return [_Listed(*line.split(" ", 2)) for line in sorted(lines)]


def engine_id() -> str:
    """What tells the engine from every other: its own id, and the folder of its data. Raises OrdealError.

    The id alone does not: Docker 20.10 takes it of a key in /etc/docker, which two engines of a machine share.
    """
    about = engine.info(engine.chosen())
    return f"{about.id} {about.data_root}"


@dataclass(frozen=True, slots=True)
class Bind:
    """A folder of the host's that a container has: where it is on either side."""

    source: str
    destination: str


def binds(name: str) -> tuple[Bind, ...]:
    """The folders of the host's that were bound into the container; also where it does not run."""
    mounts = json.loads(_docker("inspect", "--format", "{{json .Mounts}}", name).out)
    return tuple(Bind(m["Source"], m["Destination"]) for m in mounts if m["Type"] == "bind")


def data_root() -> str:
    """Where the engine keeps its images, containers and volumes."""
    return _docker("info", "--format", "{{.DockerRootDir}}").out.strip()


def image_of(name: str) -> str:
    """The image that the container was made from, as its maker named it; "" where there is no such container."""
    return _docker("inspect", "--format", "{{.Config.Image}}", name, check=False).out.strip()


def image_id_of(name: str) -> str:
    """The engine's own id of the image that the container was made from; "" where there is no such container."""
    return _docker("inspect", "--format", "{{.Image}}", name, check=False).out.strip()


def remove(name: str) -> None:
    """Remove a container, running or not; one that is not there is no error."""
    if _docker("ps", "--all", "--quiet", "--filter", f"name=^{name}$").out.strip():
        _docker("rm", "--force", "--volumes", name, timeout_s=60)


def execute(name: str, argv: Sequence[str], *, timeout_s: float, check: bool, stdin: str | None) -> Output:
    """A command inside the container."""
    command = engine.chosen().argv("exec", name, *argv) if stdin is None else interactive(name, argv)
    return run(command, timeout_s=timeout_s, check=check, stdin=stdin)


def interactive(name: str, argv: Sequence[str]) -> list[str]:
    """The argument list of a command inside the container that reads its standard input."""
    return engine.chosen().argv("exec", "--interactive", name, *argv)


def in_network_of(name: str, argv: Sequence[str]) -> list[str]:
    """The argument list of a program of the host's in the container's network.

    Raises OrdealError where it is off, or its process is not on this machine: another one may have its number here.
    """
    container = inspect(name)
    if not container.pid:
        raise OrdealError(f"node {container.name} is not running, so it has no network to enter")
    if not _is_here(container):
        raise OrdealError(
            f"node {container.name} is process {container.pid} where the container engine runs, and that is not on "
            f"this machine: its network can't be entered from here"
        )
    return ["sh", "-c", _ENTER, container.name, str(container.pid), container.id, *argv]


# The argument list may be run much later. So the network is opened first, and then it is looked whether the process
# still is the container's: a number that the kernel has given to another one leads nowhere.
_ENTER = """command exec 9<"/proc/$1/ns/net" && grep -qF "$2" "/proc/$1/cgroup" || {
  echo "process $1 is not that of node $0 any more" >&2; exit 125; }
shift 2; exec nsenter --net=/proc/self/fd/9 -- "$@"
"""


def _is_here(container: Container) -> bool:
    """Whether the kernel has that process in the container's cgroup, which the engine names by the container's id."""
    try:
        return container.id in Path(f"/proc/{container.pid}/cgroup").read_text()
    except OSError:
        return False


def power_off(name: str) -> None:
    """End every process of the node at once and unheard, as a power cut does.

    The kernel says goodbye for a process that it ends: whoever has a connection to it gets a FIN or a reset. A machine
    without power says nothing, and its peers go on trusting their connections. So the node's cable is pulled first.
    """
    _set_cable(name, plugged=False)
    _docker("kill", "--signal", "KILL", name, timeout_s=30)


def power_on(name: str, address: str | None = None) -> None:
    """Start the node, at the IPv4 address that is given, else at any. One that runs is plugged in, should it not be."""
    container = inspect(name)
    if container.state == PAUSED:
        unpause(name)
        return
    if container.state == RUNNING:
        _set_cable(name, plugged=True)
        return
    own = networks.name_of(container.cluster) if networks.is_there(container.cluster) else "kind"
    network, wish = container.network or own, [] if address is None else ["--ip", address]
    _docker("network", "disconnect", network, name, timeout_s=30, check=False)
    try:
        _docker("network", "connect", *wish, network, name, timeout_s=30)
    except CommandError:
        _docker("network", "connect", network, name, timeout_s=30)  # so that undo finds the node with a network
        raise
    _docker("start", name, timeout_s=60)


def _set_cable(name: str, *, plugged: bool) -> None:
    """Plug in, or pull, the host's end of the node's veth pair: the node keeps its addresses and routes.

    The engine makes a new pair at each start. Raises CommandError, OrdealError where the pair can't be told.
    """
    inside = in_network_of(name, ["ip", "-json", "link", "show", "dev", CABLE])
    peer = json.loads(run(inside, timeout_s=20).out)[0].get("link_index")
    host = {link["ifindex"]: link["ifname"] for link in json.loads(run(["ip", "-json", "link"], timeout_s=20).out)}
    if peer not in host:
        raise OrdealError(
            f"{CABLE} of {inspect(name).name} is no veth pair whose other end is on this machine: it can't be cut off"
        )
    run(["ip", "link", "set", "dev", host[peer], "up" if plugged else "down"], timeout_s=20)


def pause(name: str) -> None:
    """Freeze every process of the node."""
    _docker("pause", name, timeout_s=30)


def unpause(name: str) -> None:
    """Let a frozen node go on; one that is not frozen is no error."""
    if inspect(name).state == PAUSED:
        _docker("unpause", name, timeout_s=30)


def free_address(name: str) -> str:
    """An IPv4 address of the container's network that no container has, from the end of its range.

    Raises OrdealError where no address can be chosen in this network: it was made without a subnet of its own.
    """
    container = inspect(name)
    network = container.network
    raw = json.loads(_docker("network", "inspect", network).out)[0]
    subnets = [ipaddress.ip_network(c["Subnet"]) for c in raw["IPAM"]["Config"] or [] if "Subnet" in c]
    ours = next((s for s in subnets if isinstance(s, ipaddress.IPv4Network)), None)
    if ours is None:
        raise OrdealError(f"the docker network {network} has no IPv4 subnet, so a node can't be given another address")
    taken = {c["IPv4Address"].split("/")[0] for c in raw["Containers"].values() if c.get("IPv4Address")}
    numbers = range(int(ours.broadcast_address) - 1, int(ours.network_address) + 1, -1)
    free = next((each for each in map(ipaddress.IPv4Address, numbers) if str(each) not in taken), None)
    if free is None:
        raise OrdealError(f"the docker network {network} has no free address")
    _try_wish(container.name, network, str(free))
    return str(free)


def trial_of(name: str) -> str:
    """The name of the container that an address is tried with before the node `name` gets it."""
    return f"{name}-tries-address"


def _try_wish(name: str, network: str, address: str) -> None:
    """Give the address to a container that never runs: what an engine shows of a network does not say if it may be
    wished for. Raises OrdealError where it may not.
    """
    tried = trial_of(name)
    remove(tried)
    try:
        _docker("create", "--name", tried, "--network", network, "--entrypoint", "true", image_of(name))
        _docker("network", "disconnect", network, tried)
        said = _docker("network", "connect", "--ip", address, network, tried, check=False)
    finally:
        remove(tried)
    if said.code != 0:
        raise OrdealError(
            f"the docker network {network} gives no container the address that is asked for ({said.err.strip()}): it "
            f"was made without a subnet of its own, so a node can't come back at another address there"
        )


def _docker(*arguments: str, timeout_s: float = 20.0, check: bool = True) -> Output:
    return engine.chosen().docker(*arguments, timeout_s=timeout_s, check=check)
