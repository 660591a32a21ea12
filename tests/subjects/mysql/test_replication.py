"""Replicas that follow, servers of a sound version, a clock that was turned: held, violated, and not known."""

import pytest

from chaos.judge.base import Finding, Invariant, Verdict, judge
from chaos.record.records import Blind, Sample
from chaos.record.registry import Record
from chaos.subjects.mysql.promises import (
    clock_was_turned,
    replication_runs,
    server_version_not_affected,
)
from chaos.subjects.mysql.records import OFFSET, RUNNING, NotFollowing, ServerVersion, version_in
from tests.judge.histories import history

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN


def looks(member: str, running: str, every_s: float = 1.0) -> list[Record]:
    """One look a character: + follows, - does not, a blank for none."""
    return [Sample(n * every_s, RUNNING, member, float(mark == "+")) for n, mark in enumerate(running) if mark != " "]


def offsets(*values_s: float) -> list[Record]:
    return [Sample(float(n), OFFSET, "m0", value) for n, value in enumerate(values_s)]


def judged(invariant: Invariant, *records: Record | list[Record]) -> Finding:
    return judge(invariant, history(*records))


def test_followed_at_every_look_is_held() -> None:
    finding = judged(replication_runs(["m1", "m2"]), looks("m1", "+++++"), looks("m2", "+++++"))
    assert (finding.verdict, finding.figures["looks"]) == (HELD, 10)


def test_a_replica_that_stopped_is_violated_and_says_why() -> None:
    why = NotFollowing(2.0, "m1", "IO Yes, SQL No: Error 'Duplicate entry'")
    finding = judged(replication_runs(["m1", "m2"]), looks("m1", "++-++"), why, looks("m2", "+++++"))
    assert (finding.verdict, finding.reason) == (VIOLATED, "stopped")
    assert "m1 did not follow at 2.0 s: IO Yes, SQL No: Error 'Duplicate entry'" in finding.sentence


def test_a_replica_that_was_not_looked_at_is_unknown() -> None:
    assert judged(replication_runs(["m1", "m2"]), looks("m1", "+++++")).verdict is UNKNOWN
    assert judged(replication_runs(["m1"]), looks("m1", "++      ++")).verdict is UNKNOWN
    gap = Blind(1.0, "members:mysql", 9.0, "it ended")
    assert judged(replication_runs(["m1"]), looks("m1", "+++++"), gap).verdict is UNKNOWN
    assert judged(replication_runs(["m1"]), looks("m1", "+++-+"), gap).verdict is VIOLATED


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (["8.0.15"], HELD),
        (["8.0.13", "5.7.22"], HELD),
        (["8.0.10-rc"], HELD),
        (["8.0.15", "8.0.12"], VIOLATED),
        (["8.0.11-debian"], VIOLATED),
        (["latest"], UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_versions(seen: list[str], verdict: Verdict) -> None:
    records: list[Record] = [ServerVersion(1.0, f"pod-{n}", each, version_in(each)) for n, each in enumerate(seen)]
    assert judged(server_version_not_affected(), records).verdict is verdict


def test_an_affected_server_is_named() -> None:
    finding = judged(server_version_not_affected(), ServerVersion(1.0, "shop/db-0", "8.0.12", (8, 0, 12)))
    assert finding.reason == "affected-version"
    assert "shop/db-0 is MySQL 8.0.12" in finding.sentence


def test_version_in_what_a_server_says() -> None:
    assert version_in("mysqld  Ver 8.0.15 for Linux on x86_64 (MySQL Community Server - GPL)") == (8, 0, 15)
    assert version_in("latest") == ()


def test_each_turn_must_have_been_seen_and_be_over() -> None:
    turned = clock_was_turned("m0", [-1, -60])
    assert judged(turned, offsets(0.01, -1.02, 0.0, -60.1, 0.02)).verdict is HELD
    assert judged(turned, offsets(0.01, -1.02, 0.0)).reason == "not-turned"
    assert judged(turned, offsets(0.01, -1.02, -60.0)).reason == "not-turned"
    assert judged(turned).verdict is UNKNOWN
