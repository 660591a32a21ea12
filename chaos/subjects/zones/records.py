"""What came of the trials of protections."""

from typing import ClassVar

import msgspec

from chaos.judge.base import Verdict
from chaos.record.records import Observation
from chaos.record.registry import Seconds, record

_BECAUSE = " because "


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
