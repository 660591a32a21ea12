"""The names of figures: what a name ends in is its unit, and behind that may stand the node or subject it is of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from chaos.judge.base import OWN, SHIPPED, Figure


@dataclass(frozen=True, slots=True)
class Unit:
    """What a figure's name ends in says its unit, in which direction worse lies, and which change never matters."""

    name: str
    least: float
    more_is_better: bool = False


UNITS = {
    "s": Unit("s", 0.25),
    "ms": Unit("ms", 250.0),
    "bytes": Unit("bytes", 4.0 * 1024**2),
    "percent": Unit("%", 1.0),
    "mbit_per_s": Unit("Mbit/s", 10.0, more_is_better=True),
}
NAME = re.compile(r"(?P<name>.+?(?<!_per)_(?P<unit>mbit_per_s|percent|bytes|ms|s))(?:_(?!per_)(?P<subject>.+))?")


@lru_cache(4096)
def unit_of(name: str) -> Unit | None:
    """The unit of a figure; None of a count."""
    parts = NAME.fullmatch(name)
    return None if parts is None else UNITS[parts["unit"]]


@lru_cache(4096)
def common_name(name: str) -> str:
    """The name without the node or subject: they are called otherwise in each run."""
    parts = NAME.fullmatch(name)
    return name if parts is None else parts["name"]


def is_setting(name: str) -> bool:
    """Whether a figure says by which limit it was judged."""
    return name.startswith((f"{OWN}_", f"{SHIPPED}_"))


def worst(figures: Mapping[str, Figure]) -> dict[str, float]:
    """The numbers that were measured, by their common name, of several subjects the worst."""
    found: dict[str, float] = {}
    for full, value in figures.items():
        if isinstance(value, str | bool) or is_setting(full):
            continue
        name, unit = common_name(full), unit_of(full)
        worse = min if unit is not None and unit.more_is_better else max
        found[name] = worse(float(value), found[name]) if name in found else float(value)
    return found


def amount(value: float, unit: Unit | None) -> str:
    """A value with its unit, for a reader: three digits, whole numbers as they are."""
    if unit is None:
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.3g}"
    if unit.name == "bytes":
        return f"{value / 1024**2:.1f} MiB"
    return f"{value:.3g} {unit.name}" if abs(value) < 100 else f"{value:.0f} {unit.name}"
