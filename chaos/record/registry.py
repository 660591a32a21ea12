"""Which kinds of records there are: each is registered where it is made, and found by its kind when a history is read.

A record is a frozen msgspec.Struct with a kind, a version, a time and an object. What a subject alone sees is a record
of the subject's own, in `chaos/subjects/NAME/records.py`, which is imported before any history is read:

    @record
    class Torn(msgspec.Struct, frozen=True, gc=False):
        kind: ClassVar[str] = "torn"
        version: ClassVar[int] = 1
        at: Seconds
        workload: str
        text: str

Where its fields change their meaning, its version goes up by one. Then a history of another version is still read, and
whoever asks it for this kind is told that it can't be known.
"""

import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Protocol, TypeGuard, TypeVar

import msgspec

from chaos.basics.found import load
from chaos.errors import OrdealError

LONGEST_S = 1e9  # thirty years: what is asked of times must not grow without end
Seconds = Annotated[float, msgspec.Meta(ge=-LONGEST_S, le=LONGEST_S)]


class Record(Protocol):
    """What each record has. `at`: seconds since its history began; `object`: of whom, or of what, it is.

    Beside these a class may have:
    `said: ClassVar[str]`, the one field that holds what somebody else has said, from which secrets are taken, or "";
    without it they are taken from all texts.
    `told(self) -> str`, the record as a timeline shows it; without it the timeline has none of them.
    `of_observation(cls, old)`, the record of an Observation by which older versions kept it; its name was the kind.
    Raises ValueError.
    """

    kind: ClassVar[str]
    version: ClassVar[int]

    @property
    def at(self) -> float:
        """Seconds since the history began."""
        ...

    @property
    def object(self) -> str:
        """What it is of, such as a node or a pod."""
        ...


class Told(Record, Protocol):
    """A record that a timeline shows as a text."""

    def told(self) -> str:
        """What it says, in a few words for a reader."""
        ...


R = TypeVar("R", bound=Record)

_KINDS: dict[str, type[Record]] = {}


def record(made: type[R]) -> type[R]:
    """Register a kind of records. Raises OrdealError where another file has registered one of that name."""
    there = _KINDS.get(made.kind)
    if there is not None and (_file(there), there.__name__) != (_file(made), made.__name__):
        raise OrdealError(
            f"{_file(there)} and {_file(made)} both register the record kind {made.kind!r}: "
            f"give {made.__name__} in the second one another kind"
        )
    _KINDS[made.kind] = made
    return made


@cache
def load_all() -> None:
    """Register every kind: those of the framework, and what each subject has in its `records.py`."""
    load("chaos.record", only="records")
    load("chaos.subjects", only="records")


def kinds() -> Mapping[str, type[Record]]:
    """Every kind that is registered, by its name."""
    return dict(_KINDS)


def was_observation(name: str) -> Callable[[Any], Record] | None:
    """What makes a record of an Observation that older versions called so; None where it is one still.

    What is returned raises ValueError for an Observation that no version has written.
    """
    made: Callable[[Any], Record] | None = getattr(_KINDS.get(name), "of_observation", None)
    return made


def is_told(each: Record) -> TypeGuard[Told]:
    """Whether a timeline shows it as a text."""
    return hasattr(type(each), "told")


def _file(made: type[Record]) -> str:
    return str(getattr(sys.modules.get(made.__module__), "__file__", made.__module__))
