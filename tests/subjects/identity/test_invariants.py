"""One machine is one Node; a renamed node stays Ready, or shows that it is away."""

from collections.abc import Sequence

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.records import Blind, NodeChange, Sample
from chaos.record.registry import Record
from chaos.subjects.identity.promises import away_under_another_name, one_node_per_machine
from chaos.subjects.identity.records import ASKED, GAP_S, MachineIds, NodeMachine
from tests.judge.histories import fault, history, saw_the_end

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN


def says(at: float, node: str, machine: str, address: str, provider: str = "") -> NodeMachine:
    return NodeMachine(at, node, MachineIds(machine, machine, provider, address))


def asked(until: float, every_s: float = 0.5) -> list[Record]:
    return [Sample(round(i * every_s, 3), ASKED, NodeMachine.kind, 2.0) for i in range(int(until / every_s) + 1)]


def node(at: float, name: str, ready: str = "True", change: str = "modified") -> NodeChange:
    return NodeChange(at, name, change, ready)


TWO = [says(0.0, "a", "m1", "10.0.0.1"), says(0.0, "b", "m2", "10.0.0.2")]


def of_machines(*records: Record) -> Verdict:
    return judge(one_node_per_machine(), history(TWO, asked(20), saw_the_end(30.0), list(records))).verdict


def test_machines_of_their_own_are_held() -> None:
    finding = judge(one_node_per_machine(), history(TWO, asked(20), saw_the_end(30.0)))
    assert finding.verdict is HELD
    assert finding.figures["nodes"] == 2


def test_a_second_node_of_one_machine_is_a_duplicate() -> None:
    records = [says(5.0, "c", "m1", "10.0.0.1", "kind://x")]
    finding = judge(one_node_per_machine(), history(TWO, asked(20), saw_the_end(30.0), records))
    assert (finding.verdict, finding.reason) == (VIOLATED, "duplicate")
    assert finding.figures["same"] == "machine id, system UUID, address"
    assert "c and a" in finding.sentence


def test_one_identifier_is_enough() -> None:
    assert of_machines(says(5.0, "c", "m3", "10.0.0.2")) is VIOLATED
    assert of_machines(says(5.0, "c", "m3", "10.0.0.3")) is HELD


def test_a_node_that_took_the_place_of_one_that_is_gone_is_no_duplicate() -> None:
    assert of_machines(NodeMachine(4.0, "a", None), says(5.0, "c", "m1", "10.0.0.1")) is HELD


def test_a_duplicate_that_went_again_still_counts() -> None:
    assert of_machines(says(5.0, "c", "m1", "10.0.0.1"), NodeMachine(6.0, "c", None)) is VIOLATED


def test_copied_machines_that_were_alike_before_do_not_count() -> None:
    alike = [says(0.0, "a", "m1", "10.0.0.1"), says(0.0, "b", "m1", "10.0.0.2")]
    finding = judge(one_node_per_machine(), history(alike, asked(20), saw_the_end(30.0)))
    assert finding.verdict is HELD
    assert finding.figures["alike_before"] == 1


def test_a_gap_in_the_asking_is_unknown() -> None:
    gap = [s for s in asked(20) if not 5.0 < s.at < 12.0]
    assert judge(one_node_per_machine(), history(TWO, gap, saw_the_end(30.0))).verdict is UNKNOWN


def test_a_node_that_nobody_could_ask_is_unknown() -> None:
    assert of_machines(node(5.0, "c", change="added"), node(5.2, "c", change="deleted")) is UNKNOWN


def test_nobody_asked_is_unknown() -> None:
    assert judge(one_node_per_machine(), history(saw_the_end(30.0))).verdict is UNKNOWN


def away(*records: Record, undone: float = 66.0) -> Verdict:
    invariant = away_under_another_name("a", fault="rename-node", within_s=20.0)
    return judge(invariant, history(fault(5.0, undone, "rename-node"), saw_the_end(), list(records))).verdict


def test_a_renamed_node_shows_that_it_is_away() -> None:
    assert away(node(0.0, "a", change="listed"), node(22.0, "a", "Unknown")) is HELD
    assert away(node(0.0, "a", change="listed")) is VIOLATED
    assert away(node(0.0, "a", change="listed"), node(27.0, "a", "Unknown")) is UNKNOWN, "slow is not never"
    assert away(node(0.0, "a", change="listed"), undone=10.0) is UNKNOWN
    assert away(node(0.0, "a", change="listed"), undone=64.0) is UNKNOWN, "it may have been about to"
    assert away(node(0.0, "a", change="listed"), Blind(30.0, "watch:nodes", 40.0, "cut")) is UNKNOWN
    assert judge(away_under_another_name("a", fault="x", within_s=1), history(saw_the_end())).verdict is UNKNOWN


# --- to the last figure


def machines(*records: Record | Sequence[Record]) -> Finding:
    return judge(one_node_per_machine(), history(*records, saw_the_end(30.0)))


