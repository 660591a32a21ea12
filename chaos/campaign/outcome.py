"""What came of one edit: whether it did harm, which promise named that, whether it mended itself, or was refused."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise

import msgspec

from chaos.campaign.edits import Edit
from chaos.campaign.ground import EditGround
from chaos.campaign.world import KEPT, World, differences, state
from chaos.judge.base import Finding, Verdict


class Came(StrEnum):
    """What came of an edit."""

    NOTHING = "no harm"
    HARM = "harm"
    MENDED = "harm, mended itself"
    REFUSED = "refused"
    NO_FIELD = "no such field"
    UNKNOWN = "unknown"


class Result(msgspec.Struct, frozen=True):
    """Of one edit. `differs`: how it differed from its twin, before it was touched, at the end, or in between.

    `named`: each promise that was violated, with its sentence. `said`: why it was refused or is unknown; `unknown`: the
    promises that could say nothing.
    """

    kind: str
    field: str
    way: str
    came: Came
    differs: tuple[str, ...] = ()
    named: tuple[tuple[str, str], ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()
    said: str = ""

    @property
    def harmed(self) -> bool:
        """Whether it did harm."""
        return self.came in {Came.HARM, Came.MENDED}

    @property
    def false_alarm(self) -> bool:
        """Whether a promise was violated and no harm was done."""
        return self.came is Came.NOTHING and bool(self.named)


def result(edit: Edit, came: Came, **more: object) -> Result:
    """The result of an edit, with whatever else is known."""
    told = {"kind": edit.field.kind, "field": edit.field.name, "way": edit.way, "came": came, **more}
    return msgspec.convert(told, Result)


def named(findings: Iterable[Finding], verdict: Verdict = Verdict.VIOLATED) -> tuple[tuple[str, str], ...]:
    """The promises of that verdict, with their sentences."""
    return tuple((each.invariant, each.sentence) for each in findings if each.verdict is verdict)


def compared(
    ground: EditGround, twin: EditGround, before: World, still: Sequence[World], last: World
) -> tuple[Came, tuple[str, ...]]:
    """What came of it, and how it differed from its twin.

    `still`: the looks since the edit, before anybody touched the workloads; `last`: the very last look.
    """
    if not still:  # nobody saw what it was before the touch
        return Came.UNKNOWN, ()
    looks = [_differ(ground, twin, before, world) for world in still]
    flapped = [said for one, other in pairwise(looks) for said in one if _what(said) in {*map(_what, other)}]
    settled, ended = looks[-1], _differ(ground, twin, before, last)
    parts = {"before the touch": settled, "at the end": ended}
    told = [f"{when}, {each}" for when, differs in parts.items() for each in differs]
    stays = [each for each in (*settled, *ended) if not each.startswith(KEPT)]
    if stays:
        return Came.HARM, tuple(told)
    passed = [f"for a time, {each}" for each in dict.fromkeys(flapped) if each not in settled]
    if told or passed:
        return Came.MENDED, (*passed, *told)
    return Came.NOTHING, ()


def _differ(ground: EditGround, twin: EditGround, before: World, world: World) -> tuple[str, ...]:
    mine, others = state(world, ground, before), state(world, twin, before)
    return differences(mine, others)


def _what(difference: str) -> str:
    return difference.partition(":")[0]


def counts(results: Sequence[Result]) -> Mapping[str, int]:
    """The figures that the campaign is for."""
    harmed = [each for each in results if each.harmed]
    harmless = [each for each in results if each.came is Came.NOTHING]
    return {
        "edits": len(results),
        "harmed": len(harmed),
        "named": sum(bool(each.named) for each in harmed),
        "mended": sum(each.came is Came.MENDED for each in harmed),
        "harmless": len(harmless),
        "false alarms": sum(each.false_alarm for each in results),
        "refused": sum(each.came is Came.REFUSED for each in results),
        "no such field": sum(each.came is Came.NO_FIELD for each in results),
        "unknown": sum(each.came is Came.UNKNOWN for each in results),
    }
