"""Programs built from pinned Go modules: Kubernetes, its tests, etcd, CoreDNS, the CNI, kind, kwok, CSI drivers, pause.

`manifests/go/<graph>/<version>/` holds the go.mod and go.sum that pin every source file by checksum. Bundles that share
a graph are built from the same files; those of the graph `small` with the very modules of Kubernetes, so that Go's
cache has most of their packages once Kubernetes is compiled. What is built is cached under
`cache_dir()/bin/<bundle>/<version>-<digest of the inputs>/`. Such a directory appears by one rename, complete, or not
at all.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import msgspec

from chaos.basics.files import place
from chaos.basics.untrusted import json_file, text_file
from chaos.errors import OrdealError
from chaos.hosts import go, graphs, trusted
from chaos.hosts.command import CommandError
from chaos.hosts.lock import locked
from chaos.hosts.places import cache_dir, cache_path, manifests_dir

Report = Callable[[str], None]

DEFAULT_KUBERNETES = "1.34.4"
PINNED_KUBERNETES = ("1.34.4", "1.36.3")

CONTROL_PLANE, KUBERNETES = "control-plane", "kubernetes"  # what simulated clusters run; the rest of a release
SMALL = (
    "small"  # the graph of the programs around Kubernetes; its version is that of the Kubernetes whose modules it has
)
_HELD = (SMALL, "etcd")  # graphs that have the versions of Kubernetes' modules where they share them
_STAGING = "k8s.io/kubernetes"
RECORD = "build.json"
_VERSION = re.compile(r"\d+\.\d+\.\d+(-(alpha|beta|rc)\.\d+)?")


def silent(_: str) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Programs that are built together from one module version.

    `commands` maps a program's name to its Go package, and `tests` one to a package whose tests it runs (`go test -c`);
    `modules` are the modules that carry the bundle's version.
    `stamps` are linker variables (Go's `-X`): `{version}`, `{major}`
    and `{minor}` are filled in. `staging` says that the module replaces others by its own `./staging` directories,
    which are published as `v0.MINOR.PATCH` (only k8s.io/kubernetes does). `graph` names the module graph in
    manifests/go; without one the bundle has its own. A main of ours is named `kube-ordeal/GRAPH/FOLDER` and lies
    in that folder beside the graph's go.mod.
    """

    name: str
    default: str
    modules: tuple[str, ...]
    commands: Mapping[str, str]
    pinned: tuple[str, ...] = ()
    stamps: Mapping[str, str] = field(default_factory=dict)
    staging: bool = False
    tests: Mapping[str, str] = field(default_factory=dict)
    graph: str = ""

    @property
    def module_graph(self) -> str:
        """The name of its folder in manifests/go."""
        return self.graph or self.name

    @property
    def programs(self) -> Mapping[str, str]:
        """All of them: those of `commands` and of `tests`."""
        return {**self.commands, **self.tests}


