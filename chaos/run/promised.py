"""What a replay promises: declared at its mark, and compared with what its suite passes and with what a bundle claims.

A suite that judges by something else than it declares is refused when it is run (`Lab.expect`), and so is a bundle's
finding (`chaos.report.verify`): nobody can leave a promise out, or relax one, and call the rest verified.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from chaos.clusters.base import KIND, SIMULATED
from chaos.clusters.shape import Timers
from chaos.errors import OrdealError
from chaos.judge.availability import watched_in, watched_service_answers
from chaos.judge.base import Invariant, Recipe, Verdict, as_json, judge, made_again, made_by
from chaos.judge.conformance import AFTER, BEFORE, DURING, conforms_during, still_conforms
from chaos.judge.serving import serves_before_harm
from chaos.record.given import SetAside
from chaos.record.history import History
from chaos.record.records import FaultStep, NodeChange, Phase, PodChange, SpecRun
from chaos.run.profile import Profile

REPLAY = "replay"  # the name of a Phase with which each recording begins: it says of which replay it is


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a replay's promises may depend on: its control (None when hardened), its kind of cluster, its profile."""

    control: str | None
    cluster: str
    profile: Profile

    @property
    def timers(self) -> Timers:
        """The profile's timers for this kind of cluster; an existing cluster has the shipped defaults until told."""
        if self.cluster == SIMULATED:
            return self.profile.simulated_timers
        return self.profile.kind_timers if self.cluster == KIND else Timers()


@dataclass(frozen=True, slots=True)
class Seen:
    """An argument that only a recording knows. `what` it is; `fits`: whether a value is what the recording has; `read`
    it of one, where that can be done. It may raise LookupError, ValueError or StopIteration.
    """

    what: str
    fits: Callable[[History, object], bool]
    read: Callable[[History], object] | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise with its arguments, of which some may be `Seen`, also in lists and mappings.

    `where`: whether it is made at all, asked of the recording.
    """

    name: str
    arguments: Mapping[str, object]
    where: Callable[[History], bool]

    def fits(self, recipe: Recipe, history: History) -> bool:
        """Whether that is how it was made, for this recording."""
        return recipe.promise == self.name and _fits(self.arguments, dict(recipe.arguments), history)

    def made(self, history: History) -> Invariant | None:
        """It, for this recording; None where it is not made of it, or an argument can't be read of it."""
        try:
            arguments = {name: _read(value, history) for name, value in self.arguments.items()}
            return made_again(Recipe(self.name, arguments)) if self.where(history) else None
        except (LookupError, ValueError, StopIteration, OrdealError):
            return None

    @property
    def invariant(self) -> str:
        """The name of the invariant that it makes, which is the same for every recording."""
        return made_by(self.name)(**_placed(self.arguments)).name

    def __str__(self) -> str:
        return _call(self.name, self.arguments)


@dataclass(frozen=True, slots=True)
class Judged:
    """One recording: all that it is judged by, and the kinds of the faults that landed in it."""

    by: tuple[Promise, ...]
    harm: frozenset[str] = frozenset()


Promises = Callable[[Conditions], Sequence[Judged]]  # what a mark declares: a Judged for each recording


def says(
    make: Callable[..., Invariant], *args: object, where: Callable[[History], bool] = lambda _: True, **kwargs: object
) -> Promise:
    """Declare a promise as it is made: `says(outage_at_most, 2.0, target="web")`. Raises TypeError for a wrong call."""
    bound = signature(make).bind(*args, **kwargs)
    return Promise(make.__name__, {name: _declared(value) for name, value in bound.arguments.items()}, where)


def judged(*by: Promise, harm: Sequence[type] = ()) -> tuple[Judged, ...]:
    """Declare one recording, by the promises and the faults' classes. Of several: `(*judged(...), *judged(...))`."""
    kinds: list[str] = [each.kind for each in harm]  # type: ignore[attr-defined]
    return (Judged(by, frozenset(kinds)),)


def exactly(what: str, read: Callable[[History], object]) -> Seen:
    """What is read of the recording, and nothing else. `read` may raise LookupError, ValueError or StopIteration."""

    def fits(history: History, value: object) -> bool:
        try:
            return bool(value == as_json(read(history)))
        except (LookupError, ValueError, StopIteration):  # a recording in which it is not to be found
            return False

    return Seen(what, fits, read)


def all_of(what: str, read: Callable[[History], Sequence[str]]) -> Seen:
    """All of the names that are read of the recording, in any order, each once."""
    return Seen(what, lambda history, value: isinstance(value, list) and _sorted(value) == sorted(read(history)), read)


