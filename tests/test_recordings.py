"""Recordings of real replays on which the project was once wrong (tests/recordings/README.md)."""

from pathlib import Path

from chaos.clusters.shape import Timers
from chaos.judge.base import Finding, Invariant, Verdict, judge
from chaos.judge.data import disk_use_bounded
from chaos.judge.pods import nothing_terminated
from chaos.record.history import History
from chaos.run.profile import PROFILES

HERE = Path(__file__).parent / "recordings"
TIMERS: Timers = PROFILES["smoke"].simulated_timers
MEMBERS = ("mysql-0", "mysql-1", "mysql-2")


def judged(name: str, invariant: Invariant) -> Finding:
    return judge(invariant, History.load(HERE / name))


def test_a_hold_that_ended_before_the_chance_was_there_is_unknown() -> None:
    promise = nothing_terminated("web", fault="stop-heartbeats", tolerated_s=TIMERS.toleration_s)
    finding = judged("taint-waits-for-its-turn.jsonl", promise)
    assert finding.verdict is Verdict.UNKNOWN
    assert "the longest was 1.7 s on worker-1" in finding.sentence


def test_harm_that_somebody_took_back_is_unknown_also_where_nobody_looked() -> None:
    """No record of it says so: no node was ever NotReady."""
    promise = nothing_terminated("web", fault="stop-heartbeats", tolerated_s=TIMERS.toleration_s)
    finding = judged("lapsed-heartbeats.jsonl", promise)
    assert finding.verdict is Verdict.UNKNOWN
    assert "none was at all" in finding.sentence


def test_a_disk_that_is_on_its_way_to_a_plateau_is_not_growing() -> None:
    finding = judged("disk-use-settles.jsonl", disk_use_bounded(MEMBERS, limit_bytes=800 << 20))
    assert finding.verdict is Verdict.HELD


def test_the_same_disk_is_above_a_lower_limit() -> None:
    finding = judged("disk-use-settles.jsonl", disk_use_bounded(MEMBERS, limit_bytes=400 << 20))
    assert (finding.verdict, finding.reason) == (Verdict.VIOLATED, "over-limit")
