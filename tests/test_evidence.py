"""Evidence from a cluster in trouble: what can be had is written, what can't be had is told, nothing is raised."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from urllib3.exceptions import MaxRetryError

from chaos import evidence
from chaos.errors import OrdealError
from chaos.hosts.command import Output

DUMP = """goroutine 1 [chan send, 12 minutes]:
k8s.io/kubernetes/pkg/kubelet/pleg.(*GenericPLEG).Relist(0xc000)
\t/src/pkg/kubelet/pleg/generic.go:283 +0x1

"""


class Sick:
    """A cluster of one node. `api_dead`: its API server does not answer. `stopped`: its containerd is stopped."""

    def __init__(self, *, api_dead: bool = False, stopped: bool = False, node_dead: bool = False) -> None:
        self.api_dead, self.stopped, self.node_dead = api_dead, stopped, node_dead
        self.asked: list[str] = []
        self.ran: list[Sequence[str]] = []

    def api(self) -> object:
        return nullcontext(self)

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        if self.node_dead:
            raise OrdealError(f"{node} is not running")
        self.ran.append(argv)
        answers = {"pidof": "77\n", "cat": DUMP, "journalctl": "a line\n"}
        if argv[0] == "sh":
            return Output(0, ("T" if self.stopped else "S") if "stat" in argv[-1] else "kernel line\n", "")
        return Output(0, answers.get(argv[0], ""), "")


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def raw_get(client: Sick, path: str) -> bytes:
        client.asked.append(path)
        if client.api_dead:
            raise MaxRetryError(SimpleNamespace(host="it"), path, OSError("refused"))  # type: ignore[arg-type]
        return DUMP.encode() if "goroutine" in path else b"{}"

    monkeypatch.setattr(evidence, "raw_get", raw_get)


def collected(cluster: Sick, where: Path) -> dict[str, evidence.Piece]:
    pieces = evidence.collect(cluster, ("n1",), where, since_wall=1000.0)  # type: ignore[arg-type]
    return {piece.name: piece for piece in pieces}


def test_everything_that_can_be_had_is_there_with_a_summary_of_each_dump(tmp_path: Path) -> None:
    cluster = Sick()
    pieces = collected(cluster, tmp_path)
    assert not [p for p in pieces.values() if p.missing]
    assert {p.name for p in tmp_path.iterdir()} == set(pieces)
    assert "Relist" in (tmp_path / "n1-kubelet-goroutines-summary.txt").read_text()
    assert (tmp_path / "n1-containerd-goroutines.txt").read_text() == DUMP
    assert ["rm", "-f", "/tmp/containerd.77.stacks.log"] in cluster.ran
    assert any("@1000" in argv for argv in cluster.ran if argv[0] == "journalctl")


def test_a_dead_api_server_is_not_waited_for_again_and_again(tmp_path: Path) -> None:
    cluster = Sick(api_dead=True)
    pieces = collected(cluster, tmp_path)
    assert "does not answer" in pieces["n1-kubelet-metrics.txt"].missing
    assert pieces["n1-kubelet.log"].path == tmp_path / "n1-kubelet.log"
    assert len(cluster.asked) <= 4  # once by each thread at the most


def test_a_stopped_containerd_is_told_and_not_signalled(tmp_path: Path) -> None:
    cluster = Sick(stopped=True)
    pieces = collected(cluster, tmp_path)
    assert "is stopped" in pieces["n1-containerd-goroutines.txt"].missing
    assert not [argv for argv in cluster.ran if argv[0] == "kill"]


def test_a_dead_node_is_told_and_the_rest_is_taken(tmp_path: Path) -> None:
    pieces = collected(Sick(node_dead=True), tmp_path)
    assert "not running" in pieces["n1-kubelet.log"].missing
    assert (tmp_path / "pods.json").read_text() == "{}"
