"""How a hold ends that waits for something: it is seen, or the harm is gone before, or it was waited for in vain."""

from collections.abc import Callable
from functools import partial

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.judge.lasting import is_gone
from chaos.record.history import History

SEEN, GONE = "seen", "the harm is gone"


def how_it_ended(
    condition: Callable[[], bool], history: History | None, *, within_s: float, because: str, every_s: float
) -> str:
    """Wait until one of them: SEEN, GONE, or a sentence. `because` finishes "until ..."; `history` is recorded."""
    gone = partial(is_gone, history) if history is not None else bool

    def over() -> str | bool:
        return (gone() and GONE) or (condition() and SEEN)

    try:
        return str(eventually(over, within_s=within_s, what=f"this to be seen: {because}", every_s=every_s))
    except WaitedInVainError as error:
        return str(error)
