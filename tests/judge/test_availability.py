"""Outages: measured from failed probes, unknown where nobody probed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.judge.availability import (
    answered_throughout,
    existing_connections,
    outage_at_most,
    watched_in,
    watched_service_answers,
)
from chaos.judge.base import Finding, Verdict, judge
from chaos.record.history import Window
from chaos.record.records import Blind, Probe, ProcessorWait
from chaos.record.registry import Record
from tests.judge.histories import asks, fault, history, pod, probes

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN


def within(limit_s: float, *records: object, **options: object) -> Finding:
    return judge(outage_at_most(limit_s, **options), history(*records))  # type: ignore[arg-type]


def test_no_probe_is_unknown() -> None:
    finding = within(1.0)
    assert (finding.verdict, finding.sentence) == (UNKNOWN, "no probe was sent")


def test_all_answered_is_held_with_figures() -> None:
    finding = within(1.0, probes("+" * 20))
    assert finding.verdict is HELD
    assert finding.figures["longest_outage_ms_worker"] == 0
    assert finding.figures["probes"] == 20


def test_an_outage_runs_from_the_first_failed_start_to_the_next_good_start() -> None:
    finding = within(1.0, probes("+++---++"))
    assert finding.verdict is HELD
    assert finding.figures["longest_outage_ms"] == 300
    assert finding.figures["outages"] == 1
    assert finding.figures["failed_probes"] == 3


def test_a_longer_outage_is_violated_and_names_node_and_time() -> None:
    finding = within(0.5, probes("+" * 12), probes("+++" + "-" * 7 + "++", node="worker2"))
    assert (finding.verdict, finding.reason) == (VIOLATED, "outage")
    assert "from worker2 to web for 700 ms, from 0.30 s to 1.00 s" in finding.sentence
    assert finding.figures["longest_outage_ms_worker"] == 0
    assert finding.figures["longest_outage_ms_worker2"] == 700
    assert [p.at for p in finding.proof] == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_the_limit_itself_is_allowed() -> None:
    assert within(0.3, probes("+---+")).verdict is HELD
    assert within(0.29, probes("+---+")).verdict is VIOLATED


def test_many_short_outages_are_each_judged_alone() -> None:
    finding = within(0.2, probes("+-+--+-+"))
    assert finding.verdict is HELD
    assert (finding.figures["outages"], finding.figures["outage_total_ms"]) == (3, 400)


def test_a_gap_is_unknown() -> None:
    finding = within(1.0, probes("++++      ++++"))
    assert finding.verdict is UNKNOWN
    assert "between 0.30 s and 1.00 s" in finding.sentence


def test_a_gap_within_tolerance_is_no_gap() -> None:
    assert within(1.0, probes("++++    ++++")).verdict is HELD
    assert within(1.0, probes("++++    ++++"), gap_s=0.3).verdict is UNKNOWN


def test_a_gap_between_failed_probes_proves_no_long_outage() -> None:
    """Nobody knows whether the Service answered in the gap."""
    assert within(1.0, probes("+---          ---+")).verdict is UNKNOWN


def test_a_proven_long_outage_is_violated_in_spite_of_a_gap_elsewhere() -> None:
    assert within(0.5, probes("+--------+         ++")).verdict is VIOLATED


def test_an_outage_that_is_not_over_at_the_end() -> None:
    assert within(1.0, probes("+++---")).verdict is UNKNOWN
    finding = within(0.2, probes("+++-----"))
    assert finding.verdict is VIOLATED
    assert "was not over" in finding.sentence


def test_an_outage_from_the_very_first_probe() -> None:
    assert within(0.2, probes("-----+++")).figures["longest_outage_ms"] == 500


def test_blindness_of_a_node_is_unknown() -> None:
    records = probes("+" * 30)
    assert within(1.0, records, Blind(1.0, "probe:worker", 2.0, "the prober ended")).verdict is UNKNOWN
    assert within(1.0, records, Blind(1.0, "probe:other", 2.0, "the prober ended"), nodes=["worker"]).verdict is HELD
    assert within(1.0, records, Blind(1.0, "watch:pods", 2.0, "frozen")).verdict is HELD


def test_a_node_that_was_only_ever_blind_is_unknown() -> None:
    finding = within(1.0, probes("+" * 9), Blind(0.0, "probe:worker2", 1.0, "the prober ended"))
    assert (finding.verdict, finding.sentence) == (UNKNOWN, "no probe was sent from worker2")


def test_a_named_node_without_probes_is_unknown() -> None:
    finding = within(1.0, probes("+" * 9), nodes=["worker", "worker2"])
    assert (finding.verdict, finding.sentence) == (UNKNOWN, "no probe was sent from worker2")


def test_only_named_nodes_and_targets_count() -> None:
    records = [*probes("+" * 12), *probes("+" + "-" * 10 + "+", node="victim")]
    assert within(0.5, records).verdict is VIOLATED
    assert within(0.5, records, nodes=["worker"]).verdict is HELD
    assert within(0.5, records, target="other").verdict is UNKNOWN


def test_a_window_leaves_out_what_was_before_but_not_what_reaches_into_it() -> None:
    records = probes("+---------+++++++++++")
    assert within(0.5, records, window=Window(1.2, 1.8)).verdict is HELD
    assert within(0.5, records, window=Window(0.5, 1.8)).verdict is VIOLATED


def test_a_window_without_probes_at_its_ends_is_unknown() -> None:
    assert within(1.0, probes("+" * 10), window=Window(0.0, 5.0)).verdict is UNKNOWN
    assert within(1.0, probes("+" * 10, start=3.0), window=Window(1.0, 3.5)).verdict is UNKNOWN


def test_the_span_of_a_fault() -> None:
    records = probes("+" * 20)
    assert within(1.0, records, fault="cut").verdict is UNKNOWN
    assert within(1.0, records, fault(0.5, 1.5), fault="cut").verdict is HELD
    assert within(1.0, records, fault(0.5, 9.0), fault="cut").verdict is UNKNOWN


@pytest.mark.parametrize(("pattern", "verdict"), [("++++", HELD), ("++-+", VIOLATED), ("+++-", VIOLATED)])
def test_answered_throughout_allows_no_failed_probe(pattern: str, verdict: Verdict) -> None:
    assert judge(answered_throughout(), history(probes(pattern))).verdict is verdict


@given(before=st.integers(1, 30), down=st.integers(1, 120), after=st.integers(1, 30), phase=st.floats(0, 0.0999))
def test_a_known_outage_is_measured_to_within_one_interval(before: int, down: int, after: int, phase: float) -> None:
    """The Service goes away `phase` after a probe's start and comes back: the figure is at most an interval off."""
    gone, back = before * 0.1 + phase, before * 0.1 + phase + down * 0.0999
    pattern = "".join("-" if gone <= slot * 0.1 < back else "+" for slot in range(before + down + after + 2))
    finding = within(1000.0, probes(pattern))
    assert finding.verdict is HELD
    assert abs(int(finding.figures["longest_outage_ms"]) - 1000 * (back - gone)) <= 101


