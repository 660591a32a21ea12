"""LISTs, and how many of them the API server took from its watch cache."""

from typing import ClassVar

import msgspec

from chaos.record.records import Count
from chaos.record.registry import Seconds, record


@record
class ListsCounted(msgspec.Struct, frozen=True, gc=False):
    """Of a resource that nobody else lists, `asked` first pages were asked for, and before and after them the whole, as
    often together; how many of each came from the watch cache, as the API server counts itself.
    """

    kind: ClassVar[str] = "lists-counted"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    until: Seconds
    resource: str
    asked: Count
    pages_from_cache: Count
    whole_from_cache: Count

    @property
    def object(self) -> str:
        return self.resource

    def told(self) -> str:
        return (
            f"{self.pages_from_cache} of {self.asked} first pages came from the watch cache, and "
            f"{self.whole_from_cache} of {self.asked} LISTs of the whole"
        )
