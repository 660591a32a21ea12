"""What an invariant is: a pure function from a history to a finding."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import wraps
from inspect import signature
from math import isfinite
from pathlib import Path
from typing import ParamSpec, get_type_hints

import msgspec

from chaos.basics.scrub import scrub
from chaos.errors import OrdealError
from chaos.judge.lasting import lapses
from chaos.record.doubts import ClockJump
from chaos.record.given import LimitGiven
from chaos.record.history import History, UnreadError
from chaos.record.registry import Record

Figure = float | int | str
PROOF_LIMIT = 20
SERVICE = "service"  # the argument of a promise about a Service that is watched: limits may be given for that one
CRASHED = "crashed"
OWN, SHIPPED = "own", "shipped"  # how the figures begin that say whose limit it was
P = ParamSpec("P")


class Verdict(StrEnum):
    """The three answers. Unknown is no kind of held: it fails the run."""

    HELD = "held"
    VIOLATED = "violated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an invariant's function returns.

    `reason` is a short code for *how* it was violated (such as "taint-eviction"), so that a control can ask for
    the expected one; `figures` are measured numbers whose names say the unit; `proof` the records that show it.
    """

    verdict: Verdict
    sentence: str
    reason: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    proof: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an invariant was made, as JSON can hold it, so that its history can be judged again later, by anybody.

    `promise` is the name of the function that made it, `arguments` are what it was called with.
    """

    promise: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OwnLimit:
    """A limit of the user's own: the argument of a promise, what it is instead, and as what it is shipped."""

    argument: str
    own: float
    shipped: float

    def __str__(self) -> str:
        return f"{self.argument} {self.own:g}, shipped: {self.shipped:g}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A judgement with the name of the invariant that gave it, and how that was made where a promise made it."""

    invariant: str
    verdict: Verdict
    sentence: str
    reason: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    proof: tuple[Record, ...] = ()
    recipe: Recipe | None = None
    history: Path | None = None  # the file that holds what was judged


@dataclass(frozen=True, slots=True)
class Invariant:
    """A named promise and the pure function that judges it."""

    name: str
    judge: Callable[[History], Judgement]
    recipe: Recipe | None = None


_PROMISES: dict[str, Callable[..., Invariant]] = {}
_FOR_GOOD: set[str] = set()
_BOUNDS: dict[str, Mapping[str, str]] = {}


def promise(make: Callable[P, Invariant]) -> Callable[P, Invariant]:
    """Mark a function that makes an invariant: what it makes knows its recipe, and `made_again` finds it by name."""
    name = make.__name__
    if name in _PROMISES:
        raise ValueError(f"two promises are called {name!r}")
    _PROMISES[name] = make

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Invariant:
        bound = signature(make).bind(*args, **kwargs)
        given = {name: as_json(value) for name, value in bound.arguments.items()}
        return replace(make(*args, **kwargs), recipe=Recipe(name, given))

    return made


def for_good(make: Callable[P, Invariant]) -> Callable[P, Invariant]:
    """Mark a promise that stays broken whatever comes after: it may be judged of a recording that ended too early."""
    _FOR_GOOD.add(make.__name__)
    return make


def bounds(**figures: str) -> Callable[[Callable[P, Invariant]], Callable[P, Invariant]]:
    """Mark a promise with the figure that each of its limits bounds: by the limit's argument the figure's name, without
    the node or subject that may follow it. A limit may then be taken from figures that were measured before.
    """

    def mark(make: Callable[P, Invariant]) -> Callable[P, Invariant]:
        _BOUNDS[make.__name__] = figures
        return make

    return mark


def bounded_figures(name: str) -> Mapping[str, str]:
    """By each limit of a promise the figure that it bounds; none where it has no limit, or nothing measures it."""
    return _BOUNDS.get(name, {})


def stays_broken(invariant: Invariant) -> bool:
    """Whether its promise is marked so."""
    return invariant.recipe is not None and invariant.recipe.promise in _FOR_GOOD


def as_json(value: object) -> object:
    """An argument as a recipe has it. JSON has no infinity: a window without an end has it as a text, which
    `made_again` reads as a number.
    """
    return _finite(msgspec.to_builtins(value))


def _finite(value: object) -> object:
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def promises() -> tuple[str, ...]:
    """The names of all promises of the modules that are loaded."""
    return tuple(sorted(_PROMISES))


def made_by(name: str) -> Callable[..., Invariant]:
    """The function that makes a promise: its signature is the recipe's arguments. Raises KeyError."""
    return _PROMISES[name]


def made_again(recipe: Recipe) -> Invariant:
    """The invariant of a recipe. Raises OrdealError where this version knows no such promise, or not so called."""
    make = _PROMISES.get(recipe.promise)
    if make is None:
        raise OrdealError(f"this version knows no promise {recipe.promise!r}; judge with the version that made it")
    hints = get_type_hints(make)
    try:
        arguments = {
            name: msgspec.convert(value, hints[name], strict=False) for name, value in recipe.arguments.items()
        }
        signature(make).bind(**arguments)
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise OrdealError(f"the arguments of {recipe.promise} do not fit this version: {error!r}") from error
    return replace(make(**arguments), recipe=recipe)


