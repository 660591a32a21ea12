"""Where kind clusters that are made here are kept: kubeconfig, configuration, identity, their nodes' file systems."""

from pathlib import Path

import msgspec

from chaos.basics.untrusted import json_file
from chaos.clusters.base import KIND, ClusterRef
from chaos.clusters.identity import Identity
from chaos.clusters.kind import docker, loopfs, networks
from chaos.clusters.kind.config import KindSetup
from chaos.clusters.kind.loopfs import LoopFileSystem
from chaos.clusters.shape import VOLUME, Shape
from chaos.errors import OrdealError
from chaos.hosts import trusted
from chaos.hosts.places import state_dir, state_path

CONFIG, IDENTITY = "kind.yaml", "identity.json"  # in the home of a cluster that was begun, and that is done
IMAGEFS, NODEFS = "/var/lib/containerd", "/var/lib/kubelet"


def home_of(name: str) -> Path:
    """Where the kubeconfig, kind config and loop-backed file systems are kept of a cluster that is made here."""
    return state_dir() / "clusters" / trusted.inside(name)


def made_here(name: str) -> ClusterRef:
    """The reference of a cluster that was made here, with what it was when it was done; half-made it has no identity.

    Raises OrdealError where what is kept of it can't be read.
    """
    kept = home_of(name) / IDENTITY
    trusted.check(kept, state_path())
    try:
        identity = msgspec.convert(json_file(kept), Identity) if kept.is_file() else None
    except (OSError, ValueError) as error:
        raise OrdealError(
            f"{kept} can't be read ({error}); remove it if the cluster {name} is yours to lose"
        ) from error
    return ClusterRef(KIND, name, str(home_of(name) / "kubeconfig"), identity=identity)


def all_made_here() -> tuple[ClusterRef, ...]:
    """The clusters that were made here, or begun, and not deleted. Raises OrdealError as `made_here`."""
    homes = home_of("-").parent
    names = sorted(each.name for each in homes.iterdir()) if homes.is_dir() else []
    begun = [n for n in names if (home_of(n) / CONFIG).is_file() or file_systems_of(n).is_dir()]
    return tuple(made_here(name) for name in begun)


def exists(name: str) -> bool:
    """Whether anything is left of the kind cluster of that name: a node, its network, or a file system of a node."""
    return bool(docker.names_in_cluster(name)) or _surroundings_left(name)


def only_surroundings_left(name: str) -> bool:
    """Whether the cluster's nodes are gone, and their network, or file systems of theirs, are still there."""
    return not docker.names_in_cluster(name) and _surroundings_left(name)


def _surroundings_left(name: str) -> bool:
    return networks.is_there(name) or loopfs.left(file_systems_of(name))


def file_systems_of(name: str) -> Path:
    """Where the file systems are that its nodes have for themselves."""
    return home_of(name) / "filesystems"


def copier(name: str) -> str:
    """The name of the container that copies out of the node image."""
    return f"{name}-copies-images"


def bringer(name: str) -> str:
    """The name of the container that another version is brought from."""
    return f"{name}-brings-version"


def make_file_systems(name: str, shape: Shape, setup: KindSetup) -> tuple[tuple[LoopFileSystem, ...], ...]:
    """Each worker's own file systems, mounted on the host; the first one's have what the node image has there."""
    folder, first = file_systems_of(name), []
    for its_name, path, size_bytes in (
        ("imagefs", IMAGEFS, shape.imagefs_bytes),
        ("nodefs", NODEFS, shape.nodefs_bytes),
    ):
        if not size_bytes:
            continue
        if not shape.workers or setup.node_image is None:
            raise OrdealError(
                "a file system of its own is for the first worker, and is filled from a node image: name both"
            )
        first.append(loopfs.make(folder, its_name, path, size_bytes))
        loopfs.fill_from_image(first[-1], setup.node_image, copier(name))
    made: list[tuple[LoopFileSystem, ...]] = [tuple(first), *[()] * (shape.workers - 1)][: shape.workers]
    if shape.volume_bytes:
        made = [(*own, loopfs.make(folder, f"volume-{i}", VOLUME, shape.volume_bytes)) for i, own in enumerate(made)]
    return tuple(made)


def make_shared(name: str, shape: Shape) -> Path | None:
    """The folder of the host that every node is to have, empty; None where the shape wants none."""
    if not shape.shared_folder:
        return None
    folder = home_of(name) / "shared"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # whatever the umask is: a pod's user is not this one
    return folder
