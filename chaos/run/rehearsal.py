"""A story told up to its first harm, to a lab in which nothing is done: which cluster it asks for, what keeps it from
there, which nodes it would take.

A suite does everything through its lab and its cluster. Here both answer what can be told without doing anything; what
can't be ends the telling. What keeps a replay away is asked of the very code that a run asks (chaos.run.stage).
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, cast

import msgspec
import pytest

from chaos.clusters.base import EXISTING, Cluster, ClusterRef, Images, Node
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.harm.base import Fault, require_abilities
from chaos.hosts import mutants
from chaos.hosts.bundles import plain
from chaos.run.case import Case
from chaos.run.incident import Replay
from chaos.run.lab import Lab
from chaos.run.means import Means
from chaos.run.profile import Profile
from chaos.run.promised import Conditions
from chaos.run.stage import LacksAbilityError, Stage, Workload
from chaos.workloads.web import Deployed

_OBJECT = re.compile(r"[a-z0-9-]+/[a-z0-9.-]+")  # as fields of faults name one: NAMESPACE/NAME


@dataclass(frozen=True, slots=True)
class Harm:
    """A fault that the story came to. `saved`: its plan as the journal would have it; where only a node, or a workload
    that is not there, could tell it, its own fields, with the namespaces of the `objects` that they name.
    """

    fault: str
    saved: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How far it was told. `skipped`: why the cluster, or this machine, can't do it; `fails`: what else is wrong; both
    in words, and "" where nothing is known against it. `shape`: of the cluster that it asked for, None where it asked
    for none. `harm`: what it sets up, and the first that it does, as far as it came.
    """

    skipped: str = ""
    fails: str = ""
    shape: Shape | None = None
    harm: tuple[Harm, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run has that a story may ask for, as Means has it. `existing`: the existing cluster, as `seen` makes it;
    it raises OrdealError where there is none. `make`: raises OrdealError where no cluster of that kind can be made.
    `lacking_specs`: why upstream's specs of a version can't be run; "" where they can.
    """

    profile: Profile
    kubernetes: str
    existing: Callable[[Shape], Cluster]
    make: Callable[[str], None]
    lacking_specs: Callable[[str], str]
    image_is_given: bool = False
    images: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = ""
    upgrade_to: str = ""


def rehearse(function: Callable[[Lab], None], replay: Replay, this: Case, terms: Terms) -> Rehearsed:
    """Tell the story of one replay up to its first harm. Changes nothing, and waits for nothing."""
    pool = _Pool(terms)
    lab = _RehearsalLab(replay, this, terms, pool)
    skipped = fails = ""
    try:
        function(cast("Lab", lab))
    except (LacksAbilityError, pytest.skip.Exception) as error:
        skipped = str(error)
    except OrdealError as error:
        fails = str(error)
    except (_OverError, Exception):  # noqa: BLE001, S110  (what it met is no cluster: no more can be told)
        pass
    return Rehearsed(skipped, fails, pool.shape, tuple(lab.harm))


def seen(
    there: Cluster, shape: Shape, nodes: Sequence[Node], abilities: Collection[type], reached: Collection[str] = ()
) -> Cluster:
    """The cluster, as one that has these abilities. Of it only that is answered which is known here; all else ends the
    telling. `reached`: the names of the nodes that would have an agent, where that is one of the abilities.
    """
    asked = {name for each in abilities for name in vars(each) if not name.startswith("_")}
    known: dict[str, Callable[..., Any]] = {"reached": lambda self: self.with_agent, "addresses": _addresses}
    made = type("SeenCluster", (_Seen,), {name: known.get(name, _over) for name in asked})
    cluster: Cluster = made(there.ref, shape, there.images, there.kubernetes, tuple(nodes), frozenset(reached))
    return cluster


class _OverError(BaseException):
    """From here on something would have to be done."""


def _over(*_: object, **__: object) -> NoReturn:
    raise _OverError


class _Over:
    """Whatever is asked of it ends the telling."""

    def __getattr__(self, _: str) -> NoReturn:
        raise _OverError


class _Seen:
    """What is known of a cluster. Once it is harmed nobody knows its nodes any more."""

    def __init__(
        self,
        ref: ClusterRef,
        shape: Shape,
        images: Images,
        kubernetes: str,
        nodes: tuple[Node, ...],
        with_agent: frozenset[str],
    ) -> None:
        self.ref, self.shape, self.images, self.kubernetes = ref, shape, images, kubernetes
        self.with_agent, self.harmed, self._nodes = with_agent, False, nodes

    def nodes(self) -> tuple[Node, ...]:
        if self.harmed:
            raise _OverError
        return self._nodes

    api = identity = identify = facts = delete = _over


def _addresses(cluster: _Seen, node: str) -> tuple[str, ...]:
    return tuple(each.address for each in cluster.nodes() if each.name == node)


class _Pool:
    """In the place of chaos.run.pool.Pool, for a stage: it makes no cluster."""

    def __init__(self, terms: Terms) -> None:
        self.kubernetes, self.image_is_given = terms.kubernetes, terms.image_is_given
        self.shape: Shape | None = None
        self._existing, self._make = terms.existing, terms.make

    def acquire(self, kind_of: str, shape: Shape) -> Cluster:
        self.shape = shape
        if kind_of != EXISTING:
            self._make(kind_of)
            raise _OverError
        return self._existing(shape)


@dataclass(frozen=True, slots=True)
class _Version:
    """All of a stage that a story may see."""

    kubernetes: str


@dataclass(frozen=True, slots=True)
class _Program:
    """In the place of a mutant's program, which may not be built."""

    mutant: mutants.Mutant
    path: Path


class _RehearsalLab(_Over):
    """In the place of a Lab, with what can be told of one; whatever else is asked of it ends the telling."""

    def __init__(self, replay: Replay, this: Case, terms: Terms, pool: _Pool) -> None:
        nothing: Any = _Over()
        clusters: Any = pool
        self.incident, self.replay, self.harm = replay.incident, replay.variant, list[Harm]()
        self.cluster_kind, self.control, self.profile = this.cluster, this.control, terms.profile
        self.conditions = Conditions(this.control, this.cluster, terms.profile)
        self.timers = self.conditions.timers
        self.means = Means(
            "",
            terms.profile,
            nothing,
            nothing,
            lambda _: None,
            images=terms.images,
            storage_class=terms.storage_class,
            upgrade_to=terms.upgrade_to,
        )
        self.stage, self._terms = _Version(terms.kubernetes), terms
        self._stage = Stage(
            replay,
            this,
            replace(self.means, pool=clusters),
            timers=self.timers,
            declared=replay,
            too_late=str,
            phase=self.phase,
            lacking_specs=terms.lacking_specs,
        )

    def cluster(self, shape: Shape) -> Cluster:
        return self._stage.cluster(shape)

    @property
    def current(self) -> Cluster:
        return self._stage.current

    def change_for_good(self, why: str, _version: str) -> NoReturn:
        self._stage.refuse_existing(why)
        raise _OverError

    def image(self, name: str, given: str = "") -> str:
        return given or self.means.images.get(name, "") or name

    def mutant(self, name: str) -> _Program:
        return _Program(mutants.find(name), Path(name))

    def deploy(self, workload: Workload) -> Deployed:
        replicas = int(getattr(workload, "replicas", 0))
        return Deployed(workload.name, f"ordeal-{workload.name}", "", replicas, self.current)

    @contextmanager
    def record(self, *_: object, **__: object) -> Iterator[_Over]:
        yield _Over()

    @contextmanager
    def configured(self, change: Fault[Any]) -> Iterator[_Over]:
        self._stage.configure(change)
        self.harm.append(_harm(change, self.current))
        yield _Over()

    @contextmanager
    def inject(self, fault: Fault[Any], nodes: Sequence[str] = ()) -> Iterator[_Over]:  # noqa: ARG002
        self.harm.append(_harm(fault, self.current))
        cast("_Seen", self.current).harmed = True
        yield _Over()

    def removing_workloads(self) -> AbstractContextManager[None]:
        return nullcontext()

    def run_specs(self, *_: object) -> tuple[str, ...]:
        if why := self._terms.lacking_specs(plain(self.current.kubernetes)):
            raise LacksAbilityError(why)
        return ()

    def phase(self, *_: object, **__: object) -> None:
        pass

    not_run = fact = table = phase


def _harm(fault: Fault[Any], cluster: Cluster) -> Harm:
    """Raises FaultError where the cluster lacks an ability. What its plan refuses may only be what the story has not
    put there.
    """
    require_abilities(fault, cluster)
    try:
        return Harm(fault.kind, msgspec.to_builtins(fault.plan(cluster)))
    except (_OverError, Exception):  # noqa: BLE001  (whatever it asks for, its fields are known)
        own: Any = fault
        named = {each.name: getattr(own, each.name) for each in fields(own)} if is_dataclass(own) else {}
        spaces = [
            each.partition("/")[0] for each in named.values() if isinstance(each, str) and _OBJECT.fullmatch(each)
        ]
        return Harm(fault.kind, {**named, "objects": [{"namespace": each} for each in spaces]})
