"""PLEG, judged to the last figure: bounds, sentences, proof."""

from collections.abc import Sequence

import pytest

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.history import History, Window
from chaos.record.records import IN_SYNC, Blind, FaultStep, NodeChange, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.pleg import promises as pleg
from chaos.subjects.pleg.promises import node_stays_ready, pleg_last_seen, pleg_recovers, pods_converge, quick
from chaos.subjects.pleg.records import (
    DISCARDED,
    GAP_S,
    LAST_SEEN_AGE,
    RELIST,
    REPORTED_AGE,
    RelistStack,
    Wave,
    WaveOver,
)

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
NODE = "worker"


def ages(values: Sequence[float], start: float = 0.0, node: str = NODE) -> list[Record]:
    return [Sample(start + i, LAST_SEEN_AGE, node, value) for i, value in enumerate(values)]


def last_seen(*records: Record, limit_s: float = 5) -> Finding:
    return judge(pleg_last_seen(NODE, limit_s=limit_s), History.of_records(records))


def stack(at: float, said: str, node: str = NODE) -> RelistStack:
    return RelistStack(at, node, "BLOCKED" in said, said)


def recovers(*records: Record, within_s: float = 3) -> Finding:
    return judge(pleg_recovers(NODE, limit_s=5, within_s=within_s), History.of_records(records))


def test_the_threshold_itself_is_allowed_and_what_is_held_tells_the_worst() -> None:
    held = last_seen(*ages([0, 5.0, 2]), *ages([9], node="another"))
    assert (held.verdict, held.figures) == (HELD, {"worst_age_s": 5.0, "limit_s": 5, "samples": 3})
    assert held.sentence == "PLEG of worker was active at least every 5.0 s, the threshold is 5 s"


def test_past_it_the_first_and_the_worst_are_proof_with_the_stacks() -> None:
    over = ages([0, 5.5, 7.1256, 6])
    stacks = [stack(1.0, "BLOCKED early"), stack(2.0, "BLOCKED late")]
    elsewhere = stack(3.0, "BLOCKED elsewhere", node="another")
    found = last_seen(*over, *stacks, elsewhere, stack(4.0, "it is in ListPodSandbox"))
    assert found.sentence == (
        "PLEG of worker was last seen active 7.1 s ago at 2.0 s, the threshold is 5 s; BLOCKED late"
    )
    assert found.figures["worst_age_s"] == 7.126
    assert [each.at for each in found.proof] == [1.0, 2.0, 1.0, 2.0, 4.0]
    assert last_seen(*over, elsewhere).reason == pleg.STALLED


@pytest.mark.parametrize(("gap_s", "age", "verdict"), [(4.5, 0.5, HELD), (4.5, 0.6, UNKNOWN)])
def test_a_gap_hides_only_what_could_have_grown_past_the_threshold(gap_s: float, age: float, verdict: Verdict) -> None:
    assert gap_s > GAP_S
    found = last_seen(Sample(10.0, LAST_SEEN_AGE, NODE, age), *ages([0], start=10.0 + gap_s))
    assert found.verdict is verdict
    if verdict is UNKNOWN:
        assert found.sentence == "PLEG of worker could not be seen from 10.0 s to 14.5 s"
        assert [each.at for each in found.proof] == [10.0]


def test_a_gap_says_why_only_by_a_blindness_in_it_and_of_that_node() -> None:
    gap = [*ages([4.9], start=10), *ages([0], start=20)]
    beside = [Blind(at, source, 30, "no") for at, source in ((9, "pleg:worker"), (21, "pleg:worker"), (12, "pleg:b"))]
    assert last_seen(*gap, *ages([0], start=21), *beside).sentence.endswith("from 10.0 s to 20.0 s")
    inside = Blind(10, "pleg:worker", 19, "it was away")
    found = last_seen(*gap, *beside, inside)
    assert found.sentence.endswith("from 10.0 s to 20.0 s: it was away")
    assert found.proof == (*gap[:1], inside)


def test_as_long_as_is_between_two_scrapes_is_no_gap() -> None:
    assert last_seen(*ages([4.9]), *ages([0], start=GAP_S)).verdict is HELD
    assert last_seen(*ages([4.9]), *ages([0], start=GAP_S + 0.1)).verdict is UNKNOWN


WAVE = (Wave(1, NODE, "150 pods"), WaveOver(2, NODE, "150 pods"))


def test_what_recovered_tells_all_figures() -> None:
    beside: list[Record] = [
        Sample(0.5, RELIST, NODE, 9.0),
        Sample(3.0, RELIST, NODE, 0.1256),
        Sample(4.0, DISCARDED, NODE, 17),
        Sample(4.0, RELIST, "another", 8),
        Wave(40, "another", "150 pods"),
    ]
    found = recovers(*WAVE, *ages([9, 9, 0, 1, 6, 5.0, 1, 0]), *beside[:-1])
    assert found.figures == {
        "limit_s": 5,
        "slowest_relist_s": 0.126,
        "discarded_events": 17,
        "recovered_s": 2,
    }
    assert found.sentence == "PLEG of worker relists in less than 5 s from 2.0 s after the last wave on"


