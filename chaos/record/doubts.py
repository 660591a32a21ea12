"""What makes doubt of a whole recording, or of what was tried in it."""

from typing import ClassVar

import msgspec

from chaos.record.registry import Seconds, record


@record
class ClockJump(msgspec.Struct, frozen=True, gc=False):
    """The clock that gives records their times went `by_s` seconds further than the machine's own, less than 0 back.

    Seen `at`, by that clock: it was so since the look before.
    """

    kind: ClassVar[str] = "clock-jump"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    by_s: Seconds

    @property
    def object(self) -> str:
        return "clock"

    def told(self) -> str:
        return f"{self.by_s:+.1f} s"


@record
class NoChance(msgspec.Struct, frozen=True, gc=False):
    """A node whose harm was to have it tainted for longer than `tolerated_s` was so for `tainted_s` seconds only, when
    it was waited for no longer.
    """

    kind: ClassVar[str] = "no-chance"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    node: str
    tainted_s: Seconds
    tolerated_s: Seconds

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return f"tainted for {self.tainted_s:.1f} s, tolerated are {self.tolerated_s:g} s"
