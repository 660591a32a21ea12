"""Promises are declared at the mark: what is not declared is refused at once, what lacks at the end, by its name."""

from pathlib import Path

import pytest

from chaos.clusters.shape import Timers
from chaos.errors import OrdealError
from chaos.judge.availability import outage_at_most, watched_service_answers
from chaos.judge.base import Invariant, Verdict, held, judge
from chaos.judge.conformance import AFTER, BEFORE, DURING, conforms_during, still_conforms
from chaos.judge.nodes_ready import nodes_ready_again
from chaos.judge.pods import nothing_terminated
from chaos.judge.serving import serves_before_harm
from chaos.record.history import History
from chaos.record.records import NodeChange, Phase, Probe, SpecRun
from chaos.record.registry import Record
from chaos.run.lab import Lab
from chaos.run.profile import PROFILES
from chaos.run.promised import REPLAY, WORKERS, Conditions, Judged, Register, Seen, exactly, judged, node_of, says
from chaos.run.suites import suites
from chaos.run.verdict import outcome_of
from tests.judge.histories import fault, pod, saw_the_end
from tests.run.labs import a_lab, story

NODES: list[Record] = [
    NodeChange(0.0, "cp", "listed", "True", control_plane=True),
    NodeChange(0.0, "w1", "listed", "True"),
    NodeChange(0.0, "w2", "listed", "True"),
    pod(0.0, "a", node="w1"),
]
CUT = [*NODES, *fault(1.0, 2.0, "cut"), NodeChange(3.0, "w3", "added", "True")]


class Cut:
    kind = "cut"


class Fill:
    kind = "fill"


DECLARED = judged(
    says(nothing_terminated, "web", tolerated_s=12),
    says(nodes_ready_again, WORKERS, within_s=120.0),
    harm=(Cut,),
)


def told(register: Register, records: list[Record], *invariants: Invariant, path: str = "0.jsonl") -> list[str]:
    history = History.of_records(records)
    return [register.take(path, history, invariant.recipe) for invariant in invariants]


def test_what_is_declared_is_taken_once_and_what_lacks_is_named() -> None:
    register = Register(DECLARED, hardened=True)
    (lacking,) = register.lacking()
    assert lacking.startswith("no recording with the harm cut was judged, and declared is one that is judged by ")
    assert 'nothing_terminated(workload="web", tolerated_s=12), nodes_ready_again(nodes=<every worker>, ' in lacking
    assert told(register, CUT, nodes_ready_again(["w2", "w1"], within_s=120)) == [""]
    assert list(register.lacking()) == [
        'nothing_terminated(workload="web", tolerated_s=12) is declared, and 0.jsonl was not judged by it'
    ]
    assert told(register, CUT, nothing_terminated("web", tolerated_s=12)) == [""]
    assert list(register.lacking()) == []
    (twice,) = told(register, CUT, nothing_terminated("web", tolerated_s=12))
    assert twice == 'nothing_terminated(workload="web", tolerated_s=12) was judged more often than it is declared'


@pytest.mark.parametrize(
    ("invariant", "says_so"),
    [
        (nothing_terminated("web"), "is not what is declared: nothing_terminated(workload="),
        (nothing_terminated("web", tolerated_s=13), "tolerated_s=13) is not what is declared"),
        (nothing_terminated("other", tolerated_s=12), "is not what is declared"),
        (nodes_ready_again(["w1"], within_s=120), "is not what is declared: nodes_ready_again(nodes=<every worker>"),
        (nodes_ready_again(["w1", "w1"], within_s=120), "is not what is declared"),
        (nodes_ready_again(["w1", "w2", "cp"], within_s=120), "is not what is declared"),
        (nodes_ready_again(["w1", "w2", "w3"], within_s=120), "is not what is declared"),
        (nodes_ready_again(["w1", "w2"], within_s=float("inf")), "is not what is declared"),
        (outage_at_most(2.0), "outage_at_most(limit_s=2.0) was judged and is not declared"),
        (Invariant("own", lambda _: held("it was kept")), "made by no promise"),
    ],
)
def test_what_is_not_declared_is_refused_with_what_is(invariant: Invariant, says_so: str) -> None:
    (why,) = told(Register(DECLARED, hardened=True), CUT, invariant)
    assert says_so in why


def test_a_recording_without_the_declared_harm_is_none_that_may_be_judged() -> None:
    register = Register(DECLARED, hardened=True)
    (why,) = told(register, NODES, nothing_terminated("web", tolerated_s=12))
    assert why.endswith("judges a recording with no harm, and declared is the harm cut")


