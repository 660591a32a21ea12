"""etcd stands still as an API server starts, with processes that are fakes at the boundary."""

import signal
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.subjects.slow_start import faults
from chaos.subjects.slow_start.asking import APISERVER, ETCD, HOOK_BEGINS, REPAIR_HOOK, Readiness
from chaos.subjects.slow_start.faults import StallEtcdAtStart, etcd_state, let_go_on
from tests.harm.journalled import through_the_journal


class FakeProcess:
    def __init__(self, pid: int) -> None:
        self.pid, self.now = pid, "running"
        self.lags = 0  # so many times the kernel says that one runs which is about to stop

    def state(self) -> str:
        if self.now == "stopped" and self.lags:
            self.lags -= 1
            return "running"
        return self.now

    def send(self, number: signal.Signals) -> bool:
        if self.now != "gone":
            self.now = {"SIGSTOP": "stopped", "SIGCONT": "running", "SIGKILL": "gone"}[number.name]
        return self.now != "gone"


class FakeCluster:
    """`done`: how many starts are too quick for the hook to be caught."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self, log: Path, done: int = 0) -> None:
        self.log, self.done, self.starts, self.full = log, done, 0, False
        self.asked = 0
        self.silent: str | None = None  # it does not answer, and what the kernel says of it after that
        self.there = {APISERVER: FakeProcess(1), ETCD: FakeProcess(2)}

    def control_process(self, name: str) -> FakeProcess:
        return self.there[name]

    def control_log(self, _: str) -> Path:
        return self.log

    def restart_component(self, name: str) -> None:
        self.starts += 1
        self.there[name] = FakeProcess(10 + self.starts)
        with self.log.open("ab") as file:
            file.write(HOOK_BEGINS + b"\n")

    def etcd_refuse_writes(self, *, on: bool) -> None:
        self.full = on

    def etcd_refuses_writes(self) -> bool:
        self.asked += 1
        if self.silent is not None:
            self.there[ETCD].now = self.silent
            raise OrdealError("etcd does not answer")
        return self.full

    def start_first_control_plane(self) -> None:
        if self.there[APISERVER].now == "gone":
            self.there[APISERVER] = FakeProcess(98)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = FakeCluster(tmp_path / "kube-apiserver.log")

    def says(_: object) -> Readiness:
        caught = made.starts > made.done and (made.full or made.there[ETCD].now != "running")
        return Readiness(not caught, (REPAIR_HOOK,) if caught else (), etcd=not caught)

    monkeypatch.setattr(faults, "readiness", says)
    return made


@pytest.mark.parametrize("full", [False, True])
def test_etcd_is_away_while_the_hook_waits_and_is_there_again_after(cluster: Any, full: bool) -> None:
    harm = StallEtcdAtStart(full=full)
    saved = through_the_journal(harm.plan(cluster))
    assert saved.apiserver == 1
    assert not harm.landed(cluster, saved)
    harm.apply(cluster, saved)
    assert harm.landed(cluster, saved)
    assert etcd_state(cluster) == ("full" if full else "stopped")
    cluster.there[APISERVER].send(signal.SIGKILL)  # it ended itself
    assert not harm.undone(cluster, saved)
    for _ in range(2):
        harm.undo(cluster, saved)
        assert harm.undone(cluster, saved)


def test_a_start_that_was_too_quick_is_made_again(cluster: Any) -> None:
    cluster.done = 2
    harm = StallEtcdAtStart()
    saved = harm.plan(cluster)
    harm.apply(cluster, saved)
    assert (cluster.starts, harm.landed(cluster, saved)) == (3, True)
    cluster.done = 100
    harm.apply(cluster, saved)
    assert not harm.landed(cluster, saved)
    assert cluster.there[ETCD].state() == "running"


@pytest.mark.parametrize("then", ["stopped", "gone"])
def test_of_an_etcd_that_was_stopped_while_it_was_asked_the_kernel_tells(cluster: Any, then: str) -> None:
    cluster.silent = then
    assert etcd_state(cluster) == then


def test_an_etcd_that_runs_and_does_not_say_is_in_no_known_state(cluster: Any) -> None:
    cluster.silent = "running"
    with pytest.raises(OrdealError, match="does not answer"):
        etcd_state(cluster)


def test_one_that_is_to_stand_still_is_not_asked_itself(cluster: Any) -> None:
    saved = StallEtcdAtStart().plan(cluster)
    asked = cluster.asked
    cluster.there[ETCD].lags = 1
    StallEtcdAtStart().apply(cluster, saved)
    assert (cluster.there[ETCD].state(), cluster.asked) == ("stopped", asked)


def test_what_does_not_run_is_not_stalled(cluster: Any) -> None:
    cluster.there[ETCD].send(signal.SIGSTOP)
    with pytest.raises(OrdealError, match="etcd of fake is stopped"):
        StallEtcdAtStart().plan(cluster)
    let_go_on(cluster)
    assert StallEtcdAtStart().plan(cluster).apiserver == 1
