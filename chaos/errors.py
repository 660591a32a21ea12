"""The errors that a user can cause. Each is one sentence: what is wrong, where, what to do."""

from chaos.basics.visible import lines


class OrdealError(Exception):
    """Something a user can mend. Shown without a traceback; the command exits with 2.

    It may hold names of others, and what their programs said: wherever it is shown, that is visible.
    """

    def __str__(self) -> str:
        return lines(super().__str__())
