"""A bad link between network namespaces of this machine: real packets, and a kernel that is as before afterwards.

Needs root and no cluster: three namespaces on a bridge stand for three nodes.
"""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path

import pytest
from msgspec.structs import replace

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import RUNNING
from chaos.clusters.base import ClusterRef, Node
from chaos.errors import OrdealError
from chaos.harm import link
from chaos.harm.base import inject
from chaos.harm.link import BadLink
from chaos.hosts.command import run
from chaos.record.history import History
from chaos.record.journal import Journal
from tests.comparing import differences
from tests.integration.harm import done_and_undone

pytestmark = pytest.mark.integration
SEND = """
import json, socket, sys, time
address, count = sys.argv[1], int(sys.argv[2])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(0.3)
    s.connect((address, 9999))
    back = 0
    begun = time.monotonic()
    for n in range(count):
        s.send(b"x" * 100)
        try:
            s.recv(200)
            back += 1
        except OSError:
            pass
print(json.dumps({"back": back, "took_s": time.monotonic() - begun}))
"""
ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("0.0.0.0", 9999))
    print("listens", flush=True)
    while True:
        data, who = s.recvfrom(2000)
        s.sendto(data, who)
"""


class Namespaces:
    """Three nodes a, b and c, each a network namespace; in each something sends back what it is sent."""

    ref = ClusterRef("fake", "namespaces", "")

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex[:6]
        self.address = {name: f"192.0.2.{n + 1}" for n, name in enumerate("abc")}
        self.children: list[subprocess.Popen[str]] = []

    def make(self) -> None:
        hub = f"{self.id}hub"
        run(["ip", "netns", "add", hub])  # a bridge of its own namespace passes none of this machine's own rules
        run(["ip", "-netns", hub, "link", "add", "hub", "type", "bridge"])
        run(["ip", "-netns", hub, "link", "set", "hub", "up"])
        for name, address in self.address.items():
            node = f"{self.id}{name}"
            run(["ip", "netns", "add", node])
            run(
                [
                    "ip",
                    "-netns",
                    hub,
                    "link",
                    "add",
                    f"to-{name}",
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    node,
                ]
            )
            run(["ip", "-netns", hub, "link", "set", f"to-{name}", "master", "hub", "up"])
            for words in (
                ["link", "set", "lo", "up"],
                ["address", "add", f"{address}/24", "dev", "eth0"],
                ["link", "set", "eth0", "txqueuelen", "0"],  # as an engine's interfaces have
                ["link", "set", "eth0", "up"],
            ):
                run(["ip", "-netns", node, *words])
            child = subprocess.Popen(
                self.in_network_of(name, [sys.executable, "-c", ECHO]), stdout=subprocess.PIPE, text=True
            )
            assert child.stdout is not None
            child.stdout.readline()
            self.children.append(child)
        eventually(
            lambda: all(self.ask(*pair, 1)[0] for pair in permutations("abc", 2)),
            within_s=60,
            what="every namespace to answer every other before any harm",
        )

    def remove(self) -> None:
        for child in self.children:
            child.kill()
            child.communicate()
        for name in (*self.address, "hub"):
            run(["ip", "netns", "delete", f"{self.id}{name}"], check=False)

    def nodes(self) -> tuple[Node, ...]:
        return tuple(
            Node(n, control_plane=False, ready="True", address=a, zone="", taints=()) for n, a in self.address.items()
        )

    def addresses(self, node: str) -> tuple[str, ...]:
        return (self.address[node],)

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.id}{node}", "--", *argv]

    def power_state(self, node: str) -> str:
        return RUNNING

    def power_off(self, node: str) -> None:
        raise NotImplementedError

    power_on = power_off

    def ask(self, one: str, other: str, count: int) -> tuple[int, float]:
        said = run(self.in_network_of(one, [sys.executable, "-c", SEND, self.address[other], str(count)]), timeout_s=60)
        told = json.loads(said.out)
        return told["back"], told["took_s"]

    def picture(self) -> dict[str, list[str]]:
        """What the kernel has in each namespace; counters left out."""
        return {
            name: [
                run(self.in_network_of(name, argv)).out
                for argv in (
                    ["tc", "qdisc", "show", "dev", "eth0"],
                    ["iptables", "-t", "mangle", "-S"],
                    ["ip6tables", "-t", "mangle", "-S"],
                    ["ip", "-json", "link", "show", "dev", "eth0"],
                )
            ]
            for name in self.address
        }


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Namespaces]:
    """The same for all tests here: each puts the kernel back."""
    made = Namespaces()
    with pytest.MonkeyPatch.context() as patched, ExitStack() as stack:
        patched.setattr(link, "_pod_ranges", lambda _: {"a": ("203.0.113.0/24",)})
        stack.callback(made.remove)
        made.make()
        for program in ("iptables", "ip6tables"):  # their table is there before the first picture
            for name in made.address:
                run(made.in_network_of(name, [program, "-t", "mangle", "-S"]))
        yield made


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "run.jsonl") as journal:
        yield journal


def test_a_cut_is_between_the_two_and_nobody_else(namespaces: Namespaces, journal: Journal) -> None:
    before = namespaces.picture()
    with done_and_undone(BadLink("a", ("b", "c"), loss=1.0), namespaces, journal):  # type: ignore[arg-type]
        assert [namespaces.ask(source, to, 1)[0] for source, to in ("ab", "ba", "ca", "bc", "cb")] == [0, 0, 0, 1, 1]
    assert differences(before, namespaces.picture()) == ""
    assert namespaces.ask("a", "b", 5)[0] == 5


def test_a_loss_is_about_as_large_as_asked_for(namespaces: Namespaces, journal: Journal) -> None:
    with inject(BadLink("a", ("b",), loss=0.3), namespaces, journal, History()):  # type: ignore[arg-type]
        back, _ = namespaces.ask("a", "b", 40)  # there and back: 0.7 * 0.7 of them
        assert 5 <= back <= 35
        assert namespaces.ask("a", "c", 40)[0] == 40


def test_a_throttle_is_both_ways_and_its_limit_holds(namespaces: Namespaces, journal: Journal) -> None:
    before = namespaces.picture()
    # 142 bytes on the wire, 100 times: 113,600 bit each way, so more than a second at 80 kbit/s less the 4 kB burst
    with done_and_undone(BadLink("a", ("b",), rate_bits_per_s=80_000), namespaces, journal):  # type: ignore[arg-type]
        back, slow_s = namespaces.ask("b", "a", 100)
        _, beside_s = namespaces.ask("b", "c", 100)
        assert back == 100
        assert slow_s > 0.8
        assert beside_s < slow_s
    assert differences(before, namespaces.picture()) == ""


def test_undo_is_right_at_any_moment(namespaces: Namespaces) -> None:
    before = namespaces.picture()
    bad = BadLink("a", ("b", "c"), rate_bits_per_s=1_000_000, loss=0.5)
    saved = bad.plan(namespaces)  # type: ignore[arg-type]
    BadLink.undo(namespaces, saved)  # type: ignore[arg-type]
    assert BadLink.undone(namespaces, saved)  # type: ignore[arg-type]
    half = replace(saved, sides=saved.sides[:1])
    bad.apply(namespaces, half)  # type: ignore[arg-type]
    assert not bad.landed(namespaces, saved)  # type: ignore[arg-type]
    for _ in range(2):
        BadLink.undo(namespaces, saved)  # type: ignore[arg-type]
    assert BadLink.undone(namespaces, saved)  # type: ignore[arg-type]
    assert differences(before, namespaces.picture()) == ""


def test_somebody_elses_discipline_is_not_replaced(namespaces: Namespaces) -> None:
    run(namespaces.in_network_of("b", ["tc", "qdisc", "add", "dev", "eth0", "root", "handle", "5:", "htb"]))
    try:
        with pytest.raises(OrdealError, match=r"eth0 of node b has a queueing discipline of its own \(htb 5:\)"):
            BadLink("a", ("b",), rate_bits_per_s=1_000_000).plan(namespaces)  # type: ignore[arg-type]
        BadLink("a", ("b",), loss=0.5).plan(namespaces)  # type: ignore[arg-type]
    finally:
        run(namespaces.in_network_of("b", ["tc", "qdisc", "delete", "dev", "eth0", "root"]))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (BadLink("a", ("z",), loss=0.5), "there is no node z"),
        (BadLink("a", ("a",), loss=0.5), "a link has two ends"),
        (BadLink("a", (), loss=0.5), "a link has two ends"),
        (BadLink("a", ("b",)), "needs a rate, a loss, or both"),
        (BadLink("a", ("b",), loss=1.5), "a loss of 1.5 is out of bounds"),
        (BadLink("a", ("b",), loss=-0.1), "out of bounds"),
        (BadLink("a", ("b",), rate_bits_per_s=10), "a rate of 10 bit/s is out of bounds"),
        (BadLink("a", ("b",), rate_bits_per_s=-5), "out of bounds"),
    ],
)
def test_what_makes_no_bad_link_is_refused(namespaces: Namespaces, bad: BadLink, says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        bad.plan(namespaces)  # type: ignore[arg-type]
