"""What came of the trials: of protections, and of mutants of the controller manager."""

from typing import ClassVar

import msgspec

from chaos.judge.base import Verdict
from chaos.record.records import Observation
from chaos.record.registry import Seconds, record

_BECAUSE = " because "
NO_REASON, NOT_JUDGED = "it holds", "it was not judged"  # as a table and a timeline say it


@record
class Trial(msgspec.Struct, frozen=True, gc=False):
    """A protection was tried once, and this was the verdict; `reason` is the finding's."""

    kind: ClassVar[str] = "trial"
    version: ClassVar[int] = 1
    at: Seconds
    protection: str
    verdict: Verdict
    reason: str = ""

    @property
    def object(self) -> str:
        return self.protection

    def told(self) -> str:
        return f"{self.verdict}{_BECAUSE if self.reason else ''}{self.reason}"

    @classmethod
    def of_observation(cls, old: Observation) -> "Trial":
        verdict, _, reason = old.seen.partition(_BECAUSE)
        return cls(old.at, old.subject, Verdict(verdict), reason)


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
