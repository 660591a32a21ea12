"""Nodes that are Ready again, late, or not at all."""

from chaos.judge.base import Finding, Verdict, judge
from chaos.judge.nodes_ready import nodes_ready_again, ready_throughout
from chaos.record.records import Blind, NodeChange
from tests.judge.histories import could_not_see_the_end, fault, history, saw_the_end

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN


def node(at: float, ready: str, change: str = "modified", name: str = "worker") -> NodeChange:
    return NodeChange(at, name, change, ready)


def judged(*records: object, nodes: tuple[str, ...] = ("worker",)) -> Finding:
    return judge(nodes_ready_again(nodes, within_s=10), history(*records))  # type: ignore[arg-type]


AROUND = [node(0, "True", "listed"), *fault(5, 20)]


def test_ready_again_in_time_is_held_and_measured() -> None:
    finding = judged(*AROUND, node(10, "Unknown"), node(26.5, "True"), node(30, "True"), saw_the_end())
    assert finding.verdict is HELD
    assert finding.figures["ready_s_worker"] == 6.5


def test_ready_all_the_time_took_no_time() -> None:
    assert judged(*AROUND, saw_the_end()).figures["ready_s_worker"] == 0


def test_only_the_last_time_it_became_ready_counts() -> None:
    finding = judged(*AROUND, node(21, "True"), node(22, "False"), node(29, "True"), saw_the_end())
    assert finding.figures["ready_s_worker"] == 9


def test_late_is_violated() -> None:
    finding = judged(*AROUND, node(10, "Unknown"), node(31, "True"), saw_the_end())
    assert (finding.verdict, finding.reason) == (VIOLATED, "late")


def test_not_ready_at_the_end_is_violated() -> None:
    finding = judged(*AROUND, node(10, "Unknown"), node(12, "Unknown"), saw_the_end())
    assert (finding.verdict, finding.reason) == (VIOLATED, "not-ready")
    assert "worker (Ready Unknown since 10.0 s)" in finding.sentence


def test_a_deleted_node_is_not_ready() -> None:
    finding = judged(*AROUND, node(12, "True", "deleted"), saw_the_end())
    assert (finding.verdict, finding.reason) == (VIOLATED, "not-ready")


def test_a_node_that_was_never_seen_is_unknown() -> None:
    assert judged(*AROUND, saw_the_end(), nodes=("worker", "ghost")).verdict is UNKNOWN
    assert judged(*AROUND, saw_the_end(), nodes=()).verdict is UNKNOWN


def test_without_an_undone_fault_it_is_unknown() -> None:
    assert judged(node(0, "True", "listed"), saw_the_end()).verdict is UNKNOWN
    assert judged(node(0, "True", "listed"), fault(5, None), saw_the_end()).verdict is UNKNOWN


def test_without_the_recorders_last_word_it_is_unknown() -> None:
    assert judged(*AROUND).verdict is UNKNOWN
    assert judged(*AROUND, could_not_see_the_end()).verdict is UNKNOWN


def test_late_only_because_nobody_could_see_is_unknown() -> None:
    blind = Blind(25, "watch:nodes", 31, "frozen", complete=True)
    assert judged(*AROUND, node(10, "Unknown"), node(31.2, "True"), blind, saw_the_end()).verdict is UNKNOWN
    assert judged(*AROUND, node(10, "Unknown"), node(45, "True"), blind, saw_the_end()).verdict is VIOLATED


def test_ready_throughout() -> None:
    seen = [node(0, "True", "listed", "a"), node(3, "True", name="a"), node(4, "Unknown", name="b")]
    assert judge(ready_throughout(("a",)), history(seen, saw_the_end())).verdict is HELD
    finding = judge(ready_throughout(("a",)), history(seen, node(5, "Unknown", name="a"), saw_the_end()))
    assert (finding.verdict, finding.reason) == (VIOLATED, "not-ready")
    assert judge(ready_throughout(("a",)), history(seen, node(5, "True", "deleted", "a"))).verdict is VIOLATED
    assert judge(ready_throughout(("a",)), history(seen)).verdict is UNKNOWN
    blind = Blind(2.0, "watch:nodes", 6.0, "away")
    assert judge(ready_throughout(("a",)), history(seen, blind, saw_the_end())).verdict is UNKNOWN
    assert judge(ready_throughout(("z",)), history(seen, saw_the_end())).verdict is UNKNOWN
