"""What a reader is told of a spec, and what a resumed run takes over."""

from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from chaos.conformance.outcome import Reason, SpecOutcome, State
from chaos.conformance.rows import row, state_of
from chaos.conformance.session import How, SpecSession, resumable, shown
from chaos.conformance.spec import spec
from chaos.errors import OrdealError
from chaos.judge.conformance import FAILED, FLAKY, LATE, LOST, NO_IMAGE, PASSED, SKIPPED
from chaos.results.results import Results
from chaos.results.saved import SavedRun, load
from chaos.results.specs import ALONE, SpecResult


def outcome(state: State, reason: Reason | None = None, *, attempts: int = 1) -> SpecOutcome:
    return SpecOutcome("node-x-1", "[sig-node] x", "node", state, reason, "it said so", 2.0, attempts, "STEP")


def result(spec_id: str, state: str, version: str = "1.34.4", *, when: str = ALONE, output: str = "") -> SpecResult:
    return SpecResult("old-test", when, spec_id, spec_id, "node", state, 1.0, version, output=output)


def run(*specs: SpecResult) -> SavedRun:
    return SavedRun("20260101-000000-abcd", Path("results.json"), {}, (), specs=specs)


@pytest.mark.parametrize(
    ("state", "reason", "attempts", "said"),
    [
        (State.PASSED, None, 1, PASSED),
        (State.PASSED, None, 2, FLAKY),
        (State.FAILED, Reason.FAILED, 2, FAILED),
        (State.UNKNOWN, Reason.HUNG, 1, LATE),
        (State.UNKNOWN, Reason.NO_IMAGE, 1, NO_IMAGE),
        (State.UNKNOWN, Reason.CRASHED, 1, LOST),
        (State.UNKNOWN, Reason.API_AWAY, 1, LOST),
        (State.UNKNOWN, Reason.NO_STORAGE_CLASS, 1, SKIPPED),
        (State.UNKNOWN, Reason.TOO_FEW_NODES, 1, SKIPPED),
    ],
)
def test_only_what_passed_at_once_is_called_passed(
    state: State, reason: Reason | None, attempts: int, said: str
) -> None:
    assert state_of(outcome(state, reason, attempts=attempts)) == said


def test_what_a_spec_wrote_is_kept_below_the_runs_folder(tmp_path: Path) -> None:
    folder = tmp_path / "conformance" / "node-x-1"
    made = row(outcome(State.FAILED, Reason.FAILED), "1.34.4", folder, tmp_path, [folder / "pod.log"], test="t")
    assert (tmp_path / made.output).read_text() == "STEP"
    assert made.pods == ("conformance/node-x-1/pod.log",)
    assert shown(made, tmp_path).startswith("failed: it said so\nits output: ")


def test_what_says_nothing_of_the_cluster_is_called_unknown(tmp_path: Path) -> None:
    made = row(outcome(State.UNKNOWN, Reason.NO_IMAGE), "1.34.4", tmp_path, tmp_path)
    assert shown(made, tmp_path).startswith("unknown, not tried: an image could not be had: it said so")


def test_a_resumed_run_takes_over_what_had_ended() -> None:
    earlier = run(
        result("a", PASSED, output="conformance/a/output.log"),
        result("b", LOST),
        result("c", FAILED),
        result("d", PASSED),
        result("a", PASSED, when="before"),
    )
    taken = resumable(earlier, "1.34.4", {"a": "test-a", "b": "test-b", "c": "test-c"})
    assert [(s.id, s.test, s.state) for s in taken] == [("a", "test-a", PASSED), ("c", "test-c", FAILED)]
    assert taken[0].output == "conformance/a/output.log"


def test_a_run_of_another_version_is_not_resumed() -> None:
    with pytest.raises(OrdealError, match=r"specs of Kubernetes 1\.33\.0 and this one has those of 1\.34\.4"):
        resumable(run(result("a", PASSED, "1.33.0")), "1.34.4", {"a": "t"})


def test_a_spec_that_nobody_waits_for_any_more_is_lost_whatever_comes_later(tmp_path: Path) -> None:
    late, next_one = spec("[sig-node] late", ()), spec("[sig-node] next", ())
    results = Results(tmp_path, "20260101-000000-abcd", {})
    planned = {each.id: (each, f"test-{each.id}") for each in (late, next_one)}

    def acquire() -> NoReturn:
        pytest.fail("nobody is to try again what took too long")

    session = SpecSession(How("1.34.4"), acquire, results, print, planned=planned, one_by_one=False, lock=None)
    given_up = session.give_up(late, "timed out after 1 s")
    assert (given_up.state, given_up.message) == (LOST, "timed out after 1 s")
    session._logs = SimpleNamespace(take=lambda *_: ())  # type: ignore[assignment]
    session._ended(SpecOutcome(late.id, late.text, late.area, State.PASSED))
    assert session.result_of(late) == given_up
    assert session.result_of(next_one).message == "timed out after 1 s"
    assert [(each.id, each.state) for each in load(tmp_path).own_specs] == [(late.id, LOST), (next_one.id, LOST)]
