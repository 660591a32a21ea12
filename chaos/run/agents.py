"""The node agents of one run: put onto an existing cluster when it is first used, and off it at the run's end."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path

from chaos.clusters.agent.cluster import AgentCluster, put, take_off
from chaos.clusters.agent.crew import Crew
from chaos.clusters.agent.deployment import Agents, folder_of
from chaos.clusters.base import Cluster, Node
from chaos.clusters.existing.cluster import attach_by_api
from chaos.clusters.shape import Shape
from chaos.record.journal import AGENT, Journal


def nodes_for(nodes: Iterable[Node], allowed: Collection[str] | None) -> tuple[str, ...]:
    """The names of those that get one: which may be harmed (`allowed`; None: all), and on which one would come."""
    return tuple(each.name for each in nodes if each.ready == "True" and (allowed is None or each.name in allowed))


class RunAgents:
    """Journalled, so that a run that is killed leaves none of them for good."""

    def __init__(
        self,
        kubeconfig: Path,
        context: str,
        image: str,
        journal: Journal,
        run: str,
        report: Callable[[str], None],
        allowed: Callable[[], frozenset[str] | None],
    ) -> None:
        """`allowed`: the nodes that get one; None for all."""
        self._allowed = allowed
        self._kubeconfig, self._context = kubeconfig, context
        self._image, self._journal, self._run, self._report = image, journal, run, report
        self._entry: int | None = None
        self._crew: Crew | None = None
        self._there: Cluster | None = None

    def cluster(self, shape: Shape, busybox_image: str) -> AgentCluster:
        """The cluster with agents on its nodes, put there where they lack. Raises OrdealError."""
        there = attach_by_api(self._kubeconfig, self._context, shape, busybox_image)
        if self._crew is not None and not self._crew.answers():
            self._crew.close()  # some have heard nothing for too long, and left
            self._crew = None
        if self._crew is None:
            nodes = nodes_for(there.nodes(), self._allowed())
            agents = Agents(self._run, self._image, folder_of(self._run))
            if self._entry is None:
                self._entry = self._journal.planned(AGENT, replace(there.ref, agent=str(agents.folder)), {})
                self._there = there
            self._crew = put(there, agents, nodes, self._report)
            self._crew.keep()
        return AgentCluster(there, self._crew)

    def take_away(self) -> None:
        """Off the nodes, where they were put there. Where something could not be undone they stay: they are the way
        back of `kube-ordeal undo`. Raises OrdealError, ApiException, HTTPError.
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
        take_off(self._there, folder)
        self._journal.undone(self._entry)
        self._entry, self._crew = None, None