def test_an_existing_connection_that_lives() -> None:
    assert judge(existing_connections(1.0, nodes=("worker",)), history(asks("echo", "+++--+++"))).verdict is HELD


def test_a_connection_that_was_made_anew_is_broken() -> None:
    records = [*asks("echo", "++++"), *asks("echo", "++++", "port 2", 0.8)]
    finding = judge(existing_connections(1.0, nodes=("worker",)), history(records))
    assert (finding.verdict, finding.reason) == (VIOLATED, "broken")
    finding = judge(
        existing_connections(1.0, nodes=("worker",)),
        history(records, Blind(0.6, "probe:worker", 0.8, "the prober ended")),
    )
    assert finding.verdict is UNKNOWN


def test_a_connection_that_is_silent_too_long() -> None:
    finding = judge(existing_connections(1.0, nodes=("worker",)), history(asks("echo", "++" + "-" * 10 + "++")))
    assert (finding.verdict, finding.reason) == (VIOLATED, "outage")


# --- to the last figure


def test_what_is_held_counts_probes_and_outages_of_all_nodes() -> None:
    finding = within(0.5, probes("+-+--++"), probes("++++---+", node="worker2"))
    assert finding.figures == {
        "probes": 15,
        "failed_probes": 6,
        "outages": 3,
        "outage_total_ms": 600,
        "longest_outage_ms_worker": 200,
        "longest_outage_ms_worker2": 300,
        "longest_outage_ms": 300,
    }
    assert finding.sentence == (
        "9 of 15 probes from 2 nodes were answered, the longest outage was 300 ms, allowed were 500 ms"
    )


def test_of_two_outages_that_are_too_long_the_longest_is_told() -> None:
    finding = within(0.2, probes("+---+"), probes("+----+", node="worker2"), probes("+----", node="worker3"))
    assert finding.sentence == (
        "no answer from worker2 to web for 400 ms, from 0.10 s to 0.50 s; allowed were 200 ms (no answer)"
    )
    open_ = within(0.2, probes("+----"))
    assert open_.sentence.startswith("no answer from worker to web for 300 ms, from 0.10 s to 0.40 s, and was not over")


