"""The faults and settings of imagefs-full without a cluster: what is refused, merged, compared and put back."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from chaos.clusters.abilities import OwnFileSystem
from chaos.clusters.base import KIND, ClusterRef, Node
from chaos.clusters.kind import loopfs
from chaos.errors import OrdealError
from chaos.harm import thresholds
from chaos.harm.ballast import BALLAST, FillFileSystem, FillFileSystemPlan
from chaos.harm.kubelet import SetKubeletConfig, _shows, merged
from chaos.harm.thresholds import Crossed, crossed, hard_thresholds
from chaos.subjects.eviction.faults import DropPriority
from tests.harm.journalled import through_the_journal

IMAGEFS = "/var/lib/containerd"
MIB = 1024**2
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="loop mounts need root")


class FakeCluster:
    """Two workers, of which one is not Ready, and a control plane; one file system of the first worker's own."""

    ref = ClusterRef(KIND, "fake", "kubeconfig")

    def __init__(self, own: Path | None = None) -> None:
        self.own = own
        self.images = {"a", "b"}
        self.restored: list[str] = []

    def nodes(self) -> tuple[Node, ...]:
        ready = {"cp": "True", "w1": "True", "w2": "False"}
        return tuple(Node(name, name == "cp", state, "", "", ()) for name, state in ready.items())

    def own_file_systems(self, node: str) -> tuple[OwnFileSystem, ...]:
        return (OwnFileSystem(IMAGEFS, str(self.own)),) if self.own is not None and node == "w1" else ()

    def image_names(self, node: str) -> tuple[str, ...]:
        return tuple(sorted(self.images))

    def restore_images(self, node: str, names: Sequence[str]) -> None:
        self.restored += sorted(set(names) - self.images)
        self.images |= set(names)


@pytest.fixture
def kubelet(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the kubelet answers: its configuration's evictionHard and the bytes that are left of 1000."""
    says: dict[str, object] = {"evictionHard": {"imagefs.available": "25%"}, "left": 900, "inodes": 900}

    def ask(_cluster: object, _node: str, what: str) -> bytes:
        of = {"availableBytes": says["left"], "capacityBytes": 1000, "inodesFree": says["inodes"], "inodes": 1000}
        stats = {"node": {"fs": of, "runtime": {"imageFs": of, "containerFs": of}}}
        config = {"kubeletconfig": {"evictionHard": says["evictionHard"]}}
        return json.dumps(stats if what == "stats/summary" else config).encode()

    monkeypatch.setattr(thresholds, "_ask", ask)
    return says


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FakeCluster]:
    """A cluster whose first worker has a real file system of 32 MiB."""
    made = loopfs.make(tmp_path / "fs", "imagefs", IMAGEFS, 32 * MIB)
    yield FakeCluster(made.mounted)
    loopfs.take_down(tmp_path / "fs")


def used_percent(folder: Path) -> float:
    said = os.statvfs(folder)
    return 100 * (1 - said.f_bavail / said.f_blocks)


# --- the ballast


@pytest.mark.parametrize("percent", [-1, 100.5, math.nan, math.inf, True])
def test_a_percentage_that_is_none_is_refused(percent: float) -> None:
    with pytest.raises(OrdealError, match="say a percentage from 0 to 100"):
        FillFileSystem("w1", IMAGEFS, percent).plan(FakeCluster())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ("w9", "there is no node w9"),
        ("cp", "cp is a control plane"),
        ("w2", "w2 is not Ready"),
        ("w1", "no file system of its own; filling it would fill this machine's disk"),
    ],
)
def test_a_node_that_cannot_be_filled_is_refused(node: str, sentence: str) -> None:
    with pytest.raises(OrdealError, match=sentence):
        FillFileSystem(node, IMAGEFS, 90).plan(FakeCluster())  # type: ignore[arg-type]


