"""Whether nodes, the system's pods and the webhook's own outlived its absence: every verdict, on literal histories."""

import pytest

from chaos.judge.base import Invariant, Verdict, judge
from chaos.record.history import History
from chaos.record.records import IN_SYNC, Blind, ClusterEvent, FaultStep, HarmLook, NodeChange, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.webhooks.promises import (
    allowed_s,
    nodes_admitted,
    nodes_stay_ready,
    replaced_once_back,
    system_pods_admitted,
    way_out_stays,
    webhook_comes_back,
)
from chaos.subjects.webhooks.records import Admission, Request

FAULT = "lose-webhook"
PLANNED, LANDED, UNDONE = (FaultStep(at, FAULT, step) for at, step in ((9, "planned"), (10, "landed"), (60, "undone")))
SAW_NODES, SAW_PODS = (Sample(200, IN_SYNC, f"watch:{each}", 1.0) for each in ("nodes", "pods"))
NODE = NodeChange(0, "w1", "listed", "True")
STAY = nodes_stay_ready(fault=FAULT, lapse_s=20)
SYSTEM = system_pods_admitted(fault=FAULT)
ADMITTED = nodes_admitted(fault=FAULT)
WAY_OUT = way_out_stays(fault=FAULT)
BACK = webhook_comes_back("webhook", 2, within_s=30, fault=FAULT)
REPLACED = replaced_once_back("web", 2, within_s=60, fault=FAULT)


def judged(invariant: Invariant, *records: Record) -> tuple[Verdict, str]:
    found = judge(invariant, History.of_records(records))
    return found.verdict, found.reason


def away(at: float) -> NodeChange:
    return NodeChange(at, "w1", "modified", "Unknown")


def asked(at: float, request: Request, *, admitted: bool) -> Admission:
    return Admission(at, request, admitted)


def pod(
    at: float, name: str, change: str = "modified", *, of: str = "web", ready: bool = True, deleting: bool = False
) -> PodChange:
    return PodChange(at, f"ns-{of}", name, name, change, workload=of, ready=ready, deleting=deleting)


# --- nodes


def test_nodes_that_stay_ready_keep_the_promise() -> None:
    assert judged(STAY, NODE, LANDED, UNDONE, SAW_NODES) == (Verdict.HELD, "")
    assert judged(STAY, NODE, away(5), LANDED, UNDONE, away(70), SAW_NODES) == (Verdict.HELD, "")


def test_a_node_that_is_lost_breaks_it() -> None:
    lease = asked(12, Request.NODE_LEASE, admitted=False)
    assert judged(STAY, NODE, LANDED, lease, away(30), UNDONE) == (Verdict.VIOLATED, "lease-refused")
    gone = NodeChange(30, "w1", "deleted", "True")
    assert judged(STAY, NODE, LANDED, lease, gone, UNDONE) == (Verdict.VIOLATED, "lease-refused")


def test_a_lease_that_waits_for_a_slow_webhook_is_refused_after_its_node_is_lost() -> None:
    slow = asked(17, Request.NODE_LEASE, admitted=False)
    assert judged(STAY, NODE, LANDED, away(11), slow, UNDONE) == (Verdict.VIOLATED, "lease-refused")


def test_of_a_node_that_is_lost_and_no_lease_was_refused_before_nobody_knows() -> None:
    assert judged(STAY, NODE, LANDED, away(30), UNDONE, SAW_NODES)[0] is Verdict.UNKNOWN
    late = asked(61, Request.NODE_LEASE, admitted=False)
    assert judged(STAY, NODE, LANDED, away(30), late, UNDONE, SAW_NODES)[0] is Verdict.UNKNOWN
    others = (asked(12, Request.SYSTEM_POD, admitted=False), asked(13, Request.NODE_LEASE, admitted=True))
    before = asked(9, Request.NODE_LEASE, admitted=False)
    assert judged(STAY, NODE, before, LANDED, *others, away(30), SAW_NODES)[0] is Verdict.UNKNOWN


