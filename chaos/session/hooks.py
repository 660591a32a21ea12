"""The plugin's part in a run of ours: fixtures, what is run where and in which order, verdicts, the summary.

chaos.plugin wakes it, and says when.
"""

import sys
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from types import FrameType
from typing import Any, NoReturn

import psutil
import pytest
from rich.console import Console

from chaos.basics.files import file_name
from chaos.basics.signals import Handlers, interrupt
from chaos.basics.system import write_escapes
from chaos.basics.visible import line
from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.clusters.existing import cluster as existing
from chaos.clusters.way import kubeconfig_files
from chaos.clusters.way.client import FAILURES, Access, told
from chaos.conformance import program, rounds
from chaos.conformance.rounds import Wish
from chaos.errors import OrdealError
from chaos.harm.base import FaultError
from chaos.hosts import limits, places
from chaos.hosts.bundles import normal_version
from chaos.hosts.ownership import hand_back
from chaos.plugin import run_id, worker_input
from chaos.report.table import fact_table, verdict_table
from chaos.results.results import Outcome
from chaos.results.saved import SavedRun, load
from chaos.run import case, durations, undo
from chaos.run.case import AUTO
from chaos.run.claim import claimed
from chaos.run.deadline import DEADLINE, Deadline, beneath, in_time, is_nothing_else
from chaos.run.incident import replay_of
from chaos.run.lab import CONFORMANCE, NOT_RUN, Lab, LacksAbilityError, LeftOutError
from chaos.run.options import Options, misnamed, options_of
from chaos.run.pool import check_name
from chaos.run.verdict import outcome_of
from chaos.session import candidates, planning, pytest_specs, showing, stopwatch, telling
from chaos.session.preparing import Preparing, prepare
from chaos.session.run import Run, wishes_of
from chaos.session.showing import IDLE, SHOWING
from chaos.setup import room
from chaos.subjects.upgrade.kubeadm import NEVER

SETUP = "set-up"
NO_RERUN = "no replay or spec was tried again: a second try would hide what the first one has shown"
SECOND_TRIES = ("reruns", "retries")  # options of plugins that try again
PLUGINS = (planning, showing, pytest_specs)

RUN = pytest.StashKey[Run]()
LAB = pytest.StashKey[Lab]()
LAP = pytest.StashKey[stopwatch.Lap]()
CONFORM = pytest.StashKey[Wish]()
PREPARING = pytest.StashKey[Preparing]()
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
        config.stash[CONFORM] = _wish(asked)
        if asked.cluster == EXISTING:
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
    if config.option.collectonly or _worker(config):
        return
    asked = options_of(config)
    try:
        places.check()
        _settle_what_is_left(config, asked)
        if asked.cluster == EXISTING:
            _claim(session, asked)
    except OrdealError as error:
        config.stash[REFUSED] = str(error)
        return
    wanted = asked.setup and asked.cluster != EXISTING
    if not config.pluginmanager.has_plugin("dsession"):
        if wanted and prepare(_setup_options(asked)):
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


def _settle_what_is_left(config: pytest.Config, asked: Options) -> None:
    """What earlier runs left on clusters that are not ours to make is undone where the user says so. Raises OrdealError
    where nobody is there to ask, and where the user says no.
    """
    run = run_id(config)
    if not (left := undo.left_on_existing(run)):
        return
    if asked.undo or telling.agreed(config, f"earlier runs have left behind: {', '.join(left)}. Undo it now?"):
        undo.undo_all(telling.reporter(config, always=True), undo.Allowed(existing=True, run=run))
    undo.require_nothing_left(run, "give --ordeal-undo")


def _claim(session: pytest.Session, asked: Options) -> None:
    """An existing cluster is this run's from now on. Raises OrdealError where it is another's, or can't be used."""
    config, wishes = session.config, wishes_of(asked)
    if wishes.kubeconfig is None:
        return
    existing.check(wishes.kubeconfig, wishes.context)

    def lost(to: str) -> None:
        runner = config.pluginmanager.getplugin("dsession") or session
        runner.shouldstop = line(f"the cluster was claimed by {to} in the middle")

    config.stash[CLAIM] = ExitStack()
    config.stash[CLAIM].enter_context(claimed(wishes.kubeconfig, wishes.context, run_id(config), lost))


