"""Markdown as GitHub shows it. What comes from results is escaped: names, messages and sentences show as text."""

import html
import re
from collections.abc import Iterable, Sequence

from chaos.basics.visible import line

_MARKED = re.compile(r"([\\`*_\[\]|~$])")
_BEGINS = re.compile(r"^([#+=-]|\d+(?=[.)]))")  # a heading, a list, a line
# GitHub tells whoever is mentioned, and links issues: it looks for them in what is shown, where a backslash is gone.
# What a comment parts is none.
_CALLS = re.compile(r"(?<!\w)([@#])(?=\w)")


def escaped(plain: str) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    text = line(" ".join(re.split("[ \t\r\n]*[ \t\n][ \t\r\n]*", plain.strip(" \t\r\n"))))
    marked = _MARKED.sub(r"\\\1", html.escape(text, quote=False))
    return _CALLS.sub(r"\1<!-- -->", _BEGINS.sub(_shown, marked))


def _shown(found: "re.Match[str]") -> str:
    return f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}"


def pipe_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, its cells escaped, and an empty line after it."""
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    return [*lines, *(f"| {' | '.join(escaped(cell) for cell in row)} |" for row in rows), ""]


def folded(title: str, lines: Sequence[str]) -> list[str]:
    """Lines that a reader has to open."""
    return [f"<details><summary>{escaped(title)}</summary>", "", *lines, "</details>", ""]
