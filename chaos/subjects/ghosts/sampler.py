"""What a Service's EndpointSlices say, and how long kube-proxy waits, while something is done to its pods."""

from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from kubernetes.client import ApiClient

from chaos.clusters.abilities import NodeExec
from chaos.record.history import History
from chaos.record.records import waited_by
from chaos.record.sampler import Gap, Sampler
from chaos.record.waits import Waited
from chaos.subjects.ghosts.promises import PROXY
from chaos.subjects.ghosts.records import GAP_S, SOURCE, EndpointState, EndpointStates
from chaos.subjects.ghosts.workload import endpoint_states
from chaos.workloads.web import Deployed

EVERY_S, LOOK_EVERY_S = 0.5, 1.0
NS = 1e-9
# Of each thread the time for which it could run and did not (Documentation/scheduler/sched-stats.rst).
WAITS = "cat /proc/$(pidof -s kube-proxy)/task/*/schedstat"
FIRST_WITHIN_S = 30.0


class EndpointSamples:
    """Asks for all endpoints of a workload's Service twice a second, for as long as the block lasts.

    While the API does not answer there is a Blind record "slices:SERVICE".
    """

    def __init__(self, history: History, deployed: Deployed) -> None:
        self._history, self._deployed = history, deployed
        self._last: tuple[EndpointState, ...] | None = None
        self._gap = Gap(history, f"{SOURCE}:{deployed.name}", late_after_s=GAP_S)
        self._sampling = ExitStack()

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where the API does not tell of them."""
        name = self._deployed.name
        with ExitStack() as stack:
            client = stack.enter_context(self._deployed.cluster.api())
            ask = partial(self._ask, client)
            sampler = Sampler(f"slices-{name}", ask, every_s=EVERY_S, gaps=[self._gap], once_more=True)
            stack.enter_context(sampler).wait_first(f"the endpoints of {name}", within_s=FIRST_WITHIN_S)
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _ask(self, client: ApiClient) -> None:
        found = endpoint_states(client, self._deployed)
        at = self._history.now()
        self._gap.seen(at)
        if found != self._last:
            self._last = found
            self._history.add(EndpointStates(at, self._deployed.name, found))


class ProxyWaits:
    """Looks once a second for how long a node's kube-proxy has waited for a processor, all threads together, for as
    long as the block lasts. Where it is not there, or can't be looked at, nothing is told.
    """

    def __init__(self, history: History, cluster: NodeExec, node: str) -> None:
        self._history, self._cluster, self._node = history, cluster, node
        self._waited = Waited(history, f"{node}->{PROXY}", waited_by(node, PROXY))
        self._sampler = Sampler(f"waits-{node}", self._look, every_s=LOOK_EVERY_S)

    def __enter__(self) -> Self:
        self._sampler.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampler.end()

    def _look(self) -> None:
        said = self._cluster.node_exec(self._node, ["sh", "-c", WAITS]).out
        waits = [int(line.split()[1]) for line in said.splitlines()]
        self._waited.look(self._history.now(), sum(waits) * NS)
