"""A bad link: what a node and another send each other is throttled, lost, or both; all their other traffic goes on.

Made and undone from the host in the two nodes' network namespaces, at the interface that leads to the other node. Both
directions are hit, and both kinds of traffic: the nodes' own, and their pods' (by the nodes' ranges of pod addresses:
where the pod network is plain routes, pods' packets bear no node's address).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s

from chaos.clusters.abilities import NodeNetwork
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import check_parts, holds_or_off, inside, is_off
from chaos.harm.uses import Capability, Uses
from chaos.hosts import parts
from chaos.hosts.command import Output

CHAIN = "KUBE-ORDEAL-LOSS"
PROGRAMS = ("iptables", "ip6tables")
HANDLE = "7a0d:"  # our queueing discipline's; one that the kernel makes by itself has 0:
# What goes to the peer waits in a queue of this length; then it is dropped, as a switch with small buffers does.
QUEUE_S = 0.1
LEAST_QUEUE_BYTES = 131_072  # two segments as the sender hands them over before they are cut into packets (GSO)
LEAST_RATE, MOST_RATE = 8_000, 100_000_000_000  # bits per second


class _Networked(Cluster, NodeNetwork, Protocol): ...


class LinkEnd(msgspec.Struct, frozen=True):
    """One end of the link: its interface, with the queue length in packets that it had; the addresses, and ranges of
    pods' addresses, of those that it sends to.
    """

    node: str
    device: str
    peers: tuple[str, ...]
    queue_length: int


class BadLinkPlan(msgspec.Struct, frozen=True):
    """All ends of the bad links, and what is done to each."""

    sides: tuple[LinkEnd, ...]
    rate_bits_per_s: int
    loss: float


@fault
@dataclass(frozen=True, slots=True)
class BadLink:
    """Throttle what `one` and each of `others` send each other to `rate_bits_per_s` (0: as fast as it goes) in either
    direction, lose a part `loss` of it. What the others send each other goes on. One other is one bad link.

    Throttled by a token bucket (htb, tc-htb(8): the classful one, as tbf can't choose packets) that only packets to the
    peer pass; lost by iptables' statistic match on packets from the peer. loss=1 cuts them off each other.
    """

    kind: ClassVar[str] = "bad-link"
    counterpart: ClassVar[str] = "mend_link"
    needs: ClassVar[tuple[type, ...]] = (NodeNetwork,)
    uses: ClassVar[Uses] = Uses(
        capabilities=(Capability.NET_ADMIN, Capability.NET_RAW),
        modules=(
            ("sch_htb",),
            ("cls_u32",),
            ("nf_tables", "ip_tables"),
            ("nft_compat", "ip_tables"),
            ("xt_statistic",),
        ),
        tools=("tc", "ip", *PROGRAMS),
    )
    one: str
    others: tuple[str, ...]
    rate_bits_per_s: int = 0
    loss: float = 0.0

    def plan(self, cluster: _Networked) -> BadLinkPlan:
        _check(self)
        check_parts(
            cluster,
            *([parts.THROTTLING] if self.rate_bits_per_s else []),
            *([parts.FIREWALL] if self.loss else []),
            *([parts.LOSS] if 0 < self.loss < 1 else []),
        )
        names = (self.one, *self.others)
        if len(set(names)) != len(names) or len(names) < 2:
            raise OrdealError(f"a link has two ends, and {' and '.join(names) or 'no node'} were named")
        known = {n.name: n for n in cluster.nodes()}
        for name in names:
            if name not in known:
                raise OrdealError(f"there is no node {name} in cluster {cluster.ref.name} to make a bad link of")
            if known[name].ready != "True":
                raise OrdealError(f"node {name} is not Ready before the fault, so a bad link could not be told apart")
        ranges = _pod_ranges(cluster)
        ends: list[tuple[str, tuple[str, ...]]] = [
            (self.one, self.others),
            *((other, (self.one,)) for other in self.others),
        ]
        sides: list[LinkEnd] = []
        for node, far in ends:
            addresses = {peer: cluster.addresses(peer) for peer in far}
            devices = {_device_to(cluster, node, of_peer[0]) for of_peer in addresses.values()}
            if len(devices) > 1:
                raise OrdealError(f"node {node} reaches its peers by several interfaces: {', '.join(sorted(devices))}")
            (device,) = devices
            there = _root_discipline(cluster, node, device)
            if self.rate_bits_per_s and there and there.get("handle") != "0:":
                raise OrdealError(
                    f"{device} of node {node} has a queueing discipline of its own ({there.get('kind')} "
                    f"{there.get('handle')}); take it away, or ask for loss alone"
                )
            if any(_chain(cluster, node, program) for program in PROGRAMS):
                raise OrdealError(f"node {node} has a chain {CHAIN} already; `kube-ordeal undo` removes what is left")
            peers = tuple(each for peer in far for each in (*addresses[peer], *ranges.get(peer, ())))
            sides.append(LinkEnd(node, device, peers, _queue_length(cluster, node, device)))
        return BadLinkPlan(tuple(sides), self.rate_bits_per_s, self.loss)

    def apply(self, cluster: _Networked, saved: BadLinkPlan) -> None:
        for side in saved.sides:
            if self.rate_bits_per_s:
                _throttle(cluster, side, self.rate_bits_per_s)
            if self.loss:
                _lose(cluster, side, self.loss)

    def landed(self, cluster: _Networked, saved: BadLinkPlan) -> bool:
        return BadLink.lasts(cluster, saved)

    @staticmethod
    def lasts(cluster: _Networked, saved: BadLinkPlan) -> bool:
        """What the kernel has: the class and a filter for each peer, the rules in the chain, and the way into it.

        With a node that has no power there is no link at all.
        """
        return all(holds_or_off(cluster, side.node, partial(_is_bad, cluster, side, saved)) for side in saved.sides)

    @staticmethod
    def undo(cluster: _Networked, saved: BadLinkPlan) -> None:
        for side in saved.sides:
            node, device = side.node, side.device
            if is_off(cluster, node):
                continue  # its namespace, and all of this in it, went with its power
            if (_root_discipline(cluster, node, device) or {}).get("handle") == HANDLE:
                _in(cluster, node, "tc", "qdisc", "del", "dev", device, "root")
            if _queue_length(cluster, node, device) != side.queue_length:  # the kernel gives one to a device of none
                _in(cluster, node, "ip", "link", "set", "dev", device, "txqueuelen", str(side.queue_length))
            for program in PROGRAMS:
                hook = ("-D", "PREROUTING", "-i", device, "-j", CHAIN)
                while _tables(cluster, node, program, *hook, check=False).code == 0:
                    pass
                _tables(cluster, node, program, "-F", CHAIN, check=False)
                _tables(cluster, node, program, "-X", CHAIN, check=False)

    @staticmethod
    def undone(cluster: _Networked, saved: BadLinkPlan) -> bool:
        for side in saved.sides:
            node = side.node
            if is_off(cluster, node):
                continue
            if (_root_discipline(cluster, node, side.device) or {}).get("handle") == HANDLE:
                return False
            if any(_chain(cluster, node, program) for program in PROGRAMS):
                return False
        return True


def _check(link: BadLink) -> None:
    """Raises OrdealError where the numbers make no bad link."""
    if not link.rate_bits_per_s and not link.loss:
        raise OrdealError("a bad link needs a rate, a loss, or both")
    if link.rate_bits_per_s and not LEAST_RATE <= link.rate_bits_per_s <= MOST_RATE:
        raise OrdealError(
            f"a rate of {link.rate_bits_per_s} bit/s is out of bounds: {LEAST_RATE} to {MOST_RATE}, or 0 for none"
        )
    if not 0 <= link.loss <= 1:
        raise OrdealError(f"a loss of {link.loss:g} is out of bounds: it is a part, from 0 to 1")


def _throttle(cluster: NodeNetwork, side: LinkEnd, rate: int) -> None:
    """A root discipline that lets everything pass but what a filter puts into the one class."""
    node, device, major = side.node, side.device, HANDLE
    queue_bytes = max(LEAST_QUEUE_BYTES, round(rate / 8 * QUEUE_S))
    _in(cluster, node, "tc", "qdisc", "add", "dev", device, "root", "handle", major, "htb")
    _in(
        cluster, node, "tc", "class", "add", "dev", device, "parent", major, "classid", f"{major}1", "htb",
        "rate", f"{rate}bit", "ceil", f"{rate}bit", "burst", "4k", "cburst", "4k",
    )  # fmt: skip
    _in(
        cluster, node, "tc", "qdisc", "add", "dev", device, "parent", f"{major}1", "bfifo", "limit", str(queue_bytes)
    )  # fmt: skip
    for peer in side.peers:
        protocol, match = ("ipv6", "ip6") if ":" in peer else ("ip", "ip")
        _in(
            cluster, node, "tc", "filter", "add", "dev", device, "parent", major, "protocol", protocol,
            "prio", "2" if ":" in peer else "1", "u32", "match", match, "dst", peer, "flowid", f"{major}1",
        )  # fmt: skip


def _is_bad(cluster: NodeNetwork, side: LinkEnd, saved: BadLinkPlan) -> bool:
    """In one command, since it is asked each second."""
    device = side.device
    programs = [program for program, _ in _families(side.peers)] if saved.loss else []
    asked = [f"tc {what} show dev {device}" for what in ("qdisc", "class", "filter") if saved.rate_bits_per_s]
    asked += [f"{program} -w 5 -t mangle -S" for program in programs]
    said = _in(cluster, side.node, "sh", "-ec", "; ".join(asked)).out
    rules = said.splitlines()
    if saved.rate_bits_per_s and not (
        f"qdisc htb {HANDLE} root" in said
        and f"class htb {HANDLE}1 " in said
        and said.count(f"flowid {HANDLE}1") == len(side.peers)
    ):
        return False
    drops = [rule for rule in rules if rule.startswith(f"-A {CHAIN} ") and rule.endswith("-j DROP")]
    ways_in = rules.count(f"-A PREROUTING -i {device} -j {CHAIN}")
    return not saved.loss or (len(drops) == len(side.peers) and ways_in == len(programs))


def _lose(cluster: NodeNetwork, side: LinkEnd, loss: float) -> None:
    """In mangle's PREROUTING, which what is for the node and what is for its pods both pass, and each packet once."""
    chance = ("-m", "statistic", "--mode", "random", "--probability", f"{loss:.6f}") if loss < 1 else ()
    for program, peers in _families(side.peers):
        _tables(cluster, side.node, program, "-N", CHAIN)
        for peer in peers:
            _tables(cluster, side.node, program, "-A", CHAIN, "-s", peer, *chance, "-j", "DROP")
        _tables(cluster, side.node, program, "-I", "PREROUTING", "1", "-i", side.device, "-j", CHAIN)


def _tables(cluster: NodeNetwork, node: str, program: str, *rule: str, check: bool = True) -> Output:
    return _in(cluster, node, program, "-w", "5", "-t", "mangle", *rule, check=check)


def _chain(cluster: NodeNetwork, node: str, program: str) -> list[str]:
    """The rules of our chain as the kernel has them; none where it has no such chain."""
    said = _tables(cluster, node, program, "-S", CHAIN, check=False)
    return said.out.splitlines() if said.code == 0 else []


def _root_discipline(cluster: NodeNetwork, node: str, device: str) -> dict[str, Any] | None:
    """The interface's root queueing discipline; None where the kernel says none."""
    said = _in(cluster, node, "tc", "-json", "qdisc", "show", "dev", device)
    found = [entry for entry in json.loads(said.out or "[]") if entry.get("root")]
    return found[0] if found else None


def _queue_length(cluster: NodeNetwork, node: str, device: str) -> int:
    """The interface's transmit queue length in packets."""
    (link,) = json.loads(_in(cluster, node, "ip", "-json", "link", "show", "dev", device).out)
    return int(link.get("txqlen", 0))


def _device_to(cluster: NodeNetwork, node: str, address: str) -> str:
    """The interface by which the node reaches an address. Raises OrdealError where it has no route."""
    said = _in(cluster, node, "ip", "-json", "route", "get", address, check=False)
    routes = json.loads(said.out or "[]") if said.code == 0 else []
    if not routes or "dev" not in routes[0]:
        raise OrdealError(f"node {node} has no route to {address}: {said.err.strip() or 'none was said'}")
    return str(routes[0]["dev"])


def _pod_ranges(cluster: Cluster) -> dict[str, tuple[str, ...]]:
    """Each node's ranges of pod addresses; none where the pod network does not use them."""
    with cluster.api() as client:
        nodes: Sequence[Any] = k8s.CoreV1Api(client).list_node().items
    return {node.metadata.name: tuple(node.spec.pod_cidrs or ()) for node in nodes}


def _in(cluster: NodeNetwork, node: str, *argv: str, check: bool = True) -> Output:
    return inside(cluster, node, argv, check=check)


def _program(address: str) -> str:
    return "ip6tables" if ":" in address else "iptables"


def _families(peers: Sequence[str]) -> list[tuple[str, list[str]]]:
    found = {program: [p for p in peers if _program(p) == program] for program in PROGRAMS}
    return [(program, some) for program, some in found.items() if some]
