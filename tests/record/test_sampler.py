"""What is asked again and again: when it is asked, what becomes a gap, and what becomes of a question that hangs."""

import threading
from collections.abc import Callable

import pytest

from chaos.basics.waiting import WaitedInVainError
from chaos.record.history import History
from chaos.record.records import Blind
from chaos.record.sampler import STILL_AFTER_S, Gap, Sampler

NEVER_S = 3600.0


class Clock:
    """A history whose time is what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.history, self.now = History(), 0.0
        monkeypatch.setattr(self.history, "now", lambda: self.now)

    def blind(self) -> list[tuple[float, float, str, bool]]:
        return [(b.at, b.until, b.why, b.complete) for b in self.history.of(Blind)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Source:
    """It answers, or says why not."""

    def __init__(self, clock: Clock, gap: Gap) -> None:
        self.clock, self.gap, self.trouble = clock, gap, ""

    def ask(self) -> None:
        if self.trouble:
            raise OSError(self.trouble)
        self.gap.seen(self.clock.now)


def stepped(clock: Clock, gap: Gap) -> Callable[[float, str], None]:
    """A step: the time, and what is wrong then."""
    source = Source(clock, gap)
    sampler = Sampler("a test", source.ask, every_s=NEVER_S, gaps=[gap])

    def step(now: float, trouble: str) -> None:
        clock.now, source.trouble = now, trouble
        sampler.look()

    return step


class TestAGap:
    def test_is_from_the_last_whole_sample_to_the_next_one_with_the_first_reason(self, clock: Clock) -> None:
        step = stepped(clock, Gap(clock.history, "s"))
        for now, trouble in ((1.0, ""), (2.0, "away\nand more"), (3.0, "still away"), (4.0, ""), (5.0, "")):
            step(now, trouble)
        assert clock.blind() == [(1.0, 4.0, "away", False)]

    def test_before_the_first_sample_is_from_the_beginning(self, clock: Clock) -> None:
        step = stepped(clock, Gap(clock.history, "s"))
        step(7.0, "away")
        step(8.0, "")
        assert clock.blind() == [(0.0, 8.0, "away", False)]

    def test_is_complete_where_the_next_sample_brings_what_was_missed(self, clock: Clock) -> None:
        step = stepped(clock, Gap(clock.history, "s", read_later=True))
        for now, trouble in ((1.0, ""), (2.0, "away"), (3.0, "")):
            step(now, trouble)
        assert clock.blind() == [(1.0, 3.0, "away", True)]

    def test_that_lasts_until_the_end_is_not_complete(self, clock: Clock) -> None:
        gap = Gap(clock.history, "s", read_later=True)
        step = stepped(clock, gap)
        step(1.0, "")
        step(2.0, "away")
        clock.now = 9.0
        gap.ended()
        assert clock.blind() == [(1.0, 9.0, "away", False)]

    def test_is_also_a_sample_that_came_late(self, clock: Clock) -> None:
        step = stepped(clock, Gap(clock.history, "s", late_after_s=3.0))
        for now in (1.0, 4.0, 7.1):
            step(now, "")
        assert clock.blind() == [(4.0, 7.1, "the sample came late", False)]

    def test_is_told_once(self, clock: Clock) -> None:
        gap = Gap(clock.history, "s")
        gap.missed("away")
        gap.ended()
        gap.ended()
        gap.missed("later")
        gap.seen(5.0)
        assert len(clock.blind()) == 1

    def test_is_none_where_nothing_was_missed(self, clock: Clock) -> None:
        gap = Gap(clock.history, "s")
        step = stepped(clock, gap)
        for now in (1.0, 100.0):
            step(now, "")
        gap.ended()
        assert clock.blind() == []

    def test_of_an_error_that_says_nothing_names_the_error(self, clock: Clock) -> None:
        gap = Gap(clock.history, "s")

        def ask() -> None:
            raise KeyError

        Sampler("a test", ask, every_s=NEVER_S, gaps=[gap]).look()
        assert gap.why == "KeyError()"


class TestStandingStill:
    """A sampler that nobody lets ask has seen nothing, and does not say so by itself."""

    def still(self, sampler: Sampler) -> None:
        """Long after it last asked."""
        sampler._asked_at -= NEVER_S + STILL_AFTER_S + 1

    def test_until_the_end_is_a_gap(self, clock: Clock) -> None:
        gap = Gap(clock.history, "s")
        sampler = Sampler("a test", lambda: gap.seen(1.0), every_s=NEVER_S, gaps=[gap])
        sampler.__enter__()
        sampler.wait_first("the first", within_s=20)
        self.still(sampler)
        clock.now = 9.0
        sampler.end()
        assert clock.blind() == [(1.0, 9.0, "nobody asked for 3616 s", False)]

    def test_between_two_looks_is_a_gap(self, clock: Clock) -> None:
        gap = Gap(clock.history, "s")
        sampler = Sampler("a test", lambda: gap.seen(clock.now), every_s=NEVER_S, gaps=[gap])
        for now in (1.0, 2.0):
            clock.now = now
            sampler.look()
        self.still(sampler)
        clock.now = 9.0
        sampler.look()
        assert clock.blind() == [(2.0, 9.0, "nobody asked for 3616 s", False)]

    def test_a_question_that_takes_long_is_none(self, clock: Clock) -> None:
        gap = Gap(clock.history, "s")
        asked, answer = threading.Event(), threading.Event()

        def ask() -> None:
            asked.set()
            answer.wait(20)
            gap.seen(1.0)

        sampler = Sampler("a test", ask, every_s=NEVER_S, gaps=[gap])
        sampler.__enter__()
        assert asked.wait(20)
        self.still(sampler)
        threading.Timer(0.2, answer.set).start()
        sampler.end()
        assert clock.blind() == []


class TestAThread:
    def test_asks_at_once_and_again(self) -> None:
        asked = threading.Semaphore(0)
        with Sampler("a test", asked.release, every_s=0):
            assert all(asked.acquire(timeout=20) for _ in range(3))

    def test_asks_no_more_when_the_block_has_ended(self) -> None:
        times: list[int] = []
        asked = threading.Event()

        def ask() -> None:
            times.append(1)
            asked.set()

        with Sampler("a test", ask, every_s=NEVER_S):
            assert asked.wait(20)
        assert times == [1]

    def test_asks_once_more_where_the_end_has_to_be_known(self) -> None:
        times: list[int] = []
        asked = threading.Event()

        def ask() -> None:
            times.append(1)
            asked.set()

        with Sampler("a test", ask, every_s=NEVER_S, once_more=True):
            assert asked.wait(20)
        assert times == [1, 1]

    def test_goes_on_after_an_error(self) -> None:
        asked = threading.Semaphore(0)

        def ask() -> None:
            asked.release()
            raise ValueError("x")

        with Sampler("a test", ask, every_s=0):
            assert all(asked.acquire(timeout=20) for _ in range(3))

    def test_waits_for_the_first_sample_of_each_source(self, clock: Clock) -> None:
        gaps = [Gap(clock.history, "a"), Gap(clock.history, "b")]
        turns = iter(gaps)

        def ask() -> None:
            next(turns).seen(1.0)

        with Sampler("a test", ask, every_s=0, gaps=gaps) as sampler:
            sampler.wait_first("both", within_s=20)
            assert [gap.seen_at for gap in gaps] == [1.0, 1.0]

    def test_ends_and_says_why_where_the_first_sample_does_not_come(self, clock: Clock) -> None:
        source = Source(clock, Gap(clock.history, "s"))
        source.trouble = "nobody is there"
        asked = threading.Event()

        def ask() -> None:
            asked.set()
            source.ask()

        sampler = Sampler("a test", ask, every_s=0, gaps=[source.gap])
        sampler.__enter__()
        assert asked.wait(20)
        with pytest.raises(WaitedInVainError, match=r"waited 0.2 s for the source, in vain; nobody is there"):
            sampler.wait_first("the source", within_s=0.2)
        assert [why for *_, why, _ in clock.blind()] == ["nobody is there"]
        assert not sampler._thread.is_alive()

    def test_leaves_a_question_that_hangs_and_tells_the_gap(self, clock: Clock) -> None:
        gap = Gap(clock.history, "s")
        asked, answer = threading.Event(), threading.Event()

        def ask() -> None:
            asked.set()
            answer.wait(60)
            gap.seen(9.0)

        sampler = Sampler("a test", ask, every_s=NEVER_S, gaps=[gap])
        sampler.__enter__()
        assert asked.wait(20)
        clock.now = 8.0
        sampler.end(0)
        answer.set()
        sampler._thread.join(20)
        assert clock.blind() == [(0.0, 8.0, "the last question had no answer when it was over", False)]
