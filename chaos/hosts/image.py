"""Node images for kind: a Debian root file system, our own Kubernetes binaries, and every image that a node needs.

No registry is asked. The tag holds a digest of all that went in: the files in manifests/node-image, each program's
SHA-256, the components that a user swapped in. An image with that tag is complete, because a commit makes it at once.
"""

import hashlib
import json
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts import binaries, trusted
from chaos.hosts.binaries import BUNDLES, Binaries, Report, build, built, goarch, normal_version, silent
from chaos.hosts.command import pour, run
from chaos.hosts.engine import Engine, require
from chaos.hosts.lock import locked
from chaos.hosts.places import cache_dir, cache_path, manifests_dir
from chaos.hosts.rootfs import DEBIAN, debootstrap

REPOSITORY = "kube-ordeal/node"
WORKLOAD_IMAGE = "localhost/kube-ordeal/busybox:1"  # sh, httpd, nc, wget (which has no -T: use timeout)
LABEL = "org.kube-ordeal"
BUILDER = "kube-ordeal-build-"  # the name of a build's container; not a label, which nodes of the image would inherit
LAYOUT = "2"  # raise it when this file puts other things into an image; the recipe's own files are digested anyway
BUILD_TIMEOUT_S = 900.0

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
KUBERNETES_BUNDLES = (binaries.CONTROL_PLANE, binaries.KUBERNETES)
OTHER_BUNDLES = ("etcd", "coredns", "cni", "flannel", "local-path-provisioner", "pause")
ON_NODE = ("kubelet", "kubeadm", "kubectl")
# What kube-proxy and flannel call by name.
NETWORK_TOOLS = ("xtables-nft-multi", "nft", "conntrack", "ip")
IPTABLES_NAMES = tuple(f"ip{six}tables{what}" for six in ("", "6") for what in ("", "-save", "-restore"))


@dataclass(frozen=True, slots=True)
class NodeImage:
    """A node image that the engine has. `components` maps each program that a user swapped in to its SHA-256."""

    tag: str
    kubernetes: str
    digest: str
    built_at: datetime
    size_bytes: int
    components: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Program:
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class _Inner:
    """An image inside the node image: its final name, its Containerfile, its programs and its tools tree, if any."""

    name: str
    recipe: str
    programs: tuple[str, ...]
    tools: str = ""


def ensure(
    version: str, components: Mapping[str, Path] | None = None, *, report: Report = silent, engine: Engine | None = None
) -> NodeImage:
    """The node image of a Kubernetes version with the given programs swapped in; built now unless the engine has it.

    Raises OrdealError for a wrong version, an unknown component or one that cannot run on a node, no engine, no room
    on disk; CommandError where a command fails. An interrupted build leaves no image of that tag.
    """
    wanted = normal_version(version)
    swapped = _swapped(components or {})
    engine = engine or require()
    programs = _programs(wanted, report) | swapped
    digest = _digest(programs)
    tag = f"{REPOSITORY}:v{wanted}-{digest}"
    found = _inspect(engine, tag)
    if found is not None:
        return found
    with locked(_building() / ".lock", lambda: report("another run is building a node image, waiting")):
        found = _inspect(engine, tag)
        if found is not None:
            return found
        started = time.monotonic()
        _sweep(engine)
        rootfs = make_rootfs(report)
        report(f"building the node image {tag}")
        with tempfile.TemporaryDirectory(prefix=".building-", dir=_building(), ignore_cleanup_errors=True) as work:
            try:
                _build(
                    engine, wanted, tag, digest, programs, {n: p.sha256 for n, p in swapped.items()}, rootfs, Path(work)
                )
            finally:
                _sweep(engine)
        report(f"built the node image in {time.monotonic() - started:.0f} s")
    found = _inspect(engine, tag)
    if found is None:
        raise OrdealError(f"the engine lost the image {tag} as soon as it was built; is its disk full?")
    return found


