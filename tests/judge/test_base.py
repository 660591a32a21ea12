"""From judgements to findings, and from findings to one verdict: nothing that is not held becomes so on the way."""

from itertools import permutations
from pathlib import Path

import pytest

from chaos.judge import base
from chaos.judge.availability import answered_throughout, outage_at_most
from chaos.judge.base import (
    CRASHED,
    PROOF_LIMIT,
    Finding,
    Invariant,
    Judgement,
    Recipe,
    Verdict,
    as_json,
    bounded_figures,
    held,
    judge,
    made_again,
    overall,
    promises,
    stays_broken,
    unknown,
    violated,
)
from chaos.judge.heartbeats import kubelets_report_again
from chaos.record.history import History, UnreadError, Window
from chaos.record.records import GONE, THERE, HarmLook, Sample
from tests.judge.histories import history

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
SAMPLES = [Sample(float(at), "s", "x", 1.0) for at in range(PROOF_LIMIT + 5)]


def found(verdict: Verdict) -> Finding:
    return Finding("a", verdict, "said")


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ((), UNKNOWN),
        ((HELD,), HELD),
        ((HELD, HELD), HELD),
        ((HELD, UNKNOWN), UNKNOWN),
        ((UNKNOWN,), UNKNOWN),
        ((HELD, VIOLATED), VIOLATED),
        ((HELD, UNKNOWN, VIOLATED), VIOLATED),
    ],
)
def test_the_worst_counts_in_whatever_order(verdicts: tuple[Verdict, ...], verdict: Verdict) -> None:
    assert {overall([found(each) for each in order]) for order in permutations(verdicts)} == {verdict}


def test_each_verdict_has_its_sentence_figures_and_the_first_of_its_proof() -> None:
    assert held("kept", a=1) == Judgement(HELD, "kept", figures={"a": 1})
    broken = violated("broken", SAMPLES, reason="why", a=1)
    assert broken == Judgement(VIOLATED, "broken", "why", {"a": 1}, tuple(SAMPLES[:PROOF_LIMIT]))
    assert len(broken.proof) == 20
    assert unknown("not seen", SAMPLES) == Judgement(
        UNKNOWN, "not seen", "not-enough-seen", proof=tuple(SAMPLES[:PROOF_LIMIT])
    )


def test_a_finding_has_all_of_its_judgement(tmp_path: Path) -> None:
    recipe = Recipe("answered_throughout", {})
    seen = History(tmp_path / "h.jsonl")
    finding = judge(Invariant("b", lambda _: violated("broken", SAMPLES[:1], reason="why", a=1), recipe), seen)
    seen.close()
    assert finding == Finding("b", VIOLATED, "broken", "why", {"a": 1}, (SAMPLES[0],), recipe, tmp_path / "h.jsonl")


def test_a_judge_that_crashes_has_shown_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "Finding", Finding)  # here a crash is what is asked for

    def crash(_: History) -> Judgement:
        raise ZeroDivisionError("no samples")

    assert judge(Invariant("a", crash, Recipe("answered_throughout", {})), history()) == Finding(
        "a",
        UNKNOWN,
        "the check itself crashed: ZeroDivisionError('no samples')",
        CRASHED,
        recipe=Recipe("answered_throughout", {}),
    )


def test_what_cant_be_read_is_unknown_and_no_crash() -> None:
    def unread(_: History) -> Judgement:
        raise UnreadError("its 'probe' records can't be read")

    finding = judge(Invariant("a", unread), history())
    assert (finding.verdict, finding.reason) == (UNKNOWN, "not-enough-seen")
    assert finding.sentence == "its 'probe' records can't be read"


@pytest.mark.parametrize(("made", "verdict"), [(held("kept"), UNKNOWN), (violated("no", reason="r"), VIOLATED)])
def test_only_what_was_violated_stays_so_where_the_harm_did_not_last(made: Judgement, verdict: Verdict) -> None:
    looks = [HarmLook(1.0, "cut", 1, THERE), HarmLook(2.0, "cut", 1, GONE)]
    assert judge(Invariant("a", lambda _: made), history(looks)).verdict is verdict


def test_an_argument_without_an_end_is_a_text_wherever_it_is() -> None:
    assert as_json(Window(1.0, float("inf"))) == {"start": 1.0, "end": "inf"}
    assert as_json([float("-inf"), (2.5, "a")]) == ["-inf", [2.5, "a"]]
    assert as_json({"a": {"b": float("nan")}}) == {"a": {"b": "nan"}}


def test_what_stays_broken_is_marked_and_the_rest_is_not() -> None:
    assert stays_broken(outage_at_most(1.0))
    assert not stays_broken(kubelets_report_again(["a"], within_s=1.0))
    assert not stays_broken(Invariant("own", outage_at_most(1.0).judge))


def test_the_figure_that_a_limit_bounds_is_known() -> None:
    assert bounded_figures("kubelets_report_again") == {"within_s": "report_s"}
    assert bounded_figures("answered_throughout") == {}


def test_every_promise_of_a_judge_knows_its_recipe() -> None:
    invariant = answered_throughout(target="web")
    assert invariant.recipe == Recipe("answered_throughout", {"target": "web"})
    again = made_again(invariant.recipe)
    assert (again.name, again.recipe) == ("answered-throughout", invariant.recipe)
    assert "answered_throughout" in promises()