@pytest.hookimpl(tryfirst=True)  # before those who write to a terminal that may be closed
def pytest_unconfigure(config: pytest.Config) -> None:
    """What processes of this run that were ended in the middle have left behind is undone from here."""
    try:
        if PREPARING in config.stash:
            config.stash[PREPARING].end()
    finally:
        try:
            if config.pluginmanager.has_plugin("dsession"):
                undo.undo_all(telling.reporter(config), undo.Allowed(run=run_id(config)))
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
    run = Run(request.config)
    cases = [found for item in request.session.items if (found := case.of_item(item)) is not None]
    try:
        silent = _worker(request.config) not in {"", "gw0"}  # one of them says it
        disks = room.look(run.options.results, {each.cluster for each in cases}, len(cases))
        room.check(disks, (lambda _: None) if silent else run.report)
    except BaseException:
        run.close()
        raise
    return run


@pytest.fixture
def lab(request: pytest.FixtureRequest, ordeal_run: Run) -> Iterator[Lab]:
    """The lab of one replay; see chaos.run.lab.Lab."""
    replay = replay_of(request.function)
    this = case.of_item(request.node)
    if replay is None or this is None:
        pytest.fail("the fixture `lab` is for functions marked with @incident", pytrace=False)
    if request.node.stash.get(TRIED, False):  # by a plugin that does not go through pytest_runtest_protocol
        pytest.fail(NO_RERUN, pytrace=False)
    planning.skip_where_late(request.node, ordeal_run.results)
    where = ordeal_run.results.directory / file_name(request.node.name)
    made = Lab(
        replay.incident,
        this.control,
        this.cluster,
        ordeal_run.profile,
        needs=replay.needs,
        replay=replay.variant,
        pool=ordeal_run.pool,
        journal=ordeal_run.journal,
        run=ordeal_run.id,
        directory=where,
        report=ordeal_run.report,
        images=ordeal_run.options.images,
        storage_class=ordeal_run.options.storage_class,
        upgrade_to=ordeal_run.options.upgrade_to,
        conform=request.config.stash[CONFORM],
        turn=ordeal_run.turn,
        declared=replay,
        too_late=partial(planning.too_late, request.node),
    )
    made.alone_again = case.is_alone_again(request.node, request.node.stash.get(NEXT, None))
    request.node.stash[LAB] = made
    ordeal_run.results.begin(
        request.node.nodeid,
        replay.incident.id,
        cluster=this.cluster,
        profile=ordeal_run.profile.name,
        control=this.control or "",
        replay=replay.variant,
    )
    ordeal_run.report(f"=== {replay.incident.id} [{this}]")
    with ordeal_run.stopwatch.of(request.node) as request.node.stash[LAP]:
        try:
            yield made
            made.clean_up()
        finally:
            del request.node.stash[LAB]  # a test lives as long as the session, and a lab may hold whole histories


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turn what a suite function found, or its failure, into a verdict; fail the test where it did not pass."""
    lab_of_item = pyfuncitem.stash.get(LAB, None)
    if lab_of_item is None:
        return (yield)
    if pyfuncitem.stash.get(TRIED, False):
        pytest.fail(NO_RERUN, pytrace=False)
    pyfuncitem.stash[TRIED] = True
    run = pyfuncitem.config.stash[RUN]
    problem, lap = "", pyfuncitem.stash[LAP]
    name, before_s = f"{lab_of_item.incident.id} [{case.of_item(pyfuncitem)}]", run.took_before_s.get(pyfuncitem.nodeid)
    try:
        with run.view.of(name, lab_of_item, before_s), in_time(pyfuncitem):
            yield
            told_s, specs = lab_of_item.duration_s, len(lab_of_item.specs)
            lab_of_item.conform_after()
            if len(lab_of_item.specs) > specs:
                lap.specs_s = lab_of_item.duration_s - told_s
    except (LeftOutError, LacksAbilityError, pytest.skip.Exception) as error:
        _skip(run, pyfuncitem, error)
    except FAILURES as error:
        problem = told(error)
    except KeyboardInterrupt as error:
        lab_of_item.abandon()
        stays = "".join(f"; {each}" for each in beneath(error) if isinstance(each, FaultError))
        if not is_nothing_else(error):
            _conclude(run, lab_of_item, pyfuncitem.nodeid, f"the run was interrupted{stays}")
            raise
        problem = f"{error}, in the phase {lab_of_item.now.phase}{stays}"
    except (Exception, pytest.fail.Exception) as error:
        problem = places.unwritten(error)
        if not problem:
            _conclude(run, lab_of_item, pyfuncitem.nodeid, f"the suite itself failed: {error!r}")
            raise
    unwritten = ""
    try:
        lap.outcome = outcome = _conclude(run, lab_of_item, pyfuncitem.nodeid, problem)
    except OrdealError as error:  # told outside of the except, so that no traceback is chained to it
        unwritten = str(error)
    if unwritten:
        pytest.fail(unwritten, pytrace=False)
    if not outcome.passed:
        pytest.fail(f"{outcome.id} [{case.of_item(pyfuncitem)}] {outcome.verdict}: {outcome.why}", pytrace=False)
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
            close(directory, telling.reporter(config), {IDLE: str(shown.idle)} if shown else {})
            hand_back()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table of verdicts, the tables that suites made, and where the results are."""
    root, run = options_of(config).results, run_id(config)
    if not (root / run / "results.json").is_file():
        return
    saved = load(root, run)
    if any(config.getoption(each, None) for each in SECOND_TRIES):
        telling.write(terminalreporter, NO_RERUN)
    if not saved.outcomes:
        return
    terminalreporter.section("verdicts")
    writer = config.get_terminal_writer()
    write_escapes(writer._file)
    console = Console(file=writer._file, width=max(writer.fullwidth, 100), markup=False)
    console.print(verdict_table(saved.outcomes))
    for outcome in saved.outcomes:
        for name, rows in outcome.tables.items():
            console.print(fact_table(name, rows))
    if IDLE in saved.measured:
        telling.write(terminalreporter, f"{IDLE}: {saved.measured[IDLE]}")
    lanes = len(getattr(config.option, "tx", None) or ())
    if PREPARING in config.stash and config.stash[PREPARING].failure:
        telling.write(terminalreporter, f"set-up did not reach its end: {config.stash[PREPARING].failure}")
    for each in (*_not_conformed(saved), *planning.summary(saved), *planning.more_than_the_tour(saved, lanes)):
        telling.write(terminalreporter, each)
    telling.write(terminalreporter, f"results: {saved.path}")
    page = saved.path.with_name("report.html")
    if page.is_file():
        telling.write(terminalreporter, f"report:  {page}")


