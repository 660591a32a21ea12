"""Another Kubernetes version's programs and images, put onto running nodes out of the node image that has them.

What an operator has from a package repository and an image registry, a machine without either has from here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from chaos.basics.waiting import eventually
from chaos.clusters.kind import docker, node_images
from chaos.hosts import engine
from chaos.hosts.command import pour

PROGRAMS = ("kubeadm", "kubelet", "kubectl")
ON_WORKERS = ("coredns", "kube-proxy", "pause")  # of kubeadm's images, those that a worker can be asked to run
LIVES_S = 900  # then a container of ours ends by itself: nobody is left to remove it
ANSWERS_WITHIN_S = 60.0


@contextmanager
def source(container: str, image: str) -> Iterator[str]:
    """A container of a node image, so named, whose containerd answers; it is removed at the block's end.

    Raises CommandError, WaitedInVainError.
    """
    docker.remove(container)
    running = engine.chosen()
    # In the users' namespace of the machine, as kind's nodes are, also where the engine gives containers another.
    argv = ["run", "--detach", "--rm", "--network=none", "--userns=host", "--name", container, "--entrypoint", "sleep"]
    running.docker(*argv, image, str(LIVES_S), timeout_s=120)
    try:
        running.docker("exec", "--detach", container, "containerd", timeout_s=30)
        eventually(
            lambda: running.docker("exec", container, "ctr", "version", timeout_s=20, check=False).code == 0,
            within_s=ANSWERS_WITHIN_S,
            what=f"containerd in a container of {image}",
        )
        yield container
    finally:
        docker.remove(container)


def bring(container: str, node: str, folder: str, *, control_plane: bool) -> None:
    """Put the source's programs into a folder of the node, and onto it those of its images that the node lacks.

    A worker is given what it can be asked to run. Nothing is replaced, and nothing runs. Raises CommandError.
    """
    running = engine.chosen()
    running.docker("exec", node, "mkdir", "-p", folder, timeout_s=30)
    programs = running.argv("exec", container, "tar", "-C", "/usr/bin", "-c", *PROGRAMS)
    pour(programs, [docker.interactive(node, ["tar", "-C", folder, "-x"])], timeout_s=300)
    lacking = set(node_images.names(container)) - set(node_images.names(node))
    node_images.copy(container, node, wanted(lacking, control_plane=control_plane))


def wanted(images: set[str], *, control_plane: bool) -> tuple[str, ...]:
    """Those of the images that a node of that role can be asked to run, sorted."""
    return tuple(sorted(i for i in images if control_plane or i.rpartition("/")[2].partition(":")[0] in ON_WORKERS))
