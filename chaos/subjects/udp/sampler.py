"""A UDP Service's endpoints as the API has them, and where a node's kernel sends the flows to it."""

import re
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.record.history import History
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.udp.records import GAP_S, SOURCE, ServiceEndpoints, UdpFlows, of_port
from chaos.subjects.udp.workload import BESIDE, DNS, PORTS, endpoints
from chaos.workloads.web import Deployed

EVERY_S, FLOWS_EVERY_S = 0.25, 1.0
FIRST_WITHIN_S = 30.0
# "udp 17 119 src=CLIENT dst=SERVICE sport=N dport=53 src=POD dst=CLIENT ..." (conntrack(8))
_REPLY = re.compile(rf"^udp .*?\bsrc=\S+ dst=\S+ sport=\d+ dport={PORTS[DNS]} .*?\bsrc=(\S+) ", re.MULTILINE)


class UdpSamples:
    """Asks for the endpoints of both ports four times a second, and for the node's flows to the first one once, for as
    long as the block lasts.

    While the API does not answer there is a Blind record "endpoints:SERVICE". Flows are told where they can be seen.
    """

    def __init__(self, history: History, cluster: Cluster, node: str, deployed: Deployed) -> None:
        self._history, self._cluster, self._node, self._deployed = history, cluster, node, deployed
        self._address = deployed.url.partition("//")[2].partition(":")[0]
        self._gap = Gap(history, f"{SOURCE}:{deployed.name}", late_after_s=GAP_S)
        self._endpoints: dict[str, tuple[str, ...]] = {}
        self._flows: tuple[str, ...] | None = None
        self._sampling = ExitStack()

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where the API does not tell of the endpoints."""
        with ExitStack() as stack:
            name = self._deployed.name
            asked = Sampler(f"endpoints-{name}", self._ask, every_s=EVERY_S, gaps=[self._gap], once_more=True)
            stack.enter_context(asked).wait_first(f"the endpoints of {name}", within_s=FIRST_WITHIN_S)
            stack.enter_context(Sampler(f"flows-{self._node}", self._look, every_s=FLOWS_EVERY_S))
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _ask(self) -> None:
        found = {port: tuple(sorted(endpoints(self._deployed, port))) for port in (BESIDE, DNS)}
        at = self._history.now()
        self._gap.seen(at)
        for port, addresses in found.items():
            if addresses != self._endpoints.get(port):
                service = self._deployed.name if port == DNS else of_port(self._deployed.name, port)
                self._history.add(ServiceEndpoints(at, service, addresses))
        self._endpoints = found

    def _look(self) -> None:
        assert isinstance(self._cluster, NodeExec)
        argv = ["conntrack", "-L", "-p", "udp", "--orig-dst", self._address]
        found = flows(self._cluster.node_exec(self._node, argv, timeout_s=10).out)
        if found != self._flows:
            self._flows = found
            self._history.add(UdpFlows(self._history.now(), self._node, self._deployed.name, found))


def flows(listed: str) -> tuple[str, ...]:
    """The sources of the replies in what conntrack(8) lists, of the flows to the first port."""
    return tuple(sorted(set(_REPLY.findall(listed))))
