"""What goes on during harm: where it is documented, who calls whom, and what is made of the answers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client as k8s

from chaos.clusters.base import KIND, ClusterRef
from chaos.conformance import during
from chaos.conformance.during import API_SERVER_AWAY, PARTITION, Checks, documented
from chaos.errors import OrdealError
from chaos.harm.base import Fault
from chaos.harm.network import CutOff
from chaos.harm.node import Pause, PowerOff
from chaos.harm.scale import ScaleToZero
from chaos.judge.base import Verdict
from chaos.judge.conformance import DURING, FAILED, LOST, PASSED, conforms_during
from chaos.record.history import History
from chaos.record.records import Blind, Probe, SpecRun
from chaos.workloads.web import Deployed

pytestmark = pytest.mark.timed

ANSWERED, LOST_ALL = '{"responses":["talkers-x","talkers-x"]}', '{"errors":["reading from udp: timeout"]}'


class FakeCluster:
    """It gives a way into its nodes' networks."""

    ref = ClusterRef(KIND, "fake", "kubeconfig")

    @contextmanager
    def api(self) -> Iterator[None]:
        yield None

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        return [node, *argv]

    def addresses(self, _node: str) -> tuple[str, ...]:
        return ()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (PowerOff("cp"), API_SERVER_AWAY),
        (Pause("cp"), API_SERVER_AWAY),
        (PowerOff("w1"), ""),
        (CutOff(nodes=("w1",), peers=("cp",)), PARTITION),
        (CutOff(nodes=("w1",), peers=("w2",)), ""),
        (ScaleToZero(), ""),
    ],
)
def test_only_what_is_documented_to_go_on_is_checked(harm: Fault[Any], said: str) -> None:
    assert documented(harm, ["cp"]) == said


def test_a_cut_from_one_of_several_control_planes_is_no_partition_from_it() -> None:
    assert documented(CutOff(nodes=("w1",), peers=("cp1",)), ["cp1", "cp2"]) == ""
    assert documented(CutOff(nodes=("w1",), peers=("cp1",)), []) == ""


def _checks(monkeypatch: pytest.MonkeyPatch, nodes: Sequence[str] = ("w2", "w1")) -> Checks:
    pods = [
        SimpleNamespace(spec=SimpleNamespace(node_name=n), status=SimpleNamespace(pod_ip=f"10.244.{n[1:]}.9"))
        for n in nodes
    ]
    core = SimpleNamespace(list_namespaced_pod=lambda *_, **__: SimpleNamespace(items=pods))
    monkeypatch.setattr(k8s, "CoreV1Api", lambda _: core)
    cluster: Any = FakeCluster()
    return Checks(cluster, Deployed("talkers", "ns", "10.96.0.7", 0, cluster))


def test_each_node_calls_the_next_one_and_the_service_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = _checks(monkeypatch)
    assert checks.names == (
        "a pod of w1 reaches a pod by http",
        "a pod of w1 reaches a Service by http",
        "a pod of w1 reaches a pod by udp",
        "a pod of w1 reaches a Service by udp",
        "a pod of w2 reaches a pod by http",
        "a pod of w2 reaches a Service by http",
        "a pod of w2 reaches a pod by udp",
        "a pod of w2 reaches a Service by udp",
    )
    asked: dict[str, tuple[str, dict[str, list[str]]]] = {}

    @contextmanager
    def probes(_cluster: object, history: History, *, target: str, url: str, nodes: list[str], **_: object) -> Any:
        asked[target] = (f"{nodes[0]} {urlsplit(url).netloc}", parse_qs(urlsplit(url).query))
        yield

    monkeypatch.setattr(during, "ServiceProbes", probes)
    with checks.running(History(), "power-off"):
        pass
    where, query = asked["a pod of w1 reaches a pod by udp"]
    assert where == "w1 10.244.1.9:8083"
    assert (query["host"], query["port"], query["protocol"]) == (["10.244.2.9"], ["8081"], ["udp"])
    where, query = asked["a pod of w2 reaches a Service by http"]
    assert where == "w2 10.244.2.9:8083"
    assert (query["host"], query["port"], query["protocol"]) == (["10.96.0.7"], ["80"], ["http"])
    assert {row.state for row in checks.rows("power-off")} == {LOST}  # nothing was answered: that is not passed


def test_pods_of_one_node_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OrdealError, match="a second worker is needed"):
        _checks(monkeypatch, ("w1",))


def test_a_call_that_nobody_answered_is_a_failure_and_so_is_an_asker_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks = _checks(monkeypatch)

    @contextmanager
    def probes(_cluster: object, history: History, *, target: str, nodes: list[str], **_: object) -> Any:
        yield
        lost = target.startswith("a pod of w2") and target.endswith("udp")
        gone = target == checks.names[0]
        history.add(Probe(1.0, nodes[0], target, ok=True, took_s=0.01, answered_by=ANSWERED))
        said = LOST_ALL if lost else ANSWERED
        history.add(Probe(2.0, nodes[0], target, ok=True, took_s=5.0, answered_by=said))
        history.add(Probe(3.0, nodes[0], target, not gone, 0.01, "" if gone else ANSWERED, "refused" if gone else ""))
        history.add(Blind(4.0, f"probe:{nodes[0]}", 5.0, "the prober died"))

    monkeypatch.setattr(during, "ServiceProbes", probes)
    history = History()
    with checks.running(history, "power-off"):
        pass
    runs = history.of(SpecRun)
    assert {run.round for run in runs} == {DURING}
    assert sorted((r.at, r.spec, r.message) for r in runs if r.state == FAILED) == [
        (2.0, "a pod of w2 reaches a Service by udp", LOST_ALL),
        (2.0, "a pod of w2 reaches a pod by udp", LOST_ALL),
        (3.0, "a pod of w1 reaches a pod by http", "refused"),
    ]
    assert len(history.of(Blind)) == len(checks.names)
    rows = {row.spec: row for row in checks.rows("power-off")}
    assert [spec for spec, row in rows.items() if row.state == PASSED] == list(checks.names[1:6])
    assert rows[checks.names[0]].message == "1 of 3 calls failed; the first: refused"
    assert conforms_during(checks.names, fault="power-off").judge(history).verdict is Verdict.UNKNOWN  # it never landed
