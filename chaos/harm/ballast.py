"""A node's own file system, filled with a ballast that is put there and taken away from the host's side."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import msgspec

from chaos.clusters.abilities import NodeImages, OwnFileSystems
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.thresholds import crossed, hard_thresholds, running_config
from chaos.harm.uses import Uses

BALLAST = "kube-ordeal-ballast"
OFF_BY_PERCENT = 1.0  # what else is written or removed while the ballast is


class _Fillable(Cluster, OwnFileSystems, NodeImages, Protocol): ...


class FillFileSystemPlan(msgspec.Struct, frozen=True):
    """`folder`: the host's mount of the file system; `size_bytes`: of the ballast; `images`: all that the node had."""

    node: str
    folder: str
    size_bytes: int
    used_percent: float
    images: tuple[str, ...]


@fault
@dataclass(frozen=True, slots=True)
class FillFileSystem:
    """Fill the node's own file system that is mounted at `path` until `used_percent` of it are used.

    Used is what is not available to an unprivileged user, as the kubelet counts it. A file system that the node shares
    with the machine is never filled. Undo removes the ballast by the host's own mount, whatever the node's daemons do,
    and puts back the images that the kubelet collected meanwhile, because there may be no registry to pull them from.
    """

    kind: ClassVar[str] = "fill-file-system"
    counterpart: ClassVar[str] = "empty_file_system"
    needs: ClassVar[tuple[type, ...]] = (OwnFileSystems, NodeImages)
    uses: ClassVar[Uses] = Uses()
    node: str
    path: str
    used_percent: float

    def plan(self, cluster: _Fillable) -> FillFileSystemPlan:
        if isinstance(self.used_percent, bool) or not 0 <= self.used_percent <= 100:
            raise OrdealError(f"{self.path} can't be filled to {self.used_percent} %: say a percentage from 0 to 100")
        ready_worker(cluster, self.node, f"its {self.path} is not filled")
        own = {f.path: f.host_path for f in cluster.own_file_systems(self.node)}
        if self.path not in own:
            raise OrdealError(
                f"{self.path} of {self.node} is no file system of its own; filling it would fill this machine's disk: "
                f"the node's own are {', '.join(own) or 'none'}; ask for a cluster whose first worker has one"
            )
        ballast = Path(own[self.path]) / BALLAST
        if ballast.exists():
            raise OrdealError(f"{self.path} of {self.node} holds a ballast already: run `kube-ordeal undo`")
        space = _space(own[self.path])
        size_bytes = math.ceil(space.total_bytes * self.used_percent / 100) - space.used_bytes
        if size_bytes <= 0:
            raise OrdealError(
                f"{self.path} of {self.node} is {space.used_percent:.1f} % full before the fault, so it can't be "
                f"filled to {self.used_percent:g} %: say a higher percentage"
            )
        if size_bytes > space.free_bytes:
            raise OrdealError(
                f"a ballast of {size_bytes >> 20} MiB is larger than what {self.path} of {self.node} can take, "
                f"{space.free_bytes >> 20} MiB: say less than {self.used_percent:g} %"
            )
        found = crossed(cluster, self.node, hard_thresholds(running_config(cluster, self.node)))
        if found is not None:
            raise OrdealError(
                f"the threshold {found.signal}<{found.threshold} is already crossed on {self.node} before the fault: "
                f"{found.left_percent:g} % is left, so nothing could be told of the fault"
            )
        images = cluster.image_names(self.node)
        return FillFileSystemPlan(self.node, own[self.path], size_bytes, self.used_percent, images)

    def apply(self, cluster: _Fillable, saved: FillFileSystemPlan) -> None:
        folder = _mounted(saved)
        if folder is None:
            raise OrdealError(f"{saved.folder} is not mounted any more: it would be this machine's own disk")
        descriptor = os.open(folder / BALLAST, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, saved.size_bytes)
        finally:
            os.close(descriptor)

    def landed(self, cluster: _Fillable, saved: FillFileSystemPlan) -> bool:
        folder = _mounted(saved)
        if folder is None:
            return False
        used_enough = _space(str(folder)).used_percent >= saved.used_percent - OFF_BY_PERCENT
        return _ballast_bytes(folder) >= saved.size_bytes and used_enough

    @staticmethod
    def lasts(cluster: _Fillable, saved: FillFileSystemPlan) -> bool:
        """The ballast; how full the file system is besides depends on who makes room there."""
        folder = _mounted(saved)
        return folder is not None and _ballast_bytes(folder) >= saved.size_bytes

    @staticmethod
    def undo(cluster: _Fillable, saved: FillFileSystemPlan) -> None:
        folder = _mounted(saved)
        if folder is not None:
            (folder / BALLAST).unlink(missing_ok=True)
        cluster.restore_images(saved.node, saved.images)

    @staticmethod
    def undone(cluster: _Fillable, saved: FillFileSystemPlan) -> bool:
        folder = _mounted(saved)
        gone = folder is None or not (folder / BALLAST).exists()
        return gone and set(saved.images) <= set(cluster.image_names(saved.node))


@dataclass(frozen=True, slots=True)
class _Space:
    total_bytes: int
    free_bytes: int

    @property
    def used_bytes(self) -> int:
        return self.total_bytes - self.free_bytes

    @property
    def used_percent(self) -> float:
        return 100 * self.used_bytes / self.total_bytes


def _space(folder: str) -> _Space:
    """What the kernel says of the file system, in the kubelet's terms: capacity and available (statvfs, f_bavail)."""
    said = os.statvfs(folder)
    return _Space(said.f_blocks * said.f_frsize, said.f_bavail * said.f_frsize)


def _ballast_bytes(folder: Path) -> int:
    """What the ballast takes on disk; nothing where it is not there."""
    try:
        return (folder / BALLAST).stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _mounted(saved: FillFileSystemPlan) -> Path | None:
    """The host's mount of the file system; None where nothing is mounted there, so that it is the machine's own."""
    folder = Path(saved.folder)
    return folder if folder.is_mount() else None