def node_of(workload: str) -> Seen:
    """The node that a workload was put on."""

    def nodes(history: History) -> list[str]:
        return [p.node for p in history.of(PodChange) if p.workload == workload and p.node]

    def the_only(history: History) -> str:
        (node,) = set(nodes(history))
        return node

    return Seen(f"the node of {workload}", lambda history, value: value in nodes(history), the_only)


def nodes_of(history: History) -> list[str]:
    """The nodes that there were before any harm and were not set aside, in the order of their names."""
    return sorted(each.name for each in _nodes(history))


def workers_of(history: History) -> list[str]:
    """Those of them that are no control plane."""
    return sorted(each.name for each in _nodes(history) if not each.control_plane)


NODES = all_of("every node", nodes_of)
WORKERS = all_of("every worker", workers_of)


def specs_of(when: str) -> Seen:
    """The specs that were run then: "before" or "after" the harm."""
    return all_of(f"every spec that was run {when}", lambda history: _specs(history, when))


def beginning(incident: str, replay: str, *, control: str, cluster: str, profile: str) -> Phase:
    """With which a recording begins, so that it can't be taken for that of another replay, or of its control."""
    variant = f"control {control}" if control else "hardened"
    return Phase(0.0, REPLAY, f"{incident}{f' ({replay})' if replay else ''}, {variant}, on {cluster}, {profile}")


class Register:
    """Takes the findings of a replay one after the other: what is not declared is told at once, what lacks at the end.

    Hardened, upstream's specs may have been run around it: they are judged whenever they are in a recording. So is each
    Service of the user's own that was watched. A cluster that does not serve before any harm is judged by that alone.
    """

    def __init__(self, declared: Sequence[Judged], *, hardened: bool) -> None:
        self._left, self._hardened, self._untold = list(declared), hardened, False
        self._recordings: dict[str, _Recording] = {}

    def take(self, path: str, history: History, recipe: Recipe | None) -> str:
        """A finding, by the recording that was judged. Why it may not be; empty where it is declared."""
        if recipe is None:
            return "what was made by no promise can't be declared, nor judged again"
        if recipe.promise == serves_before_harm.__name__ and not _serves(recipe, history):
            self._untold = True
            return ""
        recording = self._recordings.setdefault(path, _recording(history))
        if recording.judged is None:
            self._choose(recording, history, recipe)
        for promise in recording.left:
            if promise.fits(recipe, history):
                recording.left.remove(promise)
                recording.done.add(promise.name)
                return ""
        if self._hardened and recipe.promise not in recording.done and _around(recipe, history):
            recording.done.add(recipe.promise)
            return ""
        for service in recording.watched:
            if says(watched_service_answers, service).fits(recipe, history):
                recording.watched.remove(service)
                return ""
        return self._why_not(recording, recipe)

    def unjudged(self, history: History) -> Iterator[Invariant]:
        """By what a recording that ended early would have been judged. Nothing, where that is not certain: several that
        are declared have the harm that landed in it, and perhaps more.
        """
        landed = _landed(history)
        fit = [each for each in self._left if landed <= each.harm]
        for promise in fit[0].by if len(fit) == 1 else ():
            if (made := promise.made(history)) is not None:
                yield made

    def lacking(self) -> Iterator[str]:
        """What is declared, and was not taken. Of a story that was not told nothing lacks."""
        if self._untold:
            return
        for path, recording in self._recordings.items():
            yield from (f"{promise} is declared, and {path} was not judged by it" for promise in recording.left)
            yield from (
                f"specs were run {when} the harm, and {path} was not judged by {name}"
                for when, name in _AROUND.items()
                if when in recording.rounds and name not in recording.done
            )
            yield from (f"{each} was watched, and {path} was not judged by it" for each in recording.watched)
        for judged_by in self._left:
            names = ", ".join(str(promise) for promise in judged_by.by)
            yield f"no recording with {_harm(judged_by.harm)} was judged, and declared is one that is judged by {names}"

    def _choose(self, recording: "_Recording", history: History, recipe: Recipe) -> None:
        """Which of the declared recordings it is: one with its harm, and a promise like this one."""
        for each in self._left:
            by = [promise for promise in each.by if promise.where(history)]
            if each.harm == recording.harm and any(promise.fits(recipe, history) for promise in by):
                self._left.remove(each)
                recording.judged, recording.left = each, by
                return

    def _why_not(self, recording: "_Recording", recipe: Recipe) -> str:
        made = _call(recipe.promise, recipe.arguments)
        open_ = [each for each in self._left if each.harm == recording.harm]
        if recording.judged is None and not open_:
            declared = " or ".join(_harm(each.harm) for each in self._left) or "no further one"
            return f"{made} judges a recording with {_harm(recording.harm)}, and declared is {declared}"
        known = [*recording.left, *(promise for each in open_ if recording.judged is None for promise in each.by)]
        like = [str(promise) for promise in known if promise.name == recipe.promise]
        if like:
            return f"{made} is not what is declared: {' or '.join(like)}"
        more = "more often than it is declared" if recipe.promise in recording.done else "and is not declared"
        return f"{made} was judged {more}"


