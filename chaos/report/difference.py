"""Whether figures got worse: what is noise is told apart from what is not, over all figures of a comparison at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from math import comb
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr
from scipy.stats import ttest_ind

ALPHA = 0.02
ALPHA_WELCH = 0.05
RELEVANT = 0.20  # a part of the base's mean
RESAMPLES = (
    9_999  # up to 7 repeats of each (3,432 ways to divide them) every way is tried, beyond that this many at random
)
SEED = 20181029
LEAST = 2  # repeats of each side without which there is no spread
BATCH = 500  # ways that are tried at once, which bounds the memory
FARTHEST = 1e9  # times what matters: no change that large is searched for
SEEN_TO = 0.01  # how exactly the smallest change is searched for, as a part of it

Values = Sequence[float | None]


class Shift(StrEnum):
    """What became of a verdict or of a figure."""

    BETTER = "better"
    SAME = "same"
    NOISE = "noise"  # it looks worse by what would matter, but so do random divisions of the repeats
    CANT_TELL = "can't tell"
    REGRESSED = "regressed"


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure's values, one a repeat, None where a repeat has none; `least` is the smallest change that matters."""

    base: Values
    candidate: Values
    least: float
    more_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """What is known about a figure. Means are over the repeats that have it.

    `p`: how often a random division of the same repeats shows, in any figure, a change so clear. `seen_from`: the
    smallest shift of the candidate's values from the base's mean that the test would have called a regression, all
    other figures being as they were measured, in the figure's unit; None where it would have called none so, or where
    it was not searched for.
    """

    base: float | None
    candidate: float | None
    p: float | None
    seen_from: float | None
    status: Shift


def differences(
    figures: Sequence[Measured], *, alpha: float = ALPHA, relevant: float = RELEVANT, search: bool = False
) -> tuple[Difference, ...]:
    """One difference a figure; all figures have the same number of values a side. `search`: for `seen_from` too.

    The test is a permutation test of the largest studentised difference of means over all figures (Westfall and Young
    1993, single step): under "nothing changed" the repeats may be exchanged between the sides, so each way to divide
    them anew is as likely as the one that was measured. A change counts if it is `relevant`, a part of the base's mean,
    and at least `least`. With it the chance that any noise of all figures together is called a regression is at most
    `alpha`, however the figures are distributed and hang together.

    Welch's t-test of each figure, by Holm's correction over all figures at 5 %, has to agree: with few repeats the
    permutations alone take the clearest of many wide figures for a change.
    """
    if not figures:
        return ()
    table = _Table(
        np.array([[np.nan if v is None else v for v in (*f.base, *f.candidate)] for f in figures], dtype=float),
        np.array([-1.0 if f.more_is_better else 1.0 for f in figures]),
        np.array([f.least for f in figures]),
        relevant,
        len(figures[0].base),
    )
    ways = _ways(table)
    tested = _tested(table, ways, alpha)
    worse = _seen(table, ways, alpha, tested) if search else tested
    better = _tested(replace(table, upwards=-table.upwards), ways, alpha)
    return tuple(_difference(f, w, b, alpha) for f, w, b in zip(figures, worse, better, strict=True))


@dataclass(frozen=True, slots=True)
class _Table:
    """A row a figure, a column a repeat, those of the base first; `upwards` is 1 where more is worse, else -1."""

    values: NDArray[np.float64]
    upwards: NDArray[np.float64]
    least: NDArray[np.float64]
    relevant: float
    size: int

    @property
    def sides(self) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """The repeats as they were measured: the base's columns, and the candidate's."""
        repeats = np.arange(self.values.shape[1])
        return repeats[: self.size], repeats[self.size :]


@dataclass(frozen=True, slots=True)
class _Ways:
    """Ways to deal the repeats to two sides, each a row of the base's columns and one of the candidate's."""

    base: NDArray[np.int_]
    candidate: NDArray[np.int_]
    every: bool

    def part(self, clearness: NDArray[np.float64], own: float) -> float:
        """The part of the ways that are as clear as the measured one, which is one of them."""
        as_clear = int(np.sum(clearness >= own - 1e-9))
        return as_clear / len(clearness) if self.every else (as_clear + 1) / (len(clearness) + 1)


