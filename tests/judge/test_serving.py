"""Before any harm: a workload that does not answer some node, and how its probes fail there."""

import pytest
from msgspec.structs import replace

from chaos.judge.base import Finding, Verdict, judge
from chaos.judge.serving import serves_before_harm
from chaos.record.history import History
from chaos.record.records import Blind, Probe
from chaos.record.registry import Record

NODES = ["w1", "w2", "w3", "w4"]


def probe(at: float, node: str, error: str = "") -> Probe:
    return Probe(at, node, "web", not error, 0.01, "" if error else "web-1", error)


def judged(*records: Record) -> Finding:
    return judge(serves_before_harm("web", nodes=NODES), History.of_records(records))


ANSWERED = [probe(at, node) for at in (5.0, 95.0, 100.0) for node in NODES]


def test_what_is_not_answered_is_said_by_node() -> None:
    w1 = [probe(1.0, "w1", "old"), probe(95.0, "w1"), probe(96.0, "w1", "refused"), probe(97.0, "w1")]
    found = judged(*w1, *[probe(99.0, "w2", "timed out")] * 20, probe(99.0, "w3"), probe(80.0, "w4"))
    assert (found.verdict, found.reason, found.figures) == (
        Verdict.VIOLATED,
        "not-serving",
        {"nodes": 4, "nodes_not_served": 2},
    )
    assert found.sentence == (
        "web did not answer every node before any harm, in 99 s: from w1 1 of the last 3 probes were not answered: "
        "refused; from w2 20 of the last 20 probes were not answered: timed out; "
        "from w4 no probe came back in the last 10 s"
    )


def test_it_holds_where_all_was_answered_of_late() -> None:
    assert judged(probe(1.0, "w1", "old"), *ANSWERED).verdict is Verdict.HELD


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([each for each in ANSWERED if each.node != "w4"], "from w4 no probe came back in the last 10 s"),
        (
            [*(each for each in ANSWERED if each.node != "w4"), Blind(60.0, "probe:w4", 100.0, "no such container")],
            "from w4 no probe came back in the last 10 s: no such container",
        ),
        ([], "from w1 no probe came back"),
    ],
)
def test_where_nobody_could_probe_nobody_can_say(records: list[Record], why: str) -> None:
    found = judged(*records)
    assert found.verdict is Verdict.UNKNOWN
    assert why in found.sentence


def test_what_holds_is_about_this_workload_and_the_last_seconds_alone() -> None:
    other = replace(probe(99.0, "w1", "refused"), target="another")
    found = judged(probe(89.9, "w1", "old"), *ANSWERED, other)
    assert (found.verdict, found.figures) == (Verdict.HELD, {"nodes": 4})
    assert found.sentence == "web answered every node before any harm"
    assert judged(probe(90.0, "w1", "late"), *ANSWERED).verdict is Verdict.VIOLATED


def test_only_what_failed_is_its_proof_and_the_last_error_is_said() -> None:
    failed = [probe(96.0, "w1", "refused"), probe(97.0, "w1", "reset")]
    found = judged(*ANSWERED, *failed)
    assert (found.proof, found.figures) == (tuple(failed), {"nodes": 4, "nodes_not_served": 1})
    assert found.sentence.endswith("from w1 2 of the last 4 probes were not answered: reset")


def test_without_a_node_nobody_can_say() -> None:
    found = judge(serves_before_harm("web", nodes=[]), History.of_records(ANSWERED))
    assert (found.verdict, found.sentence) == (
        Verdict.UNKNOWN,
        "nobody can say whether web answered before any harm: no node was named",
    )
