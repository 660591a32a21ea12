"""A component of the control plane is another program: a mutant in the place of what was shipped."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import msgspec
from kubernetes.client import ApiClient

from chaos.clusters.abilities import ComponentSwap
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_get
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.elf import check_program
from chaos.harm.uses import Uses


class _Swappable(Cluster, ComponentSwap, Protocol): ...


class SwapComponentPlan(msgspec.Struct, frozen=True):
    """The file that the component is to run from, and the one that it ran from `before`."""

    component: str
    path: str
    before: str


@fault
@dataclass(frozen=True, slots=True)
class SwapComponent:
    """Run a component, such as kube-controller-manager, from the file `path` of this machine, with the same flags.

    Undo starts it from its own file again.
    """

    kind: ClassVar[str] = "swap-component"
    counterpart: ClassVar[str] = "restore_component"
    needs: ClassVar[tuple[type, ...]] = (ComponentSwap,)
    uses: ClassVar[Uses] = Uses()
    component: str
    path: str

    def plan(self, cluster: _Swappable) -> SwapComponentPlan:
        if self.component not in cluster.components():
            there = ", ".join(cluster.components())
            raise OrdealError(f"there is no component {self.component!r} in {cluster.ref.name}; there are: {there}")
        check_program(Path(self.path))
        before = cluster.running_program(self.component)
        if not before:
            raise OrdealError(f"{self.component} of {cluster.ref.name} does not run: run `kube-ordeal undo` first")
        return SwapComponentPlan(self.component, str(Path(self.path).resolve()), before)

    def apply(self, cluster: _Swappable, saved: SwapComponentPlan) -> None:
        cluster.use_program(saved.component, saved.path)

    def landed(self, cluster: _Swappable, saved: SwapComponentPlan) -> bool:
        """The kernel says that it runs from that file, and the API server is ready."""
        return _runs(cluster, saved.component, saved.path)

    @staticmethod
    def lasts(cluster: _Swappable, saved: SwapComponentPlan) -> bool:
        return cluster.running_program(saved.component) == saved.path

    @staticmethod
    def undo(cluster: _Swappable, saved: SwapComponentPlan) -> None:
        cluster.use_program(saved.component, None)

    @staticmethod
    def undone(cluster: _Swappable, saved: SwapComponentPlan) -> bool:
        return _runs(cluster, saved.component, saved.before)


def _runs(cluster: _Swappable, component: str, path: str) -> bool:
    if cluster.running_program(component) != path:
        return False
    with cluster.api() as client:
        return _ready(client)


def _ready(client: ApiClient) -> bool:
    return raw_get(client, "/readyz").strip() == b"ok"
