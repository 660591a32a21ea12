"""What became of a spec, as histories and results have it."""

from collections.abc import Sequence
from pathlib import Path

from chaos.basics.files import place
from chaos.basics.scrub import scrub
from chaos.conformance.outcome import Reason, SpecOutcome, State
from chaos.judge.conformance import FAILED, FLAKY, LATE, LOST, NO_IMAGE, PASSED, SKIPPED
from chaos.results.specs import SpecResult

OUTPUT = "output.log"
_BY_REASON = {
    Reason.HUNG: LATE,
    Reason.NO_IMAGE: NO_IMAGE,
    Reason.SKIPPED: SKIPPED,
    Reason.TOO_FEW_NODES: SKIPPED,
    Reason.NO_STORAGE_CLASS: SKIPPED,
}


def state_of(outcome: SpecOutcome) -> str:
    """The state, as histories and results have it, of what became of a spec."""
    if outcome.flaky:
        return FLAKY
    if outcome.state is State.PASSED:
        return PASSED
    if outcome.state is State.FAILED:
        return FAILED
    return _BY_REASON.get(outcome.reason, LOST) if outcome.reason else LOST


def row(
    outcome: SpecOutcome,
    kubernetes: str,
    folder: Path,
    root: Path,
    pods: Sequence[Path] = (),
    *,
    when: str = "",
    test: str = "",
) -> SpecResult:
    """A row of the results. What the spec wrote goes to `folder`; paths in the row are below the run's folder `root`.

    `pods`: the logs of its pods.
    """
    output = folder / OUTPUT
    if outcome.output:
        place(output, scrub(outcome.output), within=root)
    return SpecResult(
        test,
        when,
        outcome.spec_id,
        outcome.text,
        outcome.area,
        state_of(outcome),
        outcome.took_s,
        kubernetes,
        outcome.message,
        outcome.attempts,
        str(output.relative_to(root)) if outcome.output else "",
        tuple(str(path.relative_to(root)) for path in pods),
    )
