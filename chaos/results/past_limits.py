"""Limits of promises, from what was measured before: a percentile of the figure that a limit bounds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import get_type_hints

from chaos.basics.visible import line
from chaos.errors import OrdealError
from chaos.judge import load_all
from chaos.judge.base import bounded_figures, made_by, promises
from chaos.results.figures import NAME, unit_of, worst
from chaos.results.key import Key
from chaos.results.past import PastReplay, PastRun
from chaos.results.trend import HELD, is_greatest, key_of, percentile, replayed

PERCENTS = {"p95": 95, "p99": 99}
AT_LEAST = 20  # runs: of fewer, P95 would be nothing but the greatest value
DIGITS = 3  # that a limit has, rounded up
_PER_S = {"s": 1.0, "ms": 1000.0}


@dataclass(frozen=True, slots=True)
class Basis:
    """Of which runs limits are taken: of one version and profile, on machines with so many processors."""

    kubernetes: str
    profile: str
    cpus: str

    def __str__(self) -> str:
        return f"Kubernetes {self.kubernetes}, profile {self.profile}, {self.cpus} cpus"


@dataclass(frozen=True, slots=True)
class PastLimit:
    """A limit: which argument of which promise, and from how many values of which replay it comes.

    `value` is in the unit of the argument, an integer where that takes one. Of several replays that make the promise
    the one with the greatest percentile counts, since a limit is for all of them.
    """

    promise: str
    argument: str
    value: float | int
    key: Key
    figure: str
    values: int
    greatest: bool


@dataclass(frozen=True, slots=True)
class PastLimits:
    """The limits that the history gives, and of the others a sentence each that says why not."""

    basis: Basis
    percent: int
    limits: tuple[PastLimit, ...]
    left_out: tuple[str, ...]


def percent_of(at: str) -> int:
    """The percentile that a word such as "p99" names. Raises OrdealError."""
    if at not in PERCENTS:
        raise OrdealError(f"{at!r} is no percentile that limits are taken at: say {' or '.join(PERCENTS)}")
    return PERCENTS[at]


def limits_from(runs: Sequence[PastRun], percent: int, basis: Basis, at_least: int = AT_LEAST) -> PastLimits:
    """The limit of each promise: the percentile of its figure, of hardened replays that held, over at least so many
    runs of that basis; rounded up to three digits. The promise is left out where one of its replays has fewer.

    Raises OrdealError where the history has no run of that basis.
    """
    load_all()
    known = {name: bounded for name in promises() if (bounded := bounded_figures(name))}
    of_basis = [(run, each) for run, each, c in replayed(runs) if Basis(c.kubernetes, c.profile, c.cpus) == basis]
    if not of_basis:
        there = sorted({str(Basis(c.kubernetes, c.profile, c.cpus)) for _, _, c in replayed(runs)})
        raise OrdealError(f"the history has no run of {basis}; it has {'; '.join(there) or 'none at all'}")
    values = _values(of_basis, known)
    limits, left_out = [], []
    for (promise, argument), by_key in sorted(values.items()):
        few = [(key, found) for key, found in sorted(by_key.items()) if len({run for run, _ in found}) < at_least]
        if few:
            key, found = few[0]
            runs_of = len({run for run, _ in found})
            left_out.append(f"{written(promise)}: {key} has it from {runs_of} runs, and {at_least} are needed")
            continue
        tops = {key: percentile([value for _, value in found], percent) for key, found in by_key.items()}
        key = max(sorted(tops), key=tops.__getitem__)
        figure, count = known[promise][argument], len(by_key[key])
        value = _as_limit(tops[key], figure, argument, get_type_hints(made_by(promise))[argument])
        limits.append(PastLimit(promise, argument, value, key, figure, count, is_greatest(count, percent)))
    return PastLimits(basis, percent, tuple(limits), tuple(left_out))


def document(found: PastLimits) -> tuple[str, ...]:
    """The lines of a file of limits, YAML: by promise, as results name it, its limits. Comments say where from."""
    told = [f"# P{found.percent} of what was measured with {found.basis}, of hardened replays that held"]
    by_promise: dict[str, list[PastLimit]] = {}
    for each in found.limits:
        by_promise.setdefault(each.promise, []).append(each)
    for promise, limits in by_promise.items():
        for each in limits:
            which = f"the greatest of {each.values} values" if each.greatest else f"of {each.values} values"
            told.append(f"# {each.argument}: {each.figure} of {each.key}, {which}")
        given = ", ".join(f"{each.argument}: {_number(each.value)}" for each in limits)
        told.append(f"{written(promise)}: {{{given}}}")
    return tuple(map(line, told))


def written(promise: str) -> str:
    """A promise as a file of limits names it."""
    return promise.replace("_", "-")


def _values(
    replays: Sequence[tuple[PastRun, PastReplay]], known: Mapping[str, Mapping[str, str]]
) -> dict[tuple[str, str], dict[Key, list[tuple[str, float]]]]:
    """By promise and limit, by replay: each value with its run."""
    found: dict[tuple[str, str], dict[Key, list[tuple[str, float]]]] = {}
    for run, replay in replays:
        if replay.control or replay.verdict != HELD:
            continue
        for promise, argument, value in _of(replay, known):
            found.setdefault((promise, argument), {}).setdefault(key_of(replay), []).append((run.id, value))
    return found


def _of(replay: PastReplay, known: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, float]]:
    for finding in replay.findings:
        figures = worst(finding.figures)
        for argument, figure in known.get(finding.promise, {}).items():
            if figure in figures:
                yield finding.promise, argument, figures[figure]


def _as_limit(value: float, figure: str, argument: str, kind: type) -> float | int:
    """A figure in the unit of the limit that bounds it, rounded up."""
    has, wants = unit_of(figure), NAME.fullmatch(argument)
    if has is not None and wants is not None and has.name in _PER_S and wants["unit"] in _PER_S:
        value = value / _PER_S[has.name] * _PER_S[wants["unit"]]
    rounded = _up(max(0.0, value))
    return ceil(rounded) if kind is int else rounded


def _number(value: float) -> str:
    """As YAML reads a number: without an exponent."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def _up(value: float) -> float:
    """To so many digits."""
    if not value:
        return 0.0
    scale = DIGITS - 1 - floor(log10(value))
    return ceil(round(value * 10.0**scale, 6)) / 10.0**scale
