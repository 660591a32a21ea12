"""Saboteurs of harm: a fault does nothing, lapses, lies, hits another node, or does half of what it is to do."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kubernetes import client as k8s

from chaos.clusters.abilities import Heartbeats
from chaos.harm import base
from chaos.harm.base import registered
from chaos.record.leases import NAMESPACE as LEASES
from chaos.run import lab as labs
from chaos.run.lab import Lab
from tests.saboteurs.putting import act, later, put

AFTER_S = 3.0
RENEWED_EACH_S = 1.0
LANDING_WITHIN_S = 20.0  # what never lands need not be waited for as long as on the slowest machine


def fault_does_nothing() -> None:
    """Its call returns, and nothing has happened."""
    for cls in registered().values():
        put(cls, "apply", lambda *_: act("fault-does-nothing"))
    _give_up_early()


def fault_lapses() -> None:
    """Somebody else takes the harm back soon after it was done."""

    def lapsing(cls: Any, landed: Callable[..., bool]) -> Callable[..., bool]:
        def landed_and_taken_back(self: Any, cluster: Any, saved: Any) -> bool:
            if landed(self, cluster, saved):
                act("fault-lapses")
                later(AFTER_S, cls.undo, cluster, saved)
                return True
            return False

        return landed_and_taken_back

    for cls in registered().values():
        put(cls, "landed", lapsing(cls, cls.landed))


class Lie:
    """A fault that plans as another one does, does no harm, and says that it has."""

    landed = lasts = undone = staticmethod(lambda *_: True)
    apply = undo = staticmethod(lambda *_: None)

    def __init__(self, fault: Any) -> None:
        self.kind, self.needs, self.plan = fault.kind, fault.needs, fault.plan
        act("fault-lies")


def fault_lies() -> None:
    """The harm is not done, and whoever is asked says that it is: what has to show, when there is harm, does not."""
    _instead(lambda fault, _: Lie(fault))


def fault_hits_wrong_node() -> None:
    """One of the nodes that it is meant for is left alone, and another one is harmed in its place."""

    def elsewhere(fault: Any, cluster: Any) -> Any:
        field, meant = _targets(fault)
        there = cluster.heartbeat_groups() if field == "groups" else [node.name for node in cluster.nodes()]
        others = [name for name in there if name not in {*meant, *getattr(fault, "peers", ())}] or [
            name for name in there if name not in meant
        ]
        if not meant or not others:
            return fault
        act("fault-hits-wrong-node")
        return _aimed(fault, field, (*meant[:-1], others[0]))

    _instead(elsewhere)


def fault_harms_half_its_nodes() -> None:
    """Half of the nodes that it is meant for are spared. Where they are one group, which is one process, that is as if
    another one sent the heartbeats of half of them from when it has landed.
    """

    def half(fault: Any, _: Any) -> Any:
        field, meant = _targets(fault)
        if len(meant) < 2:
            return fault
        act("fault-harms-half-its-nodes")
        return _aimed(fault, field, meant[: len(meant) // 2])

    _instead(half)
    inject = Lab.inject

    @contextmanager
    def renewed(self: Lab, fault: Any, nodes: Sequence[str] = ()) -> Iterator[Any]:
        with inject(self, fault, nodes) as saved:
            cluster, groups = self.current, _targets(fault)[1]
            if len(groups) != 1 or not isinstance(cluster, Heartbeats):
                yield saved
                return
            act("fault-harms-half-its-nodes")
            over, meant = threading.Event(), cluster.nodes_of(groups[0])
            beating = threading.Thread(target=_renew, args=(cluster, meant[::2], over), daemon=True)
            beating.start()
            try:
                yield saved
            finally:
                over.set()
                beating.join(10)

    put(Lab, "inject", renewed)


def fault_half_done() -> None:
    """Of the several things that it does to a cluster it does the first and no other; of its commands every other."""

    def halved(apply: Callable[..., None]) -> Callable[..., None]:
        def first_half(self: Any, cluster: Any, saved: Any) -> None:
            apply(self, _HalfDone(cluster), saved)

        return first_half

    for cls in registered().values():
        put(cls, "apply", halved(cls.apply))
    _give_up_early()


class _HalfDone:
    """A cluster to which half of what is asked of it is done."""

    COMMANDS = frozenset({"in_network_of", "node_exec"})

    def __init__(self, cluster: Any) -> None:
        self._cluster, self._done, self._asked = cluster, set[str](), 0

    def __getattr__(self, name: str) -> Any:
        there = getattr(self._cluster, name)
        if not callable(there) or name.startswith(("_", "api", "nodes", "addresses")):
            return there
        return partial(self._half, name, there)

    def _half(self, name: str, there: Callable[..., Any], *given: Any, **named: Any) -> Any:
        if name in self.COMMANDS:
            self._asked += 1
            if self._asked % 2 == 0:
                act("fault-half-done")
                given = (given[0], ["true"], *given[2:])
        elif self._done - {name}:
            act("fault-half-done")
            return None
        else:
            self._done.add(name)
        return there(*given, **named)


def _instead(other: Callable[[Any, Any], Any]) -> None:
    """What a replay injects is another fault than it says."""
    inject: Any = Lab.inject
    put(Lab, "inject", lambda self, fault, nodes=(): inject(self, other(fault, self.current), nodes))


def _targets(fault: Any) -> tuple[str, tuple[str, ...]]:
    """The field that names what a fault is meant for, and those names; none where it is meant for no node."""
    for field in ("groups", "nodes", "node"):
        value = getattr(fault, field, None)
        if value:
            return field, (value,) if isinstance(value, str) else tuple(value)
    return "", ()


def _aimed(fault: Any, field: str, names: tuple[str, ...]) -> Any:
    return replace(fault, **{field: names[0] if field == "node" else names})


def _renew(cluster: Any, nodes: Sequence[str], over: threading.Event) -> None:
    with cluster.api() as client:
        leases = k8s.CoordinationV1Api(client)
        while not over.wait(RENEWED_EACH_S):
            for node in nodes:
                now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
                leases.patch_namespaced_lease(node, LEASES, {"spec": {"renewTime": now}})


def _give_up_early() -> None:
    put(labs, "inject", partial(base.inject, landing_within_s=LANDING_WITHIN_S))
