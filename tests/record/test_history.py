"""The history: what is added can be read again, in memory, from disk, and after a kill."""

import threading
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.record.history import History, Window
from chaos.record.records import (
    Blind,
    ClusterEvent,
    FaultStep,
    NodeChange,
    Observation,
    Phase,
    PodChange,
    Probe,
    Sample,
    SpecRun,
    Stored,
    Writes,
)
from chaos.record.registry import Record

ONE_OF_EACH: list[Record] = [
    NodeChange(0.1, "n", "listed", "True", taints=("k:NoExecute",), zone="a", address="10.0.0.1", resource_version="1"),
    PodChange(0.2, "ns", "p", "uid", "added", containers=("c1", "c2"), deleting=True, resource_version="2"),
    ClusterEvent(0.3, "Pod/ns/p", "Killing", "line\nbreak and ünïcode"),
    Probe(0.4, "n", "web", ok=False, took_s=0.8, error="no answer"),
    Sample(0.5, "pod-start-s", "n", 1.5),
    Observation(0.6, "recovery", "pods", "recovered"),
    FaultStep(0.7, "power-off", "landed"),
    Phase(0.8, "hold"),
    Blind(0.9, "watch:pods", 1.9, "frozen", complete=True),
    Writes(1.0, "mysql", "c1", 1, 40, ok=True, took_s=0.2),
    Stored(1.1, "mysql", "mysql-0", "c1", 40, ("17-19", "23")),
    SpecRun(1.2, "before", "[sig-network] DNS should answer", "failed", 4.5, "network", "timed out", tries=2),
]


def test_every_kind_of_record_comes_back_from_disk(tmp_path: Path) -> None:
    history = History(tmp_path / "deep" / "history.jsonl")
    for record in ONE_OF_EACH:
        history.add(record)
    history.close()
    assert list(History.load(tmp_path / "deep" / "history.jsonl")) == ONE_OF_EACH


def test_a_record_is_on_disk_when_add_returns(tmp_path: Path) -> None:
    history = History(tmp_path / "h.jsonl")
    history.add(Phase(1.0, "hold"))
    assert list(History.load(tmp_path / "h.jsonl")) == [Phase(1.0, "hold")]
    history.close()


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_last_line_cut_by_a_kill_is_left_out(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "h.jsonl"
    history = History(path)
    for record in ONE_OF_EACH:
        history.add(record)
    history.close()
    path.write_bytes(path.read_bytes()[: -1 - cut])
    assert list(History.load(path)) == ONE_OF_EACH[:-1]


def test_a_bad_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    history = History(path)
    history.add(Phase(1.0, "hold"))
    history.close()
    path.write_bytes(b'{"at": 1\n' + path.read_bytes())
    with pytest.raises(OrdealError, match="line 1 is not a history record"):
        History.load(path)


def test_many_threads_lose_nothing_and_tear_no_line(tmp_path: Path) -> None:
    history = History(tmp_path / "h.jsonl")

    def write(name: str) -> None:
        for number in range(300):
            history.add(Sample(history.now(), name, "x" * (number % 50), float(number)))

    threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history.close()
    loaded = History.load(tmp_path / "h.jsonl")
    assert len(loaded) == len(history) == 1800
    for n in range(6):
        assert sorted(s.value for s in loaded.of(Sample) if s.name == f"t{n}") == [float(v) for v in range(300)]


def test_of_gives_one_kind_in_time_order_within_a_window() -> None:
    history = History.of_records([Phase(3.0, "c"), Phase(1.0, "a"), Sample(1.5, "s", "x", 1), Phase(2.0, "b")])
    assert [p.name for p in history.of(Phase)] == ["a", "b", "c"]
    assert [p.name for p in history.of(Phase, Window(1.0, 2.0))] == ["a", "b"]
    assert [type(r).__name__ for r in history] == ["Phase", "Sample", "Phase", "Phase"]


def test_fault_window_runs_from_landed_to_undone() -> None:
    planned = [FaultStep(1.0, "cut", "planned"), FaultStep(2.0, "cut", "applied")]
    assert History.of_records(planned).fault_window() is None
    landed = [*planned, FaultStep(3.0, "cut", "landed")]
    assert History.of_records(landed).fault_window() == Window(3.0, float("inf"))
    both = [*landed, FaultStep(4.0, "off", "landed"), FaultStep(5.0, "off", "undone"), FaultStep(9.0, "cut", "undone")]
    assert History.of_records(both).fault_window() == Window(3.0, 9.0)
    assert History.of_records(both).fault_window("off") == Window(4.0, 5.0)
    assert History.of_records(both).fault_window("other") is None


def test_a_full_disk_is_told_and_ends_no_recording() -> None:
    history = History(Path("/dev/full"))
    history.add(Phase(0.0, "hold"))
    history.add(Phase(1.0, "heal"))
    history.close()
    assert history.unwritten == "No space left on device"
    assert [p.name for p in history.of(Phase)] == ["hold", "heal"]


def test_figures_judged_again_are_the_same_to_the_last_digit(tmp_path: Path) -> None:
    history = History(tmp_path / "h.jsonl", began=0.0, began_wall=1.7e9)
    records = [Sample(1 / 3, "slab", "n", 20242432), Sample(2 / 3, "slab", "n", 20242432.5)]
    for record in records:
        history.add(record)
    history.close()
    loaded = History.load(tmp_path / "h.jsonl")
    assert loaded.of(Sample) == records
    assert [str(s.value) for s in loaded.of(Sample)] == ["20242432", "20242432.5"]
    assert loaded.began_wall == pytest.approx(1.7e9)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"at":2.0', b'"at":1.0', "its clocks differ"),
        (b'"name":"hold"', b'"name":5', "Expected `str`, got `int`"),
        (b'"step":"landed"', b'"stop":"landed"', "missing required field `step`"),
    ],
)
def test_an_edited_line_is_an_error_that_says_what_is_wrong(tmp_path: Path, old: bytes, new: bytes, says: str) -> None:
    history = History(tmp_path / "h.jsonl", began_wall=1.7e9)
    history.add(FaultStep(1.0, "cut", "landed"))
    history.add(Phase(2.0, "hold"))
    history.close()
    content = (tmp_path / "h.jsonl").read_bytes()
    assert old in content
    (tmp_path / "h.jsonl").write_bytes(content.replace(old, new))
    with pytest.raises(OrdealError, match=says):
        History.load(tmp_path / "h.jsonl")


def test_a_clock_that_goes_back_is_an_error(tmp_path: Path) -> None:
    history = History(tmp_path / "h.jsonl")
    history.add(FaultStep(5.0, "cut", "landed"))
    history.add(FaultStep(3.0, "cut", "undone"))
    history.close()
    with pytest.raises(OrdealError, match=r"line 2 .*the clock went back from 5.000 s to 3.000 s"):
        History.load(tmp_path / "h.jsonl")
