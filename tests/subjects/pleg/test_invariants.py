"""PLEG's invariants on literal histories."""

from collections.abc import Sequence

import pytest

from chaos.judge.base import Verdict
from chaos.record.history import History
from chaos.record.records import IN_SYNC, Blind, FaultStep, NodeChange, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.pleg import promises as pleg
from chaos.subjects.pleg.promises import node_stays_ready, percentile, pleg_last_seen, pleg_recovers, pods_converge
from chaos.subjects.pleg.records import LAST_SEEN_AGE, RELIST, REPORTED_AGE, RelistStack, Wave, WaveOver

NODE = "worker"


def ages(values: Sequence[float], start: float = 0.0) -> list[Record]:
    return [Sample(start + i, LAST_SEEN_AGE, NODE, value) for i, value in enumerate(values)]


def wave(at: float) -> Record:
    return Wave(at, NODE, "150 pods")


def over(at: float) -> Record:
    return WaveOver(at, NODE, "150 pods")


def stack(at: float, said: str) -> Record:
    return RelistStack(at, NODE, "BLOCKED" in said, said)


def in_sync(at: float, *resources: str) -> list[Record]:
    return [Sample(at, IN_SYNC, f"watch:{r}", 1.0) for r in resources]


class TestLastSeen:
    def test_below_the_limit_it_holds(self) -> None:
        found = pleg_last_seen(NODE, limit_s=5).judge(History.of_records(ages([0, 1, 2, 0, 1])))
        assert found.verdict is Verdict.HELD
        assert found.figures["worst_age_s"] == 2

    def test_above_it_is_stalled(self) -> None:
        found = pleg_last_seen(NODE, limit_s=5).judge(History.of_records(ages([0, 1, 2, 3, 4, 5, 6])))
        assert (found.verdict, found.reason) == (Verdict.VIOLATED, pleg.STALLED)

    def test_a_blocked_relist_is_a_deadlock(self) -> None:
        records = [*ages([0, 3, 6]), stack(2.5, "the PLEG relist is BLOCKED: it waits to send")]
        found = pleg_last_seen(NODE, limit_s=5).judge(History.of_records(records))
        assert (found.verdict, found.reason) == (Verdict.VIOLATED, pleg.DEADLOCK)
        assert "BLOCKED" in found.sentence

    def test_what_the_kubelet_says_of_itself_counts_too(self) -> None:
        records = [*ages([0, 1]), Sample(8, REPORTED_AGE, NODE, 7.2), *ages([0, 1], start=9)]
        assert pleg_last_seen(NODE, limit_s=5).judge(History.of_records(records)).reason == pleg.STALLED

    def test_a_gap_that_could_hide_it_is_unknown_and_says_why(self) -> None:
        gap = Blind(1.5, "pleg:worker", 7, "the kubelet did not answer")
        found = pleg_last_seen(NODE, limit_s=5).judge(History.of_records([*ages([0, 1]), gap, *ages([0, 1], start=7)]))
        assert found.verdict is Verdict.UNKNOWN
        assert "the kubelet did not answer" in found.sentence

    def test_a_gap_that_is_too_short_to_hide_it_does_no_harm(self) -> None:
        records = [*ages([0, 1]), *ages([0, 1], start=7)]
        assert pleg_last_seen(NODE, limit_s=180).judge(History.of_records(records)).verdict is Verdict.HELD

    def test_an_end_without_scrapes_is_a_gap(self) -> None:
        records = [*ages([0, 1]), Sample(60, "something-else", NODE, 1)]
        assert pleg_last_seen(NODE, limit_s=5).judge(History.of_records(records)).verdict is Verdict.UNKNOWN

    def test_no_scrape_is_unknown(self) -> None:
        assert pleg_last_seen(NODE).judge(History.of_records([wave(0)])).verdict is Verdict.UNKNOWN

    def test_only_the_time_of_a_swapped_in_kubelet_is_judged(self) -> None:
        back = FaultStep(2.5, pleg.SWAP_PROGRAM, "undoing")
        found = pleg_last_seen(NODE, limit_s=5).judge(History.of_records([*ages([0, 1, 2, 9, 10]), back]))
        assert found.verdict is Verdict.HELD


