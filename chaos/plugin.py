"""The pytest plugin: options, the parametrization of incidents over clusters and controls, verdicts, the summary."""

import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import psutil
import pytest
from rich.console import Console

from chaos import durations, planning, showing, undo
from chaos.clusters import existing, kubeconfig
from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.clusters.client import FAILURES, Access, told
from chaos.clusters.pool import PROVIDERS, Pool, Wishes
from chaos.conformance import program, rounds
from chaos.conformance.rounds import Wish
from chaos.errors import OrdealError
from chaos.faults import load_all
from chaos.hosts import workload_images
from chaos.hosts.binaries import DEFAULT_KUBERNETES, normal_version
from chaos.hosts.places import journals_dir
from chaos.incident import HARDENED, SHAPES, Load, Replay, replay_of
from chaos.journal import Journal
from chaos.lab import CONFORMANCE, NOT_RUN, Lab, LacksAbilityError, LeftOutError
from chaos.preparing import Preparing, prepare
from chaos.profile import PROFILES
from chaos.profile import find as find_profile
from chaos.report.live import View
from chaos.report.results import Outcome, Results
from chaos.report.saved import SavedRun, load
from chaos.report.table import fact_table, verdict_table
from chaos.showing import IDLE, QUIET_KEY, SHOWING, STDOUT
from chaos.signals import Handlers, interrupt
from chaos.suites import is_preflight
from chaos.turn import Turn
from chaos.upgrade import NEVER
from chaos.verdict import outcome_of

pytest_plugins = ["chaos.conformance.pytest_specs"]

AUTO = "auto"
SETUP = "set-up"
RUN_ID_KEY = "kube_ordeal_run"
BYTES_FOR_A_CLUSTER = 4 * 1024**3
CHOICES = (AUTO, KIND, SIMULATED, EXISTING)
ORDER = (SIMULATED, KIND, EXISTING)  # the cheapest first, so that the first verdict comes early


@dataclass(frozen=True, slots=True)
class Case:
    """One replay: a suite function on one kind of cluster, hardened (`control` is None) or in a control."""

    cluster: str
    control: str | None

    def __str__(self) -> str:
        return f"{self.cluster}-{'control:' + self.control if self.control else 'hardened'}"


class Run:
    """What one pytest run has once: its journal, its clusters, its results."""

    def __init__(self, config: pytest.Config) -> None:
        load_all()
        self.profile = find_profile(config.getoption("--profile"))
        self.id = config.stash[RUN_ID]
        shown = config.stash.get(SHOWING, None)
        self.view = View(_stdout(config), shown.progress.line if shown else str)
        self.report = _reporter(config, self.view)
        self.took_before_s = _took_before(Path(config.getoption("--results")))
        wishes, worker = _wishes(config), _worker(config)
        if worker:  # its clusters are its own
            wishes = replace(wishes, name=f"{wishes.name or 'ordeal'}-{worker}")
        if wishes.kubeconfig is not None:
            self.report(f"the cluster is that of the context {wishes.context!r} of {wishes.kubeconfig}")
            existing.check(wishes.kubeconfig, wishes.context)  # no use in going on with one that can't be used
        undo.undo_all(self.report)
        self.results = Results(
            Path(config.getoption("--results")),
            self.id,
            {
                "cluster": config.getoption("--cluster"),
                "profile": self.profile.name,
                "kubernetes": wishes.kubernetes,
                "controls": "yes" if config.getoption("--controls") else "no",
            },
        )
        planning.note(config, self.results)
        self.journal = Journal(journals_dir() / f"{self.id}{'-' if worker else ''}{worker}.jsonl")
        self.pool = Pool(wishes, self.journal, self.id, self.report)
        self.turn = Turn(self.results.directory) if worker else None
        self.stopwatch = planning.Stopwatch(wishes.kubernetes, self.profile.name, self._waited_s)

    def _waited_s(self) -> tuple[float, float]:
        return self.pool.waited_s, self.turn.waited_s if self.turn is not None else 0.0

    def close(self) -> None:
        """Take the clusters down and let go of the journal."""
        try:
            self.pool.close()
        finally:
            self.journal.close()
            if self.turn is not None:
                self.turn.give_back()


