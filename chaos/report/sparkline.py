"""A figure's trend as a small picture inside a page: one point a run, the oldest on the left."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from chaos.basics.visible import visible

WIDTH, HEIGHT, EDGE = 110, 22, 3


@dataclass(frozen=True, slots=True)
class Point:
    """A run's value; `version` is what may differ from point to point, `own`: it is the run of this page."""

    value: float
    version: str
    own: bool = False


def sparkline(points: Sequence[Point], said: str) -> str:
    """SVG that holds nothing of others but numbers and, escaped, `said`, which tells the same in words.

    The scale begins at 0, where no value is below it. A line is drawn where the version changes.
    """
    low, high = min(0.0, *(p.value for p in points)), max(0.0, *(p.value for p in points))
    spread = high - low or 1.0
    step = (WIDTH - 2 * EDGE) / max(1, len(points) - 1)
    at = [
        (round(EDGE + step * n, 1), round(HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (p.value - low) / spread, 1))
        for n, p in enumerate(points)
    ]
    pairs = pairwise(zip(at, points, strict=True))
    turns = [(x + after) / 2 for ((x, _), p), ((after, _), q) in pairs if p.version != q.version]
    parts = [f'<path class="turn" d="M{x:.1f} 0V{HEIGHT}"/>' for x in turns]
    parts.append(f'<polyline points="{" ".join(f"{x},{y}" for x, y in at)}"/>')
    parts += [f'<circle cx="{x}" cy="{y}" r="2.5"/>' for (x, y), p in zip(at, points, strict=True) if p.own]
    text = escape(visible(said))
    return (
        f'<svg class="trend" role="img" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f"<title>{text}</title>{''.join(parts)}</svg>"
    )
