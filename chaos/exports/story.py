"""A replay as a story in Unix time: its phases, its harm and what was found. What a trace of it is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import BinaryIO

from chaos.basics.untrusted import lines
from chaos.errors import OrdealError
from chaos.judge.base import Figure
from chaos.record.lines import Reader
from chaos.record.records import GONE, FaultStep, HarmLook, Phase
from chaos.record.registry import Record
from chaos.results.saved import SavedFinding, SavedOutcome, SavedRun

PARTS = 1_000  # of one replay; each has so many moments at the most, too
FIGURES = 1_000  # of one finding: some have one for each node
# Where the kind of a record stands in its line, and the kinds that tell the story: there are thousands of others.
_HEAD_BYTES = 160
_TOLD = tuple(f'"kind":"{kind.kind}"'.encode() for kind in (Phase, FaultStep, HarmLook))
_ENDS = {"undone": "", "not-undone": "it could not be undone"}
_FAILS = {"not-landed": "it did not land", **_ENDS}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened `at` a Unix time in seconds, and what is known about it."""

    at: float
    name: str
    about: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Episode:
    """Something that lasted, in Unix time in seconds; `problem` says what was wrong with it, where something was."""

    name: str
    start: float
    end: float
    about: Mapping[str, Figure]
    moments: tuple[Moment, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """A replay as a whole, and its parts in the order in which they began; `left_out` is how many are not told."""

    whole: Episode
    parts: tuple[Episode, ...]
    left_out: int = 0


def story_of(run: SavedRun, outcome: SavedOutcome) -> Story:
    """The story of a replay that has ended, from its results and its histories.

    Times are those of the histories: the Unix time at which each began, and what the monotonic clock showed from there.
    Raises OrdealError where a history can't be read.
    """
    parts: list[Episode] = []
    for path in outcome.histories:
        parts += _parts(run, path)
    parts.sort(key=lambda part: part.start)
    began = datetime.fromisoformat(outcome.started).timestamp()
    start = min([began, *(part.start for part in parts)])
    end = max([began + outcome.duration_s, *(part.end for part in parts)])
    moments = tuple(_finding(each, end) for each in outcome.findings)
    whole = Episode(
        f"replay {outcome.id}",
        start,
        end,
        {
            "ordeal.run.id": run.id,
            "ordeal.incident": outcome.id,
            "ordeal.replay": outcome.replay,
            "ordeal.variant": "control" if outcome.control else "hardened",
            "ordeal.control": outcome.control,
            "ordeal.cluster.kind": outcome.cluster,
            "ordeal.kubernetes.version": outcome.kubernetes,
            "ordeal.profile": outcome.profile,
            "ordeal.verdict": outcome.verdict,
            "ordeal.why": outcome.why,
            "test.suite.name": "kube-ordeal",
            "test.case.name": outcome.test,
            "test.case.result.status": "pass" if outcome.passed else "fail",
        },
        moments[:PARTS],
        "" if outcome.passed else f"{outcome.verdict}: {outcome.why}",
    )
    return Story(whole, tuple(parts[:PARTS]), max(0, len(parts) - PARTS))


def _finding(of: SavedFinding, at: float) -> Moment:
    about = {"ordeal.invariant": of.invariant, "ordeal.verdict": of.verdict, "ordeal.sentence": of.sentence}
    if of.reason:
        about["ordeal.reason"] = of.reason
    told = {f"ordeal.figure.{name}": value for name, value in islice(of.figures.items(), FIGURES)}
    left_out = {"ordeal.figures_left_out": len(of.figures) - FIGURES} if len(of.figures) > FIGURES else {}
    return Moment(at, "finding", {**about, **left_out, **told})


def _parts(run: SavedRun, path: str) -> list[Episode]:
    try:
        with run.file(path) as file:
            began, records, until_s = _read(file)
    except (ValueError, RecursionError, OSError) as error:
        raise OrdealError(f"{path} is no history that can be told ({error})") from error
    phases = [each for each in records if isinstance(each, Phase)]
    ends = [*(phase.at for phase in phases[1:]), until_s]
    told = [
        Episode(phase.name, began + phase.at, began + max(end, phase.at), _detail(phase.detail))
        for phase, end in zip(phases, ends, strict=False)
    ]
    steps = [each for each in records if isinstance(each, FaultStep | HarmLook)]
    return [*told, *(_in_unix_time(each, began) for each in _harm(steps, until_s))]


def _read(file: BinaryIO) -> tuple[float, list[Record], float]:
    """The Unix time at which it began, what of it tells the story, and how many seconds it lasted."""
    read, records, last = Reader(), list[Record](), b""
    for line in lines(file):
        if not line.endswith(b"\n"):
            break  # a run that was killed
        last, head = line, line[:_HEAD_BYTES]
        if any(kind in head for kind in _TOLD):
            records.append(read.record(line))
    until_s = read.record(last).at if last else 0.0
    return read.began_wall or 0.0, records, until_s


def _harm(steps: Sequence[FaultStep | HarmLook], until_s: float) -> list[Episode]:
    """Each harm from its plan until it was taken back, in seconds since the history began.

    Of two of one kind the last one is taken back first: one is done inside the other.
    """
    told: list[Episode] = []
    going_on: dict[str, list[Episode]] = {}
    for step in steps:
        of = going_on.setdefault(step.fault, [])
        if isinstance(step, FaultStep) and step.step == "planned":
            of.append(Episode(f"harm {step.fault}", step.at, until_s, {"ordeal.fault": step.fault}))
        if not of or (isinstance(step, HarmLook) and step.seen != GONE):
            continue
        what, detail = (step.step, step.detail) if isinstance(step, FaultStep) else ("gone", step.why)
        moments = (*of[-1].moments[: PARTS - 1], Moment(step.at, what, _detail(detail)))
        of[-1] = replace(of[-1], moments=moments, problem=of[-1].problem or _FAILS.get(what, ""))
        if what in _ENDS:
            told.append(replace(of.pop(), end=step.at))
    return [*told, *(each for left in going_on.values() for each in left)]


def _in_unix_time(part: Episode, began: float) -> Episode:
    moments = tuple(replace(each, at=began + each.at) for each in part.moments)
    return replace(part, start=began + part.start, end=began + max(part.end, part.start), moments=moments)


def _detail(said: str) -> Mapping[str, Figure]:
    return {"ordeal.detail": said} if said else {}
