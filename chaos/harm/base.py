"""How a fault is injected: plan, journal, apply, confirm it landed; afterwards, in any case, undo and confirm.

A fault knows how to harm and how to put back. Safety is here, once, for all of them.
"""

import inspect
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints

import msgspec

from chaos.basics.signals import held_back
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import Arming, ArmsNodes, NodeExec, NodeNetwork, NodeProcesses, missing
from chaos.clusters.base import EXISTING, Cluster, ClusterRef
from chaos.clusters.identity import Identity, named_in, require_same
from chaos.clusters.way.client import told
from chaos.errors import OrdealError
from chaos.harm.lasting import looked_at
from chaos.record.history import History
from chaos.record.journal import Journal, Pending, Saved, adopt
from chaos.record.records import FaultStep

# Both end by what is seen; these ends are for the slowest machine: one with two cores and a build beside took more than
# a minute to undo what takes seconds. A cluster that is left harmed spoils every replay that comes after it.
LANDING_WITHIN_S, UNDONE_WITHIN_S = 120.0, 300.0
# What an agent can do on its own node, without the API server and without what is beneath the node.
ON_NODES: frozenset[type] = frozenset({NodeExec, NodeProcesses, NodeNetwork})

__all__ = [
    "Fault",
    "FaultError",
    "NotUndoneError",
    "Plan",
    "counterpart",
    "fault",
    "inject",
    "is_on_nodes",
    "needs_agents",
    "plan_type",
    "registered",
    "remains",
    "require_abilities",
    "undo_pending",
]

Plan = TypeVar("Plan", bound=msgspec.Struct)


class FaultError(OrdealError):
    """The fault did not land, or could not be undone: whatever was seen says nothing about the cluster."""


class NotUndoneError(FaultError):
    """The harm may still be there: nothing that is seen on the cluster from now on says anything about it."""


class Fault(Protocol[Plan]):
    """Harm with a plan and an undo. `needs` are the abilities that a cluster must have for it. Those of ON_NODES say
    that a node can undo its part by itself: it is armed there, where nodes have agents.

    `plan` only reads, and returns all that undo will need: a frozen msgspec.Struct of the fault's own, kept as JSON in
    the journal. A field that is new has a default, so that entries of older versions are still undone. `landed` asks
    the kernel, the runtime or the API, never our own call. `undo` works from `saved` alone, from outside the fault's
    reach, and may be repeated; it must also be right where the harm was planned and never done. `undone` asks again,
    after undo. What needs the API server keeps nothing of the node's own from being done: a node
    that undoes by itself has none, and what it can't do there raises.

    `lasts` says whether the harm is still there. It is asked each second from a thread of its own while it is meant to
    last, and right before undo, so it has to be cheap; where it says no, what is judged of that time is unknown. Harm
    that ends by itself on purpose says None.
    """

    kind: ClassVar[str]
    needs: ClassVar[tuple[type, ...]]

    def plan(self, cluster: Any) -> Plan:
        """Raises OrdealError where nothing could be done, or not be undone."""
        ...

    def apply(self, cluster: Any, saved: Plan) -> None:
        """What it raises means that it did not land."""
        ...

    def landed(self, cluster: Any, saved: Plan) -> bool:
        """Asked again and again until it is true. What it raises counts as no."""
        ...

    @staticmethod
    def lasts(cluster: Any, saved: Plan) -> bool | None:
        """What it raises counts as not seen."""
        ...

    @staticmethod
    def undo(cluster: Any, saved: Plan) -> None:
        """Called until `undone` is true. What it raises is told, and tried again."""
        ...

    @staticmethod
    def undone(cluster: Any, saved: Plan) -> bool:
        """What it raises counts as no."""
        ...


F = TypeVar("F", bound=Fault[Any])
_REGISTRY: dict[str, type[Fault[Any]]] = {}


def fault(cls: type[F]) -> type[F]:
    """Register a fault's class by its kind, so that its undo is found again after a crash.

    A class variable `counterpart` names what takes it back, in the words of who writes an experiment; `remains` says
    what nothing takes back.

    Raises FaultError where nothing says what its plan is, or whether it lasts; ValueError where the kind is another's.
    """
    plan_type(cls)
    if not callable(getattr(cls, "lasts", None)):
        raise FaultError(
            f"the fault {cls.kind!r} in {_file_of(cls)} does not say whether its harm is still there: give "
            f"{cls.__name__} a staticmethod lasts(cluster, saved), with None for harm that ends by itself on purpose"
        )
    if cls.kind in _REGISTRY:
        raise ValueError(f"two faults are called {cls.kind!r}")
    _REGISTRY[cls.kind] = cls
    return cls