def _skip(run: Run, item: pytest.Item, why: BaseException) -> NoReturn:
    """The replay had begun, and can't be done here, or not in time."""
    run.results.skip(item.nodeid, str(why))
    if isinstance(why, LeftOutError):
        planning.leave_out_now(item, run.results, str(why))
    pytest.skip(str(why))


def _conclude(run: Run, lab: Lab, test: str, problem: str) -> Outcome:
    outcome = outcome_of(lab, test, problem)
    run.results.add_specs([replace(each, test=test) for each in lab.specs])
    run.results.add(outcome)
    run.report(f"=== {outcome.id}: {outcome.verdict}, {'passed' if outcome.passed else 'FAILED'}: {outcome.why}")
    return outcome


def _wish(asked: Options) -> Wish:
    """When specs are to be run. Raises OrdealError where it can be told now that they can't be."""
    wish = rounds.parse(asked.conform or (rounds.NONE if asked.tour else ""))
    if wish.asked and wish.rounds and asked.cluster in {AUTO, KIND}:
        program.require(normal_version(asked.kubernetes))
    return wish


def _not_conformed(saved: SavedRun) -> list[str]:
    """Why specs were left out that would have been run by default, and after how many replays."""
    said = [str((o.facts or {}).get(CONFORMANCE, "")) for o in saved.outcomes]
    reasons = Counter(each.removeprefix(NOT_RUN) for each in said if each.startswith(NOT_RUN))
    return [f"upstream's specs were not run after {n} replays: {reason}" for reason, n in reasons.items()]


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


def _setup_options(asked: Options) -> list[str]:
    """Those of `kube-ordeal setup` for what a run asks for."""
    target = asked.cluster if asked.cluster in {KIND, SIMULATED} else "all"
    image = ["--kind-image", asked.kind_image] if asked.kind_image and target != SIMULATED else []
    return ["--for", target, "--kubernetes", normal_version(asked.kubernetes), *image]


def _prepare_beside(config: pytest.Config, asked: Options) -> Preparing:
    """Begin the set-up. Raises OrdealError where the results, which it shares with the replays, can't be written."""
    progress, steps, known = config.stash[SHOWING].progress, candidates.setup_steps(asked), durations.load()
    progress.expect(SETUP, sum(known.build_s(each) for each in set(chain(*steps.values()))), first=True)
    progress.begin(SETUP)
    folder = asked.results / run_id(config)
    preparing = Preparing(folder, _setup_options(asked), telling.reporter(config), lambda: progress.end(SETUP))
    progress.beside(lambda: preparing.now)
    return preparing


def _worker(config: pytest.Config) -> str:
    return worker_input(config, "workerid")
