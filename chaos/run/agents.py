"""The node agents of one run: put onto an existing cluster when it is first used, and off it at the run's end."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from chaos.clusters.agent.cluster import AgentCluster, LeftBehindError, put, take_off, with_agents
from chaos.clusters.agent.crew import Crew
from chaos.clusters.agent.deployment import OWN, Agents, folder_of
from chaos.clusters.base import Cluster, Node, PowerRef
from chaos.clusters.existing.cluster import attach_by_api
from chaos.clusters.shape import Shape
from chaos.harm.base import registered
from chaos.harm.uses import Uses, uses_of
from chaos.record.journal import AGENT, Journal
from chaos.run.guard import Consents


def capabilities_for(faults: Collection[str]) -> tuple[str, ...]:
    """Of the unit on a node: its own, and what faults of these kinds use there."""
    known = registered()
    uses = [uses_of(known[kind]) or Uses() for kind in faults]
    return tuple(sorted({*OWN, *(str(each) for one in uses for each in one.capabilities)}))


@dataclass(frozen=True, slots=True)
class WantedAgents:
    """What the user says of them: on which cluster, of which image, whether their pods are to be privileged; and what
    switches the nodes, where anything does.
    """

    kubeconfig: Path
    context: str
    image: str
    privileged: bool = False
    power: PowerRef | None = None


def nodes_for(nodes: Iterable[Node], allowed: Collection[str] | None) -> tuple[str, ...]:
    """The names of those that get one: which may be harmed (`allowed`; None: all), and on which one would come."""
    return tuple(each.name for each in nodes if each.ready == "True" and (allowed is None or each.name in allowed))


class RunAgents:
    """Journalled, so that a run that is killed leaves none of them for good."""

    def __init__(
        self, wanted: WantedAgents, journal: Journal, run: str, report: Callable[[str], None], consents: Consents
    ) -> None:
        """`consents` says which nodes get one, and for which faults."""
        self._wanted, self._journal, self._run, self._report = wanted, journal, run, report
        self._consents = consents
        self._entry: int | None = None
        self._crew: Crew | None = None
        self._there: Cluster | None = None

    def cluster(self, shape: Shape, busybox_image: str) -> AgentCluster:
        """The cluster with agents on its nodes, put there where they lack. Raises OrdealError."""
        wanted = self._wanted
        there = attach_by_api(wanted.kubeconfig, wanted.context, shape, busybox_image, wanted.power)
        if self._crew is not None and not self._crew.answers():
            self._crew.close()  # some have heard nothing for too long, and left
            self._crew = None
        if self._crew is None:
            nodes = nodes_for(there.nodes(), self._consents.allowed())
            agents = Agents(
                self._run,
                wanted.image,
                folder_of(self._run),
                capabilities_for(self._consents.faults(registered())),
                wanted.privileged,
                there.images.busybox,
            )
            if self._entry is None:
                self._entry = self._journal.planned(AGENT, replace(there.ref, agent=str(agents.folder)), {})
                self._there = there
            self._crew = put(there, agents, nodes, self._report)
            self._crew.keep()
        return with_agents(there, self._crew)

    def take_away(self) -> None:
        """Off the nodes, where they were put there. Where something could not be undone they stay: they are the way
        back of `kube-ordeal undo`. Raises OrdealError, also where a node is not as before; ApiException, HTTPError.
        """
        if self._entry is None or self._there is None:
            return
        folder = folder_of(self._run)
        if any(each.cluster.agent == str(folder) and each.kind != AGENT for each in self._journal.pending()):
            self._report("the node agents stay, since something on the cluster is not undone: `kube-ordeal undo`")
            return
        self._report("taking the node agents off the cluster")
        if self._crew is not None:
            self._crew.close()  # no word any more that would renew; `take_off` lets each leave
        left: LeftBehindError | None = None
        try:
            take_off(self._there, folder, self._report)
        except LeftBehindError as error:  # they are gone all the same
            left = error
        self._journal.undone(self._entry)
        self._entry, self._crew = None, None
        if left is not None:
            raise left