def find(engine: Engine, version: str, components: Mapping[str, Path] | None = None) -> NodeImage | None:
    """The image that `ensure` would return without building anything; None where it would have to build."""
    wanted = normal_version(version)
    bundles = [
        *(built(bundle, wanted) for bundle in KUBERNETES_BUNDLES),
        *(built(bundle) for bundle in OTHER_BUNDLES),
    ]
    programs = _by_name(each for each in bundles if each is not None)
    if any(each is None for each in bundles):
        return None
    return _inspect(engine, f"{REPOSITORY}:v{wanted}-{_digest(programs | _swapped(components or {}))}")


def list_images(engine: Engine | None = None) -> tuple[NodeImage, ...]:
    """The node images that the engine has, the newest first. Raises OrdealError where no engine answers."""
    engine = engine or require()
    said = engine.docker("image", "ls", "--filter", f"label={LABEL}.digest", "--format", "{{.Repository}}:{{.Tag}}")
    tags = [line for line in said.out.split() if line.startswith(f"{REPOSITORY}:")]
    found = [image for tag in tags if (image := _inspect(engine, tag)) is not None]
    return tuple(sorted(found, key=lambda image: image.built_at, reverse=True))


def remove(version_or_tag: str, engine: Engine | None = None) -> tuple[NodeImage, ...]:
    """Remove the image of that tag, or every image of that Kubernetes version; what was removed is returned.

    Raises OrdealError where there is none, CommandError where a node still uses it.
    """
    engine = engine or require()
    there = list_images(engine)
    bare = version_or_tag.strip().removeprefix("v")
    chosen = [i for i in there if version_or_tag in (i.tag, i.tag.partition(":")[2]) or bare == i.kubernetes]
    if not chosen:
        have = ", ".join(image.tag for image in there) or "none"
        raise OrdealError(f"there is no node image {version_or_tag!r}; there are: {have}.")
    for image in chosen:
        engine.docker("image", "rm", image.tag)
    return tuple(chosen)


def cgroup_version() -> int:
    """1 or 2: which cgroup hierarchy has this machine's controllers. kind's nodes get the same."""
    return 2 if Path("/sys/fs/cgroup/cgroup.controllers").is_file() else 1


def kind_config_patches(version: str, cgroups: int | None = None) -> tuple[str, ...]:
    """The kubeadmConfigPatches that a kind cluster of this version needs, with that cgroup version or this machine's.

    From 1.35 on the kubelet refuses cgroup v1 unless `failCgroupV1` is false (KEP-5573).
    """
    minor = int(normal_version(version).split(".")[1])
    if (cgroups or cgroup_version()) == 1 and minor >= 35:
        return ("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nfailCgroupV1: false\n",)
    return ()


def component_names() -> tuple[str, ...]:
    """The programs that can be swapped in with --component."""
    return tuple(name for bundle in (*KUBERNETES_BUNDLES, *OTHER_BUNDLES) for name in BUNDLES[bundle].commands)


def _programs(version: str, report: Report) -> dict[str, _Program]:
    kubernetes = [build(bundle, version, report=report) for bundle in KUBERNETES_BUNDLES]
    return _by_name([*kubernetes, *(build(bundle, report=report) for bundle in OTHER_BUNDLES)])


def _by_name(bundles: Iterable[Binaries]) -> dict[str, _Program]:
    return {name: _Program(each.directory / name, sha) for each in bundles for name, sha in each.sha256.items()}


def _swapped(components: Mapping[str, Path]) -> dict[str, _Program]:
    return {name: _checked(name, path) for name, path in components.items()}


def _checked(name: str, path: Path) -> _Program:
    """A program that a user swaps in, if it can run on a node."""
    if name not in component_names():
        raise OrdealError(f"no component is named {name!r}; there are {', '.join(component_names())}.")
    if not path.is_file():
        raise OrdealError(f"component {name}: there is no file {path}.")
    if not os.access(path, os.X_OK):
        raise OrdealError(f"component {name}: {path} is not executable; `chmod +x` it.")
    machines = {"amd64": 62, "arm64": 183}  # EM_X86_64, EM_AARCH64 (elf.h)
    with path.open("rb") as read:
        head = read.read(64)
        if len(head) < 64 or head[:4] != b"\x7fELF" or head[4] != 2 or head[5] != 1:
            raise OrdealError(f"component {name}: {path} is not a 64-bit little-endian ELF program.")
        (machine,) = struct.unpack_from("<H", head, 18)
        if machine != machines[goarch()]:
            raise OrdealError(f"component {name}: {path} is for another architecture than this machine's, {goarch()}.")
        offset, size, count = (*struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54))
        read.seek(offset)
        table = read.read(size * count)
    dynamic = any(struct.unpack_from("<I", table, at)[0] == 3 for at in range(0, len(table), size))  # 3: PT_INTERP
    if dynamic and name not in ON_NODE:
        raise OrdealError(
            f"component {name}: {path} is dynamically linked, and its image has no libraries; "
            f"build it with CGO_ENABLED=0."
        )
    with path.open("rb") as read:
        return _Program(path, hashlib.file_digest(read, "sha256").hexdigest())


