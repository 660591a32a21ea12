"""The bundle that a vendor hands in: a run's results with all that is needed to check them, in one archive."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import msgspec

import chaos
from chaos.basics import untrusted
from chaos.basics.untrusted import bounded, json_of, json_text
from chaos.errors import OrdealError
from chaos.hosts.places import APP, BESIDE, suites_dir
from chaos.report import archive
from chaos.report.archive import Content
from chaos.report.product import Product
from chaos.results.saved import SavedRun

FORMAT = 2  # 1 had the page and junit.xml, which nothing backs: anybody makes them of the results
MANIFEST, RESULTS, PRODUCT = "MANIFEST.json", "results.json", "PRODUCT.yaml"
CHUNK_BYTES = 1024 * 1024
LEFT_OUT = "it was left out of the bundle by --no-evidence"
SOURCES = (".py", ".json", ".yaml", ".html", ".css", ".js", ".j2")


class ListedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file in the bundle."""

    sha256: str
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bundle holds, and what made it. `not_judged_again` says why some findings can't be: "" where all can.

    All of it is what its maker says.
    """

    format: int
    tool: str
    version: str
    run: str
    created: str  # when the results were written last, UTC: the same run makes the same bundle
    chaos_sha256: str
    suites_sha256: str
    files: dict[str, ListedFile]
    not_judged_again: str = ""


@dataclass(frozen=True, slots=True)
class Packed:
    """A bundle that was made: how many files, what the product facts lack, which findings nobody can judge again."""

    path: Path
    files: int
    size_bytes: int
    lacks: tuple[str, ...]
    not_judged: tuple[str, ...]


def pack(run: SavedRun, target: Path, product: Product, *, not_judged_again: str = "", evidence: bool = True) -> Packed:
    """Make the bundle of a run. Without `evidence` it has neither that nor what specs and their pods wrote; its results
    say that evidence was left out.

    Raises OrdealError where a file is missing that the results name.
    """
    if not run.outcomes and not run.specs:
        raise OrdealError(f"there is no outcome in {run.path}: nothing was replayed that could be handed in")
    names = run.named if evidence else tuple(dict.fromkeys(run.histories))
    missing = run.missing(names)
    if missing:
        more = f"; and {len(missing) - 5} more files" if len(missing) > 5 else ""
        raise OrdealError(f"the run {run.id} is not whole: {'; '.join(missing[:5])}{more}")
    files: dict[str, Content] = {RESULTS: partial(run.file, run.path.name), PRODUCT: product.content}
    if not evidence:
        with run.file(run.path.name) as file:
            content = json_of(bounded(file, untrusted.RESULTS), untrusted.RESULTS)
        for entry in content["incidents"]:
            entry["evidence"] = [{"name": piece["name"], "missing": LEFT_OUT} for piece in entry["evidence"]]
        for spec in content["specs"]:
            spec.pop("output", None)
            spec.pop("pods", None)
        files[RESULTS] = f"{json_text(content)}\n".encode()
    files |= {name: partial(run.file, name) for name in names}
    manifest = Manifest(
        format=FORMAT,
        tool=APP,
        version=version(APP),
        run=run.id,
        created=run.updated,
        chaos_sha256=chaos_digest(),
        suites_sha256=suites_digest(),
        files={name: _listed(files[name]) for name in sorted(files)},
        not_judged_again=not_judged_again,
    )
    listed = json.dumps(msgspec.to_builtins(manifest), indent=2) + "\n"
    try:
        archive.write(target, {**files, MANIFEST: listed.encode()})
    except OSError as error:
        raise OrdealError(f"the bundle can't be written to {target}: {error.strerror}") from error
    return Packed(target, len(files) + 1, target.stat().st_size, product.lacks, not_judged(run))


def not_judged(run: SavedRun) -> tuple[str, ...]:
    """The findings that can't be judged again, since the results say no recipe or no history for them."""
    return tuple(f"{o.test}: {f.invariant}" for o in run.outcomes for f in o.findings if not f.promise or not f.history)


@cache
def chaos_digest() -> str:
    """A digest of the sources of this tool."""
    return _digest_of_sources(Path(chaos.__file__).resolve().parent)


@cache
def suites_digest() -> str:
    """A digest of the sources of the suites."""
    return _digest_of_sources(suites_dir())


def digest(content: Content) -> str:
    """SHA-256, in hexadecimal digits."""
    return _listed(content).sha256


def _listed(content: Content) -> ListedFile:
    sha256, size_bytes = hashlib.sha256(), 0
    with BytesIO(content) if isinstance(content, bytes) else content() as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            size_bytes += len(chunk)
    return ListedFile(sha256.hexdigest(), size_bytes)


def _digest_of_sources(folder: Path) -> str:
    """A digest of each source's name and content. What an installed wheel holds beside the package is left out."""
    inside: Mapping[str, Path] = {
        p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and p.suffix in SOURCES
    }
    lines = [
        f"{digest(inside[name].read_bytes())}  {name}\n" for name in sorted(inside) if not name.startswith(f"{BESIDE}/")
    ]
    return digest("".join(lines).encode())
