"""The table of verdicts, as a run ends with it and as `kube-ordeal report` shows it."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from rich.table import Table
from rich.text import Text

from chaos.basics.visible import joined
from chaos.results.results import Row


class Entry(Protocol):
    """What a row is made of: an outcome of this run, or one read back from disk."""

    @property
    def id(self) -> str:
        """The incident."""
        ...

    @property
    def replay(self) -> str:
        """Which of its replays; "" for the first."""
        ...

    @property
    def cluster(self) -> str:
        """The kind of cluster."""
        ...

    @property
    def kubernetes(self) -> str:
        """The version of Kubernetes."""
        ...

    @property
    def control(self) -> str:
        """The control; "" when hardened."""
        ...

    @property
    def verdict(self) -> str:
        """held, violated or unknown."""
        ...

    @property
    def passed(self) -> bool:
        """Whether the verdict is what this variant must have."""
        ...

    @property
    def duration_s(self) -> float:
        """How long the replay took, in seconds."""
        ...

    @property
    def why(self) -> str:
        """The verdict in a sentence."""
        ...


def cell(*parts: str) -> Text:
    """Text in a table, a line for each part: neither a terminal nor rich, which knows markup, obeys anything in it."""
    return Text(joined(parts))


def fact_table(name: str, rows: Sequence[Row]) -> Table:
    """A table that a suite made; its columns are those of the first row."""
    table = Table(title=cell(name))
    for column in rows[0] if rows else ():
        table.add_column(cell(column))
    for row in rows:
        table.add_row(*(cell(str(value)) for value in row.values()))
    return table


def verdict_table(outcomes: Iterable[Entry], title: str | None = None) -> Table:
    """One row a replay."""
    table = Table(title=None if title is None else cell(title))
    for column in ("incident", "on", "variant", "verdict", "passed", "s", "why"):
        table.add_column(column, overflow="fold", justify="right" if column == "s" else "left")
    for o in outcomes:
        table.add_row(
            cell(o.id, f"({o.replay})") if o.replay else cell(o.id),
            cell(o.cluster, o.kubernetes),
            cell("control:", o.control) if o.control else "hardened",
            cell(str(o.verdict)),
            "yes" if o.passed else "NO",
            f"{o.duration_s:.0f}",
            cell(o.why),
        )
    return table
