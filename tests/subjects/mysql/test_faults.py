"""One server's clock and volumes of ours: what is refused before any harm, what is written, what undo does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import V1PersistentVolume

from chaos.clusters.abilities import OwnFileSystem
from chaos.clusters.base import ClusterRef, Node
from chaos.clusters.shape import VOLUME
from chaos.errors import OrdealError
from chaos.hosts.command import Output
from chaos.subjects.mysql import faults
from chaos.subjects.mysql.faults import ProvideVolumes, TurnClock

MIB = 1024**2
FOLDER = "/var/lib/kubelet/pods/u1/volumes/kubernetes.io~empty-dir/clock"


class Machine:
    """A worker with a file system for volumes, and the files of a pod's clock volume."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self, *, clock_file: str | None = "+0\n", own: bool = True, free_mib: int = 1000) -> None:
        self.files = {} if clock_file is None else {f"{FOLDER}/offset": clock_file}
        self.folders = {FOLDER}
        self._own, self._free_mib = own, free_mib

    @contextmanager
    def api(self) -> Iterator[None]:
        yield None

    def nodes(self) -> tuple[Node, ...]:
        return (
            Node("cp", control_plane=True, ready="True", address="", zone="", taints=()),
            Node("w1", control_plane=False, ready="True", address="", zone="", taints=()),
        )

    def own_file_systems(self, node: str) -> tuple[OwnFileSystem, ...]:
        return (OwnFileSystem(VOLUME, "/host"),) if self._own else ()

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        if argv[0] == "cat":
            there = argv[1] in self.files
            return Output(0 if there else 1, self.files.get(argv[1], ""), "")
        if argv[0] == "sh":
            self.files[argv[4]] = f"{argv[5]}\n"
        elif argv[0] == "test":
            return Output(0 if argv[2] in self.folders else 1, "", "")
        elif argv[0] == "mkdir":
            self.folders.add(argv[2])
        elif argv[0] == "rm":
            self.folders.discard(argv[2])
        elif argv[0] == "df":
            return Output(0, f"Avail\n{self._free_mib * MIB}\n", "")
        return Output(0, "", "")


def pod(**changes: Any) -> Any:
    values = {"labels": {"kube-ordeal/workload": "mysql"}, "volume": "clock", "phase": "Running", "address": "10.0.0.9"}
    values |= changes
    return SimpleNamespace(
        metadata=SimpleNamespace(uid="u1", labels=values["labels"]),
        spec=SimpleNamespace(node_name="w1", volumes=[SimpleNamespace(name=values["volume"], empty_dir=object())]),
        status=SimpleNamespace(phase=values["phase"], pod_ip=values["address"]),
    )


def planned(monkeypatch: pytest.MonkeyPatch, machine: Machine, there: Any, offset_s: float = -60.0) -> Any:
    monkeypatch.setattr(faults, "_pod", lambda *_: there)
    return TurnClock("ns", "mysql-0", offset_s).plan(machine)  # type: ignore[arg-type]


@pytest.mark.parametrize("offset_s", [-1.0, -3600.0, 60.0])
def test_the_clock_is_turned_and_turned_back(monkeypatch: pytest.MonkeyPatch, offset_s: float) -> None:
    machine = Machine()
    saved = planned(monkeypatch, machine, pod(), offset_s)
    fault = TurnClock("ns", "mysql-0", offset_s)
    assert TurnClock.undone(machine, saved)  # type: ignore[arg-type]
    fault.apply(machine, saved)  # type: ignore[arg-type]
    assert machine.files[f"{FOLDER}/offset"] == f"{offset_s:+g}\n"
    assert not TurnClock.undone(machine, saved)  # type: ignore[arg-type]
    monkeypatch.setattr(faults, "clock_offset_s", lambda *_: offset_s + 0.1)
    assert fault.landed(machine, saved)  # type: ignore[arg-type]
    monkeypatch.setattr(faults, "clock_offset_s", lambda *_: 0.0)
    assert not fault.landed(machine, saved)  # type: ignore[arg-type]
    for _ in range(2):
        TurnClock.undo(machine, saved)  # type: ignore[arg-type]
        assert TurnClock.undone(machine, saved)  # type: ignore[arg-type]
    assert machine.files == {f"{FOLDER}/offset": "+0\n"}