def test_recordings_of_one_replay_are_told_apart_by_their_harm() -> None:
    both = (*judged(says(outage_at_most, 2.0), harm=(Cut,)), *judged(says(outage_at_most, 2.0), harm=(Fill,)))
    register = Register(both, hardened=True)
    assert told(register, CUT, outage_at_most(2.0)) == [""]
    assert told(register, CUT, outage_at_most(2.0), path="1.jsonl") != [""]
    filled = [*NODES, *fault(1.0, 2.0, "fill")]
    assert [*register.lacking()] != []
    assert told(register, filled, outage_at_most(2.0), path="2.jsonl") == [""]


def test_what_only_a_recording_knows_is_bound_to_it() -> None:
    on_node = judged(says(outage_at_most, 2.0, nodes=(node_of("web"),)), harm=(Cut,))
    assert told(Register(on_node, hardened=True), CUT, outage_at_most(2.0, nodes=["w1"])) == [""]
    assert told(Register(on_node, hardened=True), CUT, outage_at_most(2.0, nodes=["w2"])) != [""]
    assert told(Register(on_node, hardened=True), CUT, outage_at_most(2.0, nodes=[["w1"]])) != [""]  # type: ignore[list-item]
    gone = judged(says(outage_at_most, exactly("what is not there", lambda _: next(iter(())))), harm=(Cut,))
    assert told(Register(gone, hardened=True), CUT, outage_at_most(2.0)) != [""]


def test_specs_around_a_replay_may_be_judged_and_must_be_where_they_were_run() -> None:
    ran: list[Record] = [SpecRun(0.5, BEFORE, "a", "passed", 1.0), SpecRun(5.0, AFTER, "a", "passed", 1.0)]
    during = [*CUT, SpecRun(1.5, DURING, "calls", "passed", 0.1)]
    plain = judged(says(outage_at_most, 2.0), harm=(Cut,))
    register = Register(plain, hardened=True)
    assert told(register, during, outage_at_most(2.0)) == [""]
    assert [*register.lacking()] == ["specs were run during the harm, and 0.jsonl was not judged by conforms_during"]
    assert told(register, during, conforms_during([], fault="cut")) != [""]
    assert told(register, during, conforms_during(["calls"], fault="cut")) == [""]
    around = "conformance.jsonl"
    assert told(register, ran, still_conforms(["a"], before=False), path=around) != [""]
    assert told(register, ran, still_conforms([], before=True), path=around) != [""]
    assert told(register, ran, still_conforms(["a"], before=True), path=around) == [""]
    assert [*register.lacking()] == []
    assert told(Register(plain, hardened=False), ran, still_conforms(["a"], before=True), path=around) != [""]


def test_a_service_that_was_watched_must_be_judged_and_one_that_was_not_may_not() -> None:
    asked = [Probe(0.5, "w1", "shop/front", ok=True, took_s=0.01), Probe(0.5, "w1", "web", ok=True, took_s=0.01)]
    for hardened in (True, False):
        register = Register(judged(says(outage_at_most, 2.0), harm=(Cut,)), hardened=hardened)
        records = [*CUT, *asked]
        assert told(register, records, outage_at_most(2.0)) == [""]
        assert [*register.lacking()] == ["shop/front was watched, and 0.jsonl was not judged by it"]
        assert told(register, records, watched_service_answers("shop/back")) != [""]
        assert told(register, records, watched_service_answers("shop/front", limit_s=60.0)) != [""]
        assert told(register, records, watched_service_answers("shop/front")) == [""]
        assert [*register.lacking()] == []
        assert told(register, records, watched_service_answers("shop/front")) != [""]


def test_a_story_that_was_not_told_is_judged_by_that_alone_and_by_nothing_that_held() -> None:
    serves = serves_before_harm("web", nodes=["w1"])
    refused, answered = (Probe(1.0, "w1", "web", ok=ok, took_s=0.1) for ok in (False, True))
    either: tuple[list[Record], ...] = ([answered], [*CUT, refused])
    register = Register(DECLARED, hardened=True)
    assert told(register, [refused], serves) == [""]
    assert list(register.lacking()) == [], "the rest had no time"
    for records in either:
        register = Register(DECLARED, hardened=True)
        assert told(register, records, serves) != [""], "else it would stand for all that was left out"
        assert list(register.lacking()) != []


def test_every_suite_declares_its_promises_in_every_variant() -> None:
    for suite in suites():
        replay = suite.replay
        assert replay.promises is not None, suite.test
        for control in (None, *replay.controls):
            for kind in replay.on:
                for profile in PROFILES.values():
                    found = replay.promises(Conditions(control, kind, profile))
                    assert found, suite.test
                    assert all(each.by for each in found), suite.test


