"""Upstream's specs as pytest items: options, a test for each spec with its labels as markers, and its result."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from chaos.clusters.base import EXISTING, KIND, SIMULATED, Cluster, Shape, Timers
from chaos.conformance import choice
from chaos.conformance.spec import Spec
from chaos.errors import OrdealError
from chaos.incident import Load
from chaos.invariants.conformance import SKIPPED
from chaos.report.saved import load
from chaos.report.specs import SpecResult, tally

if TYPE_CHECKING:
    from chaos.conformance.session import How, Session
    from chaos.plugin import Run

FIXTURE = "spec"
SUITE = "conformance"  # the folder; who names it, or one of the options, has asked for specs
OPTIONS = ("--specs", "--focus", "--conformance-version", "--e2e-test", "--resume")
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of specs, in the group of the others."""
    group = parser.getgroup("kube-ordeal")
    group.addoption(
        "--specs",
        choices=choice.SETS,
        default="",
        help="upstream's specs to run: smoke (25 of every area), conformance (all of the programme), all "
        "(default: smoke in the profile smoke, conformance in full)",
    )
    group.addoption(
        "--focus", default="", metavar="REGEX", help="of all specs those whose full name this expression finds"
    )
    group.addoption(
        "--conformance-version",
        default="",
        metavar="VERSION",
        help="run the specs of this Kubernetes version, whatever the cluster's is (default: the cluster's)",
    )
    group.addoption("--e2e-test", default="", metavar="FILE", help="your own e2e.test (default: the one built here)")
    group.addoption(
        "--spec-timeout",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="a spec that takes longer hangs (default: 300 in the profile smoke, 900 in full)",
    )
    group.addoption(
        "--spec-processes", type=int, default=2, metavar="N", help="specs side by side, without -n (default: 2)"
    )
    group.addoption(
        "--spec-retries",
        type=int,
        default=0,
        metavar="N",
        help="run a failed spec so often again; passed then, it is flaky, which is not passed (default: 0)",
    )
    group.addoption(
        "--resume", default="", metavar="RUN", help="take over what specs became in this run, or in `latest`"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse wrong option values; register the markers that every run has."""
    for name, what in LABELS.items():
        config.addinivalue_line("markers", f"{name}: {what}")
    try:
        choice.compiled(config.getoption("--focus"))
    except OrdealError as error:
        raise pytest.UsageError(str(error)) from error
    if config.getoption("--focus") and config.getoption("--specs"):
        raise pytest.UsageError("--focus looks through all specs; leave --specs out")
    if config.getoption("--spec-processes") < 1 or config.getoption("--spec-retries") < 0:
        raise pytest.UsageError("--spec-processes is 1 or more, and --spec-retries 0 or more")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The suite's one function becomes a test for each spec."""
    if not _is_suite(metafunc.definition):
        return
    try:
        found = _specs(metafunc.config)
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

    def __init__(self, request: pytest.FixtureRequest, session: "Session | None", why_not: str) -> None:
        self._request, self._session, self._why_not = request, session, why_not

    def check(self, spec: Spec | NotListed) -> None:
        """Run the spec, and fail, or skip, where it did not pass."""
        if isinstance(spec, NotListed) or self._session is None:
            self._leave(spec.why if isinstance(spec, NotListed) else self._why_not)
        from chaos.conformance.session import shown  # noqa: PLC0415

        result = self._session.result_of(spec)
        self._request.node.stash[RESULT] = result
        root = self._session.folder.parent
        output = root / result.output
        if result.output and output.is_file():
            print(output.read_text(errors="replace"))  # noqa: T201  (pytest captures it, and shows it on a failure)
        if result.state == SKIPPED and not spec.conformance:
            pytest.skip(result.message)
        if not result.passed:
            pytest.fail(shown(result, root), pytrace=False)

    def _leave(self, why: str) -> NoReturn:
        """No spec can be run here: that is no answer for who has asked for them, and no fault for who has not."""
        if _asked(self._request.config):
            pytest.fail(f"unknown: {why}", pytrace=False)
        pytest.skip(why)


@pytest.fixture
def specs(request: pytest.FixtureRequest, _spec_session: "tuple[Session | None, str]") -> Specs:
    """What runs a spec; see Specs."""
    return Specs(request, *_spec_session)


@pytest.fixture(scope="module")
def _spec_session(request: pytest.FixtureRequest) -> "Iterator[tuple[Session | None, str]]":
    """The specs of this run on one cluster. What they leave on it is waited for, or the cluster is given up."""
    try:
        why_not = _why_not(request.config)
    except OrdealError as error:
        why_not = str(error)
    if why_not:
        yield None, why_not
        return
    from chaos.conformance.session import Session  # noqa: PLC0415

    run: Run = request.getfixturevalue("ordeal_run")
    kind = EXISTING if request.config.getoption("--cluster") == EXISTING else KIND
    worker = bool(getattr(request.config, "workerinput", None))
    params = [
        (item.callspec.params[FIXTURE], item.nodeid)
        for item in request.session.items
        if isinstance(item, pytest.Function) and _is_suite(item)
    ]
    planned = {each.id: (each, test) for each, test in params if isinstance(each, Spec)}

    def acquire() -> Cluster:
        if run.turn is not None:
            run.turn.take(Load.WORKS, waiting=lambda: run.report("another replay has the machine"))
        timers = run.profile.kind_timers if kind == KIND else Timers()
        return run.pool.acquire(kind, Shape(workers=2, timers=timers))

    try:
        with Session(
            _how(request.config, run.profile.name),
            acquire,
            run.results,
            run.report,
            planned=planned,
            one_by_one=worker,
            lock=run.results.directory / ".specs" if worker else None,
        ) as session:
            yield session, ""
        if request.session.exitstatus == pytest.ExitCode.INTERRUPTED:
            run.pool.spoiled(kind)  # a cluster of ours goes as it is, without waiting for anything
        elif not session.clean:
            run.report("what specs made did not go from the cluster")
            run.pool.spoiled(kind)
    finally:
        if run.turn is not None:
            run.turn.give_back()


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
    from chaos.plugin import RUN_ID  # noqa: PLC0415

    root = Path(config.getoption("--results"))
    if not (root / config.stash[RUN_ID] / "results.json").is_file():
        return
    saved = load(root, config.stash[RUN_ID])
    found = saved.own_specs
    if not found:
        return
    terminalreporter.section("specs")
    areas = sorted({each.area for each in found})
    for area in areas:
        terminalreporter.write_line(f"{area:<16} {tally([each for each in found if each.area == area])}")
    terminalreporter.write_line(f"{'all':<16} {tally(found)}")
    if not saved.outcomes:
        terminalreporter.write_line(f"results: {saved.path}")


def _specs(config: pytest.Config) -> tuple[Spec, ...] | NotListed:
    """The specs that were asked for. Raises OrdealError."""
    wanted = choice.Wanted(
        config.getoption("--specs") or choice.OF_PROFILE[config.getoption("--profile")], config.getoption("--focus")
    )
    if not wanted.needs_listing:
        return choice.smoke()
    from chaos.conformance import program  # noqa: PLC0415
    from chaos.conformance.listing import listing  # noqa: PLC0415

    given = config.getoption("--e2e-test")
    version = config.getoption("--conformance-version") or _cluster_version(config)
    found = program.given(Path(given)) if given else program.find(version)
    return NotListed(program.not_built(version)) if found is None else choice.chosen(wanted, listing(found))


def _cluster_version(config: pytest.Config) -> str:
    """The version that the cluster has, or will have. Raises OrdealError where an existing one does not answer."""
    if config.getoption("--cluster") != EXISTING:
        return str(config.getoption("--kubernetes")).removeprefix("v")
    from chaos.clusters import kubeconfig  # noqa: PLC0415
    from chaos.clusters.client import api_client, server_version  # noqa: PLC0415
    from chaos.conformance.program import plain  # noqa: PLC0415

    given = config.getoption("--kubeconfig")
    found = kubeconfig.find(Path(given) if given else None, config.getoption("--context"))
    with api_client(*found) as client:
        return plain(server_version(client))


def _why_not(config: pytest.Config) -> str:
    """Why specs can't be run; "" where they can, as far as that is known before there is a cluster."""
    from chaos.conformance import program  # noqa: PLC0415

    if config.getoption("--cluster") == SIMULATED:
        return RUN_NO_POD
    if config.getoption("--e2e-test"):
        return ""
    version = config.getoption("--conformance-version") or _cluster_version(config)
    return "" if program.find(version) else program.not_built(version)


def _how(config: pytest.Config, profile: str) -> "How":
    from chaos.conformance.session import How  # noqa: PLC0415

    given = config.getoption("--e2e-test")
    return How(
        config.getoption("--conformance-version"),
        Path(given) if given else None,
        config.getoption("--spec-timeout") or TIMEOUT_S[profile],
        config.getoption("--spec-processes"),
        config.getoption("--spec-retries"),
        config.getoption("--resume"),
    )


def _asked(config: pytest.Config) -> bool:
    """Whether the user named specs: then it is no answer not to run them."""
    return any(SUITE in Path(arg.split("::", 1)[0]).parts for arg in config.args) or any(
        config.getoption(each) for each in OPTIONS
    )


def _is_suite(item: object) -> bool:
    names = getattr(item, "fixturenames", ()) or getattr(getattr(item, "_fixtureinfo", None), "names_closure", ())
    return FIXTURE in names and "specs" in names
