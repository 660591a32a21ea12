"""Signals that end a program, sent to children."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.basics.signals import held_back
from chaos.run.deadline import beneath

CHILD = """
import signal, sys
{before}
from chaos.basics.signals import as_interrupts
try:
    with as_interrupts():
        print("ready", flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    print("taken back")
"""


def child(number: int, before: str = "") -> str:
    argv = [sys.executable, "-c", CHILD.replace("{before}", before)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        started.send_signal(number)
        return started.communicate(timeout=20)[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_they_are_taken_like_ctrl_c(number: int) -> None:
    assert child(number) == "taken back\n"


def test_one_that_is_ignored_stays_so() -> None:
    assert child(signal.SIGHUP, "signal.signal(signal.SIGHUP, signal.SIG_IGN)") == ""


IN_A_TERMINAL = """
import fcntl, signal, sys, termios
from chaos.basics.signals import as_interrupts
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
told = open(sys.argv[1], "w")
try:
    with as_interrupts():
        print("ready", flush=True)
        signal.pause()  # a read would fail where the terminal is gone before the signal is here
except KeyboardInterrupt:
    print("this leads nowhere", flush=True)
    print("nor this", file=sys.stderr, flush=True)
    print("taken back", file=told, flush=True)
"""


def test_what_is_told_to_a_terminal_that_was_closed_cuts_nothing_short(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-c", IN_A_TERMINAL, str(tmp_path / "told")]
    started = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        said = os.read(ours, 100)
    finally:
        os.close(ours)
    assert started.wait(20) == 0, said
    assert (tmp_path / "told").read_text() == "taken back\n"


HELD_BACK = """
import os, signal, threading, time
from chaos.basics.signals import held_back
waits = threading.Event()
threading.Thread(target=waits.wait, daemon=True).start()  # the kernel may hand it the signal
try:
    with held_back():
        os.kill(os.getpid(), signal.{name})
        for _ in range(20):
            threading.Event().wait(0.01)
        print("put right")
except KeyboardInterrupt:
    print("then interrupted")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGALRM"])
def test_what_is_put_right_is_not_cut_short_also_beside_threads(name: str) -> None:
    before = f"import signal\nsignal.signal(signal.{name}, signal.default_int_handler)\n"
    done = subprocess.run(
        [sys.executable, "-c", before + HELD_BACK.replace("{name}", name)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout == "put right\nthen interrupted\n"


class LimitError(KeyboardInterrupt):
    """A limit that is reached."""


@pytest.fixture
def limit() -> Iterator[None]:
    """SIGALRM raises LimitError."""

    def reached(number: int, frame: object) -> None:
        raise LimitError

    before = signal.signal(signal.SIGALRM, reached)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("limit")
@pytest.mark.parametrize("order", [(signal.SIGINT, signal.SIGALRM), (signal.SIGALRM, signal.SIGINT)])
@pytest.mark.parametrize("failed", [None, OSError("in what was put right")], ids=["in order", "broken"])
def test_of_several_each_comes_once_and_ctrl_c_is_what_leaves(order: tuple[int, int], failed: OSError | None) -> None:
    """A limit that is reached while Ctrl-C is held back must not let the run go on."""

    def put_right() -> None:
        with held_back():
            for number in order * 2:
                signal.raise_signal(number)
            if failed is not None:
                raise failed

    with pytest.raises(KeyboardInterrupt) as left:
        put_right()
    assert [type(each) for each in beneath(left.value)] == [KeyboardInterrupt, LimitError, *[OSError] * bool(failed)]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_program_that_is_run_meanwhile_is_not_ended_either() -> None:
    """Ctrl-C on a terminal goes to all of its programs."""
    with held_back():
        script = "kill -INT $$; kill -TERM $$; kill -HUP $$; echo went on"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "went on\n"


def test_what_is_ignored_stays_ignored_while_something_is_put_right() -> None:
    asked = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from chaos.basics.signals import held_back\n"
        "with held_back():\n    signal.raise_signal(signal.SIGINT)\nprint('there')"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "there\n"
