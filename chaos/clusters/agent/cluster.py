"""A cluster that somebody else made, with an agent on each node that may be harmed: what the engine is to kind."""

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kubernetes.client import ApiClient

import chaos
from chaos.basics.progress import Report, silent
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import Clock, NodePower
from chaos.clusters.agent import protocol, remote
from chaos.clusters.agent.channel import read_back
from chaos.clusters.agent.crew import Armed, Crew
from chaos.clusters.agent.deployment import Agents, deploy, looked_at, remove
from chaos.clusters.base import Cluster, ClusterRef, Images, Node
from chaos.clusters.identity import Identity
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import container_runtime
from chaos.errors import OrdealError
from chaos.hosts.command import Output, run

STARTS_WITHIN_S = 600.0  # a machine may take minutes before its system starts
MARGIN_S = 10.0  # longer than a command may take, before its answer is given up
PACKAGE = Path(chaos.__path__[0]).resolve()
PACKAGE_THERE, PYTHON_THERE = "/opt/kube-ordeal/chaos", "python3"


class AgentCluster:
    """What the API gives is the existing cluster's; what is done on nodes goes to their agents."""

    def __init__(self, cluster: Cluster, crew: Crew) -> None:
        self._cluster, self._crew = cluster, crew
        self._ref = replace(cluster.ref, agent=str(crew.agents.folder))

    @property
    def ref(self) -> ClusterRef:
        return self._ref

    @property
    def shape(self) -> Shape:
        return self._cluster.shape

    @property
    def kubernetes(self) -> str:
        return self._cluster.kubernetes

    @property
    def images(self) -> Images:
        return self._cluster.images

    def api(self) -> ApiClient:
        return self._cluster.api()

    def nodes(self) -> tuple[Node, ...]:
        return self._cluster.nodes()

    def identity(self) -> Identity:
        return self._cluster.identity()

    def identify(self) -> None:
        self._cluster.identify()
        self._ref = replace(self._ref, identity=self._cluster.ref.identity)

    def facts(self) -> Mapping[str, str]:
        return {
            **self._cluster.facts(),
            "node agent": self._crew.agents.image,
            "nodes with an agent": str(len(self._crew.channels)),
        }

    def delete(self) -> None:
        """Does nothing: the cluster is not ours."""

    # --- RunsContainers

    def container_runtime(self, node: str) -> str:
        with self.api() as client:
            return container_runtime(client, node)

    # --- NodeExec

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        given = None if stdin is None else stdin.encode()
        if given is not None and len(given) > protocol.MOST_CHUNK:
            return run(self._relay(node, remote.INSIDE, argv), timeout_s=timeout_s, check=check, stdin=stdin)
        asked = protocol.Execute(tuple(argv), inside=True, timeout_s=timeout_s, stdin=given)
        said = self._crew.channel(node).ask(asked, protocol.Ended, within_s=timeout_s + MARGIN_S)
        return protocol.output_of(asked, said, check=check, where=f" on {node}")

    # --- NodeProcesses

    def on_node(self, node: str, argv: Sequence[str]) -> list[str]:
        return self._relay(node, remote.INSIDE, argv)

    # --- NodeNetwork

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        return self._relay(node, remote.BESIDE, [_there(each) for each in argv])

    def addresses(self, node: str) -> tuple[str, ...]:
        found = {each.name: each.address for each in self.nodes()}
        if node not in found:
            raise OrdealError(f"{node} is none of the nodes of {self.ref.name}")
        return (found[node],)

    # --- KeepsOutput

    def kept_s(self) -> float:
        return protocol.UNREAD_S

    # --- ReachesNodes

    def reached(self) -> frozenset[str]:
        return frozenset(self._crew.channels)

    # --- NodeClocks

    def clock(self, node: str) -> Clock:
        return self._crew.clock(node)

    # --- ArmsNodes

    def arm(self, fault: str, saved: Mapping[str, object]) -> Armed:
        return self._crew.arm(fault, saved)

    def disarm_all(self, fault: str) -> None:
        self._crew.disarm_all(fault)

    # --- inside

    def _relay(self, node: str, where: str, argv: Sequence[str]) -> list[str]:
        self._crew.channel(node)
        command = [sys.executable, "-P", "-m", remote.__name__, str(self._crew.agents.folder), node, where, *argv]
        return ["env", f"PYTHONPATH={PACKAGE.parent}", *command]


