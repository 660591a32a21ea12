"""pytest's side of a budget, and of whatever else leaves replays out: option, plan, and what the results say of it."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from chaos.basics import visible
from chaos.errors import OrdealError
from chaos.hosts.places import beside
from chaos.plugin import worker_input
from chaos.results.results import Results
from chaos.results.saved import LeftOut, PlannedReplay, SavedPlan, SavedRun
from chaos.run import budget, durations
from chaos.run.budget import BudgetPlan, Candidate, Watch, span
from chaos.run.durations import Durations
from chaos.run.incident import Load
from chaos.run.options import options_of
from chaos.run.suites import case_of, named, replays
from chaos.session import telling
from chaos.session.candidates import Budget, candidate, costs_of, incident_of, lacking_of, setup_steps

INPUT_KEY = "kube_ordeal_budget"
TOO_SHORT_KEY = "kube_ordeal_too_short"
COLLECTING_S = 10.0  # what processes side by side need to start and collect
NOT_ON_TOUR = "not part of the tour"
BUDGET = pytest.StashKey[Budget]()
PLAN = pytest.StashKey[BudgetPlan]()
WATCH = pytest.StashKey[Watch]()
LEFT_OUT = pytest.StashKey[list[LeftOut]]()
TOO_SHORT = pytest.StashKey[str]()


def go_side_by_side(config: pytest.Config) -> None:
    """A run within a budget goes side by side, unless the user said how (-n), or looks into it (--pdb). What only tells
    what it would do (--ordeal-plan) is one process, whatever the user said.
    """
    option = config.option
    if worker_input(config, "workerid"):  # it has the same options, but for this one
        return
    if options_of(config).plan:
        if hasattr(option, "numprocesses"):
            option.numprocesses = 0
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
                lacking_of(asked),
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
    candidates = {item.nodeid: c for item in items if (c := candidate(item, asked, given)) is not None}
    if not candidates:
        return
    costs = costs_of(candidates.values(), given)
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
    noted += [LeftOut(item.nodeid, incident_of(item), why[item.nodeid]) for item in gone]


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
        results.leave_out([LeftOut(item.nodeid, incident_of(item), why)])
        pytest.skip(why)


def too_late(item: pytest.Item) -> str:
    """Why a replay that has waited for its turn is not to begin any more; "" where it may."""
    watch, given = item.config.stash.get(WATCH, None), item.config.stash.get(BUDGET, None)
    return "" if watch is None or given is None else watch.too_late(item.nodeid, clock() - given.began)


def leave_out_now(item: pytest.Item, results: Results, why: str) -> None:
    """Name in the results a replay that had begun to wait, and is left out after all."""
    results.leave_out([LeftOut(item.nodeid, incident_of(item), why)])


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


# --- telling


def _lines(made: BudgetPlan, config: pytest.Config) -> list[str]:
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


def _grouped(made: BudgetPlan) -> Sequence[budget.Planned]:
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


def _saved(made: BudgetPlan) -> SavedPlan:
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
