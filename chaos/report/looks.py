"""What is known in the middle of a gate: which replays need no more repeats, and whether any does.

A broken promise is known at once. Figures are looked at from FIRST_LOOK repeats of each side on, and called a
regression by a share of the comparison's error that is taken from it beforehand, so that over all looks together noise
is called one no more often than at a single look (Bonferroni's inequality). A figure that what is left can't make a
regression, by the worst that was measured until then, is closed; that takes nothing from the error: it calls nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb

from chaos.report.allowed import AllowList
from chaos.report.compare import Comparison, FigureRow, Side, VerdictRow, compare, known_bugs
from chaos.report.difference import RELEVANT, Measured, Shift, differences
from chaos.results.key import Key
from chaos.results.saved import SavedOutcome

FIRST_LOOK = 4  # repeats of each side: no figure is called anything before
EARLY_SHARE = 0.25  # of the error, for all looks before the last one together


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known after some repeats. `over`: why no further run is needed; "" where one is. `closed`: the tests, by
    pytest node id, that need no more repeats. `alpha`: the error by which figures were called regressions at this look.

    `again`: where a promise is broken, the tests that the base is to replay so many times more (`times`): one that
    breaks there too, now and then, is no change.
    """

    over: str
    closed: tuple[str, ...]
    alpha: float
    again: tuple[str, ...] = ()
    times: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """How the error `alpha` of a comparison is dealt to the looks at it, after each of `repeats` of both sides."""

    repeats: int
    alpha: float

    @property
    def early(self) -> tuple[int, ...]:
        """The looks before the last at which the share of each is enough to call anything: as many as can be had."""
        before = list(range(FIRST_LOOK, self.repeats))
        while before and 1 / comb(2 * before[0], before[0]) > self.alpha * EARLY_SHARE / len(before):
            del before[0]
        return tuple(before)

    def at(self, look: int) -> float:
        """The error of a look after so many repeats; 0 where no figure is called a regression at it."""
        if look >= self.repeats:
            return self.alpha * (1 - EARLY_SHARE) if self.early else self.alpha
        return self.alpha * EARLY_SHARE / len(self.early) if look in self.early else 0.0


def look(
    base: Side,
    candidate: Side,
    *,
    repeats: int,
    alpha: float,
    relevant: float = RELEVANT,
    allow: AllowList | None = None,
) -> Standing:
    """What is known of the runs that there are, of `repeats` of each side that were asked for."""
    done = min(len(base.runs), len(candidate.runs))
    plan = Plan(repeats, alpha)
    found = compare(base, candidate, allow, alpha=plan.at(done) or alpha, relevant=relevant, search=False)
    broken = [row for row in found.verdicts if row.status is Shift.REGRESSED and row.allowed is None]
    if not plan.at(done):  # what both break is told by how often, and nothing of the error is dealt to this look
        broken = [row for row in broken if not row.base.get("violated")]
    tests = _tests(base, candidate)
    if broken:
        row = broken[0]
        times = max(0, min(FIRST_LOOK, repeats) - sum(row.base.values()))
        again = tuple(sorted(tests[row.key])) if times else ()
        return Standing(f"a promise is broken: {_named(row)}", (), plan.at(done), again, times)
    slower = [row for row in found.figures if row.status is Shift.REGRESSED and row.allowed is None]
    if slower and plan.at(done):
        return Standing(f"a figure regressed: {slower[0].key}, {slower[0].figure}", (), plan.at(done))
    closed = [key for key in tests if _is_closed(key, found, plan, done)]
    named = tuple(test for key in closed for test in sorted(tests[key]))
    all_closed = tests and len(closed) == len(tests)
    over = f"verdicts were the same {done} times, and no figure can become a regression" if all_closed else ""
    return Standing(over, named, plan.at(done))


def _named(row: VerdictRow) -> str:
    return f"{row.key}{f', {row.invariant}' if row.invariant else ''}: {row.why}"


def _tests(*sides: Side) -> Mapping[Key, set[str]]:
    found: dict[Key, set[str]] = {}
    for outcome in _outcomes(sides):
        found.setdefault(_key(outcome), set()).add(outcome.test)
    return found


def _outcomes(sides: Sequence[Side]) -> Iterator[SavedOutcome]:
    return (outcome for side in sides for run in side.runs for outcome in run.outcomes)


def _key(outcome: SavedOutcome) -> Key:
    return Key(outcome.id, outcome.replay, outcome.cluster, outcome.control)


def _is_closed(key: Key, found: Comparison, plan: Plan, done: int) -> bool:
    rows = [row for row in found.verdicts if row.key == key]
    if any(row.status not in {Shift.SAME, Shift.BETTER} for row in rows):
        return False
    times = [Counter(_key(o) for run in side.runs for o in run.outcomes)[key] for side in (found.base, found.candidate)]
    if key.control and key not in known_bugs(
        found.base, found.candidate
    ):  # it has proven on both sides that its check can fail, which it does once
        return all(_passed(side, key) for side in (found.base, found.candidate))
    if min(times) < min(FIRST_LOOK, plan.repeats):
        return False
    left = plan.repeats - done
    return all(not _can_regress(row, left, plan.alpha, found.relevant) for row in found.figures if row.key == key)


def _passed(side: Side, key: Key) -> bool:
    return any(o.passed for o in _outcomes([side]) if _key(o) == key)


def _can_regress(row: FigureRow, left: int, alpha: float, relevant: float) -> bool:
    """Whether `left` more repeats could make it one, if each brought the candidate the worst and the base the best
    value that was measured on either side, and it were the only figure.
    """
    there = [v for v in (*row.base, *row.candidate) if v is not None]
    if not there:
        return False
    best, worst = (max(there), min(there)) if row.unit.more_is_better else (min(there), max(there))
    figure = Measured(
        (*row.base, *[best] * left), (*row.candidate, *[worst] * left), row.unit.least, row.unit.more_is_better
    )
    return differences([figure], alpha=alpha, relevant=relevant)[0].status is Shift.REGRESSED
