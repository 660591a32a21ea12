"""The allow list of a comparison: what may be worse, until when, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from chaos.basics.untrusted import LIST, bounded, yaml_of
from chaos.errors import OrdealError


class Allowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry. What it names has to match, what it leaves out may be anything; it counts up to and with `expires`.

    Either `verdict` (what the candidate may be: violated, unknown, missing, or for a control: unproven) or `figure`.
    """

    incident: str
    expires: date
    reason: str
    verdict: str = ""
    figure: str = ""
    invariant: str = ""
    replay: str = ""
    cluster: str = ""
    control: str = ""

    def __str__(self) -> str:
        named = [self.incident, self.replay, self.cluster, self.control, self.invariant, self.figure, self.verdict]
        return f"{' '.join(each for each in named if each)} (until {self.expires}: {self.reason})"


VERDICTS = ("violated", "unknown", "missing", "unproven")


@dataclass(frozen=True, slots=True)
class AllowList:
    """The entries that count, and those that have expired."""

    entries: tuple[Allowed, ...] = ()
    expired: tuple[Allowed, ...] = ()


def load(path: Path, today: date) -> AllowList:
    """Read a list of entries in YAML. Raises OrdealError where it can't be read, or an entry lacks what it needs."""
    try:
        with path.open("rb") as file:
            content = yaml_of(bounded(file, LIST))
    except OSError as error:
        raise OrdealError(f"the allow list {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise OrdealError(f"the allow list {path} can't be used: {error}") from error
    if content is None:
        return AllowList()
    if not isinstance(content, list):
        raise OrdealError(f"the allow list {path} must be a list of entries, each with incident, expires and reason")
    entries = [_entry(path, number, each) for number, each in enumerate(content, start=1)]
    return AllowList(
        tuple(e for e in entries if e.expires >= today),
        tuple(e for e in entries if e.expires < today),
    )


def _entry(path: Path, number: int, given: object) -> Allowed:
    where = f"the allow list {path}, entry {number}"
    try:
        entry = msgspec.convert(given, Allowed)
    except msgspec.ValidationError as error:
        raise OrdealError(f"{where}: {error}") from error
    if not entry.reason.strip():
        raise OrdealError(f"{where}: the reason is empty; say why this may be worse")
    if bool(entry.verdict) == bool(entry.figure):
        raise OrdealError(f"{where}: name either a verdict or a figure that may be worse")
    if entry.verdict and entry.verdict not in VERDICTS:
        raise OrdealError(f"{where}: {entry.verdict!r} is no verdict that can be allowed; there are {_all(VERDICTS)}")
    if entry.invariant and entry.verdict:
        raise OrdealError(f"{where}: a verdict is allowed for the whole replay; leave the invariant out")
    return entry


def _all(names: Sequence[str]) -> str:
    return ", ".join(names)
