"""How replays are handed out to processes, on a scheduler whose processes are only asked what they were given."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.clusters.base import KIND
from chaos.judge.catalogue import incidents
from chaos.run.durations import Durations, replay_key
from chaos.run.incident import DENSE, PLAIN, STATEFUL, Load, Replay
from chaos.run.suites import replays, suites
from chaos.session.side_by_side import ByCluster, Group, group


def replay(load: Load = Load.WAITS, shape: str = PLAIN) -> Replay:
    return Replay(incidents()[0], (KIND,), (), (), "", shape, load)


KNOWN = {
    "node/test_a.py::test_waits": replay(),
    "node/test_a.py::test_works": replay(Load.WORKS),
    "node/test_a.py::test_alone": replay(Load.ALONE),
    "node/test_b.py::test_dense": replay(shape=DENSE),
    "node/test_c.py::test_plain": replay(),
    "data/test_d.py::test_stateful": replay(shape=STATEFUL),
    "preflight/test_p.py::test_alone": replay(Load.ALONE),
    "preflight/test_q.py::test_waits": replay(),
}


def test_a_group_is_a_file_on_a_cluster_or_all_of_preflight() -> None:
    waits = "suites/node/test_a.py::test_waits[kind-control:a-b]"
    assert group(waits, KNOWN) == Group("suites/node/test_a.py", "kind", PLAIN, Load.WAITS, preflight=False)
    assert group(waits, KNOWN) == group(waits.replace("test_waits", "test_works"), KNOWN)
    assert group(waits, KNOWN) != group(waits.replace("kind", "simulated"), KNOWN)
    assert group(waits.replace("test_waits", "test_alone"), KNOWN).late
    first, second = (f"suites/preflight/test_{each}.py::test_waits[kind-hardened]" for each in "qr")
    assert group(first, KNOWN) == group(second, KNOWN)
    assert not group("suites/preflight/test_p.py::test_alone[kind-hardened]", KNOWN).late
    assert str(group("tests/test_x.py::test_plain", KNOWN)) == "tests/test_x.py-waits"


def test_every_suite_is_known_by_its_node_id() -> None:
    known = replays()
    for suite in suites():
        found = group(f"suites/{suite.test}[{suite.replay.on[0]}-hardened]", known)
        assert (found.shape, found.load is Load.ALONE) == (suite.replay.shape, suite.replay.load is Load.ALONE)


@dataclass(eq=False)
class Process:
    """Stands in for a process of pytest-xdist: it keeps what it is given, and runs it when the test says so."""

    given: list[int] = field(default_factory=list)
    shutting_down: bool = False
    gateway: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(id="gw"))

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


class Schedule:
    """A schedule of tests over processes; `finish` lets a process run one more of what it was given."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tests: list[str],
        processes: int = 2,
        took: dict[str, tuple[float, ...]] | None = None,
    ) -> None:
        monkeypatch.setattr("chaos.session.side_by_side.replays", lambda: KNOWN)
        monkeypatch.setattr("chaos.run.durations.load", lambda: Durations(took or {}))
        config: Any = SimpleNamespace(
            option=SimpleNamespace(loadscopereorder=False),
            pluginmanager=pytest.PytestPluginManager(),
            getvalue=lambda _: [f"{processes}*popen"],
        )
        self.ids = [f"suites/{test}" + ("" if "[" in test else "[kind-hardened]") for test in tests]
        self.scheduler = ByCluster(config, None)
        self.processes = [Process() for _ in range(processes)]
        self.done = {id(each): 0 for each in self.processes}
        for each in self.processes:
            self.scheduler.add_node(each)
            self.scheduler.add_node_collection(each, self.ids)
        self.scheduler.schedule()

    def given(self, number: int) -> list[str]:
        return [self.ids[index].partition("::")[2].partition("[")[0] for index in self.processes[number].given]

    def finish(self, number: int) -> None:
        each = self.processes[number]
        self.scheduler.mark_test_complete(each, each.given[self.done[id(each)]])
        self.done[id(each)] += 1


def test_each_process_gets_a_shape_of_its_own_and_stays_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = [
        "node/test_a.py::test_waits",
        "node/test_c.py::test_plain",
        "node/test_b.py::test_dense",
        "data/test_d.py::test_stateful",
    ]
    schedule = Schedule(monkeypatch, tests)
    assert schedule.given(0) == ["test_waits", "test_plain"]
    assert schedule.given(1)[0] in {"test_dense", "test_stateful"}


def test_after_the_first_what_takes_longest_on_one_cluster_is_begun_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = ["node/test_a.py::test_waits", "node/test_b.py::test_dense", "data/test_d.py::test_stateful"]
    for slow, other in (tests[1:], tests[:0:-1]):
        took: dict[str, tuple[float, ...]] = {
            replay_key(f"{slow}[kind-hardened]", "smoke", "1.34.4"): (500.0,),
            replay_key(f"{other}[kind-hardened]", "smoke", "1.34.4"): (5.0,),
        }
        schedule = Schedule(monkeypatch, tests, took=took)
        assert schedule.given(0)[0] == "test_waits"
        assert schedule.given(1)[0] == slow.partition("::")[2]


