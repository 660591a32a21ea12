"""This node, as a cluster of one: what the undo of a fault finds when the node itself does it, and nobody else can."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from chaos.agent import programs
from chaos.clusters.agent import protocol
from chaos.clusters.base import ClusterRef, Images, Node
from chaos.clusters.identity import Identity
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.hosts.command import Output

if TYPE_CHECKING:  # it takes half of the memory that an agent has, and no agent talks to an API server
    from kubernetes.client import ApiClient


class NoApiError(OrdealError):
    """The agent of a node does not talk to the API server."""


AGENT = "agent"  # the kind of cluster that an agent's own journal names


class ThisNode:
    """Only the node that the agent is on, and only what can be done without an API server."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def ref(self) -> ClusterRef:
        return ClusterRef(AGENT, self._name, "")

    @property
    def shape(self) -> Shape:
        return Shape(workers=1)

    @property
    def kubernetes(self) -> str:
        return ""

    @property
    def images(self) -> Images:
        return Images("")

    def api(self) -> "ApiClient":
        raise NoApiError(
            f"the agent of node {self._name} does not talk to the API server: what is left there is undone by "
            f"`kube-ordeal undo`, where the run was"
        )

    def nodes(self) -> tuple[Node, ...]:
        return (Node(self._name, control_plane=False, ready="Unknown", address="", zone="", taints=()),)

    def identity(self) -> Identity:
        return Identity()

    def identify(self) -> None:
        """It is what it is."""

    def facts(self) -> Mapping[str, str]:
        return {}

    def delete(self) -> None:
        """Does nothing: it is not ours."""

    # --- NodeExec

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        self._require_this(node)
        given = None if stdin is None else stdin.encode()
        asked = protocol.Execute(tuple(argv), inside=True, timeout_s=timeout_s, stdin=given)
        return protocol.output_of(asked, programs.execute(asked), check=check)

    # --- NodeProcesses

    def on_node(self, node: str, argv: Sequence[str]) -> list[str]:
        self._require_this(node)
        return programs.argv_of(argv, inside=True)

    # --- NodeNetwork

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        self._require_this(node)
        return programs.argv_of(argv, inside=False)

    def addresses(self, node: str) -> tuple[str, ...]:
        self._require_this(node)
        raise OrdealError(f"the agent of node {self._name} does not know the addresses of nodes")

    def _require_this(self, node: str) -> None:
        if node != self._name:
            raise OrdealError(f"the agent of node {self._name} can do nothing on node {node}")
