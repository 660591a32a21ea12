"""What an invariant is: a pure function from a history to a finding."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from chaos.history import History, Record

Figure = float | int | str
PROOF_LIMIT = 20


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
class Finding:
    """A judgement with the name of the invariant that gave it."""

    invariant: str
    verdict: Verdict
    sentence: str
    reason: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    proof: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Invariant:
    """A named promise and the pure function that judges it."""

    name: str
    judge: Callable[[History], Judgement]


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
    """Judge a history. A judge that crashes has shown nothing: unknown, with what it raised."""
    try:
        j = invariant.judge(history)
    except Exception as error:  # noqa: BLE001  (any crash of a checker must become a verdict, not an abort)
        return Finding(invariant.name, Verdict.UNKNOWN, f"the check itself crashed: {error!r}", "crashed")
    return Finding(invariant.name, j.verdict, j.sentence, j.reason, j.figures, j.proof)


def overall(findings: Sequence[Finding]) -> Verdict:
    """Violated if any is violated, else unknown if any is unknown or there are none, else held."""
    verdicts = {f.verdict for f in findings}
    if Verdict.VIOLATED in verdicts:
        return Verdict.VIOLATED
    if Verdict.UNKNOWN in verdicts or not verdicts:
        return Verdict.UNKNOWN
    return Verdict.HELD
