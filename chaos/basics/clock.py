"""The run's own time. How long, how late, and in which order is told by the monotonic clock, which nobody can set.

A date is for people, or for those who keep their own clocks. Within one process it goes on evenly from where the
machine's clock was at the start, so that what is told of a run is in order whatever is done to that clock meanwhile.
"""

import time
from datetime import UTC, datetime

_ZERO = time.time() - time.monotonic()


def unix_s() -> float:
    """The Unix time, in seconds, that never goes back and never jumps."""
    return _ZERO + time.monotonic()


def latest() -> datetime:
    """The later of that and what the machine's clock shows, UTC: for what may not go on past a date."""
    return datetime.fromtimestamp(max(unix_s(), time.time()), UTC)
