"""Evidence from a cluster in trouble: what can be had is written, what can't be had is told, nothing is raised."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from urllib3.exceptions import MaxRetryError

from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.record import evidence

DUMP = """goroutine 1 [chan send, 12 minutes]:
k8s.io/kubernetes/pkg/kubelet/pleg.(*GenericPLEG).Relist(0xc000)
\t/src/pkg/kubelet/pleg/generic.go:283 +0x1

"""

DMESG = """[    0.000000] Linux version 6.1.0 (builder@host)
[    0.000000] Command line: BOOT_IMAGE=/vmlinuz root=/dev/sda1 rd.luks.key=hidden
[   12.000000] audit: type=1400 apparmor="DENIED" profile="payroll"
[  100.000000] Memory cgroup out of memory: Killed process 4242 (eater) total-vm:1kB
[  101.000000] SLUB: Unable to allocate memory on node -1
[  102.000000] INFO: task etcd:7 blocked for more than 120 seconds.
[  103.000000] EXT4-fs error (device loop3): ext4_find_entry:1455
[  104.000000] nf_conntrack: nf_conntrack: table full, dropping packet
[  105.000000] veth4e6764a: entered promiscuous mode
"""


class Sick:
    """A cluster of one node. `api_dead`: its API server does not answer. `stopped`: its containerd is stopped."""

    def __init__(self, *, api_dead: bool = False, stopped: bool = False, node_dead: bool = False) -> None:
        self.api_dead, self.stopped, self.node_dead = api_dead, stopped, node_dead
        self.journal = "a line\n"
        self.metrics = ""
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
        answers = {"pidof": "77\n", "cat": DUMP, "journalctl": self.journal, "dmesg": DMESG}
        if argv[0] == "sh":
            return Output(0, ("T" if self.stopped else "S") if "stat" in argv[-1] else "kernel line\n", "")
        return Output(0, answers.get(argv[0], ""), "")


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def raw_get(client: Sick, path: str) -> bytes:
        client.asked.append(path)
        if client.api_dead:
            raise MaxRetryError(SimpleNamespace(host="it"), path, OSError("refused"))  # type: ignore[arg-type]
        if path.endswith("/metrics"):
            return client.metrics.encode()
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
    assert json.loads((tmp_path / "pods.json").read_text())["items"] == []


def test_of_the_kernels_log_only_what_a_judge_looks_for_is_kept(tmp_path: Path) -> None:
    collected(Sick(), tmp_path)
    said = (tmp_path / "n1-kernel.log").read_text().splitlines()
    assert said == [
        "1 of 9 lines are kept: those that a judge looks for",
        "[  101.000000] SLUB: Unable to allocate memory on node -1",
    ]


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    where = tmp_path / "evidence" / "0-cut"
    collected(Sick(), where)
    modes = {path.stat().st_mode & 0o777 for path in where.iterdir()}
    assert (modes, where.stat().st_mode & 0o777, where.parent.stat().st_mode & 0o777) == ({0o600}, 0o700, 0o700)


def test_what_is_too_long_is_cut_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MAX_BYTES", 2000)
    cluster = Sick()
    cluster.journal = "".join(f"line {n}\n" for n in range(1000))
    cluster.metrics = cluster.journal
    pieces = collected(cluster, tmp_path)
    log, metrics = (tmp_path / name for name in ("n1-kubelet.log", "n1-kubelet-metrics.txt"))
    assert log.read_text().startswith("(cut: the last")
    assert log.read_text().endswith("line 999\n")
    assert metrics.read_text().startswith("line 0\n")
    assert len(log.read_text()) < 2100
    for name in (log.name, metrics.name):
        rest = pieces[f"{name} (the rest)"]
        assert rest.path is None
        assert rest.missing.startswith("cut: the ")


def test_a_journal_with_more_lines_than_are_taken_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "JOURNAL_LINES", 3)
    cluster = Sick()
    cluster.journal = "a\nb\nc\n"
    collected(cluster, tmp_path)
    assert (tmp_path / "n1-kubelet.log").read_text().startswith("(the last 3 lines; there were more)\n")


def test_of_many_nodes_some_are_taken_and_the_others_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MAX_NODES", 1)
    pieces = evidence.collect(Sick(), ("n1", "n2", "n3"), tmp_path)  # type: ignore[arg-type]
    assert not [p for p in pieces if p.name.startswith(("n2", "n3"))]
    assert [p.missing for p in pieces if p.name == "2 more nodes"] == ["evidence is taken of 1 nodes"]


def test_metrics_of_others_volumes_are_left_out(tmp_path: Path) -> None:
    cluster = Sick()
    cluster.metrics = "".join(
        f'kubelet_volume_stats_used_bytes{{namespace="{name}",persistentvolumeclaim="data"}} 1\n'
        for name in ("payroll", "ordeal-redis-1a2b", "kube-system")
    )
    collected(cluster, tmp_path)
    assert "payroll" not in (tmp_path / "n1-kubelet-metrics.txt").read_text()
    assert (tmp_path / "n1-kubelet-metrics.txt").read_text().count("\n") == 2
