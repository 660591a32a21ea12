"""Whether a group kept its quorum, and who begins it anew: every verdict, on literal histories."""

from collections.abc import Sequence

import pytest

from chaos.errors import OrdealError
from chaos.judge.base import Finding, Verdict, judge
from chaos.record.history import Window
from chaos.record.records import Blind, PodChange
from chaos.record.registry import Record
from chaos.subjects.mysql import group
from chaos.subjects.mysql.group import MemberState, begin_anew, is_whole, most_advanced
from chaos.subjects.mysql.promises import group_stays_primary
from chaos.subjects.mysql.records import GroupLook
from chaos.subjects.mysql.workload import DatabaseMember
from chaos.workloads.web import Deployed
from tests.judge.histories import history, saw_the_end

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
MEMBERS = ("g-0", "g-1", "g-2")
SAID = {"P": "Primary", "n": "non-Primary", "D": "Disconnected", "-": ""}
DEPLOYED = Deployed("g", "ns", "mysql://10.0.0.1:3306/", 3, object())  # type: ignore[arg-type]


def looks(member: str, said: str) -> list[Record]:
    """One look a second: P primary, n non-Primary, D disconnected, - no answer, a blank for none."""
    return [
        GroupLook(float(n), member, SAID[mark], 3, ready=mark == "P", why="no route" if mark == "-" else "")
        for n, mark in enumerate(said)
        if mark != " "
    ]


def pod(
    at: float, name: str, uid: str, change: str = "modified", phase: str = "Running", reason: str = ""
) -> PodChange:
    return PodChange(at, "ns", name, uid, change, workload="g", phase=phase, node="w", reason=reason)


THERE = [pod(0.0, name, f"old-{name}", "listed") for name in MEMBERS]
GONE = [pod(3.0, "g-0", "old-g-0", phase="Failed", reason="Evicted"), pod(4.0, "g-1", "old-g-1", "deleted")]
BACK = [pod(9.0, "g-0", "new-g-0"), pod(10.0, "g-1", "new-g-1")]


def found(*records: Record | Sequence[Record], window: Window | None = None) -> Finding:
    invariant = group_stays_primary("g", MEMBERS, given_s=5.0, window=window)
    return judge(invariant, history(*records, saw_the_end()))


def test_a_group_that_is_primary_at_every_look_is_held() -> None:
    whole = [looks(member, "PPPPPP") for member in MEMBERS]
    finding = found(THERE, *whole)
    assert (finding.verdict, finding.figures["looks"]) == (HELD, 18)
    outside = [*looks("g-0", "PPPPPP"), *looks("g-1", "PPPPPP"), *looks("g-2", "PPPPPPn")]
    assert found(THERE, outside, window=Window(0.0, 5.5)).verdict is HELD, "what is after the window is not judged"


def test_a_group_that_lost_two_members_and_does_not_come_back_is_violated() -> None:
    lost = [looks("g-0", "PPP-"), looks("g-1", "PPPP-"), looks("g-2", "PPPPPPnnnnnnnnnnn")]
    finding = found(THERE, GONE, BACK, *lost)
    assert (finding.verdict, finding.reason) == (VIOLATED, "stays-without-quorum")
    assert finding.sentence == (
        "g-2 was non-Primary at 6.0 s, after g-0, g-1 had lost their pods; still at 16.0 s, when a pod of each member "
        "had been running for 6 s"
    )
    assert (finding.figures["lost"], finding.figures["without_s"]) == (2, 10.0)


def test_where_the_others_are_not_back_or_it_is_primary_again_it_is_the_quorum_that_was_lost() -> None:
    before = [looks("g-0", "PPP"), looks("g-1", "PPPP")]
    alone = found(THERE, GONE, *before, looks("g-2", "PPPPPPnnnnnnnnnnn"))
    assert (alone.verdict, alone.reason) == (VIOLATED, "no-quorum"), "nobody could have come back"
    soon = found(THERE, GONE, BACK, *before, looks("g-2", "PPPPPPnnnnnnnn"))
    assert (soon.verdict, soon.reason) == (VIOLATED, "no-quorum"), "3 s are not the time that they are given"
    again = found(THERE, GONE, BACK, *before, looks("g-2", "PPPPPPnnnnnnPPPPPP"))
    assert (again.verdict, again.reason) == (VIOLATED, "no-quorum")
    between = found(THERE, GONE, BACK, *before, looks("g-2", "PPPPPPnnnnnnPPnnn"))
    assert (between.verdict, between.reason) == (VIOLATED, "no-quorum"), "it did not stay so"
    begins = [pod(9.0, "g-0", "new-g-0"), pod(10.0, "g-1", "new-g-1", phase="Pending")]
    waits = found(THERE, GONE, begins, *before, looks("g-2", "PPPPPPnnnnnnnnnnn"))
    assert (waits.verdict, waits.reason) == (VIOLATED, "no-quorum")


