"""Times as programs in Go write them, such as 3m32.5s."""

import re

from durationpy import DurationError, from_str

# durationpy takes days, weeks, months (mm) and years too, and passes over what stands between two parts; and its search
# takes the square of the length. Go itself writes 24 characters at the most.
_OF_GO = re.compile(r"(?!.*mm)[+-]?[0-9.hmnsuµμ]{1,64}")


def go_seconds(text: str) -> float | None:
    """A Go duration in seconds, to the microsecond; None where it is none."""
    if not _OF_GO.fullmatch(text):
        return None
    try:
        return from_str(text).total_seconds()
    except DurationError:
        return None
