"""The gate: both versions in turn, each run a process that is told of Ctrl-C once, and what is left is compared."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from chaos.basics.waiting import eventually
from chaos.cli import gate
from chaos.cli.gate import Version
from chaos.conformance import program
from chaos.errors import OrdealError
from chaos.report.compare import compare, load_side
from chaos.report.looks import Standing
from tests.report.made import outcome, results

BASE, CANDIDATE = Version("1.34.4"), Version("1.36.3", "node:mine")
# Stands in for pytest: writes the results of one run, as the plugin does, and ends as it is told by the environment.
STAND_IN = """
import os, shutil, sys, time
from pathlib import Path

options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
here = Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[2:]) + "\\n")
number = len((here / "calls").read_text().splitlines())
if number == int(os.environ.get("FAIL_AT", "0")):
    sys.exit(4)
shutil.copytree(here / "made" / "run", Path(options["--ordeal-results"]) / str(number))
if number == int(os.environ.get("WAIT_AT", "0")):
    try:
        (here / "waiting").touch()
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.2)  # a second interrupt would end this
        (here / "cleaned").touch()
        sys.exit(2)
"""


@pytest.fixture(autouse=True)
def nothing_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def stand_in(tmp_path: Path) -> Sequence[str]:
    results(tmp_path / "made", "run").add(outcome())
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    return (sys.executable, "-S", str(tmp_path / "stand_in.py"))


def test_versions_take_turns_and_their_results_are_compared(tmp_path: Path, stand_in: Sequence[str]) -> None:
    said: list[str] = []
    ran = gate.run(
        BASE, CANDIDATE, repeats=2, arguments=["-k", "mass"], results=tmp_path, report=said.append, pytest=stand_in
    )
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [c.split(" --ordeal-results")[0] for c in calls] == [
        "--ordeal-kubernetes 1.34.4",
        "--ordeal-kubernetes 1.36.3 --ordeal-kind-image node:mine",
    ] * 2
    assert all(c.endswith("-k mass") for c in calls)
    assert all(
        " --ordeal-conform none --ignore " in c for c in calls
    )  # what one side lacks has nothing to be compared with
    assert "left out on both sides: e2e.test of Kubernetes 1.34.4 is not built" in said[0]
    assert said[1] == "run 1 of 4: Kubernetes 1.34.4"
    assert not ran.cut_short
    found = compare(load_side(tmp_path, str(ran.base)), load_side(tmp_path, str(ran.candidate)))
    assert (len(found.base.runs), len(found.candidate.runs), found.exit_code) == (2, 2, 0)


def test_specs_are_run_where_both_sides_have_them(
    tmp_path: Path, stand_in: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "find", lambda _: object())
    gate.run(BASE, CANDIDATE, repeats=1, arguments=[], results=tmp_path, report=print, pytest=stand_in)
    assert "--ordeal-conform" not in (tmp_path / "calls").read_text()


def test_a_run_that_comes_to_nothing_ends_the_gate_with_what_there_is(
    tmp_path: Path, stand_in: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL_AT", "3")
    ran = gate.run(BASE, CANDIDATE, repeats=3, arguments=[], results=tmp_path, report=print, pytest=stand_in)
    assert ran.cut_short == "run 3 of 6 (Kubernetes 1.34.4) came to nothing, pytest ended with 4"
    assert len(load_side(tmp_path, str(ran.base)).runs) == 1
    (tmp_path / "calls").unlink()
    monkeypatch.setenv("FAIL_AT", "2")
    with pytest.raises(OrdealError, match=r"ended with 4; there are no results of Kubernetes 1.36.3 node:mine"):
        gate.run(BASE, CANDIDATE, repeats=3, arguments=[], results=tmp_path, report=print, pytest=stand_in)


def test_the_base_is_asked_again_for_what_is_broken_and_nothing_more_is_run(
    tmp_path: Path, stand_in: Sequence[str]
) -> None:
    broken = Standing("a promise is broken: x", (), 0.0, ("suites/control_plane/test_mutants.py::test_x[a]",), 3)
    said: list[str] = []
    ran = gate.run(
        BASE,
        CANDIDATE,
        repeats=5,
        arguments=[],
        results=tmp_path,
        report=said.append,
        pytest=stand_in,
        known=lambda _, __: broken,
    )
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2 + 3
    assert all("--ordeal-kubernetes 1.34.4" in each for each in calls[2:])
    assert (ran.over, ran.cut_short) == ("a promise is broken: x", "")
    assert said[-4:] == [
        "over after run 2 of 10: a promise is broken: x",
        *(f"Kubernetes 1.34.4 once more, {n} of 3: does it break that too?" for n in (1, 2, 3)),
    ]


def test_what_needs_no_more_repeats_is_left_out_of_the_next(tmp_path: Path, stand_in: Sequence[str]) -> None:
    closed = Standing("", ("suites/a.py::test_b[simulated-control:c]",), 0.0)
    gate.run(
        BASE,
        CANDIDATE,
        repeats=2,
        arguments=[],
        results=tmp_path,
        report=print,
        pytest=stand_in,
        known=lambda _, __: closed,
    )
    calls = (tmp_path / "calls").read_text().splitlines()
    assert ["--deselect=suites/a.py::test_b[simulated-control:c]" in each for each in calls] == [
        False,
        False,
        True,
        True,
    ]


def test_runs_that_can_not_be_compared_end_the_gate_with_a_sentence(tmp_path: Path, stand_in: Sequence[str]) -> None:
    def known(_: Path, __: Path) -> Standing:
        raise OrdealError("there is no outcome in x: nothing was replayed")

    ran = gate.run(
        BASE, CANDIDATE, repeats=2, arguments=[], results=tmp_path, report=print, pytest=stand_in, known=known
    )
    assert ran.cut_short.startswith("what there is after run 2 of 4 can't be compared: there is no outcome in x")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_reaches_the_run_once_and_it_cleans_up(
    tmp_path: Path, stand_in: Sequence[str], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("WAIT_AT", "3")

    def interrupt() -> None:
        eventually((tmp_path / "waiting").exists, within_s=50, what="the third run to wait", every_s=0.02)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # an impatient user

    user = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts what it runs in the background
    try:
        user.start()
        ran = gate.run(BASE, CANDIDATE, repeats=2, arguments=[], results=tmp_path, report=print, pytest=stand_in)
    finally:
        signal.signal(signal.SIGINT, before)
    user.join()
    assert (tmp_path / "cleaned").exists()
    assert ran.interrupted
    assert ran.cut_short == "run 3 of 4 (Kubernetes 1.34.4) was interrupted"
    assert len(load_side(tmp_path, str(ran.base)).runs) == 2


@pytest.mark.parametrize(
    "argument",
    ["--kubernetes", "--ordeal-kubernetes=1.35.0", "--results=x", "--kind-image", "--ordeal-upgrade-to=1.36.3"],
)
def test_arguments_that_are_the_gates_own_are_refused(tmp_path: Path, argument: str) -> None:
    with pytest.raises(
        OrdealError, match="the gate sets --ordeal-kubernetes, --ordeal-kind-image, --ordeal-results, --ord"
    ):
        gate.run(BASE, CANDIDATE, repeats=1, arguments=[argument], results=tmp_path, report=print)