def test_members_that_do_not_hear_each_other_may_be_slow() -> None:
    whole = [looks("g-0", "PPPPPP"), looks("g-1", "PPPPPP")]
    finding = found(THERE, *whole, looks("g-2", "PPPnnP"))
    assert finding.verdict is UNKNOWN
    assert "members that wait for a processor may not hear each other" in finding.sentence
    assert found(THERE, GONE[:1], *whole, looks("g-2", "PPPPnn")).verdict is UNKNOWN, "two of three are a majority"
    assert found(THERE, GONE, *whole, looks("g-2", "PPPnPP")).verdict is UNKNOWN, "the second went afterwards"


def test_what_was_not_seen_is_unknown() -> None:
    whole = [looks("g-0", "PPPPPPPPPPPP"), looks("g-1", "PPPPPPPPPPPP")]
    third = looks("g-2", "PPPPPPPPPPPP")
    assert found(THERE, *whole, third).verdict is HELD
    assert found(THERE, *whole).verdict is UNKNOWN, "one was never looked at"
    assert "g-2 was looked at 0 times only (no route)" in found(THERE, *whole, looks("g-2", "----")).sentence
    assert found(THERE, *whole, looks("g-2", "PP       PPP")).verdict is UNKNOWN
    assert found(THERE, *whole, looks("g-2", "PP-------PPP")).verdict is UNKNOWN, "no answer is no word"
    assert found(THERE, *whole, third, window=Window(0.0, 30.0)).verdict is UNKNOWN, "nobody looked until the end"
    gap = Blind(1.0, "members:g", 9.0, "it ended")
    assert found(THERE, *whole, third, gap).verdict is UNKNOWN
    assert found(THERE, *whole, looks("g-2", "nnnnnnnnnnnn")).verdict is UNKNOWN, "it never was in it"
    invariant = group_stays_primary("g", MEMBERS, given_s=5.0)
    assert judge(invariant, history(THERE, *whole, third)).verdict is UNKNOWN, "pods were not seen to the end"


def state(
    member: str, committed: int, component: str = "non-Primary", size: int = 1, said: str = "Synced"
) -> MemberState:
    return MemberState(member, component, size, component == "Primary", said, committed)


def test_the_most_advanced_member_begins_anew() -> None:
    assert most_advanced((state("g-0", 7), state("g-1", 9), state("g-2", -1))).member == "g-1"
    with pytest.raises(OrdealError, match=r"^no member answers, so nobody can say which has the most writes$"):
        most_advanced(())


def test_a_group_is_begun_anew_only_where_none_has_its_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, list[str]]] = []

    def ask_member(_: object, member: DatabaseMember, statements: list[str]) -> list[object]:
        """The first time a member comes just then; the second time it begins."""
        if statements == [group.STATE]:
            component = "Primary" if len(told) > 1 else "non-Primary"
            ready = {"wsrep_cluster_status": component, "wsrep_cluster_size": 1, "wsrep_ready": "ON"}
            return [list({**ready, "wsrep_local_state_comment": "Synced", "wsrep_last_committed": 9}.items())]
        told.append((member.name, statements))
        if len(told) == 1:
            raise OrdealError("Incorrect arguments to SET")
        return [[]]

    there = tuple(DatabaseMember(name, name, "w", "10.0.0.9", ready=True) for name in MEMBERS)
    monkeypatch.setattr(group, "members", lambda _: there)
    monkeypatch.setattr(group, "ask_member", ask_member)
    monkeypatch.setattr(group, "states", lambda _: (state("g-0", 3), state("g-2", 9)))
    assert begin_anew(DEPLOYED).member == "g-2"
    assert told == [("g-2", ["SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'"])] * 2
    monkeypatch.setattr(group, "states", lambda _: (state("g-0", 3), state("g-2", 9, "Primary")))
    with pytest.raises(OrdealError, match=r"^g-2 is in a primary component: another would be a second group$"):
        begin_anew(DEPLOYED)


def test_a_group_is_whole_where_every_member_is_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    def whole(*found: MemberState) -> bool:
        monkeypatch.setattr(group, "states", lambda _: found)
        return is_whole(DEPLOYED)

    synced = [state(name, 3, "Primary", 3) for name in MEMBERS]
    assert whole(*synced)
    assert not whole(*synced[:2])
    assert not whole(*synced[:2], state("g-2", 3, "Primary", 2))
    assert not whole(*synced[:2], state("g-2", 3, "Primary", 3, "Donor/Desynced"))
    assert not whole(*synced[:2], state("g-2", 3, "non-Primary", 3))
