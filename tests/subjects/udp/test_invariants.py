"""Who answers a UDP client that keeps its port: every verdict, on literal histories."""

import pytest

from chaos.judge.base import Invariant, Verdict, judge
from chaos.record.history import History
from chaos.record.records import Blind, Probe
from chaos.record.registry import Record
from chaos.subjects.udp.promises import answering, flows_kept, only_endpoints_answer, udp_reaches_an_endpoint
from chaos.subjects.udp.records import ServiceEndpoints, UdpFlows

NODE, UDP, A, B = "worker", "udp", "10.0.0.1", "10.0.0.2"
REACHES = udp_reaches_an_endpoint(UDP, NODE, within_s=5)
ONLY = only_endpoints_answer(UDP, NODE, within_s=5)
BOTH, ONLY_B, NONE = ServiceEndpoints(0, UDP, (A, B)), ServiceEndpoints(20, UDP, (B,)), ServiceEndpoints(20, UDP, ())


def sent(start: int, end: int, by: str = "", target: str = "udp") -> list[Record]:
    error = "" if by else "no answer within 0.8 s"
    return [Probe(at, NODE, target, bool(by), 0.01, answered_by=by, error=error) for at in range(start, end)]


def flow(at: float, *to: str) -> UdpFlows:
    return UdpFlows(at, NODE, UDP, to)


def verdict(invariant: Invariant, *records: Record) -> tuple[Verdict, str]:
    found = judge(invariant, History.of_records(records))
    return found.verdict, found.reason if found.verdict is Verdict.VIOLATED else ""


MOVED: tuple[Record, ...] = (BOTH, flow(0, A), *sent(1, 20, A), ONLY_B, *sent(20, 23), flow(23, B), *sent(23, 40, B))
STUCK: tuple[Record, ...] = (BOTH, flow(0, A), *sent(1, 20, A), ONLY_B, *sent(20, 40))
FAITHFUL: tuple[Record, ...] = (BOTH, flow(0, A), *sent(1, 20, A), ONLY_B, *sent(20, 40, A))


def test_a_client_that_is_sent_on_is_answered() -> None:
    assert verdict(REACHES, *MOVED) == (Verdict.HELD, "")
    assert verdict(ONLY, *MOVED) == (Verdict.HELD, "")


def test_one_that_is_sent_to_a_pod_that_is_gone_is_not() -> None:
    assert verdict(REACHES, *STUCK) == (Verdict.VIOLATED, "stale-entry")
    assert verdict(REACHES, *STUCK, flow(22, B)) == (Verdict.VIOLATED, "no-answer")
    assert verdict(ONLY, *STUCK)[0] is Verdict.HELD


def test_the_answer_of_a_pod_that_is_no_endpoint_is_none() -> None:
    assert verdict(REACHES, *FAITHFUL) == (Verdict.VIOLATED, "stale-entry")
    assert verdict(ONLY, *FAITHFUL) == (Verdict.VIOLATED, "stale-entry")
    assert verdict(ONLY, *FAITHFUL, flow(21, B)) == (Verdict.VIOLATED, "other-pod")


def test_without_an_endpoint_nobody_has_to_answer_and_nobody_may() -> None:
    none: list[Record] = [BOTH, flow(0, A), *sent(1, 20, A), NONE]
    assert verdict(REACHES, *none, *sent(20, 40))[0] is Verdict.HELD
    assert verdict(ONLY, *none, *sent(20, 40, A)) == (Verdict.VIOLATED, "stale-entry")


def test_an_answer_within_the_time_that_is_allowed_is_none_too_late() -> None:
    assert verdict(ONLY, BOTH, *sent(1, 20, A), ONLY_B, *sent(20, 24, A), *sent(24, 40, B))[0] is Verdict.HELD


def test_a_pod_that_is_an_endpoint_again_may_answer() -> None:
    back = ServiceEndpoints(24, UDP, (A, B))
    assert verdict(ONLY, BOTH, *sent(1, 20, A), ONLY_B, *sent(20, 23, B), back, *sent(24, 40, A))[0] is Verdict.UNKNOWN