def test_what_is_skipped_because_it_is_for_another_cluster_is_handed_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = ["node/test_a.py::test_waits", "node/test_c.py::test_plain[kind]", "node/test_b.py::test_dense[kind]"]
    schedule = Schedule(monkeypatch, tests)
    assert sorted(schedule.given(0) + schedule.given(1)) == ["test_dense", "test_plain", "test_waits"]


def test_what_wants_the_machine_alone_comes_last_and_goes_to_the_process_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tests = ["node/test_a.py::test_alone", "node/test_a.py::test_waits", "node/test_b.py::test_dense"]
    schedule = Schedule(monkeypatch, tests)
    last, first = (0, 1) if "test_alone" in schedule.given(0) else (1, 0)
    assert schedule.given(last)[1:] == ["test_alone"]
    assert {schedule.given(last)[0], *schedule.given(first)} == {"test_waits", "test_dense"}
    assert schedule.processes[first].shutting_down


def test_preflight_comes_first_also_where_it_wants_the_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = ["preflight/test_p.py::test_alone", "node/test_a.py::test_waits", "node/test_b.py::test_dense"]
    schedule = Schedule(monkeypatch, tests)
    assert schedule.given(0)[0] == "test_alone"
    assert schedule.given(1)[0] == "test_dense"


def test_all_is_handed_out_once_whoever_is_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = sorted(KNOWN)
    for quick in (0, 1):
        schedule = Schedule(monkeypatch, tests)
        for number in (quick, 1 - quick):
            while schedule.done[id(schedule.processes[number])] < len(schedule.processes[number].given):
                schedule.finish(number)
        while any(schedule.done[id(p)] < len(p.given) for p in schedule.processes):
            for number, process in enumerate(schedule.processes):
                if schedule.done[id(process)] < len(process.given):
                    schedule.finish(number)
        handed = sorted(schedule.ids[index] for p in schedule.processes for index in p.given)
        assert handed == sorted(schedule.ids)
        assert all(p.shutting_down for p in schedule.processes)


def test_what_a_process_died_at_is_not_tried_again_and_the_rest_goes_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it was seen: the second try was held, and stood in the results where the first one had no verdict."""
    variants = [f"node/test_a.py::test_waits[kind-{each}]" for each in ("hardened", "control:a", "control:b")]
    schedule = Schedule(monkeypatch, [*variants, "data/test_d.py::test_stateful"])
    assert schedule.given(0) == ["test_waits"] * 3
    schedule.finish(0)
    scheduler = schedule.scheduler
    assert scheduler.remove_node(schedule.processes[0]) == f"suites/{variants[1]}"
    instead = Process()
    scheduler.add_node(instead)
    scheduler.add_node_collection(instead, schedule.ids)
    scheduler.schedule()
    assert [schedule.ids[index] for index in instead.given] == [f"suites/{variants[2]}"]
    assert instead.shutting_down  # or it would wait for what comes next before it runs that one
    with pytest.raises(KeyError):
        scheduler.remove_node(schedule.processes[0])
    schedule.processes[1].given.clear()
    assert scheduler.remove_node(schedule.processes[1]) == "suites/data/test_d.py::test_stateful[kind-hardened]"
    assert not scheduler.workqueue


def test_a_second_one_may_die_before_the_first_ones_successor_has_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    variants = [f"test_waits[kind-{each}]" for each in ("hardened", "control:a", "control:b")]
    tests = [*(f"node/test_a.py::{each}" for each in variants), *(f"node/test_a2.py::{each}" for each in variants)]
    monkeypatch.setitem(KNOWN, "node/test_a2.py::test_waits", replay(shape=DENSE))
    schedule = Schedule(monkeypatch, tests)
    scheduler, late = schedule.scheduler, [Process(), Process()]
    died = []
    for gone, comes in zip(schedule.processes, late, strict=True):
        was_at = scheduler.remove_node(gone)
        assert was_at is not None
        died.append(was_at)
        scheduler.add_node(comes)
    for each in late:
        scheduler.add_node_collection(each, schedule.ids)
        scheduler.schedule()
    given = [schedule.ids[index] for each in late for index in each.given]
    assert sorted([*died, *given]) == sorted(schedule.ids)
    assert all(each.shutting_down for each in late)


def test_what_a_process_had_done_before_it_died_is_not_handed_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever got it had nothing to do, and waited for ever; so did the run."""
    tests = ["node/test_a.py::test_waits", "node/test_c.py::test_plain", "data/test_d.py::test_stateful"]
    schedule = Schedule(monkeypatch, tests, processes=1)
    schedule.finish(0)
    scheduler = schedule.scheduler
    assert scheduler.remove_node(schedule.processes[0]) == "suites/node/test_c.py::test_plain[kind-hardened]"
    instead = Process()
    scheduler.add_node(instead)
    scheduler.add_node_collection(instead, schedule.ids)
    scheduler.schedule()
    assert [schedule.ids[index] for index in instead.given] == ["suites/data/test_d.py::test_stateful[kind-hardened]"]
