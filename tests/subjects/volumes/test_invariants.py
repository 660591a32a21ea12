"""Who wrote into a volume, by literal histories."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.history import History
from chaos.record.records import Blind, ClusterEvent, FaultStep, Sample
from chaos.record.registry import Record
from chaos.subjects.volumes.promises import (
    at_most_one_writer,
    no_stale_lock,
    nobody_takes_over,
    running_again,
    same_data,
)
from chaos.subjects.volumes.records import HOLDERS_SEEN, LOG_READ, HeldBy, Holder, Torn, Written
from tests.judge.histories import fault, history, pod, saw_the_end

WORKLOAD = "recreate"
END = 60.0
READ: list[Record] = [Sample(END, LOG_READ, WORKLOAD, 1000)]


def wrote(*spans: tuple[str, float, float], released: bool = True, start: int = 1) -> list[Record]:
    """Lines twice a second by each writer (on a node of its name) from one time to another; the last has no lease."""
    number = count(start)
    lines: list[Record] = []
    for writer, begin, end in spans:
        times = [begin + i / 2 for i in range(int((end - begin) * 2) + 1)]
        for at in times:
            lease = 0 if released and at == times[-1] else 1
            lines.append(Written(at, WORKLOAD, next(number), writer, f"node-{writer}", lease))
    return lines


def held_from(at: float, holders: str) -> HeldBy:
    """By whom from then on: "lock:NODE attachment:NODE"."""
    return HeldBy(at, WORKLOAD, tuple(Holder(*each.split(":")) for each in holders.split()))


def finding(invariant: Any, *records: Record | Sequence[Record]) -> Finding:
    return judge(invariant, history(*records))


ONE_AFTER_THE_OTHER = wrote(("a", 0, 10), ("b", 20, 60))


class TestAtMostOneWriter:
    invariant = at_most_one_writer((WORKLOAD,))

    def test_one_after_the_other(self) -> None:
        assert finding(self.invariant, ONE_AFTER_THE_OTHER, READ).verdict is Verdict.HELD

    def test_one_that_goes_on_after_another_has_begun(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 10), ("b", 11, 12), ("a", 12.5, 14), released=False), READ)
        assert (found.verdict, found.reason) == (Verdict.VIOLATED, "two-writers")
        assert found.proof

    def test_one_that_begins_while_anothers_lease_runs(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 10), ("b", 10.5, 20), released=False), READ)
        assert (found.verdict, found.reason) == (Verdict.VIOLATED, "lease-broken")

    def test_a_lease_that_was_given_back_is_over(self) -> None:
        assert finding(self.invariant, wrote(("a", 0, 10), ("b", 10.5, 20)), READ).verdict is Verdict.HELD

    def test_a_lease_that_ran_out_is_over(self) -> None:
        spans = wrote(("a", 0, 10), ("b", 11, 20), released=False)
        assert finding(self.invariant, spans, READ).verdict is Verdict.HELD

    def test_two_that_take_turns_are_two_even_where_each_gives_its_lease_back(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 2), ("b", 3, 4), ("a", 5, 6)), READ)
        assert found.reason == "two-writers"

    @pytest.mark.parametrize(
        "records",
        [
            READ,
            ONE_AFTER_THE_OTHER,
            [*ONE_AFTER_THE_OTHER, *READ, FaultStep(END + 1, "drain-node", "undone")],
            [*ONE_AFTER_THE_OTHER, *READ, Blind(12, f"{Written.kind}:{WORKLOAD}", 60, "no such pod")],
        ],
        ids=["nothing was written", "never read", "not read after the fault", "not read to the end"],
    )
    def test_unknown(self, records: list[Record]) -> None:
        assert finding(self.invariant, records).verdict is Verdict.UNKNOWN

    def test_a_gap_that_was_read_later_is_none(self) -> None:
        gap = Blind(12, f"{Written.kind}:{WORKLOAD}", 15, "no such pod", complete=True)
        assert finding(self.invariant, ONE_AFTER_THE_OTHER, READ, gap).verdict is Verdict.HELD

    def test_a_violation_of_one_workload_is_worse_than_not_knowing_of_another(self) -> None:
        two = wrote(("a", 0, 2), ("b", 3, 4), ("a", 5, 6))
        found = finding(at_most_one_writer(("unheard-of", WORKLOAD)), two, READ)
        assert found.reason == "two-writers"
        found = finding(at_most_one_writer(("unheard-of", WORKLOAD)), ONE_AFTER_THE_OTHER, READ)
        assert found.verdict is Verdict.UNKNOWN

    def test_no_workload_is_unknown(self) -> None:
        assert finding(at_most_one_writer(()), ONE_AFTER_THE_OTHER, READ).verdict is Verdict.UNKNOWN


class TestSameData:
    invariant = same_data((WORKLOAD,))

    def test_the_numbers_go_on(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 10), ("b", 20, 60), start=7), READ)
        assert found.verdict is Verdict.HELD
        assert "lines 7 to" in found.sentence

    @pytest.mark.parametrize("start", [1, 20, 23], ids=["anew", "one was lost", "one too many"])
    def test_they_do_not(self, start: int) -> None:
        assert finding(self.invariant, ONE_AFTER_THE_OTHER, READ).verdict is Verdict.HELD, "21 lines of a, then 22"
        found = finding(self.invariant, wrote(("a", 0, 10)), wrote(("b", 20, 60), start=start), READ)
        assert (found.verdict, found.reason) == (Verdict.VIOLATED, "not-the-same")
        assert found.figures["before"] == 21
        assert found.figures["after"] == start

    def test_what_nobody_wrote(self) -> None:
        found = finding(self.invariant, ONE_AFTER_THE_OTHER, READ, Torn(30, WORKLOAD, "42 b no"))
        assert found.reason == "not-the-same"


class TestRunningAgain:
    invariant = running_again((WORKLOAD,), fault="drain-node", within_s=30)
    DRAINED = fault(10, 59, "drain-node")

    def test_another_took_over(self) -> None:
        found = finding(self.invariant, ONE_AFTER_THE_OTHER, READ, self.DRAINED)
        assert found.verdict is Verdict.HELD
        assert "b on node-b took over" in found.sentence
        assert found.figures["silence_s_recreate"] == 10

    def test_the_old_one_goes_on(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 60)), READ, self.DRAINED)
        assert found.verdict is Verdict.HELD
        assert "the old one on node-a goes on" in found.sentence

    def test_nobody_took_over(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 10)), READ, self.DRAINED)
        assert (found.verdict, found.reason) == (Verdict.VIOLATED, "no-writer")

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (
                "MountVolume.MountDevice failed: rbd: image pvc-1 is locked by other nodes (kubelet_lock_magic_a)",
                "locked",
            ),
            ('Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) a', "multi-attach"),
            ("Back-off restarting failed container", "no-writer"),
        ],
    )
    def test_why_is_what_the_events_of_its_own_pods_say(self, message: str, reason: str) -> None:
        own = pod(11, "b", "added", workload=WORKLOAD)
        event = ClusterEvent(20, "Pod/ns/b", "FailedMount", message, "Warning")
        other = ClusterEvent(20, "Pod/ns/other", "FailedMount", "is locked by other nodes", "Warning")
        found = finding(self.invariant, wrote(("a", 0, 10)), READ, self.DRAINED, own, event, other)
        assert found.reason == reason

    def test_too_late(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 10), ("b", 41, 60)), READ, self.DRAINED)
        assert found.verdict is Verdict.VIOLATED
        assert found.figures["silence_s"] == 31

    def test_it_took_over_and_did_not_last(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 10), ("b", 15, 20)), READ, self.DRAINED)
        assert found.verdict is Verdict.VIOLATED

    def test_undone_too_early_to_say(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 10)), READ, fault(10, 30, "drain-node"))
        assert found.verdict is Verdict.UNKNOWN

    def test_what_comes_after_the_fault_does_not_count(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 10), ("b", 50, 60)), READ, fault(10, 45, "drain-node"))
        assert found.verdict is Verdict.VIOLATED

    def test_silence_from_long_before_the_fault_is_not_of_the_fault(self) -> None:
        fenced = running_again((WORKLOAD,), fault="mark-out-of-service", within_s=30)
        lines = wrote(("a", 0, 10), ("b", 55, 60))
        found = finding(fenced, lines, READ, fault(35, 59, "mark-out-of-service"))
        assert found.verdict is Verdict.HELD
        assert found.figures["silence_s_recreate"] == 20

    def test_a_fault_that_never_landed(self) -> None:
        assert finding(self.invariant, ONE_AFTER_THE_OTHER, READ).verdict is Verdict.UNKNOWN


class TestNobodyTakesOver:
    invariant = nobody_takes_over((WORKLOAD,), fault="power-off", until="mark-out-of-service")
    TOLD: tuple[Record, ...] = (
        *fault(10, 58, "power-off"),
        FaultStep(40, "mark-out-of-service", "planned"),
        *fault(41, 57, "mark-out-of-service"),
    )

    def test_nobody_before_it_was_told(self) -> None:
        assert (
            finding(self.invariant, wrote(("a", 0, 10), ("b", 45, 60)), READ, list(self.TOLD)).verdict is Verdict.HELD
        )

    def test_the_old_one_may_write_on(self) -> None:
        assert finding(self.invariant, wrote(("a", 0, 60)), READ, list(self.TOLD)).verdict is Verdict.HELD

    def test_somebody_did(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 10), ("b", 30, 60)), READ, list(self.TOLD))
        assert (found.verdict, found.reason) == (Verdict.VIOLATED, "took-over")

    def test_nobody_ever_told(self) -> None:
        found = finding(self.invariant, wrote(("a", 0, 10)), READ, fault(10, 58, "power-off"))
        assert found.verdict is Verdict.UNKNOWN


class TestNoStaleLock:
    invariant = no_stale_lock((WORKLOAD,))

    def of(self, held_by: str, *, asked: float = 59.0, **fields: Any) -> Finding:
        old = [pod(1, "a", workload=WORKLOAD, node="w1"), pod(15, "a", "deleted", workload=WORKLOAD, node="w1")]
        new = pod(16, "b", "added", **{"workload": WORKLOAD, "node": "w2", **fields})
        later = pod(70, "b", "deleted", workload=WORKLOAD, node="w2")
        held = [held_from(2, "attachment:w1 lock:w1"), held_from(40, held_by)]
        seen = Sample(asked, HOLDERS_SEEN, WORKLOAD, 2)
        lines = wrote(("a", 0, 10), ("b", 20, 60))
        return finding(
            self.invariant, lines, READ, old, new, later, held, seen, fault(10, 58, "drain-node"), saw_the_end()
        )

    def test_the_new_node_holds_it(self) -> None:
        assert self.of("attachment:w2 lock:w2").verdict is Verdict.HELD

    def test_nobody_holds_it(self) -> None:
        assert self.of("").verdict is Verdict.HELD

    def test_the_old_node_holds_the_lock(self) -> None:
        found = self.of("attachment:w2 lock:w1")
        assert (found.verdict, found.reason) == (Verdict.VIOLATED, "stale-lock")

    def test_the_old_node_holds_the_attachment(self) -> None:
        assert self.of("attachment:w1 attachment:w2 lock:w2").reason == "stale-attachment"

    def test_not_asked_after_the_fault(self) -> None:
        assert self.of("attachment:w2 lock:w1", asked=57.0).verdict is Verdict.UNKNOWN

    def test_pods_that_may_have_been_missed(self) -> None:
        lines = wrote(("a", 0, 10))
        held: list[Record] = [held_from(2, "lock:w1"), Sample(59, HOLDERS_SEEN, WORKLOAD, 1)]
        assert finding(self.invariant, lines, READ, held).verdict is Verdict.UNKNOWN


def test_the_history_survives_the_disk(tmp_path: Any) -> None:
    path = tmp_path / "history.jsonl"
    kept = History(path)
    for record in [*ONE_AFTER_THE_OTHER, *READ]:
        kept.add(record)
    kept.close()
    assert judge(same_data((WORKLOAD,)), History.load(path)).verdict is Verdict.HELD
