"""What a watcher believes against what etcd holds: the same, stale, or not known."""

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.informer import ABSENT, STORED, WATCHED
from chaos.record.records import Blind, FaultStep, Observation
from chaos.record.registry import Record
from chaos.subjects.watch_cache.promises import watchers_see
from tests.judge.histories import fault, history

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN


def watched(at: float, value: str, name: str = "one") -> Observation:
    return Observation(at, WATCHED, f"default/{name}", value)


def stored(at: float, value: str, name: str = "one") -> Observation:
    return Observation(at, STORED, f"default/{name}", value)


def judged(*records: Record) -> Finding:
    """The fault lasts from 10 s to 30 s; watchers have 5 s."""
    return judge(watchers_see("restore", within_s=5), history(*records, *fault(10, 30, "restore")))


def test_a_watcher_that_follows_is_held() -> None:
    finding = judged(watched(1, "new"), watched(12.5, "old"), stored(16, "old"))
    assert (finding.verdict, finding.figures["seen_after_s"]) == (HELD, 2.5)


def test_a_watcher_that_stays_behind_is_violated() -> None:
    finding = judged(watched(1, "new"), stored(16, "old"))
    assert (finding.verdict, finding.reason) == (VIOLATED, "stale")
    assert "watched 'new', stored 'old'" in finding.sentence


def test_an_object_that_is_gone_but_still_believed_in_is_stale() -> None:
    assert judged(watched(1, "new"), stored(16, ABSENT)).reason == "stale"
    assert judged(watched(1, "new"), watched(11, ABSENT), stored(16, ABSENT)).verdict is HELD


def test_one_stale_object_among_many_is_violated() -> None:
    finding = judged(
        watched(1, "new", "one"), watched(1, "same", "two"), stored(16, "old", "one"), stored(16, "same", "two")
    )
    assert (finding.verdict, finding.figures["stale"], finding.figures["objects"]) == (VIOLATED, 1, 2)


def test_what_is_heard_after_etcd_was_asked_does_not_help() -> None:
    assert judged(watched(1, "new"), stored(16, "old"), watched(17, "old")).verdict is VIOLATED


def test_what_is_seen_late_is_unknown_and_what_is_not_seen_when_asked_last_is_stale() -> None:
    late = judged(watched(1, "new"), stored(16, "old"), watched(17, "old"), stored(18, "old"))
    assert (late.verdict, late.sentence) == (
        UNKNOWN,
        "watchers saw default/one as stored, but later than 5 s after the fault",
    )
    never = judged(watched(1, "new"), stored(16, "old"), stored(20, "old"))
    assert (never.verdict, never.reason) == (VIOLATED, "stale")
    other = judged(
        watched(1, "new"), watched(1, "new", "two"), stored(16, "old"), stored(16, "old", "two"),
        watched(17, "old"), stored(18, "old"), stored(18, "old", "two"),
    )  # fmt: skip
    assert other.reason == "stale"


def test_what_is_stored_too_early_or_after_the_undo_is_not_asked_for() -> None:
    assert judged(watched(1, "new"), stored(12, "old")).verdict is UNKNOWN
    assert judged(watched(1, "new"), stored(31, "old")).verdict is UNKNOWN


def test_without_a_watcher_it_is_unknown() -> None:
    assert judged(stored(16, "old")).verdict is UNKNOWN
    assert judged(watched(1, "old", "other"), stored(16, "old")).verdict is UNKNOWN


def test_a_broken_watch_is_unknown_not_stale() -> None:
    broken = Blind(12, WATCHED, 20, "connection refused", complete=True)
    mended = Blind(12, WATCHED, 13, "connection refused", complete=True)
    assert judged(watched(1, "new"), broken, stored(16, "old")).verdict is UNKNOWN
    assert judged(watched(1, "new"), mended, stored(16, "old")).verdict is VIOLATED


