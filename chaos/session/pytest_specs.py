"""Upstream's specs as pytest items: a test for each spec with its labels as markers, and its result."""

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pytest

from chaos.basics.files import opened
from chaos.basics.visible import lines
from chaos.clusters.base import EXISTING, KIND, SIMULATED, Cluster
from chaos.clusters.shape import Shape, Timers
from chaos.conformance import choice
from chaos.conformance.spec import Spec
from chaos.errors import OrdealError
from chaos.hosts import extras
from chaos.hosts.bundles import plain
from chaos.judge.conformance import SKIPPED
from chaos.plugin import run_id, worker_input
from chaos.results.saved import load
from chaos.results.specs import SpecResult, tally
from chaos.run.deadline import TimedOutError, in_time
from chaos.run.incident import Load
from chaos.run.mark import SPECS
from chaos.run.options import Options, options_of
from chaos.session import telling

if TYPE_CHECKING:
    from chaos.conformance.session import How, SpecSession
    from chaos.session.run import Run

F = TypeVar("F", bound=Callable[..., None])
FIXTURE = "spec"
SUITE = "conformance"  # the folder; who names it, or one of the options, has asked for specs
TIMEOUT_S = {"smoke": 300.0, "full": 900.0}
RUN_NO_POD = "the nodes of a simulated cluster run no pod, and specs need some"
# What they mean, for `pytest --markers`; those of features are registered as they are met.
LABELS = {
    "spec": "one of upstream's end-to-end specs",
    "conformance": "upstream label [Conformance]: the conformance programme asks for it",
    "nodeconformance": "upstream label [NodeConformance]",
    "serial": "upstream label [Serial]: nothing else may run beside it",
    "disruptive": "upstream label [Disruptive]: it may disturb what else is on the cluster",
    "slow": "upstream label [Slow]: it takes longer than 5 min where the cluster is large",
    "flaky": "upstream label [Flaky]",
    **{
        area: f"specs of upstream's special interest group {area.replace('_', '-')}"
        for area in (
            "api_machinery", "apps", "architecture", "auth", "autoscaling", "cli", "cloud_provider",
            "cloud_provider_gcp", "cluster_lifecycle", "instrumentation", "network", "node", "scheduling", "storage",
            "windows",
        )
    },
}  # fmt: skip
RESULT = pytest.StashKey[SpecResult]()


@dataclass(frozen=True, slots=True)
class NotListed:
    """In the place of specs that only e2e.test could name, while it is not built."""

    why: str


def upstreams(function: F) -> F:
    """Mark the function, of the fixtures `spec` and `specs`, that becomes a test for each of upstream's specs."""
    setattr(function, SPECS, True)
    return function


def is_spec(item: pytest.Item) -> bool:
    """Whether a test is one of upstream's specs."""
    return hasattr(getattr(item, "function", None), SPECS)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse wrong option values; register the markers that every run has."""
    for name, what in LABELS.items():
        config.addinivalue_line("markers", f"{name}: {what}")
    asked = options_of(config)
    try:
        choice.compiled(asked.focus)
    except OrdealError as error:
        raise pytest.UsageError(str(error)) from error
    if asked.focus and asked.specs:
        raise pytest.UsageError("--ordeal-focus looks through all specs; leave --ordeal-specs out")
    if asked.spec_processes < 1 or asked.spec_retries < 0:
        raise pytest.UsageError("--ordeal-spec-processes is 1 or more, and --ordeal-spec-retries 0 or more")
    if asked.spec_timeout_s is not None and not 0 < asked.spec_timeout_s < math.inf:
        raise pytest.UsageError("--ordeal-spec-timeout is a number of seconds above 0")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The suite's one function becomes a test for each spec."""
    if not is_spec(metafunc.definition):
        return
    try:
        found = _specs(options_of(metafunc.config))
    except OrdealError as error:
        raise pytest.Collector.CollectError(str(error)) from error
    if isinstance(found, NotListed):
        metafunc.parametrize(FIXTURE, [pytest.param(found, id="not-listed", marks=pytest.mark.spec)])
        return
    known = set(LABELS)
    params = []
    for each in found:
        names = choice.markers(each)
        for name in names:
            if name not in known:
                metafunc.config.addinivalue_line("markers", f"{name}: upstream's label of that name")
                known.add(name)
        params.append(pytest.param(each, id=each.id, marks=[getattr(pytest.mark, name) for name in names]))
    metafunc.parametrize(FIXTURE, params)


class Specs:
    """What the suite's function is given."""

    def __init__(self, request: pytest.FixtureRequest, session: "SpecSession | None", why_not: str) -> None:
        self._request, self._session, self._why_not = request, session, why_not

    def check(self, spec: Spec | NotListed) -> None:
        """Run the spec, and fail, or skip, where it did not pass."""
        if isinstance(spec, NotListed) or self._session is None:
            self._leave(spec.why if isinstance(spec, NotListed) else self._why_not)
        from chaos.conformance.session import shown  # noqa: PLC0415

        try:
            result = self._session.result_of(spec)
        except TimedOutError as error:
            result = self._session.give_up(spec, str(error))
        self._request.node.stash[RESULT] = result
        root = self._session.folder.parent
        with suppress(OSError), opened(root, result.output) as output:  # pytest captures it, and shows it on a failure
            print(lines(output.read().decode(errors="replace")))  # noqa: T201
        if result.state == SKIPPED and not spec.conformance:
            pytest.skip(result.message)
        if not result.passed:
            pytest.fail(shown(result, root), pytrace=False)

    def _leave(self, why: str) -> NoReturn:
        """No spec can be run here: that is no answer for who has asked for them, and no fault for who has not."""
        if _is_asked_for(self._request.config):
            pytest.fail(f"unknown: {why}", pytrace=False)
        pytest.skip(why)


