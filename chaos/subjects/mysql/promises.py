"""Replicas follow their source; servers run a version that outlives a clock that goes back."""

from collections.abc import Sequence
from itertools import pairwise

from chaos.judge.base import Invariant, Judgement, held, promise, unknown, violated
from chaos.judge.sight import names
from chaos.record.history import History
from chaos.record.records import Blind, Sample
from chaos.record.registry import Record
from chaos.subjects.mysql.records import OFFSET, RUNNING, NotFollowing, ServerVersion

SOURCE = "members"
STOPPED, AFFECTED, NOT_TURNED = "stopped", "affected-version", "not-turned"
GAP_S = 5.0
# log0write.cc:1799, Log_test / log_writer: the assertion `time_elapsed >= 0`. Release notes of MySQL 8.0.13.
FIRST_AFFECTED, MENDED_IN = (8, 0, 11), (8, 0, 13)


@promise
def replication_runs(members: Sequence[str], *, gap_s: float = GAP_S) -> Invariant:
    """Each of the members, which follow the source, had both its replication threads running at every look.

    Reason: "stopped". Unknown where a member was not looked at for longer than `gap_s` seconds.
    """

    def judge(history: History) -> Judgement:
        doubts: list[tuple[str, list[Record]]] = []
        stopped: list[Sample] = []
        looks = 0
        for member in members:
            seen = [s for s in history.of(Sample) if s.name == RUNNING and s.subject == member]
            looks += len(seen)
            stopped += [s for s in seen if s.value != 1.0]
            if len(seen) < 2:
                why = [each for each in history.of(NotFollowing) if each.member == member]
                told = f" ({why[-1].why})" if why else ""
                doubts.append((f"{member} was looked at {len(seen)} times only{told}", list[Record](why[-1:])))
            doubts += [
                (f"{member} was not looked at from {a.at:.1f} s to {b.at:.1f} s", [a, b])
                for a, b in pairwise(seen)
                if b.at - a.at > gap_s
            ]
        doubts += [
            (f"the members were not watched from {b.at:.1f} s to {b.until:.1f} s: {b.why}", [b])
            for b in history.of(Blind)
            if b.source.startswith(f"{SOURCE}:")
        ]
        if stopped:
            first = min(stopped, key=lambda s: s.at)
            said = [each for each in history.of(NotFollowing) if each.member == first.subject]
            reason = next((each.why for each in said if each.at >= first.at), "no reason is given")
            return violated(
                f"{first.subject} did not follow at {first.at:.1f} s: {reason}",
                [first, *said],
                reason=STOPPED,
                looks=looks,
                stopped=len(stopped),
            )
        if doubts:
            return unknown(*doubts[0])
        return held(f"{names(members)} followed at each of {looks} looks", looks=looks, stopped=0)

    return Invariant("replication-runs", judge)


@promise
def server_version_not_affected() -> Invariant:
    """No MySQL server that was found is of a version that dies when its clock goes back: 8.0.11, 8.0.12.

    Reason: "affected-version". Unknown where none was found, or one's version can't be read.
    """

    def judge(history: History) -> Judgement:
        seen = history.of(ServerVersion)
        bad = [each for each in seen if FIRST_AFFECTED <= each.number < MENDED_IN]
        if bad:
            return violated(
                f"{bad[0].server} is MySQL {bad[0].text}, whose server ends when its clock goes back "
                "(log0write.cc:1799: time_elapsed >= 0; this is mysql-clock): take 8.0.13 or newer",
                bad,
                reason=AFFECTED,
                servers=len(seen),
                affected=len(bad),
            )
        unreadable = [each for each in seen if not each.number]
        if unreadable or not seen:
            what = f"{unreadable[0].server} says {unreadable[0].text!r}, which is no version" if unreadable else ""
            return unknown(what or "no MySQL server was found", unreadable)
        found = names(sorted({each.text for each in seen}))
        return held(f"{len(seen)} MySQL servers or images, none of an affected version ({found})", servers=len(seen))

    return Invariant("server-version-not-affected", judge)


@promise
def clock_was_turned(member: str, offsets_s: Sequence[float], *, off_by_s: float = 0.7) -> Invariant:
    """The member's own clock was seen at each of these offsets against its node's, and at none at the end.

    Reason: "not-turned".
    """

    def judge(history: History) -> Judgement:
        seen = [s for s in history.of(Sample) if s.name == OFFSET and s.subject == member]
        if not seen:
            return unknown(f"the clock of {member} was never read")
        lacking = [wanted for wanted in offsets_s if not any(abs(s.value - wanted) <= off_by_s for s in seen)]
        if lacking:
            return violated(
                f"{member}'s clock was never seen {lacking[0]:g} s off", seen[-1:], reason=NOT_TURNED, looks=len(seen)
            )
        if abs(seen[-1].value) > off_by_s:
            late = seen[-1:]
            return violated(f"{member}'s clock is {late[0].value:.1f} s off at the end", late, reason=NOT_TURNED)
        turned = ", ".join(f"{wanted:g} s" for wanted in offsets_s)
        return held(f"{member} showed {turned} in {len(seen)} looks, and the right time again", looks=len(seen))

    return Invariant("clock-was-turned", judge)
