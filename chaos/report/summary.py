"""A comparison for its readers: Markdown for a pull request or a job page, tables for a terminal, JSON for programs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chaos.basics.visible import line
from chaos.report import smallest
from chaos.report.allowed import Allowed
from chaos.report.compare import Comparison, FigureRow, VerdictRow
from chaos.report.difference import Shift
from chaos.report.markdown import escaped, folded, pipe_table
from chaos.report.table import cell
from chaos.results.figures import Unit, amount
from chaos.results.key import Key

SCHEMA = 1
COLOURS = {
    Shift.REGRESSED: "bold red",
    Shift.CANT_TELL: "yellow",
    Shift.NOISE: "dim",
    Shift.BETTER: "green",
    Shift.SAME: "",
}
HEADLINES = {
    Shift.REGRESSED: "regressed",
    Shift.CANT_TELL: "can't tell",
    Shift.BETTER: "better",
    Shift.SAME: "no worse",
}
_ORDER = list(COLOURS)
R = TypeVar("R", VerdictRow, FigureRow)


def answer(c: Comparison) -> str:
    """The answer in one sentence."""
    counted = [row for row in _all(c) if row.allowed is None]
    parts = []
    for status, said in (
        (Shift.REGRESSED, "regressed"),
        (Shift.CANT_TELL, "can't be told"),
        (Shift.BETTER, "better"),
    ):
        verdicts = sum(row.status is status for row in counted if isinstance(row, VerdictRow))
        figures = sum(row.status is status for row in counted if isinstance(row, FigureRow))
        named = [n for n in (_number(verdicts, "verdict"), _number(figures, "figure")) if n]
        parts += [f"{' and '.join(named)} {said}"] if named else []
    replays = len({row.key for row in c.verdicts})
    parts.append(f"{_number(replays, 'replay')} and {_number(len(c.figures), 'figure') or 'no figures'} compared")
    return f"{HEADLINES[c.answer]}: {', '.join(parts)}"


def head(c: Comparison) -> tuple[str, ...]:
    """What a reader should know before all else: what this comparison could have seen, and how often it is wrong."""
    equal = c.equal_versions
    if equal.why:
        wrong = f"How often it is wrong on equal versions: not measured here ({equal.why})."
    else:
        wrong = (
            f"Wrong on equal versions: {equal.wrong} of {equal.deals} times that {equal.runs} runs of the history, all "
            f"with {equal.version}, were dealt to two sides, this was called a regression (seed {equal.seed})."
        )
    return smallest.said(smallest.smallest_change(c), c.alpha), wrong


def markdown(c: Comparison) -> str:
    """The summary in GitHub's Markdown. What comes from results is escaped: it shows as text."""
    lines = [
        f"## kube-ordeal: {HEADLINES[c.answer]}",
        "",
        f"{escaped(str(c.candidate))} against {escaped(str(c.base))}. {escaped(answer(c))}.",
        "",
        *(f"- {escaped(sentence)}" for sentence in head(c)),
        "",
    ]
    verdicts = [row for row in c.verdicts if row.status is not Shift.SAME]
    if verdicts:
        lines += pipe_table(VERDICT_COLUMNS, [_verdict_cells(r) for r in _sorted(verdicts)])
    figures = [row for row in c.figures if row.status is not Shift.SAME]
    if figures:
        lines += pipe_table(FIGURE_COLUMNS, [_figure_cells(r) for r in _sorted(figures)])
    same = [[str(r.key), *_of(r.base), *_of(r.candidate)] for r in c.verdicts if r.status is Shift.SAME]
    if same:
        lines += folded("The same verdict", pipe_table(("replay", "base", "candidate"), same))
    alike = [_figure_cells(r) for r in c.figures if r.status is Shift.SAME]
    if alike:
        lines += folded("Figures that are no worse", pipe_table(FIGURE_COLUMNS, alike))
    lines += [f"- {escaped(sentence)}" for sentence in _sentences(c)]
    return "\n".join(lines) + "\n"


def terminal(c: Comparison) -> RenderableType:
    """The same as tables."""
    parts: list[RenderableType] = [*map(cell, head(c))]
    verdicts = _sorted(c.verdicts)
    if verdicts:
        table = Table(*VERDICT_COLUMNS)
        for v in verdicts:
            _add(table, _verdict_cells(v), COLOURS[v.status])
        parts.append(table)
    figures = _sorted(c.figures)
    if figures:
        table = Table(*FIGURE_COLUMNS)
        for f in figures:
            _add(table, _figure_cells(f), COLOURS[f.status])
        parts.append(table)
    return Group(*parts, *map(cell, _sentences(c)), Text(line(answer(c)), style=COLOURS[c.answer]))


