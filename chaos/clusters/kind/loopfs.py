"""Loop-backed file systems of a node's own, so that filling one is felt by no other node and not by this machine.

Each is a sparse file with ext4 in it, mounted on the host; kind binds the mount into the node. All of a cluster's lie
in one folder, and what is mounted or attached is found again by that folder's path alone: nothing is remembered.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.errors import OrdealError
from chaos.hosts import engine, mounts
from chaos.hosts.command import pour, run

LEAVE_FREE_BYTES = 1024**3  # on the machine's disk, should every file become as large as it may
GONE_WITHIN_S = 60.0  # a container's mounts go a moment after its last process


@dataclass(frozen=True, slots=True)
class LoopFileSystem:
    """A file system in a file: what it is called, where the host has it mounted, where the node has it."""

    name: str
    mounted: Path
    path: str


def make(folder: Path, name: str, path: str, size_bytes: int) -> LoopFileSystem:
    """Make `folder`/`name`.img with ext4 in it and mount it at `folder`/`name`, for the node's `path`.

    Raises OrdealError without root, or where the machine's disk has too little room for it; CommandError.
    """
    if os.geteuid() != 0:
        raise OrdealError(
            f"a file system of its own for a node ({path}) is a loop mount, which only root can make: run this as root"
        )
    folder.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < size_bytes + LEAVE_FREE_BYTES:
        raise OrdealError(
            f"{folder} has {free_bytes >> 20} MiB free, and a node's file system of {size_bytes >> 20} MiB must leave "
            f"{LEAVE_FREE_BYTES >> 20} MiB of it: free some space"
        )
    image, mounted = folder / f"{name}.img", folder / name
    with image.open("wb") as file:
        file.truncate(size_bytes)
    mounted.mkdir(exist_ok=True)
    # Without a share for root (-m 0): what is free to root and what is available, as a kubelet counts it, are the same.
    run(["mkfs.ext4", "-q", "-m", "0", "-E", "nodiscard", str(image)], timeout_s=60)
    run(["mount", "-t", "ext4", "-o", "loop,noatime", str(image), str(mounted)], timeout_s=30)
    (mounted / "lost+found").rmdir()
    return LoopFileSystem(name, mounted, path)


def fill_from_image(of: LoopFileSystem, image: str, container: str) -> None:
    """Copy what a node image has at the file system's path into it, by a container so named. Raises CommandError.

    As an archive that this machine unpacks: owners, modes and links stay what they are in the image, also where the
    engine gives containers other users, labels, or another view of this machine's folders. A path that the image lacks
    is an empty one.
    """
    entries = f'cd "{of.path}" 2>/dev/null && set -- . || set -- --files-from=/dev/null'
    script = f'{entries}; exec tar --numeric-owner --xattrs -c "$@"'
    argv = engine.chosen().argv(
        "run", "--rm", "--name", container, "--network=none", "--entrypoint=sh", image, "-ec", script
    )
    unpack = ["tar", "--numeric-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*"]
    pour(argv, [[*unpack, f"--directory={of.mounted}", "-xf", "-"]], timeout_s=120)


def left(folder: Path) -> bool:
    """Whether anything is mounted below the folder, or a loop device has a file of it."""
    return bool(_mounts(folder) or _loops(folder))


def take_down(folder: Path) -> None:
    """Unmount all below the folder, detach its loop devices, delete its files. Safe to repeat, and after a crash.

    Raises WaitedInVainError, with the processes' names, where something still uses a file system; nothing in it is
    deleted then.
    """

    def gone() -> bool:
        for mounted in sorted(_mounts(folder), key=len, reverse=True):
            run(["umount", mounted], timeout_s=30)
        for device in _loops(folder):
            run(["losetup", "--detach", device], timeout_s=30)
        return not left(folder)

    if left(folder):
        devices = [Path(each).stat().st_rdev for each in _loops(folder)]
        try:
            eventually(gone, within_s=GONE_WITHIN_S, what=f"the file systems in {folder} to be unmounted", every_s=0.5)
        except WaitedInVainError as error:
            users = ", ".join(f"{each.name} (process {each.pid})" for each in mounts.users(devices))
            raise WaitedInVainError(f"{error}; used by {users or 'no process that could be found'}") from error
    shutil.rmtree(folder, ignore_errors=True)


def _mounts(folder: Path) -> list[str]:
    """Mount points at or below the folder, each as often as something is mounted on it."""
    return [str(point) for point in mounts.below(folder)]


def _loops(folder: Path) -> list[str]:
    """Loop devices whose file is, or was, in the folder."""
    out = run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"], timeout_s=20).out
    devices = json.loads(out)["loopdevices"] if out.strip() else []
    files = {d["name"]: Path((d["back-file"] or "/").removesuffix(" (deleted)")) for d in devices}
    return [name for name, file in files.items() if file.is_relative_to(folder.resolve())]
