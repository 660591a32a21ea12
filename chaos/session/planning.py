"""pytest's side of a budget, and of whatever else leaves replays out: option, plan, and what the results say of it."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import pytest

from chaos.basics import visible
from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.conformance import program, rounds
from chaos.errors import OrdealError
from chaos.hosts import engine, mutants, workload_images, workload_recipes
from chaos.hosts.bundles import normal_version
from chaos.hosts.places import beside, suites_dir
from chaos.judge.base import Verdict
from chaos.judge.conformance import AFTER
from chaos.plugin import worker_input
from chaos.results.results import Outcome, Results
from chaos.results.saved import LeftOut, PlannedReplay, SavedPlan, SavedRun
from chaos.run import budget, durations
from chaos.run.budget import Candidate, Costs, Plan, Watch, span
from chaos.run.case import is_on_tour, of_item, replay_of_item
from chaos.run.durations import Durations
from chaos.run.incident import HARDENED, Load
from chaos.run.obstacles import lacking_extra, lacking_part, lacking_specs
from chaos.run.options import Options, options_of
from chaos.run.suites import case_of, named, replays
from chaos.session import telling
from chaos.session.pytest_specs import is_spec
from chaos.setup.steps import kind_steps, simulated_steps

INPUT_KEY = "kube_ordeal_budget"
TOO_SHORT_KEY = "kube_ordeal_too_short"
SPEC_S = 12.0  # one of upstream's specs: 424 took 69 min two at a time, 25 quick ones 2.5 min
COLLECTING_S = 10.0  # what processes side by side need to start and collect
NOT_ON_TOUR = "not part of the tour"
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


BUDGET = pytest.StashKey[Budget]()
PLAN = pytest.StashKey[Plan]()
WATCH = pytest.StashKey[Watch]()
LEFT_OUT = pytest.StashKey[list[LeftOut]]()
TOO_SHORT = pytest.StashKey[str]()


def go_side_by_side(config: pytest.Config) -> None:
    """A run within a budget goes side by side, unless the user said how (-n), or looks into it (--pdb)."""
    option = config.option
    if worker_input(config, "workerid"):  # it has the same options, but for this one
        return
    looked_into = getattr(option, "usepdb", False)  # either plugin may be switched off
    if options_of(config).budget and getattr(option, "numprocesses", 0) is None and not looked_into:
        option.numprocesses = "auto"


def pytest_configure(config: pytest.Config) -> None:
    """Note when the run began, and all that the plan is made from."""
    began, asked = clock(), options_of(config)
    given = worker_input(config, INPUT_KEY)
    if given:
        config.stash[BUDGET] = _of_json(given)
    elif asked.budget:
        try:
            config.stash[BUDGET] = Budget(
                budget.parse(asked.budget),
                began,
                durations.load(),
                _lacking(asked),
                max(1, len(getattr(config.option, "tx", None) or ())),
                setup=setup_steps(asked),
            )
        except OrdealError as error:
            raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand what the plan is made from to a process that replays."""
    made = node.config.stash.get(BUDGET, None)
    if made is not None:
        if made.gone_s is None:  # the same for each of them, also for one that takes the place of one that died
            made = replace(made, gone_s=clock() - made.began + COLLECTING_S)
            node.config.stash[BUDGET] = made
        node.workerinput[INPUT_KEY] = _as_json(made)