class TestRecovers:
    def test_quick_again_in_time_holds(self) -> None:
        relists = [Sample(5, RELIST, NODE, 7.0), Sample(8, RELIST, NODE, 0.2)]
        records = [wave(1), over(1), *ages([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 0]), *relists]
        found = pleg_recovers(NODE, limit_s=5, within_s=10).judge(History.of_records(records))
        assert found.verdict is Verdict.HELD, found.sentence
        assert found.figures["recovered_s"] == 6
        assert found.figures["slowest_relist_s"] == 7

    def test_too_late_is_slow(self) -> None:
        records = [wave(1), over(1), *ages([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 0])]
        assert pleg_recovers(NODE, limit_s=5, within_s=3).judge(History.of_records(records)).reason == pleg.SLOW

    @pytest.mark.parametrize(
        ("said", "reason"),
        [("the PLEG relist is BLOCKED", pleg.DEADLOCK), ("the PLEG relist is in ListPodSandbox", pleg.STALLED)],
    )
    def test_never_again_is_told_by_the_stack(self, said: str, reason: str) -> None:
        records = [wave(1), over(1), *ages([0, 1, 2, 3, 4, 5, 6, 7]), stack(6, said)]
        found = pleg_recovers(NODE, limit_s=5, within_s=6).judge(History.of_records(records))
        assert (found.verdict, found.reason) == (Verdict.VIOLATED, reason)

    def test_a_deadlock_needs_no_waiting_and_a_slow_runtime_does(self) -> None:
        records = [wave(1), over(1), *ages([0, 1, 2, 3, 4, 5, 6, 7])]
        assert pleg_recovers(NODE, limit_s=5, within_s=60).judge(History.of_records(records)).verdict is Verdict.UNKNOWN
        blocked = [*records, stack(6, "the PLEG relist is BLOCKED")]
        assert pleg_recovers(NODE, limit_s=5, within_s=60).judge(History.of_records(blocked)).reason == pleg.DEADLOCK

    def test_time_counts_from_the_end_of_the_wave(self) -> None:
        records = [wave(1), over(6), *ages([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 0])]
        found = pleg_recovers(NODE, limit_s=5, within_s=3).judge(History.of_records(records))
        assert (found.verdict, found.figures["recovered_s"]) == (Verdict.HELD, 1)

    def test_a_wave_that_is_not_over_proves_nothing(self) -> None:
        records = [wave(1), over(2), wave(3), *ages([0, 1, 0, 1, 0])]
        assert pleg_recovers(NODE, within_s=3).judge(History.of_records(records)).verdict is Verdict.UNKNOWN

    def test_without_scrapes_the_kubelets_own_word_counts(self) -> None:
        records = [*ages([0, 1]), wave(3), over(3), Sample(20, REPORTED_AGE, NODE, 15.0)]
        assert pleg_recovers(NODE, limit_s=5, within_s=9).judge(History.of_records(records)).reason == pleg.STALLED

    @pytest.mark.parametrize("records", [ages([0, 1]), [*ages([0, 1]), wave(9), over(9)], [wave(1), over(1)]])
    def test_without_a_wave_or_scrapes_after_it_nothing_is_known(self, records: list[Record]) -> None:
        assert pleg_recovers(NODE, within_s=9).judge(History.of_records(records)).verdict is Verdict.UNKNOWN

    def test_a_deadlock_is_seen_when_two_looks_agree(self) -> None:
        looks = [stack(1, "BLOCKED"), stack(11, "it is in ListPodSandbox"), stack(21, "BLOCKED")]
        assert not pleg.deadlock_seen(History.of_records(looks), NODE)
        assert pleg.deadlock_seen(History.of_records([*looks, stack(31, "BLOCKED")]), NODE)


