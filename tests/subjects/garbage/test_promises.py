"""Whether what is due was done in time: every verdict, on literal histories."""

from collections.abc import Callable

import pytest

from chaos.judge.base import Invariant, Verdict, judge
from chaos.record.history import History
from chaos.record.records import Blind, FaultStep
from chaos.record.registry import Record
from chaos.subjects.garbage.promises import jobs_past_ttl_go, namespace_ends, pods_of_deleted_go, quotas_counted
from chaos.subjects.garbage.records import Due, Look, What, Why

FAULT = "break-conversion"
LANDED, UNDONE = FaultStep(1, FAULT, "landed"), FaultStep(100, FAULT, "undone")
NAME = "ns/web"
EACH = [
    (pods_of_deleted_go, What.PODS, "not-collected"),
    (jobs_past_ttl_go, What.JOB, "job-stays"),
    (quotas_counted, What.QUOTA, "not-counted"),
    (namespace_ends, What.NAMESPACE, "not-ended"),
]
each_promise = pytest.mark.parametrize(("make", "what", "reason"), EACH)


def judged(make: Callable[..., Invariant], *records: Record) -> tuple[Verdict, str]:
    found = judge(make(within_s=60, fault=FAULT), History.of_records(records))
    return found.verdict, found.reason


@each_promise
def test_what_is_done_in_time_keeps_the_promise(make: Callable[..., Invariant], what: What, reason: str) -> None:
    due, looks = Due(2, what, NAME), (Look(30, what, NAME, done=False), Look(62, what, NAME, done=True))
    found = judge(make(within_s=60, fault=FAULT), History.of_records([LANDED, due, *looks, UNDONE]))
    assert (found.verdict, found.figures["done_after_s"]) == (Verdict.HELD, 60)


@each_promise
def test_what_is_not_done_in_time_breaks_it(make: Callable[..., Invariant], what: What, reason: str) -> None:
    due, late = Due(2, what, NAME), Look(62, what, NAME, done=False)
    assert judged(make, LANDED, due, late, UNDONE) == (Verdict.VIOLATED, reason)
    assert judged(make, LANDED, due, late, Look(63, what, NAME, done=True), UNDONE) == (Verdict.VIOLATED, reason)
    assert judged(make, LANDED, due, late) == (Verdict.VIOLATED, reason)  # while it lasts


@each_promise
def test_one_of_several_is_enough_to_break_it(make: Callable[..., Invariant], what: What, reason: str) -> None:
    other = (Due(2, what, "ns/other"), Look(62, what, "ns/other", done=False))
    done = (Due(2, what, NAME), Look(3, what, NAME, done=True))
    assert judged(make, LANDED, *done, *other, UNDONE) == (Verdict.VIOLATED, reason)


@each_promise
def test_where_too_little_was_seen_nobody_knows(make: Callable[..., Invariant], what: What, reason: str) -> None:
    due, done, open_ = Due(2, what, NAME), Look(5, what, NAME, done=True), Look(61.9, what, NAME, done=False)
    cases: list[tuple[Record, ...]] = [
        (due, done),  # the fault never landed
        (LANDED, UNDONE),  # nothing was due
        (LANDED, Due(0, what, NAME), done, UNDONE),  # it was due before
        (LANDED, due, open_, FaultStep(62, FAULT, "undone")),  # the time was not over
        (LANDED, due, open_, Look(70, what, NAME, done=True), UNDONE),  # nobody looked when it was
        (LANDED, due, Look(5, what, "ns/other", done=True), UNDONE),
        (LANDED, due, *(Look(5, each, NAME, done=True) for each in What if each is not what), UNDONE),
        (LANDED, due, open_, FaultStep(62, FAULT, "undone"), Look(63, what, NAME, done=False)),  # it was undone by then
    ]
    for records in cases:
        assert judged(make, *records)[0] is Verdict.UNKNOWN, records


def test_why_nobody_looked_is_told() -> None:
    gap = Blind(10, Look.kind, 80, "connection refused")
    records: list[Record] = [LANDED, Due(2, What.PODS, NAME), Look(9, What.PODS, NAME, done=False), gap, UNDONE]
    found = judge(pods_of_deleted_go(within_s=60, fault=FAULT), History.of_records(records))
    assert found.verdict is Verdict.UNKNOWN
    assert "connection refused" in found.sentence


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (Why.CONVERSION, "conversion-failed"),
        (Why.LIST, "list-refused"),
        (Why.DISCOVERY, "discovery-failed"),
        (Why.CONTENT, "not-ended"),
        (Why.NOTHING, "not-ended"),
    ],
)
def test_why_a_namespace_did_not_end_is_the_reason(why: Why, reason: str) -> None:
    late = Look(70, What.NAMESPACE, NAME, done=False, why=why)
    assert judged(namespace_ends, LANDED, Due(2, What.NAMESPACE, NAME), late, UNDONE) == (Verdict.VIOLATED, reason)
