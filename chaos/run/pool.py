"""The clusters of one run: made when a suite first asks for a shape, shared by suites that agree on it, taken down."""

import fcntl
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from chaos.basics.files import appended, place
from chaos.clusters.base import EXISTING, KIND, SIMULATED, Cluster, ClusterRef, Images, PowerRef
from chaos.clusters.existing import cluster as existing
from chaos.clusters.identity import require_same
from chaos.clusters.kind import cluster as kind
from chaos.clusters.kind import home as kind_home
from chaos.clusters.kind import ready
from chaos.clusters.power.drivers import switch
from chaos.clusters.power.switch import check
from chaos.clusters.shape import Shape
from chaos.clusters.simulated import cluster as simulated
from chaos.errors import OrdealError
from chaos.hosts import engine
from chaos.hosts.places import state_dir
from chaos.record.journal import CLUSTER, Journal
from chaos.run.agents import RunAgents, WantedAgents
from chaos.run.guard import Anything, Consents

# What the user's part of a cluster's name may be. Ours comes after it, and kind's "-control-plane" after that: a node's
# name is its host name, of which Linux takes 64 characters and DNS 63.
LONGEST_NAME = 30
_NAME = re.compile(rf"[a-z0-9][a-z0-9-]{{,{LONGEST_NAME - 1}}}")
PROVIDERS: dict[str, type] = {KIND: kind.KindCluster, SIMULATED: simulated.SimulatedCluster}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user's options say of clusters. Empty strings and None: not given."""

    kubernetes: str
    name: str = ""
    keep: bool = False
    kubeconfig: Path | None = None
    context: str = ""
    kind_image: str = ""
    kind_bin: Path | None = None
    kubectl_bin: Path | None = None
    busybox_image: str = ""
    agent_image: str = ""
    agent_privileged: bool = False
    power: PowerRef | None = None


@dataclass(slots=True)
class _Held:
    cluster: Cluster
    shape: Shape
    entry: int | None  # its entry in the journal; None where it is not ours to delete, or is to be kept
    lock: BinaryIO | None


