"""What a cluster is to a suite: a small protocol, the reference by which it is found again, and what its nodes show."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from chaos.clusters.identity import Identity
from chaos.clusters.shape import Shape

if TYPE_CHECKING:  # who only declares a replay needs no client
    from kubernetes.client import ApiClient


KIND, SIMULATED, EXISTING = "kind", "simulated", "existing"


@dataclass(frozen=True, slots=True)
class PowerRef:
    """What switches the power of nodes: the driver's name, what it was told (no secret), and in which folder it was:
    paths that are relative begin there.
    """

    driver: str
    told: str
    folder: str


@dataclass(frozen=True, slots=True)
class ClusterRef:
    """Enough to find a cluster again after a crash, and to know that it is the same; kept in the journal as JSON.

    `identity`: None for one that is being made, and in journals of older versions. `agent`: where this machine keeps
    what it knows of the agents on its nodes; "" where it has none. `power`: None where nothing was named that switches
    its nodes, and in journals of older versions.
    """

    kind: str
    name: str
    kubeconfig: str
    context: str = ""
    identity: Identity | None = None
    agent: str = ""
    power: PowerRef | None = None

    def narrowed(self, nodes: Collection[str] = ()) -> "ClusterRef":
        """As the journal keeps it of something that is done to these nodes."""
        return self if self.identity is None else replace(self, identity=self.identity.narrowed(nodes))


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the API shows it now. `ready` is "True", "False" or "Unknown"."""

    name: str
    control_plane: bool
    ready: str
    address: str
    zone: str
    taints: tuple[str, ...]

    @property
    def closed_by(self) -> tuple[str, ...]:
        """Those of its taints (KEY:EFFECT) by which no new pod comes that does not tolerate them."""
        return tuple(taint for taint in self.taints if taint.endswith((":NoSchedule", ":NoExecute")))


@dataclass(frozen=True, slots=True)
class Images:
    """Images that the cluster's nodes can run: a busybox (sh, httpd, wget, nc)."""

    busybox: str


class Cluster(Protocol):
    """A running cluster. Methods raise OrdealError where the cluster does not answer."""

    @property
    def ref(self) -> ClusterRef:
        """What finds the cluster again, also after a crash."""
        ...

    @property
    def shape(self) -> Shape:
        """What was asked for when it was made."""
        ...

    @property
    def kubernetes(self) -> str:
        """The API server's version, such as "1.34.4"."""
        ...

    @property
    def images(self) -> Images:
        """What its workloads run."""
        ...

    def api(self) -> "ApiClient":
        """A client of its own for the caller, who closes it. It never waits for a dead API server for ever."""
        ...

    def nodes(self) -> tuple[Node, ...]:
        """Its nodes as the API shows them now. Raises OrdealError, ApiException, HTTPError."""
        ...

    def identity(self) -> Identity:
        """What it is now, as far as its API server, its nodes and this machine tell; no error where one is away."""
        ...

    def identify(self) -> None:
        """From now on it is what it is now: `ref` has its identity."""
        ...

    def facts(self) -> Mapping[str, str]:
        """What a reader of the results wants to know: provider, versions, flags, images."""
        ...

    def delete(self) -> None:
        """Take the cluster away with all that was made for it. Safe to repeat. An existing cluster is left alone."""
        ...