def _recipes() -> Path:
    return manifests_dir() / "node-image"


def _building() -> Path:
    return cache_dir() / "images"


def _digest(programs: Mapping[str, _Program]) -> str:
    """Of every file of the recipe and every program; 12 hex digits."""
    digest = hashlib.sha256(f"{LAYOUT} {DEBIAN} {goarch()}".encode())
    for path in sorted(_recipes().rglob("*")):
        if path.is_file() and path.parent.name != "pause":  # pause is there as a program
            digest.update(f"\0{path.relative_to(_recipes())}\0".encode() + path.read_bytes())
    for name, program in sorted(programs.items()):
        digest.update(f"\0{name}={program.sha256}".encode())
    return digest.hexdigest()[:12]


def _inspect(engine: Engine, tag: str) -> NodeImage | None:
    said = engine.docker("image", "inspect", tag, check=False)
    if said.code != 0:
        return None
    (entry,) = json.loads(said.out)
    labels = entry["Config"]["Labels"] or {}
    if f"{LABEL}.digest" not in labels:
        return None
    return NodeImage(
        tag=tag,
        kubernetes=labels[f"{LABEL}.kubernetes"],
        digest=labels[f"{LABEL}.digest"],
        built_at=datetime.fromisoformat(entry["Created"]),
        size_bytes=int(entry["Size"]),
        components=json.loads(labels[f"{LABEL}.components"]),
    )


def _sweep(engine: Engine) -> None:
    """Remove the containers and images of a build: of this one at its end, of one that was killed. We hold the lock."""
    containers = engine.docker("ps", "-aq", "--filter", f"name=^/?{BUILDER}").out.split()
    if containers:
        engine.docker("rm", "-f", "-v", *containers)
    images = engine.docker(
        "image", "ls", "--filter", "reference=kube-ordeal/build-*", "--format", "{{.Repository}}:{{.Tag}}"
    )
    for tag in images.out.split():
        engine.docker("image", "rm", "-f", tag, check=False)
    for leftover in _building().glob(".building-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def busybox(report: Report = silent) -> Path:
    """The directory with busybox, a link for each of its commands and the few directories that a program expects."""
    return make_rootfs(report) / "tools-busybox"


def has_rootfs() -> bool:
    """Whether the cache has what `make_rootfs` would make."""
    return _rootfs()[0].is_dir()


def make_rootfs(report: Report = silent) -> Path:
    """The directory with rootfs.tar, tools-network/ and tools-busybox/, made by debootstrap unless the cache has it.

    Raises OrdealError without root or room on disk, CommandError.
    """
    target, packages = _rootfs()
    if target.is_dir():
        trusted.check(target / "rootfs.tar", cache_path())
        return target
    with locked(target.parent / ".lock", lambda: report("another run is making a root file system, waiting")):
        if not target.is_dir():
            _make_rootfs(target, packages, report)
    return target


def _rootfs() -> tuple[Path, list[str]]:
    """Where it is or will be, and the packages in it."""
    packages = [line for line in (_recipes() / "packages.txt").read_text().split("\n") if line and line[0] != "#"]
    digest = hashlib.sha256(" ".join([DEBIAN, goarch(), "layout 1", *packages]).encode()).hexdigest()[:12]
    return cache_dir() / "rootfs" / f"{DEBIAN}-{digest}", packages


def _make_rootfs(target: Path, packages: list[str], report: Report) -> None:
    """We hold the lock."""
    base = target.parent
    for leftover in base.glob(".building-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    report(f"making a Debian {DEBIAN} root file system")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".building-", dir=base, ignore_cleanup_errors=True) as work:
        root, out = Path(work) / "root", Path(work) / "out"
        out.mkdir()
        debootstrap(root, packages, report)
        _cut_network_tools(root, out / "tools-network")
        _cut_busybox(root, out / "tools-busybox")
        run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(out / "rootfs.tar"), "."], timeout_s=BUILD_TIMEOUT_S)
        out.rename(target)
    report(f"made the root file system in {time.monotonic() - started:.0f} s")


