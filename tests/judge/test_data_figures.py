"""What a store must keep, judged to the last figure: bounds, sentences, proof."""

import pytest
from msgspec.structs import replace

from chaos.errors import OrdealError
from chaos.judge.base import Verdict, judge
from chaos.judge.data import DISK_USE, acknowledged_numbers, disk_use_bounded, stored, time_of_writes
from chaos.record.history import Window
from chaos.record.records import Blind, ClusterEvent, Sample, Stored
from chaos.record.registry import Record
from tests.judge.histories import history, saw_the_end
from tests.judge.test_data import disk, evictions, lost, member, read, served, use, wrote

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN


def test_a_lost_write_is_told_with_all_figures_and_all_proof() -> None:
    both = [read("m0", 40, "5"), read("m1", 40, "17-19", "23"), read("m2", 40, "5")]
    finding = lost(wrote(1, 1, 40), wrote(2, 41, 44, ok=False), *both, members=("m0", "m1", "m2"), allowed=3)
    assert finding.sentence == (
        "m1 lacks 4 of 40 acknowledged writes, and 3 may be lost: of c1 17-19, 23; so do m0, m2"
    )
    assert finding.figures == {"acknowledged": 40, "not_acknowledged": 4, "clients": 1, "lost": 4}
    assert finding.proof == tuple(both)
    held = lost(wrote(1, 1, 40), read("m0", 40), read("m1", 40, "17-19"), allowed=3)
    assert held.sentence == "3 of 40 acknowledged writes are missing, 3 may be"
    assert lost(wrote(1, 1, 40), read("m0", 40), read("m1", 40)).sentence == (
        "all 40 acknowledged writes of 1 clients are on m0, m1"
    )


def test_another_stores_writes_and_readings_are_none_of_this_one() -> None:
    other: list[Record] = [
        replace(wrote(1, 1, 9), store="another"),
        replace(read("m0", 40, "3", at=60.0), store="another"),
    ]
    assert lost(wrote(1, 1, 40), read("m0", 40), read("m1", 40), *other).figures["acknowledged"] == 40
    nothing = lost(wrote(1, 1, 9, ok=False), other[0], read("m0", 0))
    assert (nothing.verdict, nothing.sentence) == (UNKNOWN, "no write to db was acknowledged (9 were not)")
    assert nothing.proof == (wrote(1, 1, 9, ok=False),)


def test_read_at_the_moment_of_the_last_acknowledgement_is_late_enough() -> None:
    writes = [wrote(1, 1, 40, took_s=0.25), wrote(2, 41, 50, took_s=0.25)]
    assert lost(*writes, read("m0", 50, at=2.25), read("m1", 50, at=2.25)).verdict is HELD
    early = lost(*writes, read("m0", 50, at=2.24), read("m1", 50))
    assert early.sentence == "m0 was read at 2.24 s, before c1's last acknowledgement at 2.25 s"
    assert early.proof == (read("m0", 50, at=2.24),)


def test_numbers_that_do_not_go_on_are_told_with_both_sides() -> None:
    skipped = [wrote(1, 1, 40), wrote(2, 45, 50)]
    finding = lost(*skipped, read("m0", 46), read("m1", 46))
    assert (finding.sentence, finding.proof) == (
        "c1's writes between 40 and 45 are not recorded once each",
        tuple(skipped),
    )
    late = lost(wrote(1, 2, 40), read("m0", 39), read("m1", 39))
    assert (late.sentence, late.proof) == ("c1's writes before number 2 were not recorded", (wrote(1, 2, 40),))
    twice = lost(wrote(1, 1, 40), wrote(2, 40, 40), read("m0", 41), read("m1", 41))
    assert "between 40 and 40" in twice.sentence
    other = lost(wrote(1, 1, 40), read("m0", 39), read("m1", 40))
    assert other.sentence == "m0 was compared with 39 acknowledged writes of c1, and 40 were recorded (40 different)"


def test_blindness_for_another_store_is_none() -> None:
    all_there = (wrote(1, 1, 40), read("m0", 40), read("m1", 40))
    assert lost(*all_there, Blind(3.0, "writes:dbs", 4.0, "it died")).verdict is HELD
    assert lost(*all_there, Blind(3.0, "writes:db/c1", 4.0, "it died")).verdict is UNKNOWN


