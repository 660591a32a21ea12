"""What was built here for conformance: e2e.test by Kubernetes version, with its specs' images."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chaos.basics.untrusted import json_file
from chaos.conformance import images
from chaos.conformance.images import SpecImage
from chaos.conformance.listing import listing
from chaos.conformance.program import BUNDLE, NAME, E2eProgram, find
from chaos.hosts import engine
from chaos.hosts.binaries import RECORD
from chaos.hosts.places import cache_dir


@dataclass(frozen=True, slots=True)
class BuiltProgram:
    """An e2e.test and what belongs to it. `images` is None where no engine answers that could be asked.

    `specs` it has, `conformant` of them the conformance programme asks for; `images_wanted` is how many images can be
    made for them.
    """

    kubernetes: str
    path: Path
    built_at: datetime
    size_bytes: int
    specs: int
    conformant: int
    images: tuple[SpecImage, ...] | None
    images_wanted: int


def list_built() -> tuple[BuiltProgram, ...]:
    """All of them, by version, as the recipes are now. Raises OrdealError, CommandError where one can't be asked."""
    asked = engine.find()
    there = images.list_images(asked) if asked is not None else None
    programs = [found for version in _versions() if (found := find(version)) is not None]
    return tuple(_of(each, there) for each in programs)


def remove(version: str) -> tuple[str, ...]:
    """Remove what belongs to that version, of older recipes too; returns what was removed."""
    gone = [folder for folder in _folders() if _version_of(folder) == version]
    lists = list((cache_dir() / "conformance").glob(f"specs-{version}-*.json"))
    for folder in gone:
        shutil.rmtree(folder)
    for path in lists:
        path.unlink()
    asked = engine.find()
    removed = images.remove(version, asked) if asked is not None else ()
    return (*(str(folder) for folder in gone), *(each.tag for each in removed))


def as_json(built: BuiltProgram) -> Mapping[str, object]:
    """For programs."""
    return {
        "kubernetes": built.kubernetes,
        "path": str(built.path),
        "built_at": built.built_at.isoformat(),
        "size_bytes": built.size_bytes,
        "specs": built.specs,
        "conformance_specs": built.conformant,
        "images": None if built.images is None else [{"name": i.name, "tag": i.tag} for i in built.images],
    }


def _of(program: E2eProgram, there: tuple[SpecImage, ...] | None) -> BuiltProgram:
    at = program.path.stat()
    known = listing(program)
    tags = set(images.tags(program).values())
    return BuiltProgram(
        program.version,
        program.path,
        datetime.fromtimestamp(at.st_mtime, UTC),
        at.st_size,
        len(known.specs),
        sum(each.conformance for each in known.specs),
        None if there is None else tuple(each for each in there if each.tag in tags),
        len(tags),
    )


def _folders() -> list[Path]:
    return sorted(path for path in (cache_dir() / "bin" / BUNDLE).glob("*-*") if (path / NAME).is_file())


def _versions() -> list[str]:
    return sorted({version for folder in _folders() if (version := _version_of(folder))})


def _version_of(folder: Path) -> str:
    try:
        return str(json_file(folder / RECORD)["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
