"""A chain that is left over, against a fake node at the boundary, and the mode that kube-proxy is given."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.clusters.base import ClusterRef, Node
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.subjects.stale_rules import faults
from chaos.subjects.stale_rules.asking import ProxySaid
from chaos.subjects.stale_rules.faults import LeaveChain, SetProxyMode
from tests.harm.journalled import through_the_journal

WORKER = Node("worker", control_plane=False, ready="True", address="172.18.0.3", zone="", taints=())
SEP = "KUBE-SEP-AAAAAAAAAAAAAAAA"
CONFIG = "kind: KubeProxyConfiguration\nmode: iptables\nnodePortAddresses: null\n"


class FakeNode:
    """A worker's nat table: by chain what it jumps to."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {SEP: []}
        self.files: dict[str, str] = {}
        self.mounted: tuple[str, str] | None = None
        self.command = ["/usr/local/bin/kube-proxy", "--config=/var/lib/kube-proxy/config.conf"]

    def nodes(self) -> tuple[Node, ...]:
        return (WORKER,)

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        if argv[0] == "iptables-save":
            lines = ["*nat", *(f":{chain} - [0:0]" for chain in self.chains)]
            if SEP in self.chains:
                lines.append(f"-A {SEP} -p tcp -m tcp -j DNAT --to-destination 10.244.1.2:8080")
            return Output(0, "\n".join([*lines, "COMMIT"]), "")
        if argv[0] == "rm":
            self.files.pop(argv[2], None)
            return Output(0, "", "")
        if stdin is not None:
            self.files[argv[-1].split()[-1]] = stdin
            return Output(0, "", "")
        if argv[0] == "sh":
            for one in argv[-1].split("; "):
                self._change(one.split()[4:])
            return Output(0, "", "")
        chain, to = argv[5], argv[7]
        return Output(0 if to in self.chains.get(chain, ()) else 1, "", "")

    def _change(self, words: list[str]) -> None:
        what, chain = words[0], words[1]
        if what == "-N":
            self.chains[chain] = []
        elif what == "-A":
            self.chains[chain].append(words[3])
        elif what == "-F":
            self.chains[chain].clear()
        elif what == "-X":
            del self.chains[chain]

    @contextmanager
    def api(self) -> Iterator[Any]:
        yield self

    def read_namespaced_config_map(self, *_: str) -> Any:
        return SimpleNamespace(data={"config.conf": self.config})

    config = CONFIG


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Any:
    there = FakeNode()

    def said(*_: object) -> ProxySaid:
        text = there.files[there.mounted[1]] if there.mounted else there.config
        return ProxySaid(200, 0, "nftables" if "mode: nftables" in text else "iptables")

    def mount(_: object, volume: str, put: str, at: str, arguments: Any) -> None:
        assert at == "/kube-ordeal/config.conf"
        there.mounted, there.command = (volume, put), [arguments.get(each, each) for each in there.command]

    def unmount(_: object, volume: str, arguments: Any) -> None:
        there.mounted, there.command = None, [arguments.get(each, each) for each in there.command]

    monkeypatch.setattr("kubernetes.client.CoreV1Api", lambda client: client)
    monkeypatch.setattr(faults, "mount", mount)
    monkeypatch.setattr(faults, "unmount", unmount)
    monkeypatch.setattr(faults, "is_mounted", lambda *_: there.mounted is not None)
    monkeypatch.setattr(faults, "command_of", lambda _: there.command)
    monkeypatch.setattr(faults, "all_ready", lambda _: True)
    monkeypatch.setattr(faults, "ask", said)
    return there


def test_a_chain_jumps_to_that_of_an_endpoint_and_goes_again(node: Any) -> None:
    harm = LeaveChain("worker", "10.244.1.2")
    saved = through_the_journal(harm.plan(node))
    assert (saved.to, saved.made) == (SEP, False)
    assert not harm.lasts(node, saved)
    assert harm.undone(node, saved)
    harm.apply(node, saved)
    assert node.chains[saved.chain] == [SEP]
    assert harm.landed(node, saved)
    assert not harm.undone(node, saved)
    with pytest.raises(OrdealError, match="already"):
        harm.plan(node)
    for _ in range(2):
        harm.undo(node, saved)
        assert node.chains == {SEP: []}
    assert harm.undone(node, saved)


def test_where_there_is_no_chain_of_an_endpoint_one_is_left_over_too(node: Any) -> None:
    """As in nftables mode."""
    del node.chains[SEP]
    harm = LeaveChain("worker", "10.244.1.2")
    saved = through_the_journal(harm.plan(node))
    assert saved.made
    harm.apply(node, saved)
    assert harm.landed(node, saved)
    harm.undo(node, saved)
    assert node.chains == {}
    assert harm.undone(node, saved)


def test_kube_proxy_is_given_another_mode_and_its_own_again(node: Any) -> None:
    before = list(node.command)
    harm = SetProxyMode("nftables")
    saved = through_the_journal(harm.plan(node))
    harm.undo(node, saved)
    assert node.command == before
    assert not harm.landed(node, saved)
    harm.apply(node, saved)
    assert node.command[1] == "--config=/kube-ordeal/config.conf"
    assert node.files == {saved.put: CONFIG.replace("iptables", "nftables")}
    assert harm.landed(node, saved)
    assert harm.lasts(node, saved)
    assert not harm.undone(node, saved)
    with pytest.raises(OrdealError, match="another mode already"):
        harm.plan(node)
    harm.undo(node, saved)
    assert node.command == before
    assert harm.undone(node, saved)
    assert node.files == {}


def test_a_mode_that_there_is_not_is_refused(node: Any) -> None:
    with pytest.raises(OrdealError, match="there is no mode 'ipvs'"):
        SetProxyMode("ipvs").plan(node)
    node.config = "kind: KubeProxyConfiguration\n"
    with pytest.raises(OrdealError, match="does not say which mode"):
        SetProxyMode("nftables").plan(node)
