"""A component stands still: its plan, its signals, and what undo does of one that is gone."""

import signal
from dataclasses import dataclass, field

import pytest

from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.subjects.soak.faults import PauseComponent, PauseComponentPlan

SCHEDULER = "kube-scheduler"
PLAN = PauseComponentPlan(SCHEDULER, 7, 70)
STATES = {signal.SIGSTOP: "stopped", signal.SIGCONT: "running"}


@dataclass
class FakeProcess:
    pid: int = 7
    started: int = 70
    now: str = "running"

    def state(self) -> str:
        return self.now

    def send(self, number: signal.Signals) -> bool:
        if self.now == "gone":
            return False
        self.now = STATES[number]
        return True


@dataclass
class FakeCluster:
    process: FakeProcess | None = field(default_factory=FakeProcess)
    ref: ClusterRef = field(default_factory=lambda: ClusterRef("simulated", "fake", ""))

    def control_process(self, name: str) -> FakeProcess | None:
        assert name == SCHEDULER
        return self.process

    def restart_component(self, name: str) -> None:
        assert name == SCHEDULER
        self.process = FakeProcess(8, 80)


def test_it_stops_and_goes_on() -> None:
    cluster, fault = FakeCluster(), PauseComponent(SCHEDULER)
    assert fault.plan(cluster) == PLAN  # type: ignore[arg-type]
    assert not fault.landed(cluster, PLAN)  # type: ignore[arg-type]
    fault.apply(cluster, PLAN)  # type: ignore[arg-type]
    assert fault.landed(cluster, PLAN)  # type: ignore[arg-type]
    assert fault.lasts(cluster, PLAN)  # type: ignore[arg-type]
    assert not fault.undone(cluster, PLAN)  # type: ignore[arg-type]
    for _ in range(2):
        fault.undo(cluster, PLAN)  # type: ignore[arg-type]
        assert fault.undone(cluster, PLAN)  # type: ignore[arg-type]


def test_another_process_is_not_the_one_that_stands_still() -> None:
    other = FakeCluster(FakeProcess(8, 80, "stopped"))
    assert not PauseComponent.lasts(other, PLAN)  # type: ignore[arg-type]


def test_one_that_ended_itself_is_started_again() -> None:
    cluster = FakeCluster(FakeProcess(now="gone"))
    with pytest.raises(OrdealError, match="is gone"):
        PauseComponent(SCHEDULER).apply(cluster, PLAN)  # type: ignore[arg-type]
    PauseComponent.undo(cluster, PLAN)  # type: ignore[arg-type]
    assert PauseComponent.undone(cluster, PLAN)  # type: ignore[arg-type]


@pytest.mark.parametrize("process", [None, FakeProcess(now="gone"), FakeProcess(now="stopped")])
def test_one_that_does_not_run_is_not_stopped(process: FakeProcess | None) -> None:
    with pytest.raises(OrdealError, match="does not run"):
        PauseComponent(SCHEDULER).plan(FakeCluster(process))  # type: ignore[arg-type]
