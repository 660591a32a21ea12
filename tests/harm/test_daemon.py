"""A daemon that is stopped, against a fake node at the boundary: planned, landed, undone."""

import os
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from chaos.clusters.base import ClusterRef, Node
from chaos.errors import OrdealError
from chaos.harm.daemon import _STAT, StopDaemon
from chaos.hosts.command import CommandError, Output
from tests.harm.journalled import through_the_journal


class FakeNode:
    """A worker with a kube-proxy of that state."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self) -> None:
        self.state, self.start, self.answers = "S", 1000, True

    def nodes(self) -> tuple[Node, ...]:
        return (Node("worker", control_plane=False, ready="True", address="172.18.0.3", zone="", taints=()),)

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        if not self.answers:
            if check:
                raise CommandError(argv, "failed", "no such container")
            return Output(1, "", "no such container")
        if argv[0] == "pidof":
            return Output(0, "42\n", "") if self.state else Output(1, "", "")
        if argv[0] == "kill":
            self.state = {"-STOP": "T", "-CONT": "S"}[argv[1]]
            return Output(0, "", "")
        if not self.state:
            return Output(0, "gone\n", "")
        return Output(0, f"42 (kube-proxy) {self.state} {' '.join(['0'] * 18)} {self.start} 0\n", "")


def test_a_proxy_is_stopped_and_goes_on() -> None:
    node: Any = FakeNode()
    harm = StopDaemon("worker", "kube-proxy")
    saved = through_the_journal(harm.plan(node))
    assert not harm.landed(node, saved)
    harm.apply(node, saved)
    assert harm.landed(node, saved)
    with pytest.raises(OrdealError, match="stands still already"):
        harm.plan(node)
    harm.undo(node, saved)
    assert harm.undone(node, saved)
    assert not harm.lasts(node, saved)


def test_a_later_process_of_its_number_is_left_alone() -> None:
    node: Any = FakeNode()
    harm = StopDaemon("worker", "kube-proxy")
    saved = through_the_journal(harm.plan(node))
    node.start, node.state = 2000, "T"
    harm.undo(node, saved)
    assert node.state == "T"
    assert harm.undone(node, saved)


def test_a_node_that_does_not_answer_is_no_word_that_it_goes_on() -> None:
    node: Any = FakeNode()
    harm = StopDaemon("worker", "kube-proxy")
    saved = through_the_journal(harm.plan(node))
    harm.apply(node, saved)
    node.answers = False
    for ask in (harm.lasts, harm.undo, harm.undone):
        with pytest.raises(CommandError, match="no such container"):
            ask(node, saved)
    node.answers = True
    assert not harm.undone(node, saved)
    node.state = ""
    harm.undo(node, saved)
    assert harm.undone(node, saved)


def test_the_kernel_is_asked_in_words_that_a_shell_knows() -> None:
    def asked(pid: int) -> str:
        return subprocess.run(["sh", "-c", _STAT, "state", str(pid)], capture_output=True, text=True, check=True).stdout

    assert asked(os.getpid()).startswith(f"{os.getpid()} (")
    assert asked(2**30).strip() == "gone"


def test_a_node_without_a_proxy_is_refused() -> None:
    node: Any = FakeNode()
    node.state = ""
    with pytest.raises(OrdealError, match="kube-proxy on worker does not run"):
        StopDaemon("worker", "kube-proxy").plan(node)


def test_another_daemon_is_refused() -> None:
    node: Any = FakeNode()
    with pytest.raises(OrdealError, match="the daemon 'sshd' can't be stopped; there are: containerd, kube-proxy"):
        StopDaemon("worker", "sshd").plan(node)
