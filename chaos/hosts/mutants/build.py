"""Building a mutant: a vendored copy of the sources, the substitutions laid over it, `go build`.

The vendored tree of a version is made once (`cache_dir()/mutants/VERSION-DIGEST/tree`) and never written to again: a
mutant's changed files lie beside it and Go's `-overlay` puts them in. The Go tool refuses overlays inside its module
cache, hence the copy. What is built appears by one rename, complete, or not at all.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.basics.untrusted import json_file
from chaos.errors import OrdealError
from chaos.hosts import binaries, bundles, pins, trusted
from chaos.hosts.lock import locked
from chaos.hosts.mutants.known import find
from chaos.hosts.mutants.mutant import Mutant, Substitution
from chaos.hosts.places import cache_dir, cache_path

BUNDLE = bundles.KUBERNETES
_PACKAGES = {**bundles.BUNDLES[bundles.CONTROL_PLANE].commands, **bundles.BUNDLES[BUNDLE].commands}
RECORD = "build.json"


@dataclass(frozen=True, slots=True)
class BuiltMutant:
    """A mutant's program: where it is, and its SHA-256 in hex."""

    mutant: Mutant
    kubernetes: str
    program: Path
    sha256: str

    @property
    def path(self) -> Path:
        """Where it is. Raises OrdealError where the file is not what was built."""
        binaries.check(self.program, self.sha256)
        return self.program


def build(name: str, kubernetes: str | None = None, *, report: Report = silent) -> BuiltMutant:
    """The mutant's program for a Kubernetes version, built now unless the cache has it.

    Raises OrdealError for an unknown mutant or version, and where a substitution does not fit the version's source;
    CommandError where Go fails.
    """
    mutant = find(name)
    version = _version(kubernetes)
    source, digest = pins.module_files(BUNDLE, version, report=report)
    ready = _read(mutant, version, digest)
    if ready is not None:
        return ready
    base = _base(version, digest)
    with locked(base / ".lock", lambda: report(f"mutants of {version}: another run is building, waiting")):
        ready = _read(mutant, version, digest)
        if ready is not None:
            return ready
        for leftover in base.glob(".building-*"):  # of a run that was killed: we hold the lock
            shutil.rmtree(leftover)
        tree = _vendored(source, base, version, report)
        target = _target(mutant, version, digest)
        report(f"building mutant {name}: {mutant.component} {version}")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=".building-", dir=base, ignore_cleanup_errors=True) as work:
            _compile(mutant, version, tree, Path(work), report)
            shutil.rmtree(target, ignore_errors=True)  # there, but not whole: _read has just refused it
            (Path(work) / "out").rename(target)
        report(f"built mutant {name} in {time.monotonic() - started:.0f} s")
        ready = _read(mutant, version, digest)
    if ready is None:
        raise OrdealError(f"{target} was damaged as soon as it was built; is the disk full? Free room, run it again.")
    return ready


def built(name: str, kubernetes: str | None = None) -> BuiltMutant | None:
    """The mutant's program if the cache has it; None otherwise, and where the version is neither pinned nor built."""
    mutant = find(name)
    version = _version(kubernetes)
    if version not in bundles.pinned(BUNDLE) and binaries.built(BUNDLE, version) is None:
        return None
    return _read(mutant, version, pins.module_files(BUNDLE, version)[1])


def changed(substitutions: Sequence[Substitution], sources: Path, who: str) -> dict[str, str]:
    """The text of each file below `sources` that the substitutions change, by its import path.

    Raises OrdealError where a substitution's text is not in its file exactly once; `who` begins that sentence.
    """
    texts: dict[str, str] = {}
    for one in substitutions:
        if one.file not in texts:
            path = sources / one.file
            if not path.is_file():
                raise OrdealError(f"{who}: there is no {one.file}; the mutant has to be written anew for this version.")
            texts[one.file] = path.read_text()
        text = texts[one.file]
        counts = [text.count(old) for old, _ in one.pairs]
        if sorted(counts)[-2:] not in ([1], [0, 1]):
            first = one.old.strip().splitlines()[0]
            raise OrdealError(
                f"{who}: the text to replace is {max(counts)} times in {one.file} and must be there once (it begins "
                f"with `{first}`); the mutant has to be written anew for this version."
            )
        texts[one.file] = text.replace(*one.pairs[counts.index(1)])
    return texts


def _version(kubernetes: str | None) -> str:
    return bundles.DEFAULT_KUBERNETES if kubernetes is None else bundles.normal_version(kubernetes)


def _base(version: str, digest: str) -> Path:
    return cache_dir() / "mutants" / f"{version}-{digest}"


def _target(mutant: Mutant, version: str, digest: str) -> Path:
    content = json.dumps([mutant.component, *((s.file, s.pairs) for s in mutant.substitutions)])
    return _base(version, digest) / f"{mutant.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _vendored(source: Path, base: Path, version: str, report: Report) -> Path:
    """The module with all its sources in vendor/, made once for a version. The lock is held."""
    tree = base / "tree"
    if tree.is_dir():
        trusted.check(tree / "go.mod", cache_path())
        return tree
    report(f"copying the sources of Kubernetes {version} (once for all mutants of it)")
    with tempfile.TemporaryDirectory(prefix=".building-", dir=base, ignore_cleanup_errors=True) as work:
        module = Path(work) / "tree"
        module.mkdir()
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(source / name, module / name)
        pins.vendor(module)
        module.rename(tree)
    return tree


def _compile(mutant: Mutant, version: str, tree: Path, work: Path, report: Report) -> None:
    vendor = tree / "vendor"
    texts = changed(mutant.substitutions, vendor, f"the mutant {mutant.name} does not fit Kubernetes {version}")
    replaced: dict[str, str] = {}
    for number, (file, text) in enumerate(texts.items()):
        laid_over = work / f"{number}.go"
        laid_over.write_text(text)
        replaced[str(vendor / file)] = str(laid_over)
    overlay = work / "overlay.json"
    overlay.write_text(json.dumps({"Replace": replaced}))
    out = work / "out"
    out.mkdir()
    flags = ("-mod=vendor", "-overlay", str(overlay))
    packages = [_PACKAGES[mutant.component]]
    binaries.compile_programs(BUNDLE, version, packages, module=tree, into=out, flags=flags, report=report)
    program = out / mutant.component
    with program.open("rb") as read:
        record = {
            "sha256": hashlib.file_digest(read, "sha256").hexdigest(),
            "size_bytes": program.stat().st_size,
            "mutant": mutant.name,
            "pull_request": mutant.pull_request,
            "kubernetes": version,
        }
        os.fsync(read.fileno())
    with (out / RECORD).open("w") as write:
        json.dump(record, write, indent=1)
        write.flush()
        os.fsync(write.fileno())


def _read(mutant: Mutant, version: str, digest: str) -> BuiltMutant | None:
    """What was built; None where it is missing or has another size than when it was built.

    Raises OrdealError where others could have written it.
    """
    directory = _target(mutant, version, digest)
    program = directory / mutant.component
    for each in (RECORD, mutant.component):
        trusted.check(directory / each, cache_path())
    try:
        record = json_file(directory / RECORD)
        if program.stat().st_size != record["size_bytes"]:
            return None
        return BuiltMutant(mutant, version, program, str(record["sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