@dataclass(frozen=True, slots=True)
class _Tested:
    relevant: bool  # it changed, in the direction that was asked for, by what matters
    clear: bool
    p: float
    seen_from: float | None = None


def _difference(figure: Measured, worse: _Tested, better: _Tested, alpha: float) -> Difference:
    base, candidate = _there(figure.base), _there(figure.candidate)
    if not base or not candidate:
        status = Shift.CANT_TELL if base else Shift.SAME
        return Difference(_mean(base), _mean(candidate), None, None, status)
    enough = min(len(base), len(candidate)) >= LEAST and 1 / comb(len(base) + len(candidate), len(base)) <= alpha
    if worse.relevant and worse.clear:
        status = Shift.REGRESSED
    elif worse.relevant:
        status = Shift.NOISE if enough else Shift.CANT_TELL
    elif better.relevant and better.clear:
        status = Shift.BETTER
    else:
        status = Shift.SAME
    return Difference(_mean(base), _mean(candidate), worse.p, worse.seen_from if enough else None, status)


def _ways(table: _Table) -> _Ways:
    """Every way to deal the repeats, or RESAMPLES at random where there are more; none where there is no spread."""
    repeats, size = table.values.shape[1], table.size
    if min(size, repeats - size) < LEAST:
        return _Ways(np.empty((0, size), int), np.empty((0, repeats - size), int), every=False)
    if every := comb(repeats, size) <= RESAMPLES:
        base = np.array(list(combinations(range(repeats), size)))
        is_candidate = np.ones((len(base), repeats), dtype=bool)
        np.put_along_axis(is_candidate, base, values=False, axis=1)
        candidate = np.nonzero(is_candidate)[1].reshape(len(base), -1)
    else:
        dealt = np.random.default_rng(SEED).permuted(np.tile(np.arange(repeats), (RESAMPLES, 1)), axis=1)
        base, candidate = dealt[:, :size], dealt[:, size:]
    return _Ways(base, candidate, every)


def _tested(table: _Table, ways: _Ways, alpha: float) -> list[_Tested]:
    own, change, _, needed = _clearness(table, *table.sides)
    if not len(ways.base):
        return [_Tested(bool(c >= n), clear=False, p=1.0) for c, n in zip(change, needed, strict=True)]
    clearest = np.concatenate([each.max(axis=0) for each in _by_way(table, ways)])
    agreed = _holm(_welch(table))
    parts = [ways.part(clearest, each) for each in own]
    return [
        _Tested(bool(c >= n), bool(p <= alpha and a), p)
        for c, n, p, a in zip(change, needed, parts, agreed, strict=True)
    ]


def _seen(table: _Table, ways: _Ways, alpha: float, tested: Sequence[_Tested]) -> list[_Tested]:
    """The same with the smallest change of each figure that would have been called a regression."""
    if not len(ways.base) or 1 / len(ways.base) > alpha:
        return list(tested)
    clearness = np.concatenate(list(_by_way(table, ways)), axis=1)
    welch = _welch(table)
    found = []
    with np.errstate(all="ignore"):  # of figures that hardly spread the degrees of freedom are none
        for i, one in enumerate(tested):
            others = np.delete(clearness, i, axis=0).max(axis=0, initial=0.0)
            figure = _Table(table.values[[i]], table.upwards[[i]], table.least[[i]], table.relevant, table.size)
            found.append(replace(one, seen_from=_smallest(figure, ways, alpha, others, np.delete(welch, i))))
    return found