def test_only_probes_in_the_window_are_counted() -> None:
    records = probes("-+" * 5 + "+" * 11)
    finding = within(1.0, records, window=Window(0.4, 1.6))
    assert (finding.figures["probes"], finding.figures["failed_probes"], finding.figures["outages"]) == (13, 3, 3)


def test_a_node_that_was_mute_in_the_window_is_named() -> None:
    finding = within(1.0, probes("+" * 9), probes("+" * 30, node="worker2"), window=Window(1.0, 2.5))
    assert (finding.verdict, finding.sentence) == (UNKNOWN, "no probe was sent from worker")


def test_doubts_say_where_and_when_with_their_proof() -> None:
    gap = within(1.0, probes("++++      ++++"))
    assert gap.sentence == "no probe was sent from worker to web between 0.30 s and 1.00 s"
    assert [each.at for each in gap.proof] == [0.3, 1.0]
    early = within(1.0, probes("+" * 10, start=3.0), window=Window(1.0, 3.5))
    assert early.sentence == "no probe was sent from worker to web between 1.00 s and 3.00 s"
    assert [each.at for each in early.proof] == [3.0]
    late = within(1.0, probes("+" * 10), window=Window(-2.0, 1.6))
    assert late.sentence == "no probe was sent from worker to web between 0.90 s and 1.60 s"
    blind = Blind(1.0, "probe:worker", 1.6, "the prober ended")
    away = within(1.0, probes("+" * 30), blind)
    assert away.sentence == "the prober on worker was blind from 1.0 s to 1.6 s: the prober ended"
    assert away.proof == (blind,)
    assert within(1.0, probes("+" * 30), Blind(1.0, "probe:worker", 1.5, "the prober ended")).verdict is HELD
    over = within(1.0, probes("+++---"))
    assert over.sentence == "an outage from worker to web at 0.30 s was not over when its last probe was sent"
    assert [each.at for each in over.proof] == [0.3, 0.4, 0.5]


def test_a_blindness_outside_of_the_window_is_none_in_it() -> None:
    records = (probes("+" * 40), Blind(0.0, "probe:worker", 0.9, "the prober ended"))
    assert within(1.0, *records, window=Window(1.0, 3.0)).verdict is HELD


def test_a_connection_that_changed_after_its_first_answer_is_broken_there() -> None:
    records = [*asks("echo", "+"), *asks("echo", "+++", "port 2", 0.2)]
    finding = judge(existing_connections(1.0, nodes=("worker",)), history(records))
    assert finding.sentence == "the connection from worker to echo broke before 0.2 s and was made anew"
    assert [each.at for each in finding.proof] == [0.0, 0.2]
    away = Blind(0.6, "probe:worker", 0.8, "the prober ended")
    doubt = judge(existing_connections(1.0, nodes=("worker",)), history(records, away))
    assert (doubt.sentence, doubt.proof) == ("the prober on worker was away, and its connection with it", (away,))
    elsewhere = Blind(0.6, "probe:worker2", 0.8, "the prober ended")
    assert judge(existing_connections(1.0, nodes=("worker",)), history(records, elsewhere)).verdict is VIOLATED


def test_other_targets_and_nodes_are_not_the_connection() -> None:
    lives = asks("echo", "++++")
    other = [*asks("web", "+"), *asks("web", "+++", "port 2", 0.2), *asks("echo", "+", node="b")]
    other += asks("echo", "+++", "port 2", 0.2, node="b")
    assert judge(existing_connections(1.0, nodes=("worker",)), history(lives, other)).verdict is HELD


def test_the_services_that_were_watched_are_known_by_name() -> None:
    seen = history(asks("shop/front", "++"), asks("shop/back", "-"), asks("web", "+"))
    assert watched_in(seen) == ("shop/back", "shop/front")
    assert judge(watched_service_answers("shop/front"), seen).invariant == "watched-service-answers shop/front"


def test_an_outage_that_ends_as_the_window_begins_or_begins_as_it_ends_is_in_it() -> None:
    records = probes("+-+" + "+" * 7 + "-+")
    assert within(0.0, records, window=Window(0.2, 0.9)).verdict is VIOLATED
    assert within(0.0, records, window=Window(0.21, 0.99)).verdict is HELD
    assert within(0.0, records, window=Window(0.3, 1.0)).verdict is VIOLATED


def test_outages_add_up_to_the_millisecond() -> None:
    finding = within(9.0, probes("+" + "-" * 20 + "+"))
    assert (finding.figures["outage_total_ms"], finding.figures["longest_outage_ms"]) == (2000, 2000)


