"""What controllers have to clear away or to count, from when on, and what was seen of it."""

from enum import StrEnum
from typing import ClassVar

import msgspec

from chaos.record.registry import Seconds, record

GAP_S = 5.0  # longer without an answer is a gap


class What(StrEnum):
    """What is due: that the pods of a deleted Deployment, a finished Job or a deleted namespace are gone, or that a
    quota says how much is used.
    """

    PODS = "pods"
    JOB = "job"
    QUOTA = "quota"
    NAMESPACE = "namespace"


class Why(StrEnum):
    """Why a namespace does not end, as far as the API server says it.

    It holds an object that can't be converted; no list of that API is given at all, also where nothing of it is in the
    namespace; or its own conditions say that not all APIs could be discovered, or its content not be deleted.
    """

    NOTHING = ""
    CONVERSION = "an object of it can't be converted"
    LIST = "the list of one API is refused"
    DISCOVERY = "not every API is discovered"
    CONTENT = "its content is not deleted"


@record
class Due(msgspec.Struct, frozen=True, gc=False):
    """From now on it has to be done: `name` is the object's namespace and name."""

    kind: ClassVar[str] = "garbage-due"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    what: What
    name: str

    @property
    def object(self) -> str:
        return f"{self.what} {self.name}"

    def told(self) -> str:
        return "due from now on"


@record
class Look(msgspec.Struct, frozen=True, gc=False):
    """The API was asked for what is due: whether it is done, and where it is not, what is said of that."""

    kind: ClassVar[str] = "garbage-look"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    what: What
    name: str
    done: bool
    why: Why = Why.NOTHING

    @property
    def object(self) -> str:
        return f"{self.what} {self.name}"
