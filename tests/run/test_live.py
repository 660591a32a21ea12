"""The view of a replay that goes on: what it does, for how long, what is away."""

import io
import time
from dataclasses import dataclass

import pytest

from chaos.record.history import History
from chaos.record.records import NodeChange, Probe
from chaos.run import live
from chaos.run.live import Now, View, status


@dataclass
class Replay:
    """What a Lab shows of itself."""

    now: Now
    recording: History | None = None
    duration_s: float = 125.0


class Terminal(io.StringIO):
    """An output that says of itself that it is a terminal."""

    def isatty(self) -> bool:
        return True


def replay(
    detail: str, *, since_s: float = 0.0, lasts_s: float | None = None, history: History | None = None
) -> Replay:
    return Replay(Now("hold", detail, time.monotonic() - since_s, lasts_s), history)


def test_it_says_what_is_done_and_what_is_away() -> None:
    history = History(began=time.monotonic() - 20)
    for n in range(8):
        history.add(NodeChange(0.0, f"w{n}", "listed", "True"))
        history.add(NodeChange(5.0, f"w{n}", "modified", "Unknown" if n else "True"))
    for at, ok in ((1.0, True), (8.0, False), (9.0, False)):
        history.add(Probe(at, "w1", "web", ok, 0.1))
        history.add(Probe(at, "w0", "web", ok=True, took_s=0.1))
    said = status("fire [kind-hardened]", replay("past the deadline", since_s=3, lasts_s=23, history=history), 81.0)
    assert said == [
        "fire [kind-hardened]: 2 min 5 s (last time 81 s)",
        "  hold: past the deadline, 3 s of 23 s",
        "  nodes: 1 of 8 Ready; not: w1, w2, w3, w4 and 3 more",
        "  web: no answer for 12.0 s, from w1, 2 probes without an answer so far",
    ]
    history.add(Probe(10.0, "w1", "web", ok=True, took_s=0.1))
    assert status("fire", replay("", history=history))[-1] == "  web: answers, 2 probes without an answer so far"


def test_in_a_log_a_long_wait_says_what_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STILL_EVERY_S", 0.01)
    out = io.StringIO()
    view = View(out)
    with view.of("fire", replay("past the deadline", since_s=60.0, lasts_s=90.0)):
        assert not view.say("a line that is the caller's to write")
        end = time.monotonic() + 10
        while "still" not in out.getvalue() and time.monotonic() < end:
            pass
    assert "still hold: past the deadline, 60 s of 90 s\n" in out.getvalue()


def test_in_a_terminal_lines_are_written_above_the_view_and_it_goes_away() -> None:
    out = Terminal()
    view = View(out)
    with view.of("fire", replay("[red]past[/red] the deadline")):
        assert view.say("12:00:00 fault: [cut]")
        assert not out.closed
    assert "12:00:00 fault: [cut]" in out.getvalue()
    assert "hold: [red]past[/red] the deadline" in out.getvalue()
    assert not view.say("after it")


def test_without_an_output_nothing_is_shown() -> None:
    with View(None).of("fire", replay("x")):
        pass
