"""The smallest change that a comparison could have seen with the repeats that it had, over all of its figures."""

from dataclasses import dataclass
from itertools import count
from math import comb
from statistics import median

from chaos.report.compare import Comparison, FigureRow


@dataclass(frozen=True, slots=True)
class SmallestChange:
    """Of `figures` so many, as parts of the base's mean: the least that any needed, the median, the most; None where
    `figures` is 0.

    Of `small` more figures such a part says nothing: what is relevant of their base is less than what matters in their
    unit. Of those the median in `small_median`, in times what matters. In `blind` no change would have been seen.
    """

    base_repeats: int
    candidate_repeats: int
    figures: int
    least: float | None
    median: float | None
    most: float | None
    small: int
    small_median: float | None
    blind: int


def smallest_change(c: Comparison) -> SmallestChange:
    """Over all figures of the comparison, each with the smallest shift that would have been called a regression (see
    `Difference.seen_from`).
    """
    large = [row for row in c.figures if _base(row) * c.relevant >= row.unit.least]
    small = [row for row in c.figures if _base(row) * c.relevant < row.unit.least]
    parts = [seen / _base(row) for row in large if (seen := row.difference.seen_from) is not None]
    times = [seen / row.unit.least for row in small if (seen := row.difference.seen_from) is not None]
    return SmallestChange(
        base_repeats=max((len(row.base) for row in c.figures), default=len(c.base.runs)),
        candidate_repeats=max((len(row.candidate) for row in c.figures), default=len(c.candidate.runs)),
        figures=len(parts),
        least=min(parts, default=None),
        median=median(parts) if parts else None,
        most=max(parts, default=None),
        small=len(times),
        small_median=median(times) if times else None,
        blind=len(c.figures) - len(parts) - len(times),
    )


def said(change: SmallestChange, alpha: float) -> str:
    """That as a sentence."""
    repeats = f"{change.base_repeats} and {change.candidate_repeats} repeats"
    begin = f"Smallest change that {repeats} could have shown as a regression"
    if not change.figures and not change.small:
        if not change.blind:
            return f"{begin}: none, for no figure was compared."
        return f"{begin}: none, however large; there have to be {enough_repeats(alpha)} of each."
    parts = []
    if change.median is not None:
        spread = f" ({change.least:.0%} to {change.most:.0%})" if change.figures > 1 else ""
        parts.append(f"{change.median:.0%} of the base in the median of {_figures(change.figures)}{spread}")
    if change.small_median is not None:
        parts.append(
            f"for {_figures(change.small)} with a base near 0 {change.small_median:.1f} times what matters in their "
            "unit, in the median"
        )
    if change.blind:
        parts.append(f"for {_figures(change.blind)} with too few values none")
    return f"{begin}: {'; '.join(parts)}."


def enough_repeats(alpha: float) -> int:
    """So many repeats of each side can be dealt in enough ways that one of them is as rare as `alpha`."""
    return next(repeats for repeats in count(2) if 1 / comb(2 * repeats, repeats) <= alpha)


def _base(row: FigureRow) -> float:
    return abs(row.difference.base or 0.0)


def _figures(number: int) -> str:
    return f"{number} figure{'' if number == 1 else 's'}"
