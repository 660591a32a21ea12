"""The specs of one pytest run: started with the first that is asked for, each result there as soon as it ends."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from chaos.basics.files import place
from chaos.basics.progress import Report
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import EXISTING, Cluster
from chaos.clusters.existing.cluster import require_all_rights
from chaos.conformance import aside, choice, estimate, images
from chaos.conformance import program as programs
from chaos.conformance.listing import listing
from chaos.conformance.outcome import Reason, SpecOutcome
from chaos.conformance.podlogs import PodLogs, upstreams_namespaces
from chaos.conformance.program import E2eProgram
from chaos.conformance.rows import OUTPUT, row
from chaos.conformance.runner import TIMEOUT_S, Runner, RunnerSettings
from chaos.conformance.spec import Spec
from chaos.conformance.verdicts import unknown
from chaos.errors import OrdealError
from chaos.hosts.bundles import plain
from chaos.judge.conformance import LOST
from chaos.results.results import Results
from chaos.results.saved import SavedRun, load
from chaos.results.specs import ALONE, BROKEN, SpecResult

FOLDER = "conformance"
CLEAN_WITHIN_S = 120.0  # until the namespaces of the last specs are gone


@dataclass(frozen=True, slots=True)
class How:
    """What the user said of how specs are run.

    `version`: of e2e.test, where it is not to be the cluster's; `given`: the user's own e2e.test; `resume`: the run
    whose results are taken over.
    """

    version: str = ""
    given: Path | None = None
    timeout_s: float = TIMEOUT_S
    processes: int = 2
    retries: int = 0
    resume: str = ""


class SpecSession:
    """Runs specs on one cluster. A context manager: at its end what runs is stopped, and what it made is gone."""

    def __init__(
        self,
        how: How,
        acquire: Callable[[], Cluster],
        results: Results,
        report: Report,
        *,
        planned: Mapping[str, tuple[Spec, str]],
        one_by_one: bool,
        lock: Path | None,
    ) -> None:
        """`planned`: by id each spec that may be asked for, and its test. All of them are run in one go, unless they
        are to be run `one_by_one`, as they are asked for, because other processes run others of them; `lock` is then
        the file through which those keep serial specs alone.
        """
        self._how, self._acquire, self._results, self._report = how, acquire, results, report
        self._planned, self._one_by_one, self._lock = planned, one_by_one, lock
        self._stack = ExitStack()
        self._runner: Runner | None = None
        self._problem = ""
        self._cluster: Cluster | None = None
        self._logs: PodLogs | None = None
        self._version = how.version
        self._rows: dict[str, SpecResult] = {}
        self._given_up: set[str] = set()
        self._one_at_a_time = threading.Lock()
        self._estimate = estimate.Estimate((), 1, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)
        if self._runner is not None:
            estimate.save(self._estimate.known)

    @property
    def folder(self) -> Path:
        """Where the specs' output is."""
        return self._results.directory / FOLDER

    @property
    def clean(self) -> bool:
        """Whether upstream's namespaces are gone from the cluster, or go within CLEAN_WITHIN_S; True where none ran."""
        if self._cluster is None:
            return True
        cluster = self._cluster
        try:
            eventually(
                lambda: not upstreams_namespaces(cluster), within_s=CLEAN_WITHIN_S, what="specs' namespaces to go"
            )
        except WaitedInVainError:
            return False
        return True

    def result_of(self, spec: Spec) -> SpecResult:
        """What became of it; waits for its end. Where specs can't be run here that is the result, with the reason."""
        self._start()
        if spec.id in self._rows:  # before its process is asked: it may be of the run that is resumed
            return self._rows[spec.id]
        if self._runner is None:
            return self._not_run(spec, self._problem)
        if self._one_by_one:
            try:
                self._runner.submit([spec])
            except OrdealError as error:
                return self._not_run(spec, str(error))
        ended = self._runner.outcome_of(spec)
        return self._rows.get(spec.id) or self._row(ended)

    def give_up(self, spec: Spec, why: str) -> SpecResult:
        """Nobody waits for it any more: that is its result, whatever comes later. One that has ended keeps its own."""
        with self._one_at_a_time:
            if spec.id in self._rows:
                return self._rows[spec.id]
            self._given_up.add(spec.id)
        if self._runner is None:  # no other one would get further
            self._problem = why
        return self._not_run(spec, why)

    def _start(self) -> None:
        """Once: the cluster, e2e.test, the images. What is wrong is kept for all specs."""
        if self._runner is not None or self._problem:
            return
        try:
            self._runner = self._begin()
        except OrdealError as error:
            self._problem = str(error)

    def _begin(self) -> Runner:
        self._cluster = cluster = self._acquire()
        require_all_rights(cluster, "upstream's specs")
        program = self._program(cluster)
        self._version = program.version
        known = listing(program, report=self._report)
        specs = [spec for spec, _ in self._planned.values()]
        if self._how.resume:
            self._take_over(load(self._results.directory.parent, self._how.resume), program.version)
        there = [s for s in specs if s.id not in self._rows and s.id in known.by_id]
        for spec in specs:
            if spec.id not in known.by_id:
                self._not_run(spec, f"e2e.test of Kubernetes {program.version} has no such spec")
        small = {s.id for s in specs} <= {s.id for s in choice.smoke()}
        images.provide(cluster, program, only=choice.smoke_images() if small else None, report=self._report)
        nodes = cluster.nodes() if cluster.ref.kind == EXISTING else ()
        if set_aside := aside.told(nodes):
            self._report(f"specs do without nodes that are set aside: {set_aside}")
        settings = RunnerSettings(
            self._how.timeout_s,
            1 if self._one_by_one else self._how.processes,
            self._how.retries,
            flags=aside.flags(nodes),
            lock=self._lock,
        )
        serial = [s for s in there if known.serial(s)]
        self._estimate = estimate.Estimate(serial, settings.processes, estimate.load())
        self._logs = self._stack.enter_context(PodLogs(cluster))
        runner = Runner(
            program,
            known,
            Path(cluster.ref.kubeconfig),
            self._ended,
            self.folder / "e2e",
            settings,
            context=cluster.ref.context,
            planned=there,
            report=self._report,
        )
        if not self._one_by_one:
            left = estimate.said(self._estimate.left_s(there))
            self._report(f"{len(there)} specs of Kubernetes {program.version}, {len(serial)} of them alone, {left}")
            runner.submit(there)
        return self._stack.enter_context(runner)

    def _program(self, cluster: Cluster) -> E2eProgram:
        """e2e.test for this cluster. Raises OrdealError: none, or of another version."""
        if self._how.given is not None:
            found = programs.given(self._how.given)
        else:
            found = programs.require(self._how.version or plain(cluster.kubernetes))
        programs.check_version(found, cluster.kubernetes, asked_for=self._how.version == found.version)
        return found

    def _ended(self, outcome: SpecOutcome) -> None:
        """A spec has ended: called from the runner's threads, one call at a time."""
        assert self._logs is not None
        folder = self.folder / outcome.spec_id
        pods = self._logs.take(outcome.output, None if outcome.passed else folder)
        result = self._row(outcome, pods)
        with self._one_at_a_time:
            if outcome.spec_id in self._given_up:
                return
            self._rows[outcome.spec_id] = result
        self._estimate.took(outcome.spec_id, outcome.took_s)
        self._results.add_specs([result])
        left = [spec for spec, _ in self._planned.values() if spec.id not in self._rows]
        count = f"{len(self._planned) - len(left)} of {len(self._planned)}"
        until = "" if self._one_by_one else f", {estimate.said(self._estimate.left_s(left))}"
        self._report(f"  {result.state}: {outcome.text} ({outcome.took_s:.1f} s); {count}{until}")

    def _row(self, outcome: SpecOutcome, pods: Sequence[Path] = ()) -> SpecResult:
        _, test = self._planned[outcome.spec_id]
        folder = self.folder / outcome.spec_id
        return row(outcome, self._version, folder, self._results.directory, pods, test=test)

    def _not_run(self, spec: Spec, why: str) -> SpecResult:
        """Specs can't be run here: no result, and why."""
        found = self._row(unknown(spec, Reason.NOT_STARTED, why))
        self._rows[spec.id] = found
        self._results.add_specs([found])
        return found

    def _take_over(self, earlier: SavedRun, version: str) -> None:
        """What became of specs in the run that is resumed. Raises OrdealError: it was of another version."""
        taken = resumable(earlier, version, {key: test for key, (_, test) in self._planned.items()})
        for each in taken:
            if each.output:
                target = self.folder / each.id / OUTPUT
                with suppress(OrdealError), earlier.file(each.output) as source:  # its text is not there any more
                    place(target, source.read(), within=self._results.directory)
            self._rows[each.id] = each
        self._results.add_specs(taken)
        self._report(f"{len(taken)} specs had ended in the run {earlier.id} and are not run again")