def test_where_too_little_of_nodes_was_seen_nobody_knows() -> None:
    cases: list[tuple[Record, ...]] = [
        (NODE, SAW_NODES),  # the fault never landed
        (LANDED, UNDONE, SAW_NODES),  # no node
        (NODE, LANDED, FaultStep(30, FAULT, "undone"), SAW_NODES),  # no longer than a node may be silent
        (NODE, LANDED, UNDONE),  # nobody says that all was seen
        (NODE, LANDED, Blind(20, "watch:nodes", 30, "away"), UNDONE, SAW_NODES),
    ]
    for records in cases:
        assert judged(STAY, *records)[0] is Verdict.UNKNOWN, records


# --- pods of the system


def test_pods_of_the_system_are_admitted_or_not() -> None:
    yes, no = (asked(20, Request.SYSTEM_POD, admitted=each) for each in (True, False))
    assert judged(SYSTEM, LANDED, yes, UNDONE) == (Verdict.HELD, "")
    assert judged(SYSTEM, LANDED, yes, no, UNDONE) == (Verdict.VIOLATED, "pod-refused")
    early = asked(5, Request.SYSTEM_POD, admitted=False)
    assert judged(SYSTEM, early, LANDED, yes, UNDONE) == (Verdict.HELD, "")
    cases: list[tuple[Record, ...]] = [
        (yes,),
        (LANDED, UNDONE),
        (LANDED, asked(20, Request.NODE_LEASE, admitted=True), UNDONE),
        (LANDED, yes, Blind(30, Admission.kind, 59, "no answer"), UNDONE),
    ]
    for records in cases:
        assert judged(SYSTEM, *records)[0] is Verdict.UNKNOWN, records


# --- its configuration


def test_a_configuration_that_can_be_changed_keeps_the_promise_and_one_that_cant_breaks_it() -> None:
    yes, no = (asked(20, Request.CONFIGURATION, admitted=each) for each in (True, False))
    assert judged(WAY_OUT, LANDED, yes, UNDONE) == (Verdict.HELD, "")
    assert judged(WAY_OUT, LANDED, yes, no, UNDONE) == (Verdict.VIOLATED, "configuration-refused")
    assert judged(WAY_OUT, LANDED, asked(20, Request.SYSTEM_POD, admitted=False), UNDONE)[0] is Verdict.UNKNOWN


# --- what nodes ask for


def test_pods_of_nodes_that_are_admitted_keep_the_promise_and_one_that_is_not_breaks_it() -> None:
    yes, no = (asked(20, Request.NODE_POD, admitted=each) for each in (True, False))
    assert judged(ADMITTED, LANDED, yes, UNDONE) == (Verdict.HELD, "")
    assert judged(ADMITTED, LANDED, yes, no, UNDONE) == (Verdict.VIOLATED, "node-refused")
    assert judged(ADMITTED, LANDED, UNDONE)[0] is Verdict.UNKNOWN


# --- its own pods

OLD = [pod(1, name, of="webhook") for name in ("a", "b")]
GONE = [pod(9.5, name, "deleted", of="webhook") for name in ("a", "b")]


def new(at: float, *names: str, ready: bool = True) -> list[PodChange]:
    return [pod(at, name, of="webhook", ready=ready) for name in names]


def test_its_own_pods_come_back_in_time() -> None:
    for at in (9.8, 40.0):
        assert judged(BACK, *OLD, PLANNED, *GONE, *new(at, "c", "d"), LANDED, UNDONE, SAW_PODS) == (Verdict.HELD, "")


@pytest.mark.parametrize("back", [[], new(20, "c"), new(20, "c", "d", ready=False), new(40.1, "c", "d")])
def test_its_own_pods_that_do_not_come_back_break_the_promise(back: list[PodChange]) -> None:
    records: list[Record] = [*OLD, PLANNED, *GONE, LANDED, *back, UNDONE, SAW_PODS]
    failed = ClusterEvent(20, "ReplicaSet/ns-webhook/webhook-1", "FailedCreate", "")
    others = ClusterEvent(20, "ReplicaSet/ns-web/web-1", "FailedCreate", "")
    assert judged(BACK, *records) == (Verdict.VIOLATED, "not-back")
    assert judged(BACK, *records, others) == (Verdict.VIOLATED, "not-back")
    assert judged(BACK, *records, failed) == (Verdict.VIOLATED, "asked-itself")


