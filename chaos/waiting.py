"""Waiting for a condition. One that raises is asked again until the end."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from chaos.errors import OrdealError

T = TypeVar("T")


class WaitedInVainError(OrdealError):
    """A condition did not come true in the time given."""


def eventually(condition: Callable[[], T], *, within_s: float, what: str, every_s: float = 0.25) -> T:
    """Ask until `condition` returns something true, and return that. `what` finishes the sentence "waited for ...".

    Raises WaitedInVainError with the last exception or value where it did not within `within_s` seconds.
    """
    end = time.monotonic() + within_s
    while True:
        last: Exception | None = None
        try:
            value = condition()
        except Exception as error:  # noqa: BLE001  (whatever it was, the next try may do)
            last, why = error, f"the last try raised {error!r}"
        else:
            if value:
                return value
            why = f"the last answer was {value!r}"
        if time.monotonic() >= end:
            raise WaitedInVainError(f"waited {within_s:g} s for {what}, in vain; {why}") from last
        hold(every_s)


def until(condition: Callable[[], bool], *, every_s: float = 0.25) -> None:
    """Ask until `condition` returns true, however long that takes: for what others are sure to end. Ctrl-C ends it."""
    while not condition():
        hold(every_s)


def hold(for_s: float) -> None:
    """Let time pass on purpose (a fault that is held); Ctrl-C ends it."""
    threading.Event().wait(for_s)
