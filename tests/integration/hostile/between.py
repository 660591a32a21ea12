"""A simulated replay over a way that is made bad while it is recorded; for `pytest -p`, as tests.saboteurs.

KUBE_ORDEAL_HOSTILE names the trouble (tests/integration/hostile/troubles.py). It begins a few seconds after the
recorder has its first list; KUBE_ORDEAL_HOSTILE_S says how long it lasts: seconds, or "on" where it does not end. Only
what is asked by Python goes over the way: the cluster's own components have their own kubeconfigs.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from threading import Timer
from typing import Any

from kubernetes.client import ApiClient

from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.record.recorder import Recorder
from tests.integration.hostile.troubles import TROUBLES
from tests.integration.hostile.way import HostileWay, hostile_way

NAMED_BY, LASTS = "KUBE_ORDEAL_HOSTILE", "KUBE_ORDEAL_HOSTILE_S"
AFTER_S = 3.0
WHOLE = ExitStack()
WAYS: dict[str, HostileWay] = {}


def pytest_configure() -> None:
    trouble = next(each for each in TROUBLES if each.name == os.environ[NAMED_BY])
    api, enter = SimulatedCluster.api, Recorder.__enter__

    def over_the_way(self: SimulatedCluster) -> ApiClient:
        return WAYS[self.ref.name].client() if self.ref.name in WAYS else api(self)

    def entered(self: Recorder, *given: Any) -> Recorder:
        made = enter(self, *given)
        ((_, way),) = WAYS.items()
        lasting = WHOLE.enter_context(ExitStack())
        WHOLE.enter_context(_after(AFTER_S, lambda: trouble.does(way, lasting)))
        if os.environ[LASTS] != "on":
            WHOLE.enter_context(_after(AFTER_S + float(os.environ[LASTS]), lasting.close))
        return made

    create = SimulatedCluster.create.__func__  # type: ignore[attr-defined]

    def created(cls: type[SimulatedCluster], *given: Any, **named: Any) -> SimulatedCluster:
        made: SimulatedCluster = create(cls, *given, **named)
        folder = Path(WHOLE.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
        WAYS[made.ref.name] = WHOLE.enter_context(hostile_way(Path(made.ref.kubeconfig), folder))
        return made

    SimulatedCluster.api = over_the_way  # type: ignore[method-assign]
    SimulatedCluster.create = classmethod(created)  # type: ignore[assignment]
    Recorder.__enter__ = entered  # type: ignore[method-assign, assignment]


def pytest_unconfigure() -> None:
    WHOLE.close()


def _after(seconds: float, does: Any) -> ExitStack:
    """Do it later, unless that is over before."""
    timer, stack = Timer(seconds, does), ExitStack()
    timer.daemon = True
    timer.start()
    stack.callback(timer.cancel)
    return stack
