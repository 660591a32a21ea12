"""What time it is for the API server: this machine's clock may be another one, and may be set while a run goes on."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from chaos.errors import OrdealError

RESOLUTION_S = 1.0  # an answer's date has whole seconds: it is up to so much later than it says


def answered_at(headers: Mapping[str, str]) -> datetime:
    """When the API server answered, by its own clock, RESOLUTION_S early at the most. Raises OrdealError."""
    said = headers.get("Date", "")
    try:
        return parsedate_to_datetime(said)
    except ValueError as error:
        why = f"the API server's answer says {said[:40]!r} for its date, so how old a lease is can't be told"
        raise OrdealError(why) from error
