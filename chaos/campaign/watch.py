"""Looks at all workloads of a batch once a second, and gives each slot what its promises are judged by."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Protocol, Self

from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.campaign.ground import ADDRESS, CORE, TRIED, WEB
from chaos.campaign.slot import Opened, Slot
from chaos.campaign.world import World, look
from chaos.clusters.abilities import ComponentSwap, ControlPlaneSwap
from chaos.clusters.control_processes import ControlProcesses
from chaos.clusters.way.client import raw_merge
from chaos.judge.start import STARTED
from chaos.record.history import History
from chaos.record.records import Probe, Sample
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.aged.promises import COMPONENTS, MUSEUM
from chaos.subjects.aged.records import Touched
from chaos.subjects.aged.sampler import component_seen, is_ready
from chaos.subjects.garbage.records import Due, What
from chaos.subjects.garbage.records import Look as DueLook

EVERY_S = 1.0
FIRST_WITHIN_S = 60.0
LOOPBACK = "127."
FIRST_ADDRESS = (198 << 24) + (18 << 16) + 256  # 198.18.0.0/15, of benchmarks (RFC 2544): nobody has them


class Plane(Opened, ComponentSwap, ControlPlaneSwap, ControlProcesses, Protocol):
    """A cluster whose etcd can be edited, and whose control plane is looked at."""


class WorkloadsWatch:
    """For as long as the block lasts. `worlds` are the looks so far; a look that failed is in none of them.

    It does a kubelet's part, too: a simulated pod has its address on loopback, which no endpoint may have
    (pkg/apis/core/validation, ValidateEndpointIP), so each gets one of its own.
    """

    def __init__(self, recording: History, cluster: Plane, slots: Sequence[Slot]) -> None:
        self.worlds: list[World] = []
        self._recording, self._cluster, self._slots = recording, cluster, slots
        self._given = 0
        self._sampling = ExitStack()
        self._started: set[str] = set()
        self._addresses: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where the API server does not answer."""
        asked, seen = Gap(self._recording, MUSEUM), Gap(self._recording, COMPONENTS)
        with ExitStack() as stack:
            client = stack.enter_context(self._cluster.api())
            asks = Sampler("campaign", lambda: self._ask(client, asked), every_s=EVERY_S, gaps=[asked])
            stack.enter_context(asks).wait_first("a look at the workloads", within_s=FIRST_WITHIN_S)
            looks = Sampler("components", lambda: self._look(seen), every_s=EVERY_S, gaps=[seen], once_more=True)
            stack.enter_context(looks).wait_first("a look at the control plane", within_s=FIRST_WITHIN_S)
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def since(self, at: float) -> list[World]:
        """The looks that began after a moment."""
        return [each for each in self.worlds if each.at >= at]

    def _look(self, gap: Gap) -> None:
        for component in self._cluster.components():
            self._recording.add(component_seen(self._cluster, component, self._recording.now()))
        gap.seen(self._recording.now())

    def _ask(self, client: ApiClient, gap: Gap) -> None:
        world = look(client, self._recording.now(), self._recording.now)
        self._give_addresses(client, world)
        for slot in self._slots:
            self._tell(slot, world)
        self.worlds.append(world)
        gap.seen(world.at)

    def _tell(self, slot: Slot, world: World) -> None:
        for followed in world.followed(slot.ground):
            slot.own.add(followed)
        if (selected := world.selected(slot.ground)) is not None:
            slot.own.add(selected)
        if address := self._addresses.get(slot.ground.namespace) or world.address(slot.ground):
            self._addresses[slot.ground.namespace] = address
            answered, why = world.answers(slot.ground, address)
            took_s = world.until - world.at
            slot.own.add(Probe(world.at, slot.ground.node, ADDRESS, bool(answered), took_s, answered, why))
        touched = [each.at for each in slot.own.of(Touched)]
        started = touched and any(map(is_ready, world.workload(slot.ground, TRIED)))
        if started and slot.ground.namespace not in self._started:
            self._started.add(slot.ground.namespace)
            slot.own.add(Sample(world.at, STARTED, slot.ground.node, max(0.0, world.at - touched[0])))
        for due in slot.own.of(Due):
            if due.at <= world.at:
                done = not world.workload(slot.ground, WEB)
                slot.own.add(DueLook(world.until if done else world.at, What.PODS, due.name, done))

    def _give_addresses(self, client: ApiClient, world: World) -> None:
        """What is refused is a pod that is gone or was edited, and is asked for again at the next look."""
        for pod in (each for slot in self._slots for each in world.of(slot.ground, "pods") if _wants_address(each)):
            number = FIRST_ADDRESS + self._given
            self._given += 1
            address = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
            metadata: Any = pod["metadata"]
            path = f"{CORE}/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
            with suppress(ApiException):
                raw_merge(client, path, {"status": {"podIP": address, "podIPs": [{"ip": address}]}})


def _wants_address(pod: Any) -> bool:
    return is_ready(pod) and str((pod.get("status") or {}).get("podIP") or "").startswith(LOOPBACK)
