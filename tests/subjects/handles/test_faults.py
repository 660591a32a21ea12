"""The faults of handles against a fake node at the boundary: what they plan, when they landed, what undo gives back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import ClusterRef, Node
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.subjects.handles.faults import EatHandles, LowerHandleLimit
from chaos.subjects.handles.sampler import DaemonProcess
from chaos.subjects.handles.storm import SocketStorm
from tests.harm.journalled import through_the_journal

WORKER = Node("worker", control_plane=False, ready="True", address="172.18.0.3", zone="", taints=())


class FakeNode:
    """One worker with processes; commands are answered as the node's programs would."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self, *processes: DaemonProcess) -> None:
        self.processes = {p.pid: p for p in processes}
        self.there = [WORKER, replace(WORKER, name="control-plane", control_plane=True, address="172.18.0.2")]
        self.said: list[Sequence[str]] = []
        self.deaf = False

    def nodes(self) -> tuple[Node, ...]:
        return tuple(self.there)

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        self.said.append(argv)
        if argv[0] == "prlimit":
            pid, soft = int(argv[2]), argv[3].removeprefix("--nofile=")
            assert soft.endswith(":"), "a hard limit must never be named"
            self.processes[pid] = replace(self.processes[pid], soft=int(soft[:-1]))
        elif argv[0] == "perl":
            return Output(int(self.deaf), "", "")
        elif argv[0] == "kill":
            del self.processes[int(argv[1])]
        elif argv[:2] == ["cat", "/proc/uptime"]:
            return Output(0, "1000.50 0\n", "")
        elif "pidof" in argv[2]:
            wanted = argv[4:]
            lines = [
                f"{p.daemon} {p.pid} {p.start} {p.open} {p.soft} {p.hard}"
                for p in self.processes.values()
                if p.daemon in wanted
            ]
            return Output(0, "\n".join(lines), "")
        return Output(0, "", "")


CONTAINERD = DaemonProcess("containerd", 131, 500, 40, 20000, 20000)


@pytest.fixture
def node() -> Any:
    made = FakeNode(
        CONTAINERD, DaemonProcess("coredns", 7, 50, 13, 20000, 20000), DaemonProcess("coredns", 8, 51, 15, 20000, 20000)
    )
    assert isinstance(made, NodeExec)
    return made


def planned(harm: Any, node: Any) -> Any:
    """What undo will have after a crash."""
    return through_the_journal(harm.plan(node))


def test_a_limit_is_lowered_and_given_back(node: Any) -> None:
    harm = LowerHandleLimit("worker", "containerd", limit=1024)
    saved = planned(harm, node)
    assert not harm.landed(node, saved)
    harm.apply(node, saved)
    assert harm.landed(node, saved)
    assert node.processes[131].soft == 1024
    assert node.processes[131].hard == 20000
    assert not harm.undone(node, saved)
    harm.undo(node, saved)
    harm.undo(node, saved)
    assert harm.undone(node, saved)
    assert node.processes[131].soft == 20000


def test_every_process_of_a_daemon_gets_the_limit_above_the_one_that_has_most_open(node: Any) -> None:
    harm = LowerHandleLimit("worker", "coredns", above=3)
    saved = planned(harm, node)
    harm.apply(node, saved)
    assert {p.soft for p in node.processes.values() if p.daemon == "coredns"} == {18}
    assert node.processes[131].soft == 20000


PROXY = DaemonProcess("kube-proxy", 9, 70, 20, 20000, 20000)


def test_who_mends_restarts_a_daemon_that_stays_deaf_and_no_other(node: Any) -> None:
    node.processes[9] = PROXY
    for mends, stays in ((False, True), (True, False)):
        harm = LowerHandleLimit("worker", "kube-proxy", mends=mends)
        node.deaf = False
        saved = planned(harm, node)
        harm.apply(node, saved)
        node.deaf = True
        assert not harm.undone(node, saved)
        harm.undo(node, saved)
        assert harm.undone(node, saved)
        assert (9 in node.processes) is stays
    node.processes[9] = replace(PROXY, start=900)
    harm.undo(node, saved)
    assert 9 in node.processes, "it is another one"


def test_undo_leaves_another_process_of_the_same_pid_alone(node: Any) -> None:
    harm = LowerHandleLimit("worker", "containerd", limit=1024)
    saved = planned(harm, node)
    harm.apply(node, saved)
    node.processes[131] = DaemonProcess("containerd", 131, 90_000, 30, 4096, 4096)
    harm.undo(node, saved)
    assert harm.undone(node, saved)
    assert node.processes[131].soft == 4096


def test_undo_without_the_harm_changes_nothing(node: Any) -> None:
    harm = LowerHandleLimit("worker", "containerd", limit=1024)
    saved = planned(harm, node)
    harm.undo(node, saved)
    assert harm.undone(node, saved)
    assert not [argv for argv in node.said if argv[0] == "prlimit"]


def test_a_limit_has_not_landed_while_one_process_lacks_it(node: Any) -> None:
    harm = LowerHandleLimit("worker", "coredns")
    saved = planned(harm, node)
    harm.apply(node, saved)
    node.processes[8] = replace(node.processes[8], soft=20000)
    assert not harm.landed(node, saved)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (
            LowerHandleLimit("nowhere", "containerd"),
            "there is no node nowhere in cluster fake; its workers are: worker",
        ),
        (LowerHandleLimit("control-plane", "containerd"), "is a control plane"),
        (LowerHandleLimit("worker", "sshd"), "name one of containerd, kubelet, kube-proxy, coredns"),
        (LowerHandleLimit("worker", "kubelet"), "there is no process kubelet on worker"),
        (LowerHandleLimit("worker", "containerd", limit=20001), "it may be 64 to 20000, the hard limit"),
        (LowerHandleLimit("worker", "containerd", limit=10), "it may be 64 to 20000"),
        (LowerHandleLimit("worker", "containerd", above=-1), "a limit of 39 can't be set for containerd"),
        (LowerHandleLimit("worker", "containerd", limit=20000), "is 20000 already, not above 20000"),
        (EatHandles("worker", 0), "0 handles can't be eaten"),
        (EatHandles("worker", 15_001, of="containerd"), "take 1 to 15000"),
        (EatHandles("control-plane", 100), "is a control plane"),
        (SocketStorm("worker", "172.18.0.3", 100), "must be ADDRESS:PORT"),
        (SocketStorm("worker", "example.org:80", 100), "must be ADDRESS:PORT"),
        (SocketStorm("worker", "172.18.0.3:80", 28_001), "1 to 28000 connections, not 28001"),
    ],
)
def test_bad_input_is_refused_before_any_harm(node: Any, harm: Any, sentence: str) -> None:
    with pytest.raises(OrdealError, match=sentence):
        harm.plan(node)
    assert not [argv for argv in node.said if argv[0] in {"prlimit", "systemd-run"}]


def test_a_node_that_is_not_ready_is_refused(node: Any) -> None:
    node.there = [replace(WORKER, ready="Unknown")]
    with pytest.raises(OrdealError, match="not Ready before the fault"):
        LowerHandleLimit("worker", "containerd").plan(node)
