"""One machine is one Node; a renamed node stays Ready, or shows that it is away."""

from chaos.judge.base import Verdict, judge
from chaos.record.records import Blind, NodeChange, Sample
from chaos.record.registry import Record
from chaos.subjects.identity.promises import away_under_another_name, one_node_per_machine
from chaos.subjects.identity.records import ASKED, MachineIds, NodeMachine
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
