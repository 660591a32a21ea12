"""The node agents of one run: put onto an existing cluster when it is first used, and off it at the run's end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from chaos.clusters.agent.cluster import AgentCluster, put
from chaos.clusters.agent.crew import Crew
from chaos.clusters.agent.deployment import Agents, folder_of
from chaos.clusters.existing.cluster import attach_by_api
from chaos.clusters.shape import Shape
from chaos.record.journal import AGENT, Journal


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

    def cluster(self, shape: Shape, busybox_image: str) -> AgentCluster:
        """The cluster with agents on its nodes, put there where they lack. Raises OrdealError."""
        there = attach_by_api(self._kubeconfig, self._context, shape, busybox_image)
        if self._crew is None:
            agents = Agents(self._run, self._image, folder_of(self._run))
            self._entry = self._journal.planned(AGENT, replace(there.ref, agent=str(agents.folder)), {})
            allowed = self._allowed()
            nodes = [each.name for each in there.nodes() if allowed is None or each.name in allowed]
            self._crew = put(there, agents, nodes, self._report)
            self._crew.keep()
        return AgentCluster(there, self._crew)

    def take_away(self) -> None:
        """Off the nodes, where they were put there. Raises OrdealError, ApiException, HTTPError."""
        if self._entry is None:
            return
        self._report("taking the node agents off the cluster")
        self.cluster(Shape(), "").take_agents_away()
        self._journal.undone(self._entry)
        self._entry, self._crew = None, None