def test_a_watch_that_breaks_in_the_undo_is_not_a_hole_in_what_is_judged() -> None:
    """Seen in a run of everything: etcd was restored, and the API server answered 429 until its cache was new."""
    undoing = Blind(29, WATCHED, 31, "ApiException: (429)", complete=False)
    assert judged(watched(1, "new"), watched(12, "old"), stored(16, "old"), undoing).verdict is HELD
    assert judged(watched(1, "new"), stored(16, "old"), undoing).verdict is VIOLATED
    assert judged(watched(1, "new"), stored(16, "old"), undoing, stored(29.5, "old")).verdict is UNKNOWN


def test_a_fault_that_never_landed_is_unknown() -> None:
    seen = history(watched(1, "new"), stored(16, "new"))
    assert judge(watchers_see("restore", within_s=5), seen).verdict is UNKNOWN


def test_where_etcd_holds_what_was_believed_before_nothing_was_changed() -> None:
    planned = FaultStep(9.0, "restore", "planned")
    finding = judged(planned, watched(1, "new"), stored(16, "new"))
    assert (finding.verdict, finding.reason) == (UNKNOWN, "not-enough-seen")
    assert "nothing was changed" in finding.sentence
    assert judged(planned, watched(1, "new"), watched(9.5, "old"), stored(16, "old")).verdict is HELD
    changed_too = (watched(1, "same", "two"), stored(16, "same", "two"))
    assert judged(planned, watched(1, "new"), watched(12, "old"), stored(16, "old"), *changed_too).verdict is HELD


# --- to the last figure


def test_the_last_object_to_be_seen_gives_the_figure() -> None:
    held = judged(
        watched(1, "same", "two"), watched(12.0626, "old"), watched(11, "same", "three"),
        stored(15.0, "old"), stored(16, "same", "two"), stored(30.0, "same", "three"), stored(30.0, "old"),
    )  # fmt: skip
    assert (held.verdict, held.figures) == (HELD, {"objects": 3, "seen_after_s": 2.063})
    assert held.sentence == "watchers saw all 3 objects as they are stored, 2.1 s after the fault"
    assert judged(watched(1, "old"), stored(16, "old")).figures == {"objects": 1, "seen_after_s": 0}
    assert judged(watched(16, "old"), stored(16, "old")).verdict is HELD


def test_all_that_is_stale_is_proof_and_the_first_is_told() -> None:
    seen = [watched(1, "a"), watched(2, "b", "two"), watched(3, "c", "three")]
    asked = [stored(16, "A"), stored(17, "B", "two"), stored(18, "c", "three")]
    found = judged(*seen, *asked)
    assert found.sentence == (
        "watchers see 2 of 3 objects not as they are stored 5 s after the fault: default/one, default/two "
        "(first: watched 'a', stored 'A')"
    )
    assert found.figures == {"objects": 3, "stale": 2}
    assert found.proof == (seen[0], asked[0], seen[1], asked[1])


def test_who_was_never_heard_of_is_named() -> None:
    found = judged(watched(1, "a"), stored(16, "a"), stored(16, "b", "two"), watched(17, "b", "two"))
    assert found.sentence == "no watcher ever heard of default/two"
    early = judged(watched(1, "a"), stored(14.9, "b"))
    assert early.sentence == "etcd was not asked what it holds later than 5 s after the fault restore"


def test_only_a_break_between_the_time_and_the_last_question_is_a_hole() -> None:
    fresh = [watched(1, "a"), stored(16, "a"), stored(20, "a")]
    for at, until, verdict in [(12, 15.0, HELD), (12, 15.1, UNKNOWN), (20, 21, UNKNOWN), (20.1, 21, HELD)]:
        assert judged(*fresh, Blind(at, WATCHED, until, "cut")).verdict is verdict, (at, until)
    two = [Blind(16, WATCHED, 17, "cut"), Blind(18, WATCHED, 19, "cut again")]
    broken = judged(*fresh, *two)
    assert (broken.sentence, broken.proof) == ("the watch was broken from 16.0 s to 17.0 s: cut", tuple(two))
