"""The programs in a node image: those that are built here, and those that a user swaps in."""

import hashlib
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.basics.progress import Report
from chaos.errors import OrdealError
from chaos.hosts import bundles
from chaos.hosts.binaries import Binaries, build
from chaos.hosts.bundles import BUNDLES
from chaos.hosts.go import goarch

KUBERNETES_BUNDLES = (bundles.CONTROL_PLANE, bundles.KUBERNETES)
OTHER_BUNDLES = ("etcd", "coredns", "cni", "flannel", "local-path-provisioner", "pause")
ON_NODE = ("kubelet", "kubeadm", "kubectl")


@dataclass(frozen=True, slots=True)
class NodeProgram:
    """A program that goes into a node image, and its SHA-256 in hex."""

    path: Path
    sha256: str


def component_names() -> tuple[str, ...]:
    """The programs that can be swapped in with --component."""
    return tuple(name for bundle in (*KUBERNETES_BUNDLES, *OTHER_BUNDLES) for name in BUNDLES[bundle].commands)


def build_programs(version: str, report: Report) -> dict[str, NodeProgram]:
    """What goes into the node image of a version, by the programs' names; built unless the cache has it.

    Raises OrdealError, CommandError as chaos.hosts.binaries.build does.
    """
    kubernetes = [build(bundle, version, report=report) for bundle in KUBERNETES_BUNDLES]
    return by_name([*kubernetes, *(build(bundle, report=report) for bundle in OTHER_BUNDLES)])


def by_name(there: Iterable[Binaries]) -> dict[str, NodeProgram]:
    """The programs of these bundles by their names."""
    return {name: NodeProgram(each.directory / name, sha) for each in there for name, sha in each.sha256.items()}


def swapped_in(components: Mapping[str, Path]) -> dict[str, NodeProgram]:
    """What a user swaps in, by the programs' names. Raises OrdealError for what can't run on a node."""
    return {name: _checked(name, path) for name, path in components.items()}


def _checked(name: str, path: Path) -> NodeProgram:
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
        return NodeProgram(path, hashlib.file_digest(read, "sha256").hexdigest())
