"""The grid of conformance specs: a row for each round of each run, a column for each area, a square for each spec."""

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.judge.conformance import FLAKY, ROUNDS, STATES
from chaos.report.answer import title
from chaos.results.saved import SavedRun
from chaos.results.specs import ALONE, SAID, SpecResult, tally

THIS_RUN = "conformance"


@dataclass(frozen=True, slots=True)
class Square:
    """A spec in a cell; `anchor` leads to what upstream said, "" where it passed."""

    spec: SpecResult
    anchor: str


@dataclass(frozen=True, slots=True)
class Row:
    """One round of one run; `cells` has the squares of each of the grid's areas."""

    run: str
    when: str
    cells: tuple[tuple[Square, ...], ...]
    passed: int
    ran: int


@dataclass(frozen=True, slots=True)
class Grid:
    """`rows` are grouped by run; `said` counts all specs; `legend` has the states that there are, in words."""

    areas: tuple[str, ...]
    rows: tuple[tuple[Row, ...], ...]
    said: str
    legend: tuple[tuple[str, str], ...]


def grid(run: SavedRun) -> Grid:
    """The grid of all specs of a run."""
    numbered = list(enumerate(run.specs))
    areas = tuple(sorted({spec.area for spec in run.specs}))
    by_run: dict[str, dict[str, list[tuple[int, SpecResult]]]] = {}
    for number, spec in numbered:
        by_run.setdefault(run_of(run, spec), {}).setdefault(spec.round, []).append((number, spec))
    rows = tuple(
        tuple(_row(name, when, rounds[when], areas) for when in (ALONE, *ROUNDS) if when in rounds)
        for name, rounds in by_run.items()
    )
    states = {spec.state for spec in run.specs}
    said = {**SAID, FLAKY: "flaky: passed, but not at once, which is not passed"}
    return Grid(areas, rows, tally(run.specs), tuple((state, said[state]) for state in STATES if state in states))


def run_of(run: SavedRun, spec: SpecResult) -> str:
    """The replay that a spec was run around, in a few words; THIS_RUN where it was run for itself."""
    if spec.round == ALONE:
        return THIS_RUN
    return next((title(o) for o in run.outcomes if o.test == spec.test), spec.test)


def anchor(number: int) -> str:
    """The id, in the page, of what a spec that did not pass has left."""
    return f"spec-{number}"


def _row(name: str, when: str, found: Sequence[tuple[int, SpecResult]], areas: Sequence[str]) -> Row:
    cells = tuple(
        tuple(Square(spec, "" if spec.passed else anchor(number)) for number, spec in found if spec.area == area)
        for area in areas
    )
    return Row(name, when or "for itself", cells, sum(spec.passed for _, spec in found), len(found))