@needs_root
class TestBallast:
    def plan(self, cluster: FakeCluster, percent: float = 90, path: str = IMAGEFS) -> FillFileSystemPlan:
        return FillFileSystem("w1", path, percent).plan(cluster)  # type: ignore[arg-type]

    def test_fills_to_what_was_asked_and_is_undone(self, cluster: FakeCluster, kubelet: dict[str, object]) -> None:
        fault = FillFileSystem("w1", IMAGEFS, 90)
        assert cluster.own is not None
        before = used_percent(cluster.own)
        saved = through_the_journal(self.plan(cluster))
        fault.apply(cluster, saved)  # type: ignore[arg-type]
        assert fault.landed(cluster, saved)  # type: ignore[arg-type]
        assert used_percent(cluster.own) == pytest.approx(90, abs=1)
        assert not fault.undone(cluster, saved)  # type: ignore[arg-type]
        cluster.images.discard("a")  # the kubelet collects it
        for _ in range(2):
            fault.undo(cluster, saved)  # type: ignore[arg-type]
        assert fault.undone(cluster, saved)  # type: ignore[arg-type]
        assert used_percent(cluster.own) == pytest.approx(before, abs=0.1)
        assert cluster.restored == ["a"]
        assert list(cluster.own.iterdir()) == []

    def test_is_not_landed_when_the_ballast_does_not_take_the_space(
        self, cluster: FakeCluster, kubelet: dict[str, object]
    ) -> None:
        assert cluster.own is not None
        saved = self.plan(cluster)
        with (cluster.own / BALLAST).open("wb") as file:
            file.truncate(saved.size_bytes)  # as long as it should be, and empty
        assert not FillFileSystem("w1", IMAGEFS, 90).landed(cluster, saved)  # type: ignore[arg-type]

    def test_undo_is_right_where_it_was_never_done(self, cluster: FakeCluster, kubelet: dict[str, object]) -> None:
        saved = self.plan(cluster)
        FillFileSystem.undo(cluster, saved)  # type: ignore[arg-type]
        assert FillFileSystem.undone(cluster, saved)  # type: ignore[arg-type]
        assert not cluster.restored

    def test_another_path_is_refused(self, cluster: FakeCluster, kubelet: dict[str, object]) -> None:
        with pytest.raises(OrdealError, match=f"the node's own are {IMAGEFS}"):
            self.plan(cluster, path="/var/log")

    def test_one_that_is_fuller_already_is_refused(self, cluster: FakeCluster, kubelet: dict[str, object]) -> None:
        assert cluster.own is not None
        (cluster.own / "other").write_bytes(b"\1" * 16 * MIB)
        with pytest.raises(OrdealError, match="full before the fault, so it can't be filled to 30 %"):
            self.plan(cluster, 30)

    def test_a_ballast_that_is_larger_than_what_is_free_is_refused(
        self, cluster: FakeCluster, kubelet: dict[str, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("chaos.harm.ballast._space", lambda _: Tight())
        with pytest.raises(OrdealError, match=r"a ballast of 30 MiB is larger than what .* can take, 2 MiB"):
            self.plan(cluster, 100)

    def test_a_crossed_threshold_is_refused(self, cluster: FakeCluster, kubelet: dict[str, object]) -> None:
        kubelet["left"] = 249
        with pytest.raises(OrdealError, match=r"imagefs.available<25% is already crossed on w1 .* 24.9 % is left"):
            self.plan(cluster)
        assert cluster.own is not None
        assert list(cluster.own.iterdir()) == []

    def test_a_ballast_that_is_there_already_is_refused(self, cluster: FakeCluster, kubelet: dict[str, object]) -> None:
        assert cluster.own is not None
        (cluster.own / BALLAST).touch()
        with pytest.raises(OrdealError, match="holds a ballast already"):
            self.plan(cluster)

    def test_a_folder_that_is_mounted_no_more_is_never_filled(
        self, cluster: FakeCluster, kubelet: dict[str, object], tmp_path: Path
    ) -> None:
        saved = replace(self.plan(cluster), folder=str(tmp_path))
        fault = FillFileSystem("w1", IMAGEFS, 90)
        with pytest.raises(OrdealError, match="not mounted any more"):
            fault.apply(cluster, saved)  # type: ignore[arg-type]
        assert not fault.landed(cluster, saved)  # type: ignore[arg-type]
        assert not (tmp_path / BALLAST).exists()


class Tight:
    """A file system of 32 MiB that keeps most of what is free for somebody else."""

    total_bytes, free_bytes, used_bytes, used_percent = 32 * MIB, 2 * MIB, 2 * MIB, 6.25


# --- thresholds


@pytest.mark.parametrize(
    ("given", "left", "expected"),
    [
        ({"imagefs.available": "25%"}, 250, None),
        ({"imagefs.available": "25%"}, 249, Crossed("imagefs.available", "25%", 24.9)),
        ({"nodefs.available": "250"}, 249, Crossed("nodefs.available", "250", 24.9)),
        ({"nodefs.available": "250"}, 250, None),
        ({"nodefs.inodesFree": "95%"}, 999, Crossed("nodefs.inodesFree", "95%", 90.0)),
        ({"containerfs.available": "0%"}, 0, None),
        ({"memory.available": "100Gi", "pid.available": "99%"}, 0, None),
        ({}, 0, None),
    ],
)
def test_what_is_crossed(
    kubelet: dict[str, object], given: dict[str, str], left: int, expected: Crossed | None
) -> None:
    kubelet["left"] = left
    assert crossed(FakeCluster(), "w1", given) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", ["101%", "-1%", "nan%", "much", "", "25 percent", "-5"])
def test_a_threshold_that_is_none_is_refused(kubelet: dict[str, object], threshold: str) -> None:
    with pytest.raises(OrdealError, match="is no percentage from 0% to 100% and no quantity"):
        crossed(FakeCluster(), "w1", {"imagefs.available": threshold})  # type: ignore[arg-type]


def test_thresholds_of_a_configuration() -> None:
    assert hard_thresholds({"evictionHard": {"nodefs.available": "10%"}}) == {"nodefs.available": "10%"}
    assert hard_thresholds({}) == hard_thresholds({"evictionHard": None}) == {}


# --- the kubelet's configuration


@pytest.mark.parametrize(
    ("node", "changes", "sentence"),
    [
        ("w9", {"maxPods": 1}, "there is no node w9"),
        ("cp", {"maxPods": 1}, "cp is a control plane"),
        ("w2", {"maxPods": 1}, "w2 is not Ready"),
        ("w1", {}, "names no key"),
        ("w1", None, "names no key"),
        (
            "w1",
            {"evictionHard": {"imagefs.available": "95%"}},
            "is already crossed on w1 before the fault: 90 % is left",
        ),
        ("w1", {"evictionHard": {"imagefs.available": "950%"}}, "no percentage"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(
    kubelet: dict[str, object], node: str, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(OrdealError, match=sentence):
        SetKubeletConfig(node, changes).plan(FakeCluster())  # type: ignore[arg-type]


def test_merging_is_that_of_rfc_7396() -> None:
    config = {"a": 1, "hard": {"x": "1%", "y": "2%"}, "gone": 3}
    changes = {"a": 2, "hard": {"x": "5%", "z": "6%", "y": None}, "gone": None, "new": {"k": [1]}}
    assert merged(config, changes) == {"a": 2, "hard": {"x": "5%", "z": "6%"}, "new": {"k": [1]}}
    assert config == {"a": 1, "hard": {"x": "1%", "y": "2%"}, "gone": 3}
    assert merged({"a": "text"}, {"a": {"b": 1}}) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("running", "changes", "expected"),
    [
        ({"a": "1m0s", "b": 1}, {"a": "60s"}, True),
        ({"a": "1m0s"}, {"a": "61s"}, False),
        ({"a": "5%"}, {"a": "5%"}, True),
        ({"a": "5%"}, {"a": "6%"}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ({}, {"a": {"b": 1}}, False),
        ({"a": 1}, {"a": None}, True),
        ({"a": "500ms"}, {"a": "0.5s"}, True),
        ({"a": "500us"}, {"a": "0.5ms"}, True),
        ({"a": "0s"}, {"a": "0"}, True),
        ({"a": "24h0m0s"}, {"a": "1d"}, False),
        ({"a": "9" * 60 + "h"}, {"a": "8" * 60 + "h"}, False),
        ({"a": 0}, {"a": "0s"}, False),
    ],
)
def test_what_the_kubelet_shows(running: object, changes: object, expected: bool) -> None:
    assert _shows(running, changes) is expected


# --- priority


@pytest.mark.parametrize("named", ["", "kube-proxy", "/kube-proxy", "kube-system/"])
def test_a_daemon_set_that_is_not_named_fully_is_refused(named: str) -> None:
    with pytest.raises(OrdealError, match="say NAMESPACE/NAME"):
        DropPriority(named).plan(FakeCluster())  # type: ignore[arg-type]
