"""What each subject asks again and again: its records, its gaps, and a source that is away for a while."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from math import inf
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.record import leases
from chaos.record.history import History
from chaos.record.records import Blind, Sample
from chaos.subjects.handles import sampler as handles
from chaos.subjects.handles.records import IN_USE, LIMIT, OPEN, TIME_WAIT, DaemonProcesses, ProcessId
from chaos.subjects.identity import sampler as identity
from chaos.subjects.identity.records import ASKED, MachineIds, NodeMachine
from chaos.subjects.pleg import sampler as pleg
from chaos.subjects.pleg.records import LAST_SEEN_AGE, REPORTED_AGE, RelistStack


class Away:
    """A source that answers, or is away."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer, self.trouble = answer, ""
        self.asked = 0

    def __call__(self, *_: object, **__: object) -> Any:
        self.asked += 1
        if self.trouble:
            raise OrdealError(self.trouble)
        return self.answer()

    def was_asked_again(self) -> None:
        before = self.asked
        eventually(lambda: self.asked > before + 1, within_s=30, what="another question", every_s=0.001)


def client() -> ApiClient:
    """A client that nobody asks anything."""
    return cast("ApiClient", nullcontext())


def values(history: History, name: str) -> list[float]:
    return [s.value for s in history.of(Sample) if s.name == name]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (leases, handles, identity, pleg):
        monkeypatch.setattr(module, "EVERY_S", 0.001)
    for module, gap in ((handles, "SAMPLE_GAP_S"), (identity, "GAP_S"), (pleg, "GAP_S")):
        monkeypatch.setattr(module, gap, inf)  # this machine may be slow; that lateness is a gap is in test_sampler.py


