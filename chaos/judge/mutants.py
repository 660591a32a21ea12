"""Mutants that were tried, and whether each was found."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from chaos.judge.base import Finding, Invariant, Judgement, Verdict, held, promise, unknown, violated
from chaos.judge.sight import names
from chaos.record.history import History
from chaos.record.records import Observation
from chaos.record.registry import Seconds, record

SURVIVED, NOT_SURVIVED = "survived", "twin-killed"
NO_REASON, NOT_JUDGED = "it holds", "it was not judged"  # as a table and a timeline say it
_BECAUSE = " because "


@record
class MutantTried(msgspec.Struct, frozen=True, gc=False):
    """What a replay with a mutant said of the invariant that must find it.

    `reason` and `sentence` are the finding's; both are empty where that invariant was not judged.
    """

    kind: ClassVar[str] = "mutant-tried"
    version: ClassVar[int] = 1
    at: Seconds
    mutant: str
    invariant: str
    verdict: Verdict
    reason: str = ""
    sentence: str = ""

    @property
    def object(self) -> str:
        return self.mutant

    def why(self) -> str:
        """The reason in a word or two."""
        return self.reason or (NO_REASON if self.sentence else NOT_JUDGED)

    def told(self) -> str:
        sentence = f": {self.sentence}" if self.reason or self.sentence else ""
        return f"{self.verdict} {self.invariant}{_BECAUSE}{self.why()}{sentence}"

    @classmethod
    def of_observation(cls, old: Observation) -> "MutantTried":
        said, _, why = old.seen.partition(_BECAUSE)
        verdict, _, invariant = said.partition(" ")
        reason, _, sentence = why.partition(": ")
        kept = "" if reason in {NO_REASON, NOT_JUDGED} else reason
        return cls(old.at, old.subject, invariant, Verdict(verdict), kept, sentence)


def tried(at: float, mutant: str, invariant: str, findings: Sequence[Finding]) -> MutantTried:
    """What a replay with the mutant said of the invariant that must find it."""
    finding = next((f for f in findings if f.invariant == invariant), None)
    if finding is None:
        return MutantTried(at, mutant, invariant, Verdict.UNKNOWN)
    return MutantTried(at, mutant, invariant, finding.verdict, finding.reason, finding.sentence)


@promise
def mutants_killed(mutants: Sequence[str], twins: Sequence[str] = ()) -> Invariant:
    """The invariant that must find it was violated for each mutant, and held for each twin.

    Reasons: "survived" where a mutant was not found, "twin-killed" where something without the bug was taken for one.
    A replay that is unknown, or missing, makes it unknown.
    """

    def judge(history: History) -> Judgement:
        said = {t.mutant: t for t in history.of(MutantTried)}
        missing = [m for m in (*mutants, *twins) if m not in said or said[m].verdict is Verdict.UNKNOWN]
        alive = [said[m] for m in mutants if m in said and said[m].verdict is Verdict.HELD]
        blamed = [said[t] for t in twins if t in said and said[t].verdict is Verdict.VIOLATED]
        for found, what, reason in ((alive, "survived", SURVIVED), (blamed, "was blamed", NOT_SURVIVED)):
            if found:
                first = f"{names([t.mutant for t in found])} {what} ({found[0].told()})"
                return violated(first, found, reason=reason, mutants=len(mutants), found=len(mutants) - len(alive))
        if missing or not mutants:
            why = f" ({said[missing[0]].told()})" if missing and missing[0] in said else ""
            return unknown(f"whether it is found could not be judged for {names(missing) or 'any mutant'}{why}")
        return held(
            f"all {len(mutants)} mutants were found, no twin was blamed", mutants=len(mutants), twins=len(twins)
        )

    return Invariant("mutants-killed", judge)