class Pool:
    """Holds one cluster at a time, and those that are to be kept: two would share this machine's cores."""

    def __init__(
        self,
        wishes: Wishes,
        journal: Journal,
        run: str,
        report: Callable[[str], None],
        consents: Consents | None = None,
    ) -> None:
        """`run` is the run's id; its last four characters are in the name of each cluster. `consents`: who says which
        nodes of an existing cluster may be harmed, and by what; None where all may.
        """
        self._wishes, self._journal, self._run, self._report = wishes, journal, run, report
        self._consents = consents or Anything()
        self._held: dict[str, _Held] = {}
        self._agents: RunAgents | None = None
        if wishes.kubeconfig is not None and wishes.agent_image:
            wanted = WantedAgents(
                wishes.kubeconfig, wishes.context, wishes.agent_image, wishes.agent_privileged, wishes.power
            )
            self._agents = RunAgents(wanted, journal, journal.path.stem, report, self._consents)
        self._made = 0
        self.waited_s = 0.0  # in all, for clusters to be made in the place of others

    def acquire(self, kind_of: str, shape: Shape) -> Cluster:
        """A cluster of that kind and shape: the one there is, or a new one in its place.

        Raises OrdealError where it can't be made; what was half-made is taken down, or stays in the journal.
        """
        held = self._held.get(kind_of)
        if held is not None and held.shape == shape:
            return held.cluster
        began = time.monotonic()
        for other in list(self._held):  # of any kind: an idle control plane takes a third of a core from the next
            self.take_down(other)
        if kind_of == EXISTING:
            cluster = self._existing(shape)
            self._held[kind_of] = _Held(cluster, shape, None, None)
        else:
            self._held[kind_of] = self._kept(kind_of, shape) if self._wishes.keep else self._new(kind_of, shape)
        self.waited_s += time.monotonic() - began
        return self._held[kind_of].cluster

    def check_power(self) -> None:
        """Ask the driver that was named for the nodes that may be harmed. Raises OrdealError where it can't say what
        one of them is, or says what can't be.
        """
        wishes = self._wishes
        if wishes.kubeconfig is None or wishes.power is None:
            return
        attach = existing.attach if self._agents is None else existing.attach_by_api
        cluster = attach(wishes.kubeconfig, wishes.context, Shape(), wishes.busybox_image, wishes.power)
        allowed = self._consents.allowed()
        check(switch(wishes.power), (each for each in cluster.nodes() if allowed is None or each.name in allowed))

    @property
    def kubernetes(self) -> str:
        """The version of the clusters that are made here."""
        return self._wishes.kubernetes

    @property
    def image_is_given(self) -> bool:
        """Whether the user named the node image: then it says which version its clusters have."""
        return bool(self._wishes.kind_image)

    def change_for_good(self, kind_of: str) -> None:
        """The cluster of that kind is about to become another one for good: journalled as one to delete, kept or not.

        Whoever does that takes it down at the end; where they are killed before, what they leave is taken down.
        """
        held = self._held[kind_of]
        if held.entry is None and kind_of != EXISTING:
            held.entry = self._journal.planned(CLUSTER, held.cluster.ref, {})
            _marker(held.cluster.ref.name).unlink(missing_ok=True)  # no later run is to take it for a kept one

    def apart(self, tag: str) -> "Pool":
        """A pool of its own, for a thread of its own: its clusters' names hold the tag. The caller closes it."""
        wishes = replace(self._wishes, name=f"{self._wishes.name or 'ordeal'}-{tag}", keep=False)
        return Pool(wishes, self._journal, self._run, lambda _: None)

    def take_down(self, kind_of: str) -> None:
        """Take down the cluster of that kind, if there is one and it is not to be kept."""
        held = self._held.pop(kind_of, None)
        if held is None:
            return
        with held.lock if held.lock is not None else nullcontext():  # let go of also where the cluster stays
            if held.entry is None:
                return
            self._report(f"deleting cluster {held.cluster.ref.name}")
            held.cluster.delete()
            self._journal.undone(held.entry)
            if held.lock is not None:  # nobody else asks for this name; a kept cluster's lock file stays for the next
                _lock_path(held.cluster.ref.name).unlink(missing_ok=True)

    def make_room(self) -> None:
        """Somebody else has the machine alone: take down the clusters that are idle here, but for those to be kept."""
        for kind_of, held in list(self._held.items()):
            if held.entry is not None:
                self.take_down(kind_of)

    def do_not_reuse(self, kind_of: str) -> None:
        """The cluster did not come back to what it was: no other incident may meet it."""
        held = self._held.get(kind_of)
        if held is not None and held.entry is None and self._wishes.keep and kind_of != EXISTING:
            # A kept cluster is only worth keeping while it is sound. Journalled: a deletion can be cut short too.
            held.entry = self._journal.planned(CLUSTER, held.cluster.ref, {})
        self.take_down(kind_of)

    def close(self) -> None:
        """Take down all that is ours and not to be kept. Every one is tried; the first error is raised at the end."""
        with ExitStack() as stack:
            if self._agents is not None:
                stack.callback(self._agents.take_away)
            for kind_of in list(self._held):
                stack.callback(self.take_down, kind_of)

    def _new(self, kind_of: str, shape: Shape) -> _Held:
        self._made += 1
        name = f"{self._wishes.name or 'ordeal'}-{self._run[-4:]}-{self._made}"
        with _closed_on_error(_lock(name)) as lock:
            cluster, entry = self._create(kind_of, name, shape)
            return _Held(cluster, shape, entry, lock)

    def _kept(self, kind_of: str, shape: Shape) -> _Held:
        digest = hashlib.sha256(f"{shape!r} {self._wishes!r}".encode()).hexdigest()[:6]
        name = f"{self._wishes.name or 'ordeal'}-{kind_of}-{digest}"
        with _closed_on_error(_lock(name)) as lock:
            marker = _marker(name)
            ref = _ref(kind_of, name)
            _clear(ref)
            if marker.is_file() and marker.read_text() == repr(shape) and exists(ref):
                self._report(f"using the kept cluster {name}")
                kept = attach(ref, shape, self._wishes.busybox_image)
                _check(kept)
                kept.identify()
                return _Held(kept, shape, None, lock)
            cluster, entry = self._create(kind_of, name, shape)
            marker.parent.mkdir(parents=True, exist_ok=True)
            place(marker, repr(shape))
            self._journal.undone(entry)  # it is whole now, and to be kept: nothing of it is to be taken back
            return _Held(cluster, shape, None, lock)

    def _create(self, kind_of: str, name: str, shape: Shape) -> tuple[Cluster, int]:
        """A new cluster and its entry in the journal. One of that name that is there already is left alone."""
        ref = _ref(kind_of, name)
        _clear(ref)
        if exists(ref):
            raise OrdealError(
                f"there is a {kind_of} cluster {name} already, not of this run; give another --ordeal-cluster-name"
            )
        entry = self._journal.planned(CLUSTER, ref, {})
        try:
            cluster = self._make(kind_of, name, shape)
        except BaseException:
            self._take_back(ref, entry)
            raise
        known = self._journal.planned(CLUSTER, cluster.ref, {})  # from now on only this very cluster is deleted
        self._journal.undone(entry)
        return cluster, known

    def _take_back(self, ref: ClusterRef, entry: int) -> None:
        """Delete what was half-made; where that fails its entry stays pending. The first error is the one to tell."""
        self._report(f"taking back the half-made cluster {ref.name}")
        try:
            attach(ref).delete()
        except OrdealError as error:
            self._journal.failed(entry, str(error))
        else:
            self._journal.undone(entry)

    def _make(self, kind_of: str, name: str, shape: Shape) -> Cluster:
        if kind_of == SIMULATED:
            return simulated.SimulatedCluster.create(name, shape, self._wishes.kubernetes, self._report)
        wishes = self._wishes
        setup = ready.kind_setup(
            wishes.kubernetes, wishes.kind_image, wishes.kind_bin, wishes.kubectl_bin, wishes.busybox_image
        )
        return kind.KindCluster.create(name, shape, setup, self._report)

    def _existing(self, shape: Shape) -> Cluster:
        wishes = self._wishes
        if wishes.kubeconfig is None:
            raise OrdealError("no existing cluster was named; --ordeal-kubeconfig FILE names one")
        if self._agents is not None:
            return self._agents.cluster(shape, wishes.busybox_image)
        return existing.attach(wishes.kubeconfig, wishes.context, shape, wishes.busybox_image, wishes.power)