class PoweredAgentCluster(AgentCluster):
    """The same, and nodes have power as the cluster beneath has it: what that says is looked at from inside, too."""

    def __init__(self, cluster: Cluster, power: NodePower, crew: Crew) -> None:
        """`power` is the same cluster's."""
        super().__init__(cluster, crew)
        self._power = power

    # --- NodePower

    def power_state(self, node: str) -> str:
        return self._power.power_state(node)

    def power_off(self, node: str) -> None:
        """Raises OrdealError also where the node's agent answers still: then another machine is off."""
        self._power.power_off(node)
        if node not in self._crew.channels:
            return
        self._crew.channel(node).start_anew()
        if self._crew.is_there(node):
            raise OrdealError(
                f"node {node} is off by its power driver, and its agent answers: another machine was switched off; "
                f"mend which machine the node is said to be"
            )

    def power_on(self, node: str) -> None:
        """Returns when the node's agent answers: its system has started. Raises OrdealError where it does not."""
        self._power.power_on(node)
        if node not in self._crew.channels:
            return
        self._crew.channel(node).start_anew()
        try:
            eventually(lambda: self._crew.is_there(node), within_s=STARTS_WITHIN_S, what=f"{node} to start")
        except WaitedInVainError as error:
            raise OrdealError(
                f"node {node} has power, and its agent did not answer within {STARTS_WITHIN_S:g} s: look at its console"
            ) from error


def with_agents(cluster: Cluster, crew: Crew) -> AgentCluster:
    """The cluster with its agents, and with power where it has that."""
    if isinstance(cluster, NodePower):
        return PoweredAgentCluster(cluster, cluster, crew)
    return AgentCluster(cluster, crew)


def put(cluster: Cluster, agents: Agents, nodes: Collection[str], report: Report) -> Crew:
    """Agents on these of the cluster's nodes, put there now. Raises OrdealError."""
    deploy(agents, cluster.api, nodes, report)
    crew = Crew(agents)
    crew.require()
    return crew


class LeftBehindError(OrdealError):
    """The agents are gone, and have left something on a node."""


def take_off(cluster: Cluster, folder: Path, report: Report = silent) -> None:
    """Agents that were put onto a cluster, also those of a run that was killed while it did so: off its nodes, as far
    as they answer, and out of its API; and what this machine keeps of them. Each node is looked at, and where nobody
    could look is told.

    Raises LeftBehindError where a node is not as before, once all is done; OrdealError, ApiException, HTTPError.
    """
    agents, gone = Agents(folder.name, "", folder), frozenset[str]()
    with suppress(OrdealError):  # it is not known where they are: they leave when they hear nothing
        crew = Crew(agents)
        gone = crew.dismiss()
        crew.close()
    looked = looked_at(agents, cluster.api, gone)
    remove(agents, cluster.api)
    shutil.rmtree(folder, ignore_errors=True)
    _tell(looked, report)


def _tell(looked: Mapping[str, tuple[str, ...] | None], report: Report) -> None:
    clean = sorted(node for node, left in looked.items() if left == ())
    if clean:
        report(f"looked at {', '.join(clean)}: nothing of the agents is left there")
    if unseen := sorted(node for node, left in looked.items() if left is None):
        report(
            f"nobody has looked whether {', '.join(unseen)} are as before: their agents were not reached, and leave by "
            "themselves once they hear nothing and have taken back what they have"
        )
    if left := {node: found for node, found in sorted(looked.items()) if found}:
        told = "; ".join(f"on {node} {', '.join(found)}" for node, found in left.items())
        raise LeftBehindError(f"nodes are not as before, and have of this run yet: {told}; remove it there by hand")


def again(cluster: Cluster, folder: Path, report: Report = silent) -> AgentCluster:
    """The cluster after a crash: with the agents that are there still, else new ones. Raises OrdealError."""
    known = read_back(folder)
    agents = Agents(folder.name, known.image, folder, known.capabilities, known.privileged)
    crew = Crew(agents)
    try:
        crew.require()
    except OrdealError:
        crew.close()
        crew = put(cluster, agents, known.nodes, report)
    crew.keep()
    return with_agents(cluster, crew)


def _there(argument: str) -> str:
    """An argument that is this Python, or a file of this package, as the agent has it."""
    if argument == sys.executable:
        return PYTHON_THERE
    path = Path(argument)
    is_ours = path.is_absolute() and path.is_relative_to(PACKAGE)
    return f"{PACKAGE_THERE}/{path.relative_to(PACKAGE)}" if is_ours else argument