class TestLeases:
    def test_the_age_of_each_lease(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def lease(name: str, renewed: datetime | None) -> Any:
            return SimpleNamespace(metadata=SimpleNamespace(name=name), spec=SimpleNamespace(renew_time=renewed))

        there = [lease("w1", datetime.now(UTC)), lease("w2", None)]
        source = Away(lambda: SimpleNamespace(items=there))
        monkeypatch.setattr(k8s, "CoordinationV1Api", lambda _: SimpleNamespace(list_namespaced_lease=source))
        history = History()
        with leases.LeaseSamples(history, client):
            source.was_asked_again()
            source.trouble = "away"
            source.was_asked_again()
            seen = len(history.of(Sample))
        assert {(s.name, s.subject) for s in history.of(Sample)} == {(leases.LEASE_AGE, "w1")}
        assert len(history.of(Sample)) == seen
        assert history.of(Blind) == []


class TestIdentities:
    def nodes(self, *names: str) -> list[dict[str, object]]:
        return [self.node(name) for name in names]

    def node(self, name: str) -> dict[str, object]:
        addresses = [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": f"10.0.0.{name[-1]}"}]
        info = {"machineID": f"m-{name}", "systemUUID": None}
        return {"metadata": {"name": name}, "spec": {}, "status": {"nodeInfo": info, "addresses": addresses}}

    def test_what_changes_is_recorded_and_what_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        there = ["w1", "w2"]
        source = Away(lambda: self.nodes(*there))
        monkeypatch.setattr(identity, "raw_list", source)
        history = History()
        with identity.NodeIdentities(history, client):
            source.was_asked_again()
            there.remove("w1")
            source.was_asked_again()
        machines = [MachineIds(machine_id=f"m-w{n}", address=f"10.0.0.{n}") for n in (1, 2)]
        assert [(each.node, each.machine) for each in history.of(NodeMachine)] == [
            ("w1", machines[0]), ("w2", machines[1]), ("w1", None),
        ]  # fmt: skip
        assert (values(history, ASKED)[0], values(history, ASKED)[-1]) == (2, 1)
        assert history.of(Blind) == []

    def test_one_that_does_not_answer_is_a_gap_until_it_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = Away(lambda: self.nodes("w1"))
        monkeypatch.setattr(identity, "raw_list", source)
        history = History()
        with identity.NodeIdentities(history, client):
            source.trouble = "connection refused\nby w1"
            source.was_asked_again()
            source.trouble = ""
            source.was_asked_again()
        (gap,) = history.of(Blind)
        asked = [s.at for s in history.of(Sample)]
        assert (gap.source, gap.why, gap.complete) == ("node-identity", "connection refused", False)
        assert gap.at in asked
        assert gap.until in asked
        assert not any(gap.at < at < gap.until for at in asked)

    def test_no_first_answer_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = Away(list)
        source.trouble = "connection refused"
        monkeypatch.setattr(identity, "raw_list", source)
        monkeypatch.setattr(identity, "FIRST_WITHIN_S", 0.2)
        with (
            pytest.raises(WaitedInVainError, match="the nodes' identities, in vain; connection refused"),
            identity.NodeIdentities(History(), client),
        ):
            pass


class Node:
    """A node that lists its daemons' processes: by daemon a pid and how many handles are open, of 100."""

    def __init__(self, **daemons: tuple[int, int]) -> None:
        self.daemons = daemons
        self.ask = Away(self.listing)

    def listing(self) -> str:
        lines = [f"{name} {pid} 7 {open_} 100 200" for name, (pid, open_) in self.daemons.items()]
        return "\n".join([*lines, "total 512 3"])

    def node_exec(self, node: str, argv: Sequence[str], **_options: object) -> Output:
        return Output(0, self.ask(), "")


class TestHandles:
    def test_each_daemon_and_the_totals(self) -> None:
        node, history = Node(kubelet=(11, 40), containerd=(12, 50)), History()
        with handles.HandleSamples(node, history, "w1", ["kubelet", "containerd"]):
            node.ask.was_asked_again()
            node.daemons["kubelet"] = (13, 41)
            node.ask.was_asked_again()
        of = [(s.name, s.subject, s.value) for s in history.of(Sample)]
        assert {(OPEN, "w1/kubelet", 40), (OPEN, "w1/kubelet", 41), (OPEN, "w1/containerd", 50)} <= {*of}
        assert {(LIMIT, "w1/kubelet", 100), (IN_USE, "w1", 512), (TIME_WAIT, "w1", 3)} <= {*of}
        assert [(p.object, p.processes) for p in history.of(DaemonProcesses)] == [
            ("w1/kubelet", (ProcessId(11, 7),)),
            ("w1/containerd", (ProcessId(12, 7),)),
            ("w1/kubelet", (ProcessId(13, 7),)),
        ]
        assert history.of(Blind) == []

    def test_one_daemon_that_is_gone_is_a_gap_of_its_own(self) -> None:
        node, history = Node(kubelet=(11, 40), containerd=(12, 50)), History()
        with handles.HandleSamples(node, history, "w1", ["kubelet", "containerd"]):
            del node.daemons["kubelet"]
            node.ask.was_asked_again()
        (gap,) = history.of(Blind)
        assert (gap.source, gap.why) == (f"{OPEN}:w1/kubelet", "no process kubelet on w1")
        assert gap.at == [s.at for s in history.of(Sample) if s.subject == "w1/kubelet"][-1]

    def test_a_node_that_is_away_is_a_gap_of_each(self) -> None:
        node, history = Node(kubelet=(11, 40), containerd=(12, 50)), History()
        with handles.HandleSamples(node, history, "w1", ["kubelet", "containerd"]):
            node.ask.trouble = "no answer"
            node.ask.was_asked_again()
            node.ask.trouble = ""
            node.ask.was_asked_again()
        assert {(gap.source, gap.why) for gap in history.of(Blind)} == {
            (f"{OPEN}:w1/{daemon}", "no answer") for daemon in ("kubelet", "containerd")
        }


class TestPleg:
    METRICS = "kubelet_pleg_last_seen_seconds {}\nkubelet_pleg_relist_duration_seconds_count 1\n"
    METRICS += "kubelet_pleg_relist_duration_seconds_sum 1\n"

    @pytest.fixture
    def said(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What the Ready condition says; it is the last of these."""
        said = [""]

        def node(_: str) -> Any:
            ready = SimpleNamespace(type="Ready", message=said[-1])
            return SimpleNamespace(status=SimpleNamespace(conditions=[ready]))

        monkeypatch.setattr(k8s, "CoreV1Api", lambda _: SimpleNamespace(read_node=node))
        return said

    @pytest.mark.usefixtures("said")
    def test_a_kubelet_that_does_not_answer_is_a_gap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = Away(lambda: self.METRICS.format(1.7e9).encode())
        monkeypatch.setattr(pleg, "raw_get", source)
        history, cluster = History(), SimpleNamespace(api=client)
        with pleg.PlegSamples(history, cluster, "w1", limit_s=180):
            source.was_asked_again()
            source.trouble = "the kubelet is away"
            source.was_asked_again()
        (gap,) = history.of(Blind)
        assert (gap.source, gap.why, gap.complete) == ("pleg:w1", "the kubelet is away", False)
        assert gap.at == [s.at for s in history.of(Sample) if s.name == LAST_SEEN_AGE][-1]

    def test_the_stack_is_looked_at_once_it_says_that_it_is_late(
        self, monkeypatch: pytest.MonkeyPatch, said: list[str]
    ) -> None:
        source = Away(lambda: self.METRICS.format(1.7e9).encode())
        monkeypatch.setattr(pleg, "raw_get", source)
        said.append("PLEG is not healthy: pleg was last seen active 3m32.5s ago; threshold is 3m0s")
        history, cluster = History(), SimpleNamespace(api=client)
        with pleg.PlegSamples(history, cluster, "w1", limit_s=180):
            eventually(lambda: history.of(RelistStack), within_s=30, what="a look at the stack", every_s=0.001)
        (look,) = history.of(RelistStack)
        assert (look.blocked, look.words) == (False, "no goroutine is inside a PLEG relist")
        assert values(history, REPORTED_AGE)[0] == 212.5
