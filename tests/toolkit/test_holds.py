"""Holds of experiments: until a control has shown what it is there for, or the chance for it was there."""

from typing import Any

import pytest

from chaos.clusters.base import EXISTING
from chaos.errors import OrdealError
from chaos.judge.catalogue import Control, Incident
from chaos.judge.data import DISK_USE
from chaos.record.history import History, Sample, Writes
from chaos.run.lab import Lab
from chaos.run.profile import PROFILES
from chaos.toolkit import actions, probes
from chaos.toolkit.session import SESSION, Settings
from tests.invariants.histories import pod, saw_the_end
from tests.toolkit.fakes import FakeCluster

BAD = Control("bad", "", breaks="nothing-terminated", because="deleted")
INCIDENT = Incident("made-up", "", "", "", "", "", "", controls=(BAD,))


class _Opened:
    """What the session has open: a lab that records in memory."""

    def __init__(self, lab: Lab, history: History, settings: Settings) -> None:
        self.lab, self.history, self.settings = lab, history, settings
        self.nodes: tuple[Any, ...] = ()
        self.deployed: list[Any] = []
        self.recording = object()


@pytest.fixture
def opened(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> _Opened:
    control = getattr(request, "param", None)
    lab = Lab(
        INCIDENT,
        control,
        EXISTING,
        PROFILES["smoke"],
        needs=(),
        pool=None,  # type: ignore[arg-type]
        journal=None,  # type: ignore[arg-type]
        run="run",
        directory=tmp_path,
        report=lambda _: None,
    )
    lab._history, lab._cluster = History(), FakeCluster()  # type: ignore[assignment]
    found = _Opened(lab, lab._history, Settings(eviction_deadline_s="20"))
    monkeypatch.setattr(SESSION, "_run", found)
    monkeypatch.setattr(SESSION, "problem", "")
    return found


@pytest.mark.parametrize("opened", ["bad"], indirect=True)
def test_a_control_holds_until_it_has_shown_it(opened: _Opened) -> None:
    opened.history.add(pod(0.0, "a"))
    opened.history.add(pod(0.1, "a", "modified", deleting=True))
    assert actions.hold_until_shown("nothing_terminated", {"workload": "web"}, {"hardened": None, "bad": 5})
    assert actions.hold_until_evicted("web", "w1")


def test_hardened_the_step_is_left_out(opened: _Opened) -> None:
    assert not actions.hold_until_shown("nothing_terminated", {"workload": "web"}, {"hardened": None, "bad": 5})
    actions.hold({"hardened": None, "bad": 3600})
    assert actions.hold_past_eviction_deadline({"hardened": None, "bad": 5}) == 0.0
    assert not actions.hold_until_disks_settle(1 << 30, {"hardened": None, "bad": 5})


@pytest.mark.parametrize("opened", ["bad"], indirect=True)
def test_a_promise_that_nobody_knows_is_refused(opened: _Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OrdealError, match="knows no promise 'no_such'"):
        actions.hold_until_shown("no_such", {}, 5)
    monkeypatch.setattr(SESSION, "problem", "")
    with pytest.raises(OrdealError, match="do not fit this version"):
        actions.hold_until_shown("nothing_terminated", {"no_such": 1}, 5)


def test_by_the_configurations_deadline_a_taint_of_any_length_was_a_chance(opened: _Opened) -> None:
    for record in [pod(0.0, "a"), *saw_the_end()]:
        opened.history.add(record)
    assert probes.nothing_terminated("web")["verdict"] == "held"
    told = probes.nothing_terminated("web", tainted=True)
    assert told["verdict"] == "unknown"
    assert "0 s that are tolerated" in str(told["sentence"])


def test_disks_are_judged_while_they_are_written_to(opened: _Opened) -> None:
    with pytest.raises(OrdealError, match="no write to mysql was recorded"):
        probes.disk_use_bounded(1 << 30, "m0")
    SESSION.problem = ""
    opened.history.add(Writes(0.0, "mysql", "c1", 1, 9, ok=True, took_s=20.0))
    for n in range(40):
        opened.history.add(Sample(float(n), DISK_USE, "m0", (100 + 10 * min(n, 20)) << 20))
    assert probes.disk_use_bounded(1 << 30, "m0")["verdict"] == "violated"
