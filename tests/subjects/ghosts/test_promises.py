"""Whether a connection failed while an endpoint served: every verdict, on literal histories."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from chaos.judge.base import Verdict, judge
from chaos.record.history import History
from chaos.record.records import Blind, FaultStep, Probe, ProcessorWait, waited_by
from chaos.record.registry import Record
from chaos.subjects.ghosts.promises import local_target, no_request_failed, ports_target
from chaos.subjects.ghosts.records import EndpointState, EndpointStates

FAULT, SERVICE, NODES = "stop-daemon", "going", ("a", "b")
STOPPED = (FaultStep(10, FAULT, "planned"), FaultStep(10, FAULT, "landed"), FaultStep(20, FAULT, "undone"))
END_S = 40.0
TARGETS = (SERVICE, *(ports_target(SERVICE, node) for node in NODES))


def state(address: str, node: str = "a", *, ready: bool = True, serving: bool = True) -> EndpointState:
    return EndpointState(address, node, ready, serving, terminating=not ready)


def endpoints(at: float, *states: EndpointState) -> EndpointStates:
    return EndpointStates(at, SERVICE, states)


OLD, NEW, NEW_ON_B = state("1"), state("2"), state("3", "b")
GOING = state("1", ready=False)
ROLLOUT = (endpoints(0, OLD, NEW_ON_B), endpoints(12, GOING, NEW, NEW_ON_B), endpoints(32, NEW, NEW_ON_B))


def probes(*failed: Probe) -> Iterator[Probe]:
    """From both nodes to each target all the time, answered but for those that are given in their place."""
    instead = {(p.node, p.target, p.at): p for p in failed}
    asked = [(node, target) for node in NODES for target in TARGETS]
    asked += [("b", local_target(SERVICE, "a")), ("a", local_target(SERVICE, "b"))]
    for node, target in asked:
        for number in range(round(END_S / 0.4)):
            at = round(number * 0.4, 1)
            yield instead.get((node, target, at), Probe(at, node, target, ok=True, took_s=0.01))


def refused(at: float, target: str = SERVICE, node: str = "b", error: str = "refused") -> Probe:
    return Probe(at, node, target, ok=False, took_s=0.8 if error.startswith("no answer") else 0.01, error=error)


def judged(records: Sequence[Record], *failed: Probe) -> tuple[Verdict, str]:
    history = History.of_records([*records, *probes(*failed)])
    found = judge(no_request_failed(SERVICE, NODES, fault=FAULT), history)
    return found.verdict, found.reason


def test_where_each_connection_was_answered_it_is_held() -> None:
    assert judged([*STOPPED, *ROLLOUT]) == (Verdict.HELD, "")


def test_a_connection_that_fails_while_an_endpoint_is_going_is_sent_to_one_that_is_gone() -> None:
    assert judged([*STOPPED, *ROLLOUT], refused(14.0)) == (Verdict.VIOLATED, "endpoint-gone")
    assert judged([*STOPPED, *ROLLOUT], refused(34.0, ports_target(SERVICE, "a")))[0] is Verdict.VIOLATED


def test_one_that_fails_where_all_endpoints_are_terminating_was_sent_to_none() -> None:
    """Of the port that leads to a node's own endpoints only those of that node count."""
    all_go = (endpoints(0, OLD, NEW_ON_B), endpoints(12, GOING, NEW_ON_B), endpoints(32, NEW_ON_B))
    failed = refused(20.8, local_target(SERVICE, "a"))
    assert judged([*STOPPED, *all_go], failed) == (Verdict.VIOLATED, "terminating-ignored")


def test_one_that_fails_without_anything_going_has_a_reason_of_its_own() -> None:
    long_ago = (endpoints(-30, OLD, state("9", ready=False), NEW_ON_B), endpoints(-25, OLD, NEW_ON_B), *ROLLOUT[1:])
    assert judged([*STOPPED, *long_ago], refused(4.0)) == (Verdict.VIOLATED, "no-answer")


