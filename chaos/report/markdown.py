"""Markdown as GitHub shows it. What comes from results is escaped: names, messages and sentences show as text."""

import html
import re
from collections.abc import Iterable, Sequence

_MARKED = re.compile(r"([\\`*_\[\]|~])")


def escaped(plain: str) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    return _MARKED.sub(r"\\\1", html.escape(" ".join(plain.split()), quote=False))


def pipe_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, its cells escaped, and an empty line after it."""
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    return [*lines, *(f"| {' | '.join(escaped(cell) for cell in row)} |" for row in rows), ""]


def folded(title: str, lines: Sequence[str]) -> list[str]:
    """Lines that a reader has to open."""
    return [f"<details><summary>{escaped(title)}</summary>", "", *lines, "</details>", ""]
