"""What a store must keep: lost writes are found, none is invented, and what was not seen is unknown."""

import math

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from chaos.judge.base import Finding, Verdict, judge
from chaos.judge.data import (
    DISK_USE,
    acknowledged_numbers,
    disk_use_bounded,
    no_acknowledged_write_lost,
    no_member_evicted,
    served_again_within,
    stored,
)
from chaos.record.history import Window
from chaos.record.records import Blind, ClusterEvent, Sample, Stored, Writes
from chaos.record.registry import Record
from tests.judge.histories import fault, history, pod, saw_the_end

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN


def wrote(at: float, first: int, last: int, *, ok: bool = True, took_s: float = 0.2, client: str = "c1") -> Writes:
    return Writes(at, "db", client, first, last, ok, took_s, "" if ok else "refused")


def read(member: str, acknowledged: int, *missing: str, at: float = 50.0, client: str = "c1") -> Stored:
    return Stored(at, "db", member, client, acknowledged, missing)


def lost(*records: Record | list[Record], members: tuple[str, ...] = ("m0", "m1"), allowed: int = 0) -> Finding:
    return judge(no_acknowledged_write_lost("db", members=members, allowed=allowed), history(*records))


# --- acknowledged writes


def test_all_there_is_held_with_figures() -> None:
    finding = lost(wrote(1, 1, 40), wrote(2, 41, 43, ok=False), wrote(3, 44, 50), read("m0", 47), read("m1", 47))
    assert finding.verdict is HELD
    assert (finding.figures["acknowledged"], finding.figures["not_acknowledged"]) == (47, 3)


def test_a_lost_write_is_violated_and_says_which_on_whom() -> None:
    finding = lost(wrote(1, 1, 40), read("m0", 40), read("m1", 40, "17-19", "23"))
    assert (finding.verdict, finding.reason) == (VIOLATED, "lost")
    assert finding.figures["lost"] == 4
    assert "m1 lacks 4 of 40 acknowledged writes: of c1 17-19, 23" in finding.sentence


def test_what_a_member_lacks_that_is_still_behind_is_unknown() -> None:
    behind = replace(read("m1", 40, "17-40"), behind=True)
    finding = lost(wrote(1, 1, 40), read("m0", 40), behind)
    assert finding.verdict is UNKNOWN
    assert "m1 was read at 50.00 s, before it had caught up" in finding.sentence
    assert lost(wrote(1, 1, 40), read("m0", 40, "17"), behind).verdict is VIOLATED
    assert lost(wrote(1, 1, 40), read("m0", 40), replace(read("m1", 40), behind=True)).verdict is HELD


def test_what_may_be_lost_is_counted_and_held() -> None:
    finding = lost(wrote(1, 1, 40), read("m0", 40, "39-40"), read("m1", 40), allowed=2)
    assert (finding.verdict, finding.figures["lost"]) == (HELD, 2)
    assert lost(wrote(1, 1, 40), read("m0", 40, "38-40"), read("m1", 40), allowed=2).verdict is VIOLATED


def test_nothing_acknowledged_proves_nothing() -> None:
    assert lost(wrote(1, 1, 9, ok=False), read("m0", 0), read("m1", 0)).verdict is UNKNOWN
    assert lost().verdict is UNKNOWN


def test_a_member_that_was_not_read_is_unknown() -> None:
    finding = lost(wrote(1, 1, 40), read("m0", 40))
    assert finding.verdict is UNKNOWN
    assert "m1 was not read" in finding.sentence


def test_a_client_that_was_not_looked_for_is_unknown() -> None:
    other = wrote(1, 1, 5, client="c2")
    assert lost(wrote(1, 1, 40), other, read("m0", 40), read("m1", 40)).verdict is UNKNOWN


def test_read_before_the_last_acknowledgement_is_unknown() -> None:
    early = [read("m0", 40, at=1.1), read("m1", 40)]
    assert lost(wrote(1, 1, 40), *early).verdict is UNKNOWN


def test_compared_with_other_numbers_than_were_recorded_is_unknown() -> None:
    assert lost(wrote(1, 1, 40), read("m0", 39), read("m1", 40)).verdict is UNKNOWN
    finding = lost(wrote(1, 1, 40), wrote(2, 41, 42, ok=False), read("m0", 40, "41"), read("m1", 40))
    assert (finding.verdict, "nobody acknowledged" in finding.sentence) == (UNKNOWN, True)


def test_writers_that_were_not_heard_are_unknown() -> None:
    gap = Blind(3.0, "writes:db", 4.0, "it died")
    assert lost(wrote(1, 1, 40), gap, read("m0", 40), read("m1", 40)).verdict is UNKNOWN
    assert lost(wrote(1, 1, 40), gap, read("m0", 40, "3"), read("m1", 40)).verdict is VIOLATED


def test_numbers_that_were_left_out_or_told_twice_are_unknown() -> None:
    for second in (wrote(2, 45, 50), wrote(2, 38, 50), wrote(0.5, 0, 0)):
        both = 40 + second.count
        assert lost(wrote(1, 1, 40), second, read("m0", both), read("m1", both)).verdict is UNKNOWN
    assert lost(wrote(1, 2, 40), read("m0", 39), read("m1", 39)).verdict is UNKNOWN