def test_while_the_fault_lasts_it_is_not_late_before_its_time() -> None:
    lasting: list[Record] = [*OLD, PLANNED, *GONE, LANDED]
    for at, verdict in ((39.9, Verdict.UNKNOWN), (40.0, Verdict.VIOLATED)):
        assert judged(BACK, *lasting, HarmLook(at, FAULT, 1, "there"))[0] is verdict
    assert judged(BACK, *lasting, HarmLook(50, "another", 2, "there"))[0] is Verdict.UNKNOWN


def test_where_too_little_of_its_own_pods_was_seen_nobody_knows() -> None:
    back = new(20, "c", "d")
    cases: list[tuple[Record, ...]] = [
        (*OLD, PLANNED, *GONE, *back, SAW_PODS),  # the fault never landed
        (PLANNED, LANDED, *back, UNDONE, SAW_PODS),  # there were none before
        (*OLD, PLANNED, GONE[0], LANDED, *back, UNDONE, SAW_PODS),  # one was left
        (*OLD, PLANNED, *GONE, LANDED, FaultStep(39, FAULT, "undone"), *new(39.5, "c", "d"), SAW_PODS),
        (*OLD, PLANNED, *GONE, LANDED, *back, UNDONE),  # nobody says that all was seen
    ]
    for records in cases:
        assert judged(BACK, *records)[0] is Verdict.UNKNOWN, records


# --- others

TWO = [pod(1, "a"), pod(1, "b")]
LOST = pod(20, "a", "deleted")


def test_a_pod_that_was_missing_is_replaced_in_time() -> None:
    assert judged(REPLACED, *TWO, LANDED, LOST, UNDONE, pod(120, "c"), SAW_PODS) == (Verdict.HELD, "")


def test_a_pod_that_is_not_replaced_in_time_breaks_the_promise() -> None:
    for after in ([], [pod(121, "c")], [pod(100, "c", ready=False)], [pod(61, "b", deleting=True), pod(100, "c")]):
        records: list[Record] = [*TWO, LANDED, LOST, UNDONE, *after, SAW_PODS]
        assert judged(REPLACED, *records) == (Verdict.VIOLATED, "not-replaced"), after


def test_whoever_waited_for_long_may_wait_as_long_again() -> None:
    undone = FaultStep(110, FAULT, "undone")  # after 100 s
    for at, verdict in ((210, Verdict.HELD), (211, Verdict.VIOLATED)):
        saw = Sample(300, IN_SYNC, "watch:pods", 1.0)
        assert judged(REPLACED, *TWO, LANDED, LOST, undone, pod(at, "c"), saw)[0] is verdict


def test_where_nothing_was_missing_nobody_knows() -> None:
    back = pod(70, "c")
    cases: list[tuple[Record, ...]] = [
        (*TWO, LOST, UNDONE, back, SAW_PODS),  # the fault never landed
        (*TWO, LANDED, LOST, back, SAW_PODS),  # it was not undone
        (*TWO, LANDED, UNDONE, SAW_PODS),  # none was lost
        (*TWO, LANDED, LOST, pod(30, "c"), UNDONE, SAW_PODS),  # it was replaced all the same
        (LANDED, UNDONE, SAW_PODS),
        (*TWO, LANDED, LOST, UNDONE),  # nobody says that all was seen
        (*TWO, LANDED, LOST, UNDONE, Sample(119, IN_SYNC, "watch:pods", 1.0)),  # the recording ended earlier
    ]
    for records in cases:
        assert judged(REPLACED, *records)[0] is Verdict.UNKNOWN, records


@pytest.mark.parametrize(
    ("steps", "s"),
    [((), 60.0), ((LANDED,), 60.0), ((LANDED, UNDONE), 60.0), ((LANDED, FaultStep(99, FAULT, "undone")), 89.0)],
)
def test_what_never_comes_is_watched_for_as_long_as_it_may_take(steps: tuple[Record, ...], s: float) -> None:
    assert allowed_s(History.of_records(steps), within_s=60, fault=FAULT) == s
