"""New pods start on every node that was tried, in time, late, or not at all."""

from chaos.judge.base import Finding, Verdict, judge
from chaos.judge.start import NOT_STARTED, STARTED, new_pods_start
from chaos.record.records import Observation, Sample
from tests.judge.histories import history

STEADY = Sample(1.0, "another-s", "a", 99.0)
ELSEWHERE = Observation(1.0, "another", "a", "that is none of this")


def started(node: str, took_s: float) -> Sample:
    return Sample(30.0, STARTED, node, took_s)


def judged(*records: Sample | Observation) -> Finding:
    return judge(new_pods_start(within_s=60), history(*records))


def test_the_slowest_of_those_that_started_in_time_is_told() -> None:
    found = judged(started("a", 3.25), started("b", 60.0), STEADY, ELSEWHERE)
    assert (found.verdict, found.figures) == (Verdict.HELD, {"nodes": 2, "slowest_s": 60.0})
    assert found.sentence == "a new pod started on each of 2 nodes, the slowest in 60.0 s"


def test_one_that_is_late_and_one_that_never_came_are_both_violated() -> None:
    late, never = started("b", 60.1), Observation(90.0, NOT_STARTED, "c", "Pending")
    found = judged(started("a", 3.0), late, never)
    assert (found.verdict, found.reason, found.figures) == (Verdict.VIOLATED, "no-start", {"nodes_failed": 2})
    assert found.sentence == "no new pod was Ready within 60 s on b, c"
    assert found.proof == (never, late)
    assert judged(late).verdict is Verdict.VIOLATED
    assert judged(never).verdict is Verdict.VIOLATED


def test_where_no_pod_was_tried_it_is_unknown() -> None:
    assert judged(STEADY, ELSEWHERE).sentence == "no new pod was tried"
    assert judged(STEADY, ELSEWHERE).verdict is Verdict.UNKNOWN