def _cut_network_tools(root: Path, out: Path) -> None:
    """Copy the tools that kube-proxy and flannel call, with the libraries that they load and a shell."""
    _cut_busybox(root, out)
    target = out / "usr/sbin"
    target.mkdir(parents=True)
    wanted = []
    for name in NETWORK_TOOLS:
        found = next(path for each in ("usr/sbin", "usr/bin") if (path := root / each / name).is_file())
        shutil.copyfile(found, target / name)
        (target / name).chmod(0o755)
        wanted.append(found)
    for name in IPTABLES_NAMES:
        (target / name).symlink_to("xtables-nft-multi")
    plugins = sorted(root.glob("usr/lib/*/xtables/*.so"))
    listed = run(
        ["chroot", str(root), "ldd", *(f"/{path.relative_to(root)}" for path in [*wanted, *plugins])], check=False
    )
    libraries = {
        word for line in listed.out.splitlines() for word in line.split() if word.startswith("/") and word[-1] != ":"
    }
    for path in (*plugins, *(root / library.lstrip("/") for library in sorted(libraries))):
        copy = out / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o755)


def _cut_busybox(root: Path, out: Path) -> None:
    """Copy busybox, a link for each of its commands, and the few directories that a program expects."""
    target = out / "bin"
    target.mkdir(parents=True)
    shutil.copyfile(root / "bin/busybox", target / "busybox")
    (target / "busybox").chmod(0o755)
    for name in run(["chroot", str(root), "/bin/busybox", "--list"]).out.split():
        if name != "busybox":
            (target / name).symlink_to("busybox")
    for each, mode in (("tmp", 0o1777), ("root", 0o700), ("etc", 0o755), ("var/tmp", 0o1777), ("www", 0o755)):
        (out / each).mkdir(parents=True, exist_ok=True)
        (out / each).chmod(mode)
    (out / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n")
    (out / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")


def _build(
    engine: Engine,
    version: str,
    tag: str,
    digest: str,
    programs: Mapping[str, _Program],
    swapped: Mapping[str, str],
    rootfs: Path,
    work: Path,
) -> None:
    """Build the inner images and the node, load the former into the latter, and commit it under its tag."""
    for program in programs.values():
        binaries.check(program.path, program.sha256)
    names = _kubeadm_names(programs["kubeadm"].path, version)
    inner = _inner_images(names)
    temporary = {f"kube-ordeal/build-{index}:{digest}": each for index, each in enumerate(inner)}
    for name, each in temporary.items():
        context = work / "inner"
        _link_programs(context / "programs", each.programs, programs)
        if each.tools:
            shutil.copytree(rootfs / each.tools, context / "tools", symlinks=True)
        if each.name == _flannel_image():
            shutil.copy(_recipes() / "images/flannel/write-cni-conf", context / "programs")
            (context / "programs/write-cni-conf").chmod(0o755)
        engine.build(name, _recipes() / f"images/{each.recipe}.Containerfile", context)
        shutil.rmtree(context)

    base = f"kube-ordeal/build-node:{digest}"
    context = work / "node"
    _link_programs(context / "programs", ON_NODE, programs)
    _link_programs(context / "cni", BUNDLES["cni"].commands, programs)
    _node_files(context / "root", version, names)
    engine.build(base, _recipes() / "Containerfile", context, ROOTFS=_import_rootfs(engine, rootfs))

    # It ends by itself: a build that was killed leaves no container for longer than that.
    container = engine.docker(
        "run", "-d", "--rm", "--network=none", f"--name={BUILDER}{digest}", "--entrypoint=/bin/sleep", base,
        str(int(BUILD_TIMEOUT_S)),
    ).out.strip()  # fmt: skip
    into = engine.argv("exec", "-i", container, "sh", "-c", "cat >/images.tar")
    pour(engine.argv("save", *temporary), [into], timeout_s=BUILD_TIMEOUT_S)
    pairs = [word for name, each in temporary.items() for word in (name, each.name)]
    script = (_recipes() / "load-images").read_text()
    loaded = engine.docker(
        "exec", "-i", container, "sh", "-s", "--", *pairs, stdin=script, timeout_s=BUILD_TIMEOUT_S
    ).out.split()
    missing = {each.name for each in inner} - set(loaded)
    if missing:
        raise OrdealError(f"the node image lacks {', '.join(sorted(missing))}, which were loaded; it has {loaded}.")
    labels = {"digest": digest, "kubernetes": version, "components": json.dumps(dict(swapped), sort_keys=True)}
    changes = [f"LABEL {LABEL}.{key}={json.dumps(value)}" for key, value in labels.items()]
    changes += ['ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]', "CMD []"]
    engine.docker("commit", *(f"--change={each}" for each in changes), container, tag, timeout_s=BUILD_TIMEOUT_S)


def _inner_images(names: Mapping[str, str]) -> tuple[_Inner, ...]:
    component = [_Inner(names[name], "component", (name,)) for name in CONTROL_PLANE]
    return (
        *component,
        _Inner(names["etcd"], "component", ("etcd", "etcdctl", "etcdutl")),
        _Inner(names["coredns"], "coredns", ("coredns",)),
        _Inner(names["pause"], "pause", ("pause",)),
        _Inner(names["kube-proxy"], "network", ("kube-proxy",), "tools-network"),
        _Inner(_flannel_image(), "network", ("flanneld",), "tools-network"),
        _Inner(_local_path_image(), "component", ("local-path-provisioner",)),
        _Inner(WORKLOAD_IMAGE, "busybox", (), "tools-busybox"),
    )


def _flannel_image() -> str:
    return f"localhost/kube-ordeal/flannel:v{BUNDLES['flannel'].default}"


def _local_path_image() -> str:
    return f"localhost/kube-ordeal/local-path-provisioner:v{BUNDLES['local-path-provisioner'].default}"


def _kubeadm_names(kubeadm: Path, version: str) -> dict[str, str]:
    """The image names that kubeadm of this version will ask for, by program: `pause` -> `.../pause:3.10.1`."""
    said = run([str(kubeadm), "config", "images", "list", "--kubernetes-version", f"v{version}"])
    names = {line.rpartition("/")[2].partition(":")[0]: line.strip() for line in said.out.splitlines() if ":" in line}
    missing = {*CONTROL_PLANE, "kube-proxy", "etcd", "coredns", "pause"} - names.keys()
    if missing:
        raise OrdealError(f"{kubeadm} names no image for {', '.join(sorted(missing))}; is it a kubeadm of {version}?")
    return names


def _node_files(out: Path, version: str, names: Mapping[str, str]) -> None:
    """Copy the node's own files, with the image names filled in and modes that do not hang on the checkout's."""
    filled = {
        "@PAUSE_IMAGE@": names["pause"],
        "@FLANNEL_IMAGE@": _flannel_image(),
        "@LOCAL_PATH_IMAGE@": _local_path_image(),
        "@BUSYBOX_IMAGE@": WORKLOAD_IMAGE,
    }
    source = _recipes() / "root"
    for path in source.rglob("*"):
        copy = out / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text()
        for mark, value in filled.items():
            text = text.replace(mark, value)
        copy.write_text(text)
        copy.chmod(0o755 if "usr/local" in str(copy.parent) else 0o644)
    (out / "kind/version").write_text(f"v{version}")


def _link_programs(out: Path, wanted: Iterable[str], programs: Mapping[str, _Program]) -> None:
    out.mkdir(parents=True)
    for name in wanted:
        shutil.copyfile(programs[name].path, out / name)
        (out / name).chmod(0o755)


def _import_rootfs(engine: Engine, rootfs: Path) -> str:
    tag = f"kube-ordeal/rootfs:{rootfs.name}"
    if engine.docker("image", "inspect", tag, check=False).code != 0:
        engine.load_archive(rootfs / "rootfs.tar", tag)
    return tag
