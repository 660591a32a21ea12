"""Conformance around a replay: the specs that are run before and after it, and what goes on during its harm."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import SIMULATED, Cluster
from chaos.clusters.existing.cluster import require_all_rights
from chaos.clusters.way.client import server_version
from chaos.conformance import during, images, program
from chaos.conformance.podlogs import upstreams_namespaces
from chaos.conformance.rounds import Rounds, Wish, chosen
from chaos.errors import OrdealError
from chaos.harm.base import Fault
from chaos.hosts.bundles import plain
from chaos.judge.base import Invariant
from chaos.judge.conformance import AFTER, BEFORE, DURING, conforms_during, still_conforms
from chaos.record.history import History
from chaos.record.records import Phase
from chaos.results.specs import SpecResult
from chaos.run.hook import CantRunSpecsError, Hook

AROUND = (images.AGNHOST, images.BUSYBOX)  # what the specs around a replay run
GONE_WITHIN_S = 120.0  # what specs have made: upstream deletes its namespaces and does not wait
RUN_NO_POD = "the nodes of this cluster are simulated and run no pod"
SMALL_DISK = "a node has a small file system of its own for images, whose use the next replay measures"


def hook(wish: Wish, report: Callable[[str], None], *, control: str | None = None) -> Hook:
    """Specs around a replay, as they were wished; around a control, which is known to be bad, none are run."""
    return partial(SpecsAround, Wish() if control else wish, report)


class SpecsAround:
    """Runs what was wished around one replay, and knows what the histories are to be judged by."""

    def __init__(self, wish: Wish, report: Callable[[str], None], directory: Path, beginning: Phase) -> None:
        """`directory`: the replay's own, below the run's folder. `beginning`: of a recording of the specs' own."""
        self._wish = wish
        self.not_run = ""  # why not, where they were wished and could not be run
        self.left = ""  # what specs have made and did not go from the cluster
        self._directory, self._report, self._beginning = directory, report, beginning
        self._rounds: list[Rounds] = []  # of each version that the cluster had
        self._done: list[str] = []
        self._own: History | None = None
        self._during: list[tuple[during.Checks, str, History]] = []
        self._checks: during.Checks | None = None

    @property
    def wished(self) -> bool:
        """Whether any round was wished."""
        return bool(self._wish.rounds)

    @property
    def results(self) -> tuple[SpecResult, ...]:
        """What became of each spec so far."""
        rounds = (row for rounds in self._rounds for row in rounds.results)
        return (*rounds, *(row for checks, fault, _ in self._during for row in checks.rows(fault)))

    @property
    def names(self) -> tuple[str, ...]:
        """The whole names of the specs that were run last, before or after; none where none were."""
        return self._rounds[-1].texts if self._rounds else ()

    def run(self, cluster: Cluster, when: str, history: History) -> tuple[str, ...]:
        """Run the specs now, by the e2e.test of the version that the cluster has now, into a history.

        Returns their names.
        Raises CantRunSpecsError where that can't be done here, OrdealError for what is wrong before the first spec.
        """
        found = _program(cluster)
        images.provide(cluster, found, only=AROUND, report=self._report)
        if not self._rounds or found.version != self._rounds[-1].version:  # a cluster can be upgraded in between
            self._rounds.append(Rounds(cluster, found, chosen(found), self._directory, self._report))
        self._rounds[-1].run(when, history)
        self._wait_until_gone(cluster, when)
        return self.names

    def lacking(self, version: str) -> str:
        """Why none can be run on clusters of that version; "" where they can."""
        return program.lacking(version)

    def in_story(self, cluster: Cluster, when: str, history: History) -> tuple[str, ...]:
        """The story runs them itself, and then none are run around it. Raises as `run` does."""
        self._wish = Wish()
        return self.run(cluster, when, history)

    def check(self, version: str) -> None:
        """The cluster will have that version after the harm. Raises CantRunSpecsError where specs were asked for then,
        and there is no e2e.test of it.
        """
        if self._wish.asked and AFTER in self._wish.rounds:
            _built(version)

    def due(self, when: str) -> bool:
        """Whether that round was wished, and nothing is known yet of why it could not be run."""
        return when in self._wish.rounds and when not in self._done and not self.not_run

    def around(self, cluster: Cluster, when: str) -> bool:
        """Run the specs now, where that was wished and was not done yet, into a history of their own.

        Returns whether they were run. What was not asked for and can't be done is no error, but told by `not_run`.
        Raises OrdealError as `run` does.
        """
        if not self.due(when) or not self._may(cluster):
            return False
        if self._own is None:
            self._own = History(self._directory / "history" / "conformance.jsonl")
            self._own.add(self._beginning)
        self._done.append(when)
        self.run(cluster, when, self._own)
        return True

    @contextmanager
    def during(
        self, harm: Fault[Any], cluster: Cluster, history: History, deploy: during.Deploy, names: Sequence[str] = ()
    ) -> Iterator[None]:
        """Check, for the block's length, what is documented to go on while this harm lasts; nothing where nothing is.

        `deploy` puts the pods that are asked onto the cluster, once. `names`: of the control plane's nodes, where the
        API server need not answer now.
        """
        documented = ""
        if DURING in self._wish.rounds and (self._checks is not None or self._may(cluster)):
            documented = during.documented(harm, names or [n.name for n in cluster.nodes() if n.control_plane])
        if not documented:
            yield
            return
        if self._checks is None:
            image = images.agnhost(cluster, report=self._report)
            self._checks = during.Checks(cluster, deploy(during.Talkers(image)))
        self._report(f"  checked during {harm.kind}: {documented}")
        if all(fault != harm.kind or into is not history for _, fault, into in self._during):
            self._during.append((self._checks, harm.kind, history))
        with self._checks.running(history, harm.kind):
            yield

    def judged_by(self) -> tuple[tuple[History, Invariant], ...]:
        """What each history is to be judged by: nothing where nothing was run."""
        found = [(history, conforms_during(checks.names, fault=fault)) for checks, fault, history in self._during]
        if self._own is not None and AFTER in self._done:
            found.append((self._own, still_conforms(self.names, before=BEFORE in self._done)))
        return tuple(found)

    def close(self) -> Path | None:
        """The history of their own is whole: where it is; None where there is none."""
        if self._own is None:
            return None
        self._own.close()
        return self._own.path

    def _wait_until_gone(self, cluster: Cluster, when: str) -> None:
        """Nothing of the specs is to be on the cluster while it is harmed, nor for the next replay."""
        try:
            eventually(lambda: _gone(cluster), within_s=GONE_WITHIN_S, what="specs' namespaces to be gone", every_s=1.0)
        except WaitedInVainError as error:
            self.left = str(error)
            if when != AFTER:  # after harm it may be its doing, and is no reason not to judge
                raise

    def _may(self, cluster: Cluster) -> bool:
        """Whether specs can be run here. Raises CantRunSpecsError where they can't and were asked for."""
        if self.not_run:
            return False
        simulated = cluster.ref.kind == SIMULATED
        if not simulated and cluster.shape.imagefs_bytes and not self._wish.asked:
            self.not_run = SMALL_DISK
            return False
        try:
            found = _program(cluster)
            _check_rights(cluster)
            _check_images(cluster, found)
        except CantRunSpecsError as error:
            self.not_run = str(error)
            if self._wish.asked and not simulated:
                raise
        return not self.not_run


