"""How long the specs that are left will take: by what each took before on this machine, else by the mean so far."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from chaos.basics.files import place
from chaos.basics.untrusted import json_file
from chaos.conformance.spec import Spec
from chaos.hosts.places import cache_dir

FIRST_GUESS_S = 12.0  # of a spec, while nothing is known


class Estimate:
    """Knows the serial specs from the others, which run `processes` at a time."""

    def __init__(self, serial: Iterable[Spec], processes: int, before: Mapping[str, float]) -> None:
        """`before`: seconds by spec id, of runs before this one."""
        self._serial = {each.id for each in serial}
        self._processes = max(1, processes)
        self._before = before
        self._took: dict[str, float] = {}

    def took(self, spec_id: str, seconds: float) -> None:
        """A spec has ended."""
        self._took[spec_id] = seconds

    @property
    def known(self) -> dict[str, float]:
        """What is known for the next run."""
        return {**self._before, **self._took}

    def left_s(self, specs: Iterable[Spec]) -> float:
        """For these, which have not ended."""
        mean_s = sum(self._took.values()) / len(self._took) if self._took else FIRST_GUESS_S
        alone_s = beside_s = 0.0
        for each in specs:
            seconds = self._before.get(each.id, mean_s)
            if each.id in self._serial:
                alone_s += seconds
            else:
                beside_s += seconds
        return alone_s + beside_s / self._processes


def said(seconds: float) -> str:
    """For a reader: "about 3 min left"."""
    if seconds < 1:
        return "the last one"
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"


def load() -> dict[str, float]:
    """What specs took before on this machine; nothing where that can't be read."""
    try:
        return msgspec.convert(json_file(_path()), dict[str, float])
    except (OSError, ValueError):
        return {}


def save(known: Mapping[str, float]) -> None:
    """Keep it for the next run. What can't be written is not kept: no result hangs on it."""
    path = _path()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        place(path, msgspec.json.encode({key: round(value, 1) for key, value in known.items()}))


def _path() -> Path:
    return cache_dir() / "conformance" / "took.json"
