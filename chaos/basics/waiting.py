"""Waiting for a condition: the one place that uses tenacity. A condition that raises is asked again until the end."""

import threading
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from chaos.errors import OrdealError

T = TypeVar("T")


class WaitedInVainError(OrdealError):
    """A condition did not come true in the time given."""


def eventually(condition: Callable[[], T], *, within_s: float, what: str, every_s: float = 0.25) -> T:
    """Ask until `condition` returns something true, and return that. `what` finishes the sentence "waited for ...".

    Raises WaitedInVainError with the last exception or value where it did not within `within_s` seconds.
    """
    retrying = Retrying(
        stop=stop_after_delay(within_s),
        wait=wait_fixed(every_s),
        retry=retry_if_result(lambda value: not value) | retry_if_exception_type(Exception),
    )
    try:
        return retrying(condition)
    except RetryError as error:
        last = error.last_attempt
        why = f"the last try raised {last.exception()!r}" if last.failed else f"the last answer was {last.result()!r}"
        raise WaitedInVainError(f"waited {within_s:g} s for {what}, in vain; {why}") from last.exception()


def until(condition: Callable[[], bool], *, every_s: float = 0.25) -> None:
    """Ask until `condition` returns true, however long that takes: for what others are sure to end. Ctrl-C ends it."""
    Retrying(wait=wait_fixed(every_s), retry=retry_if_result(lambda value: not value))(condition)


def hold(for_s: float) -> None:
    """Let time pass on purpose (a fault that is held); Ctrl-C ends it."""
    threading.Event().wait(for_s)