def _program(cluster: Cluster) -> program.E2eProgram:
    """The e2e.test of its version. Raises CantRunSpecsError where the cluster runs no pod, or that was not built."""
    if cluster.ref.kind == SIMULATED:
        raise CantRunSpecsError(RUN_NO_POD)
    try:
        with cluster.api() as client:
            version = plain(server_version(client))
    except OrdealError:  # it does not answer: what is run will say so
        version = plain(cluster.kubernetes)
    return _built(version)


def _check_rights(cluster: Cluster) -> None:
    """Raises CantRunSpecsError where the user of an existing cluster may not do what specs do."""
    try:
        require_all_rights(cluster, "upstream's specs")
    except OrdealError as error:
        raise CantRunSpecsError(str(error)) from error


def _check_images(cluster: Cluster, found: program.E2eProgram) -> None:
    """Raises CantRunSpecsError where the images of the specs can't be had here."""
    if why := images.obstacle(cluster, found, AROUND):
        raise CantRunSpecsError(why)


def _built(version: str) -> program.E2eProgram:
    """The e2e.test of that version. Raises CantRunSpecsError where it was not built."""
    try:
        return program.require(version)
    except OrdealError as error:
        raise CantRunSpecsError(str(error)) from error


def _gone(cluster: Cluster) -> bool:
    """Whether upstream's namespaces are gone. Their pods are ended at once: most have half a minute of grace."""
    left = upstreams_namespaces(cluster)
    with cluster.api() as client:
        for namespace in left:
            k8s.CoreV1Api(client).delete_collection_namespaced_pod(namespace, grace_period_seconds=0)
    return not left
