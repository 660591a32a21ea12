"""tests/bench/interrupted.py: what a set-up is at, and how it ended. Nothing is set up."""

import signal

import pytest

from tests.bench.interrupted import Way, begun, problems_of

SAID = "07:02:11 start: control-plane 1.34.4\n"
# As rich draws it: a line for all of it, and one for each step that goes on.
DRAWN = (
    "\x1b[32m⠋\x1b[0m \x1b[33m0:00:00\x1b[0m 0 of 3 done | etcd 3.6.16 (1 s of about 4 s) | over soon\r\n"
    "\x1b[32m⠋\x1b[0m \x1b[33m0:00:00\x1b[0m root file system                  \r\n"
    "\x1b[32m⠋\x1b[0m \x1b[33m0:00:00\x1b[0m control-plane 1.34.4: building it from Go modules: kubelet\r"
)
SENTENCE = "interrupted: etcd 3.6.16, after 1 s\ninterrupted\n"


def test_a_step_is_found_in_a_log_and_in_a_terminal() -> None:
    assert begun(Way.CTRL_C, SAID) == ["control-plane 1.34.4"]
    assert begun(Way.CTRL_C, "07:02:11   start: is not a step\n07:02:12 done: etcd 3.6.16, 1.0 s\n") == []
    assert begun(Way.TERMINAL, DRAWN) == ["root file system", "control-plane 1.34.4"]


@pytest.mark.parametrize(
    ("way", "code", "said"),
    [
        (Way.CTRL_C, 130, SENTENCE),
        (Way.SIGTERM, 130, SENTENCE),
        (Way.TERMINAL, 130, "nobody reads it"),
        (Way.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_a_set_up_that_ends_as_it_must_has_no_problem(way: Way, code: int, said: str) -> None:
    assert problems_of(way, code, said, []) == ()


@pytest.mark.parametrize(
    ("way", "code", "said", "left", "problem"),
    [
        (Way.CTRL_C, 1, SENTENCE, (), "it ended with 1, not 130"),
        (Way.SIGKILL, 130, SENTENCE, (), "it ended with 130, not -9"),
        (Way.SIGHUP, 130, f"Traceback (most recent call last):\n{SENTENCE}", (), "it said a traceback"),
        (Way.SIGTERM, 130, "", (), "it did not say that it was interrupted"),
        (Way.SIGKILL, -9, "", ("process 7 (go build)",), "it left process 7 (go build)"),
    ],
)
def test_what_is_wrong_is_said(way: Way, code: int, said: str, left: tuple[str, ...], problem: str) -> None:
    assert problems_of(way, code, said, left) == (problem,)
