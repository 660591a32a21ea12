"""How a fault is injected: plan, journal, apply, confirm it landed; afterwards, in any case, undo and confirm.

A fault knows how to harm and how to put back. Safety is here, once, for all of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol, TypeVar

from chaos.basics.signals import held_back
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import EXISTING, Cluster, ClusterRef, missing
from chaos.clusters.client import told
from chaos.clusters.identity import Identity, named_in, require_same
from chaos.errors import OrdealError
from chaos.record.history import FaultStep, History
from chaos.record.journal import Journal, Pending, Saved, adopt

# Both end by what is seen; these ends are for the slowest machine: one with two cores and a build beside took more than
# a minute to undo what takes seconds. A cluster that is left harmed spoils every replay that comes after it.
LANDING_WITHIN_S, UNDONE_WITHIN_S = 120.0, 300.0

__all__ = ["Fault", "FaultError", "counterpart", "fault", "inject", "registered", "undo_pending"]


class FaultError(OrdealError):
    """The fault did not land, or could not be undone: whatever was seen says nothing about the cluster."""


class Fault(Protocol):
    """Harm with a plan and an undo. `C` is a cluster that has the abilities in `needs`.

    `plan` only reads, and returns as JSON all that undo will need. `landed` asks the kernel, the runtime or the API,
    never our own call. `undo` works from `saved` alone, from outside the fault's reach, and may be repeated; it must
    also be right where the harm was planned and never done. `undone` asks again, after undo.
    """

    kind: ClassVar[str]
    needs: ClassVar[tuple[type, ...]]

    def plan(self, cluster: Any) -> Saved: ...
    def apply(self, cluster: Any, saved: Saved) -> None: ...
    def landed(self, cluster: Any, saved: Saved) -> bool: ...
    @staticmethod
    def undo(cluster: Any, saved: Saved) -> None: ...
    @staticmethod
    def undone(cluster: Any, saved: Saved) -> bool: ...


F = TypeVar("F", bound=type)
_REGISTRY: dict[str, type] = {}


def fault(cls: F) -> F:
    """Register a fault's class by its kind, so that its undo is found again after a crash.

    A class variable `counterpart` names what takes it back, in the words of who writes an experiment.
    """
    kind: str = cls.kind  # type: ignore[attr-defined]
    if kind in _REGISTRY:
        raise ValueError(f"two faults are called {kind!r}")
    _REGISTRY[kind] = cls
    return cls


def counterpart(cls: type) -> str:
    """What taking the fault back is called where people name it, such as "power_on": its class's `counterpart`."""
    named: str = getattr(cls, "counterpart", f"undo_{cls.kind.replace('-', '_')}")  # type: ignore[attr-defined]
    return named


def registered() -> dict[str, type]:
    """All faults by kind."""
    return dict(sorted(_REGISTRY.items()))


@contextmanager
def inject(
    harm: Fault,
    cluster: Cluster,
    journal: Journal,
    history: History,
    *,
    landing_within_s: float = LANDING_WITHIN_S,
    undone_within_s: float = UNDONE_WITHIN_S,
    not_landed: Callable[[], None] = lambda: None,
) -> Iterator[Saved]:
    """Do the harm for the length of the block. Yields what was saved for undo.

    `not_landed` is called where it did not land, before anything is undone: that would take with it what tells why.

    Raises FaultError where the cluster lacks an ability, the fault did not land within `landing_within_s`, or was not
    undone within `undone_within_s`. In every case undo has been tried before the error leaves; what could not be undone
    stays in the journal. Raises OtherClusterError, and does nothing, where the cluster is not what it was when it was
    made or attached.
    """
    lacking = missing(cluster, harm.needs)
    if lacking:
        raise FaultError(f"{harm.kind} needs a cluster with {', '.join(lacking)}; {cluster.ref.kind} has it not")
    now = _same(cluster)
    saved = harm.plan(cluster)
    entry = journal.planned(harm.kind, _narrowed(cluster.ref, now, saved), saved)
    history.add(FaultStep(history.now(), harm.kind, "planned"))
    try:
        _land(harm, cluster, saved, history, landing_within_s, not_landed)
        yield saved
    finally:
        with held_back():
            _take_back(harm, cluster, journal, history, entry, saved, within_s=undone_within_s)


def undo_pending(found: Pending, cluster: Cluster, within_s: float = UNDONE_WITHIN_S) -> bool:
    """Undo what a run that is over left behind. False where its journal is being handled by somebody else.

    Raises FaultError where the undo fails; the entry then stays pending with the error.
    """
    with adopt(found.path) as journal:
        if journal is None:
            return False
        cls = _REGISTRY.get(found.kind)
        if cls is None:
            raise FaultError(f"{found.path} names a fault {found.kind!r} that this version does not know")
        with held_back():
            _take_back(cls, cluster, journal, History(), found.entry, found.saved, within_s=within_s)
        return True


def _same(cluster: Cluster) -> Identity | None:
    """What the cluster is now: the same as when it was made or attached; None where nobody knows what it was then."""
    was = cluster.ref.identity
    if was is None:
        return None
    now = cluster.identity()
    require_same(was, now, cluster.ref.name, (), certain=cluster.ref.kind == EXISTING)
    return now


def _narrowed(ref: ClusterRef, now: Identity | None, saved: Saved) -> ClusterRef:
    """What the journal keeps of the cluster; the nodes that are to be harmed are the machines that they were, too."""
    if ref.identity is None or now is None:
        return ref
    nodes = named_in(saved, {node.name for node in ref.identity.nodes})
    require_same(ref.identity, now, ref.name, nodes, certain=ref.kind == EXISTING)
    return ref.narrowed(nodes)


def _land(
    harm: Fault, cluster: Cluster, saved: Saved, history: History, within_s: float, not_landed: Callable[[], None]
) -> None:
    try:
        harm.apply(cluster, saved)
        history.add(FaultStep(history.now(), harm.kind, "applied"))
        eventually(lambda: harm.landed(cluster, saved), within_s=within_s, what=f"{harm.kind} to land", every_s=0.1)
    except Exception as error:
        why = told(error)
        history.add(FaultStep(history.now(), harm.kind, "not-landed", why))
        not_landed()
        raise FaultError(f"the fault {harm.kind} did not land: {why}") from error
    history.add(FaultStep(history.now(), harm.kind, "landed"))


def _take_back(
    harm: Fault | type,
    cluster: Cluster,
    journal: Journal,
    history: History,
    entry: int,
    saved: Saved,
    *,
    within_s: float,
) -> None:
    kind: str = harm.kind  # type: ignore[union-attr]
    history.add(FaultStep(history.now(), kind, "undoing"))

    def back() -> bool:
        harm.undo(cluster, saved)  # type: ignore[union-attr]
        return bool(harm.undone(cluster, saved))  # type: ignore[union-attr]

    try:
        eventually(back, within_s=within_s, what=f"{kind} to be undone")
    except WaitedInVainError as error:
        journal.failed(entry, str(error))
        history.add(FaultStep(history.now(), kind, "not-undone", str(error)))
        raise FaultError(
            f"the fault {kind} on cluster {cluster.ref.name} could not be undone ({error}); "
            "it stays in the journal: mend the cause and run `kube-ordeal undo`"
        ) from error
    history.add(FaultStep(history.now(), kind, "undone"))
    journal.undone(entry)
