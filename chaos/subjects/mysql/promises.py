"""Replicas follow, a group keeps its quorum, servers run a version that outlives a clock that goes back."""

from collections.abc import Sequence
from itertools import pairwise

from chaos.judge.base import Invariant, Judgement, held, promise, unknown, violated
from chaos.judge.sight import WHOLE, names, unseen
from chaos.record.history import History, Window
from chaos.record.records import Blind, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.mysql.records import OFFSET, PRIMARY, RUNNING, GroupLook, NotFollowing, ServerVersion

SOURCE = "members"
STOPPED, AFFECTED, NOT_TURNED = "stopped", "affected-version", "not-turned"
NO_QUORUM, STAYS_WITHOUT = "no-quorum", "stays-without-quorum"
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
def group_stays_primary(
    workload: str, members: Sequence[str], *, given_s: float, window: Window | None = None, gap_s: float = GAP_S
) -> Invariant:
    """Each of the members said at every look that it is in the primary component of its group.

    Reasons: "stays-without-quorum" where one that was in it is not, and at no look of the last `given_s` seconds
    and longer, in which a pod of each member has been running; "no-quorum" for any other that was in it and then was
    not. Unknown where one was not in it at the first look or was not looked at for longer than `gap_s` seconds, and
    where less than half of the pods had gone before: on a machine that is too slow members do not hear each other, and
    that looks the same.
    """
    judged = window or WHOLE

    def judge(history: History) -> Judgement:
        looks = {m: [each for each in history.of(GroupLook, judged) if each.member == m] for m in members}
        told = {m: [each for each in found if each.component] for m, found in looks.items()}
        count = sum(map(len, told.values()))
        out = [first for found in told.values() if (first := _first_out(found)) is not None]
        if out:
            first = min(out, key=lambda look: look.at)
            lost = _lost(history, workload, first.at)
            if 2 * (len(members) - len({c.name for c in lost})) > len(members):
                return unknown(
                    f"{first.member} was {first.component} at {first.at:.1f} s, and a majority of the pods was there: "
                    "members that wait for a processor may not hear each other",
                    [first, *lost],
                )
            last = told[first.member][-1]
            back_s = _all_running_s(history, workload, members, last.at)
            since = [look for look in told[first.member] if look.at >= last.at - back_s]
            stays = back_s >= given_s and not any(look.component == PRIMARY for look in since)
            gone = names(sorted({c.name for c in lost}))
            said = f"{first.member} was {first.component} at {first.at:.1f} s, after {gone} had lost their pods"
            still = f"; still at {last.at:.1f} s, when a pod of each member had been running for {back_s:.0f} s"
            return violated(
                f"{said}{still if stays else ''}",
                [first, last, *lost],
                reason=STAYS_WITHOUT if stays else NO_QUORUM,
                looks=count,
                lost=len({c.name for c in lost}),
                without_s=round(last.at - first.at, 3) if stays else 0.0,
            )
        doubt = _unlooked(history, looks, told, judged, gap_s)
        if doubt is not None:
            return unknown(*doubt)
        return unseen(history, "pods", judged) or held(
            f"{names(members)} were in the primary component at each of {count} looks",
            looks=count,
            lost=0,
            without_s=0.0,
        )

    return Invariant("group-stays-primary", judge)


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


def _first_out(looks: Sequence[GroupLook]) -> GroupLook | None:
    """The first look at a member that was in the primary component before and is not now."""
    was = False
    for look in looks:
        if was and look.component != PRIMARY:
            return look
        was = was or look.component == PRIMARY
    return None


def _lost(history: History, workload: str, until: float) -> list[PodChange]:
    """The first change of each pod until then by which it was evicted, deleted or began anew."""
    first: dict[str, PodChange] = {}
    for c in history.of(PodChange):
        if c.workload == workload and c.at <= until and (c.reason or c.deleting or c.change == "deleted" or c.restarts):
            first.setdefault(c.uid, c)
    return list(first.values())


def _all_running_s(history: History, workload: str, members: Sequence[str], end: float) -> float:
    """For how long at the end a pod of each member had been running, in seconds; 0 where one was not."""
    since = []
    for member in members:
        of_it = [c for c in history.of(PodChange) if c.workload == workload and c.name == member and c.at <= end]
        if not of_it or (last := of_it[-1]).change == "deleted" or last.deleting or last.phase != "Running":
            return 0.0
        since.append(next(c.at for c in of_it if c.uid == last.uid and c.phase == "Running"))
    return max(end - max(since), 0.0)


def _unlooked(
    history: History,
    looks: dict[str, list[GroupLook]],
    told: dict[str, list[GroupLook]],
    judged: Window,
    gap_s: float,
) -> tuple[str, list[Record]] | None:
    """Why nobody knows whether each member was in its group all the time."""
    for member, found in told.items():
        if len(found) < 2:
            why = [look for look in looks[member] if look.why]
            heard = f" ({why[-1].why})" if why else ""
            return f"{member} was looked at {len(found)} times only{heard}", list[Record](why[-1:])
        if found[0].component != PRIMARY:
            return f"{member} was {found[0].component} when it was first looked at", list[Record](found[:1])
        for a, b in pairwise(found):
            if b.at - a.at > gap_s:
                return f"{member} was not looked at from {a.at:.1f} s to {b.at:.1f} s", [a, b]
        if judged.end != WHOLE.end and judged.end - found[-1].at > gap_s:
            return f"{member} was looked at until {found[-1].at:.1f} s only", list[Record](found[-1:])
    for blind in history.of(Blind):
        if blind.source.startswith(f"{SOURCE}:") and blind.at <= judged.end and blind.until >= judged.start:
            return f"the members were not watched from {blind.at:.1f} s to {blind.until:.1f} s: {blind.why}", [blind]
    return None
