"""Programs built from pinned Go modules (chaos.hosts.bundles has which), in the cache that trusts nothing half-made.

What is built is cached under `cache_dir()/bin/<bundle>/<version>-<digest of the inputs>/`. Such a directory appears by
one rename, complete, or not at all.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from chaos.basics.files import place
from chaos.basics.progress import Report, silent
from chaos.basics.untrusted import json_file, text_file
from chaos.errors import OrdealError
from chaos.hosts import go, trusted
from chaos.hosts.bundles import Bundle, find_bundle, ldflags, wanted_version
from chaos.hosts.go import goarch
from chaos.hosts.lock import locked
from chaos.hosts.pins import inputs, inputs_digest, pinned_source, resolved_source, source_of
from chaos.hosts.places import cache_dir, cache_path

RECORD = "build.json"


@dataclass(frozen=True, slots=True)
class Binaries:
    """What was built of one bundle: its programs and the SHA-256 of each, in hex."""

    bundle: str
    version: str
    directory: Path
    sha256: Mapping[str, str]

    def path(self, name: str) -> Path:
        """Where the program is.

        Raises OrdealError for a name that the bundle does not have, and where the file is not what was built.
        """
        if name not in self.sha256:
            raise OrdealError(f"bundle {self.bundle} has no program {name!r}; it has {', '.join(sorted(self.sha256))}.")
        check(self.directory / name, self.sha256[name])
        return self.directory / name


def check(program: Path, sha256: str) -> None:
    """Raise OrdealError where a program of the cache has another SHA-256 (hex) than when it was put there."""
    if digest(program) != sha256:
        raise OrdealError(
            f"{program} is not what was built or taken: its SHA-256 is another than the one on record. Remove "
            f"{program.parent}, and it is made again."
        )


def digest(program: Path) -> str:
    """The SHA-256 of a file of the cache, in hex. Raises OSError, OrdealError where others could have said what it is.

    It is kept beside the file with what changes when the file does, since a control plane is 300 MB: of these, the time
    of the last change can be set by nobody (stat(2), st_ctime).
    """
    found = program.stat()
    return _digest_of(program, f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}")


@lru_cache
def _digest_of(program: Path, state: str) -> str:
    kept = program.with_name(f".{program.name}.sha256")
    trusted.check(kept, cache_path())
    with suppress(OSError, ValueError):
        before, _, known = text_file(kept).rpartition(" ")
        if before == state:
            return known
    with program.open("rb") as read:
        counted = hashlib.file_digest(read, "sha256").hexdigest()
    with suppress(OSError):  # a cache may be read only
        place(kept, f"{state} {counted}")
    return counted


def build(bundle: str, version: str | None = None, *, report: Report = silent) -> Binaries:
    """The bundle's programs, built now unless the cache has them.

    Raises OrdealError for an unknown bundle, a version that does not exist or is not pinned (Kubernetes alone is
    resolved on demand), or a missing Go toolchain; CommandError where Go fails.
    """
    known = find_bundle(bundle)
    wanted = wanted_version(known, version)
    ready = built(bundle, wanted)
    if ready is not None:
        return ready
    base = cache_dir() / "bin" / known.name
    title = f"{known.name} {wanted}"
    with (
        _writable(title),
        locked(base / f".{wanted}.lock", lambda: report(f"{title}: another run is building it, waiting")),
    ):
        source = source_of(known, wanted, report)
        target = base / f"{wanted}-{inputs_digest(known, wanted, source)}"
        ready = _read(known, wanted, target)
        if ready is not None:
            return ready
        for leftover in base.glob(f".building-{wanted}-*"):  # of a run that was killed: we hold the lock
            shutil.rmtree(leftover)
        report(f"building {title} from Go modules: {', '.join(known.programs)}")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f".building-{wanted}-", dir=base, ignore_cleanup_errors=True) as work:
            _compile(known, wanted, source, Path(work), report)
            shutil.rmtree(target, ignore_errors=True)  # there, but not whole: _read has just refused it
            (Path(work) / "out").rename(target)
        report(f"built {title} in {time.monotonic() - started:.0f} s")
    ready = _read(known, wanted, target)
    if ready is None:
        raise OrdealError(
            f"{target} was damaged as soon as it was built; is the disk full? Free room and run it again."
        )
    return ready


def built(bundle: str, version: str | None = None) -> Binaries | None:
    """The bundle's programs if the cache has them whole; None otherwise. Builds and resolves nothing."""
    known = find_bundle(bundle)
    wanted = wanted_version(known, version)
    source = pinned_source(known, wanted)
    if source is None:
        source = resolved_source(known, wanted)
        if not (source / "go.sum").is_file():
            return None
    return _read(known, wanted, cache_dir() / "bin" / known.name / f"{wanted}-{inputs_digest(known, wanted, source)}")


