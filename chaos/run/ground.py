"""An existing cluster as a plan reads it: its nodes, whether they may be harmed, what keeps a run from beginning there.

Nothing of it is changed, and nothing is put there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from kubernetes import client as k8s
from urllib3.exceptions import HTTPError

from chaos.clusters.abilities import ABILITIES, NodePower
from chaos.clusters.agent import deployment
from chaos.clusters.agent.cluster import AgentCluster
from chaos.clusters.base import Cluster, Node
from chaos.clusters.existing import cluster as existing
from chaos.clusters.power.drivers import switch
from chaos.clusters.power.switch import check
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import Access, read_nodes, server_version, unanswered
from chaos.errors import OrdealError
from chaos.run import claim, guard
from chaos.run.agents import nodes_for
from chaos.run.fit import why_unfit
from chaos.run.policy import Consent, NodeToHarm
from chaos.run.pool import Wishes
from chaos.run.rehearsal import seen

AGENTS = tuple(each for each in ABILITIES if issubclass(AgentCluster, each))  # the abilities that agents give


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node as the API tells of it. `unfit`: why no replay takes it as a worker; `refused`: why its owner does not
    allow it to be harmed; both in words, and "" where it is fit, or may be.
    """

    name: str
    control_plane: bool
    kernel: str
    os_image: str
    runtime: str
    unfit: str
    refused: str


@dataclass(frozen=True, slots=True)
class InReach:
    """What a run would have of a cluster. `reached`: the names of the nodes that would get an agent. `unusable`: why no
    replay would get it, in words, and then `there` is None.
    """

    there: Cluster | None = None
    abilities: tuple[type, ...] = ()
    reached: tuple[str, ...] = ()
    unusable: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """The cluster. `blocked`: why no run could begin there now, a sentence each. `to_harm`: its nodes as the guard sees
    them; none where they can't be asked for. `without_right`: which rights lack for a fault, as the guard has it.
    """

    server: str
    context: str
    kubernetes: str
    blocked: tuple[str, ...]
    consent: Consent
    to_harm: tuple[NodeToHarm, ...]
    facts: tuple[NodeFacts, ...]
    nodes: tuple[Node, ...]
    in_reach: InReach
    without_right: Callable[[str], str]

    def cluster(self, shape: Shape) -> Cluster:
        """What a story would be given, as a rehearsal may see it. Raises OrdealError where none would be."""
        if self.in_reach.there is None:
            raise OrdealError(self.in_reach.unusable)
        return seen(self.in_reach.there, shape, self.nodes, self.in_reach.abilities, self.in_reach.reached)

    @property
    def fit(self) -> tuple[str, ...]:
        """The names of the workers that a replay can take, and that may be harmed."""
        return tuple(each.name for each in self.facts if not (each.control_plane or each.unfit or each.refused))


def look(wishes: Wishes) -> Ground:
    """Look at the cluster that a run was to use. Raises OrdealError where none was named, where it does not answer, or
    does not show its nodes.
    """
    if wishes.kubeconfig is None:
        raise OrdealError("no existing cluster was named; --ordeal-kubeconfig FILE names one")
    access = Access(wishes.kubeconfig, wishes.context)
    with access.client() as client:
        version, server = server_version(client), client.configuration.host
    blocked, consent, to_harm = list[str](), Consent(None), tuple[NodeToHarm, ...]()
    try:
        existing.check(wishes.kubeconfig, wishes.context, agents=bool(wishes.agent_image))
    except OrdealError as error:
        blocked.append(str(error))
    nodes, items = _listed(access, blocked)
    try:
        blocked += filter(None, [claim.held(access.client)])
        consent = guard.read(access.client)
        blocked += filter(None, [guard.stopping(access.client, consent)])
        to_harm = guard.nodes_to_harm(access.client)
    except OrdealError as error:
        blocked.append(str(error))
    allowed = {each.name for each in to_harm if consent.policy is not None and not consent.policy.refuses(each)}
    try:
        if wishes.power is not None:
            check(switch(wishes.power), (each for each in nodes if each.name in allowed))
    except OrdealError as error:
        blocked.append(str(error))
    refused = {each.name: consent.policy.refuses(each) for each in to_harm} if consent.policy is not None else {}
    in_reach = _in_reach(wishes, nodes, refused)
    facts = tuple(_facts(each, items.get(each.name), in_reach, refused.get(each.name, "")) for each in nodes)
    told = tuple(dict.fromkeys(blocked))
    rights = cache(partial(_without_right, access))
    return Ground(server, wishes.context, version, told, consent, to_harm, facts, nodes, in_reach, rights)


def _without_right(access: Access, fault: str) -> str:
    with access.client() as client:
        try:
            return guard.without_right(client, fault)
        except HTTPError as error:
            return str(unanswered(client, error))


def _listed(access: Access, blocked: Sequence[str]) -> tuple[tuple[Node, ...], dict[str, Any]]:
    """The nodes, and their status by name. Raises OrdealError; what the user lacks rights for is told before."""
    with access.client() as client:
        try:
            items: list[Any] = k8s.CoreV1Api(client).list_node().items
            return read_nodes(client), {each.metadata.name: each.status for each in items}
        except Exception as error:
            raise OrdealError(blocked[0] if blocked else str(unanswered(client, error))) from error


def _in_reach(wishes: Wishes, nodes: Sequence[Node], refused: Mapping[str, str]) -> InReach:
    """As chaos.run.pool would get it, but for the agents, which are not put there."""
    assert wishes.kubeconfig is not None
    where, shape = (wishes.kubeconfig, wishes.context), Shape()
    try:
        if not wishes.agent_image:
            there = existing.attach(*where, shape, wishes.busybox_image, wishes.power)
            return InReach(there, tuple(each for each in ABILITIES if isinstance(there, each)))
        by_api = existing.attach_by_api(*where, shape, wishes.busybox_image, wishes.power)
        reached = nodes_for(nodes, [each.name for each in nodes if not refused.get(each.name)])
        deployment.check(reached)
        return InReach(by_api, (*AGENTS, *((NodePower,) if wishes.power is not None else ())), reached)
    except OrdealError as error:
        return InReach(unusable=str(error))


def _facts(node: Node, status: Any, in_reach: InReach, refused: str) -> NodeFacts:
    info, unfit = getattr(status, "node_info", None), ""
    if in_reach.there is not None:
        as_seen = seen(in_reach.there, Shape(), [node], in_reach.abilities, in_reach.reached)
        unfit = why_unfit(as_seen, node)
    return NodeFacts(
        node.name,
        node.control_plane,
        _said(info, "kernel_version"),
        _said(info, "os_image"),
        _said(info, "container_runtime_version"),
        unfit,
        refused,
    )


def _said(info: object, what: str) -> str:
    return str(getattr(info, what, None) or "unknown")