@pytest.fixture
def specs(request: pytest.FixtureRequest, _spec_session: "tuple[SpecSession | None, str]") -> Specs:
    """What runs a spec; see Specs."""
    return Specs(request, *_spec_session)


@pytest.fixture(scope="module")
def _spec_session(request: pytest.FixtureRequest) -> "Iterator[tuple[SpecSession | None, str]]":
    """The specs of this run on one cluster. What they leave on it is waited for, or the cluster is given up."""
    asked = options_of(request.config)
    try:
        why_not = _why_not(asked)
    except OrdealError as error:
        why_not = str(error)
    if why_not:
        yield None, why_not
        return
    from chaos.conformance.session import SpecSession  # noqa: PLC0415

    run: Run = request.getfixturevalue("ordeal_run")
    kind = EXISTING if asked.cluster == EXISTING else KIND
    worker = bool(worker_input(request.config, "workerid"))
    params = [
        (item.callspec.params[FIXTURE], item.nodeid)
        for item in request.session.items
        if isinstance(item, pytest.Function) and is_spec(item)
    ]
    planned = {each.id: (each, test) for each, test in params if isinstance(each, Spec)}

    def acquire() -> Cluster:
        if run.turn is not None:
            run.turn.take(Load.WORKS, waiting=lambda: run.report("another replay has the machine"))
        timers = run.profile.kind_timers if kind == KIND else Timers()
        return run.pool.acquire(kind, Shape(workers=2, timers=timers))

    try:
        with SpecSession(
            _how(asked),
            acquire,
            run.results,
            run.report,
            planned=planned,
            one_by_one=worker,
            lock=run.results.directory / ".specs" if worker else None,
        ) as session:
            yield session, ""
        if request.session.exitstatus == pytest.ExitCode.INTERRUPTED:
            run.pool.do_not_reuse(kind)  # a cluster of ours goes as it is, without waiting for anything
        elif not session.clean:
            run.report("what specs made did not go from the cluster")
            run.pool.do_not_reuse(kind)
    finally:
        if run.turn is not None:
            run.turn.give_back()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A limit that was over before the spec was asked for leaves it unknown, too."""
    if not is_spec(pyfuncitem):
        return (yield)
    try:
        with in_time(pyfuncitem):
            return (yield)
    except TimedOutError as error:
        pytest.fail(f"unknown: {error}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A spec's time is its own: pytest's is that of waiting for it, beside others."""
    report = yield
    result = item.stash.get(RESULT, None)
    if result is not None and call.when == "call":
        report.duration = result.took_s
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How many specs of each area became what; where no incident was replayed also where the results are."""
    root, run = options_of(config).results, run_id(config)
    if not (root / run / "results.json").is_file():
        return
    saved = load(root, run)
    found = saved.own_specs
    if not found:
        return
    terminalreporter.section("specs")
    areas = sorted({each.area for each in found})
    for area in areas:
        telling.write(terminalreporter, f"{area:<16} {tally([each for each in found if each.area == area])}")
    telling.write(terminalreporter, f"{'all':<16} {tally(found)}")
    if not saved.outcomes:
        telling.write(terminalreporter, f"results: {saved.path}")


def _specs(asked: Options) -> tuple[Spec, ...] | NotListed:
    """The specs that were asked for. Raises OrdealError."""
    wanted = choice.Wanted(asked.specs or choice.OF_PROFILE[asked.profile], asked.focus)
    if not wanted.needs_listing:
        return choice.smoke()
    from chaos.conformance import program  # noqa: PLC0415
    from chaos.conformance.listing import listing  # noqa: PLC0415

    version = asked.conformance_version or _cluster_version(asked)
    found = program.given(asked.e2e_test) if asked.e2e_test else program.find(version)
    return NotListed(program.not_built(version)) if found is None else choice.chosen(wanted, listing(found))


def _cluster_version(asked: Options) -> str:
    """The version that the cluster has, or will have. Raises OrdealError where an existing one does not answer."""
    if asked.cluster != EXISTING:
        return asked.kubernetes.removeprefix("v")
    from chaos.clusters.way import kubeconfig_files  # noqa: PLC0415
    from chaos.clusters.way.client import api_client, server_version  # noqa: PLC0415

    with api_client(*kubeconfig_files.find(asked.kubeconfig, asked.context)) as client:
        return plain(server_version(client))


def _why_not(asked: Options) -> str:
    """Why specs can't be run; "" where they can, as far as that is known before there is a cluster."""
    from chaos.conformance import program  # noqa: PLC0415

    if asked.cluster == SIMULATED:
        return RUN_NO_POD
    if asked.cluster != EXISTING and (why := extras.lacks(extras.KIND)):
        return why
    if asked.e2e_test:
        return ""
    version = asked.conformance_version or _cluster_version(asked)
    return "" if program.find(version) else program.not_built(version)


def _how(asked: Options) -> "How":
    from chaos.conformance.session import How  # noqa: PLC0415

    return How(
        asked.conformance_version,
        asked.e2e_test,
        asked.spec_timeout_s or TIMEOUT_S[asked.profile],
        asked.spec_processes,
        asked.spec_retries,
        asked.resume,
    )


def _is_asked_for(config: pytest.Config) -> bool:
    """Whether the user named specs: then it is no answer not to run them."""
    asked = options_of(config)
    named = any(SUITE in Path(arg.split("::", 1)[0]).parts for arg in config.args)
    return named or any((asked.specs, asked.focus, asked.conformance_version, asked.e2e_test, asked.resume))
