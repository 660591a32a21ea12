"""How a bench tells its figures: lines of a terminal, and a line for each run in a file that later ones add to."""

import json
import statistics
from collections.abc import Iterable, Sequence
from os import SEEK_END
from pathlib import Path
from typing import Any


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, each column as wide as its widest cell; the last one is not filled up."""
    widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def times(seconds: Iterable[float]) -> str:
    """Durations, and their median."""
    taken = list(seconds)
    if not taken:
        return "none"
    said = ", ".join(f"{each:.1f}" for each in taken)
    return f"{said} s" + (f", median {statistics.median(taken):.1f} s" if len(taken) > 1 else "")


def append(path: Path, record: dict[str, Any]) -> None:
    """Add a record to a file that has one on each line; a last line that was cut off stays one of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(-min(1, file.tell()), SEEK_END)
        cut_off = file.read(1) not in {b"", b"\n"}
        file.write(b"\n" * cut_off + json.dumps(record, allow_nan=False).encode() + b"\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The records of such a file; a line that was cut off is none."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
