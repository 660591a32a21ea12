"""Where one replay is played: its cluster, its turn on this machine, what was put there, and how it is left."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Protocol

from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import LoadsImages, NodePower, missing
from chaos.clusters.base import EXISTING, KIND, Cluster
from chaos.clusters.shape import Shape, Timers
from chaos.errors import OrdealError
from chaos.harm.base import Fault
from chaos.hosts import engine, mutants, registry, workload_images
from chaos.hosts.bundles import plain
from chaos.record.journal import WORKLOAD
from chaos.run.case import Case
from chaos.run.incident import HARDENED, Load, Replay
from chaos.run.means import Means
from chaos.run.obstacles import lacking_extra, lacking_image, lacking_name, lacking_part, obstacle
from chaos.workloads.base import RUN_LABEL, create_namespace, pulled_by_nodes
from chaos.workloads.web import Deployed, remove_namespace

SOUND_WITHIN_S = 120.0  # ends by what is seen, and is as long as the slowest machine needs


class LeftOutError(OrdealError):
    """The replay waited for its turn, and would not end in time any more: it is left out with this reason."""


class LacksAbilityError(OrdealError):
    """The cluster can't do what the incident needs: the replay is skipped with this reason."""


class Workload(Protocol):
    """Something that can be put on a cluster."""

    @property
    def name(self) -> str:
        """What it is called; its namespace's name has it."""
        ...

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Put it into a namespace of its own, and wait until it is Ready. Raises OrdealError."""
        ...


class Tell(Protocol):
    """Says what goes on now."""

    def __call__(self, name: str, detail: str = "") -> None: ...


class Stage:
    """The cluster of one replay, and all that is to be taken away from it again."""

    def __init__(
        self,
        story: Replay,
        this: Case,
        means: Means,
        *,
        timers: Timers,
        declared: Replay | None,
        too_late: Callable[[], str],
        phase: Tell,
        lacking_specs: Callable[[str], str],
    ) -> None:
        """`declared`: the story, where a suite's function tells it. `lacking_specs`: as Around.lacking. The others are
        as in Lab.
        """
        self.cluster_kind = this.cluster
        self.alone_again = False  # the next replay of this process wants the machine, and a cluster like this one
        self.image_facts: dict[str, str] = {}  # what the engine, or the nodes, say of the workloads' images
        self._story, self._variant, self._means = story, this.control or HARDENED, means
        self._timers, self._declared, self._too_late, self._phase = timers, declared, too_late, phase
        self._lacking_specs = lacking_specs
        self._turn = means.turn
        self._cluster: Cluster | None = None
        self._deployed: list[tuple[Cluster, str, int]] = []  # with its namespace and its entry in the journal
        self._interrupted, self._not_again = False, ""
        self.aside: dict[str, str] = {}  # nodes that the replay does without, with why

    def cluster(self, shape: Shape) -> Cluster:
        """The cluster of that shape, made where there is none. Raises OrdealError, LacksAbilityError."""
        self._phase("cluster")
        if self.cluster_kind == EXISTING and shape != Shape(workers=shape.workers, timers=self._timers):
            raise LacksAbilityError("an existing cluster is taken as it is, and this replay needs other flags")
        with self._taking_turns():
            self._cluster = self._means.pool.acquire(self.cluster_kind, shape)
        lacking = missing(self._cluster, self._story.needs)
        if lacking:
            named = self.cluster_kind == EXISTING and NodePower.__name__ in lacking
            how = "; --ordeal-power-command names what switches its nodes" if named else ""
            raise LacksAbilityError(
                f"{self._story.incident.id} needs {', '.join(lacking)}, which this cluster does not have{how}"
            )
        containers = self.cluster_kind == EXISTING and isinstance(self._cluster, LoadsImages)  # of this machine
        if self._declared is not None and containers:
            why = lacking_part(self._declared, made=False) or lacking_image(self._declared, self._means.images)
            if why:
                raise LacksAbilityError(why)
        pulls = not isinstance(self._cluster, LoadsImages)
        if self._declared is not None and pulls and (why := lacking_name(self._declared, self._means.images)):
            raise LacksAbilityError(why)
        return self._cluster

    @contextmanager
    def _taking_turns(self) -> Iterator[None]:
        """Around getting a cluster, which may go on beside others that wait, also for a replay that then is alone."""
        turn = self._turn
        if turn is None:
            self._check_machine()
            yield
            return
        load, memory_bytes = (self._declared.load, self._declared.memory_bytes) if self._declared else (Load.WAITS, 0)
        if self.cluster_kind == EXISTING:  # all have the same one: two faults at once would be each other's harm
            load = Load.ALONE
        first = Load.WAITS if load is Load.ALONE and not turn.alone else load

        def waiting() -> None:
            self._phase("wait", "another replay, or a build, has the machine")

        if self.cluster_kind == KIND:  # a simulated one needs little, and builds what it lacks
            turn.prepared(self._wait_for_setup)
        self._check_machine()  # set-up may have brought what it lacked
        turn.take(first, memory_bytes=memory_bytes, waiting=waiting, make_room=self._means.pool.make_room)
        if why := self._too_late():
            raise LeftOutError(why)
        yield
        turn.take(load, memory_bytes=memory_bytes, waiting=waiting)

    def _check_machine(self) -> None:
        """Raises LacksAbilityError where this machine can't do the replay on such a cluster."""
        if self._declared is None:
            return
        if why := lacking_extra(self._declared, self.cluster_kind):
            raise LacksAbilityError(why)
        if self.cluster_kind != KIND:
            return
        known = not self._means.pool.image_is_given  # a given image has a version of its own
        if self._declared.specs and known and (why := self._lacking_specs(plain(self.kubernetes))):
            raise LacksAbilityError(why)
        if why := obstacle(self._declared, self._means.images):
            raise LacksAbilityError(why)

    def _wait_for_setup(self) -> None:
        """What this process keeps up meanwhile would take from the build."""
        self._phase("wait", "set-up goes on")
        self._means.pool.make_room()

    @property
    def current(self) -> Cluster:
        """The cluster in use. Raises OrdealError before the suite asked for one."""
        if self._cluster is None:
            raise OrdealError("the suite has asked for no cluster yet: call lab.cluster(shape) first")
        return self._cluster

    @property
    def used(self) -> Cluster | None:
        """The cluster in use, or None."""
        return self._cluster

    @property
    def kubernetes(self) -> str:
        """The version of the clusters that are made, as the user asked for it."""
        return self._means.pool.kubernetes

    def change_for_good(self, why: str) -> None:
        """This replay makes another cluster of the current one, and nothing can take that back. `why` says by what.

        So it is journalled as one to delete, also where it was to be kept, and goes at the replay's end. Raises
        LacksAbilityError for an existing cluster: it is not ours to change for good.
        """
        self.refuse_existing(why)
        self._means.pool.change_for_good(self.cluster_kind)
        self.do_not_reuse(why)

    def refuse_existing(self, why: str) -> None:
        """Raises LacksAbilityError for an existing cluster: it is not ours to change for good."""
        if self.cluster_kind == EXISTING:
            raise LacksAbilityError(f"{why}, which can't be taken back: it takes a cluster of its own")

    def do_not_reuse(self, why: str) -> None:
        """No other replay may have this cluster, if it is ours to delete: it goes when this one is over."""
        self._not_again = self._not_again or why

    def deploy(self, workload: Workload) -> Deployed:
        """Put a workload on the cluster and wait until it is Ready. It is removed after the replay.

        Raises OrdealError.
        """
        self._phase("deploy")
        cluster, namespace = self.current, self._planned(workload.name)
        deployed = workload.deploy(cluster, self._means.run, namespace)
        if self.cluster_kind == EXISTING and not isinstance(cluster, LoadsImages):
            self.image_facts |= pulled_by_nodes(cluster, namespace)
        return deployed

    def namespace(self) -> str:
        """One of this replay's own on the current cluster, which goes with its workloads: one that has one of them, or
        one for pods alone. Raises ApiException, OrdealError.
        """
        cluster = self.current
        if there := [namespace for on, namespace, _ in self._deployed if on is cluster]:
            return there[-1]
        namespace = self._planned("pods")
        with cluster.api() as client:
            create_namespace(k8s.CoreV1Api(client), namespace, {RUN_LABEL: self._means.run})
        return namespace

    def _planned(self, name: str) -> str:
        """A namespace that is taken away with the workloads, whatever becomes of it from now on."""
        cluster, namespace = self.current, f"ordeal-{name}-{uuid.uuid4().hex[:6]}"
        entry = self._means.journal.planned(WORKLOAD, cluster.ref.narrowed(), {"namespace": namespace})
        self._deployed.append((cluster, namespace, entry))
        return namespace

    def image(self, name: str, given: str = "") -> str:
        """The image to run for a workload (see chaos.hosts.workload_images), on every node of the current cluster.

        The one that is `given` here, else the user's option, else our own, built where it is missing, or the published
        one by its digest. Raises OrdealError where it can't be had or lacks the server. A cluster that we can't load
        images into pulls it itself.
        """
        cluster, given = self.current, given or self._means.images.get(name, "")
        if self._declared is not None and name not in self._declared.images:
            raise OrdealError(f"this replay runs {name}: its mark has to say so, images=({name!r},)")
        self._phase("image", name)
        if not isinstance(cluster, LoadsImages):
            return given or workload_images.pulled_by_nodes(name)
        with nullcontext() if given or workload_images.is_there(name) else self._building(f"the image of {name}"):
            chosen = workload_images.choose(name, given, report=self._means.report)
        self.image_facts[f"image {name}"] = f"{chosen}: {registry.told(engine.chosen(), chosen)}"
        return cluster.load_image(chosen)

    def mutant(self, name: str) -> mutants.BuiltMutant:
        """The program of a mutant for the current cluster's version, built now unless the cache has it.

        Raises OrdealError as chaos.hosts.mutants.build does, and where the suite function has not declared it.
        """
        if self._declared is not None and name not in self._declared.mutants.get(self._variant, ()):
            raise OrdealError(f"this variant runs the mutant {name}: its mark has to say so, in `mutants`")
        version = plain(self.current.kubernetes)
        with nullcontext() if mutants.built(name, version) else self._building(name):
            return mutants.build(name, version, report=lambda line: self._phase("build", line))

    def configure(self, change: Fault[Any]) -> None:
        """Say that the cluster is about to be set up so. Raises OrdealError where the suite function has not declared
        it: nobody could tell beforehand what is going to be changed.
        """
        declared = self._declared
        if declared is not None and type(change) not in declared.faults.get(self._variant, ()):
            name = type(change).__name__
            raise OrdealError(f"this variant configures {change.kind}: its mark has to say so, {name} in `faults`")
        self._phase("configure", change.kind)

    @contextmanager
    def _building(self, what: str) -> Iterator[None]:
        """Around a build: beside it go only replays that wait."""
        if self._turn is None:
            yield
            return
        with self._turn.building(lambda: self._phase("wait", f"to build {what}: another replay has the machine")):
            yield

    def remove_workloads(self) -> int:
        """Remove what was deployed; returns how many. Raises OrdealError; what stays then is in the journal."""
        removed = 0
        while self._deployed:
            cluster, namespace, entry = self._deployed[-1]
            if cluster is self._cluster:  # another one is gone by now, with all that was on it
                remove_namespace(cluster, namespace)
            self._means.journal.undone(entry)
            self._deployed.pop()
            removed += 1
        return removed

    @contextmanager
    def removing_workloads(self) -> Iterator[None]:
        """Remove the workloads at the block's end, before what they stand on is taken away. What the block raises
        is not hidden by workloads that can't be removed: that is tried again at the replay's end.
        """
        try:
            yield
        except BaseException:
            with suppress(OrdealError):
                self.remove_workloads()
            raise
        self.remove_workloads()

    def leave_workloads_to_their_cluster(self) -> None:
        """They go with their cluster, which is about to be deleted and has an entry of its own in the journal."""
        while self._deployed:
            self._means.journal.undone(self._deployed.pop()[2])

    def interrupted(self) -> None:
        """The run was interrupted: a cluster of ours is to be deleted as it is, without waiting for anything."""
        self._interrupted = True

    def clean_up(self, left: str) -> None:
        """Remove what was deployed; a cluster that is not sound afterwards is not used again. `left`: what upstream's
        specs have left on it.
        """
        try:
            self._clean_up(left)
        finally:
            if self._turn is not None:
                if self._turn.alone and not self.alone_again:
                    self._means.pool.take_down(self.cluster_kind)  # it would go on beside whoever is next
                if not (self._turn.alone and self.alone_again):
                    self._turn.give_back()

    def _clean_up(self, left: str) -> None:
        cluster = self._cluster
        if cluster is None:
            return
        ours = self.cluster_kind != EXISTING
        why = ("the run was interrupted" if self._interrupted else self._not_again) if ours else ""
        whys = [why or left or _failure(self._wait_until_sound)]
        if not whys[0] or not ours:  # what is somebody's stays, whatever its nodes are like
            whys.append(_failure(self.remove_workloads))
        if any(whys):
            self._give_up(cluster, "; ".join(filter(None, whys)))

    def _wait_until_sound(self) -> None:
        ready = f"every node of {self.current.ref.name} to be Ready"
        eventually(self.nodes_ready, within_s=SOUND_WITHIN_S, what=ready)

    def nodes_ready(self) -> bool:
        """Whether every node is Ready now that was not set aside. Raises OrdealError where the API server does not
        answer.
        """
        return all(n.ready == "True" for n in self.current.nodes() if n.name not in self.aside)

    def _give_up(self, cluster: Cluster, why: str) -> None:
        self._means.report(f"cluster {cluster.ref.name} is not used again: {why}")
        if self.cluster_kind != EXISTING:
            self.leave_workloads_to_their_cluster()
        self._means.pool.do_not_reuse(self.cluster_kind)


def _failure(step: Callable[[], object]) -> str:
    """What is wrong, in words; "" where the step succeeds."""
    try:
        step()
    except OrdealError as error:
        return str(error)
    return ""
