"""The Go modules that a bundle is built from: pinned in the repository, or resolved into the cache.

`manifests/go/<graph>/<version>/` holds the go.mod and go.sum that pin every source file by checksum. Bundles that share
a graph are built from the same files; those of the graph `small` with the very modules of Kubernetes, so that Go's
cache has most of their packages once Kubernetes is compiled.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.errors import OrdealError
from chaos.hosts import go, graphs, trusted
from chaos.hosts.bundles import (
    BUNDLES,
    DEFAULT_KUBERNETES,
    KUBERNETES,
    PINNED_KUBERNETES,
    SMALL,
    STAGING,
    Bundle,
    find_bundle,
    ldflags,
    normal_version,
    pinned,
    wanted_version,
)
from chaos.hosts.command import CommandError
from chaos.hosts.go import goarch
from chaos.hosts.lock import locked
from chaos.hosts.places import cache_dir, cache_path, manifests_dir

_HELD = (SMALL, "etcd")  # graphs that have the versions of Kubernetes' modules where they share them


def module_files(bundle: str, version: str | None = None, *, report: Report = silent) -> tuple[Path, str]:
    """The directory with the go.mod, go.sum that a bundle's version is built from, and a digest of all that decides
    what is built. An unpinned Kubernetes is resolved first. Raises OrdealError as chaos.hosts.binaries.build does.
    """
    known = find_bundle(bundle)
    wanted = wanted_version(known, version)
    source = source_of(known, wanted, report)
    return source, inputs_digest(known, wanted, source)


def vendor(module: Path) -> None:
    """Put the sources of all that the go.mod in `module` requires beside it, in vendor/. Raises CommandError."""
    go.go(["mod", "vendor"], cwd=module)


def module_directory(bundle: str, version: str, module: str) -> Path:
    """Where Go keeps the source of a module that a bundle's version requires; fetched unless it is there.

    Raises OrdealError as `module_files` does, CommandError.
    """
    source, _ = module_files(bundle, version)
    with tempfile.TemporaryDirectory() as work:
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(source / name, Path(work) / name)
        said = go.go(["mod", "download", "-json", module], cwd=Path(work)).out
    return Path(json.loads(said)["Dir"])


def toolchain(bundle: str, version: str | None = None) -> str:
    """The Go that would build the bundle, as "go1.26.3 (/usr/local/go/bin/go)". Raises OrdealError where none can."""
    known = find_bundle(bundle)
    source = pinned_source(known, wanted_version(known, version))
    chosen = go.toolchain(go.needed_by(source / "go.mod") if source else go.OLDEST)
    return f"go{'.'.join(map(str, chosen.version))} ({chosen.program})"


def resolve(graph: str, version: str, directory: Path) -> None:
    """Write the go.mod and go.sum of a module graph into `directory`, which must exist and hold our own mains of it.

    This is how the files in manifests/go were made, and how a Kubernetes version that is not among them is had. The
    version of the graph `small` is Kubernetes'. Raises OrdealError where the version does not exist, CommandError.
    """
    sharing = [each for each in BUNDLES.values() if each.module_graph == graph and each.modules]
    if not sharing:
        raise OrdealError(f"no module graph is named {graph!r}; there are {', '.join(_graphs())}.")
    wanted = normal_version(version)
    modules = {module: each.default if graph == SMALL else wanted for each in sharing for module in each.modules}
    packages = [package for each in sharing for package in each.programs.values()]
    staging = sharing[0].staging or graph == SMALL
    taken = graphs.upstream_of(STAGING, wanted, f"pinned are {', '.join(PINNED_KUBERNETES)}") if staging else None
    graphs.write(directory, graph, modules, packages, taken)
    try:
        if graph in _HELD:
            graphs.hold(directory, _pins(KUBERNETES, DEFAULT_KUBERNETES), modules)
        else:
            graphs.tidy(directory)
    except CommandError as error:
        raise OrdealError(
            f"the modules of {graph} {wanted} cannot be had; take one of {', '.join(pinned(sharing[0].name))} "
            f"or look at your GOPROXY.\n{error}"
        ) from error


def _graphs() -> list[str]:
    return sorted({each.module_graph for each in BUNDLES.values() if each.modules})


def pinned_source(known: Bundle, wanted: str) -> Path | None:
    """The directory of the repository that pins that version; None where none does."""
    if not known.modules:
        return manifests_dir() / "node-image" / known.name if wanted == known.default else None
    if known.module_graph == SMALL:
        return _pins(SMALL, DEFAULT_KUBERNETES) if wanted == known.default else None
    directory = _pins(known.module_graph, wanted)
    return directory if (directory / "go.sum").is_file() else None


def _pins(graph: str, version: str) -> Path:
    return manifests_dir() / "go" / graph / version


def resolved_source(known: Bundle, wanted: str) -> Path:
    """Where the cache has, or would have, the go.mod and go.sum of a version that is not pinned."""
    return cache_dir() / "go" / known.module_graph / wanted


def source_of(known: Bundle, wanted: str, report: Report) -> Path:
    """The directory with the go.mod to build from; for an unpinned Kubernetes it is resolved into the cache."""
    source = pinned_source(known, wanted)
    if source is not None:
        return source
    if not known.staging:
        raise OrdealError(f"{known.name} {wanted} is not pinned here; take {', '.join(pinned(known.name))}.")
    source = resolved_source(known, wanted)
    with locked(source.parent / f".{wanted}.lock", lambda: report(f"{known.name} {wanted}: another run resolves it")):
        if (source / "go.sum").is_file():
            trusted.check(source / "go.sum", cache_path())
            return source
        report(f"resolving the modules of {known.name} {wanted}, which is not pinned in the repository")
        with tempfile.TemporaryDirectory(prefix=".resolving-", dir=source.parent, ignore_cleanup_errors=True) as work:
            resolved = Path(work) / "module"
            resolved.mkdir()
            resolve(known.module_graph, wanted, resolved)
            shutil.rmtree(source, ignore_errors=True)
            resolved.rename(source)
    return source


def inputs(known: Bundle, source: Path) -> list[Path]:
    """The files of the graph that the bundle is built from, relative to it: the pins, and its own mains'."""
    own = f"kube-ordeal/{known.module_graph}"
    folders = [package.removeprefix(own).lstrip("/") for package in known.programs.values() if package.startswith(own)]
    of_folders = [path.relative_to(source) for folder in folders for path in (source / folder).glob("*.go")]
    return [Path("go.mod"), *([Path("go.sum")] if (source / "go.sum").is_file() else []), *sorted(of_folders)]


def inputs_digest(known: Bundle, wanted: str, source: Path) -> str:
    """Of all that decides what is built, but not the Go version: a newer compiler is no reason to build again."""
    digest = hashlib.sha256()
    for path in inputs(known, source):
        content = (source / path).read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    digest.update("\0".join([ldflags(known, wanted), goarch(), *known.programs, *known.programs.values()]).encode())
    return digest.hexdigest()[:12]