def check_name(name: str) -> None:
    """Raise OrdealError for what the names of clusters, of any kind, can't begin with. Empty: none was given."""
    if name and not _NAME.fullmatch(name):
        raise OrdealError(
            f"{name!r} can't be the beginning of a cluster's name: give another --ordeal-cluster-name, small letters, "
            f"digits and hyphens, no hyphen first, {LONGEST_NAME} characters at most"
        )


def attach(ref: ClusterRef, shape: Shape | None = None, busybox: str = "") -> Cluster:
    """A cluster that was made before, from its reference: to use it again, or to undo what was done to it.

    `busybox`: the image that it was given, where the user named one.
    """
    shape = shape or Shape()
    if ref.kind == SIMULATED:
        return simulated.SimulatedCluster.attach(ref)
    if ref.kind == EXISTING:
        return existing.attach_again(ref, shape, busybox)
    images = kind.loaded(Images(busybox) if busybox else kind.images_of(ref))
    return kind.KindCluster(ref, shape, images, ready.kind_tools())


def delete(ref: ClusterRef) -> None:
    """Delete a cluster that was made here. Raises OtherClusterError where somebody else's has its name by now."""
    cluster = attach(ref)
    _check(cluster)
    cluster.delete()


def _check(cluster: Cluster) -> None:
    if cluster.ref.identity is not None:
        require_same(cluster.ref.identity, cluster.identity(), cluster.ref.name, (), certain=False)


def _ref(kind_of: str, name: str) -> ClusterRef:
    if kind_of == KIND:
        return kind_home.made_here(name)
    return ClusterRef(kind_of, name, str(kind_home.home_of(name) / "kubeconfig"))


def _clear(ref: ClusterRef) -> None:
    """Take down what is left of a cluster whose nodes are gone, as when they were removed by hand. We hold its name."""
    if ref.kind == KIND:
        engine.chosen()
        if kind_home.only_surroundings_left(ref.name):
            attach(ref).delete()


def exists(ref: ClusterRef) -> bool:
    """Whether there is anything left of that cluster on this machine; an existing cluster is taken to be there."""
    if ref.kind == KIND:
        engine.chosen()
        return kind_home.exists(ref.name)
    return simulated.SimulatedCluster.exists(ref.name) if ref.kind == SIMULATED else True


def _lock(name: str) -> BinaryIO:
    """Hold a cluster's name for this process. Raises OrdealError where another run has it."""
    path = _lock_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = appended(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise OrdealError(
            f"another run uses the cluster {name} now; wait for it, or give another --ordeal-cluster-name"
        ) from None
    return file


@contextmanager
def name_held(name: str) -> Iterator[None]:
    """Hold a cluster's name for the block's length, as its run does. Raises OrdealError where a run has it."""
    with _lock(name):
        yield


@contextmanager
def _closed_on_error(lock: BinaryIO) -> Iterator[BinaryIO]:
    """A cluster's name is let go where it comes to nothing."""
    try:
        yield lock
    except BaseException:
        lock.close()
        raise


def _marker(name: str) -> Path:
    """Says that a cluster is kept, and of which shape it is."""
    return kind_home.home_of(name) / "shape"


def _lock_path(name: str) -> Path:
    return state_dir() / "locks" / f"{name}.lock"
