"""Under a clock that jumped nobody knows how long anything took: all is unknown, and says what it would have been."""

import pytest

from chaos.judge.base import Invariant, Judgement, Verdict, held, judge, unknown, violated
from chaos.record.doubts import ClockJump
from chaos.record.history import History


@pytest.mark.parametrize("by", [held("it was in time"), violated("it was late", reason="late"), unknown("who knows")])
def test_all_is_unknown_once_the_clock_has_jumped(by: Judgement) -> None:
    invariant = Invariant("in-time", lambda _: by)
    assert judge(invariant, History()).verdict is by.verdict
    found = judge(invariant, History.of_records([ClockJump(9.04, 30.0), ClockJump(12.0, -2.0)]))
    assert found.verdict is Verdict.UNKNOWN
    assert found.sentence == (
        "the clock that gives records their times jumped by +30.0 s, which was seen at 9.0 s "
        f"(by it: {by.verdict}: {by.sentence})"
    )