def counterpart(cls: type[Fault[Any]]) -> str:
    """What taking the fault back is called where people name it, such as "power_on": its class's `counterpart`."""
    named: str = getattr(cls, "counterpart", f"undo_{cls.kind.replace('-', '_')}")
    return named


def remains(kind: str) -> str:
    """What no undo of that kind of fault takes back, and how to go on, in words: its class's `remains`, or ""."""
    said: str = getattr(_REGISTRY.get(kind), "remains", "")
    return said


def registered() -> dict[str, type[Fault[Any]]]:
    """All faults by kind."""
    return dict(sorted(_REGISTRY.items()))


def is_on_nodes(needs: Collection[type]) -> bool:
    """Whether a fault with these needs is done on nodes, so that each can undo its part. One of a node's power is not:
    whoever it takes away can't undo it; nor is one of the API, to which nodes have no way.
    """
    return not ON_NODES.isdisjoint(needs)


def needs_agents(kind: str) -> bool:
    """Whether the undo of that kind of fault goes by nodes' agents, where there are some; of an unknown kind too."""
    cls = _REGISTRY.get(kind)
    return cls is None or is_on_nodes(cls.needs)


def plan_type(cls: type[Fault[Plan]]) -> type[Plan]:
    """What a fault's `plan` returns, as its signature says. Raises FaultError where it is no frozen msgspec.Struct."""
    try:
        plan: type[Plan] = get_type_hints(cls.plan)["return"]
        fits = issubclass(plan, msgspec.Struct) and plan.__struct_config__.frozen
    except (AttributeError, KeyError, NameError, TypeError):  # no plan, or nothing is said, or not by a class
        fits = False
    if not fits:
        raise FaultError(
            f"the fault {cls.kind!r} in {_file_of(cls)} has no plan that can be read back from a journal: let "
            f"{cls.__name__}.plan return a frozen msgspec.Struct, and name it in its signature"
        )
    return plan


@contextmanager
def inject(
    harm: Fault[Plan],
    cluster: Cluster,
    journal: Journal,
    history: History,
    *,
    landing_within_s: float = LANDING_WITHIN_S,
    undone_within_s: float = UNDONE_WITHIN_S,
    not_landed: Callable[[], None] = lambda: None,
    watched: bool = True,
    consent: Callable[[str, Saved], AbstractContextManager[None]] = lambda *_: nullcontext(),
) -> Iterator[Plan]:
    """Do the harm for the length of the block. Yields what was saved for undo.

    `watched`: it is looked at whether it lasts, and the history says what was seen.

    `consent` is asked with the fault's kind and its plan, and is around all that is done: what it raises, nothing is
    done. `not_landed` is called where it did not land, before anything is undone: that would take with it what tells
    why.

    Raises FaultError where the cluster lacks an ability, the plan could not be read back from the journal, or the fault
    did not land within `landing_within_s`; NotUndoneError where it was not undone within `undone_within_s`; OrdealError
    where the journal can't be written; what `plan` raises. Whatever is raised once it is planned, undo has been tried
    before the error leaves; what could not be undone stays in the journal. A signal that ends the run waits for the
    undo, and leaves as what its handler raises, also where the undo failed, of which it then tells as its cause. Raises
    OtherClusterError, and does nothing, where the cluster is not what it was when it was made or attached.
    """
    require_abilities(harm, cluster)
    now = _same(cluster)
    saved = harm.plan(cluster)
    written = _written(harm, saved)
    ref = _narrowed(cluster.ref, now, written)
    entry: int | None = None
    arming: Arming | None = None
    ending: KeyboardInterrupt | None = None
    with consent(harm.kind, written):
        try:
            with held_back():  # no signal may come between what is on disk and what is known of it here
                entry = journal.planned(harm.kind, ref, written)
                history.add(FaultStep(history.now(), harm.kind, "planned"))
            if isinstance(cluster, ArmsNodes) and is_on_nodes(harm.needs):
                arming = cluster.arm(harm.kind, written)
            _land(harm, cluster, saved, history, landing_within_s, not_landed)
            lasts = partial(harm.lasts, cluster, saved)
            with looked_at(lasts, harm.kind, entry, history) if watched else nullcontext():
                yield saved
                if arming is not None:
                    arming.require()
        except KeyboardInterrupt as interrupt:
            ending = interrupt
            raise
        finally:
            if entry is not None:
                try:
                    with held_back():
                        _take_back(harm, cluster, journal, history, entry, saved, within_s=undone_within_s)
                        if arming is not None:
                            arming.disarm()
                except OrdealError as error:
                    if arming is not None:
                        arming.leave()
                    if ending is not None:  # what stays is in the journal, and the run ends all the same
                        raise ending from error
                    raise


