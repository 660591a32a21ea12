"""What each Node says of the machine that it stands for, asked twice a second: two Nodes of one machine show here."""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from kubernetes.client import ApiClient

from chaos.clusters.way.client import raw_list
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.identity.records import ASKED, GAP_S, MachineIds, NodeMachine

EVERY_S = 0.5
FIRST_WITHIN_S = 30.0


class NodeIdentities:
    """Asks for as long as the block lasts. Where no answer comes there is a Blind record until the next one."""

    def __init__(self, history: History, client: Callable[[], ApiClient]) -> None:
        self._history, self._client = history, client
        self._known: dict[str, MachineIds] = {}
        self._gap = Gap(history, NodeMachine.kind, late_after_s=GAP_S)
        self._sampling = ExitStack()

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where the first answer does not come."""
        with ExitStack() as stack:
            client = stack.enter_context(self._client())
            sampler = Sampler("node-identities", lambda: self._ask(client), every_s=EVERY_S, gaps=[self._gap])
            stack.enter_context(sampler).wait_first("the nodes' identities", within_s=FIRST_WITHIN_S)
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _ask(self, client: ApiClient) -> None:
        at = self._history.now()
        seen = {item["metadata"]["name"]: _machine(item) for item in raw_list(client, "/api/v1/nodes")}
        for name in self._known.keys() - seen.keys():
            self._history.add(NodeMachine(at, name, None))
        for name, machine in seen.items():
            if self._known.get(name) != machine:
                self._history.add(NodeMachine(at, name, machine))
        self._known = seen
        self._gap.seen(at)
        self._history.add(Sample(at, ASKED, NodeMachine.kind, len(seen)))


def _machine(node: Any) -> MachineIds:
    info = node["status"].get("nodeInfo") or {}
    addresses = [a["address"] for a in node["status"].get("addresses") or () if a["type"] == "InternalIP"]
    return MachineIds(
        machine_id=info.get("machineID") or "",
        system_uuid=info.get("systemUUID") or "",
        provider_id=node["spec"].get("providerID") or "",
        address=",".join(addresses),
    )