def _smallest(
    figure: _Table, ways: _Ways, alpha: float, others: NDArray[np.float64], welch: NDArray[np.float64]
) -> float | None:
    """That of one figure, by halving. `others`: how clear the clearest other figure is, by way; `welch`: their p."""
    base, candidate = figure.sides
    _, change, _, needed = (float(each[0]) for each in _clearness(figure, base, candidate))
    there = [side[~np.isnan(side)] for side in (figure.values[0, base], figure.values[0, candidate])]
    if min(map(len, there)) < LEAST:
        return None
    errors = np.array([np.var(side, ddof=1) / len(side) for side in there])  # a shift changes neither them nor their df
    df = errors.sum() ** 2 / (errors**2 / [len(side) - 1 for side in there]).sum()

    def is_told(shift: float) -> bool:
        values = figure.values.copy()
        values[0, candidate] += (shift - change) * figure.upwards[0]
        moved = replace(figure, values=values)
        own = float(_clearness(moved, base, candidate)[0][0])
        by_way = np.concatenate([each[0] for each in _by_way(moved, ways)])
        own_p = stdtr(df, -shift / np.sqrt(errors.sum())) if errors.any() else 0.0
        agreed = _holm(np.append(welch, own_p))[-1]
        return bool(own > 0 and agreed and ways.part(np.maximum(others, by_way), own) <= alpha)

    low = high = needed * (1 + 1e-6)  # nothing below it is told
    while not is_told(high):
        low, high = high, 2 * high
        if high > needed * FARTHEST:
            return None
    while high - low > SEEN_TO * high:
        middle = (low + high) / 2
        low, high = (low, middle) if is_told(middle) else (middle, high)
    return float(high)


def _by_way(table: _Table, ways: _Ways) -> Iterator[NDArray[np.float64]]:
    """How clear each figure is by way, some ways at once: each a table of a row a figure and a column a way."""
    for at in range(0, len(ways.base), BATCH):
        yield _clearness(table, ways.base[at : at + BATCH], ways.candidate[at : at + BATCH])[0]


def _clearness(
    table: _Table, base: NDArray[np.int_], candidate: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Clearness, change, its standard error and the change that matters, by figure and by division.

    Clearness is the change over its standard error (Welch's: each side has its own spread), and 0 where the change does
    not matter. A tenth of what matters is added to the error, or figures that hardly spread would drown the others.
    """
    mean_of_base, error_of_base, is_base = _side(table.values[:, base])
    mean_of_candidate, error_of_candidate, is_candidate = _side(table.values[:, candidate])
    direction, at_least = (a.reshape(-1, *[1] * (base.ndim - 1)) for a in (table.upwards, table.least))
    change = direction * (mean_of_candidate - mean_of_base)
    needed = np.maximum(table.relevant * np.abs(mean_of_base), at_least)
    error = np.sqrt(error_of_base + error_of_candidate) + at_least / 10
    matters = is_base & is_candidate & (change >= needed)
    return np.where(matters, change / error, 0.0), change, error, needed


def _welch(table: _Table) -> NDArray[np.float64]:
    """The p of each figure by Welch's t-test: that it grew. Figures that do not spread at all are left to the
    permutations: their t is infinite.
    """
    values = table.values * table.upwards[:, np.newaxis]
    with np.errstate(all="ignore"), catch_warnings():
        simplefilter("ignore")  # scipy warns of figures whose values are all alike
        tested = ttest_ind(
            values[:, table.size :],
            values[:, : table.size],
            axis=1,
            equal_var=False,
            alternative="greater",
            nan_policy="omit",
        )
    p: NDArray[np.float64] = np.nan_to_num(np.asarray(tested.pvalue, dtype=float), nan=1.0)
    return p


def _holm(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of them hold with Holm's correction over all."""
    order = np.argsort(p)
    holds = p[order] <= ALPHA_WELCH / np.arange(len(p), 0, -1)
    found = np.zeros(len(p), dtype=bool)
    found[order] = np.logical_and.accumulate(holds)
    return found


def _side(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Mean, squared standard error of it, and whether there are enough values for both."""
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    mean = np.where(there, values, 0.0).sum(axis=-1) / np.maximum(count, 1)
    squares = np.where(there, (values - mean[..., np.newaxis]) ** 2, 0.0).sum(axis=-1)
    return mean, squares / np.maximum(count - 1, 1) / np.maximum(count, 1), count >= LEAST


def _there(values: Values) -> list[float]:
    return [v for v in values if v is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
