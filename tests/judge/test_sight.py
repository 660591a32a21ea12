"""What a history can vouch for: which span is judged, and what in it was not seen."""

import pytest

from chaos.judge.base import Verdict
from chaos.judge.sight import WHOLE, Span, at_earliest, last_sight, names, never_landed, overlapping, unseen
from chaos.record.history import Window
from chaos.record.records import IN_SYNC, Blind, Sample
from chaos.record.registry import Record
from tests.judge.histories import fault, history

SPAN = Window(10.0, 20.0)


def word(at: float, value: float = 1.0, source: str = "watch:pods", name: str = IN_SYNC) -> Sample:
    return Sample(at, name, source, value)


def blind(at: float, until: float, *, source: str = "watch:pods", complete: bool = False) -> Blind:
    return Blind(at, source, until, "it was cut", complete=complete)


def test_a_span_is_the_whole_a_window_or_a_faults_time() -> None:
    seen = history(fault(3.0, 5.0))
    assert Span().of(seen) == WHOLE
    assert Span(SPAN).of(seen) == SPAN
    assert Span(SPAN, "cut").of(seen) == Window(3.0, 5.0)
    assert Span(SPAN, "another").of(seen) is None
    said = never_landed(Span(None, "another"))
    assert (said.verdict, said.sentence) == (
        Verdict.UNKNOWN,
        "the fault another never landed, so there is no time to judge",
    )


def test_a_blindness_that_touches_the_window_overlaps_it() -> None:
    touching = [blind(1.0, 10.0), blind(12.0, 13.0), blind(20.0, 30.0), blind(5.0, 40.0)]
    beside = [blind(1.0, 9.9), blind(20.1, 30.0), blind(12.0, 13.0, source="watch:nodes")]
    assert overlapping(history(touching, beside), "watch:pods", SPAN) == sorted(touching, key=lambda each: each.at)


@pytest.mark.parametrize(
    ("words", "window", "vouched"),
    [
        ([word(20.0)], SPAN, True),
        ([word(19.9)], SPAN, False),
        ([word(25.0), word(30.0, 0.0)], SPAN, True),
        ([word(15.0), word(25.0, 0.0)], SPAN, False),
        ([word(25.0, 0.5)], SPAN, False),
        ([word(25.0)], WHOLE, True),
        ([word(25.0, 0.0), word(26.0)], WHOLE, True),
        ([word(25.0), word(26.0, 0.0)], WHOLE, False),
    ],
)
def test_only_a_word_after_the_windows_end_vouches_for_it(words: list[Sample], window: Window, vouched: bool) -> None:
    doubt = unseen(history(words), "pods", window)
    if vouched:
        assert doubt is None
    else:
        assert doubt is not None
        assert (doubt.verdict, doubt.proof) == (Verdict.UNKNOWN, tuple(words[-1:]))
        assert doubt.sentence == "the recorder could not make sure that it saw all pods until the end"


@pytest.mark.parametrize(
    "records", [[], [word(25.0, source="watch:nodes")], [word(25.0, name="another")]], ids=["none", "of nodes", "other"]
)
def test_without_a_word_of_its_own_nobody_vouches(records: list[Record]) -> None:
    doubt = unseen(history(records), "pods", SPAN)
    assert doubt is not None
    assert doubt.sentence == "the recording of pods does not say that it saw the end"


def test_a_gap_that_no_list_filled_is_unseen_and_one_that_a_list_filled_is_not() -> None:
    filled, open_ = blind(11.0, 12.0, complete=True), [blind(13.0, 14.0), blind(15.0, 16.0)]
    doubt = unseen(history(word(25.0), filled, open_), "pods", SPAN)
    assert doubt is not None
    assert (doubt.sentence, doubt.proof) == ("pods could not be seen from 13.0 s to 14.0 s: it was cut", tuple(open_))
    assert unseen(history(word(25.0), filled, blind(21.0, 22.0)), "pods", SPAN) is None


def test_many_names_are_cut() -> None:
    assert names(["a", "b", "c"]) == "a, b, c"
    assert names(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert names(["a", "b"], 1) == "a and 1 more"


def test_what_was_seen_last_is_what_there_was_where_nothing_after_it_was_missed() -> None:
    assert last_sight(history(word(30.0)), "pods", 12.0) is None
    assert last_sight(history(word(30.0), blind(1.0, 11.9), blind(14.0, 15.0, complete=True)), "pods", 12.0) is None
    missing: list[list[Record]] = [[word(30.0, 0.0)], [], [word(30.0), blind(14.0, 15.0)], [word(30.0), blind(1, 12)]]
    for missed in missing:
        assert last_sight(history(missed), "pods", 12.0) is not None, missed
    assert last_sight(history(word(30.0), word(40.0, 0.0)), "pods", 12.0, 25.0) is None


def test_what_a_blindness_hid_may_have_been_so_from_its_beginning_on() -> None:
    for complete in (True, False):
        seen = history(blind(5.0, 10.0, complete=complete), blind(8.0, 12.0), blind(2.0, 30.0, source="watch:nodes"))
        assert [at_earliest(seen, "pods", at) for at in (4.9, 5.0, 9.0, 11.0, 13.0, 13.1)] == [
            4.9,
            5.0,
            5.0,
            5.0,
            8.0,
            13.1,
        ]
