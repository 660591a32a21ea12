"""The plugin's part in a run of ours: fixtures, what is run where and in which order, verdicts, the summary.

chaos.plugin wakes it, and says when.
"""

import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import pytest

from chaos.basics.signals import Handlers, interrupt
from chaos.basics.visible import line
from chaos.clusters.base import EXISTING
from chaos.clusters.way import kubeconfig_files
from chaos.clusters.way.client import Access
from chaos.conformance.rounds import Wish
from chaos.errors import OrdealError
from chaos.hosts import limits, places
from chaos.hosts.bundles import normal_version
from chaos.hosts.ownership import hand_back
from chaos.plugin import run_id, worker_input
from chaos.results.saved import load
from chaos.run import case, durations, undo
from chaos.run.deadline import DEADLINE, Deadline, in_time
from chaos.run.incident import replay_of
from chaos.run.lab import Lab
from chaos.run.live import View
from chaos.run.options import Options, misnamed, options_of
from chaos.run.own import own_of
from chaos.run.pool import check_name
from chaos.run.stage import LeftOutError
from chaos.session import (
    candidates,
    ending,
    exporting,
    planning,
    prospecting,
    pytest_specs,
    showing,
    stopwatch,
    telling,
)
from chaos.session.ending import NO_RERUN
from chaos.session.preparing import PREPARING, Preparing, options_for, prepare
from chaos.session.run import HOW_TO_UNDO, Concluded, Run, claim, power_of, settle, stop_command_of, wish_of, wishes_of
from chaos.session.showing import IDLE, SHOWING
from chaos.subjects.upgrade.kubeadm import NEVER

SETUP = "set-up"
PLUGINS = (planning, prospecting, showing, pytest_specs, ending, exporting)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a run of pytest's has beside: what is shown of it, how long it takes, how long it took the last time."""

    view: View
    watch: stopwatch.Stopwatch
    before_s: Mapping[str, float]


RUN = pytest.StashKey[Run]()
SHOWN = pytest.StashKey[_Shown]()
LAB = pytest.StashKey[Lab | None]()
LAP = pytest.StashKey[stopwatch.Lap]()
CONFORM = pytest.StashKey[Wish]()
NEXT = pytest.StashKey[pytest.Item | None]()
HANDLERS = pytest.StashKey[Handlers]()
TRIED = pytest.StashKey[bool]()
CLAIM = pytest.StashKey[ExitStack]()
REFUSED = pytest.StashKey[str]()