class TestNodeStaysReady:
    def changes(self, *states: tuple[float, str]) -> list[Record]:
        return [NodeChange(at, NODE, "modified", ready) for at, ready in states]

    def test_a_short_absence_is_allowed(self) -> None:
        records = [*self.changes((0, "True"), (5, "False"), (9, "True")), *in_sync(20, "nodes")]
        found = node_stays_ready(NODE, back_within_s=10).judge(History.of_records(records))
        assert found.verdict is Verdict.HELD
        assert found.figures == {"times_not_ready": 1, "longest_not_ready_s": 4}

    def test_a_long_one_is_not(self) -> None:
        records = self.changes((0, "True"), (5, "Unknown"), (19, "True"))
        assert node_stays_ready(NODE, back_within_s=10).judge(History.of_records(records)).reason == pleg.NOT_READY

    def test_at_the_end_it_must_be_ready(self) -> None:
        records = [*self.changes((0, "True"), (5, "False")), *in_sync(20, "nodes")]
        assert node_stays_ready(NODE, back_within_s=30).judge(History.of_records(records)).reason == pleg.NOT_READY

    def test_whether_it_was_ready_at_the_end_has_to_be_seen(self) -> None:
        records = self.changes((0, "True"), (5, "False"))
        found = node_stays_ready(NODE, back_within_s=30).judge(History.of_records(records))
        assert found.verdict is Verdict.UNKNOWN

    def test_a_return_that_was_told_late_is_unknown(self) -> None:
        late = Blind(8, "watch:nodes", 19, "the API server took long", complete=True)
        records = [*self.changes((0, "True"), (5, "Unknown"), (19, "True")), late]
        found = node_stays_ready(NODE, back_within_s=10).judge(History.of_records(records))
        assert (found.verdict, found.sentence) == (
            Verdict.UNKNOWN,
            "when worker was Ready again after 5.0 s could not be seen",
        )
        too_long = node_stays_ready(NODE, back_within_s=2).judge(History.of_records(records))
        assert too_long.reason == pleg.NOT_READY

    def test_a_recorder_that_did_not_see_all_knows_nothing(self) -> None:
        records = self.changes((0, "True"))
        assert node_stays_ready(NODE, back_within_s=1).judge(History.of_records(records)).verdict is Verdict.UNKNOWN


class TestPodsConverge:
    def pod(self, at: float, uid: str, change: str, *, ready: bool = False, deleting: bool = False) -> Record:
        return PodChange(at, "ns", uid, uid, change, workload="churn", ready=ready, deleting=deleting)

    def gone(self, uid: str, at: float) -> list[Record]:
        return [
            self.pod(at, uid, "added"),
            self.pod(at + 2, uid, "modified", ready=True),
            self.pod(at + 5, uid, "modified", deleting=True),
            self.pod(at + 8, uid, "deleted", deleting=True),
        ]

    def test_all_that_came_and_went_holds_with_percentiles(self) -> None:
        records = [*self.gone("a", 0), *self.gone("b", 1), *in_sync(20, "pods")]
        found = pods_converge("churn", least=2).judge(History.of_records(records))
        assert found.verdict is Verdict.HELD, found.sentence
        assert (found.figures["start_p50_s"], found.figures["end_p99_s"]) == (2, 3)

    def test_one_left_terminating_is_stuck(self) -> None:
        records = [*self.gone("a", 0), *self.gone("b", 1)[:3], *in_sync(20, "pods")]
        assert pods_converge("churn", least=2).judge(History.of_records(records)).reason == pleg.TERMINATING

    def test_one_that_never_was_ready_did_not_start(self) -> None:
        records = [*self.gone("a", 0), self.pod(3, "b", "added"), *in_sync(20, "pods")]
        assert pods_converge("churn", least=2).judge(History.of_records(records)).reason == pleg.NOT_STARTED

    def test_what_is_left_at_the_end_has_to_be_seen(self) -> None:
        for left in (self.gone("b", 1)[:3], [self.pod(3, "b", "added")]):
            records = [*self.gone("a", 0), *left]
            found = pods_converge("churn", least=2).judge(History.of_records(records))
            assert found.verdict is Verdict.UNKNOWN

    def test_too_few_pods_prove_nothing(self) -> None:
        records = [*self.gone("a", 0), *in_sync(20, "pods")]
        assert pods_converge("churn", least=2).judge(History.of_records(records)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(("percent", "expected"), [(50, 2), (75, 3), (99, 4), (100, 4), (1, 1)])
def test_percentiles_are_by_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == expected