def test_where_too_little_was_seen_nobody_knows() -> None:
    assert verdict(REACHES, BOTH, ONLY_B)[0] is Verdict.UNKNOWN  # nothing was sent
    assert verdict(REACHES, BOTH, *sent(1, 20, A))[0] is Verdict.UNKNOWN  # nothing moved
    assert verdict(REACHES, BOTH, *sent(1, 20, A, "web"), ONLY_B)[0] is Verdict.UNKNOWN  # another client's
    assert verdict(ONLY, BOTH, *sent(1, 20, B), ONLY_B, *sent(20, 40, B))[0] is Verdict.UNKNOWN  # its pod stayed
    assert verdict(ONLY, BOTH, *sent(1, 20, A), ONLY_B, *sent(20, 24, B))[0] is Verdict.UNKNOWN  # not for long enough
    silent: list[Record] = [BOTH, *sent(1, 20, A), ONLY_B, *sent(40, 42, B)]
    assert verdict(REACHES, *silent)[0] is Verdict.UNKNOWN  # no datagram, so no answer
    for source in ("endpoints:udp", f"probe:{NODE}"):
        gap = Blind(10, source, 12, "it did not answer")
        for invariant in (REACHES, ONLY):
            assert verdict(invariant, *MOVED, gap)[0] is Verdict.UNKNOWN


@pytest.mark.parametrize("source", ["endpoints:udp", f"probe:{NODE}"])
def test_what_a_gap_hides_is_not_violated(source: str) -> None:
    for invariant, story in ((REACHES, STUCK), (REACHES, FAITHFUL), (ONLY, FAITHFUL)):
        assert verdict(invariant, *story, Blind(20, source, 39.5, "it did not answer"))[0] is Verdict.UNKNOWN
        assert verdict(invariant, *story, Blind(5, source, 7, "it did not answer"))[0] is Verdict.VIOLATED


def test_what_comes_after_a_gap_is() -> None:
    hidden = Blind(21, f"probe:{NODE}", 29, "it did not answer")
    story: list[Record] = [BOTH, *sent(1, 20, A), ONLY_B, *sent(29, 31, B), *sent(31, 40), hidden]
    assert verdict(REACHES, *story) == (Verdict.VIOLATED, "no-answer")


def test_a_client_that_began_late_was_not_without_an_answer() -> None:
    late: list[Record] = [BOTH, *sent(8, 10), *sent(10, 20, A), ONLY_B, *sent(20, 40, B)]
    assert verdict(REACHES, *late) == (Verdict.HELD, "")
    assert verdict(REACHES, BOTH, *sent(8, 10, A), *sent(10, 20), ONLY_B, *sent(20, 40, B))[0] is Verdict.VIOLATED


def test_who_answered_last() -> None:
    assert answering(History.of_records(MOVED), NODE) == B
    assert answering(History.of_records(STUCK), NODE) == A
    assert answering(History.of_records(STUCK), "another") is None


FLOW = ("beside-1", "beside-2")
KEPT = flows_kept(UDP, "beside", NODE, FLOW)
BESIDE = ServiceEndpoints(0, "udp:beside", (A, B))


def flowing(target: str, *answers: tuple[int, str]) -> list[Record]:
    return [Probe(at, NODE, target, ok=True, took_s=0.01, answered_by=by) for at, by in answers]


ON = [*flowing(FLOW[0], *((at, A) for at in range(1, 40))), *flowing(FLOW[1], *((at, B) for at in range(1, 40)))]
CUT = [*flowing(FLOW[0], *((at, A if at < 21 else B) for at in range(1, 40))), *ON[39:]]


def test_a_flow_to_another_port_stays_with_its_pod() -> None:
    assert verdict(KEPT, BOTH, BESIDE, ONLY_B, *ON) == (Verdict.HELD, "")
    assert verdict(KEPT, BOTH, BESIDE, ONLY_B, *CUT) == (Verdict.VIOLATED, "flow-cut")
    # It is no endpoint any more.
    assert verdict(KEPT, BOTH, BESIDE, ONLY_B, ServiceEndpoints(20, "udp:beside", (B,)), *CUT)[0] is Verdict.HELD


@pytest.mark.parametrize(
    "records",
    [
        (BOTH, BESIDE, *ON),  # the other endpoints did not change
        (BOTH, BESIDE, ONLY_B, *ON[:39]),  # one of the flows was not answered
        (BOTH, BESIDE, ONLY_B, *ON[:10], *ON[31:]),  # the kernel may have forgotten it
        (BOTH, BESIDE, ONLY_B, *CUT, Blind(19.5, f"probe:{NODE}", 21.5, "the prober began anew, from another port")),
        (BOTH, BESIDE, ONLY_B, *ON, Blind(19.5, "endpoints:udp", 21.5, "the API server was away")),
    ],
)
def test_where_a_flow_was_not_seen_to_go_on_nobody_knows(records: tuple[Record, ...]) -> None:
    assert verdict(KEPT, *records)[0] is Verdict.UNKNOWN