def test_a_try_that_lasts_is_no_time_without_a_try() -> None:
    lasting = [wrote(0, 1, 9), wrote(0.3, 10, 10, ok=False, took_s=5.0), wrote(5.4, 11, 20)]
    held = served(9.0, *lasting)
    assert (held.verdict, held.figures) == (HELD, {"longest_unserved_ms": 5100, "tried": 20})
    assert held.sentence == "writers of db were never unserved for longer than 5.1 s"
    past = [wrote(0, 1, 9), wrote(0.3, 1, 1, ok=False, took_s=9.0, client="c2"), wrote(4.4, 10, 19)]
    assert served(9.0, *past, window=Window(0.0, 5.0)).verdict is HELD
    pause = [wrote(0, 1, 9), wrote(0.3, 10, 10, ok=False), wrote(2.6, 11, 11, ok=False), wrote(2.9, 12, 20)]
    unsure = served(9.0, *pause)
    assert (unsure.verdict, unsure.sentence) == (UNKNOWN, "nobody tried to write to db from 0.5 s to 2.8 s")


def test_the_limit_itself_is_served_in_time_and_one_client_is_judged_alone() -> None:
    away = [wrote(0, 1, 9), wrote(1.0, 10, 10, ok=False, took_s=1.5), wrote(3.0, 11, 20)]
    assert served(2.0, *away).verdict is HELD
    finding = served(1.99, *away, wrote(1.0, 1, 20, took_s=0.9, client="c2"), client="c1")
    assert finding.sentence == "c1 of db was not served for 2.0 s from 1.0 s on; allowed were 1.99 s (refused)"
    assert finding.figures == {"longest_unserved_ms": 2000, "tried": 20}
    assert finding.proof == (away[1],)
    assert served(1.99, *away, wrote(0.9, 1, 20, took_s=0.9, client="c2")).verdict is HELD


def test_what_was_never_acknowledged_is_said() -> None:
    none = [wrote(0, 1, 9, ok=False), wrote(1, 10, 19, ok=False)]
    finding = served(2.0, *none)
    assert finding.sentence == "none of 2 writes to db was acknowledged: refused"
    assert (finding.reason, finding.proof) == ("not-served", tuple(none))
    assert served(2.0, replace(wrote(0, 1, 9), store="another")).sentence == "no write to db was tried"


def test_what_touches_the_span_is_judged_and_what_does_not_is_not() -> None:
    away = [wrote(0, 1, 1, ok=False, took_s=4.0), *[wrote(4 + n * 0.2, n + 2, n + 2) for n in range(40)]]
    assert served(1.0, *away, window=Window(4.0, 9.0)).verdict is VIOLATED
    assert served(1.0, *away, window=Window(4.1, 9.0)).verdict is HELD
    late = [wrote(n * 0.2, n + 1, n + 1) for n in range(26)]
    late += [wrote(5.3 + n, 27 + n, 27 + n, ok=False, took_s=0.9) for n in range(4)]
    assert served(1.0, *late, window=Window(0.0, 5.1)).verdict is HELD
    assert served(1.0, *late, window=Window(0.0, 5.2)).verdict is VIOLATED
    assert served(1.0, *late, window=Window(20.0, 30.0)).sentence == "no write to db was tried"


def from_100_s(*values_mib: float, subject: str = "m0") -> list[Record]:
    return [Sample(100.0 + n, DISK_USE, subject, v * 1024**2) for n, v in enumerate(values_mib)]


def test_the_last_quarter_is_that_of_the_judged_time_wherever_it_began() -> None:
    settled = from_100_s(100, 150, 200, 250, 300, 300, 300, 300, 300)
    held = disk(settled)
    assert held.sentence == "no disk use above 300 MiB, and none went on growing; allowed 900 MiB"
    assert held.figures == {"most_bytes_m0": 300 << 20}
    assert disk(from_100_s(100, 150, 200, 250, 300, 350, 400, 450, 500)).reason == "grows"
    assert disk(settled, window=Window(100.0, 104.0)).reason == "grows"


def test_too_much_is_told_before_growth_and_each_subject_of_it() -> None:
    growing, above = from_100_s(*range(100, 900, 100)), from_100_s(100, 950, 100, 100, subject="m1")
    both = judge(disk_use_bounded(["m0", "m1"], limit_bytes=900 << 20), history(growing, above))
    assert (both.reason, both.sentence) == ("over-limit", "m1 used 950 MiB, allowed 900 MiB")
    assert both.proof == (above[1],)
    assert both.figures == {"most_bytes_m0": 800 << 20, "most_bytes_m1": 950 << 20}
    assert disk(from_100_s(900, 900, 900, 900, 900)).verdict is HELD