# --- in a lab


def lab(tmp_path: Path, promises: tuple[Judged, ...]) -> Lab:
    return a_lab(tmp_path, story(promises))


def test_a_suite_that_judges_by_something_else_is_told_what_to_change(tmp_path: Path) -> None:
    made = lab(tmp_path, DECLARED)
    with pytest.raises(OrdealError, match=r"made-up \(small\) does not judge what its mark declares: .*tolerated_s=13"):
        made.expect(History.of_records(CUT), nothing_terminated("web", tolerated_s=13))
    assert made.findings == []
    made.expect(History.of_records(CUT), nothing_terminated("web", tolerated_s=12))
    with pytest.raises(OrdealError, match=r"nodes_ready_again\(.* is declared, .* Change `promises` of the mark"):
        made.conform_after()


def test_a_suite_that_keeps_to_its_declaration_is_not(tmp_path: Path) -> None:
    made = lab(tmp_path, DECLARED)
    promises = (nothing_terminated("web", tolerated_s=12), nodes_ready_again(["w1", "w2"], within_s=120.0))
    made.expect(History.of_records(CUT), *promises)
    made.conform_after()
    assert len(made.findings) == len(promises)
    assert made.timers == made.conditions.timers == PROFILES["smoke"].simulated_timers != Timers()


def test_what_is_kept_of_a_history_in_memory_says_of_which_replay_it_is(tmp_path: Path) -> None:
    made = lab(tmp_path, DECLARED)
    made.expect(History.of_records(CUT), nothing_terminated("web", tolerated_s=12))
    (path,) = made.histories
    said = [phase.detail for phase in History.load(path).of(Phase) if phase.name == REPLAY]
    assert said == ["made-up (small), hardened, on simulated, smoke"]


# --- a story that fails before it has judged


BROKEN = [*CUT, pod(1.5, "a", "modified", node="w1", deleting=True, reason="DeletionByTaintManager")]
GONE = "what was recorded violates nothing-terminated: 1 of 1 pods of web"


def failed(promises: tuple[Judged, ...], records: list[Record], tmp_path: Path) -> list[str]:
    """What the verdict says beside the problem, of a recording that ended with it."""
    made = lab(tmp_path, promises)
    made.broken += made._judging.broken(History.of_records(records))
    first, *more = outcome_of(made, "test_x", "the fault fill did not land").why.split("; ")
    assert first == "the fault fill did not land"
    return more


def test_what_was_broken_when_the_story_failed_is_said_and_what_may_still_have_come_is_not(tmp_path: Path) -> None:
    away = NodeChange(1.2, "w1", "modified", "Unknown")
    both = judged(says(nothing_terminated, "web"), says(nodes_ready_again, WORKERS, within_s=120.0), harm=(Cut, Fill))
    whole = History.of_records([*BROKEN, away, *saw_the_end(100.0, "nodes")])
    late = judge(nodes_ready_again(["w1", "w2"], within_s=120.0), whole)
    assert late.verdict is Verdict.VIOLATED, "as it would be of a whole recording"
    (said,) = failed(both, [*BROKEN, away], tmp_path)
    assert said.startswith(GONE)


def test_what_was_judged_before_is_said_too(tmp_path: Path) -> None:
    made = lab(tmp_path, judged(says(nothing_terminated, "web"), harm=(Cut,)))
    made.expect(History.of_records(BROKEN), nothing_terminated("web"))
    assert f"; {GONE}" in outcome_of(made, "test_x", "the fault fill did not land").why


def test_what_was_not_broken_is_not_said(tmp_path: Path) -> None:
    assert failed(judged(says(nothing_terminated, "web"), harm=(Cut, Fill)), CUT, tmp_path) == []


@pytest.mark.parametrize(
    "promises",
    [
        judged(says(nothing_terminated, "web"), harm=(Fill,)),
        (*judged(says(nothing_terminated, "web"), harm=(Cut,)), *judged(says(outage_at_most, 2.0), harm=(Cut, Fill))),
        judged(says(nothing_terminated, exactly("what is not there", lambda _: next(iter(())))), harm=(Cut,)),
        judged(says(nothing_terminated, Seen("what nobody reads", lambda *_: True)), harm=(Cut,)),
        judged(says(nothing_terminated, exactly("what fails", lambda _: 1 // 0)), harm=(Cut,)),
    ],
    ids=["other harm", "two that fit", "not there", "not read", "a reader that fails"],
)
def test_where_it_is_not_certain_by_what_it_would_have_been_judged_nothing_is_said(
    promises: tuple[Judged, ...], tmp_path: Path
) -> None:
    assert failed(promises, BROKEN, tmp_path) == []
