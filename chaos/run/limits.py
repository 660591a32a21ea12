"""Limits of the user's own, from the file of `--ordeal-limits` or the history of runs, instead of those shipped."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from chaos.basics.untrusted import LIST, bounded, yaml_of
from chaos.errors import OrdealError
from chaos.hosts.places import history_file
from chaos.judge import load_all
from chaos.judge.availability import watched_service_answers
from chaos.judge.base import limits_of, promises
from chaos.record.given import LimitGiven
from chaos.record.records import MOST
from chaos.results import past_limits, run_history
from chaos.results.past_limits import Basis
from chaos.run.watched import WatchedService

OPTION = "--ordeal-limits"
HISTORY = "history:"  # instead of a file, and behind it the percentile


def from_history(at: str, basis: Basis) -> tuple[LimitGiven, ...]:
    """The limits that the history of runs gives at that percentile, such as p99; a promise without one keeps what it is
    shipped with. Raises OrdealError where there is no history, or it gives none.
    """
    found = past_limits.limits_from(run_history.load(history_file()).runs, past_limits.percent_of(at), basis)
    if not found.limits:
        why = next(iter(found.left_out), "nothing that a limit bounds was measured")
        raise OrdealError(f"{OPTION} {HISTORY}{at}: the history gives no limit with {basis} ({why})")
    return tuple(LimitGiven(0.0, each.promise, each.argument, each.value) for each in found.limits)


def read(path: Path, watched: Sequence[WatchedService]) -> tuple[LimitGiven, ...]:
    """The limits of a file, as each recording begins with them. It is YAML: promises, by the names that results give
    them (`outage-at-most`), and Services that are `watched`, as the option names them; of each its limits.

    Raises OrdealError for a file that can't be read, or names something else.
    """
    try:
        with path.open("rb") as file:
            said = yaml_of(bounded(file, LIST))
    except OSError as error:
        raise OrdealError(f"{OPTION} {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise OrdealError(f"{OPTION} {path} can't be read: {error}") from error
    if not isinstance(said, dict) or not said:
        raise OrdealError(f"{OPTION} {path} gives no limits: write lines such as `outage-at-most: {{limit_s: 5}}`")
    load_all()
    return tuple(limit for name, given in said.items() for limit in _of(path, str(name), given, watched))


def _of(path: Path, name: str, given: Any, watched: Sequence[WatchedService]) -> Iterator[LimitGiven]:
    """Those of one promise, or of one Service."""
    of, promise = name, name.replace("-", "_")
    known = {each: limits for each in promises() if (limits := limits_of(each))}
    if "/" in name:
        if name not in map(str, watched):
            there = ", ".join(map(str, watched)) or "none"
            raise OrdealError(f"{OPTION} {path}: no Service {name} is watched; watched are: {there}")
        promise = watched_service_answers.__name__
    elif promise in known:
        of = promise
    else:
        there = ", ".join(each.replace("_", "-") for each in known)
        raise OrdealError(f"{OPTION} {path}: there is no promise {name} that has a limit; there are: {there}")
    if not isinstance(given, Mapping) or not given or not given.keys() <= known[promise].keys():
        raise OrdealError(f"{OPTION} {path}: {name} takes a mapping of {' and '.join(known[promise])} to a number")
    for argument, value in given.items():
        yield LimitGiven(0.0, of, argument, _number(path, f"{name}: {argument}", value, known[promise][argument]))


def _number(path: Path, where: str, value: object, kind: type) -> float | int:
    try:
        number: float | int = msgspec.convert(value, kind)
    except msgspec.ValidationError:
        number = -1
    if not 0 <= number <= MOST:
        raise OrdealError(f"{OPTION} {path}: {where} is {value!r}; it has to be {_KINDS[kind]}, at least 0")
    return number


_KINDS = {int: "a whole number", float: "a number"}
