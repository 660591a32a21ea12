"""The kubectl that pytest-kind is given: built with what runs on nodes, or the one that a node image has."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.errors import OrdealError
from chaos.hosts import binaries, bundles, registry, trusted
from chaos.hosts.engine import Engine
from chaos.hosts.places import cache_dir, cache_path

NAME = "kubectl"
ON_NODE = "/usr/bin"  # of kind's node images, and of ours


def find(version: str) -> Path | None:
    """That version's; None where there is none yet. Raises OrdealError where it is no version."""
    made = binaries.built(bundles.KUBERNETES, version)
    if made is not None:
        return made.path(NAME)
    kept = _taken(version) / NAME
    trusted.check(kept, cache_path())
    return kept if kept.is_file() else None


def find_any(first: Iterable[str] = ()) -> Path | None:
    """The first of those versions that is there, else of the pinned ones, else whichever is: for what any can do."""
    taken = (each.name.removeprefix("taken-") for each in sorted((cache_dir() / NAME).glob("taken-*")))
    built = (each.name.rpartition("-")[0] for each in sorted((cache_dir() / "bin" / bundles.KUBERNETES).glob("*-*")))
    for version in dict.fromkeys((*first, *bundles.PINNED_KUBERNETES, *taken, *built)):
        with suppress(OrdealError):  # a folder that is not ours
            if found := find(version):
                return found
    return None


def take(version: str, image: str, engine: Engine, *, report: Report = silent) -> Path:
    """Keep the one of a node image of that version. Raises CommandError where it has none."""
    report(f"taking {NAME} out of {image}")
    registry.take_out(engine, image, ON_NODE, (NAME,), _taken(version))
    return _taken(version) / NAME


def _taken(version: str) -> Path:
    return cache_dir() / NAME / f"taken-{version}"