def test_the_limit_itself_is_recovered_in_time_and_past_it_is_slow() -> None:
    seen = ages([0, 0, 0, 0, 0, 6, 0, 0])
    assert (recovers(*WAVE, *seen).verdict, recovers(*WAVE, *seen).figures["recovered_s"]) == (HELD, 3)
    late = recovers(*WAVE, *seen, within_s=2.9)
    assert (late.reason, late.sentence) == (
        pleg.SLOW,
        "PLEG of worker was quick again only 3.0 s after the last wave was over, allowed were 2.9 s",
    )
    many = recovers(*WAVE, *ages([0, 0, 6, 6, 6, 6, 6, 6, 0]), within_s=2)
    assert [each.at for each in many.proof] == [5, 6, 7]


def test_a_relist_alone_may_be_what_was_slow() -> None:
    found = recovers(*WAVE, *ages([0] * 9), Sample(7, RELIST, NODE, 5.1))
    assert (found.reason, found.figures["slowest_relist_s"]) == (pleg.SLOW, 5.1)
    assert recovers(*WAVE, *ages([0] * 9), Sample(7, RELIST, NODE, 5.0)).figures["recovered_s"] == 0


def test_what_did_not_recover_is_told_from_the_waves_beginning() -> None:
    found = recovers(*WAVE, *ages([0, 0, 3, 4, 5, 6]))
    assert found.sentence == (
        "PLEG of worker did not recover: 4 s after the last wave began it was last active 6.0 s ago"
    )
    assert [each.at for each in found.proof] == [5]
    short = recovers(*WAVE, *ages([0, 0, 3, 4, 5, 6]), within_s=3.1)
    assert (short.verdict, short.sentence) == (
        UNKNOWN,
        "PLEG of worker was looked at for 3 s only after the last wave",
    )


def test_only_the_last_wave_of_that_node_counts() -> None:
    twice = (*WAVE, Wave(4, NODE, "150 pods"), WaveOver(5, NODE, "150 pods"), WaveOver(9, "another", "150 pods"))
    found = recovers(*twice, *ages([0, 0, 7, 7, 0, 0, 6, 0, 0]))
    assert (found.verdict, found.figures["recovered_s"]) == (HELD, 1)
    begun = recovers(*WAVE, Wave(4, NODE, "150 pods"), *ages([0] * 9))
    assert begun.sentence == (
        "no wave of pods on worker is known to be over, so there is no moment from which to count"
    )
    silent = recovers(*WAVE, Sample(0.5, LAST_SEEN_AGE, NODE, 0))
    assert silent.sentence == "nothing was heard of PLEG of worker after the last wave"


def test_its_own_word_alone_shows_no_recovery() -> None:
    found = recovers(*WAVE, Sample(3, REPORTED_AGE, NODE, 1.0))
    assert (found.verdict, found.sentence) == (
        UNKNOWN,
        "PLEG of worker was not scraped any more once it could have recovered",
    )


def test_quick_takes_two_samples_of_late_and_none_above_the_limit() -> None:
    def seen(*values: tuple[float, float]) -> bool:
        history = History(began=0.0, began_wall=0.0)
        now = history.now()
        for ago_s, value in values:
            history.add(Sample(now - ago_s, LAST_SEEN_AGE, NODE, value))
        return quick(history, NODE, 5.0, for_s=100.0)

    assert seen((20, 5.0), (10, 0.0))
    assert not seen((10, 0.0))
    assert not seen((200, 0.0), (10, 0.0))
    assert not seen((20, 5.1), (10, 0.0))
    assert seen((200, 9.0), (20, 1.0), (10, 0.0))


# --- the node


def node(at: float, ready: str, change: str = "modified", name: str = NODE) -> NodeChange:
    return NodeChange(at, name, change, ready)


def stays(*records: Record, back_within_s: float = 4) -> Finding:
    return judge(node_stays_ready(NODE, back_within_s=back_within_s), History.of_records(records))


SYNC = Sample(30, IN_SYNC, "watch:nodes", 1.0)


def test_away_for_as_long_as_is_allowed_is_held_and_told() -> None:
    seen = [node(0, "True"), node(5, "False"), node(6, "Unknown"), node(9, "True"), node(12, "False"), node(13, "True")]
    held = stays(*seen, node(14, "False", name="another"), SYNC)
    assert (held.verdict, held.figures) == (HELD, {"times_not_ready": 2, "longest_not_ready_s": 4})
    assert held.sentence == "worker was away 2 times, 4.0 s at most"
    assert stays(node(0, "True"), SYNC).sentence == "worker was Ready all the time"
    broken = stays(*seen, SYNC, back_within_s=3.9)
    assert broken.sentence == (
        "worker was not Ready for 4.0 s from 5.0 s on, allowed were 3.9 s; at the end it was Ready"
    )
    assert broken.proof == tuple(seen[1:4])


