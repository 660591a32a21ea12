"""Steps: only what is needed, in order, with the time shown; a failure says where, what and how to go on."""

import io
import sys
from collections.abc import Callable

import pytest
from rich.console import Console

from chaos.errors import OrdealError
from chaos.hosts.binaries import Report
from chaos.hosts.command import run
from chaos.hosts.steps import Step, perform


def plain() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=False, width=200), out


def step(title: str, did: list[str], *, needed: bool = True, fails: Callable[[], object] | None = None) -> Step:
    def do(report: Report) -> None:
        report(f"working on {title} [1/2]")
        if fails is not None:
            fails()
        did.append(title)

    return Step(title, lambda: needed and title not in did, do)


def test_what_is_needed_is_done_in_order_and_once() -> None:
    did: list[str] = []
    console, out = plain()
    steps = [step("a", did), step("b", did, needed=False), step("c", did)]
    assert [each.title for each in perform(steps, console)] == ["a", "c"]
    assert did == ["a", "c"]
    assert perform(steps, console) == ()
    lines = [line.split(" ", 1)[1] for line in out.getvalue().splitlines()]
    assert lines[:2] == ["start: a", "  working on a [1/2]"]
    assert lines[2].startswith("done: a, ")
    assert len(lines) == 6


def test_a_failed_step_is_named_with_its_command_and_output_and_ends_the_rest() -> None:
    did: list[str] = []
    console, out = plain()
    fails = [sys.executable, "-c", "import sys; print('no room', file=sys.stderr); sys.exit(3)"]
    with pytest.raises(OrdealError) as caught:
        perform([step("a", did), step("b", did, fails=lambda: run(fails)), step("c", did)], console)
    said = str(caught.value)
    assert "failed at 'b'" in said
    assert "exited with 3" in said
    assert "no room" in said
    assert "goes on from here" in said
    assert did == ["a"]
    assert "failed: b, after" in out.getvalue()


def test_an_interrupt_is_said_and_passed_on() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    console, out = plain()
    with pytest.raises(KeyboardInterrupt):
        perform([step("a", [], fails=interrupt)], console)
    assert "interrupted: a, after" in out.getvalue()


def test_a_terminal_is_given_one_line_a_step() -> None:
    out = io.StringIO()
    did: list[str] = []
    perform([step("a", did)], Console(file=out, force_terminal=True, width=80))
    assert did == ["a"]
    assert "done: a" in out.getvalue()
