"""The story of a replay out of its histories: phases and harm in Unix time, whatever else was recorded."""

from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.exports import story
from chaos.exports.story import Episode, story_of
from chaos.record.records import FaultStep, HarmLook, Observation, Phase, Sample
from chaos.record.registry import Record
from chaos.results.saved import load
from tests.report.made import broken, finding, history, outcome, results

BEGAN = 1_767_225_600.0  # of the histories that tests.report.made makes
A_CUT = (
    Phase(1.0, "fault", "cut"),
    FaultStep(1.1, "cut", "planned"),
    FaultStep(1.5, "cut", "applied"),
    FaultStep(2.0, "cut", "landed"),
    Phase(2.0, "hold", "6 s: so that it shows"),
    Sample(3.0, "of", "something", 1.0),
    FaultStep(8.0, "cut", "undoing"),
    FaultStep(8.5, "cut", "undone"),
    Phase(8.5, "recover", 'every node is "Ready"'),
    Sample(9.5, "of", "something", 1.0),
)


def told(root: Path, *records: Record) -> tuple[Episode, ...]:
    made = results(root)
    made.add(outcome(histories=[history(made, records)]))
    run = load(root)
    return story_of(run, run.outcomes[0]).parts


def as_seconds(part: Episode) -> tuple[str, float, float]:
    return part.name, round(part.start - BEGAN, 3), round(part.end - BEGAN, 3)


def test_phases_last_until_the_next_one_and_harm_from_its_plan_until_it_is_undone(tmp_path: Path) -> None:
    parts = told(tmp_path, *A_CUT)
    assert [as_seconds(each) for each in parts] == [
        ("fault", 1.0, 2.0),
        ("harm cut", 1.1, 8.5),
        ("hold", 2.0, 8.5),
        ("recover", 8.5, 9.5),
    ]
    harm = parts[1]
    assert [(each.name, round(each.at - BEGAN, 3)) for each in harm.moments] == [
        ("planned", 1.1), ("applied", 1.5), ("landed", 2.0), ("undoing", 8.0), ("undone", 8.5),
    ]  # fmt: skip
    assert parts[3].about == {"ordeal.detail": 'every node is "Ready"'}
    assert [each.problem for each in parts] == [""] * 4


def test_harm_that_did_not_land_went_away_or_stays_says_so(tmp_path: Path) -> None:
    landing = told(tmp_path / "a", FaultStep(1.0, "cut", "planned"), FaultStep(2.0, "cut", "not-landed", "no iptables"))
    assert [(each.problem, as_seconds(each)[1:]) for each in landing] == [("it did not land", (1.0, 2.0))]
    gone = told(
        tmp_path / "b",
        FaultStep(1.0, "cut", "planned"),
        HarmLook(2.0, "cut", 1, "there"),
        HarmLook(3.0, "cut", 1, "gone", "somebody flushed it"),
        FaultStep(4.0, "cut", "undoing"),
        FaultStep(5.0, "cut", "not-undone", "no answer"),
    )
    assert [each.name for each in gone[0].moments] == ["planned", "gone", "undoing", "not-undone"]
    assert gone[0].problem == "it could not be undone"


def test_two_harms_of_one_kind_are_two_and_the_last_is_taken_back_first(tmp_path: Path) -> None:
    steps = [("planned", 1.0), ("planned", 2.0), ("landed", 3.0), ("undone", 4.0), ("undone", 5.0)]
    parts = told(tmp_path, *(FaultStep(at, "cut", step) for step, at in steps))
    assert [as_seconds(each)[1:] for each in parts] == [(1.0, 5.0), (2.0, 4.0)]


def test_of_two_harms_of_one_kind_the_second_may_not_land(tmp_path: Path) -> None:
    steps = ["planned", "landed", "planned", "not-landed", "undoing", "undone", "undoing", "undone"]
    first, second = told(tmp_path, *(FaultStep(float(at), "cut", step) for at, step in enumerate(steps)))
    assert (as_seconds(first)[1:], first.problem) == ((0.0, 7.0), "")
    assert (as_seconds(second)[1:], second.problem) == ((2.0, 5.0), "it did not land")
    assert [each.name for each in first.moments] == ["planned", "landed", "undoing", "undone"]


def test_the_whole_holds_all_its_parts_and_what_was_found(tmp_path: Path) -> None:
    made = results(tmp_path)
    path = history(made, A_CUT)
    made.add(
        outcome(broken(), finding(name="pods-start", slowest_s=1.5), control="default-tolerations", histories=[path])
    )
    run = load(tmp_path)
    whole = story_of(run, run.outcomes[0]).whole
    assert whole.name == "replay mass-termination"
    assert whole.start <= BEGAN + 1.0
    assert whole.end >= BEGAN + 9.5
    assert whole.problem == ""
    about = {
        "ordeal.run.id": run.id, "ordeal.variant": "control", "ordeal.control": "default-tolerations",
        "ordeal.cluster.kind": "kind", "ordeal.kubernetes.version": "1.34.4", "ordeal.verdict": "violated",
        "test.case.result.status": "pass",
    }  # fmt: skip
    assert about.items() <= whole.about.items()
    found = [(each.about["ordeal.invariant"], each.about["ordeal.verdict"]) for each in whole.moments]
    assert found == [("nothing-terminated", "violated"), ("pods-start", "held")]
    assert whole.moments[1].about["ordeal.figure.slowest_s"] == 1.5


def test_what_only_looks_like_a_phase_is_none(tmp_path: Path) -> None:
    assert told(tmp_path, Observation(1.0, "said", "a", '"kind":"phase","at":1')) == ()


def test_a_replay_without_a_history_is_told_all_the_same(tmp_path: Path) -> None:
    assert told(tmp_path) == ()
    run = load(tmp_path)
    whole = story_of(run, run.outcomes[0]).whole
    assert whole.end - whole.start == pytest.approx(61.4)


def test_more_parts_than_anybody_reads_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "PARTS", 3)
    made = results(tmp_path)
    made.add(outcome(histories=[history(made, [Phase(float(n), "hold") for n in range(5)])]))
    run = load(tmp_path)
    whole = story_of(run, run.outcomes[0])
    assert (len(whole.parts), whole.left_out) == (3, 2)


@pytest.mark.parametrize("line", [b"{}\n", b'{"at":1,"wall":2,"kind":"phase","data":{}}\n', b"\xff\n"])
def test_a_history_that_was_edited_is_one_sentence(tmp_path: Path, line: bytes) -> None:
    made = results(tmp_path)
    path = history(made, A_CUT)
    made.add(outcome(histories=[path]))
    path.write_bytes(path.read_bytes() + line)
    run = load(tmp_path)
    with pytest.raises(OrdealError, match=r"^test_x/history/0.jsonl is no history that can be told"):
        story_of(run, run.outcomes[0])
    path.unlink()
    with pytest.raises(OrdealError, match="is missing"):
        story_of(run, run.outcomes[0])


def test_a_history_that_was_cut_off_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    made = results(tmp_path)
    path = history(made, A_CUT)
    made.add(outcome(histories=[path]))
    path.write_bytes(path.read_bytes()[:-9])
    run = load(tmp_path)
    assert as_seconds(story_of(run, run.outcomes[0]).parts[-1]) == ("recover", 8.5, 8.5)
