"""The errors that a user can cause. Each is one sentence: what is wrong, where, what to do."""


class OrdealError(Exception):
    """Something a user can mend. Shown without a traceback; the command exits with 2."""
