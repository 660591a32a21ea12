"""Reading what is written into volumes: from a folder, while it is written."""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client as k8s

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.record.history import History
from chaos.record.records import Blind, Sample
from chaos.subjects.volumes import pool as rbd_lock
from chaos.subjects.volumes import sampler as volumes
from chaos.subjects.volumes.pool import Lock
from chaos.subjects.volumes.records import LOG_READ, HeldBy, Holder, Torn, Written, lines_of
from chaos.subjects.volumes.sampler import SharedLogs, VolumeSamples, WatchedVolume, WriterLogs

WATCHED = WatchedVolume("recreate", "ns", "pvc-1")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "pvc-1").mkdir()
    return tmp_path / "pvc-1" / "log"


@pytest.fixture
def holders(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Holder, ...]]:
    says: dict[str, tuple[Holder, ...]] = {"recreate": (Holder("lock", "w1"),)}

    def ask(*_: object, **__: object) -> Mapping[str, tuple[Holder, ...]]:
        return dict(says)

    monkeypatch.setattr(volumes, "holders", ask)
    monkeypatch.setattr(rbd_lock, "serves", lambda _: True)
    return says


def line(number: int, writer: str = "a", lease: int = 1) -> str:
    hundredths = int(100 * time.clock_gettime(time.CLOCK_BOOTTIME))  # as /proc/uptime has them
    return f"{number} {writer} node {int(time.time())} {hundredths / 100:.2f} {lease}\n"


def samples(history: History, log: Path) -> VolumeSamples:
    cluster: Any = None
    return VolumeSamples(history, cluster, [WATCHED], SharedLogs(log.parent.parent))


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


