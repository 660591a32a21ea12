"""Nodes that are kind's containers, where they are reached by their API alone, or by agents."""

from dataclasses import dataclass
from pathlib import Path

from chaos.clusters.abilities import OFF
from chaos.clusters.kind import docker
from chaos.errors import OrdealError


@dataclass(frozen=True, slots=True)
class KindContainers:
    """The containers of this machine's engine. `cluster`: kind's name of the cluster; "" for any that kind has made."""

    cluster: str

    def off(self, node: str) -> None:
        """Harmless where it is off."""
        if self.state(node) != OFF:
            docker.power_off(self._container(node))

    def on(self, node: str) -> None:
        """Harmless where it runs. The engine gives it its old address as long as nobody else has it."""
        docker.power_on(self._container(node))

    def state(self, node: str) -> str:
        return docker.inspect(self._container(node)).state

    def _container(self, node: str) -> str:
        """Its id. Raises OrdealError for a container that is no node, or another cluster's."""
        found = docker.inspect(node)
        if not found.cluster or (self.cluster and found.cluster != self.cluster):
            whose = f"the kind cluster {self.cluster}" if self.cluster else "a kind cluster"
            raise OrdealError(f"the container {node} is no node of {whose}")
        return found.id


def kind(told: str, folder: Path) -> KindContainers:  # noqa: ARG001  (every driver is made of both)
    """The driver of one of kind's clusters, or of all."""
    return KindContainers(told)