def test_answered_throughout_says_that_nothing_is_allowed() -> None:
    assert judge(answered_throughout(), history(probes("++"))).sentence.endswith("allowed were 0 ms")


# --- a machine that had no processor for those who were to answer


AWAY = "+" * 20 + "-" * 71 + "+" * 20  # from 2.0 s to 9.1 s, ten a second
PODS = [pod(0, "web-1", ready=True), pod(0, "web-2", ready=True)]


def waits(name: str, *sums: tuple[float, float]) -> list[Record]:
    return [ProcessorWait(at, f"ns/{name}", f"uid-{name}", waited_s) for at, waited_s in sums]


def starved(waited_s: float, name: str) -> list[Record]:
    """So long it waits, from 2.2 s on, all of it known at once when it is over."""
    return waits(name, (0.5, 0.0), (1.5, 0.1), (10.0, 0.1 + waited_s))


def test_an_outage_in_which_every_pod_waited_for_a_processor_is_unknown() -> None:
    finding = within(2.0, probes(AWAY), PODS, starved(5.2, "web-1"), starved(6.9, "web-2"))
    assert finding.verdict is UNKNOWN
    assert finding.sentence == (
        "no answer from worker to web for 7100 ms, from 2.00 s on, but each pod that could answer waited for a "
        "processor for 5.2 s of it: the machine was too slow to say"
    )
    assert [each.at for each in finding.proof] == [1.5, 10.0]


def test_an_outage_that_waiting_explains_in_part_only_is_violated() -> None:
    finding = within(2.0, probes(AWAY), PODS, starved(5.0, "web-1"), starved(6.9, "web-2"))
    assert (finding.verdict, finding.reason) == (VIOLATED, "outage")
    assert "for 7100 ms" in finding.sentence
    assert finding.figures["longest_outage_ms"] == 7100


def test_one_pod_that_did_not_wait_could_have_answered() -> None:
    for other in ([], waits("web-2", (0.5, 0.0)), waits("web-2", (0.5, 0.0), (1.0, 9.0), (11.5, 18.0))):
        finding = within(2.0, probes(AWAY), PODS, starved(7.0, "web-1"), other[:2])
        assert finding.verdict is VIOLATED, other


def test_what_was_waited_for_before_or_after_an_outage_explains_nothing() -> None:
    for sums in (((0.5, 0.0), (2.0, 9.0)), ((9.5, 0.0), (10.1, 0.0), (20.0, 9.0)), ((0.5, 7.0),)):
        finding = within(2.0, probes(AWAY), PODS[:1], waits("web-1", *sums))
        assert finding.verdict is VIOLATED, sums


def test_a_pod_that_was_not_there_when_it_began_is_nobody_who_could_answer() -> None:
    gone = pod(1, "web-2", change="deleted")
    ending = pod(1, "web-2", change="modified", deleting=True)
    new = pod(4, "web-3", change="added", ready=True)
    failed = pod(1, "web-2", change="modified", phase="Failed")
    other = pod(0, "web-2", workload="other")
    for them in ([PODS[1], gone], [PODS[1], ending], [PODS[1], failed], [other], [new]):
        finding = within(2.0, probes(AWAY), PODS[:1], starved(7.0, "web-1"), them)
        assert finding.verdict is UNKNOWN, them
    assert within(2.0, probes(AWAY), [PODS[0], gone], waits("web-1", (0.5, 0.0))).verdict is VIOLATED
    assert within(2.0, probes(AWAY), starved(7.0, "web-1")).verdict is VIOLATED


def test_an_outage_within_the_limit_needs_no_explanation() -> None:
    finding = within(8.0, probes(AWAY), PODS, starved(7.0, "web-1"))
    assert (finding.verdict, finding.figures["longest_outage_ms"]) == (HELD, 7100)


def test_of_two_outages_the_one_that_is_not_explained_is_violated() -> None:
    twice = AWAY + "-" * 40 + "+"
    finding = within(2.0, probes(twice), PODS, starved(7.0, "web-1"), starved(7.0, "web-2"))
    assert finding.verdict is VIOLATED
    assert "for 4000 ms, from 11.10 s" in finding.sentence


def test_a_failed_probe_was_waited_for_until_it_was_given_up() -> None:
    """Its time is not over when the next one is sent that succeeds."""
    answered = Probe(1.0, "worker", "web", ok=True, took_s=0.01)
    given_up = Probe(1.1, "worker", "web", ok=False, took_s=0.8, error="no answer")
    back = Probe(1.2, "worker", "web", ok=True, took_s=0.01)
    never = judge(
        answered_throughout(), history(answered, given_up, back, PODS[:1], waits("web-1", (1.0, 0.0), (2.0, 0.7)))
    )
    assert never.verdict is VIOLATED
    slow = judge(
        answered_throughout(), history(answered, given_up, back, PODS[:1], waits("web-1", (1.0, 0.0), (2.0, 0.8)))
    )
    assert slow.verdict is UNKNOWN