def test_where_no_endpoint_stays_nothing_has_to_be_answered() -> None:
    """It ends soon, or is new: who asks then may not be led to it."""
    ends = (endpoints(0, OLD, NEW_ON_B), endpoints(12, GOING, NEW_ON_B), endpoints(32, NEW_ON_B))
    assert judged([*STOPPED, *ends], refused(30.0, local_target(SERVICE, "a"))) == (Verdict.HELD, "")
    new = (endpoints(0, NEW_ON_B), endpoints(12, OLD, state("3", "b", ready=False), NEW))
    assert judged([*STOPPED, *new], refused(16.0, local_target(SERVICE, "a"))) == (Verdict.HELD, "")


def test_where_too_little_was_seen_nobody_knows() -> None:
    never = (endpoints(0, OLD, NEW_ON_B),)
    less: tuple[list[Record], ...] = (
        [*ROLLOUT],  # no kube-proxy was stopped
        [*STOPPED, *never],  # nothing was going
        [*STOPPED, *ROLLOUT, Blind(14, f"slices:{SERVICE}", 16, "away")],
        [*STOPPED, *ROLLOUT, Blind(14, "probe:a", 16, "the prober ended")],
    )
    for records in less:
        assert judged(records)[0] is Verdict.UNKNOWN, records
    gone = [p for p in probes() if p.target != local_target(SERVICE, "a")]
    found = judge(no_request_failed(SERVICE, NODES, fault=FAULT), History.of_records([*STOPPED, *ROLLOUT, *gone]))
    assert found.verdict is Verdict.UNKNOWN
    fewer = [p for p in probes() if not 14 < p.at < 16]
    found = judge(no_request_failed(SERVICE, NODES, fault=FAULT), History.of_records([*STOPPED, *ROLLOUT, *fewer]))
    assert found.verdict is Verdict.UNKNOWN


def test_what_a_slow_machine_did_is_not_known() -> None:
    prober = waited_by("b", SERVICE)
    waits = [ProcessorWait(at, f"b->{SERVICE}", prober, waited_s) for at, waited_s in ((14.0, 0.0), (15, 0.7))]
    unanswered = refused(14.0, error="no answer within 0.8 s")
    assert judged([*STOPPED, *ROLLOUT, *waits], unanswered)[0] is Verdict.UNKNOWN
    assert judged([*STOPPED, *ROLLOUT], unanswered) == (Verdict.VIOLATED, "endpoint-gone")
    assert judged([*STOPPED, *ROLLOUT, *waits], refused(14.0)) == (Verdict.VIOLATED, "endpoint-gone")
    proxy = waited_by("b", "kube-proxy")
    late = [ProcessorWait(at, "b->kube-proxy", proxy, waited_s) for at, waited_s in ((4.0, 0.0), (13.0, 6.0))]
    assert judged([*STOPPED, *ROLLOUT, *late], refused(14.0))[0] is Verdict.UNKNOWN
    assert judged([*STOPPED, *ROLLOUT, *late], refused(14.0, ports_target(SERVICE, "a")))[0] is Verdict.VIOLATED


def test_a_packet_that_was_lost_while_no_endpoint_was_going_is_not_known() -> None:
    calm = END_S - 4.0
    assert judged([*STOPPED, *ROLLOUT], refused(calm)) == (Verdict.VIOLATED, "no-answer")
    assert judged([*STOPPED, *ROLLOUT], refused(calm, error="no answer within 0.8 s"))[0] is Verdict.UNKNOWN


def test_a_stop_that_took_too_long_is_nobodys_fault() -> None:
    long, later = (*STOPPED[:2], FaultStep(60, FAULT, "undone")), 52.0
    asked = [p for p in probes() if p.at < END_S] + [refused(later), refused(later + 1)]
    rest = [replace(p, at=p.at + END_S) for p in probes()]
    records: list[Record] = [*long, *ROLLOUT, *asked, *rest]
    history = History.of_records(sorted(records, key=lambda record: record.at))
    assert judge(no_request_failed(SERVICE, NODES, fault=FAULT), history).verdict is Verdict.UNKNOWN
