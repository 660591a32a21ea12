"""Whether an API server got to its readiness or ended itself: every verdict, on literal histories."""

from chaos.judge.base import Finding, Invariant, Verdict, judge
from chaos.record.history import History
from chaos.record.records import Blind, FaultStep
from chaos.record.registry import Record
from chaos.subjects.slow_start.promises import does_not_end_itself, ready_after_etcd
from chaos.subjects.slow_start.records import ControlPlaneProcesses, StartHooks, State
from chaos.subjects.slow_start.sampler import PROCESSES

FAULT = "stall-etcd-at-start"
LANDED, UNDONE = FaultStep(1, FAULT, "landed"), FaultStep(90, FAULT, "undone")
HOOK, WORDS = "start-service-ip-repair-controllers", "PostStartHook failed"
RUNS, ENDS = does_not_end_itself(FAULT, away_s=70), ready_after_etcd(FAULT, within_s=60, away_s=70)


def seen(at: float, etcd: State = "running", apiserver: State = "running", hook: str = "") -> ControlPlaneProcesses:
    return ControlPlaneProcesses(at, 7, apiserver, etcd, hook, WORDS if hook else "")


def waits(at: float, *, etcd: bool = False) -> StartHooks:
    return StartHooks(at, ready=False, pending=(HOOK,), etcd=etcd)


STALLED = (LANDED, seen(2, "stopped"), waits(2))
READY = (seen(20), StartHooks(21, ready=True), seen(22))


def finding(invariant: Invariant, *records: Record) -> Finding:
    return judge(invariant, History.of_records(records))


def test_an_apiserver_that_waits_for_its_etcd_keeps_both_promises() -> None:
    found = finding(RUNS, *STALLED, *READY, UNDONE)
    assert found.verdict is Verdict.HELD
    assert HOOK in found.sentence
    ready = finding(ENDS, *STALLED, *READY, UNDONE)
    assert (ready.verdict, ready.figures["ready_after_s"]) == (Verdict.HELD, 1)


def test_one_that_ends_itself_breaks_both_and_says_whether_etcd_was_back() -> None:
    for before, reason in (
        ((), "post-start-hook"),
        ((seen(40), waits(41)), "post-start-hook"),  # it runs, and does not answer yet
        ((seen(40), waits(55, etcd=True)), "post-start-hook"),  # back for too short a time to ask again
        ((seen(40), waits(41, etcd=True)), "etcd-was-back"),
    ):
        records = (*STALLED, *before, seen(61, "running" if before else "stopped", "gone", HOOK), UNDONE)
        found = finding(RUNS, *records)
        assert (found.verdict, found.reason) == (Verdict.VIOLATED, reason), before
        assert WORDS in found.sentence
        assert finding(ENDS, *records).reason == "ended"
    assert finding(RUNS, *STALLED, seen(9, "stopped", "gone")).reason == "ended"  # it names no hook


def test_one_that_ends_itself_after_etcd_was_away_for_longer_than_was_told_is_unknown() -> None:
    short, ready = does_not_end_itself(FAULT, away_s=28), ready_after_etcd(FAULT, within_s=60, away_s=28)
    gone = seen(61, "running", "gone", HOOK)
    for each in (short, ready):
        assert finding(each, *STALLED, seen(31), gone, UNDONE).verdict is Verdict.UNKNOWN
        assert finding(each, *STALLED, seen(61, "stopped", "gone", HOOK), UNDONE).verdict is Verdict.UNKNOWN
        assert finding(each, *STALLED, seen(29), gone, UNDONE).verdict is Verdict.VIOLATED
    held = finding(short, *STALLED, seen(31), StartHooks(32, ready=True), seen(33), UNDONE)
    assert held.verdict is Verdict.HELD  # it has outlived more


def test_one_that_is_not_ready_in_time_breaks_the_promise() -> None:
    late = finding(ENDS, *STALLED, seen(20), waits(81), seen(81), UNDONE)
    assert (late.verdict, late.reason) == (Verdict.VIOLATED, "not-ready")
    at_last = finding(ENDS, *STALLED, seen(20), waits(81), StartHooks(85, ready=True), seen(86), UNDONE)
    assert (at_last.verdict, at_last.figures["ready_after_s"]) == (Verdict.VIOLATED, 65)


def test_one_that_ends_after_it_was_ready_is_no_slow_start() -> None:
    assert finding(ENDS, *STALLED, *READY, seen(50, "running", "gone"), UNDONE).verdict is Verdict.HELD


def test_where_too_little_was_seen_nobody_knows() -> None:
    hole = Blind(3, PROCESSES, 18, "nobody asked")
    for records in (
        STALLED[1:],  # it never landed
        (LANDED, seen(2, "stopped"), StartHooks(2, ready=False), *READY, UNDONE),  # no hook waited
        (LANDED, seen(2), waits(2), *READY, UNDONE),  # etcd was not away
        (*STALLED, seen(20), waits(21), UNDONE),  # it may yet end itself
        (*STALLED, hole, *READY, UNDONE),  # another process may be looked at
    ):
        assert finding(RUNS, *records).verdict is Verdict.UNKNOWN, records
    assert finding(ENDS, *STALLED[1:], *READY).verdict is Verdict.UNKNOWN  # it never landed
    assert finding(ENDS, *STALLED, UNDONE).verdict is Verdict.UNKNOWN  # etcd was not seen to come back
    unsaid = (  # it may have been ready before, or answered nobody
        (seen(20), StartHooks(85, ready=True), seen(86)),
        (seen(20), waits(79), seen(86)),
    )
    for each in unsaid:
        assert finding(ENDS, *STALLED, *each, UNDONE).verdict is Verdict.UNKNOWN, each
    early = finding(ENDS, *STALLED, seen(20), waits(30), seen(30), UNDONE)  # the time was not over
    assert early.verdict is Verdict.UNKNOWN