def require_abilities(harm: Fault[Any], cluster: Cluster) -> None:
    """Raise FaultError where the cluster lacks an ability that the fault needs."""
    lacking = missing(cluster, harm.needs)
    if lacking:
        raise FaultError(
            f"{harm.kind} needs a cluster with {', '.join(lacking)}; "
            f"clusters of the kind {cluster.ref.kind} do not have it"
        )


def undo_pending(found: Pending, cluster: Cluster, within_s: float = UNDONE_WITHIN_S) -> bool:
    """Undo what a run that is over left behind. False where its journal is being handled by somebody else.

    Raises NotUndoneError where the undo fails, and the entry then stays pending with the error; FaultError where this
    version knows no such fault, or its entry is not what the fault plans, and the entry then stays as it is.
    """
    with adopt(found.path) as journal:
        if journal is None:
            return False
        cls = _REGISTRY.get(found.kind)
        if cls is None:
            raise FaultError(f"{found.path} names a fault {found.kind!r} that this version does not know")
        saved = _read_back(cls, found)
        with held_back():
            _take_back(cls, cluster, journal, History(), found.entry, saved, within_s=within_s)
        if found.cluster.agent and isinstance(cluster, ArmsNodes):
            cluster.disarm_all(found.kind)
        return True


def _written(harm: Fault[Plan], saved: Plan) -> Saved:
    """A plan as the journal keeps it. Raises FaultError where nobody could read it back: no struct looks at its fields
    before that.
    """
    try:
        written: Saved = msgspec.to_builtins(saved)
        msgspec.convert(written, type(saved))
    except (TypeError, msgspec.ValidationError) as error:
        cls = type(harm)
        raise FaultError(
            f"the fault {harm.kind} is not injected: its plan could not be read back from the journal ({error}), so "
            f"give {cls.__name__} what its fields say, or mend its plan in {_file_of(cls)}"
        ) from error
    return written


def _read_back(cls: type[Fault[Plan]], found: Pending) -> Plan:
    """The plan that an entry of the journal holds. Raises FaultError where it is not one of that fault."""
    try:
        return msgspec.convert(found.saved, plan_type(cls))
    except msgspec.ValidationError as error:
        raise FaultError(
            f"the entry {found.entry} of the journal {found.path} is no plan of the fault {found.kind} ({error}): "
            f"undo it by hand, then `kube-ordeal undo --forget {found.id}`"
        ) from error


def _file_of(cls: type) -> str:
    return inspect.getsourcefile(cls) or cls.__module__


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
    harm: Fault[Plan], cluster: Cluster, saved: Plan, history: History, within_s: float, not_landed: Callable[[], None]
) -> None:
    try:
        harm.apply(cluster, saved)
        history.add(FaultStep(history.now(), harm.kind, "applied"))
        eventually(lambda: harm.landed(cluster, saved), within_s=within_s, what=f"{harm.kind} to land", every_s=0.1)
    except Exception as error:
        why = told(error)
        history.add(FaultStep(history.now(), harm.kind, "not-landed", why))
        try:
            not_landed()
        except Exception as other:  # noqa: BLE001  (whatever it is, that the fault did not land is what counts)
            why += f"; nor could be kept what tells why: {told(other)}"
        raise FaultError(f"the fault {harm.kind} did not land: {why}") from error
    history.add(FaultStep(history.now(), harm.kind, "landed"))


def _take_back(
    harm: Fault[Plan] | type[Fault[Plan]],
    cluster: Cluster,
    journal: Journal,
    history: History,
    entry: int,
    saved: Plan,
    *,
    within_s: float,
) -> None:
    kind = harm.kind
    history.add(FaultStep(history.now(), kind, "undoing"))

    def back() -> bool:
        harm.undo(cluster, saved)
        return harm.undone(cluster, saved)

    try:
        eventually(back, within_s=within_s, what=f"{kind} to be undone")
    except WaitedInVainError as error:
        history.add(FaultStep(history.now(), kind, "not-undone", str(error)))
        unnoted = ""
        try:
            journal.failed(entry, str(error))
        except OrdealError as other:  # its plan stands there, and that is what an undo needs
            unnoted = f" ({other})"
        raise NotUndoneError(
            f"the fault {kind} on cluster {cluster.ref.name} could not be undone ({error}); "
            f"it stays in the journal{unnoted}: mend the cause and run `kube-ordeal undo`"
        ) from error
    history.add(FaultStep(history.now(), kind, "undone"))
    journal.undone(entry)