@dataclass(slots=True)
class _Recording:
    harm: frozenset[str]
    rounds: frozenset[str]
    watched: list[str]
    judged: Judged | None = None
    left: list[Promise] = field(default_factory=list)
    done: set[str] = field(default_factory=set)


def _recording(history: History) -> _Recording:
    return _Recording(_landed(history), _rounds(history), list(watched_in(history)))


_AROUND = {AFTER: still_conforms.__name__, DURING: conforms_during.__name__}


def _around(recipe: Recipe, history: History) -> bool:
    """Whether that is how specs around a replay are judged."""
    after = says(still_conforms, specs_of(AFTER), before=BEFORE in _rounds(history))
    tried = set(_specs(history, DURING))
    checks = Seen("every check", lambda _, value: isinstance(value, list) and tried <= set(map(str, value)))
    during = (says(conforms_during, checks, fault=kind) for kind in _landed(history))
    return after.fits(recipe, history) or any(each.fits(recipe, history) for each in during)


def _serves(recipe: Recipe, history: History) -> bool:
    """Whether it is not shown that a cluster did not serve before any harm: only that ends a story before it begins."""
    return bool(_landed(history)) or judge(made_again(recipe), history).verdict is Verdict.HELD


def _landed(history: History) -> frozenset[str]:
    return frozenset(step.fault for step in history.of(FaultStep) if step.step == "landed")


def _rounds(history: History) -> frozenset[str]:
    return frozenset(run.round for run in history.of(SpecRun))


def _specs(history: History, when: str) -> list[str]:
    return list(dict.fromkeys(run.spec for run in history.of(SpecRun) if run.round == when))


def _nodes(history: History) -> list[NodeChange]:
    harmed = min((step.at for step in history.of(FaultStep)), default=float("inf"))
    aside = {each.node for each in history.of(SetAside)}
    listed = (n for n in history.of(NodeChange) if n.change == "listed" and n.at < harmed and n.name not in aside)
    return list({n.name: n for n in listed}.values())


def _sorted(values: list[object]) -> list[str]:
    return sorted(str(value) for value in values)


def _declared(value: object) -> object:
    """As JSON has it, but for what only a recording knows."""
    if isinstance(value, Seen):
        return value
    if isinstance(value, Mapping):
        return {str(key): _declared(each) for key, each in value.items()}
    return [_declared(each) for each in value] if isinstance(value, list | tuple) else as_json(value)


def _fits(declared: object, claimed: object, history: History) -> bool:
    if isinstance(declared, Seen):
        return declared.fits(history, claimed)
    if isinstance(declared, dict) and isinstance(claimed, dict):
        return declared.keys() == claimed.keys() and all(_fits(declared[k], claimed[k], history) for k in declared)
    if isinstance(declared, list) and isinstance(claimed, list):
        return len(declared) == len(claimed) and all(map(_fits, declared, claimed, [history] * len(declared)))
    return declared == claimed and isinstance(declared, bool) == isinstance(claimed, bool)


def _read(declared: object, history: History) -> object:
    if isinstance(declared, Seen):
        if declared.read is None:
            raise LookupError(declared.what)
        return as_json(declared.read(history))
    if isinstance(declared, dict):
        return {key: _read(each, history) for key, each in declared.items()}
    return [_read(each, history) for each in declared] if isinstance(declared, list) else declared


def _placed(declared: Any) -> Any:
    """With a text in the place of what only a recording knows."""
    if isinstance(declared, Seen):
        return declared.what
    if isinstance(declared, Mapping):
        return {key: _placed(each) for key, each in declared.items()}
    return [_placed(each) for each in declared] if isinstance(declared, list) else declared


def _call(name: str, arguments: Mapping[str, object]) -> str:
    return f"{name}({', '.join(f'{key}={_said(value)}' for key, value in arguments.items())})"


def _said(value: object) -> str:
    """An argument as a sentence has it: one that only a recording knows in angle brackets."""
    if isinstance(value, Seen):
        return f"<{value.what}>"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_said(each)}" for key, each in value.items()) + "}"
    return f"[{', '.join(map(_said, value))}]" if isinstance(value, list | tuple) else json.dumps(value)


def _harm(kinds: frozenset[str]) -> str:
    return f"the harm {' and '.join(sorted(kinds))}" if kinds else "no harm"
