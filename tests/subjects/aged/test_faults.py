"""Planting old objects, and starting anew on them, with a control plane that is a fake at the boundary."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import pytest

from chaos.basics.waiting import WaitedInVainError
from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.subjects.aged import faults
from chaos.subjects.aged.faults import PlantAged, StartAnew
from chaos.subjects.aged.stored import service_key
from tests.harm.journalled import through_the_journal

KCM, API = "kube-controller-manager", "kube-apiserver"
KEY, LABEL = service_key("ns", "old"), "role"


@dataclass(frozen=True)
class FakeProcess:
    pid: int
    started: int
    runs: bool

    def state(self) -> str:
        return "running" if self.runs else "gone"


class FakeControlPlane:
    """etcd's keys, and the processes of two components. What is `broken` ends as soon as it is started."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {KEY: b"as now"}
        self.processes = {each: FakeProcess(1, 100, runs=True) for each in (API, KCM)}
        self.labels = {"n": ""}
        self.broken = ""

    def api(self) -> Any:
        return nullcontext()

    def components(self) -> tuple[str, ...]:
        return (API, KCM)

    def control_process(self, component: str) -> FakeProcess | None:
        return self.processes.get(component)

    def etcd_get(self, key: str) -> bytes:
        return self.keys.get(key, b"")

    def etcd_put(self, key: str, value: bytes) -> int:
        self.keys[key] = value
        return 1

    def controller_manager_running(self) -> bool:
        return self.processes[KCM].runs

    def stop_controller_manager(self) -> None:
        self.end(KCM)

    def start_controller_manager(self) -> None:
        self.start(KCM)

    def stop_first_control_plane(self) -> None:
        for each in self.components():
            self.end(each)

    def start_first_control_plane(self) -> None:
        for each in self.components():
            self.start(each)
            if each == API and not self.processes[API].runs:
                raise WaitedInVainError("it does not answer")

    def end(self, component: str) -> None:
        self.processes[component] = replace(self.processes[component], runs=False)

    def start(self, component: str) -> None:
        was = self.processes[component]
        if not was.runs:
            self.processes[component] = FakeProcess(was.pid + 1, was.started + 100, runs=component != self.broken)


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = FakeControlPlane()
    monkeypatch.setattr(faults, "aged_service", lambda *_: b"as before")
    monkeypatch.setattr(faults, "aged_revisions", lambda *_: {})
    monkeypatch.setattr(faults, "server_version", lambda _: "1.34.4")
    monkeypatch.setattr(faults, "_labelled", lambda cluster, _: dict(cluster.labels))
    monkeypatch.setattr(faults, "_label", label)
    return made


def label(cluster: FakeControlPlane, _: str, values: dict[str, str | None]) -> None:
    kept = {**cluster.labels, **values}
    cluster.labels = {node: value for node, value in kept.items() if value is not None}


PLANT = PlantAged("ns", ("old",))


def test_it_is_planted_while_the_controller_manager_is_away_and_taken_back(plane: Any) -> None:
    saved = through_the_journal(PLANT.plan(plane))
    assert not PLANT.landed(plane, saved)
    PLANT.apply(plane, saved)
    assert PLANT.landed(plane, saved)
    assert (plane.keys[KEY], plane.controller_manager_running()) == (b"as before", False)
    for _ in range(2):
        PLANT.undo(plane, saved)
        assert PLANT.undone(plane, saved)
    assert (plane.keys[KEY], plane.controller_manager_running()) == (b"as now", True)


def test_what_was_only_planned_is_undone(plane: Any) -> None:
    saved = through_the_journal(PLANT.plan(plane))
    PLANT.undo(plane, saved)
    assert PLANT.undone(plane, saved)
    assert plane.keys[KEY] == b"as now"


@pytest.mark.parametrize("since", [b"theirs", None])
def test_what_was_written_or_deleted_since_is_left(plane: Any, since: bytes | None) -> None:
    saved = through_the_journal(PLANT.plan(plane))
    PLANT.apply(plane, saved)
    plane.keys = {} if since is None else {KEY: since}
    PLANT.undo(plane, saved)
    assert PLANT.undone(plane, saved)
    assert plane.keys.get(KEY) == since


def test_nothing_is_planted_where_there_is_nothing_or_nobody_acts_on_it(plane: Any) -> None:
    with pytest.raises(OrdealError, match="has none of what is to be planted"):
        PlantAged("ns").plan(plane)
    plane.end(KCM)
    with pytest.raises(OrdealError, match="does not run"):
        PLANT.plan(plane)


def test_each_component_is_another_process_and_runs_on(plane: Any) -> None:
    harm = StartAnew()
    plane.end(KCM)
    saved = through_the_journal(harm.plan(plane))
    assert not harm.landed(plane, saved)
    harm.apply(plane, saved)
    assert harm.landed(plane, saved)
    plane.end(KCM)
    assert not harm.undone(plane, saved)
    harm.undo(plane, saved)
    assert harm.undone(plane, saved)


def test_the_label_is_taken_and_given_back(plane: Any) -> None:
    harm = StartAnew(LABEL)
    saved = through_the_journal(harm.plan(plane))
    harm.apply(plane, saved)
    assert harm.landed(plane, saved)
    assert plane.labels == {}
    assert not harm.undone(plane, saved)
    harm.undo(plane, saved)
    assert harm.undone(plane, saved)
    assert plane.labels == {"n": ""}


def test_a_server_that_ends_at_once_has_been_started(plane: Any) -> None:
    """So whoever looks at its process can say so."""
    harm = StartAnew(LABEL)
    saved = through_the_journal(harm.plan(plane))
    plane.broken = API
    harm.apply(plane, saved)
    assert harm.landed(plane, saved)
    assert not harm.undone(plane, saved)


def test_what_does_not_run_or_is_not_there_is_refused(plane: Any) -> None:
    plane.labels = {}
    with pytest.raises(OrdealError, match="no node of fake has the label"):
        StartAnew(LABEL).plan(plane)
    plane.end(API)
    with pytest.raises(OrdealError, match="does not run"):
        StartAnew().plan(plane)