def test_what_is_held_tells_how_many_were_asked_how_often() -> None:
    held = machines(TWO, asked(20), NodeMachine(6.0, "b", None))
    assert held.figures == {"nodes": 1, "asked": 41, "alike_before": 0}
    assert held.sentence == "each of 1 Nodes is a machine of its own, asked 41 times"


def test_the_first_of_two_duplicates_is_named_and_all_are_proof() -> None:
    later = [says(9.0, "d", "m2", "10.0.0.4"), says(5.0626, "c", "m1", "10.0.0.3")]
    other = says(6.0, "e", "m5", "10.0.0.5")
    found = machines(TWO, asked(20), later, other)
    assert found.sentence == "c and a are two Nodes of one machine: the same machine id, system UUID from 5.1 s on"
    assert found.figures == {"duplicates": 2, "first_s": 5.063, "same": "machine id, system UUID"}
    assert found.proof == (*TWO, later[1], later[0])


def test_alike_until_it_was_first_asked_is_alike_before() -> None:
    late = [each for each in asked(20) if each.at >= 1.0]
    assert machines(TWO, late, says(1.0, "c", "m1", "10.0.0.3")).verdict is HELD
    assert machines(TWO, late, says(1.1, "c", "m1", "10.0.0.3")).verdict is VIOLATED
    again = [says(1.0, "c", "m1", "10.0.0.3"), says(7.0, "c", "m1", "10.0.0.4")]
    assert machines(TWO, late, again).figures["alike_before"] == 1
    itself = says(7.0, "a", "m1", "10.0.0.9")
    assert machines(TWO, late, itself).verdict is HELD


def test_a_gap_is_told_with_what_was_blind_in_it() -> None:
    gap = [s for s in asked(20) if not 5.0 < s.at < 12.0]
    blind = Blind(5.0, NodeMachine.kind, 6.0, "refused")
    beside = [Blind(1.0, NodeMachine.kind, 4.9, "no"), Blind(12.1, NodeMachine.kind, 13, "no"), Blind(6, "x", 7, "no")]
    found = machines(TWO, gap, blind, beside)
    assert (found.sentence, found.proof) == ("the Nodes were not asked from 5.0 s to 12.0 s", (blind,))
    assert machines(TWO, asked(20, GAP_S)).verdict is HELD
    assert machines(TWO, [each for each in asked(20) if each.at != 1.0], says(2, "c", "m9", "x")).verdict is HELD


def test_a_node_that_was_never_asked_is_named() -> None:
    came = [node(5.0, "c", change="added"), node(5.2, "c", change="deleted"), node(0.0, "a", change="listed")]
    found = machines(TWO, asked(20), came)
    assert found.sentence == "c came and went before it was asked which machine it stands for"
    assert found.proof == tuple(came[:2])
    once = machines(TWO, asked(20), came[:1])
    assert once.sentence == found.sentence
    nobody = machines(TWO)
    assert nobody.sentence == "nobody asked the Nodes which machine they stand for"


def renamed(*records: Record, undone: float = 65.0, end: list[Record] | None = None) -> Finding:
    invariant = away_under_another_name("a", fault="rename-node", within_s=20.0)
    seen = history(fault(5.0, undone, "rename-node"), end if end is not None else saw_the_end(), list(records))
    return judge(invariant, seen)


def test_a_renamed_node_is_away_at_the_limit_and_too_late_past_it() -> None:
    held = renamed(node(4.0, "a", "Unknown"), node(8.0, "b", "Unknown"), node(25.0, "a", "Unknown"))
    assert (held.verdict, held.figures) == (HELD, {"after_s": 20.0})
    assert held.sentence == "a was seen Ready Unknown 20.0 s after the fault"
    late = renamed(node(25.1, "a", "Unknown"), node(26.0, "a", "False"))
    assert (late.verdict, late.sentence) == (
        UNKNOWN,
        "a was seen not Ready only 20.1 s after the fault: 20 s at most",
    )
    never = renamed(node(8.0, "a"))
    assert (never.verdict, never.reason) == (VIOLATED, "still-ready")
    assert (never.sentence, never.proof) == ("a was seen not Ready never while the fault lasted", ())
    short = renamed(node(8.0, "a"), undone=64.9)
    assert (short.verdict, short.sentence) == (
        UNKNOWN,
        "a was not seen to be away in the 59.9 s that the fault lasted; a busy machine may need 60 s to tell it",
    )


def test_a_renamed_node_that_nobody_saw_is_unknown() -> None:
    assert renamed(node(8.0, "a"), end=[]).verdict is UNKNOWN
    assert renamed(node(26.0, "a", "Unknown"), end=[]).verdict is UNKNOWN


def test_a_node_that_went_hides_no_duplicate_of_another() -> None:
    assert of_machines(NodeMachine(4.0, "b", None), says(5.0, "c", "m1", "10.0.0.1")) is VIOLATED


def test_the_first_time_that_it_is_away_counts() -> None:
    assert renamed(node(8.0, "a", "Unknown"), node(27.0, "a", "Unknown")).verdict is HELD
