"""What a run answers: is it safe? Only where every promise held, and a control has shown that each check can fail."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chaos.report.saved import SavedOutcome, SavedRun


class Safe(StrEnum):
    """The three answers. Unknown is not safe."""

    YES = "safe"
    NO = "not safe"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer, the sentence that says it, what broke, and what nobody can say."""

    safe: Safe
    sentence: str
    broken: tuple[str, ...]
    doubts: tuple[str, ...]


def answer(run: SavedRun, unreadable: Sequence[str] = ()) -> Answer:
    """`unreadable` are sentences about histories and evidence that the results name and that can't be read any more."""
    hardened = [o for o in run.outcomes if not o.control]
    incidents = list(dict.fromkeys(o.id for o in hardened))
    broken = tuple(_broken(run, o) for o in hardened if o.verdict == "violated")
    doubts = (*_doubts(run, hardened), *unreadable)
    if broken:
        which = list(dict.fromkeys(o.id for o in hardened if o.verdict == "violated"))
        sentence = f"{len(which)} of {_count(len(incidents), 'incident')} broke: {', '.join(which)}"
        return Answer(Safe.NO, sentence, broken, doubts)
    if doubts:
        return Answer(
            Safe.UNKNOWN, "Nobody can say that this is safe. Nothing broke, but not everything is known", (), doubts
        )
    controls = sum(1 for o in run.outcomes if o.control)
    sentence = (
        f"Every promise of {_count(len(incidents), 'incident')} held, "
        f"and {_count(controls, 'control')} proved that the checks can fail"
    )
    return Answer(Safe.YES, sentence, (), ())


def title(o: SavedOutcome) -> str:
    """A replay in a few words."""
    variant = f"control {o.control}" if o.control else "hardened"
    return f"{o.id}{f' ({o.replay})' if o.replay else ''}, {variant}, on {o.cluster}"


def _broken(run: SavedRun, o: SavedOutcome) -> str:
    names = [f.invariant for f in o.findings if f.verdict == "violated"]
    proofs = [c.id for c in run.incident(o.id).controls if c.breaks in names and _passed(run, o.id, c.id)]
    proven = f" That the check can fail is proven by the control {', '.join(proofs)}." if proofs else ""
    return f"{title(o)}: {o.why.rstrip('.')}.{proven}"


def _doubts(run: SavedRun, hardened: Sequence[SavedOutcome]) -> list[str]:
    doubts = [] if run.ended else ["The run has not ended: it was killed, or still goes on."]
    if not hardened:
        doubts.append("No incident was replayed.")
    doubts += [f"{title(o)}: {o.why}" for o in hardened if o.verdict == "unknown"]
    for o in run.outcomes:
        if o.control and not o.passed:
            doubts.append(f"{title(o)}: the check is not proven: {o.why}")
    proven = {o.id for o in run.outcomes if o.control and o.passed}
    tried = {o.id for o in run.outcomes if o.control}
    unproven = [i for i in dict.fromkeys(o.id for o in hardened) if i not in proven | tried]
    if unproven:
        doubts.append(f"No control was run, so nothing proves that the checks can fail: {', '.join(unproven)}.")
    return doubts


def _passed(run: SavedRun, incident: str, control: str) -> bool:
    return any(o.id == incident and o.control == control and o.passed for o in run.outcomes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