def keep_what_fits(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what the budget allows for, of what is left after -k and -m, in the order in which it is run."""
    given = config.stash.get(BUDGET, None)
    if given is None:
        return
    asked = options_of(config)
    candidates = {item.nodeid: c for item in items if (c := _candidate(item, asked, given)) is not None}
    if not candidates:
        return
    costs = _costs(candidates.values(), given)
    gone_s = clock() - given.began if given.gone_s is None else given.gone_s
    try:
        made = budget.plan(list(candidates.values()), costs, given.budget_s, now_s=gone_s)
    except OrdealError as error:
        if not worker_input(config, "workerid"):
            raise pytest.UsageError(str(error)) from error
        config.stash[TOO_SHORT] = str(error)  # for the process that has a terminal
        items.clear()
        return
    config.stash[PLAN], config.stash[WATCH] = made, Watch(made, costs)
    why = {left.replay.test: left.why for left in made.left_out}
    leave_out(config, items, why)
    if worker_input(config, "workerid") == "gw0":
        _tell(config, _lines(made, config))


def leave_out(config: pytest.Config, items: list[pytest.Item], why: dict[str, str]) -> None:
    """Take the items of those node ids out of `items`, deselected, and note for the results why."""
    gone = [item for item in items if item.nodeid in why]
    if not gone:
        return
    items[:] = [item for item in items if item.nodeid not in why]
    config.hook.pytest_deselected(items=gone)
    noted = config.stash.setdefault(LEFT_OUT, [])
    noted += [LeftOut(item.nodeid, _incident(item), why[item.nodeid]) for item in gone]


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """The plan, before it starts; with -q its end alone."""
    made = config.stash.get(PLAN, None)
    return [] if made is None else [visible.line(each) for each in _lines(made, config)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process without a terminal could not say that the budget is too short: hand it on."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None and TOO_SHORT in session.config.stash:
        output[TOO_SHORT_KEY] = session.config.stash[TOO_SHORT]
    elif TOO_SHORT in session.config.stash:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a process that replays had to say."""
    said = getattr(node, "workeroutput", {}).get(TOO_SHORT_KEY)
    if said:
        node.config.stash[TOO_SHORT] = said


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """That the budget was too short, where only now it can be said."""
    if TOO_SHORT in config.stash:
        telling.write(terminalreporter, f"ERROR: {config.stash[TOO_SHORT]}")


# --- what chaos.session.hooks asks while replays go on


def note(config: pytest.Config, results: Results) -> None:
    """Write what was left out, and the plan, into the results. Raises OrdealError as `Results.leave_out` does."""
    left, made = config.stash.get(LEFT_OUT, []), config.stash.get(PLAN, None)
    if left or made is not None:
        results.leave_out(left, None if made is None else _saved(made))


def skip_where_late(item: pytest.Item, results: Results) -> None:
    """Skip a replay that should not end within the budget any more, and name it in the results."""
    watch, given = item.config.stash.get(WATCH, None), item.config.stash.get(BUDGET, None)
    if watch is None or given is None:
        return
    why = watch.why_not(item.nodeid, clock() - given.began)
    if why:
        results.leave_out([LeftOut(item.nodeid, _incident(item), why)])
        pytest.skip(why)


def too_late(item: pytest.Item) -> str:
    """Why a replay that has waited for its turn is not to begin any more; "" where it may."""
    watch, given = item.config.stash.get(WATCH, None), item.config.stash.get(BUDGET, None)
    return "" if watch is None or given is None else watch.too_late(item.nodeid, clock() - given.began)


def leave_out_now(item: pytest.Item, results: Results, why: str) -> None:
    """Name in the results a replay that had begun to wait, and is left out after all."""
    results.leave_out([LeftOut(item.nodeid, _incident(item), why)])


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
        builds = _builds(item)
        running = engine.find() if builds else None
        lacked = [name for name in builds if not _is_built(name, self._kubernetes, running)]
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


def summary(saved: SavedRun) -> list[str]:
    """Lines for the end of a run that left something out."""
    if not saved.left_out:
        return []
    reasons = Counter("the budget" if "after the budget" in each.why else each.why for each in saved.left_out)
    why = "; ".join(f"{n} for {reason}" for reason, n in reasons.most_common(3))
    return [f"all of this is said of what was replayed: {len(saved.left_out)} left out ({why})"]


def clock() -> float:
    """Seconds on the clock that budgets are held to; the same one for all processes of a machine."""
    return time.monotonic()


def more_than_the_tour(saved: SavedRun, lanes: int) -> list[str]:
    """What else there is beside the tour that was replayed, and how long all of it should take here."""
    left = [each.test for each in saved.left_out if each.why == NOT_ON_TOUR and each.id]
    if not left:
        return []
    known, took = replays(), durations.load()
    options = saved.options or {}
    profile, version = options.get("profile", durations.SMOKE), options.get("kubernetes", "")
    alone_s = side_by_side_s = 0.0
    for nodeid in (*left, *(o.test for o in saved.outcomes)):
        replay = known.get(named(nodeid, known))
        if replay is not None:
            took_s = took.replay_s(case_of(nodeid, known), replay.shape, profile, version)
            alone_s += took_s if replay.load is Load.ALONE else 0.0
            side_by_side_s += 0.0 if replay.load is Load.ALONE else took_s
    all_s = alone_s + side_by_side_s / max(1, lanes)
    how = "make run-all" if (beside() / "Makefile").exists() else "kube-ordeal run"
    return [f"this was the tour; there are {len(left)} replays more. All of them: {how}, about {span(all_s)} here"]


# --- from pytest's items to candidates


def below_suites(item: pytest.Item) -> str:
    """A test's node id from the suites folder on; as it is where it is none of these suites."""
    rest = item.nodeid.partition("::")[2]
    with suppress(ValueError):
        return f"{item.path.resolve().relative_to(suites_dir().resolve())}::{rest}"
    return item.nodeid


def _candidate(item: pytest.Item, asked: Options, given: Budget) -> Candidate | None:
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
    if this.cluster == KIND and not asked.kind_image and lacking_specs(replay, version):
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
        builds=(*given.setup.get(this.cluster, ()), *_builds(item)),
        scope=_scope(item) if given.lanes > 1 else "",
    )


def _scope(item: pytest.Item) -> str:
    from chaos.session.side_by_side import group  # noqa: PLC0415  (pytest-xdist may be switched off)

    return str(group(item.nodeid, replays()))


