"""A volume that is handed over, judged to the last figure: bounds, sentences, proof."""

from collections.abc import Sequence
from typing import Any

import pytest

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.records import Blind, ClusterEvent, FaultStep, Sample
from chaos.record.registry import Record
from chaos.subjects.volumes.promises import (
    TICK_S,
    WRITES_STILL_S,
    at_most_one_writer,
    no_stale_lock,
    nobody_takes_over,
    running_again,
    same_data,
)
from chaos.subjects.volumes.records import HOLDERS_SEEN, LOG_READ, HeldBy, Holder, Torn, Written
from tests.judge.histories import fault, history, pod, saw_the_end

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
ONE = ("db",)


def line(at: float, number: int, writer: str, lease_s: int = 0, workload: str = "db") -> Written:
    return Written(at, workload, number, writer, f"node-{writer}", lease_s)


def read(at: float = 60.0, workload: str = "db") -> Sample:
    return Sample(at, LOG_READ, workload, 1000)


def found(invariant: Any, *records: Record | Sequence[Record]) -> Finding:
    return judge(invariant, history(*records))


HANDED_OVER = [line(0, 1, "a"), line(1, 2, "a"), line(20, 3, "b"), line(21, 4, "b"), line(59, 5, "b")]


def test_writers_one_after_the_other_are_counted_and_only_this_volumes() -> None:
    held = found(at_most_one_writer(ONE), HANDED_OVER, line(0.5, 7, "c", workload="other"), read())
    assert (held.sentence, held.figures) == ("db: 2 writers one after the other", {"workloads": 1})


def test_two_writers_are_told_with_who_where_and_when() -> None:
    lines = [line(5, 1, "a"), line(9, 2, "b"), line(12, 3, "a"), line(13, 4, "b")]
    broken = found(at_most_one_writer(ONE), lines, read())
    assert broken.sentence == (
        "two pods wrote into the volume of db at once: b on node-b from 9.0 s on, and a on node-a went on at 12.0 s"
    )
    assert (broken.figures, broken.proof) == ({"interleaved": 3}, (lines[1],))


@pytest.mark.parametrize(("at", "verdict"), [(10.0 - TICK_S, HELD), (9.94, VIOLATED), (10.0, HELD)])
def test_a_lease_counts_to_its_end_within_a_tick(at: float, verdict: Verdict) -> None:
    lines = [line(5, 1, "a", 5), line(at, 2, "b", 1), line(at + 5, 3, "c")]
    judged = found(at_most_one_writer(ONE), lines, read())
    assert judged.verdict is verdict
    if verdict is VIOLATED:
        assert judged.sentence == (
            "b wrote into the volume of db 4.94 s after a on node-a had said that nobody else would for 5 s"
        )
        assert judged.proof == (lines[1],)


def test_of_two_broken_leases_the_first_is_told() -> None:
    lines = [line(5, 1, "a", 5), line(6, 2, "b", 5), line(8, 3, "c", 5)]
    assert found(at_most_one_writer(ONE), lines, read()).sentence.startswith("b wrote into the volume of db 1.00 s")


def test_numbers_that_go_on_are_told_and_a_jump_says_where() -> None:
    held = found(same_data(ONE), HANDED_OVER, read())
    assert held.sentence == "db: lines 1 to 5, none missing"
    jump = found(same_data(ONE), HANDED_OVER[:2], line(20, 9, "b"), line(22, 10, "b"), read())
    assert jump.sentence == "after line 2 of a the volume of db goes on with line 9 of b at 20.0 s"
    assert (jump.figures, jump.proof) == ({"before": 2, "after": 9}, (line(20, 9, "b"),))
    torn = [Torn(30.5, "db", "42 b no"), Torn(31, "db", "43")]
    said = found(same_data(ONE), HANDED_OVER, torn, Torn(3, "other", "x"), read())
    assert (said.sentence, said.proof) == (
        "the volume of db holds what nobody wrote, at 30.5 s: '42 b no'",
        tuple(torn),
    )
    assert found(same_data(ONE), HANDED_OVER, Torn(3, "other", "x"), read()).verdict is HELD


