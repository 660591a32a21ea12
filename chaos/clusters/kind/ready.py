"""What set-up has made ready, as the cluster providers take it. Nothing is built or started here."""

from pathlib import Path

from chaos.clusters.base import Images
from chaos.clusters.kind.config import KindSetup
from chaos.clusters.kind.pytestkind import KindTools
from chaos.errors import OrdealError
from chaos.hosts import binaries, bundles, engine, image, registry
from chaos.hosts import kubectl as kubectls
from chaos.hosts.image_build import WORKLOAD_IMAGE

SETUP = "run `kube-ordeal setup`"


def kind_setup(
    version: str, node_image: str = "", kind: Path | None = None, kubectl: Path | None = None, busybox: str = ""
) -> KindSetup:
    """What a kind cluster of that Kubernetes version is made with.

    `node_image`, `kind`, `kubectl` and `busybox` (an image) are the user's own, where given. Else the node image that
    was built here, or the published one where the engine has it. Raises OrdealError where set-up has not been run, or
    nodes that were not built here would need a busybox that nobody named, and whose digest is not known.
    """
    running = engine.chosen()
    ours = next((i.tag for i in image.list_images(running) if i.kubernetes == version and not i.components), "")
    published = registry.published_node(version)
    if not (node_image or ours or (published and registry.is_on_engine(running, published))):
        raise OrdealError(
            f"there is no node image for Kubernetes {version} yet: run `kube-ordeal setup --kubernetes {version}`"
        )
    chosen = node_image or ours or published
    offline = chosen.startswith(image.REPOSITORY)
    images = Images(busybox or (WORKLOAD_IMAGE if offline else registry.busybox()))
    cgroup_v1 = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    return KindSetup(kind_tools(kind, kubectl, version), version, chosen, images, cgroup_v1)


def kind_tools(kind: Path | None = None, kubectl: Path | None = None, version: str | None = None) -> KindTools:
    """The programs that pytest-kind is given; kubectl of that Kubernetes version, or of any that is there.

    Raises OrdealError where a given path is none, or none were built.
    """
    for given in (kind, kubectl):
        if given is not None and not given.is_file():
            raise OrdealError(f"there is no program at {given}")
    built_kind = binaries.built("kind")
    kubectl = kubectl or kubectls.find_any((version or bundles.DEFAULT_KUBERNETES,))
    if (kind is None and built_kind is None) or kubectl is None:
        raise OrdealError(
            f"kind and kubectl are not there yet: {SETUP}, or give --ordeal-kind-bin and --ordeal-kind-kubectl-bin"
        )
    return KindTools(kind or _path(built_kind, "kind"), kubectl)


def _path(built: binaries.Binaries | None, name: str) -> Path:
    if built is None:
        raise OrdealError(f"{name} is not built yet: {SETUP}")
    return built.path(name)