def _builds(item: pytest.Item) -> tuple[str, ...]:
    replay, this = replay_of_item(item), of_item(item)
    if replay is None or this is None:
        return ()
    needed = replay.mutants.get(this.control or HARDENED, ())
    return (*(f"mutant {name}" for name in needed), *(f"image {name}" for name in replay.images))


def _incident(item: pytest.Item) -> str:
    replay = replay_of_item(item)
    return "" if replay is None else replay.incident.id


def _costs(candidates: Iterable[Candidate], given: Budget) -> Costs:
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
    if not asked.setup or asked.cluster == EXISTING:
        return {}
    version = normal_version(asked.kubernetes)
    answer = engine.ask()
    if isinstance(answer, engine.Silence) and answer.taken:  # each step would wait for it; set-up is going to say so
        return {}
    steps = {SIMULATED: simulated_steps(version), KIND: kind_steps((version,), kind_image=asked.kind_image)}
    return {kind: tuple(step.what for step in of if step.needed()) for kind, of in steps.items()}


def _lacking(asked: Options) -> tuple[str, ...]:
    """Of all that replays may need, what is not built yet, and not given by the user."""
    kubernetes = normal_version(asked.kubernetes)
    every = (
        *(f"mutant {each.name}" for each in mutants.MUTANTS),
        *(f"image {name}" for name in workload_recipes.names() if name not in asked.images),
    )
    running = engine.find()
    return tuple(name for name in every if not _is_built(name, kubernetes, running))


def _is_built(what: str, kubernetes: str, running: engine.Engine | None) -> bool:
    kind, _, name = what.partition(" ")
    if kind != "mutant":
        return running is not None and bool(workload_images.there(running, name))
    try:
        return mutants.built(name, kubernetes) is not None
    except OrdealError:  # there is none of that version
        return False


# --- telling


def _lines(made: Plan, config: pytest.Config) -> list[str]:
    """The plan for a terminal: each replay with its beginning and length, the end, and what was left out, and why."""
    of = f"of {span(made.budget_s)}"
    left = f"; {len(made.left_out)} left out" if made.left_out else "; nothing is left out"
    last = f"plan: {len(made.chosen)} chosen, expected to be over after {span(made.expected_end_s)} {of}{left}"
    if config.getoption("verbose", 0) < 0:
        return [last]
    width = max((len(_short(p.replay)) for p in made.chosen), default=0)
    lines = ["plan: begins, takes, replay"]
    lines += [
        f"  {span(p.starts_s):>12} {span(p.ends_s - p.starts_s):>12}  {_short(p.replay):{width}}  {p.replay.incident}"
        for p in _grouped(made)
    ]
    if made.left_out:
        lines.append("left out:")
        lines += [f"  {_short(each.replay)}: {each.why}" for each in made.left_out if each.replay.incident]
        specs = [each for each in made.left_out if not each.replay.incident]
        if specs:
            lines.append(f"  {len(specs)} of upstream's specs, together: {specs[0].why}")
    return [*lines, last]


def _grouped(made: Plan) -> Sequence[budget.Planned]:
    """Specs, which come all or none, in one line."""
    specs = [p for p in made.chosen if not p.replay.incident]
    if not specs:
        return made.chosen
    together = replace(specs[0].replay, test=f"{specs[0].replay.function}[{len(specs)} specs]")
    one = budget.Planned(together, specs[0].starts_s, specs[-1].ends_s, specs[0].turn)
    return sorted([one, *(p for p in made.chosen if p.replay.incident)], key=lambda p: p.starts_s)


def _short(replay: Candidate) -> str:
    """A node id without its file's folders."""
    return replay.test.partition("::")[2] or replay.test


def _saved(made: Plan) -> SavedPlan:
    replays = tuple(PlannedReplay(p.replay.test, round(p.starts_s, 1), round(p.ends_s, 1)) for p in made.chosen)
    return SavedPlan(made.budget_s, round(made.expected_end_s, 1), replays)


def _tell(config: pytest.Config, lines: Sequence[str]) -> None:
    """From a process without a terminal: what it writes here reaches that of the process that started it."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write("".join(f"{visible.line(each)}{os.linesep}" for each in lines))
            sys.stderr.flush()


def _as_json(made: Budget) -> str:
    known = {"own": made.known.own, "shipped": made.known.shipped}
    rest = {"budget_s": made.budget_s, "began": made.began, "lanes": made.lanes, "gone_s": made.gone_s}
    return json.dumps({**rest, "lacking": made.lacking, "known": known, "setup": made.setup})


def _of_json(text: str) -> Budget:
    content = json.loads(text)
    known, lacking = Durations(**content.pop("known")), tuple(content.pop("lacking"))
    setup = {kind: tuple(steps) for kind, steps in content.pop("setup").items()}
    return Budget(known=known, lacking=lacking, setup=setup, **content)
