"""Whether figures got worse: what is noise is told apart from what is not, over all figures of a comparison at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import comb
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test, ttest_ind

ALPHA = 0.02
ALPHA_WELCH = 0.05
RELEVANT = 0.20  # a part of the base's mean
RESAMPLES = (
    9_999  # up to 7 repeats of each (3,432 ways to divide them) every way is tried, beyond that this many at random
)
SEED = 20181029
LEAST = 2  # repeats of each side without which there is no spread

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
    change that would have been called a regression, in the figure's unit; None where no change would have been.
    """

    base: float | None
    candidate: float | None
    p: float | None
    seen_from: float | None
    status: Shift


def differences(
    figures: Sequence[Measured], *, alpha: float = ALPHA, relevant: float = RELEVANT
) -> tuple[Difference, ...]:
    """One difference a figure; all figures have the same number of values a side.

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
    worse = _test(figures, alpha, relevant, sign=1.0)
    better = _test(figures, alpha, relevant, sign=-1.0)
    return tuple(_difference(f, w, b, alpha) for f, w, b in zip(figures, worse, better, strict=True))


@dataclass(frozen=True, slots=True)
class _Tested:
    relevant: bool  # it changed, in the direction that was asked for, by what matters
    clear: bool
    p: float
    seen_from: float | None


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


def _test(figures: Sequence[Measured], alpha: float, relevant: float, sign: float) -> list[_Tested]:
    values = np.array([[np.nan if v is None else v for v in (*f.base, *f.candidate)] for f in figures], dtype=float)
    upwards = np.array([-sign if f.more_is_better else sign for f in figures])
    least = np.array([f.least for f in figures])
    size = len(figures[0].base)
    repeats = np.arange(values.shape[1])

    def clearness(base: NDArray[np.int_], candidate: NDArray[np.int_]) -> NDArray[np.float64]:
        """The largest of all figures, for each way to divide the repeats (last axis: repeats)."""
        largest: NDArray[np.float64] = _clearness(values, upwards, least, relevant, base, candidate)[0].max(axis=0)
        return largest

    if min(size, values.shape[1] - size) < LEAST:
        by_lot = np.array([np.inf])
    else:
        by_lot = permutation_test(
            (repeats[:size], repeats[size:]),
            lambda a, b, axis: clearness(a, b),  # noqa: ARG005  (scipy names the axis; it is the last one)
            permutation_type="independent",
            alternative="greater",
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=500,
            random_state=np.random.default_rng(SEED),
        ).null_distribution
    own, change, error, needed = _clearness(values, upwards, least, relevant, repeats[:size], repeats[size:])
    agreed = _welch(values * upwards[:, np.newaxis], size)
    every_way = len(by_lot) == comb(len(repeats), size)
    critical = _critical(by_lot, alpha)
    found = []
    for i in range(len(figures)):
        as_clear = int(np.sum(by_lot >= own[i] - 1e-9))
        p = as_clear / len(by_lot) if every_way else (as_clear + 1) / (len(by_lot) + 1)
        seen_from = None if not np.isfinite(critical) else float(max(needed[i], critical * error[i]))
        found.append(_Tested(bool(change[i] >= needed[i]), bool(p <= alpha and agreed[i]), min(1.0, p), seen_from))
    return found


def _clearness(
    values: NDArray[np.float64],
    upwards: NDArray[np.float64],
    least: NDArray[np.float64],
    relevant: float,
    base: NDArray[np.int_],
    candidate: NDArray[np.int_],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Clearness, change, its standard error and the change that matters, by figure and by division.

    Clearness is the change over its standard error (Welch's: each side has its own spread), and 0 where the change does
    not matter. A tenth of what matters is added to the error, or figures that hardly spread would drown the others.
    """
    mean_of_base, error_of_base, is_base = _side(values[:, base])
    mean_of_candidate, error_of_candidate, is_candidate = _side(values[:, candidate])
    direction, at_least = (a.reshape(-1, *[1] * (base.ndim - 1)) for a in (upwards, least))
    change = direction * (mean_of_candidate - mean_of_base)
    needed = np.maximum(relevant * np.abs(mean_of_base), at_least)
    error = np.sqrt(error_of_base + error_of_candidate) + at_least / 10
    matters = is_base & is_candidate & (change >= needed)
    return np.where(matters, change / error, 0.0), change, error, needed


def _welch(values: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    """Which figures grew by Welch's t-test, with Holm's correction over all of them.

    Figures that do not spread at all are left to the permutations: their t is infinite.
    """
    with np.errstate(all="ignore"), catch_warnings():
        simplefilter("ignore")  # scipy warns of figures whose values are all alike
        tested = ttest_ind(
            values[:, size:], values[:, :size], axis=1, equal_var=False, alternative="greater", nan_policy="omit"
        )
    p = np.nan_to_num(np.asarray(tested.pvalue, dtype=float), nan=1.0)
    order = np.argsort(p)
    holds = p[order] <= ALPHA_WELCH / np.arange(len(p), 0, -1)
    grew = np.zeros(len(p), dtype=bool)
    grew[order] = np.logical_and.accumulate(holds)
    return grew


def _side(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Mean, squared standard error of it, and whether there are enough values for both."""
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    mean = np.where(there, values, 0.0).sum(axis=-1) / np.maximum(count, 1)
    squares = np.where(there, (values - mean[..., np.newaxis]) ** 2, 0.0).sum(axis=-1)
    return mean, squares / np.maximum(count - 1, 1) / np.maximum(count, 1), count >= LEAST


def _critical(by_lot: NDArray[np.float64], alpha: float) -> float:
    """The clearness from which on no more than `alpha` of the divisions are as clear."""
    ordered = np.sort(by_lot)[::-1]
    allowed = int(alpha * len(ordered))
    if allowed == 0:
        return float("inf")
    return float(ordered[allowed]) if allowed < len(ordered) else 0.0


def _there(values: Values) -> list[float]:
    return [v for v in values if v is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
