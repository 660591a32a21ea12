"""What a replay was given, and so is judged by: limits of the user's own, nodes of somebody else's to do without."""

from typing import ClassVar

import msgspec

from chaos.record.records import Whole
from chaos.record.registry import Seconds, record


@record
class LimitGiven(msgspec.Struct, frozen=True, gc=False):
    """A limit of the user's own, by which a promise is judged in the place of the one that it is made with.

    `of`: the promise, by the name of the function that makes it, or a Service that is watched; `argument` is that of
    the promise.
    """

    kind: ClassVar[str] = "limit-given"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    of: str
    argument: str
    value: float | Whole

    @property
    def object(self) -> str:
        return self.of

    def told(self) -> str:
        return f"{self.argument} {self.value:g}"


@record
class SetAside(msgspec.Struct, frozen=True, gc=False):
    """A node of somebody else's cluster that the replay did without, and by which it judges nothing; `why`: the end of
    a sentence that begins with its name.
    """

    kind: ClassVar[str] = "set-aside"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "why"
    at: Seconds
    node: str
    why: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return f"the replay did without it: it {self.why}"
