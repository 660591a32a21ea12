"""A run of pytest as a process of its own, which a command waits for, whatever signal comes."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


def run(command: Sequence[str]) -> tuple[int, bool]:
    """The exit code of a run, and whether somebody interrupted it.

    It has a process group of its own, so that Ctrl-C in a terminal reaches it through us alone, and once: a second
    interrupt would end pytest in the middle of its cleaning up.
    """
    children: list[subprocess.Popen[bytes]] = []
    with _handed_on(children) as interrupted, subprocess.Popen(command, process_group=0) as child:
        children.append(child)
        if interrupted:  # while it was being started
            child.send_signal(signal.SIGINT)
        return child.wait(), bool(interrupted)


@contextmanager
def _handed_on(children: Sequence["subprocess.Popen[bytes]"]) -> Iterator[list[int]]:
    """SIGINT and SIGTERM go to the children as SIGINT, the first time; yields those that came.

    A shell lets what it starts in the background ignore SIGINT, and children inherit that. Where it is handled when a
    child is started, the child begins with the default: so this is to be entered before.
    """
    came: list[int] = []

    def hand_on(number: int, _: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:
            for child in children:
                child.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