def test_a_pod_that_is_gone_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    saved = planned(monkeypatch, machine, pod())
    machine.files.clear()
    machine.folders.clear()
    TurnClock.undo(machine, saved)  # type: ignore[arg-type]
    assert (machine.files, TurnClock.undone(machine, saved)) == ({}, True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("machine", "there", "offset_s", "sentence"),
    [
        (Machine(), pod(), 0.0, "can't be turned by 0.0 s"),
        (Machine(), pod(), 1e12, "of at most"),
        (Machine(), None, -1.0, "there is no pod ns/mysql-0"),
        (Machine(), pod(labels={"app": "shop"}), -1.0, "is no database of ours"),
        (Machine(), pod(volume="data"), -1.0, "is no database of ours"),
        (Machine(), pod(phase="Pending", address=None), -1.0, r"does not run \(Pending\)"),
        (Machine(clock_file=None), pod(), -1.0, "deploy it with own_clock"),
        (Machine(clock_file="-60\n"), pod(), -1.0, "is turned by -60 s already"),
    ],
)
def test_what_is_refused_for_a_clock(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, there: Any, offset_s: float, sentence: str
) -> None:
    before = dict(machine.files)
    with pytest.raises(OrdealError, match=sentence):
        planned(monkeypatch, machine, there, offset_s)
    assert machine.files == before


def test_volumes_are_made_and_taken_away_with_their_data(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, claimed = Machine(), ["v"]
    monkeypatch.setattr(faults, "_found", lambda *_: False)
    fault = ProvideVolumes(("w1",), 900 * MIB)
    saved = fault.plan(machine)  # type: ignore[arg-type]
    folder = f"{VOLUME}/kube-ordeal-local"
    assert saved.folder == folder
    machine.folders.add(folder)
    monkeypatch.setattr(faults, "_ignoring_missing", lambda _: None)
    monkeypatch.setattr(faults, "_let_go", lambda *_: None)
    monkeypatch.setattr(faults, "_volumes", lambda *_: claimed)
    ProvideVolumes.undo(machine, saved)  # type: ignore[arg-type]
    assert folder in machine.folders  # a claim holds the volume: its data is in use
    assert not ProvideVolumes.undone(machine, saved)  # type: ignore[arg-type]
    claimed.clear()
    ProvideVolumes.undo(machine, saved)  # type: ignore[arg-type]
    assert ProvideVolumes.undone(machine, saved)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("machine", "nodes", "there", "sentence"),
    [
        (Machine(), (), False, "no node was named"),
        (Machine(), ("w1",), True, "has a StorageClass kube-ordeal-local already"),
        (Machine(), ("cp",), False, "is a control plane"),
        (Machine(), ("w9",), False, "there is no node w9"),
        (Machine(own=False), ("w1",), False, "has no file system of its own"),
        (Machine(free_mib=100), ("w1",), False, "has 100 MiB free, and the volume is to have 900 MiB"),
    ],
)
def test_what_is_refused_for_volumes(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, nodes: tuple[str, ...], there: bool, sentence: str
) -> None:
    monkeypatch.setattr(faults, "_found", lambda *_: there)
    with pytest.raises(OrdealError, match=sentence):
        ProvideVolumes(nodes, 900 * MIB).plan(machine)  # type: ignore[arg-type]


def test_the_api_takes_a_volume_as_it_is_written() -> None:
    """The client looks at types before it sends anything: a size is a text."""
    saved = faults.ProvideVolumesPlan(("w1",), "it", "/var/it", 1024)
    V1PersistentVolume.model_validate(faults._volume(saved, "w1"))