def shown(result: SpecResult, root: Path) -> str:
    """For a reader: what became of it, upstream's message first, then where there is more to read.

    `root`: the run's folder. What says nothing of the cluster is called unknown.
    """
    what = result.said if result.state in BROKEN else f"unknown, {result.said}"
    files = [f"its output: {root / result.output}"] if result.output else []
    files += [f"its pods: {root / path}" for path in result.pods]
    return "\n".join([f"{what}: {result.message}" if result.message else what, *files])


def resumable(earlier: SavedRun, version: str, tests: Mapping[str, str]) -> tuple[SpecResult, ...]:
    """The specs of an earlier run that had ended, as this run's. `tests`: this run's tests, by spec id.

    Raises OrdealError where the earlier run was of another version.
    """
    ran = [s for s in earlier.own_specs if s.state != LOST and s.id in tests]
    others = sorted({s.kubernetes for s in ran} - {version})
    if others:
        raise OrdealError(
            f"the run {earlier.id} had specs of Kubernetes {', '.join(others)} and this one has those of {version}: "
            f"leave --ordeal-resume out"
        )
    last = {s.id: s for s in ran}
    return tuple(
        SpecResult(
            tests[s.id], ALONE, s.id, s.spec, s.area, s.state, s.took_s, s.kubernetes, s.message, s.tries,
            f"{FOLDER}/{s.id}/{OUTPUT}" if s.output else "",
        )
        for s in last.values()
    )  # fmt: skip