def test_what_was_not_read_says_so() -> None:
    step = FaultStep(60.0, "drain-node", "undone")
    assert found(same_data(ONE), HANDED_OVER, read(), step).verdict is HELD
    for late in (read(59.9), read(61, workload="other")):
        assert (
            found(same_data(ONE), HANDED_OVER, late, step).sentence == "what db wrote was not read after the last fault"
        )
    gap = Blind(12, f"{Written.kind}:db", 60, "no such pod")
    lost = found(same_data(ONE), HANDED_OVER, read(), gap)
    assert (lost.sentence, lost.proof) == ("what db wrote could not be read from 12.0 s on: no such pod", (gap,))
    assert found(same_data(ONE), HANDED_OVER, read(), Blind(12, f"{Written.kind}:other", 60, "no")).verdict is HELD
    assert found(same_data(("none",)), HANDED_OVER, read()).sentence == "nothing that none wrote was read"
    assert found(same_data(()), HANDED_OVER, read()).sentence == "no workload was named"


DRAINED = fault(10, 50, "drain-node")


def again(*records: Record | Sequence[Record], within_s: float = 30) -> Finding:
    return found(running_again(ONE, fault="drain-node", within_s=within_s), DRAINED, *records, read())


def writing(writer: str, *times: float) -> list[Record]:
    return [line(at, round(at * 10), writer) for at in times]


def test_silence_is_counted_from_the_last_line_before_the_fault() -> None:
    held = again(writing("a", 5, 7.0), writing("b", 37.0, 40, 44, 47.0, 55))
    assert (held.verdict, held.figures) == (HELD, {"workloads": 1, "silence_s_db": 30})
    assert held.sentence == "db: b on node-b took over, after at most 30.0 s without a writer"
    long_before = again(writing("a", 5, 6.9), writing("b", 37.0, 40, 44, 47.0, 55))
    assert long_before.figures["silence_s_db"] == 27
    assert WRITES_STILL_S == 3.0
    late = again(writing("a", 5, 10.0), writing("b", 40.0626, 44, 47.5))
    assert (late.reason, late.figures) == ("no-writer", {"silence_s": 30.063})
    assert late.sentence == "nobody wrote into the volume of db for 30.1 s, allowed were 30 s"


def test_who_wrote_last_before_the_end_goes_on_or_took_over() -> None:
    goes_on = again(writing("a", 9, 20, 30, 40, 49), writing("b", 52))
    assert goes_on.sentence == "db: the old one on node-a goes on, after at most 11.0 s without a writer"
    to_and_fro = again(writing("a", 9), writing("b", 20), writing("a", 40, 48))
    assert to_and_fro.sentence.startswith("db: the old one on node-a goes on")


def test_at_the_end_somebody_must_write_still() -> None:
    early = again(writing("a", 9), writing("b", 20, 46.9))
    assert (early.verdict, early.sentence) == (
        UNKNOWN,
        "drain-node was undone 3.1 s after the last line of db; 30 s are given",
    )
    assert again(writing("a", 9), writing("b", 20, 47.0)).verdict is HELD
    assert again(writing("a", 9), writing("b", 19.9), within_s=30).reason == "no-writer"
    assert again(writing("a", 9), writing("b", 20), within_s=30).verdict is UNKNOWN


def test_an_event_says_why_and_being_locked_outweighs_the_rest() -> None:
    own = [pod(11, "b", "added", workload="db"), pod(12, "b", "modified", workload="db")]
    says = [
        ClusterEvent(20, "Pod/ns/b", "F", 'Multi-Attach error for volume "x"', "Warning"),
        ClusterEvent(21, "Pod/ns/b", "F", f"{'y' * 300} is locked by other nodes", "Warning"),
    ]
    locked = again(writing("a", 9), own, says)
    assert locked.reason == "locked"
    assert locked.sentence == (
        f'nobody wrote into the volume of db for 41.0 s, allowed were 30 s: "{says[1].message[-240:]}"'
    )
    assert locked.proof == (says[1], own[1])
    assert again(writing("a", 9), own, says[:1]).reason == "multi-attach"


def test_of_two_workloads_each_has_its_figure() -> None:
    other = [line(at, round(at * 10), "c", workload="kv") for at in (9.5, 30, 40, 49)]
    both = running_again(("db", "kv"), fault="drain-node", within_s=30)
    held = found(both, DRAINED, writing("a", 9, 25, 40, 49), other, read(), read(60, "kv"))
    assert held.figures == {"workloads": 2, "silence_s_db": 16, "silence_s_kv": 20.5}
    assert "; kv: the old one on node-c goes on" in held.sentence


# --- nobody takes over

OFF = fault(10, 58, "power-off")


