"""Held only under harm that lasted: what was gone, or not seen to be there, makes it unknown; violated stays so."""

import pytest

from chaos.judge.base import Invariant, Judgement, Verdict, held, judge, unknown, violated
from chaos.judge.lasting import UNSEEN_AT_MOST_S, is_gone, lapses
from chaos.record.history import History
from chaos.record.records import GONE, THERE, UNSEEN, FaultStep, HarmLook

LATE = UNSEEN_AT_MOST_S + 1
LANDED = FaultStep(0.5, "cut-off", "landed")


def look(at: float, seen: str = THERE, why: str = "", injection: int = 1) -> HarmLook:
    return HarmLook(at, "cut-off", injection, seen, why)  # type: ignore[arg-type]


def judged(*records: HarmLook | FaultStep, by: Judgement | None = None) -> tuple[Verdict, str]:
    history = History.of_records([LANDED, *records])
    found = judge(Invariant("nothing-terminated", lambda _: by or held("no pod was terminated")), history)
    return found.verdict, found.sentence


@pytest.mark.parametrize(
    "looks",
    [
        (),  # nobody looked: a history of before, or harm that ends by itself
        (look(1),),
        tuple(look(at) for at in range(1, 60)),
        (look(1), look(2, UNSEEN, "docker does not answer"), look(3)),
        (look(1), look(1 + UNSEEN_AT_MOST_S)),
        (look(1), look(2), look(50, injection=2), look(51, injection=2)),
    ],
)
def test_harm_that_lasted_changes_nothing(looks: tuple[HarmLook, ...]) -> None:
    assert judged(*looks) == (Verdict.HELD, "no pod was terminated")


def test_harm_that_was_gone_makes_what_was_held_unknown_with_the_moment() -> None:
    assert judged(look(1), look(2), look(4.96, GONE), look(6)) == (
        Verdict.UNKNOWN,
        "the harm of cut-off did not last: it was gone at 5.0 s (under it: no pod was terminated)",
    )


@pytest.mark.parametrize(
    ("looks", "sentence"),
    [
        ((look(1), look(1 + LATE)), "nobody saw from 1.0 to 17.0 s whether the harm of cut-off lasted"),
        (
            (look(1), look(9, UNSEEN, "docker hangs"), look(1 + LATE, UNSEEN)),
            "nobody saw from 1.0 to 17.0 s whether the harm of cut-off lasted: docker hangs",
        ),
        (
            (look(1, UNSEEN, "docker is gone"), look(1 + LATE)),
            "nobody saw from 1.0 to 17.0 s whether the harm of cut-off lasted: docker is gone",
        ),
    ],
    ids=["a look came late", "none came any more", "none came before"],
)
def test_a_time_in_which_nobody_saw_it_makes_it_unknown(looks: tuple[HarmLook, ...], sentence: str) -> None:
    assert judged(*looks) == (Verdict.UNKNOWN, f"{sentence} (under it: no pod was terminated)")


def test_the_looks_around_the_time_in_which_nobody_saw_it_are_its_proof() -> None:
    looks = [look(1), look(2), look(2 + LATE), look(3 + LATE)]
    assert [around for _, around in lapses(History.of_records(looks))] == [tuple(looks[1:3])]


def test_one_harm_of_a_kind_does_not_stand_in_for_another() -> None:
    looks = [*(look(at) for at in range(1, 60)), look(1, injection=2), look(59, injection=2)]
    assert judged(*looks)[0] is Verdict.UNKNOWN


def test_what_was_unknown_says_first_that_the_harm_was_gone() -> None:
    said = judged(look(1), look(2, GONE), by=unknown("nothing was tainted"))
    assert said == (
        Verdict.UNKNOWN,
        "the harm of cut-off did not last: it was gone at 2.0 s (under it: nothing was tainted)",
    )


def test_harm_that_is_to_last_now_is_not_the_one_before() -> None:
    undone = FaultStep(3, "cut-off", "undoing")
    assert is_gone(History.of_records([LANDED, look(2, GONE)]))
    assert not is_gone(History.of_records([LANDED, look(2, GONE), undone, look(5, injection=2)]))
    assert is_gone(History.of_records([LANDED, look(2, GONE), undone, look(5, GONE, injection=2)]))


def test_what_was_violated_stays_so() -> None:
    broken = violated("2 pods were terminated", reason="taint-eviction")
    assert judged(look(1), look(2, GONE), by=broken) == (Verdict.VIOLATED, "2 pods were terminated")


UNDOING = FaultStep(30.0, "cut-off", "undoing")


def test_harm_that_nobody_looked_at_again_is_unknown() -> None:
    """Whoever looks each second stood still: there is no look right before the harm was taken back."""
    verdict, sentence = judged(look(29), UNDOING)
    assert verdict is Verdict.UNKNOWN
    assert sentence.startswith(
        "nobody looked from 29.0 s until it was taken back at 30.0 s whether the harm of cut-off "
    )
    assert judged(look(1), look(30.0 - LATE), UNDOING)[0] is Verdict.UNKNOWN
    assert judged(look(1), look(15), look(29.9), UNDOING)[0] is Verdict.HELD
    assert judged(look(1), look(2), look(31, injection=2), look(32, injection=2), UNDOING)[0] is Verdict.UNKNOWN


def test_what_is_gone_when_it_is_taken_back_is_no_lapse_and_another_fault_is_none_of_it() -> None:
    undoing = FaultStep(3, "cut-off", "undoing")
    assert not is_gone(History.of_records([LANDED, undoing, look(3, GONE)]))
    assert not is_gone(History.of_records([LANDED, look(1), look(2, UNSEEN)]))
    assert is_gone(History.of_records([LANDED, look(2, GONE), FaultStep(3, "another", "undoing")]))
    assert is_gone(History.of_records([look(0.5, GONE)]))


def test_each_injection_that_lapsed_is_told_once() -> None:
    looks = [look(1), look(2, GONE), look(3, GONE), look(5, injection=2), look(6, GONE, injection=2)]
    assert [(said, [each.at for each in proof]) for said, proof in lapses(History.of_records(looks))] == [
        ("the harm of cut-off did not last: it was gone at 2.0 s", [2]),
        ("the harm of cut-off did not last: it was gone at 6.0 s", [6]),
    ]
    unseen = [look(1), look(1 + LATE), look(1 + 2 * LATE)]
    assert len(list(lapses(History.of_records(unseen)))) == 1


def test_only_the_undoing_says_that_harm_is_not_to_last_any_more() -> None:
    assert is_gone(History.of_records([LANDED, look(2, GONE), FaultStep(3, "cut-off", "landed")]))
