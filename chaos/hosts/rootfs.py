"""Debian root file systems for images, made by debootstrap: no registry is asked."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from chaos.basics.progress import Report
from chaos.errors import OrdealError
from chaos.hosts.command import run
from chaos.hosts.packages import install, need_root
from chaos.hosts.places import cache_dir

DEBIAN = "bookworm"
FREE_BYTES_NEEDED = 2 * 1024**3  # the tree, the packages it is unpacked from, and the archive that is made of it
TIMEOUT_S = 900.0
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
OPEN_UMASK = 0o022  # of what everybody in an image can read, whatever this process's own is
# For what runs inside a root file system: another folder of the user's is not there, and packages' scripts fail.
INSIDE = {"TMPDIR": "/tmp"}  # noqa: S108  (a folder of that root file system)


def debootstrap(root: Path, packages: Sequence[str], report: Report) -> None:
    """Make a minimal Debian with these packages in the directory `root`, stripped of what an image does not need.

    What it takes is signed by Debian, or it is not used. Installs what is missing for that. Raises OrdealError without
    root or room on disk, CommandError.
    """
    free_bytes = shutil.disk_usage(root.parent).free
    if free_bytes < FREE_BYTES_NEEDED:
        raise OrdealError(
            f"{cache_dir()} has {free_bytes >> 20} MiB free, and a root file system for an image takes "
            f"{FREE_BYTES_NEEDED >> 20} MiB while it is made: free some space"
        )
    need_root("making a root file system for an image")
    if lacking := _lacking():
        install(lacking, report)
    include = [f"--include={','.join(packages)}"] if packages else []
    # In namespaces that end with this process: what debootstrap mounts and starts is gone with it, however it ends.
    run(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "slave", "--pid", "--fork",
         "--kill-child", "debootstrap", "--variant=minbase",
         "--force-check-gpg", f"--keyring={KEYRING}", *include, DEBIAN, str(root)],
        timeout_s=TIMEOUT_S, umask=OPEN_UMASK, env=INSIDE,
    )  # fmt: skip
    strip(root)


def _lacking() -> list[str]:
    """Debian's packages that are missing. Without the keyring, or what verifies by it, debootstrap only warns."""
    lacking = [program for program in ("debootstrap", "gpgv") if shutil.which(program) is None]
    return lacking if KEYRING.is_file() else [*lacking, "debian-archive-keyring"]


def strip(root: Path) -> None:
    """Take out what an image does not need, and what must not be the same on all nodes."""
    for path in (root / "usr/share/doc").rglob("*"):
        if path.is_file() and path.name != "copyright":
            path.unlink()
    for each in (
        "usr/share/man",
        "usr/share/info",
        "usr/share/locale",
        "var/lib/apt/lists",
        "var/cache/apt",
        "var/log",
    ):
        shutil.rmtree(root / each, ignore_errors=True)
    for each in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/journal"):
        for folder in (*reversed(Path(each).parents), Path(each)):
            if not (root / folder).exists():
                (root / folder).mkdir()
                (root / folder).chmod(0o755)
    for each in ("etc/hostname", "etc/resolv.conf", "var/lib/dbus/machine-id"):
        (root / each).unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("")
    (root / "etc/machine-id").chmod(0o644)