def compile_programs(
    bundle: str,
    version: str,
    packages: list[str],
    *,
    module: Path,
    into: Path,
    flags: tuple[str, ...] = (),
    report: Report = silent,
) -> None:
    """`go build` of packages of a bundle's version in the directory `module`, stamped as `build` stamps them.

    `flags` are further ones of `go build`; they come first. Raises OrdealError where the disk is full or a module can't
    be fetched, CommandError where Go fails.
    """
    known = find_bundle(bundle)
    argv = ["build", *flags, "-trimpath", "-buildvcs=false", "-ldflags", ldflags(known, version), "-o", f"{into}/"]
    go.build(f"{bundle} {version}", [*argv, *packages], cwd=module, env=_target_env(), report=report)


def _compile_tests(known: Bundle, wanted: str, package: str, module: Path, program: Path, report: Report) -> None:
    """`go test -c`, stamped as `compile_programs` stamps. One package at a time: linking takes gigabytes."""
    argv = ["test", "-c", "-vet=off", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    argv += ["-ldflags", ldflags(known, wanted), "-o", str(program), package]
    go.build(f"{known.name} {wanted}", argv, cwd=module, env=_target_env(), report=report)


def _target_env() -> dict[str, str]:
    return {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": goarch()}


@contextmanager
def _writable(title: str) -> Iterator[None]:
    """Says in a sentence what keeps the cache from being written."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise OrdealError(
                f"the disk at {cache_dir()} ran full while {title} was built; free room and run it again."
            ) from error
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise OrdealError(
                f"{title} is not in the cache {cache_dir()}, and that can't be written ({error.strerror}); make it "
                f"writable, or name another place with XDG_CACHE_HOME."
            ) from error
        raise


def _compile(known: Bundle, wanted: str, source: Path, work: Path, report: Report) -> None:
    """Build into work/out, with the record that makes it trusted written last."""
    module, raw, out = work / "module", work / "raw", work / "out"
    for directory in (module, raw, out):
        directory.mkdir()
    for path in inputs(known, source):  # a copy: Go must not be able to write into the checkout
        (module / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / path, module / path)
    packages = list(known.commands.values())
    compile_programs(known.name, wanted, packages, module=module, into=raw, flags=("-mod=readonly",), report=report)
    for name, package in known.tests.items():
        _compile_tests(known, wanted, package, module, raw / name, report)
    sums: dict[str, dict[str, str | int]] = {}
    for name, package in known.programs.items():
        program = out / name
        (raw / (name if name in known.tests else _program_name(package))).rename(program)
        with program.open("rb") as read:
            sums[name] = {
                "sha256": hashlib.file_digest(read, "sha256").hexdigest(),
                "size_bytes": program.stat().st_size,
            }
            os.fsync(read.fileno())
    record = {
        "bundle": known.name,
        "version": wanted,
        "go": go.go(["env", "GOVERSION"], cwd=module).out.strip(),
        "programs": sums,
    }
    with (out / RECORD).open("w") as write:
        json.dump(record, write, indent=1)
        write.flush()
        os.fsync(write.fileno())


def _program_name(package: str) -> str:
    """What `go build -o DIR/` calls a package's program: the last element that is not a major version."""
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]


def _read(known: Bundle, wanted: str, directory: Path) -> Binaries | None:
    """The binaries of a finished directory; None where it is missing, or a program has another size than when it was
    built or can't be run: what a copy of a cache may lack. Whether its bytes are those is asked when it is used.

    Raises OrdealError where others could have written any of it.
    """
    for each in (RECORD, *known.programs):
        trusted.check(directory / each, cache_path())
    try:
        programs = msgspec.convert(json_file(directory / RECORD), _Built).programs
        if programs.keys() != known.programs.keys():
            return None
        found = {name: (directory / name).stat() for name in programs}
    except (OSError, ValueError):
        return None
    if any(found[n].st_size != each.size_bytes or not found[n].st_mode & stat.S_IXUSR for n, each in programs.items()):
        return None
    return Binaries(known.name, wanted, directory, {name: each.sha256 for name, each in programs.items()})


class _Program(msgspec.Struct):
    sha256: str
    size_bytes: int


class _Built(msgspec.Struct):
    """What the record says that counts; what it says beside is for people."""

    programs: dict[str, _Program]