def test_disks_that_were_looked_at_too_seldom_say_where() -> None:
    assert disk(from_100_s(100, 110, 100)).sentence == "the disk use of m0 was sampled 3 times only"
    assert disk(from_100_s(100, 110, 100, 110)).verdict is HELD
    seldom = disk(use(100, 110, 100, 110, every_s=5.5))
    assert seldom.sentence == "the disk use of m0 was not seen from 0.0 s to 5.5 s"
    assert disk(use(100, 110, 100, 110, 100, every_s=5.0)).verdict is HELD
    early = disk(use(100, 110, 100, 110, 100), window=Window(0.0, 6.0))
    assert early.sentence == "the disk use of m0 was not sampled in each part of the time"
    other: list[Record] = [Sample(float(n), "another", "m0", 1.0) for n in range(9)]
    assert disk(other).sentence == "the disk use of m0 was sampled 0 times only"


def test_a_member_that_was_evicted_is_told_with_all_figures() -> None:
    said = [ClusterEvent(at, "Pod/ns/m1", "Evicted", "low") for at in (4.5, 7.0)]
    beside = [
        ClusterEvent(1.0, "Pod/ns/m0", "Pulled", "m"),
        ClusterEvent(1.0, "Pod/ns/web", "Evicted", "low"),
    ]
    gone = member(5.0, "m1", "modified", reason="TerminationByKubelet")
    finding = evictions(
        member(0, "m0"), member(0, "m1"), gone, member(6.0, "m1", "deleted", reason="Evicted"), *beside, *said
    )
    assert finding.sentence == '1 of 2 members of mysql were evicted (m1), first at 4.5 s: "low"'
    assert finding.figures == {"members": 2, "evicted": 1, "evictions": 2, "first_s": 4.5}
    assert finding.proof == (said[0], gone, said[1])
    held = evictions(member(0, "m0"), member(0, "m1"), *beside, saw_the_end())
    assert (held.verdict, held.figures) == (HELD, {"members": 2, "evicted": 0})


def test_numbers_and_times_of_writes() -> None:
    writes = [
        wrote(1, 1, 3),
        wrote(2, 4, 5, ok=False),
        wrote(3, 6, 6, took_s=0.5),
        wrote(2, 1, 1, client="c2", took_s=9.0),
    ]
    assert acknowledged_numbers(writes) == {"c1": {1, 2, 3, 6}, "c2": {1}}
    assert time_of_writes(history(*writes), "db") == Window(1.0, 11.0)
    with pytest.raises(OrdealError, match="no write to another was recorded"):
        time_of_writes(history(*writes), "another")
    assert stored(9.0, "db", "m0", "c1", {1, 2, 3, 6}, {2, 7}, behind=True) == Stored(
        9.0, "db", "m0", "c1", 4, ("1", "3", "6"), behind=True
    )


def test_of_two_doubts_the_first_is_said() -> None:
    pauses = [wrote(0, 1, 9), wrote(30, 10, 19), wrote(60, 20, 29)]
    assert served(90.0, *pauses).sentence == "nobody tried to write to db from 0.2 s to 30.0 s"
    died = Blind(0.2, "writes:db", 1.0, "it died")
    assert served(90.0, *pauses, died).sentence == "the writers of db were not heard from 0.2 s to 1.0 s: it died"
    always = served(1.0, wrote(0, 1, 9), wrote(0.2, 10, 30))
    assert always.figures == {"longest_unserved_ms": 0, "tried": 30}
    assert served(2.0, wrote(0, 1, 9), window=Window(0.2, 5.0)).verdict is HELD


def test_two_tries_as_far_apart_as_is_allowed_leave_no_doubt() -> None:
    tries = [wrote(0, 1, 9), wrote(0.3, 10, 10, ok=False), wrote(2.3, 11, 11, ok=False), wrote(2.5, 12, 20)]
    assert served(9.0, *tries).verdict is HELD


def test_the_share_that_goes_on_growing_and_how_far_peaks_may_differ() -> None:
    def sampled(*values: float) -> list[Record]:
        return [Sample(float(n), DISK_USE, "m0", value) for n, value in enumerate(values)]

    assert disk(sampled(0, 10, 20, 30, 37)).reason == "grows"
    assert disk(sampled(0, 10, 20, 30, 36.9)).verdict is UNKNOWN
    assert disk(sampled(1000, 1000, 960, 1000, 1020)).reason == "grows"  # half of the deepest fall
    assert disk(sampled(1000, 1000, 960, 1000, 1019)).verdict is HELD
