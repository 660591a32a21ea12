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


def test_what_is_held_says_how_many_and_the_slowest() -> None:
    again = [node(26.5006, "True"), node(22, "True", name="b")]
    seen = [*AROUND, node(0, "True", "listed", "b"), node(0, "False", name="c"), node(9, "False", name="b"), *again]
    finding = judged(*seen, node(8, "False"), saw_the_end(), nodes=("worker", "b"))
    assert finding.figures == {"nodes": 2, "ready_s_b": 2.0, "ready_s_worker": 6.501}
    assert finding.sentence == "all 2 nodes were Ready 6.5 s after the fault was undone, allowed were 10 s"


def test_the_limit_itself_is_in_time() -> None:
    assert judged(*AROUND, node(10, "Unknown"), node(30, "True"), saw_the_end()).verdict is HELD
    late = judged(*AROUND, node(10, "Unknown"), node(30.25, "True"), saw_the_end())
    assert (late.verdict, late.figures) == (VIOLATED, {"nodes": 1, "ready_s_worker": 10.25})
    assert late.sentence == "worker was Ready 10.2 s after the fault was undone, allowed were 10 s"
    assert late.proof == (node(30.25, "True"),)


def test_of_those_that_are_late_the_last_one_is_named() -> None:
    seen = [node(10, "Unknown", name="b"), node(31, "True", name="b"), node(10, "Unknown"), node(33, "True")]
    finding = judged(*AROUND, *seen, saw_the_end(), nodes=("worker", "b"))
    assert finding.sentence.startswith("worker was Ready 13.0 s after")


def test_those_that_are_away_at_the_end_are_counted() -> None:
    gone = node(12, "True", "deleted", "b")
    finding = judged(*AROUND, gone, node(13, "False", name="c"), saw_the_end(), nodes=("worker", "b", "c"))
    assert finding.figures == {"nodes": 3, "not_ready": 2}
    assert finding.sentence == "2 of 3 nodes are not Ready at the end: b, c (gone)"
    assert finding.proof == (gone, node(13, "False", name="c"))


def test_only_a_blindness_around_the_moment_hides_when_it_was() -> None:
    before, back = [*AROUND, node(10, "Unknown")], node(35, "True")
    for blind, verdict in [
        (Blind(30, "watch:nodes", 34, "cut", complete=True), UNKNOWN),  # until a second before
        (Blind(30, "watch:nodes", 33.9, "cut", complete=True), VIOLATED),
        (Blind(30.1, "watch:nodes", 34.5, "cut", complete=True), VIOLATED),  # it was late already
        (Blind(35, "watch:nodes", 36, "cut", complete=True), VIOLATED),
        (Blind(29, "watch:pods", 36, "cut", complete=True), VIOLATED),
    ]:
        assert judged(*before, back, blind, saw_the_end()).verdict is verdict, blind
    hidden = judged(*before, back, Blind(30, "watch:nodes", 34, "cut", complete=True), saw_the_end())
    assert (hidden.sentence, hidden.proof) == ("whether worker was Ready in time could not be seen", (back,))


def test_one_that_is_late_for_certain_is_violated_beside_one_that_was_not_seen() -> None:
    blind = Blind(25, "watch:nodes", 31, "frozen", complete=True)
    seen = [node(10, "Unknown"), node(31.2, "True"), node(10, "Unknown", name="b"), node(45, "True", name="b")]
    assert judged(*AROUND, *seen, blind, saw_the_end(), nodes=("worker", "b")).verdict is VIOLATED


def throughout(*records: NodeChange, nodes: tuple[str, ...] = ("a",)) -> Finding:
    return judge(ready_throughout(nodes), history(*records, saw_the_end()))


def test_ready_throughout_says_for_how_long_it_was_not() -> None:
    away = [node(0, "True", name="a"), node(5, "Unknown", name="a"), node(5.5, "True", name="b")]
    short = throughout(*away, node(5.5, "False", name="a"), node(7.5, "True", name="a"), node(9, "True", name="a"))
    assert short.sentence == "a was Ready Unknown at 5.0 s, 2.5 s long"
    assert short.figures == {"first_s": 5}
    assert throughout(*away).sentence == "a was Ready Unknown at 5.0 s, to the end"
    gone = throughout(node(0, "True", name="a"), node(4.2506, "True", "deleted", "a"))
    assert gone.sentence == "a was deleted at 4.3 s, to the end"
    assert gone.figures == {"first_s": 4.251}


def test_ready_throughout_needs_every_node_to_have_been_seen() -> None:
    held = throughout(node(0, "True", name="a"), node(0, "True", name="b"), nodes=("a", "b"))
    assert (held.verdict, held.figures) == (HELD, {"nodes": 2})
    assert held.sentence == "a, b stayed Ready from the beginning to the end"
    never = throughout(node(0, "True", name="a"), nodes=("a", "b", "c"))
    assert (never.verdict, never.sentence) == (UNKNOWN, "node b, c was never seen")
    assert throughout(nodes=()).sentence == "no node was named"


def test_whether_a_node_is_ready_at_the_end_has_to_be_seen() -> None:
    """Its last sight may be old: it came back, and nobody saw it."""
    away = [*AROUND, node(10, "Unknown")]
    for missed in (
        [],
        could_not_see_the_end(),
        [Blind(25, "watch:nodes", 40, "the API server was away"), *saw_the_end()],
    ):
        assert judged(*away, missed).verdict is UNKNOWN, missed
    gone = [*AROUND, node(12, "True", "deleted")]
    assert judged(*gone).verdict is UNKNOWN
    for seen in (
        Blind(25, "watch:nodes", 40, "a full list was compared", complete=True),
        Blind(2, "watch:nodes", 9, "the API server was away"),
        Blind(25, "watch:pods", 40, "the API server was away"),
    ):
        assert judged(*away, seen, saw_the_end()).reason == "not-ready", seen