def begin(config: pytest.Config) -> None:
    """This is a run of ours: from here on its hooks are called. Before the run starts, or while it collects."""
    for plugin in (sys.modules[__name__], *PLUGINS):
        config.pluginmanager.register(plugin)
    planning.go_side_by_side(config)
    if config.pluginmanager.has_plugin("session") and config.pluginmanager.has_plugin("dsession"):
        _hand_signals_on(config)  # it has started, and showed only by what its processes collected that it is ours
        _hand_out_by_cluster(config)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse wrong option values before anything is made."""
    telling.keep_stdout(config)
    asked = options_of(config)
    if wrong := misnamed(config, asked):
        raise pytest.UsageError(wrong)
    try:
        normal_version(asked.kubernetes)
        if asked.upgrade_to not in {"", NEVER}:
            normal_version(asked.upgrade_to)
        own_of(asked)
        config.stash[CONFORM] = wish_of(asked)
        stop_command_of(asked)
        if asked.cluster == EXISTING:
            power_of(asked)
            Access(*kubeconfig_files.find(asked.kubeconfig, asked.context)).client()
        else:
            check_name(asked.cluster_name)
    except OrdealError as error:
        raise pytest.UsageError(str(error)) from error


# --- side by side


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """With -n, and no --dist of the user's: what shares a cluster stays in one process."""
    if config.option.dist != "load":
        return None
    from chaos.session.side_by_side import ByCluster  # noqa: PLC0415  (pytest-xdist may be switched off)

    config.option.loadscopereorder = False  # preflight first, then the cheapest cluster, as without -n
    return ByCluster(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """-n auto: as many runs side by side as there are processors, and memory for a cluster each."""
    return limits.clusters_side_by_side()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Set-up, where it was asked for. The process that only waits for those that replay hands signals that end it on to
    them, and is interrupted by them, too.
    """
    config = session.config
    asked = options_of(config)
    if config.option.collectonly or asked.plan or _worker(config):
        return
    try:
        places.check()
        always = telling.reporter(config, always=True)
        settle(asked, run_id(config), always, HOW_TO_UNDO, partial(telling.agreed, config))
        if asked.cluster == EXISTING:
            _claim(session, asked)
    except OrdealError as error:
        config.stash[REFUSED] = str(error)
        return
    wanted = asked.setup and asked.cluster != EXISTING
    if not config.pluginmanager.has_plugin("dsession"):
        if wanted and prepare(options_for(asked)):
            config.stash[REFUSED] = "set-up did not reach its end; what it says above tells why"
        return
    if wanted:
        try:
            config.stash[PREPARING] = _prepare_beside(config, asked)
        except OrdealError as error:
            config.stash[REFUSED] = str(error)
            return
    _hand_signals_on(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """What was found wrong when the session began ends it now: from there pytest would say it twice."""
    if REFUSED in session.config.stash:
        pytest.exit(session.config.stash[REFUSED], returncode=2)


def _claim(session: pytest.Session, asked: Options) -> None:
    """An existing cluster is this run's from now on. Raises OrdealError where it is another's, or can't be used."""
    config = session.config

    def lost(to: str) -> None:
        _end_soon(session, f"the cluster was claimed by {to} in the middle")

    config.stash[CLAIM] = ExitStack()
    config.stash[CLAIM].enter_context(claim(asked, run_id(config), lost))


def _end_soon(session: pytest.Session, why: str) -> None:
    """After the replay that goes on now no other one begins."""
    runner = session.config.pluginmanager.getplugin("dsession") or session
    runner.shouldstop = line(why)


@pytest.hookimpl(tryfirst=True)  # before those who write to a terminal that may be closed
def pytest_unconfigure(config: pytest.Config) -> None:
    """What processes of this run that were ended in the middle have left behind is undone from here."""
    try:
        if PREPARING in config.stash:
            config.stash[PREPARING].end()
    finally:
        try:
            if config.pluginmanager.has_plugin("dsession"):
                undo.undo_all(telling.reporter(config), undo.Permission(run=run_id(config)))
        finally:
            if CLAIM in config.stash:
                config.stash[CLAIM].close()
            kubeconfig_files.sweep(ended=True)
            if HANDLERS in config.stash:
                config.stash[HANDLERS].put_back()


# --- what is run, and in which order


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An incident becomes a test for each kind of cluster it is defined on, hardened and in each control."""
    replay = replay_of(metafunc.function)
    if replay is not None:
        case.parametrize(metafunc, replay, options_of(metafunc.config))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """The cheapest cluster first, preflight first on it, then one shape after the other; else as it was collected, or
    as another plugin has ordered it. With a budget, or on the tour, only what is part of that.
    """
    result = yield
    items.sort(key=case.rank)
    if options_of(config).tour:
        left_out = {i.nodeid: planning.NOT_ON_TOUR for i in items if not case.is_on_tour(i)}
        planning.leave_out(config, items, left_out)
    planning.keep_what_fits(config, items)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """What comes next decides whether a cluster, and the machine, are kept.

    A test of ours is run as pytest itself runs one, and once: no plugin's second try may hide a red.
    """
    item.stash[NEXT] = nextitem
    if not _is_ours(item):
        return None
    return bool(item.config.pluginmanager.getplugin("runner").pytest_runtest_protocol(item=item, nextitem=nextitem))


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """pytest-timeout's limit, in our way."""
    if not _is_ours(item):
        return None
    heeds = not settings.disable_debugger_detection
    deadline = item.stash[DEADLINE] = Deadline(settings.timeout, lambda: heeds and _is_debugged())
    deadline.start()
    return True


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> bool | None:
    """Its end."""
    deadline = item.stash.get(DEADLINE, None)
    if deadline is None:
        return None
    deadline.cancel()
    return True


# --- a replay


@pytest.fixture(scope="session")
def ordeal_run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """The run: journal, clusters, results. What earlier runs left behind is undone first."""

    handlers = Handlers()
    try:
        run = _begun(request)
    except (OrdealError, OSError) as error:
        handlers.put_back()
        why = str(error) if isinstance(error, OrdealError) else places.unwritten(error)
        if not why:
            raise
        if _worker(request.config):  # its exit would look like a crash, and be answered with another worker
            request.session.shouldfail = why
            pytest.fail(why, pytrace=False)
        pytest.exit(why, returncode=2)
    request.config.stash[RUN] = run
    try:
        yield run
    finally:
        run.close()
        handlers.put_back()


def _begun(request: pytest.FixtureRequest) -> Run:
    """The run, where there is room for it on the disks. Raises OrdealError."""
    config = request.config
    asked, worker = options_of(config), _worker(config)
    if asked.plan:
        raise OrdealError("--ordeal-plan replays nothing, and a plugin runs the tests all the same: switch it off")
    progress = config.stash.get(SHOWING, None)
    view = View(telling.stdout(config), progress.progress.line if progress else str)
    before_s = _took_before_s(asked.results)
    if (wishes := wishes_of(asked)).kubeconfig is not None:
        where = f"the context {wishes.context!r} of {wishes.kubeconfig}"
        telling.reporter(config, always=True)(f"the cluster is that of {where}")
    facts = {"controls": "yes" if asked.controls else "no"}
    report = telling.reporter(config, view)
    stopped = partial(_end_soon, request.session)
    run = Run(asked, run_id(config), report, how_to_undo=HOW_TO_UNDO, stopped=stopped, worker=worker, facts=facts)
    planning.note(config, run.results)
    watch = stopwatch.Stopwatch(wishes.kubernetes, run.profile.name, run.waited_s)
    config.stash[SHOWN] = _Shown(view, watch, before_s)
    cases = [found for item in request.session.items if (found := case.of_item(item)) is not None]
    if cases:
        run.require_consent()
        run.require_power()
    silent = worker not in {"", "gw0"}  # one of them says it
    run.require_room({each.cluster for each in cases}, len(cases), (lambda _: None) if silent else report)
    return run


def _took_before_s(root: Path) -> dict[str, float]:
    """How long each replay took in the run before this one, in seconds."""
    try:
        return {o.test: o.duration_s for o in load(root).outcomes if o.ended}
    except OrdealError:  # there is none, or another version's
        return {}


@pytest.fixture
def lab(request: pytest.FixtureRequest, ordeal_run: Run) -> Iterator[Lab]:
    """The lab of one replay; see chaos.run.lab.Lab."""
    replay, this, node = replay_of(request.function), case.of_item(request.node), request.node
    if replay is None or this is None:
        pytest.fail("the fixture `lab` is for functions marked with @incident", pytrace=False)
    if node.stash.get(TRIED, False):  # by a plugin that does not go through pytest_runtest_protocol
        pytest.fail(NO_RERUN, pytrace=False)
    planning.skip_where_late(node, ordeal_run.results)
    wish, too_late = request.config.stash[CONFORM], partial(planning.too_late, node)
    with request.config.stash[SHOWN].watch.of(node) as node.stash[LAP]:
        try:
            with ordeal_run.replaying(replay, this, node.nodeid, conform=wish, too_late=too_late) as made:
                made.stage.alone_again = case.is_alone_again(node, node.stash.get(NEXT, None))
                node.stash[LAB] = made
                yield made
        finally:
            node.stash[LAB] = None  # a test lives as long as the session, and a lab may hold whole histories


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turn what a suite function found, or its failure, into a verdict; fail the test where it did not pass."""
    lab_of_item = pyfuncitem.stash.get(LAB, None)
    if lab_of_item is None:
        return (yield)
    if pyfuncitem.stash.get(TRIED, False):
        pytest.fail(NO_RERUN, pytrace=False)
    pyfuncitem.stash[TRIED] = True
    stash, lap = pyfuncitem.config.stash, pyfuncitem.stash[LAP]
    run, shown = stash[RUN], stash[SHOWN]
    name, before_s = f"{lab_of_item.incident.id} [{case.of_item(pyfuncitem)}]", shown.before_s.get(pyfuncitem.nodeid)
    view, limit = shown.view.of(name, lab_of_item, before_s), in_time(pyfuncitem)
    judged = Concluded()
    with run.judging(lab_of_item, pyfuncitem.nodeid, view, limit, judged=judged):
        yield
    lap.outcome, lap.specs_s = judged.outcome, judged.specs_s
    if judged.not_here is not None:
        if isinstance(judged.not_here, LeftOutError):
            planning.leave_out_now(pyfuncitem, run.results, str(judged.not_here))
        pytest.skip(str(judged.not_here))
    if judged.unwritten:
        pytest.fail(judged.unwritten, pytrace=False)
    if judged.outcome is not None and not judged.outcome.passed:
        pytest.fail(f"{name} {judged.outcome.verdict}: {judged.outcome.why}", pytrace=False)
    return True


@pytest.hookimpl(wrapper=True, trylast=True)  # before other plugins see the report
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What pytest shows of a failure or a skip, and writes into its own files, is visible."""
    report = yield
    return telling.made_visible(report) if _is_ours(item) else report


# --- the end


@pytest.hookimpl(wrapper=True, trylast=True)  # the summary, which comes in the same hook, names the page
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """The run is over and its clusters are gone: the results say so, and a page of them is made."""
    try:
        return (yield)
    finally:
        config = session.config
        showing.end(config)
        directory = options_of(config).results / run_id(config)
        if not _worker(config) and (directory / "results.json").is_file():
            from chaos.report.close import close  # noqa: PLC0415  (the page's libraries are for runs that have results)

            shown = config.stash.get(SHOWING, None)
            measured = {IDLE: str(shown.idle)} if shown else {}
            close(directory, telling.reporter(config), measured, history=options_of(config).history)
            exporting.end(config, directory)
            hand_back()


def _is_ours(item: pytest.Item) -> bool:
    return case.of_item(item) is not None or pytest_specs.is_spec(item)


def _is_debugged() -> bool:
    """Whether pytest-timeout, which is there where this is asked, finds a debugger at work."""
    return bool(sys.modules["pytest_timeout"].is_debugging())


def _hand_signals_on(config: pytest.Config) -> None:
    def interrupt_all(number: int, frame: FrameType | None) -> None:
        ended_apart = config.stash[PREPARING].pid if PREPARING in config.stash else None
        for child in psutil.Process().children():
            if child.pid != ended_apart:
                with suppress(psutil.Error):  # it has just ended
                    child.send_signal(number)
        interrupt(number, frame)

    config.stash[HANDLERS] = Handlers(interrupt_all)


def _hand_out_by_cluster(config: pytest.Config) -> None:
    """In the place of pytest-xdist's scheduler, which knows its processes by now, but nothing that they collected."""
    dsession = config.pluginmanager.getplugin("dsession")
    ours: Any = pytest_xdist_make_scheduler(config, dsession.log)
    if ours is not None:
        for node in dsession.sched.nodes:
            ours.add_node(node)
        dsession.sched = ours


def _prepare_beside(config: pytest.Config, asked: Options) -> Preparing:
    """Begin the set-up. Raises OrdealError where the results, which it shares with the replays, can't be written."""
    progress, steps, known = config.stash[SHOWING].progress, candidates.setup_steps(asked), durations.load()
    progress.expect(SETUP, sum(known.build_s(each) for each in set(chain(*steps.values()))), first=True)
    progress.begin(SETUP)
    folder = asked.results / run_id(config)
    preparing = Preparing(folder, options_for(asked), telling.reporter(config), lambda: progress.end(SETUP))
    progress.beside(lambda: preparing.now)
    return preparing


def _worker(config: pytest.Config) -> str:
    return worker_input(config, "workerid")
