"""What a run answers: is it safe? Only where every promise held, and a control has shown that each check can fail."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from chaos.errors import OrdealError
from chaos.judge.catalogue import KnownBug
from chaos.judge.conformance import LOST, NO_IMAGE
from chaos.report.proven import in_run
from chaos.results.saved import LeftOut, SavedOutcome, SavedRun
from chaos.results.specs import BROKEN, SpecResult

NAMED_AT_MOST, FILES_AT_MOST = 3, 5


class Safe(StrEnum):
    """The three answers. Unknown is not safe."""

    YES = "safe"
    NO = "not safe"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer, the sentence that says it, what broke, and what nobody can say. Where replays were left out the
    sentence is about the others, and says so. `known`: the published bugs that were shown, each with what works around
    it: they are of this version, and known to be, which is something else than broken.
    """

    safe: Safe
    sentence: str
    broken: tuple[str, ...]
    doubts: tuple[str, ...]
    known: tuple[str, ...] = ()


def answer(run: SavedRun, unreadable: Sequence[str] = ()) -> Answer:
    """`unreadable` are sentences about histories and evidence that the results name and that can't be read any more."""
    said = replace(_answer(run, unreadable), known=tuple(_known(run)))
    return replace(said, sentence=_of_what_was_replayed(said.sentence, run)) if run.left_out else said


def _answer(run: SavedRun, unreadable: Sequence[str]) -> Answer:
    hardened = [o for o in run.outcomes if not o.control]
    incidents = list(dict.fromkeys(o.id for o in hardened))
    failed = _failed(run)
    fell = [o for o in run.outcomes if o.verdict == "violated" and (not o.control or _bug_of_another(run, o))]
    broken = (*(_broken(run, o) for o in fell), *failed)
    doubts = (*_doubts(run, hardened), *_first(unreadable))
    if broken:
        which = list(dict.fromkeys(o.id for o in fell))
        sentences = [f"{len(which)} of {_count(len(incidents), 'incident')} broke: {', '.join(which)}"] if which else []
        return Answer(Safe.NO, "; ".join([*sentences, *(each.rstrip(".") for each in failed)]), broken, doubts)
    if doubts:
        return Answer(Safe.UNKNOWN, _unknown(run), (), doubts)
    controls, found = sum(1 for o in run.outcomes if o.control and o.verdict == "violated"), in_run(run)
    sentence = (
        f"Every promise of {_count(len(incidents), 'incident')} held, and {_count(controls, 'control')} proved that "
        f"the checks can fail: {sum(each.is_seen for each in found)} of {_count(len(found), 'promise')} broke there"
    )
    return Answer(Safe.YES, sentence, (), ())


def headline(said: Answer, run: SavedRun) -> str:
    """The answer in a few words: safe is said of all that was collected, or with what it is said of."""
    return f"{said.safe}, of what was replayed" if run.left_out and said.safe is Safe.YES else str(said.safe)


def _of_what_was_replayed(sentence: str, run: SavedRun) -> str:
    """Left out is not held."""
    return f"Of what was replayed: {sentence[:1].lower()}{sentence[1:]}; {_count(len(run.left_out), 'test')} left out"


def left_out(run: SavedRun) -> tuple[str, ...]:
    """A sentence for each incident of which something was left out: how much, and why."""
    by_incident: dict[str, list[LeftOut]] = {}
    for each in run.left_out:
        by_incident.setdefault(each.id, []).append(each)
    replayed = {o.id for o in run.outcomes}

    def said(incident: str, those: Sequence[LeftOut]) -> str:
        what = f"{incident or 'what is no replay'}: {_count(len(those), 'test')}"
        whole = ", and so all of it" if incident and incident not in replayed else ""
        more = len({each.why for each in those}) > 1
        return f"{what}{whole} ({those[0].why}{', among other reasons' if more else ''})"

    return tuple(said(incident, those) for incident, those in by_incident.items())


def title(o: SavedOutcome) -> str:
    """A replay in a few words."""
    variant = f"control {o.control}" if o.control else "hardened"
    return f"{o.id}{f' ({o.replay})' if o.replay else ''}, {variant}, on {o.cluster}"