def fenced(*records: Record | Sequence[Record], told: float = 40.0) -> Finding:
    steps = FaultStep(told, "out-of-service", "planned"), FaultStep(told + 1, "out-of-service", "landed")
    return found(nobody_takes_over(ONE, fault="power-off", until="out-of-service"), OFF, *steps, *records, read())


def test_the_time_in_which_nobody_may_is_from_the_fault_until_it_is_told() -> None:
    held = fenced(writing("a", 5, 9), writing("b", 40.0, 41))
    assert (held.verdict, held.sentence) == (HELD, "db: nobody took over in the 30.0 s before out-of-service")
    broken = fenced(writing("a", 5, 10.0), writing("b", 39.9, 41))
    assert broken.sentence == (
        "b wrote into the volume of db at 39.9 s, while nobody had said that node-a was out of service"
    )
    assert [each.at for each in broken.proof] == [39.9, 41]
    assert fenced(writing("c", 2), writing("a", 9, 12), writing("b", 41)).verdict is HELD


def test_without_a_line_before_the_fault_or_the_order_of_the_two_it_is_unknown() -> None:
    assert fenced(writing("b", 41)).sentence == "nobody had written into the volume of db before power-off"
    early = fenced(writing("a", 5), told=9.9)
    assert early.sentence == "out-of-service did not come after power-off, so there is no time to judge"
    assert fenced(writing("a", 5), told=10.0).verdict is HELD


# --- who holds it


def holders(*held: HeldBy, asked: float = 59.0) -> Finding:
    pods = [pod(1, "a", workload="db", node="w1"), pod(15, "a", "deleted", workload="db", node="w1")]
    pods += [pod(16, "b", "added", workload="db", node="w2"), pod(59.5, "c", "added", workload="db", node="w9")]
    seen = Sample(asked, HOLDERS_SEEN, "db", 2), Sample(99, HOLDERS_SEEN, "other", 2)
    return found(no_stale_lock(ONE), writing("a", 5), read(), pods, *held, *seen, OFF, saw_the_end())


def held_by(at: float, *by: tuple[str, str], workload: str = "db") -> HeldBy:
    return HeldBy(at, workload, tuple(Holder(*each) for each in by))


def test_the_last_look_counts_and_a_lock_outweighs_an_attachment() -> None:
    old, new = held_by(2, ("lock", "w1")), held_by(40, ("attachment", "w2"), ("lock", "w2"))
    other = held_by(50, ("lock", "w1"), workload="other")
    assert holders(old, new, other).verdict is HELD
    both = held_by(41, ("attachment", "w1"), ("lock", "w1"))
    stale = holders(old, new, both)
    assert (stale.reason, stale.proof) == ("stale-lock", (both,))
    assert stale.sentence == "the lock of the volume of db is still held by w1, which has no pod of it (w2 has)"
    unasked = holders(new, asked=57.9)
    assert unasked.sentence == "who holds the volume of db was not asked after the last fault"
    assert holders(new, asked=58.0).verdict is HELD


def test_a_pod_that_came_after_the_look_uses_nothing_then() -> None:
    assert holders(held_by(40, ("attachment", "w9"))).reason == "stale-attachment"
    nobody = holders()
    assert (nobody.verdict, nobody.sentence) == (HELD, "db: held by nobody")


def test_a_fault_in_which_nobody_had_to_write_shows_nothing() -> None:
    made = running_again(ONE, fault="drain-node", within_s=30)
    short = found(made, fault(10, 12, "drain-node"), writing("b", 13, 14), read())
    assert (short.verdict, short.sentence) == (
        UNKNOWN,
        "drain-node was undone 2.0 s after the last line of db; 30 s are given",
    )


def test_what_was_read_at_once_is_read_where_there_was_no_fault() -> None:
    assert found(same_data(ONE), line(0, 1, "a"), read(0.5)).verdict is HELD


def test_pods_count_that_came_before_the_last_look() -> None:
    looks = [Sample(at, HOLDERS_SEEN, "db", 1) for at in (5.0, 59.0)]
    new = pod(40, "b", "added", workload="db", node="w2")
    held = held_by(41, ("lock", "w2"))
    assert found(no_stale_lock(ONE), writing("a", 5), read(), new, held, OFF, saw_the_end(), looks).verdict is HELD


def test_an_event_about_another_workloads_pod_is_no_reason() -> None:
    other = pod(11, "x", "added", workload="kv")
    said = ClusterEvent(20, "Pod/ns/x", "F", "it is locked by other nodes", "Warning")
    assert again(writing("a", 9), other, said).reason == "no-writer"
