"""The faults of kubelets against a fake node at the boundary: what they plan, when they landed, what undo does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.clusters.base import ClusterRef, Node
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.subjects.kubelets import faults
from chaos.subjects.kubelets.faults import CrashContainers, RestartKubelet, SetNodeLabel
from chaos.subjects.kubelets.records import RunningContainer
from chaos.subjects.kubelets.sampler import look
from tests.harm.journalled import through_the_journal

WORKER = Node("worker", control_plane=False, ready="True", address="172.18.0.3", zone="", taints=())
UID, ID = "0b5e1a36-8a4f-4f8e-9d3c-0123456789ab", "a" * 64


class FakeNode:
    """A worker with a kubelet and a container; commands are answered as the node's programs would."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self) -> None:
        self.there = [WORKER, replace(WORKER, name="control-plane", control_plane=True)]
        self.kubelet: tuple[int, int] | None = (77, 1000)
        self.containers = {ID: 300}
        self.labels: dict[str, str] = {}
        self.said: list[Sequence[str]] = []

    def nodes(self) -> tuple[Node, ...]:
        return tuple(self.there)

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        self.said.append(argv)
        if argv[:2] == ["systemctl", "restart"]:
            self.kubelet = (78, 1500)
        elif argv[0] == "kill":
            pids = {int(pid) for pid in argv[2:]}
            self.containers = {each: pid for each, pid in self.containers.items() if pid not in pids}
            if self.kubelet is not None and self.kubelet[0] in pids:
                self.kubelet = None
        elif "systemctl start" in argv[-1]:
            self.kubelet = (79, 2000)
        else:
            group = f"pod{UID.replace('-', '_')}.slice/cri-containerd-"
            lines = [f"/proc/{pid}/cgroup:{group}{each}" for each, pid in self.containers.items()]
            pid, start = self.kubelet or (0, "")
            return Output(0, "\n".join([*lines, f"kubelet {pid} {start}"]) + "\n", "")
        return Output(0, "", "")

    @contextmanager
    def api(self) -> Iterator[None]:
        yield None


@pytest.fixture
def node() -> Any:
    return FakeNode()


def test_a_look_reads_the_kernels_names_of_either_cgroup_driver(node: Any) -> None:
    assert look(node, "worker") == ((RunningContainer(UID, ID, 300),), (77, 1000))
    node.kubelet = None
    assert look(node, "worker")[1] == (0, 0)


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_kubelet_is_restarted(node: Any, how: str) -> None:
    harm = RestartKubelet("worker", how)
    saved = through_the_journal(harm.plan(node))
    assert not harm.landed(node, saved)
    harm.apply(node, saved)
    if how == "kill":
        assert not harm.landed(node, saved)  # systemd has not started it yet
        node.kubelet = (80, 3000)
    assert harm.landed(node, saved)
    said = len(node.said)
    harm.undo(node, saved)
    assert harm.undone(node, saved)
    assert not any("start" in " ".join(argv[:1]) for argv in node.said[said:])  # it runs, so nothing is done


def test_one_that_did_not_come_back_is_started(node: Any) -> None:
    harm = RestartKubelet("worker", "kill")
    saved = through_the_journal(harm.plan(node))
    harm.apply(node, saved)
    assert not harm.undone(node, saved)
    harm.undo(node, saved)
    assert harm.undone(node, saved)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (RestartKubelet("worker", "gently"), "can't be restarted by 'gently'"),
        (RestartKubelet("control-plane"), "is a control plane"),
        (CrashContainers("nowhere", "shapes"), "there is no node nowhere"),
    ],
)
def test_what_can_not_be_done_is_refused(node: Any, harm: Any, sentence: str) -> None:
    with pytest.raises(OrdealError, match=sentence):
        harm.plan(node)


def test_a_node_without_a_kubelet_is_refused(node: Any) -> None:
    node.kubelet = None
    with pytest.raises(OrdealError, match="no kubelet runs on worker"):
        RestartKubelet("worker").plan(node)


def pod(container_id: str, *, running: bool = True) -> Any:
    state = SimpleNamespace(running=object() if running else None)
    status = SimpleNamespace(container_id=f"containerd://{container_id}", state=state)
    return SimpleNamespace(
        metadata=SimpleNamespace(name="plain", uid=UID, annotations=None),
        status=SimpleNamespace(container_statuses=[status]),
    )


def test_containers_of_the_workload_are_killed(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "pods_of", lambda *_: [pod(ID), pod("b" * 64), pod(ID, running=False)])
    harm = CrashContainers("worker", "shapes")
    saved = through_the_journal(harm.plan(node))
    assert [(each.name, each.container.id) for each in saved.victims] == [("plain", ID)]
    assert not harm.landed(node, saved)
    harm.apply(node, saved)
    assert harm.landed(node, saved)
    assert harm.undone(node, saved)


def test_a_workload_that_does_not_run_there_is_refused(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "pods_of", lambda *_: [])
    with pytest.raises(OrdealError, match="no container of a pod of shapes runs on worker"):
        CrashContainers("worker", "shapes").plan(node)


@pytest.mark.parametrize(("was", "value"), [(None, "a"), ("b", "a"), ("a", None)])
def test_a_label_is_put_back(node: Any, monkeypatch: pytest.MonkeyPatch, was: str | None, value: str | None) -> None:
    labels: dict[str, str | None] = {"rack": was}
    monkeypatch.setattr(faults, "_label", lambda *_: labels["rack"])
    monkeypatch.setattr(faults, "_set_label", lambda *given: labels.update(rack=given[3]))
    harm = SetNodeLabel("worker", "rack", value)
    saved = through_the_journal(harm.plan(node))
    harm.apply(node, saved)
    assert harm.landed(node, saved)
    assert labels["rack"] == value
    harm.undo(node, saved)
    assert harm.undone(node, saved)
    assert labels["rack"] == was
    with pytest.raises(OrdealError, match="there is nothing to do"):
        SetNodeLabel("worker", "rack", was).plan(node)
