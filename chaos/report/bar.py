"""What SIG Release asks of a job that may block a release of Kubernetes, asked of our own runs.

Source: kubernetes/sig-release, release-blocking-jobs.md, "Release-Blocking Criteria and Dashboard".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from chaos.errors import OrdealError
from chaos.hosts.places import APP
from chaos.results.past import PastRun, moment
from chaos.results.trend import percentile

SOURCE = "kubernetes/sig-release, release-blocking-jobs.md"
WEEK = timedelta(days=7)
PASSED_PERCENT = 75.0  # of all runs in a week, at the least
P75_MIN = 120.0  # the 75th percentile of the durations of all runs of a week, at the most
FAILED_IN_A_ROW = 10  # at the most


@dataclass(frozen=True, slots=True)
class BlockingBar:
    """How our runs stand to it. A run has passed where it came to its end and every replay and spec of it passed.

    `week_runs` of the seven days that end with the newest run, of which `week_passed`; `p75_min` of their durations, in
    minutes. `failed_in_a_row`: the most, over all `runs` of the history.
    """

    week_from: str
    week_until: str
    week_runs: int
    week_passed: int
    p75_min: float
    runs: int
    failed_in_a_row: int

    @property
    def passed_percent(self) -> float:
        """Of the runs of the week."""
        return 100 * self.week_passed / self.week_runs

    @property
    def met(self) -> tuple[bool, bool, bool]:
        """Whether each of the three is kept: passed, duration, failures in a row."""
        return (
            self.passed_percent >= PASSED_PERCENT,
            self.p75_min <= P75_MIN,
            self.failed_in_a_row <= FAILED_IN_A_ROW,
        )


def bar(runs: Sequence[PastRun]) -> BlockingBar:
    """Of the runs of a history, the oldest first. Raises OrdealError where there is none."""
    if not runs:
        raise OrdealError(f"the history holds no run: `{APP} history add RUN` adds one")
    newest = max(moment(run.started) for run in runs)
    week = [run for run in runs if moment(run.started) > newest - WEEK]
    rows = [len(list(group)) for passed, group in groupby(run.green for run in runs) if not passed]
    return BlockingBar(
        week_from=_day(newest - WEEK),
        week_until=_day(newest),
        week_runs=len(week),
        week_passed=sum(run.green for run in week),
        p75_min=round(percentile([run.duration_s / 60 for run in week], 75), 1),
        runs=len(runs),
        failed_in_a_row=max(rows, default=0),
    )


def sentences(stands: BlockingBar) -> tuple[str, ...]:
    """For a reader: each of the three with what is asked, and where that is written."""
    said = ["kept" if kept else "NOT kept" for kept in stands.met]
    part = f"{stands.week_passed} of {stands.week_runs} runs, {stands.passed_percent:.0f} %"
    row = f"most failures in a row, of all that are kept ({stands.runs}): {stands.failed_in_a_row}"
    return (
        f"passed in the week to {stands.week_until}: {part}; asked are {PASSED_PERCENT:.0f} %: {said[0]}",
        f"P75 of their durations: {stands.p75_min:.0f} min; asked are at most {P75_MIN:.0f} min: {said[1]}",
        f"{row}; asked are at most {FAILED_IN_A_ROW}: {said[2]}",
        f"asked of release-blocking jobs by {SOURCE}",
    )


def as_json(stands: BlockingBar) -> dict[str, object]:
    """For programs."""
    passed, duration, failures = stands.met
    return {
        "source": SOURCE,
        "week": {"from": stands.week_from, "until": stands.week_until, "runs": stands.week_runs},
        "passed_percent": {"is": round(stands.passed_percent, 1), "at_least": PASSED_PERCENT, "kept": passed},
        "p75_min": {"is": stands.p75_min, "at_most": P75_MIN, "kept": duration},
        "failed_in_a_row": {
            "is": stands.failed_in_a_row,
            "of_runs": stands.runs,
            "at_most": FAILED_IN_A_ROW,
            "kept": failures,
        },
    }


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