def test_not_ready_at_the_end_is_violated_however_short() -> None:
    seen = [node(0, "True"), node(5, "False"), node(6, "True"), node(28.1256, "True", "deleted")]
    found = stays(*seen, SYNC)
    assert found.sentence == "worker was not Ready for 1.9 s from 28.1 s on, allowed were 4 s; at the end it was not"
    assert found.figures == {"times_not_ready": 2, "longest_not_ready_s": 1.874}


def test_what_comes_after_a_swapped_kubelet_was_taken_back_is_not_judged() -> None:
    back = [FaultStep(20.0, pleg.SWAP_PROGRAM, "undoing"), FaultStep(25.0, pleg.SWAP_PROGRAM, "undoing")]
    other = FaultStep(3.0, "cut-off", "undoing")
    assert stays(node(0, "True"), node(21, "False"), *back, other, SYNC).verdict is HELD
    away = stays(node(0, "True"), node(19, "False"), *back, SYNC)
    assert away.figures["longest_not_ready_s"] == 1
    assert Window(0, 20).length_s == 20


# --- pods


def churn(uid: str, ready_after: float, gone_after: float, at: float = 1.0, change: str = "added") -> list[Record]:
    def pod(when: float, change: str, *, ready: bool = False, deleting: bool = False) -> PodChange:
        return PodChange(when, "ns", uid, uid, change, workload="churn", ready=ready, deleting=deleting)

    end = at + ready_after + 1
    return [
        pod(at, change),
        pod(at + ready_after, "modified", ready=True),
        pod(end, "modified", ready=True, deleting=True),
        pod(end + gone_after, "deleted", deleting=True),
    ]


def test_starts_and_ends_are_told_by_percentiles() -> None:
    pods = [record for n in range(1, 11) for record in churn(f"p{n}", n, n / 2)]
    listed = churn("old", 90, 1, change="listed")
    sync = Sample(200, IN_SYNC, "watch:pods", 1.0)
    found = judge(pods_converge("churn", least=11), History.of_records([*pods, *listed, sync]))
    assert found.figures == {
        "pods": 11, "start_p50_s": 5, "start_p90_s": 9, "start_p99_s": 10, "start_max_s": 10,
        "end_p50_s": 2.5, "end_p90_s": 4.5, "end_p99_s": 5.0, "end_max_s": 5.0,
    }  # fmt: skip
    assert found.sentence == (
        "11 pods of churn came and went, none is left Terminating; start 5.0 s (median), 10.0 s (99 %)"
    )


SAW_PODS = [Sample(20.0, IN_SYNC, "watch:pods", 1.0)]


def test_what_is_left_is_counted_and_named() -> None:
    stuck, pending, well = churn("a", 1, 1)[:3], churn("b", 1, 1)[:1], churn("c", 1, 1)[:2]
    found = judge(pods_converge("churn", least=3), History.of_records([*stuck, *pending, *well, *SAW_PODS]))
    assert (found.reason, found.sentence) == (
        pleg.TERMINATING,
        "1 of 3 pods of churn are left Terminating at the end: a",
    )
    assert (found.figures["stuck"], found.figures["pending"], found.figures["end_p50_s"]) == (1, 1, "none")
    assert found.proof == (stuck[-1],)
    waits = judge(pods_converge("churn", least=2), History.of_records([*pending, *well, *SAW_PODS]))
    assert (waits.reason, waits.sentence) == (pleg.NOT_STARTED, "1 of 2 pods of churn are not Ready at the end: b")
    few = judge(pods_converge("churn", least=3), History.of_records([*pending, *well]))
    assert few.sentence == "of churn 2 pods were seen, and there must have been 3"


def test_the_undo_of_another_fault_ends_nothing() -> None:
    assert stays(node(0, "True"), node(5, "False"), FaultStep(3.0, "cut-off", "undoing"), SYNC).verdict is VIOLATED
    landed = FaultStep(3.0, pleg.SWAP_PROGRAM, "landed")
    assert stays(node(0, "True"), node(5, "False"), landed, SYNC).verdict is VIOLATED


def test_the_end_without_scrapes_is_counted_from_the_last_one() -> None:
    seen = [*ages([4.9]), *ages([0], start=2), Sample(6.0, RELIST, NODE, 0.1)]
    assert last_seen(*seen).verdict is HELD
    assert last_seen(*seen[:2], Sample(7.1, RELIST, NODE, 0.1)).verdict is UNKNOWN
