"""Replicas that follow, servers of a sound version, a clock that was turned: held, violated, and not known."""

from collections.abc import Sequence

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


def judged(invariant: Invariant, *records: Record | Sequence[Record]) -> Finding:
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


# --- to the last figure


def test_followers_are_told_with_their_looks_and_the_first_that_stopped() -> None:
    held = judged(replication_runs(["m1", "m2"]), looks("m1", "+++"), looks("m2", "++"), looks("m3", "--"))
    assert (held.sentence, held.figures) == ("m1, m2 followed at each of 5 looks", {"looks": 5, "stopped": 0})
    before, after = NotFollowing(0.5, "m2", "starting"), NotFollowing(1.0, "m2", "SQL No")
    found = judged(replication_runs(["m1", "m2"]), looks("m1", "++-"), looks("m2", "+-+"), before, after)
    assert found.sentence == "m2 did not follow at 1.0 s: SQL No"
    assert found.figures == {"looks": 6, "stopped": 2}
    assert found.proof == (looks("m2", "+-+")[1], before, after)
    silent = judged(replication_runs(["m1"]), looks("m1", "+-+"), NotFollowing(0.5, "m1", "starting"))
    assert silent.sentence == "m1 did not follow at 1.0 s: no reason is given"


def test_looks_that_lack_are_told_by_the_first_member() -> None:
    why = [NotFollowing(1.0, "m1", "refused"), NotFollowing(2.0, "m1", "reset"), NotFollowing(2.0, "m2", "no")]
    found = judged(replication_runs(["m1", "m2"]), looks("m1", "+"), why)
    assert (found.sentence, found.proof) == ("m1 was looked at 1 times only (reset)", (why[1],))
    gap = judged(replication_runs(["m1"]), looks("m1", "+++", every_s=5.5))
    assert (gap.sentence, len(gap.proof)) == ("m1 was not looked at from 0.0 s to 5.5 s", 2)
    assert judged(replication_runs(["m1"]), looks("m1", "+++", every_s=5.0)).verdict is HELD
    assert judged(replication_runs(["m1"]), looks("m1", "++")).verdict is HELD
    blind = Blind(1.0, "members:mysql", 9.0, "it ended")
    away = judged(replication_runs(["m1"]), looks("m1", "++"), Blind(1.0, "writes:mysql", 9.0, "it ended"), blind)
    assert (away.sentence, away.proof) == ("the members were not watched from 1.0 s to 9.0 s: it ended", (blind,))


def test_servers_are_counted_and_the_first_affected_is_named() -> None:
    servers = [
        ServerVersion(1.0, f"db-{n}", text, version_in(text)) for n, text in enumerate(("8.0.15", "8.0.12", "8.0.11"))
    ]
    found = judged(server_version_not_affected(), *servers)
    assert found.sentence.startswith("db-1 is MySQL 8.0.12, whose server ends")
    assert (found.figures, found.proof) == ({"servers": 3, "affected": 2}, tuple(servers[1:]))
    held = judged(server_version_not_affected(), servers[0])
    assert held.sentence == "1 MySQL servers or images, none of an affected version (8.0.15)"
    strange = [ServerVersion(1.0, f"db-{n}", text, ()) for n, text in enumerate(("latest", "x"))]
    unread = judged(server_version_not_affected(), servers[0], *strange)
    assert (unread.sentence, unread.proof) == ("db-0 says 'latest', which is no version", tuple(strange))
    assert judged(server_version_not_affected()).sentence == "no MySQL server was found"


def test_a_clock_may_be_off_by_as_much_as_is_allowed() -> None:
    turned = clock_was_turned("m0", [-1, -60], off_by_s=0.5)
    held = judged(turned, offsets(0.25, -1.5, -59.5, 0.5))
    assert held.sentence == "m0 showed -1 s, -60 s in 4 looks, and the right time again"
    assert held.figures == {"looks": 4}
    off = judged(turned, offsets(0.25, -1.5, -59.5, 0.75))
    assert (off.sentence, len(off.proof)) == ("m0's clock is 0.8 s off at the end", 1)
    lacks = judged(turned, offsets(0.25, -1.75, -59.25, 0.5))
    assert (lacks.sentence, lacks.figures) == ("m0's clock was never seen -1 s off", {"looks": 4})
    assert lacks.proof == tuple(offsets(0.25, -1.75, -59.25, 0.5)[-1:])
    other = [Sample(9.0, OFFSET, "m1", -60.0), Sample(9.0, "another", "m0", -60.0)]
    assert judged(turned, offsets(0.0, -1.0, 0.0), other).reason == "not-turned"
