"""Node images for kind: a Debian root file system, our own Kubernetes binaries, and every image that a node needs.

No registry is asked. The tag holds a digest of all that went in: the files in manifests/node-image, each program's
SHA-256, the components that a user swapped in. An image with that tag is complete, because a commit makes it at once.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.errors import OrdealError
from chaos.hosts.binaries import built
from chaos.hosts.bundles import normal_version
from chaos.hosts.engine import Engine, require
from chaos.hosts.go import goarch
from chaos.hosts.image_build import BUILDER, LABEL, build_image
from chaos.hosts.image_programs import (
    KUBERNETES_BUNDLES,
    OTHER_BUNDLES,
    NodeProgram,
    build_programs,
    by_name,
    swapped_in,
)
from chaos.hosts.image_rootfs import make_rootfs, recipes
from chaos.hosts.lock import locked
from chaos.hosts.places import cache_dir
from chaos.hosts.rootfs import DEBIAN

REPOSITORY = "kube-ordeal/node"
LAYOUT = "2"  # raise it when other things are put into an image; the recipe's own files are digested anyway


@dataclass(frozen=True, slots=True)
class NodeImage:
    """A node image that the engine has. `components` maps each program that a user swapped in to its SHA-256."""

    tag: str
    kubernetes: str
    digest: str
    built_at: datetime
    size_bytes: int
    components: Mapping[str, str] = field(default_factory=dict)


def ensure(
    version: str, components: Mapping[str, Path] | None = None, *, report: Report = silent, engine: Engine | None = None
) -> NodeImage:
    """The node image of a Kubernetes version with the given programs swapped in; built now unless the engine has it.

    Raises OrdealError for a wrong version, an unknown component or one that cannot run on a node, no engine, no room
    on disk; CommandError where a command fails. An interrupted build leaves no image of that tag.
    """
    wanted = normal_version(version)
    swapped = swapped_in(components or {})
    engine = engine or require()
    programs = build_programs(wanted, report) | swapped
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
                build_image(
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
    needed = [
        *(built(bundle, wanted) for bundle in KUBERNETES_BUNDLES),
        *(built(bundle) for bundle in OTHER_BUNDLES),
    ]
    programs = by_name(each for each in needed if each is not None)
    if any(each is None for each in needed):
        return None
    return _inspect(engine, f"{REPOSITORY}:v{wanted}-{_digest(programs | swapped_in(components or {}))}")


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


def _building() -> Path:
    return cache_dir() / "images"


def _digest(programs: Mapping[str, NodeProgram]) -> str:
    """Of every file of the recipe and every program; 12 hex digits."""
    digest = hashlib.sha256(f"{LAYOUT} {DEBIAN} {goarch()}".encode())
    for path in sorted(recipes().rglob("*")):
        if path.is_file() and path.parent.name != "pause":  # pause is there as a program
            digest.update(f"\0{path.relative_to(recipes())}\0".encode() + path.read_bytes())
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
