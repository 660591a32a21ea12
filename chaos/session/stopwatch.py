"""How long replays take: kept for the plans of later runs, apart from what a plan counts apart."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from chaos.clusters.base import SIMULATED
from chaos.hosts import engine
from chaos.judge.base import Verdict
from chaos.results.results import Outcome
from chaos.run import durations
from chaos.run.case import of_item, replay_of_item
from chaos.session.candidates import below_suites, builds_of, is_built
from chaos.session.planning import clock
from chaos.setup.steps import simulated_steps


class Stopwatch:
    """Keeps how long the replays of one process took, apart from what a plan counts apart: clusters, builds, specs.

    `waited`: seconds that this process has waited so far, for clusters to be made and for its turn.
    """

    def __init__(self, kubernetes: str, profile: str, waited: Callable[[], tuple[float, float]]) -> None:
        self._kubernetes, self._profile, self._waited = kubernetes, profile, waited
        self._cluster = ("", "")

    @contextmanager
    def of(self, item: pytest.Item) -> Iterator["Lap"]:
        """Around all of a replay, with what is done before its story and after it."""
        lap, began, waited_s = Lap(), clock(), self._waited()
        builds = builds_of(item)
        running = engine.find() if builds else None
        lacked = [name for name in builds if not is_built(name, self._kubernetes, running)]
        this = of_item(item)
        if this is not None and this.cluster == SIMULATED:  # what it lacks is built when the cluster is made
            lacked += [step.what for step in simulated_steps(self._kubernetes) if step.needed()]
        yield lap
        took_s = clock() - began
        cluster_s, turn_s = (after - before for after, before in zip(self._waited(), waited_s, strict=True))
        self._keep(item, lap, took_s - turn_s, cluster_s, built=bool(lacked))

    def _keep(self, item: pytest.Item, lap: "Lap", took_s: float, cluster_s: float, *, built: bool) -> None:
        """Without a verdict it may have ended early, and with a build in it, it took longer than it ever will."""
        replay = replay_of_item(item)
        if replay is None or lap.outcome is None or lap.outcome.verdict is Verdict.UNKNOWN:
            return
        if lap.specs_s:
            durations.record(durations.specs_key(self._kubernetes), lap.specs_s)
        like = (lap.outcome.cluster, replay.shape)
        is_new, self._cluster = like != self._cluster, like
        if built:
            return
        if is_new and cluster_s > 0:  # else it is this replay's own doing: a plan counts none for it
            durations.record(durations.cluster_key(*like), cluster_s)
            took_s -= cluster_s
        key = durations.replay_key(below_suites(item), self._profile, self._kubernetes)
        durations.record(key, took_s - lap.specs_s)


@dataclass(slots=True)
class Lap:
    """What became of the replay that a stopwatch is on: its outcome, and how long upstream's specs took after it."""

    outcome: Outcome | None = None
    specs_s: float = 0.0