def limits_of(name: str) -> Mapping[str, type]:
    """The arguments of a promise that are limits: more of it allows more. None for a promise that has none."""
    hints = get_type_hints(_PROMISES[name])
    return {
        argument: hints[argument]
        for argument in signature(_PROMISES[name]).parameters
        if argument.startswith("limit_") or argument.endswith("within_s")
    }


def own_limits(recipe: Recipe | None, history: History) -> tuple[OwnLimit, ...]:
    """The limits of the user's own by which a promise is judged in this history, as the recording itself says."""
    if recipe is None:
        return ()
    given = history.of(LimitGiven)
    own = {each.argument: each.value for each in given if each.of == recipe.promise}
    own |= {each.argument: each.value for each in given if each.of == recipe.arguments.get(SERVICE)}
    parameters = signature(_PROMISES[recipe.promise]).parameters if own else {}
    shipped = {name: recipe.arguments.get(name, parameters[name].default) for name in own}
    return tuple(OwnLimit(name, value, float(str(shipped[name]))) for name, value in own.items())


def held(sentence: str, **figures: Figure) -> Judgement:
    """The history shows that the promise was kept."""
    return Judgement(Verdict.HELD, sentence, figures=figures)


def violated(sentence: str, proof: Sequence[Record] = (), *, reason: str, **figures: Figure) -> Judgement:
    """The history shows that the promise was broken; `proof` is cut to its first records."""
    return Judgement(Verdict.VIOLATED, sentence, reason, figures, tuple(proof[:PROOF_LIMIT]))


def unknown(sentence: str, proof: Sequence[Record] = ()) -> Judgement:
    """The history does not show enough to say."""
    return Judgement(Verdict.UNKNOWN, sentence, "not-enough-seen", proof=tuple(proof[:PROOF_LIMIT]))


def judge(invariant: Invariant, history: History) -> Finding:
    """Judge a history. A judge that crashes has shown nothing: unknown, with what it raised.

    Harm that did not last tried nothing: what was not violated under it is unknown, with the moment. Under a clock that
    jumped everything is: nobody knows how long anything took. Where the history says a limit of the user's own, that
    one counts: the sentence and the figures say so. The recipe stays as shipped.
    """
    own: Sequence[OwnLimit] = ()
    try:
        own = own_limits(invariant.recipe, history)
        j = _as_timed(_as_harmed(_limited(invariant, own).judge(history), history), history)
    except UnreadError as error:
        j = unknown(str(error))
    except Exception as error:  # noqa: BLE001  (any crash of a checker must become a verdict, not an abort)
        crashed = scrub(f"the check itself crashed: {error!r}")
        return Finding(invariant.name, Verdict.UNKNOWN, crashed, CRASHED, recipe=invariant.recipe)
    said = scrub("; ".join([j.sentence, *(f"by a limit of its user's own: {each}" for each in own)]))
    settings = {f"{whose}_{each.argument}": value for each in own for whose, value in _by_whose(each)}
    figures = {**j.figures, **settings}
    return Finding(invariant.name, j.verdict, said, j.reason, figures, j.proof, invariant.recipe, history.path)


def _limited(invariant: Invariant, own: Sequence[OwnLimit]) -> Invariant:
    recipe = invariant.recipe
    if recipe is None or not own:
        return invariant
    return made_again(Recipe(recipe.promise, {**recipe.arguments, **{each.argument: each.own for each in own}}))


def _by_whose(limit: OwnLimit) -> tuple[tuple[str, float], ...]:
    return (OWN, limit.own), (SHIPPED, limit.shipped)


def _as_harmed(j: Judgement, history: History) -> Judgement:
    if j.verdict is Verdict.VIOLATED:
        return j
    return next((unknown(f"{sentence} (under it: {j.sentence})", looks) for sentence, looks in lapses(history)), j)


def _as_timed(j: Judgement, history: History) -> Judgement:
    jumps = history.of(ClockJump)
    if not jumps:
        return j
    first = jumps[0]
    said = f"the clock that gives records their times jumped by {first.by_s:+.1f} s, which was seen at {first.at:.1f} s"
    return unknown(f"{said} (by it: {j.verdict}: {j.sentence})", jumps)


def overall(findings: Sequence[Finding]) -> Verdict:
    """Violated if any is violated, else unknown if any is unknown or there are none, else held."""
    verdicts = {f.verdict for f in findings}
    if Verdict.VIOLATED in verdicts:
        return Verdict.VIOLATED
    if Verdict.UNKNOWN in verdicts or not verdicts:
        return Verdict.UNKNOWN
    return Verdict.HELD