def test_the_last_reading_counts() -> None:
    late = [read("m0", 40, "40", at=10), read("m0", 40, at=20), read("m1", 40)]
    assert lost(wrote(1, 1, 40), *late).verdict is HELD


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_a_store_that_drops_is_convicted_of_exactly_what_it_dropped(fates: list[tuple[bool, bool]]) -> None:
    """Each write: is it acknowledged, is it kept. No mix makes the checker invent a loss or overlook one."""
    writes = [wrote(n, n, n, ok=ok) for n, (ok, _) in enumerate(fates, start=1)]
    there = {n for n, (_, kept) in enumerate(fates, start=1) if kept}
    acknowledged = acknowledged_numbers(writes).get("c1", set())
    finding = lost(writes, stored(99.0, "db", "m0", "c1", acknowledged, there), members=("m0",))  # type: ignore[arg-type]
    dropped = sum(ok and not kept for ok, kept in fates)
    if not acknowledged:
        assert finding.verdict is UNKNOWN
    else:
        assert finding.verdict is (VIOLATED if dropped else HELD)
        assert finding.figures["lost"] == dropped


# --- served again


def served(within_s: float, *records: Record | list[Record], **span: object) -> Finding:
    return judge(served_again_within("db", within_s, **span), history(*records))  # type: ignore[arg-type]


def test_always_served_is_held() -> None:
    assert served(1.0, wrote(0, 1, 9, took_s=1.0), wrote(1.1, 10, 30, took_s=1.0)).verdict is HELD


def test_refused_until_served_again_is_measured() -> None:
    records = [
        wrote(0, 1, 9),
        wrote(0.3, 10, 11, ok=False, took_s=1.5),
        wrote(1.9, 12, 12, ok=False),
        wrote(2.3, 13, 20),
    ]
    assert served(3.0, *records).figures["longest_unserved_ms"] == 2000
    finding = served(1.9, *records)
    assert (finding.verdict, finding.reason) == (VIOLATED, "not-served")
    assert "for 2.0 s from 0.3 s on; allowed were 1.9 s (refused)" in finding.sentence


def test_a_slow_answer_counts_as_away() -> None:
    assert served(3.0, wrote(0, 1, 9), wrote(0.2, 10, 10, took_s=4.0), wrote(4.3, 11, 20)).verdict is VIOLATED


def test_another_client_that_is_served_is_enough() -> None:
    slow = wrote(0.0, 1, 1, ok=False, took_s=5.0, client="c2")
    assert served(1.0, slow, *[wrote(n * 0.2, n + 1, n + 1) for n in range(26)]).verdict is HELD


def test_never_served_again_is_violated() -> None:
    finding = served(2.0, wrote(0, 1, 9), *[wrote(0.3 + n, 10 + n, 10 + n, ok=False, took_s=0.9) for n in range(5)])
    assert finding.verdict is VIOLATED
    assert "were not again" in finding.sentence
    assert served(2.0, wrote(0, 1, 9, ok=False)).verdict is VIOLATED


def test_nobody_tried_is_unknown() -> None:
    assert served(2.0).verdict is UNKNOWN
    assert served(1.0, wrote(0, 1, 9), wrote(30, 10, 19)).verdict is UNKNOWN
    assert served(9.0, wrote(0, 1, 9), Blind(0.2, "writes:db", 1.0, "died"), wrote(1.0, 10, 19)).verdict is UNKNOWN


def test_a_time_in_which_nobody_tried_proves_no_long_one_without_service() -> None:
    """The client was held up itself: whether the store would have served meanwhile nobody knows."""
    held_up = [wrote(0, 1, 9), wrote(0.3, 10, 10, ok=False), wrote(9.0, 11, 11, ok=False), wrote(9.5, 12, 20)]
    found = served(3.0, *held_up)
    assert (found.verdict, found.sentence) == (UNKNOWN, "nobody tried to write to db from 0.5 s to 9.2 s")
    assert served(0.9, *held_up).verdict is UNKNOWN
    assert served(0.4, *held_up).verdict is VIOLATED
    away = [wrote(20 + n, 30 + n, 30 + n, ok=False) for n in range(5)]
    both = served(3.0, *held_up, wrote(19.7, 29, 29), *away, wrote(25, 40, 40))
    assert both.verdict is VIOLATED
    assert "for 5.0 s from 20.0 s on" in both.sentence


def test_only_the_faults_time_is_judged() -> None:
    records = [wrote(0, 1, 1, ok=False, took_s=4.0), *[wrote(4 + n * 0.2, n + 2, n + 2) for n in range(40)]]
    assert served(1.0, *records, fault(6.0, 9.0), fault="cut").verdict is HELD
    assert served(1.0, *records).verdict is VIOLATED
    assert served(1.0, *records, fault="cut").verdict is UNKNOWN


# --- disks


def use(*values_mib: float, subject: str = "m0", every_s: float = 1.0) -> list[Record]:
    return [Sample(n * every_s, DISK_USE, subject, v * 1024**2) for n, v in enumerate(values_mib)]