def _kubernetes_stamps() -> dict[str, str]:
    # kubeadm refuses to work, and the API server to answer with a version, unless these are set by the linker. The
    # values are fixed, so that the same sources give the same bytes.
    values = {
        "gitVersion": "v{version}",
        "gitMajor": "{major}",
        "gitMinor": "{minor}",
        "gitCommit": "unknown",
        "gitTreeState": "archive",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return {f"{package}.{name}": value for package in packages for name, value in values.items()}


def _of_kubernetes(name: str, *programs: str) -> Bundle:
    return Bundle(
        name,
        DEFAULT_KUBERNETES,
        (_STAGING,),
        {program: f"k8s.io/kubernetes/cmd/{program}" for program in programs},
        pinned=PINNED_KUBERNETES,
        stamps=_kubernetes_stamps(),
        staging=True,
        graph=KUBERNETES,
    )


_ALL = (
    # What a simulated cluster runs comes first, and by itself: it is used before the rest is built.
    _of_kubernetes(CONTROL_PLANE, "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    _of_kubernetes(KUBERNETES, "kubelet", "kube-proxy", "kubeadm", "kubectl"),
    # Its own versions of etcd's modules, and Kubernetes' of all others.
    Bundle(
        "etcd",
        "3.6.16",
        ("go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3"),
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            "etcdctl": "go.etcd.io/etcd/etcdctl/v3",
            "etcdutl": "go.etcd.io/etcd/etcdutl/v3",
        },
    ),
    Bundle(
        "kwok",
        "0.8.0",
        ("sigs.k8s.io/kwok",),
        # Our own mains of kwok's packages: its own link what does not go with Kubernetes' modules.
        {"kwok": "kube-ordeal/small/kwok", "kwokctl": "kube-ordeal/small/kwokctl"},
        graph=SMALL,
    ),
    Bundle("kind", "0.33.0", ("sigs.k8s.io/kind",), {"kind": "sigs.k8s.io/kind"}, graph=SMALL),
    Bundle(
        "coredns",
        "1.14.1",
        ("github.com/coredns/coredns",),
        # Our own main: upstream's links every plugin, and with them four clouds' SDKs.
        {"coredns": "kube-ordeal/small/coredns"},
        graph=SMALL,
    ),
    Bundle(
        "cni",
        "1.9.1",
        ("github.com/containernetworking/plugins",),
        {
            name: f"github.com/containernetworking/plugins/plugins/{name_in}"
            for name, name_in in (
                ("loopback", "main/loopback"),
                ("bridge", "main/bridge"),
                ("ptp", "main/ptp"),
                ("host-local", "ipam/host-local"),
                ("portmap", "meta/portmap"),
            )
        },
        stamps={"github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion": "v{version}"},
        graph=SMALL,
    ),
    Bundle(
        "flannel",
        "0.28.4",
        ("github.com/flannel-io/flannel",),
        # Our own main of flannel's packages: its own links a back end that needs a C compiler.
        {"flanneld": "kube-ordeal/small/flannel"},
        graph=SMALL,
    ),
    Bundle(
        "local-path-provisioner",
        "0.0.30",
        ("github.com/rancher/local-path-provisioner",),
        {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
        stamps={"main.VERSION": "v{version}"},
        graph=SMALL,
    ),
    Bundle(
        "external-attacher",
        "4.13.0",
        ("github.com/kubernetes-csi/external-attacher/v4",),
        {"csi-attacher": "github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher"},
        stamps={"main.version": "v{version}"},
        graph=SMALL,
    ),
    Bundle(
        "csi-rbd-lock",
        "1.13.0",
        ("github.com/container-storage-interface/spec",),
        # Our own driver; its version is that of the CSI specification.
        {"csi-rbd-lock": "kube-ordeal/small/csi-rbd-lock"},
        graph=SMALL,
    ),
    # Upstream's end-to-end tests, and what is in the images that they run.
    Bundle(
        "conformance",
        DEFAULT_KUBERNETES,
        (_STAGING,),
        {
            "agnhost": "k8s.io/kubernetes/test/images/agnhost",
            "nonewprivs": "k8s.io/kubernetes/test/images/nonewprivs",
            "sample-apiserver": "k8s.io/sample-apiserver",
        },
        pinned=PINNED_KUBERNETES,
        stamps=_kubernetes_stamps(),
        staging=True,
        tests={"e2e.test": "k8s.io/kubernetes/test/e2e"},
    ),
    # Our own few lines: the source is manifests/node-image/pause, and it requires no module.
    Bundle("pause", "1.0.0", (), {"pause": "kube-ordeal/pause"}),
)
BUNDLES: Mapping[str, Bundle] = {bundle.name: bundle for bundle in _ALL}


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


def pinned(bundle: str) -> tuple[str, ...]:
    """The versions of a bundle whose checksums are in the repository, the default one first."""
    known = _bundle(bundle)
    return known.pinned or (known.default,)


def build(bundle: str, version: str | None = None, *, report: Report = silent) -> Binaries:
    """The bundle's programs, built now unless the cache has them.

    Raises OrdealError for an unknown bundle, a version that does not exist or is not pinned (Kubernetes alone is
    resolved on demand), or a missing Go toolchain; CommandError where Go fails.
    """
    known = _bundle(bundle)
    wanted = _version(known, version)
    ready = built(bundle, wanted)
    if ready is not None:
        return ready
    base = cache_dir() / "bin" / known.name
    title = f"{known.name} {wanted}"
    with (
        _writable(title),
        locked(base / f".{wanted}.lock", lambda: report(f"{title}: another run is building it, waiting")),
    ):
        source = _source(known, wanted, report)
        target = base / f"{wanted}-{_digest(known, wanted, source)}"
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
    known = _bundle(bundle)
    wanted = _version(known, version)
    source = _pinned_source(known, wanted)
    if source is None:
        source = _resolved_source(known, wanted)
        if not (source / "go.sum").is_file():
            return None
    return _read(known, wanted, cache_dir() / "bin" / known.name / f"{wanted}-{_digest(known, wanted, source)}")


def module_files(bundle: str, version: str | None = None, *, report: Report = silent) -> tuple[Path, str]:
    """The directory with the go.mod, go.sum that a bundle's version is built from, and a digest of all that decides
    what is built. An unpinned Kubernetes is resolved first. Raises OrdealError as `build` does.
    """
    known = _bundle(bundle)
    wanted = _version(known, version)
    source = _source(known, wanted, report)
    return source, _digest(known, wanted, source)


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
    known = _bundle(bundle)
    argv = ["build", *flags, "-trimpath", "-buildvcs=false", "-ldflags", _ldflags(known, version), "-o", f"{into}/"]
    go.build(f"{bundle} {version}", [*argv, *packages], cwd=module, env=_target_env(), report=report)


def _compile_tests(known: Bundle, wanted: str, package: str, module: Path, program: Path, report: Report) -> None:
    """`go test -c`, stamped as `compile_programs` stamps. One package at a time: linking takes gigabytes."""
    argv = ["test", "-c", "-vet=off", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    argv += ["-ldflags", _ldflags(known, wanted), "-o", str(program), package]
    go.build(f"{known.name} {wanted}", argv, cwd=module, env=_target_env(), report=report)


def _target_env() -> dict[str, str]:
    return {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": goarch()}


def vendor(module: Path) -> None:
    """Put the sources of all that the go.mod in `module` requires beside it, in vendor/. Raises CommandError."""
    go.go(["mod", "vendor"], cwd=module)


def module_directory(bundle: str, version: str, module: str) -> Path:
    """Where Go keeps the source of a module that a bundle's version requires; fetched unless it is there.

    Raises OrdealError as `build` does, CommandError.
    """
    source, _ = module_files(bundle, version)
    with tempfile.TemporaryDirectory() as work:
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(source / name, Path(work) / name)
        said = go.go(["mod", "download", "-json", module], cwd=Path(work)).out
    return Path(json.loads(said)["Dir"])


def toolchain(bundle: str, version: str | None = None) -> str:
    """The Go that would build the bundle, as "go1.26.3 (/usr/local/go/bin/go)". Raises OrdealError where none can."""
    known = _bundle(bundle)
    source = _pinned_source(known, _version(known, version))
    chosen = go.toolchain(go.needed_by(source / "go.mod") if source else go.OLDEST)
    return f"go{'.'.join(map(str, chosen.version))} ({chosen.program})"


def normal_version(text: str) -> str:
    """`v1.34.4` or `1.34.4` as `1.34.4`. Raises OrdealError for what is not a version."""
    bare = text.strip().removeprefix("v")
    if not _VERSION.fullmatch(bare):
        raise OrdealError(f"{text!r} is not a version; write it like {DEFAULT_KUBERNETES}.")
    return bare


def goarch() -> str:
    """Go's name for this machine's architecture. Raises OrdealError for one that the recipe does not know."""
    names = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    machine = platform.machine().lower()
    if machine not in names:
        raise OrdealError(f"this machine's architecture is {machine}; only amd64 and arm64 are supported.")
    return names[machine]


def resolve(graph: str, version: str, directory: Path) -> None:
    """Write the go.mod and go.sum of a module graph into `directory`, which must exist and hold our own mains of it.

    This is how the files in manifests/go were made, and how a Kubernetes version that is not among them is had. The
    version of the graph `small` is Kubernetes'. Raises OrdealError where the version does not exist, CommandError.
    """
    bundles = [each for each in _ALL if each.module_graph == graph and each.modules]
    if not bundles:
        raise OrdealError(f"no module graph is named {graph!r}; there are {', '.join(_graphs())}.")
    wanted = normal_version(version)
    modules = {module: each.default if graph == SMALL else wanted for each in bundles for module in each.modules}
    packages = [package for each in bundles for package in each.programs.values()]
    staging = bundles[0].staging or graph == SMALL
    taken = graphs.upstream_of(_STAGING, wanted, f"pinned are {', '.join(PINNED_KUBERNETES)}") if staging else None
    graphs.write(directory, graph, modules, packages, taken)
    try:
        if graph in _HELD:
            graphs.hold(directory, _pins(KUBERNETES, DEFAULT_KUBERNETES), modules)
        else:
            graphs.tidy(directory)
    except CommandError as error:
        raise OrdealError(
            f"the modules of {graph} {wanted} cannot be had; take one of {', '.join(pinned(bundles[0].name))} "
            f"or look at your GOPROXY.\n{error}"
        ) from error


def _graphs() -> list[str]:
    return sorted({each.module_graph for each in _ALL if each.modules})


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


def _bundle(name: str) -> Bundle:
    if name not in BUNDLES:
        raise OrdealError(f"no bundle is named {name!r}; there are {', '.join(BUNDLES)}.")
    return BUNDLES[name]


def _version(known: Bundle, version: str | None) -> str:
    return known.default if version is None else normal_version(version)


def _pinned_source(known: Bundle, wanted: str) -> Path | None:
    if not known.modules:
        return manifests_dir() / "node-image" / known.name if wanted == known.default else None
    if known.module_graph == SMALL:
        return _pins(SMALL, DEFAULT_KUBERNETES) if wanted == known.default else None
    directory = _pins(known.module_graph, wanted)
    return directory if (directory / "go.sum").is_file() else None


def _pins(graph: str, version: str) -> Path:
    return manifests_dir() / "go" / graph / version


def _resolved_source(known: Bundle, wanted: str) -> Path:
    return cache_dir() / "go" / known.module_graph / wanted


def _source(known: Bundle, wanted: str, report: Report) -> Path:
    """The directory with the go.mod to build from; for an unpinned Kubernetes it is resolved into the cache."""
    source = _pinned_source(known, wanted)
    if source is not None:
        return source
    if not known.staging:
        raise OrdealError(f"{known.name} {wanted} is not pinned here; take {', '.join(pinned(known.name))}.")
    source = _resolved_source(known, wanted)
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


def _ldflags(known: Bundle, wanted: str) -> str:
    major, minor = wanted.split(".")[:2]
    stamps = [
        f"-X={name}={value.format(version=wanted, major=major, minor=minor)}" for name, value in known.stamps.items()
    ]
    # -s -w: no symbol table for debuggers. A goroutine dump does not need one, and it is a third of the size.
    return " ".join(["-s", "-w", *stamps])


def _inputs(known: Bundle, source: Path) -> list[Path]:
    """The files of the graph that the bundle is built from, relative to it: the pins, and its own mains'."""
    own = f"kube-ordeal/{known.module_graph}"
    folders = [package.removeprefix(own).lstrip("/") for package in known.programs.values() if package.startswith(own)]
    of_folders = [path.relative_to(source) for folder in folders for path in (source / folder).glob("*.go")]
    return [Path("go.mod"), *([Path("go.sum")] if (source / "go.sum").is_file() else []), *sorted(of_folders)]


def _digest(known: Bundle, wanted: str, source: Path) -> str:
    """Of all that decides what is built, but not the Go version: a newer compiler is no reason to build again."""
    digest = hashlib.sha256()
    for path in _inputs(known, source):
        content = (source / path).read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    digest.update("\0".join([_ldflags(known, wanted), goarch(), *known.programs, *known.programs.values()]).encode())
    return digest.hexdigest()[:12]


def _compile(known: Bundle, wanted: str, source: Path, work: Path, report: Report) -> None:
    """Build into work/out, with the record that makes it trusted written last."""
    module, raw, out = work / "module", work / "raw", work / "out"
    for directory in (module, raw, out):
        directory.mkdir()
    for path in _inputs(known, source):  # a copy: Go must not be able to write into the checkout
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
