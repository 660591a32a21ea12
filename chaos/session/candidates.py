"""What a plan is made from: pytest's items as candidates, what each takes and builds, and what is to be built first."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

import pytest

from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.conformance import program, rounds
from chaos.errors import OrdealError
from chaos.hosts import engine, mutants, workload_images, workload_recipes
from chaos.hosts.bundles import normal_version
from chaos.hosts.places import suites_dir
from chaos.judge.conformance import AFTER
from chaos.run.budget import Candidate, Costs
from chaos.run.case import is_on_tour, of_item, replay_of_item
from chaos.run.durations import Durations
from chaos.run.incident import HARDENED, Load
from chaos.run.obstacles import lacking_extra, lacking_part
from chaos.run.options import Options
from chaos.run.suites import replays
from chaos.session.pytest_specs import is_spec
from chaos.setup.steps import kind_steps, simulated_steps

SPEC_S = 12.0  # one of upstream's specs: 424 took 69 min two at a time, 25 quick ones 2.5 min
SPECS = "specs"  # the shape of the cluster that they run on


@dataclass(frozen=True, slots=True)
class Budget:
    """What a plan is made from. Every process of a run has the same, so that all of them make the same plan.

    `began`: when the run did, by the monotonic clock that all processes share. `gone_s`: how much of the budget is
    gone when the plan begins; None: what the clock says when all is collected. `lanes`: processes side by side.
    `setup`: what set-up has still to do, with --ordeal-setup, for each kind of cluster.
    """

    budget_s: float
    began: float
    known: Durations
    lacking: tuple[str, ...]
    lanes: int
    gone_s: float | None = None
    setup: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def below_suites(item: pytest.Item) -> str:
    """A test's node id from the suites folder on; as it is where it is none of these suites."""
    rest = item.nodeid.partition("::")[2]
    with suppress(ValueError):
        return f"{item.path.resolve().relative_to(suites_dir().resolve())}::{rest}"
    return item.nodeid


def candidate(item: pytest.Item, asked: Options, given: Budget) -> Candidate | None:
    """None for what costs nothing and tells nothing: a replay that this cluster can't do, and a test of other kind."""
    function = item.nodeid.partition("[")[0]
    if is_spec(item) and asked.cluster != SIMULATED:
        cluster = EXISTING if asked.cluster == EXISTING else KIND
        builds = given.setup.get(cluster, ())
        return Candidate(
            item.nodeid, function, "", cluster=cluster, shape=SPECS, took_s=SPEC_S, builds=builds, scope=function
        )
    replay, this = replay_of_item(item), of_item(item)
    if replay is None or this is None or item.get_closest_marker("skip") is not None:
        return None
    version = normal_version(asked.kubernetes)
    if lacking_extra(replay, this.cluster):
        return None
    if this.cluster == KIND and not asked.kind_image and replay.specs and program.lacking(version):
        return None
    if this.cluster == KIND and not asked.setup and lacking_part(replay):
        return None
    took_s = given.known.replay_s(below_suites(item), replay.shape, asked.profile, version)
    if this.control is None and this.cluster == KIND and _conforms(asked, version):
        took_s += given.known.specs_s(version)
    return Candidate(
        item.nodeid,
        f"{function} on {this.cluster}",
        replay.incident.id,
        replay.incident.postmortem,
        this.control or "",
        this.cluster,
        replay.shape,
        took_s,
        alone=replay.load is Load.ALONE,
        tour=is_on_tour(item),
        builds=(*given.setup.get(this.cluster, ()), *builds_of(item)),
        scope=_scope(item) if given.lanes > 1 else "",
    )


def _scope(item: pytest.Item) -> str:
    from chaos.session.side_by_side import group  # noqa: PLC0415  (pytest-xdist may be switched off)

    return str(group(item.nodeid, replays()))


def builds_of(item: pytest.Item) -> tuple[str, ...]:
    """The mutants and images that a replay needs, as "mutant NAME" and "image NAME"."""
    replay, this = replay_of_item(item), of_item(item)
    if replay is None or this is None:
        return ()
    needed = replay.mutants.get(this.control or HARDENED, ())
    return (*(f"mutant {name}" for name in needed), *(f"image {name}" for name in replay.images))


def incident_of(item: pytest.Item) -> str:
    """The id of the incident that is replayed; "" for a test of other kind."""
    replay = replay_of_item(item)
    return "" if replay is None else replay.incident.id


def costs_of(candidates: Iterable[Candidate], given: Budget) -> Costs:
    """What clusters and builds cost, of all that the candidates need."""
    likes = {c.like for c in candidates if c.cluster != EXISTING}
    return Costs(
        {like: given.known.cluster_s(*like) for like in likes},
        {name: given.known.build_s(name) for name in (*given.lacking, *chain(*given.setup.values()))},
        given.lanes,
    )


def _conforms(asked: Options, version: str) -> bool:
    """Whether upstream's specs are going to be run after a hardened replay on kind."""
    return AFTER in rounds.parse(asked.conform).rounds and program.find(version) is not None


def setup_steps(asked: Options) -> dict[str, tuple[str, ...]]:
    """What set-up is going to do before there can be a cluster of that kind; nothing where it was not asked to."""
    return lacking_steps(asked) if asked.setup else {}


def lacking_steps(asked: Options, kinds: Collection[str] = (SIMULATED, KIND)) -> dict[str, tuple[str, ...]]:
    """What set-up has still to do before there can be clusters of these kinds; nothing for an existing one."""
    if asked.cluster == EXISTING:
        return {}
    version = normal_version(asked.kubernetes)
    answer = engine.ask()
    if isinstance(answer, engine.Silence) and answer.taken:  # each step would wait for it; set-up is going to say so
        return {}
    steps = {SIMULATED: simulated_steps(version), KIND: kind_steps((version,), kind_image=asked.kind_image)}
    return {kind: tuple(step.what for step in of if step.needed()) for kind, of in steps.items() if kind in kinds}


def lacking_of(asked: Options) -> tuple[str, ...]:
    """Of all that replays may need, what is not built yet, and not given by the user."""
    kubernetes = normal_version(asked.kubernetes)
    every = (
        *(f"mutant {each.name}" for each in mutants.MUTANTS),
        *(f"image {name}" for name in workload_recipes.names() if name not in asked.images),
    )
    running = engine.find()
    return tuple(name for name in every if not is_built(name, kubernetes, running))


def is_built(what: str, kubernetes: str, running: engine.Engine | None) -> bool:
    """Whether a "mutant NAME" or an "image NAME" is there; `running`: the engine, None where there is none."""
    kind, _, name = what.partition(" ")
    if kind != "mutant":
        return running is not None and bool(workload_images.there(running, name))
    try:
        return mutants.built(name, kubernetes) is not None
    except OrdealError:  # there is none of that version
        return False