def disk(*records: Record | list[Record], limit_mib: int = 900, **options: object) -> Finding:
    return judge(disk_use_bounded(["m0"], limit_bytes=limit_mib << 20, **options), history(*records))  # type: ignore[arg-type]


def test_a_saw_tooth_is_bounded() -> None:
    finding = disk(use(100, 200, 300, 120, 310, 130, 320, 140))
    assert (finding.verdict, finding.figures["most_bytes_m0"]) == (HELD, 320 << 20)


def test_growing_is_violated() -> None:
    finding = disk(use(100, 200, 300, 400, 500, 600, 700, 800))
    assert (finding.verdict, finding.reason) == (VIOLATED, "grows")
    assert "at most 600 MiB in the first three quarters of 7 s, 800 MiB in the last" in finding.sentence


@given(st.integers(0, 2000), st.integers(1, 50), st.integers(12, 200))
def test_what_grows_for_ever_is_violated_wherever_it_began(began: int, each: int, samples: int) -> None:
    grown = [began + each * n for n in range(samples)]
    assume(each * samples / 4 > 0.02 * grown[-1])
    finding = disk(use(*grown), limit_mib=1 << 20)
    assert (finding.verdict, finding.reason) == (VIOLATED, "grows")


@given(st.integers(50, 300), st.integers(100, 500), st.integers(3, 12))
def test_the_way_to_a_plateau_is_held_once_it_is_there(began: int, rise: int, tau: int) -> None:
    settled = [began + rise * (1 - math.exp(-n / tau)) for n in range(6 * tau)]
    assert disk(use(*settled)).verdict is HELD


def test_what_grows_slower_and_slower_had_no_time_to_settle() -> None:
    settling = [100 + 400 * (1 - math.exp(-n / 40)) for n in range(40)]
    finding = disk(use(*settling))
    assert finding.verdict is UNKNOWN
    assert "had not settled yet" in finding.sentence


def test_a_saw_tooth_that_climbs_is_violated() -> None:
    climbing = [100 + 10 * n + (15 if n % 4 else 0) for n in range(40)]
    assert disk(use(*climbing)).reason == "grows"


def test_a_step_at_the_end_is_violated() -> None:
    assert disk(use(*[100.0] * 30, *[400.0] * 4)).reason == "grows"


def test_the_quiet_after_the_load_is_left_out_by_the_window() -> None:
    grown = use(*[100 + 10 * n for n in range(40)], *[490.0] * 20)
    assert disk(grown, window=Window(0.0, 39.0)).reason == "grows"


def test_peaks_that_differ_by_chance_are_no_growth() -> None:
    assert disk(use(*[300, 340, 305, 342, 303, 341, 304, 344, 306, 350])).verdict is HELD


def test_above_the_limit_is_violated_whatever_comes_after() -> None:
    finding = disk(use(100, 950, 100, 100, 100))
    assert (finding.verdict, finding.reason) == (VIOLATED, "over-limit")


def test_disks_that_were_not_looked_at_are_unknown() -> None:
    assert disk(use(100, 110)).verdict is UNKNOWN
    assert disk(use(100, 110, 100, 110, every_s=6.0)).verdict is UNKNOWN
    assert disk(use(100, 110, 100, 110, 100), window=Window(0.0, 30.0)).verdict is UNKNOWN
    assert judge(disk_use_bounded(["m0", "m1"], limit_bytes=1 << 40), history(use(1, 1, 1, 1, 1))).verdict is UNKNOWN


# --- members


def evictions(*records: Record | list[Record]) -> Finding:
    return judge(no_member_evicted("mysql"), history(*records))


def member(at: float, name: str, change: str = "listed", **fields: object) -> Record:
    return pod(at, name, change, workload="mysql", **fields)


def test_nobody_evicted_is_held_and_needs_the_end_seen() -> None:
    assert evictions(member(0, "m0"), member(0, "m1"), saw_the_end()).verdict is HELD
    assert evictions(member(0, "m0")).verdict is UNKNOWN
    assert evictions(pod(0, "web-1"), saw_the_end()).verdict is UNKNOWN


def test_an_evicted_member_is_violated_with_the_kubelets_words() -> None:
    said = ClusterEvent(5.1, "Pod/ns/m1", "Evicted", "The node was low on resource: ephemeral-storage. ", "Warning")
    gone = member(5.0, "m1", "modified", phase="Failed", reason="Evicted")
    finding = evictions(member(0, "m0"), member(0, "m1"), gone, said, saw_the_end())
    assert (finding.verdict, finding.reason, finding.figures["evicted"]) == (VIOLATED, "evicted", 1)
    assert 'first at 5.0 s: "The node was low on resource: ephemeral-storage."' in finding.sentence
    assert evictions(member(0, "m0"), gone).figures["evicted"] == 1
    assert evictions(member(0, "m1"), said).figures["evicted"] == 1


def test_a_crashed_member_was_not_evicted() -> None:
    crashed = member(5.0, "m0", "modified", restarts=3, containers=("m0-4",))
    assert evictions(member(0, "m0"), crashed, saw_the_end()).verdict is HELD
