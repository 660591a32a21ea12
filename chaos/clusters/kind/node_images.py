"""Container images on nodes that are containers: which there are, and putting back what a kubelet has removed.

A kubelet under disk pressure removes every image that no container uses, the sandbox's among them where the runtime
does not say that it is pinned (containerd before 1.7). Without a registry they could never be pulled again.
"""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos.clusters.kind import docker
from chaos.errors import OrdealError
from chaos.hosts import engine, registry
from chaos.hosts.command import Output, pour
from chaos.hosts.go import goarch

CTR = ("ctr", "--namespace", "k8s.io")
# What carries it stays, with all that it names. Source: containerd, docs/garbage-collection.md.
ROOT_LABEL = "containerd.io/gc.root"


@dataclass(frozen=True, slots=True)
class _Image:
    name: str
    media_type: str
    digest: str  # of its manifest


def names(node: str) -> tuple[str, ...]:
    """The names of the images on a running node. Raises CommandError."""
    return tuple(sorted(_images(node)))


def keep_content(node: str) -> None:
    """Let the content of the node's images outlive their removal; what was unpacked of them goes. Raises CommandError.

    So an image that the kubelet removes is gone for it, and can be put back in a moment.
    """
    for digest in {image.digest for image in _images(node).values()}:
        _ctr(node, "content", "label", digest, f"{ROOT_LABEL}=kube-ordeal")


def restore(node: str, others: Sequence[str], wanted: Sequence[str], *, called: str) -> None:
    """Put back those of the wanted images that the node lacks: from its kept content, else by copying them.

    `others` are nodes that may have them; `called`: the node's name, for people.
    Raises OrdealError where none has one of them, CommandError.
    """
    lacking = set(wanted) - set(_images(node))
    for other in others if lacking else ():
        there = [image for name, image in _images(other).items() if name in lacking]
        if there:
            kept = set(_ctr(node, "content", "ls", "--quiet").out.split())
            _name_again(node, [image for image in there if image.digest in kept])
            copy(other, node, [image.name for image in there if image.digest not in kept])
            lacking -= {image.name for image in there}
    if lacking:
        raise OrdealError(f"node {called} lacks the images {', '.join(sorted(lacking))}, and no other node has them")


def load(nodes: Sequence[str], image: str) -> str:
    """Put an image of this machine's engine onto those of the nodes that lack it; returns the name that pods give it
    there (chaos.hosts.registry.on_nodes). Raises CommandError.

    The same name may stand for another image by now, so a node has it where it knows the name by the engine's own id:
    the digest of its manifest where the engine keeps images as the node does (containerd's store, Docker's default from
    29 on), else that of its configuration, which the runtime's CRI plug-in makes a name of as well.
    """
    running = engine.chosen()
    image = registry.tagged(running, image)
    name = full_name(image)
    identity = running.docker("image", "inspect", "--format", "{{.Id}}", image, timeout_s=60).out.strip()
    lacking = [node for node in nodes if not _has(node, name, identity)]
    if lacking:
        _import(lacking, [image])
    return image


def _has(node: str, name: str, identity: str) -> bool:
    _header, *lines = _ctr(node, "images", "ls").out.splitlines() or [""]
    digests = {columns[0]: columns[2] for columns in map(str.split, lines)}
    return name in digests and (identity in digests or digests[name] == identity)


def load_as(nodes: Sequence[str], images: Mapping[str, str]) -> None:
    """Put images of this machine's engine onto those of the nodes that lack them, under other names.

    `images` maps the name on a node to the engine's. All of them travel in one archive, written once, so that what they
    share does so once. A node that has another image of that name gets ours in its place. Raises CommandError.
    """
    lacking: dict[str, dict[str, str]] = {}
    held: dict[str, set[str]] = {}
    for node in nodes:
        there = {image.name: image.digest for image in _images(node).values()}
        held[node] = set(there)
        lacking[node] = {
            name: full_name(ours)
            for name, ours in images.items()
            if full_name(ours) not in there or there.get(name) != there[full_name(ours)]
        }
    missing = {node: sorted(set(ours.values()) - held[node]) for node, ours in lacking.items()}
    for wanted in {tuple(each) for each in missing.values() if each}:
        _import([node for node, each in missing.items() if tuple(each) == wanted], wanted)
    for node, names_of in lacking.items():
        for name, ours in names_of.items():
            _ctr(node, "images", "tag", "--force", ours, name)


def _import(nodes: Sequence[str], images: Sequence[str]) -> None:
    """Import images of this machine's engine on nodes, written once and by a pipe. Raises CommandError."""
    sinks = [docker.interactive(node, [*_importing(), "-"]) for node in nodes]
    pour(engine.chosen().argv("save", *images), sinks, timeout_s=600 * len(nodes))


def full_name(image: str) -> str:
    """The name that a node's runtime knows an image by: `redis` is docker.io/library/redis:latest."""
    first, slash, _rest = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif first != "localhost" and not {".", ":"} & set(first):
        image = f"docker.io/{image}"
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


def _images(node: str) -> dict[str, _Image]:
    """By name; without the entries that the runtime makes for itself, which are named by digest."""
    _header, *lines = _ctr(node, "images", "ls").out.splitlines() or [""]
    found = [_Image(*line.split()[:3]) for line in lines]
    return {image.name: image for image in found if not image.name.startswith("sha256:")}


def _name_again(node: str, images: Sequence[_Image]) -> None:
    """Import an OCI layout that is only an index: what it names is in the node's content store already."""
    if not images:
        return
    manifests = [
        {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": len(_ctr(node, "content", "get", image.digest).out.encode()),
            "annotations": {"io.containerd.image.name": image.name},
        }
        for image in images
    ]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, holds in (
            ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
            ("index.json", {"schemaVersion": 2, "manifests": manifests}),
        ):
            data = json.dumps(holds).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    _ctr(node, *_importing()[len(CTR) :], "--no-unpack", "-", stdin=archive.getvalue().decode("ascii"))


def copy(source: str, target: str, images: Sequence[str]) -> None:
    """Copy images by name from one container's containerd to another's, not unpacked. Raises CommandError."""
    if not images:
        return
    exported = engine.chosen().argv("exec", source, *CTR, "images", "export", "-", *images)
    pour(exported, [docker.interactive(target, [*_importing(), "--no-unpack", "-"])], timeout_s=300)


def _importing() -> list[str]:
    """The command that imports for this machine's platform alone: an archive may name others that are not in it."""
    return [*CTR, "images", "import", "--platform", f"linux/{goarch()}"]


def _ctr(node: str, *argv: str, stdin: str | None = None) -> Output:
    return docker.execute(node, [*CTR, *argv], timeout_s=60, check=True, stdin=stdin)
