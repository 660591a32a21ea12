"""A node's rules and its kube-proxy, looked at again and again."""

from types import TracebackType
from typing import Self

from chaos.record.history import History
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.stale_rules.asking import OnNode, ask, kernel_says, wanted, written
from chaos.subjects.stale_rules.records import GAP_S, SOURCE, STOPPED, NodeRules, ProxyState
from chaos.workloads.web import Deployed

EVERY_S = 1.0
FIRST_WITHIN_S = 60.0


class RuleSamples:
    """Looks once a second at the endpoints of a workload's Service, at a node's rules for it and at its kube-proxy, for
    as long as the block lasts. While one of them can't be looked at there is a Blind record "rules:NODE".
    """

    def __init__(self, history: History, cluster: OnNode, node: str, deployed: Deployed) -> None:
        self._history, self._cluster, self._node, self._deployed = history, cluster, node, deployed
        self._rules: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._proxy: tuple[int, int, str, str] | None = None
        self._gap = Gap(history, f"{SOURCE}:{node}", late_after_s=GAP_S)
        self._sampler = Sampler(f"rules-{node}", self._ask, every_s=EVERY_S, gaps=[self._gap], once_more=True)

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where the node or the API does not tell."""
        self._sampler.__enter__()
        self._sampler.wait_first(f"the rules of {self._node}", within_s=FIRST_WITHIN_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampler.end()

    def _ask(self) -> None:
        namespace, name = self._deployed.namespace, self._deployed.name
        to = tuple(sorted(wanted(self._cluster, namespace, name)))
        at = self._history.now()
        rules = (to, written(self._cluster, self._node, namespace, name))
        state, started = kernel_says(self._cluster, self._node)
        # One that stands still takes the connection, and gives no answer: it is not asked.
        said = None if state == STOPPED else ask(self._cluster, self._node)
        proxy = (said.health, said.failures) if said else (0, self._proxy[1] if self._proxy else 0)
        self._gap.seen(at)
        if (*proxy, state, started) != self._proxy:
            self._proxy = (*proxy, state, started)
            self._history.add(ProxyState(at, self._node, *self._proxy))
        if rules != self._rules:
            self._rules = rules
            self._history.add(NodeRules(at, self._node, name, *rules))
