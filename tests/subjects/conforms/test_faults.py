"""What takes pods off a network: what is refused before any harm, and what undo goes by."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client as k8s

from chaos.clusters.base import KIND, ClusterRef, Node
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.subjects.conforms import faults
from chaos.subjects.conforms.faults import CutPodRoutes


class FakeCluster:
    """A control plane and two workers; nothing is asked of an API server, for the tests put its answers in place."""

    ref = ClusterRef(KIND, "fake", "kubeconfig")

    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(n, n == "cp", "True", "172.18.0.2", "", ()) for n in ("cp", "w1", "w2"))

    @contextmanager
    def api(self) -> Iterator[None]:
        yield None

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        return [node, *argv]


class Kernel:
    """Its rules, by the commands that `ip` understands here."""

    def __init__(self) -> None:
        self.rules: list[tuple[str, str]] = []  # family, range

    def __call__(self, argv: Sequence[str], **_: object) -> Output:
        _node, _ip, family, *asked = argv
        match asked:
            case ["rule", "show", *_]:
                return Output(0, "".join(f"4242: to {r}\n" for f, r in self.rules if f == family), "")
            case ["rule", "add", "pref", _, "to", to, "unreachable"]:
                self.rules.append((family, to))
            case ["rule", "del", *_]:
                mine = [rule for rule in self.rules if rule[0] == family]
                if not mine:
                    return Output(2, "", "RTNETLINK answers: No such file or directory")
                self.rules.remove(mine[0])
            case ["route", "get", address]:
                cut = any(to.startswith(f"{address}/") for _, to in self.rules)
                return Output(2 if cut else 0, "", "RTNETLINK answers: Network is unreachable" if cut else "")
        return Output(0, "", "")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(faults, "run", made)
    return made


def _nodes_say(monkeypatch: pytest.MonkeyPatch, **ranges: list[str] | None) -> None:
    items = [
        SimpleNamespace(metadata=SimpleNamespace(name=n), spec=SimpleNamespace(pod_cidrs=r)) for n, r in ranges.items()
    ]
    monkeypatch.setattr(k8s, "CoreV1Api", lambda _: SimpleNamespace(list_node=lambda: SimpleNamespace(items=items)))


def test_the_ranges_of_all_other_nodes_are_cut_and_given_back(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    _nodes_say(monkeypatch, cp=["10.1.0.0/24"], w1=["10.1.1.0/24"], w2=["10.1.2.0/24", "fd00:2::/64"])
    cluster: Any = FakeCluster()
    fault = CutPodRoutes("w1")
    saved = fault.plan(cluster)
    assert kernel.rules == []
    assert CutPodRoutes.undone(cluster, saved)
    fault.apply(cluster, saved)
    assert kernel.rules == [("-4", "10.1.0.0/24"), ("-4", "10.1.2.0/24"), ("-6", "fd00:2::/64")]
    assert fault.landed(cluster, saved)
    assert not CutPodRoutes.undone(cluster, saved)
    CutPodRoutes.undo(cluster, saved)
    CutPodRoutes.undo(cluster, saved)
    assert kernel.rules == []
    assert CutPodRoutes.undone(cluster, saved)


def test_one_range_that_can_be_reached_still_means_that_it_did_not_land(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel
) -> None:
    _nodes_say(monkeypatch, cp=["10.1.0.0/24"], w1=["10.1.1.0/24"], w2=["10.1.2.0/24"])
    cluster: Any = FakeCluster()
    fault = CutPodRoutes("w1")
    saved = fault.plan(cluster)
    fault.apply(cluster, saved)
    kernel.rules.pop()
    assert not fault.landed(cluster, saved)


def test_nodes_without_pod_ranges_are_refused(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    _nodes_say(monkeypatch, cp=None, w1=["10.1.1.0/24"], w2=[])
    cluster: Any = FakeCluster()
    with pytest.raises(OrdealError, match=r"say no pod range \(spec.podCIDRs\)"):
        CutPodRoutes("w1").plan(cluster)
    assert kernel.rules == []


def test_what_is_cut_already_is_refused(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    _nodes_say(monkeypatch, cp=["10.1.0.0/24"], w1=["10.1.1.0/24"])
    kernel.rules.append(("-4", "10.1.0.0/24"))
    cluster: Any = FakeCluster()
    with pytest.raises(OrdealError, match="has a rule of preference 4242 already"):
        CutPodRoutes("w1").plan(cluster)


@pytest.mark.parametrize(("node", "sentence"), [("cp", "is a control plane"), ("w9", "there is no node w9")])
def test_only_a_worker_is_cut_off(node: str, sentence: str) -> None:
    cluster: Any = FakeCluster()
    with pytest.raises(OrdealError, match=sentence):
        CutPodRoutes(node).plan(cluster)