def test_a_prober_that_waited_itself_for_a_processor_saw_no_outage() -> None:
    def prober(waited_s: float, who: str = "prober:worker->web") -> list[Record]:
        return [ProcessorWait(1.5, "worker->web", who, 3.0), ProcessorWait(9.5, "worker->web", who, 3.0 + waited_s)]

    finding = within(2.0, probes(AWAY), PODS, prober(5.2))
    assert finding.verdict is UNKNOWN
    assert finding.sentence == (
        "no answer from worker to web for 7100 ms, from 2.00 s on, but the prober itself waited for a processor for "
        "5.2 s of it: the machine was too slow to say"
    )
    assert within(2.0, probes(AWAY), PODS, prober(5.0)).verdict is VIOLATED
    assert within(2.0, probes(AWAY), PODS, prober(7.0, "prober:worker2->web")).verdict is VIOLATED
    assert within(2.0, probes(AWAY), PODS, prober(7.0, "prober:worker->echo")).verdict is VIOLATED
    assert within(2.0, probes(AWAY), prober(7.0)).verdict is UNKNOWN


def failing(error: str, start: float = 2.0, count: int = 71) -> list[Record]:
    return [Probe(round(start + n / 10, 3), "worker", "web", ok=False, took_s=0.01, error=error) for n in range(count)]


@pytest.mark.parametrize("error", ["[Errno 111] Connect call failed", "status 503", ""])
def test_waiting_explains_no_probe_that_was_refused_or_answered_wrongly(error: str) -> None:
    """A machine that is busy throughout, whose every pod waits, and an outage of the cluster."""
    around = [*probes("+" * 20), *probes("+" * 20, start=9.1)]
    busy = [starved(7.0, "web-1"), starved(7.0, "web-2")]
    assert within(2.0, around, failing("no answer within 0.8 s"), PODS, *busy).verdict is UNKNOWN
    finding = within(2.0, around, failing(error), PODS, *busy)
    assert (finding.verdict, finding.reason) == (VIOLATED, "outage")
    assert within(2.0, around, failing(error), prober_waits(7.0)).verdict is VIOLATED


def prober_waits(waited_s: float) -> list[Record]:
    who = "prober:worker->web"
    return [ProcessorWait(1.5, "worker->web", who, 3.0), ProcessorWait(9.5, "worker->web", who, 3.0 + waited_s)]


@pytest.mark.parametrize(("refused", "verdict"), [(20, UNKNOWN), (21, VIOLATED)])
def test_of_an_outage_only_what_timed_out_is_explained(refused: int, verdict: Verdict) -> None:
    for first in (0, 30):
        parts = [
            failing("no answer within 0.8 s", 2.0, first),
            failing("refused", 2.0 + first / 10, refused),
            failing("no answer within 0.8 s", 2.0 + (first + refused) / 10, 71 - first - refused),
        ]
        around = [*probes("+" * 20), *probes("+" * 20, start=9.1)]
        each_s = [(0.5, 0.0), *((1.0 + n / 10, n / 10) for n in range(100))]
        finding = within(2.0, around, *parts, PODS[:1], waits("web-1", *each_s))
        assert finding.verdict is verdict, first


def test_of_two_looks_at_an_edge_no_more_counts_than_lies_in_the_outage() -> None:
    """3 s are away: what the pods waited for in the second before and the one after explains none of them."""
    three = probes("+" * 20 + "-" * 30 + "+" * 20)
    edges = [(1.1, 0.0), (2.1, 1.0), (4.9, 1.0), (5.9, 2.0), (6.9, 3.0)]
    assert within(2.0, three, PODS[:1], waits("web-1", *edges)).verdict is VIOLATED
    inside = [(1.1, 0.0), (2.1, 1.0), (3.1, 1.9), (4.9, 1.9), (5.9, 2.9)]
    assert within(2.0, three, PODS[:1], waits("web-1", *inside)).verdict is UNKNOWN


def test_a_wait_that_is_counted_when_it_is_over_counts_from_when_it_began() -> None:
    late = waits("web-1", (9.5, 0.1), (10.0, 7.1))
    assert within(2.0, probes(AWAY), PODS[:1], late).verdict is UNKNOWN
    assert within(2.0, probes(AWAY), PODS[:1], waits("web-1", (9.5, 0.1), (10.0, 6.0))).verdict is VIOLATED
