"""Signals that end a program, sent to children."""

import signal
import subprocess
import sys

import pytest

CHILD = """
import signal, sys
{before}
from chaos.signals import as_interrupts
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