@pytest.mark.usefixtures("holders")
class TestTheLog:
    def test_what_was_written_before_is_counted_and_what_comes_is_recorded(self, log: Path) -> None:
        log.write_text("".join(line(n) for n in (1, 2, 3)))
        history = History()
        with samples(history, log):
            append(log, line(4))
            append(log, line(5, "b", 0))
        found = lines_of(history, "recreate")
        assert [(x.number, x.writer, x.node, x.lease_s) for x in found] == [
            (3, "a", "node", 1), (4, "a", "node", 1), (5, "b", "node", 0)
        ]  # fmt: skip
        assert all(0 <= x.at <= history.now() for x in found)
        read = [s.value for s in history.of(Sample) if s.name == LOG_READ]
        assert read[-1] == log.stat().st_size

    def test_half_a_line_is_read_when_it_is_whole(self, log: Path) -> None:
        log.write_text(line(1))
        whole = line(2)
        history = History()
        with samples(history, log):
            append(log, whole[:5])
            eventually(
                lambda: len([s for s in history.of(Sample) if s.name == LOG_READ]) > 1, within_s=5, what="a read"
            )
            append(log, whole[5:])
        assert [x.number for x in lines_of(history, "recreate")] == [1, 2]

    def test_what_is_no_line(self, log: Path) -> None:
        log.write_text(line(1))
        history = History()
        with samples(history, log):
            append(log, "2 a node now 1 1\n" + line(3))
        assert [torn.text for torn in history.of(Torn)] == ["2 a node now 1 1"]

    def test_another_file_is_read_from_its_beginning(self, log: Path) -> None:
        log.write_text("".join(line(n) for n in range(1, 9)))
        history = History()
        with samples(history, log):
            log.write_text(line(1, "b"))
        assert [(x.number, x.writer) for x in lines_of(history, "recreate")] == [(8, "a"), (1, "b")]

    def test_one_that_is_gone_at_the_end_leaves_a_gap(self, log: Path) -> None:
        log.write_text(line(1))
        history = History()
        with samples(history, log):
            log.unlink()
        (gap,) = [b for b in history.of(Blind) if b.source == f"{Written.kind}:recreate"]
        assert not gap.complete

    def test_nothing_written_is_told_at_once(self, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(volumes, "FIRST_WITHIN_S", 0.3)
        with pytest.raises(WaitedInVainError, match="recreate to write"), samples(History(), log):
            pass


def test_holders_are_recorded_when_they_change(log: Path, holders: dict[str, tuple[Holder, ...]]) -> None:
    log.write_text(line(1))
    history = History()
    with samples(history, log):
        eventually(lambda: history.of(HeldBy), within_s=5, what="a first answer")
        holders["recreate"] = (Holder("attachment", "w2"), Holder("lock", "w2"))
    assert [held.told() for held in history.of(HeldBy)] == ["lock:w1", "attachment:w2 lock:w2"]


class Cluster:
    """What WriterLogs asks: the pods that are there, and a log that is read in one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *pods: Any) -> None:
        self.log, self.asked = b"", list[str]()
        found = SimpleNamespace(items=pods)
        core = SimpleNamespace(list_namespaced_pod=lambda *_, **__: found)
        monkeypatch.setattr(k8s, "CoreV1Api", lambda _: core)
        monkeypatch.setattr(volumes, "exec_in_pod", self._exec)

    def api(self) -> Any:
        return nullcontext()

    def _exec(self, _: object, __: str, pod: str, argv: list[str], **___: object) -> Any:
        self.asked.append(pod)
        offset = int(argv[-1].partition("-c +")[2].split()[0]) - 1
        return SimpleNamespace(out=f"{len(self.log)}\n{self.log[offset:].decode()}")


def pod(name: str, *, runs: bool = True, ready: bool = True, going: bool = False, created: int = 1) -> Any:
    return SimpleNamespace(
        metadata=SimpleNamespace(name=name, deletion_timestamp=going or None, creation_timestamp=created),
        status=SimpleNamespace(
            container_statuses=[SimpleNamespace(state=SimpleNamespace(running=runs or None))],
            conditions=[SimpleNamespace(type="Ready", status=str(ready))],
        ),
    )


class TestThroughAPod:
    def test_what_is_new_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cluster: Any = Cluster(monkeypatch, pod("a"))
        cluster.log = line(1).encode() + line(2).encode()
        first = len(line(1))
        assert WriterLogs(cluster).read(WATCHED, first) == (len(cluster.log), cluster.log[first:])

    def test_one_that_is_ready_is_asked_and_none_of_a_node_that_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lost, going = pod("lost", ready=False, created=9), pod("going", going=True, created=9)
        cluster: Any = Cluster(monkeypatch, lost, pod("here"), going, pod("waits", runs=False, created=9))
        WriterLogs(cluster).read(WATCHED, 0)
        assert cluster.asked == ["here"]

    def test_where_none_runs_nobody_writes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cluster: Any = Cluster(monkeypatch, pod("waits", runs=False))
        assert WriterLogs(cluster).read(WATCHED, 42) == (42, b"")

    @pytest.mark.usefixtures("holders")
    def test_whatever_goes_wrong_is_a_gap_and_is_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cluster: Any = Cluster(monkeypatch, pod("a"))
        cluster.log = line(1).encode()
        logs, history = WriterLogs(cluster), History()
        monkeypatch.setattr(logs, "every_s", 0.01)
        refused, asked = [False], logs.read

        def read(watched: WatchedVolume, offset: int) -> tuple[int, bytes]:
            if refused[0]:
                refused[0] = False
                raise ValueError("the API server is away")
            return asked(watched, offset)

        monkeypatch.setattr(logs, "read", read)
        with VolumeSamples(history, cluster, [WATCHED], logs):
            refused[0] = True
            eventually(lambda: history.of(Blind), within_s=5, what="the gap")
            cluster.log += line(2).encode()
        (gap,) = history.of(Blind)
        assert (gap.complete, gap.why) == (True, "the API server is away")
        assert [x.number for x in lines_of(history, "recreate")] == [1, 2]


def test_a_lock_names_its_node() -> None:
    assert Lock("kubelet_lock_magic_ordeal-worker2", "client.4107").node == "ordeal-worker2"