def _broken(run: SavedRun, o: SavedOutcome) -> str:
    names = [f.invariant for f in o.findings if f.verdict == "violated"]
    proofs = [c.id for c in run.incident(o.id).controls if c.breaks in names and _passed(run, o.id, c.id)]
    proven = f" That the check can fail is proven by the control {', '.join(proofs)}." if proofs else ""
    return f"{title(o)}: {o.why.rstrip('.')}.{proven}"


def bug(run: SavedRun, o: SavedOutcome) -> KnownBug | None:
    """The published bug that a replay is there for; None for hardened ones and all other controls."""
    there = (c.shipped for c in run.incident(o.id).controls if c.id == o.control)
    return next(there, None)


def _bug_of_another(run: SavedRun, o: SavedOutcome) -> bool:
    """Whether a version does what another one is known for: violated, where it is said to have no such bug."""
    known = bug(run, o)
    try:
        return known is not None and o.verdict == "violated" and not known.affects(o.kubernetes)
    except OrdealError:
        return False


def _known(run: SavedRun) -> Iterator[str]:
    for o in run.outcomes:
        known = bug(run, o)
        if known is not None and o.passed and o.verdict == "violated":
            held = any(h.id == o.id and not h.control and h.replay == o.replay and h.passed for h in run.outcomes)
            beside = " With the workaround it held." if held else ""
            yield f"{title(o)}: Kubernetes {o.kubernetes} as it is shipped: {o.why.rstrip('.')}.{beside}"


def _first(unreadable: Sequence[str]) -> list[str]:
    more = len(unreadable) - FILES_AT_MOST
    said = [f"{_count(more, 'further file')} can't be read, or were edited."] if more > 0 else []
    return [*unreadable[:FILES_AT_MOST], *said]


def _failed(run: SavedRun) -> list[str]:
    """Of conformance specs that were run for themselves; those around an incident are judged with it."""
    ran = run.own_specs
    failed = [s for s in ran if s.state in BROKEN]
    return [f"{len(failed)} of {_count(len(ran), 'conformance spec')} did not pass: {_some(failed)}."] if failed else []


def _unknown(run: SavedRun) -> str:
    ran = run.own_specs
    if not ran or run.outcomes:
        return "Nobody can say that this is safe. Nothing broke, but not everything is known"
    passed = f"{sum(s.passed for s in ran)} of {_count(len(ran), 'conformance spec')} passed"
    return f"{passed}. No incident was replayed, so nobody can say that this is safe"


def _some(specs: Sequence[SpecResult]) -> str:
    more = len(specs) - NAMED_AT_MOST
    return "; ".join([*(s.spec for s in specs[:NAMED_AT_MOST]), *([f"and {more} more"] if more > 0 else [])])


def _doubts(run: SavedRun, hardened: Sequence[SavedOutcome]) -> list[str]:
    doubts = [] if run.ended else ["The run has not ended: it was killed, or still goes on."]
    if not hardened:
        doubts.append("No incident was replayed.")
    doubts += [f"{title(o)}: {o.why}" for o in hardened if o.verdict == "unknown"]
    for o in run.outcomes:
        if o.control and not o.passed and not _bug_of_another(run, o):
            doubts.append(f"{title(o)}: the check is not proven: {o.why}")
    untold = [s for s in run.own_specs if s.state in {NO_IMAGE, LOST}]
    if untold:
        doubts.append(f"{_count(len(untold), 'conformance spec')} not tried, or without a result: {_some(untold)}.")
    proven = {o.id for o in run.outcomes if o.control and o.passed and o.verdict == "violated"}
    tried = {o.id for o in run.outcomes if o.control and not o.passed}
    unproven = [i for i in dict.fromkeys(o.id for o in hardened) if i not in proven | tried]
    if unproven:
        doubts.append(f"No control was violated, so nothing proves that the checks can fail: {', '.join(unproven)}.")
    return doubts


def _passed(run: SavedRun, incident: str, control: str) -> bool:
    return any(o.id == incident and o.control == control and o.passed for o in run.outcomes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
