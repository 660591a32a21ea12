"""Limits of the user's own: judged by in the place of shipped ones where the recording says so, and told as theirs."""

import pytest

from chaos.judge import load_all
from chaos.judge.availability import outage_at_most, watched_service_answers
from chaos.judge.base import Invariant, OwnLimit, Verdict, judge, limits_of, own_limits, promises
from chaos.record.given import LimitGiven
from chaos.record.history import History
from chaos.record.records import Blind, Probe
from tests.judge.histories import history, probes

load_all()
AWAY_3_S = probes("+" * 10 + "-" * 30 + "+" * 10)


def given(value: float, of: str = "outage_at_most", argument: str = "limit_s") -> LimitGiven:
    return LimitGiven(0.0, of, argument, value)


def test_a_looser_limit_is_judged_by_and_told_beside_the_shipped_one() -> None:
    shipped, own = (
        judge(outage_at_most(2.0), history(AWAY_3_S)),
        judge(outage_at_most(2.0), history(given(5), AWAY_3_S)),
    )
    assert (shipped.verdict, own.verdict) == (Verdict.VIOLATED, Verdict.HELD)
    assert own.sentence.endswith("allowed were 5000 ms; by a limit of its user's own: limit_s 5, shipped: 2")
    assert (own.figures["own_limit_s"], own.figures["shipped_limit_s"]) == (5, 2)
    assert (own.invariant, own.recipe) == (shipped.invariant, shipped.recipe), "controls and marks name them so"
    assert "own_limit_s" not in shipped.figures


def test_a_tighter_limit_is_judged_by_too() -> None:
    found = judge(outage_at_most(2.0), history(given(0.2), probes("+++---+++")))
    assert found.verdict is Verdict.VIOLATED
    assert "allowed were 200 ms" in found.sentence


@pytest.mark.parametrize("other", [given(5, of="dns_answers"), given(5, of="shop/front")])
def test_a_limit_of_something_else_changes_nothing(other: LimitGiven) -> None:
    assert judge(outage_at_most(2.0), history(other, AWAY_3_S)) == judge(outage_at_most(2.0), history(AWAY_3_S))


def test_what_is_unknown_says_by_which_limit_it_would_have_been_judged() -> None:
    found = judge(outage_at_most(2.0), history(given(5)))
    assert found.verdict is Verdict.UNKNOWN
    assert found.sentence == "no probe was sent; by a limit of its user's own: limit_s 5, shipped: 2"


@pytest.mark.parametrize(
    ("limits", "own"),
    [
        ([given(9, "watched_service_answers")], 9),
        ([given(1, "shop/front"), given(9, "watched_service_answers")], 1),
        ([given(1, "shop/back")], None),
    ],
)
def test_a_watched_service_may_have_a_limit_by_its_name(limits: list[LimitGiven], own: float | None) -> None:
    found = own_limits(watched_service_answers("shop/front").recipe, history(*limits))
    assert found == ((OwnLimit("limit_s", own, 2.0),) if own is not None else ())


def test_a_promise_that_nobody_can_make_again_has_no_limits() -> None:
    assert own_limits(None, history(given(5))) == ()
    plain = Invariant("own", outage_at_most(2.0).judge)
    assert judge(plain, history(given(5), AWAY_3_S)).verdict is Verdict.VIOLATED


def test_a_limit_is_what_allows_more_where_it_is_more_and_is_a_number() -> None:
    known = {name: limits_of(name) for name in promises()}
    assert known["outage_at_most"] == {"limit_s": float}
    assert known["node_stays_ready"] == {"back_within_s": float}
    assert known["disk_does_not_grow"] == {"limit_bytes_per_200": int}
    assert known["links_alike"] == known["no_acknowledged_write_lost"] == {}
    assert {kind for limits in known.values() for kind in limits.values()} == {int, float}


# --- a Service that is watched


def asked(pattern: str, target: str = "shop/front", node: str = "worker") -> list[Probe]:
    return [Probe(n / 10, node, target, mark == "+", 0.01) for n, mark in enumerate(pattern) if mark != " "]


def verdicts(*records: object) -> tuple[Verdict, Verdict]:
    """Of ours, and of the one that is watched."""
    found: History = history(*records)  # type: ignore[arg-type]
    return judge(outage_at_most(2.0), found).verdict, judge(watched_service_answers("shop/front"), found).verdict


def test_ours_and_the_watched_one_are_not_each_others_outage() -> None:
    well, away = "+" * 50, "+" * 10 + "-" * 30 + "+" * 10
    assert verdicts(probes(well), asked(away)) == (Verdict.HELD, Verdict.VIOLATED)
    assert verdicts(probes(away), asked(well)) == (Verdict.VIOLATED, Verdict.HELD)
    assert verdicts(probes(well), asked(well), asked(away, "shop/back")) == (Verdict.HELD, Verdict.HELD)


def test_a_watched_service_that_was_not_asked_all_the_time_is_unknown() -> None:
    well, gap = "+" * 50, "+" * 10 + " " * 30 + "+" * 10
    assert verdicts(probes(well), asked(gap)) == (Verdict.HELD, Verdict.UNKNOWN)
    assert verdicts(probes(well)) == (Verdict.HELD, Verdict.UNKNOWN)
    assert verdicts(probes(well), asked(well), asked("", node="other")) == (Verdict.HELD, Verdict.HELD)


def test_blindness_for_one_is_none_for_the_other() -> None:
    well = "+" * 50
    of_watched = Blind(1.0, "watched:shop/front from worker", 3.0, "the prober ended")
    elsewhere = Blind(1.0, "watched:shop/front from other", 3.0, "the prober ended")
    of_ours = Blind(1.0, "probe:worker", 3.0, "the prober ended")
    both = (probes(well), asked(well))
    assert verdicts(*both, of_watched) == (Verdict.HELD, Verdict.UNKNOWN)
    assert verdicts(*both, elsewhere) == (Verdict.HELD, Verdict.UNKNOWN)
    assert verdicts(*both, of_ours) == (Verdict.UNKNOWN, Verdict.HELD)
