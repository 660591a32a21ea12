"""The root file system of node images: a Debian, made once, and the tools that are cut out of it for images inside."""

import hashlib
import shutil
import tempfile
import time
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.hosts import trusted
from chaos.hosts.command import run
from chaos.hosts.go import goarch
from chaos.hosts.lock import locked
from chaos.hosts.places import cache_dir, cache_path, manifests_dir
from chaos.hosts.rootfs import DEBIAN, debootstrap

BUILD_TIMEOUT_S = 900.0
# What kube-proxy and flannel call by name.
NETWORK_TOOLS = ("xtables-nft-multi", "nft", "conntrack", "ip")
IPTABLES_NAMES = tuple(f"ip{six}tables{what}" for six in ("", "6") for what in ("", "-save", "-restore"))


def recipes() -> Path:
    """The folder with the files that a node image is made from."""
    return manifests_dir() / "node-image"


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
    packages = [line for line in (recipes() / "packages.txt").read_text().split("\n") if line and line[0] != "#"]
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
