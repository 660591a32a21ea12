"""The one module that touches pytest-kind. It runs as a child process: its output is kept and it has a deadline.

pytest-kind writes a folder `.pytest-kind` into the current directory and lets kind print where it likes; in a child
with a directory of its own neither reaches the user's checkout or terminal. Options, cluster class and their meaning
are pytest-kind's.
"""

import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.clusters.kind import networks
from chaos.hosts import engine, extras
from chaos.hosts.command import PRIVATE_UMASK, run

CREATE_TIMEOUT_S = 600.0
DELETE_TIMEOUT_S = 120.0
# What kind reads of its surroundings (kind, pkg/cluster/provider.go and pkg/cluster/internal/providers/docker).
PROVIDER = "KIND_EXPERIMENTAL_PROVIDER"


@dataclass(frozen=True, slots=True)
class KindTools:
    """The programs that pytest-kind is told to use, so that it downloads none."""

    kind: Path
    kubectl: Path


def create(name: str, kubeconfig: Path, image: str | None, config: Path, tools: KindTools, network: str) -> None:
    """Create a kind cluster in a Docker network. Raises CommandError with kind's last output where it fails, and
    OrdealError where pytest-kind is not installed.
    """
    _child(
        "create", name, kubeconfig, tools, CREATE_TIMEOUT_S, image=image, config=config, env={networks.KINDS: network}
    )


def delete(name: str, kubeconfig: Path, tools: KindTools) -> None:
    """Delete a kind cluster; one that is not there is no error."""
    _child("delete", name, kubeconfig, tools, DELETE_TIMEOUT_S)


def _child(
    verb: str,
    name: str,
    kubeconfig: Path,
    tools: KindTools,
    timeout_s: float,
    *,
    image: str | None = None,
    config: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    extras.need(extras.KIND)
    argv = [sys.executable, "-P", "-m", __name__, verb, "--name", name, "--kubeconfig", str(kubeconfig)]
    argv += ["--kind", str(tools.kind), "--kubectl", str(tools.kubectl)]
    argv += ["--image", image] if image else []
    argv += ["--config", str(config)] if config else []
    with tempfile.TemporaryDirectory(prefix="kube-ordeal-") as scratch:
        surroundings = {**engine.chosen().environment(), PROVIDER: "docker", **(env or {})}
        run(argv, timeout_s=timeout_s, cwd=Path(scratch), env=surroundings, umask=PRIVATE_UMASK)  # it writes keys


def _main() -> None:
    parser = ArgumentParser(prog=__name__)
    parser.add_argument("verb", choices=["create", "delete"])
    parser.add_argument("--name", required=True)
    parser.add_argument("--image")
    for path in ("--kubeconfig", "--kind", "--kubectl", "--config"):
        parser.add_argument(path, type=Path)
    options = parser.parse_args()

    from subprocess import CalledProcessError  # noqa: PLC0415

    from pytest_kind.cluster import KindCluster  # noqa: PLC0415  (slow to import, and only the child needs it)

    cluster = KindCluster(options.name, options.kubeconfig, options.image, options.kind, options.kubectl)
    try:
        if options.verb == "create":
            cluster.create(options.config)
        else:
            cluster.delete()
    except CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    _main()