RUN = pytest.StashKey[Run]()
RUN_ID = pytest.StashKey[str]()
LAB = pytest.StashKey[Lab]()
LAP = pytest.StashKey[planning.Lap]()
CONFORM = pytest.StashKey[Wish]()
PREPARING = pytest.StashKey[Preparing]()
NEXT = pytest.StashKey[pytest.Item | None]()
HANDLERS = pytest.StashKey[Handlers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options beside pytest-kind's own (--cluster-name, --keep-cluster, --kubeconfig, --kind-image, --kind-bin...)."""
    group = parser.getgroup("kube-ordeal")
    planning.add_options(group)
    group.addoption(
        "--cluster",
        choices=CHOICES,
        default=AUTO,
        help="auto (default): each incident on the cheapest cluster that can; kind; simulated; existing: that of "
        "--kubeconfig, or else the one that kubectl would use",
    )
    group.addoption("--context", default="", help="the kubeconfig's context, with --cluster existing")
    group.addoption("--kubernetes", default=DEFAULT_KUBERNETES, help="Kubernetes version of clusters that are made")
    group.addoption("--profile", choices=sorted(PROFILES), default="smoke", help="how long and how large (smoke, full)")
    group.addoption("--controls", action="store_true", default=True, help="run the controls too (default)")
    group.addoption("--no-controls", action="store_false", dest="controls", help="run only the hardened variants")
    group.addoption(
        "--ordeal-tour",
        action="store_true",
        help="replay a small choice: of each post-mortem one incident hardened, and in one of its controls",
    )
    group.addoption(
        "--ordeal-setup",
        action="store_true",
        help="get the machine ready first (kube-ordeal setup --yes); with -n beside replays that need little of it",
    )
    group.addoption("--results", default="results", metavar="DIR", help="where results/<run>/ goes")
    for each in workload_images.RECIPES:
        group.addoption(
            each.option,
            default="",
            metavar="IMAGE",
            help=f"image with {each.server} (default: built here"
            + (f"; with a registry {each.published})" if each.published else ")"),
        )
    group.addoption(
        "--mysql-clock-image",
        default="",
        metavar="IMAGE",
        help="image with MySQL 8.0.11 or 8.0.12 and libfaketime: the control of mysql-clock (default: it is not run)",
    )
    group.addoption(
        "--storage-class",
        default="",
        metavar="NAME",
        help="StorageClass whose volumes rwo-volume-handover moves (default: a CSI driver of ours over a Ceph pool)",
    )
    group.addoption(
        "--upgrade-to",
        default="",
        metavar="VERSION",
        help="how far in-place-upgrade goes; none: it is not replayed (default: with the node images that were built, "
        "one minor version further in the profile smoke, two in full)",
    )
    group.addoption(
        "--conform",
        default="",
        metavar="ROUNDS",
        help="run five of upstream's quick conformance specs around each incident: before, after, and during the harm "
        "what is documented to go on; joined by commas, or none (default: after, where e2e.test is built; none on the "
        "tour)",
    )
    group.addoption("--busybox-image", default="", help="image of the workloads (default: what the nodes hold)")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Before pytest-xdist looks at how many processes there are to be."""
    planning.go_side_by_side(config)
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """With -n, and no --dist of the user's: what shares a cluster stays in one process."""
    if config.option.dist != "load":
        return None
    from chaos.side_by_side import ByCluster  # noqa: PLC0415  (pytest-xdist may be switched off)

    config.option.loadscopereorder = False  # preflight first, then the cheapest cluster, as without -n
    return ByCluster(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """-n auto: as many runs side by side as there are cores, and memory for a cluster each."""
    return max(1, min(os.cpu_count() or 1, int(psutil.virtual_memory().available // BYTES_FOR_A_CLUSTER)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Every process of one run writes into the same results."""
    node.workerinput[RUN_ID_KEY] = node.config.stash[RUN_ID]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Set-up, where it was asked for. The process that only waits for those that replay hands signals that end it on to
    them, and is interrupted by them, too.
    """
    config = session.config
    if config.option.collectonly or _worker(config):
        return
    wanted = config.getoption("--ordeal-setup") and config.getoption("--cluster") != EXISTING
    if not config.pluginmanager.hasplugin("dsession"):
        if wanted and prepare(_setup_options(config)):
            pytest.exit("set-up did not reach its end; what it says above tells why", returncode=2)
        return
    if wanted:
        try:
            config.stash[PREPARING] = _prepare_beside(config)
        except OrdealError as error:
            pytest.exit(str(error), returncode=2)

    def interrupt_all(number: int, frame: FrameType | None) -> None:
        ended_apart = config.stash[PREPARING].pid if PREPARING in config.stash else None
        for child in psutil.Process().children():
            if child.pid != ended_apart:
                with suppress(psutil.Error):  # it has just ended
                    child.send_signal(number)
        interrupt(number, frame)

    config.stash[HANDLERS] = Handlers(interrupt_all)


@pytest.hookimpl(tryfirst=True)  # before those who write to a terminal that may be closed
def pytest_unconfigure(config: pytest.Config) -> None:
    """What processes of this run that were ended in the middle have left behind is undone from here."""
    try:
        if PREPARING in config.stash:
            config.stash[PREPARING].end()
    finally:
        try:
            if config.pluginmanager.hasplugin("dsession"):
                undo.undo_all(_reporter(config))
        finally:
            if HANDLERS in config.stash:
                config.stash[HANDLERS].put_back()


def pytest_configure(config: pytest.Config) -> None:
    """Refuse wrong option values before anything is made."""
    config.pluginmanager.register(planning)
    config.pluginmanager.register(showing)
    with suppress(OSError):  # a handle of our own, because pytest captures the other one while tests run
        config.stash[STDOUT] = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        config.add_cleanup(config.stash[STDOUT].close)
    config.stash[RUN_ID] = planning.worker_input(config, RUN_ID_KEY) or (
        f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    )
    try:
        normal_version(config.getoption("--kubernetes"))
        if config.getoption("--upgrade-to") not in {"", NEVER}:
            normal_version(config.getoption("--upgrade-to"))
        config.stash[CONFORM] = _wish(config)
        if config.getoption("--cluster") == EXISTING:
            Access(*_existing(config)).client()
    except OrdealError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An incident becomes a test for each kind of cluster it is defined on, hardened and in each control."""
    replay = replay_of(metafunc.function)
    if replay is None:
        return
    choice = metafunc.config.getoption("--cluster")
    controls = [None, *replay.controls] if metafunc.config.getoption("--controls") else [None]
    params = [
        pytest.param(Case(kind, control), id=str(Case(kind, control)))
        for kind in _kinds(replay, choice)
        for control in controls
    ]
    if not params:
        reason = _why_not(replay, choice)
        params = [pytest.param(Case(choice, None), id=choice, marks=pytest.mark.skip(reason=reason))]
    metafunc.parametrize("lab", params, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The cheapest cluster first, preflight first on it, then one shape after the other; else as collected. With
    --ordeal-tour only what is part of the tour.
    """

    def rank(item: pytest.Item) -> tuple[int, bool, int]:
        case, replay = _case(item), replay_of(getattr(item, "function", None))
        cluster = -1 if case is None else ORDER.index(case.cluster)
        return cluster, not is_preflight(item.nodeid), 0 if replay is None else SHAPES.index(replay.shape)

    items.sort(key=rank)
    if config.getoption("--ordeal-tour"):
        planning.leave_out(config, items, {i.nodeid: planning.NOT_ON_TOUR for i in items if not _on_tour(i)})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """What comes next decides whether a cluster, and the machine, are kept."""
    item.stash[NEXT] = nextitem


@pytest.fixture(scope="session")
def ordeal_run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """The run: journal, clusters, results. What earlier runs left behind is undone first."""

    handlers = Handlers()
    try:
        run = Run(request.config)
    except OrdealError as error:
        handlers.put_back()
        if _worker(request.config):  # its exit would look like a crash, and be answered with another worker
            request.session.shouldfail = str(error)
            pytest.fail(str(error), pytrace=False)
        pytest.exit(str(error), returncode=2)
    request.config.stash[RUN] = run
    try:
        yield run
    finally:
        run.close()
        handlers.put_back()


@pytest.fixture
def lab(request: pytest.FixtureRequest, ordeal_run: Run) -> Iterator[Lab]:
    """The lab of one replay; see chaos.lab.Lab."""
    replay = replay_of(request.function)
    case = _case(request.node)
    if replay is None or case is None:
        pytest.fail("the fixture `lab` is for functions marked with @incident", pytrace=False)
    planning.skip_where_late(request.node, ordeal_run.results)
    where = ordeal_run.results.directory / _file_name(request.node.name)
    made = Lab(
        replay.incident,
        case.control,
        case.cluster,
        ordeal_run.profile,
        needs=replay.needs,
        replay=replay.variant,
        pool=ordeal_run.pool,
        journal=ordeal_run.journal,
        run=ordeal_run.id,
        directory=where,
        report=ordeal_run.report,
        images={
            "mysql-clock": request.config.getoption("--mysql-clock-image"),
            **{each.name: request.config.getoption(each.option) for each in workload_images.RECIPES},
        },
        storage_class=request.config.getoption("--storage-class"),
        upgrade_to=request.config.getoption("--upgrade-to"),
        conform=request.config.stash[CONFORM],
        turn=ordeal_run.turn,
        declared=replay,
        too_late=partial(planning.too_late, request.node),
    )
    made.alone_again = _alone_again(request.node)
    request.node.stash[LAB] = made
    ordeal_run.results.begin(
        request.node.nodeid,
        replay.incident.id,
        cluster=case.cluster,
        profile=ordeal_run.profile.name,
        control=case.control or "",
        replay=replay.variant,
    )
    ordeal_run.report(f"=== {replay.incident.id} [{case}]")
    with ordeal_run.stopwatch.of(request.node) as request.node.stash[LAP]:
        yield made
        made.clean_up()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turn what a suite function found, or its failure, into a verdict; fail the test where it did not pass."""
    lab_of_item = pyfuncitem.stash.get(LAB, None)
    if lab_of_item is None:
        return (yield)
    run = pyfuncitem.config.stash[RUN]
    problem, lap = "", pyfuncitem.stash[LAP]
    name, before_s = f"{lab_of_item.incident.id} [{_case(pyfuncitem)}]", run.took_before_s.get(pyfuncitem.nodeid)
    try:
        with run.view.of(name, lab_of_item, before_s):
            yield
            told_s, specs = lab_of_item.duration_s, len(lab_of_item.specs)
            lab_of_item.conform_after()
            if len(lab_of_item.specs) > specs:
                lap.specs_s = lab_of_item.duration_s - told_s
    except LeftOutError as error:
        run.results.skip(pyfuncitem.nodeid, str(error))
        planning.leave_out_now(pyfuncitem, run.results, str(error))
        pytest.skip(str(error))
    except LacksAbilityError as error:
        run.results.skip(pyfuncitem.nodeid, str(error))
        pytest.skip(str(error))
    except FAILURES as error:
        problem = told(error)
    except KeyboardInterrupt:
        lab_of_item.abandon()
        _conclude(run, lab_of_item, pyfuncitem.nodeid, "the run was interrupted")
        raise
    except Exception as error:
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
        pytest.fail(f"{outcome.id} [{_case(pyfuncitem)}] {outcome.verdict}: {outcome.why}", pytrace=False)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """The run is over and its clusters are gone: the results say so, and a page of them is made."""
    try:
        return (yield)
    finally:
        showing.end(session.config)
        directory = Path(session.config.getoption("--results")) / session.config.stash[RUN_ID]
        if not _worker(session.config) and (directory / "results.json").is_file():
            from chaos.report.close import close  # noqa: PLC0415  (the page's libraries are for runs that have results)

            shown = session.config.stash.get(SHOWING, None)
            close(directory, _reporter(session.config), {IDLE: str(shown.idle)} if shown else {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table of verdicts, the tables that suites made, and where the results are."""
    root, run = Path(config.getoption("--results")), config.stash[RUN_ID]
    if not (root / run / "results.json").is_file():
        return
    saved = load(root, run)
    if not saved.outcomes:
        return
    terminalreporter.section("verdicts")
    writer = config.get_terminal_writer()
    console = Console(file=writer._file, width=max(writer.fullwidth, 100), markup=False)
    console.print(verdict_table(saved.outcomes))
    for outcome in saved.outcomes:
        for name, rows in outcome.tables.items():
            console.print(fact_table(name, rows))
    if IDLE in saved.machine:
        terminalreporter.write_line(f"{IDLE}: {saved.machine[IDLE]}")
    lanes = len(getattr(config.option, "tx", None) or ())
    if PREPARING in config.stash and config.stash[PREPARING].failure:
        terminalreporter.write_line(f"set-up did not reach its end: {config.stash[PREPARING].failure}")
    for line in (*_not_conformed(saved), *planning.summary(saved), *planning.more_than_the_tour(saved, lanes)):
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"results: {saved.path}")
    page = saved.path.with_name("report.html")
    if page.is_file():
        terminalreporter.write_line(f"report:  {page}")


def _conclude(run: Run, lab: Lab, test: str, problem: str) -> Outcome:
    outcome = outcome_of(lab, test, problem)
    run.results.add_specs([replace(each, test=test) for each in lab.specs])
    run.results.add(outcome)
    run.report(f"=== {outcome.id}: {outcome.verdict}, {'passed' if outcome.passed else 'FAILED'}: {outcome.why}")
    return outcome


def _wish(config: pytest.Config) -> Wish:
    """When specs are to be run. Raises OrdealError where it can be told now that they can't be."""
    asked = config.getoption("--conform") or (rounds.NONE if config.getoption("--ordeal-tour") else "")
    wish = rounds.parse(asked)
    if wish.asked and wish.rounds and config.getoption("--cluster") in {AUTO, KIND}:
        program.require(normal_version(config.getoption("--kubernetes")))
    return wish


def _not_conformed(saved: SavedRun) -> list[str]:
    """Why specs were left out that would have been run by default, and after how many replays."""
    said = [str((o.facts or {}).get(CONFORMANCE, "")) for o in saved.outcomes]
    reasons = Counter(each.removeprefix(NOT_RUN) for each in said if each.startswith(NOT_RUN))
    return [f"upstream's specs were not run after {n} replays: {reason}" for reason, n in reasons.items()]


def _kinds(replay: Replay, choice: str) -> list[str]:
    if choice == AUTO:
        return sorted(replay.on, key=ORDER.index)
    if choice == EXISTING:
        return [EXISTING] if KIND in replay.on else []
    return [choice] if choice in replay.on else []


def _why_not(replay: Replay, choice: str) -> str:
    provider = PROVIDERS.get(choice)
    lacking = [need.__name__ for need in replay.needs if provider is not None and not issubclass(provider, need)]
    if lacking:
        return f"{replay.incident.id} needs {', '.join(lacking)}, which {choice} clusters have not"
    return f"this replay of {replay.incident.id} is made for {' and '.join(replay.on)} clusters"


def _case(item: pytest.Item) -> Case | None:
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("lab") if callspec else None
    return found if isinstance(found, Case) else None


def _wishes(config: pytest.Config) -> Wishes:
    def path(option: str) -> Path | None:
        value = config.getoption(option)
        return Path(value).absolute() if value else None

    name = config.getoption("--cluster-name")
    used, context = _existing(config) if config.getoption("--cluster") == EXISTING else (None, "")
    return Wishes(
        kubernetes=normal_version(config.getoption("--kubernetes")),
        name="" if name == "pytest-kind" else name,  # pytest-kind's default: not given
        keep=config.getoption("--keep-cluster"),
        kubeconfig=used,
        context=context,
        kind_image=config.getoption("--kind-image") or "",
        kind_bin=path("--kind-bin"),
        kubectl_bin=path("--kind-kubectl-bin"),
        busybox_image=config.getoption("--busybox-image"),
    )


def _existing(config: pytest.Config) -> tuple[Path, str]:
    """The kubeconfig, and the context in it, of --cluster existing. Raises OrdealError."""
    given = config.getoption("--kubeconfig")
    return kubeconfig.find(Path(given) if given else None, config.getoption("--context"))


def _on_tour(item: pytest.Item) -> bool:
    case, replay = _case(item), replay_of(getattr(item, "function", None))
    return case is not None and replay is not None and (case.control or HARDENED) in replay.tour


def _alone_again(item: pytest.Item) -> bool:
    """Whether what comes next wants the machine alone, on a cluster like this one's."""
    after = item.stash.get(NEXT, None)
    if after is None:
        return False
    cases, replays = [_case(i) for i in (item, after)], [replay_of(getattr(i, "function", None)) for i in (item, after)]
    (this_case, next_case), (this, following) = cases, replays
    if this_case is None or next_case is None or this is None or following is None:
        return False
    return following.load is Load.ALONE and (this_case.cluster, this.shape) == (next_case.cluster, following.shape)


def _setup_options(config: pytest.Config) -> list[str]:
    """Those of `kube-ordeal setup` for what a run asks for."""
    choice = config.getoption("--cluster")
    target = choice if choice in {KIND, SIMULATED} else "all"
    return ["--for", target, "--kubernetes", normal_version(config.getoption("--kubernetes"))]


def _prepare_beside(config: pytest.Config) -> Preparing:
    """Begin the set-up. Raises OrdealError where the results, which it shares with the replays, can't be written."""
    folder = Path(config.getoption("--results")) / config.stash[RUN_ID]
    progress, steps, known = config.stash[SHOWING].progress, planning.setup_steps(config), durations.load()
    progress.expect(SETUP, sum(known.build_s(each) for each in set(chain(*steps.values()))), first=True)
    progress.begin(SETUP)
    preparing = Preparing(folder, _setup_options(config), _reporter(config), lambda: progress.end(SETUP))
    progress.beside(lambda: preparing.now)
    return preparing


def _worker(config: pytest.Config) -> str:
    return planning.worker_input(config, "workerid")


def _stdout(config: pytest.Config) -> TextIO | None:
    """Standard output past pytest's capture; None with -q, and in a process that was started by another one."""
    return None if config.getoption("verbose", 0) < 0 or _worker(config) else config.stash.get(STDOUT, None)


def _took_before(root: Path) -> dict[str, float]:
    """How long each replay took in the run before this one, in seconds."""
    try:
        return {o.test: o.duration_s for o in load(root).outcomes if o.ended}
    except OrdealError:  # there is none, or another version's
        return {}


def _reporter(config: pytest.Config, view: View | None = None) -> Callable[[str], None]:
    """Timestamped lines, past pytest's capture; with -q none."""
    if config.getoption("verbose", 0) < 0:
        return lambda _: None
    capture = config.pluginmanager.getplugin("capturemanager")
    terminal = config.pluginmanager.getplugin("terminalreporter")
    worker = _worker(config)

    def report(line: str) -> None:
        if capture is None:
            return
        with capture.global_and_fixture_disabled():
            if worker and planning.worker_input(config, QUIET_KEY):
                return
            if worker:  # it has no terminal; what it writes here reaches that of the process that started it
                sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} [{worker}] {line}\n")
                sys.stderr.flush()
            elif terminal is not None:
                said = f"{datetime.now(UTC):%H:%M:%S} {line}"
                with suppress(OSError):  # the terminal was closed; what is going on has to go on
                    if view is None or not view.say(said):
                        terminal.ensure_newline()
                        terminal.write_line(said)
                        terminal.flush()

    return report


def _file_name(test: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in test).strip("-")


__all__ = ["Case", "Run", "lab", "ordeal_run"]
