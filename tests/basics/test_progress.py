"""How far a run is: the line, and the terminal's last line that gives way."""

import io
import threading

from chaos.basics.progress import CLEAR, Progress, StatusLine, shown


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_line_counts_names_what_goes_on_and_when_it_is_over() -> None:
    clock = Clock()
    progress = Progress(2, clock)
    for name, expected_s in {"a": 60.0, "b": 30.0, "c": 90.0}.items():
        progress.expect(name, expected_s)
    assert progress.line().startswith("0 of 3 done | over in about 90 s, at ")
    progress.begin("a")
    progress.begin("b")
    clock.now += 20
    progress.end("b")
    assert progress.line().startswith("1 of 3 done | a (20 s of about 60 s) | over in about 90 s")
    progress.begin("c")
    clock.now += 50  # "a" takes longer than expected
    assert progress.line().startswith(
        "1 of 3 done | a (70 s of about 60 s); c (50 s of about 90 s) | over in about 40 s"
    )
    progress.end("a")
    progress.end("c")
    assert progress.line() == "3 of 3 done"


def test_what_nobody_expected_counts_too() -> None:
    progress = Progress()
    progress.begin("x")
    assert progress.line().startswith("0 of 1 done | x (0 s) | over in about 0 s")
    progress.end("x")
    assert progress.line() == "1 of 1 done"


def test_what_is_first_is_waited_for_and_not_counted() -> None:
    clock = Clock()
    progress = Progress(2, clock)
    progress.expect("set-up", 100.0, first=True)
    progress.begin("set-up")
    for name in "ab":
        progress.expect(name, 60.0)
    clock.now += 30
    assert progress.left_s == 70.0 + 60.0
    assert progress.line().startswith("0 of 2 done | set-up (30 s of about 100 s) | over in about 2 min")
    progress.end("set-up")
    assert progress.left_s == 60.0


def test_many_that_go_on_are_not_all_named_and_what_is_said_beside_is() -> None:
    said = ["building kubelet"]
    progress = Progress(5, Clock())
    progress.beside(lambda: said[0])
    for name in "abcde":
        progress.begin(name)
    assert "a (0 s); b (0 s); c (0 s) and 2 more | building kubelet |" in progress.line()
    said[0] = ""
    assert "kubelet" not in progress.line()


def test_one_after_the_other_takes_the_sum_and_side_by_side_the_longest_at_least() -> None:
    parts = {"a": 60.0, "b": 10.0}
    one, two = Progress(1, Clock()), Progress(2, Clock())
    for name, expected_s in parts.items():
        one.expect(name, expected_s)
        two.expect(name, expected_s)
    assert (one.left_s, two.left_s) == (70.0, 60.0)


def test_the_last_line_gives_way_to_what_is_written() -> None:
    out = io.StringIO()
    line = StatusLine(out)
    line.write("first\n")
    line.show("1 of 2 done", 80)
    line.show("2 of 2 done", 80)
    line.write("second\n")
    line.clear()
    assert out.getvalue() == f"first\n1 of 2 done{CLEAR}2 of 2 done{CLEAR}second\n"


def test_the_last_line_does_not_stand_in_another_one_and_is_cut() -> None:
    out = io.StringIO()
    line = StatusLine(out)
    line.write("..")
    line.show("0123456789", 5)
    line.clear()
    assert out.getvalue() == f"..\n0123{CLEAR}"
    assert not line.closed


def test_it_is_told_again_and_again_while_the_block_lasts() -> None:
    told: list[str] = []
    twice = threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        if len(told) == 2:
            twice.set()

    progress = Progress()
    with shown(progress, tell, every_s=0.01):
        assert twice.wait(5)
    assert set(told) == {progress.line()}