def as_json(c: Comparison) -> dict[str, object]:
    """The comparison for programs; `schema` says its version."""
    return {
        "schema": SCHEMA,
        "answer": str(c.answer),
        "exit_code": c.exit_code,
        "sentence": answer(c),
        "alpha": c.alpha,
        "relevant": c.relevant,
        "smallest_change": asdict(smallest.smallest_change(c)),
        "equal_versions": {"measured": not c.equal_versions.why, **asdict(c.equal_versions)},
        "base": {"runs": [r.id for r in c.base.runs], "kubernetes": list(c.base.versions)},
        "candidate": {"runs": [r.id for r in c.candidate.runs], "kubernetes": list(c.candidate.versions)},
        "verdicts": [
            {
                **_key(row.key),
                **({"invariant": row.invariant} if row.invariant else {}),
                "base": dict(row.base),
                "candidate": dict(row.candidate),
                "status": str(row.status),
                "why": row.why,
                **_allowed(row.allowed),
            }
            for row in c.verdicts
        ],
        "figures": [
            {
                **_key(row.key),
                "invariant": row.invariant,
                "figure": row.figure,
                "unit": row.unit.name,
                "more_is_better": row.unit.more_is_better,
                "base": list(row.base),
                "candidate": list(row.candidate),
                "base_mean": row.difference.base,
                "candidate_mean": row.difference.candidate,
                "p": row.difference.p,
                "seen_from": row.difference.seen_from,
                "status": str(row.status),
                **_allowed(row.allowed),
            }
            for row in c.figures
        ],
        "notes": list(c.notes),
        "expired": [str(e) for e in c.expired],
        "unmatched": [str(e) for e in c.unmatched],
    }


VERDICT_COLUMNS = ("verdict of", "base", "candidate", "", "why")
FIGURE_COLUMNS = ("figure", "base", "candidate", "change", "p", "seen from", "")


def _sentences(c: Comparison) -> list[str]:
    """What a reader needs beside the tables."""
    said = [*c.notes]
    said += [f"The allow list's entry has expired and does not count: {e}." for e in c.expired]
    said += [f"The allow list's entry matches nothing that is worse; remove it: {e}." for e in c.unmatched]
    if c.figures:
        said.append(
            f"A figure regressed if its mean is worse by {c.relevant:.0%} of the base's and what matters in its unit, "
            f"and at most {c.alpha:.0%} of all ways to divide the repeats anew show so clear a change in any figure "
            "(permutation test of the largest studentised difference). Noise: it looks worse, but not as clearly. "
            "Can't tell: it looks worse, and the repeats are too few. Seen from: the smallest change that would be "
            "called one, all other figures being as they were measured."
        )
    return said


def _verdict_cells(row: VerdictRow) -> list[str]:
    what = f"{row.key}: {row.invariant}" if row.invariant else str(row.key)
    return [what, *_of(row.base), *_of(row.candidate), _status(row), _why(row)]


def _figure_cells(row: FigureRow) -> list[str]:
    d = row.difference
    return [
        f"{row.key}: {row.invariant} {row.figure}",
        _amount(d.base, row.unit),
        _amount(d.candidate, row.unit),
        _change(d.base, d.candidate),
        "" if d.p is None else f"{d.p:.3f}",
        "" if d.seen_from is None else f"{'-' if row.unit.more_is_better else '+'}{_amount(d.seen_from, row.unit)}",
        _status(row),
    ]


def _status(row: VerdictRow | FigureRow) -> str:
    return f"{row.status}, allowed" if row.allowed else str(row.status)


def _why(row: VerdictRow) -> str:
    return f"{row.why} (allowed until {row.allowed.expires}: {row.allowed.reason})" if row.allowed else row.why


def _of(counts: Mapping[str, int]) -> list[str]:
    if sum(counts.values()) == 1:
        return list(counts)
    return [", ".join(f"{verdict} {times}" for verdict, times in sorted(counts.items())) or "missing"]


def _amount(value: float | None, unit: Unit) -> str:
    return "none" if value is None else amount(value, unit)


def _change(base: float | None, candidate: float | None) -> str:
    if base is None or candidate is None or not base:
        return ""
    return f"{candidate / base - 1:+.0%}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}" if count else ""


def _all(c: Comparison) -> Iterable[VerdictRow | FigureRow]:
    return (*c.verdicts, *c.figures)


def _sorted(rows: Sequence[R]) -> list[R]:
    return sorted(rows, key=lambda row: _ORDER.index(row.status))


def _key(key: Key) -> dict[str, str]:
    fields = {"incident": key.incident, "replay": key.replay, "cluster": key.cluster, "control": key.control}
    return {name: value for name, value in fields.items() if value}


def _allowed(entry: Allowed | None) -> dict[str, object]:
    return {"allowed": {"until": entry.expires.isoformat(), "reason": entry.reason}} if entry else {}


def _add(table: Table, cells: Sequence[str], style: str) -> None:
    table.add_row(*map(cell, cells), style=style or None)
