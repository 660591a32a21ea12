"""Running specs in e2e.test processes: an outcome for each spec, as it ends."""

import fcntl
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from chaos.basics.files import appended
from chaos.basics.progress import Report, silent
from chaos.clusters.way.client import api_client, raw_list
from chaos.conformance import leftovers
from chaos.conformance.api_watch import ApiWatch
from chaos.conformance.listing import Listing, listing
from chaos.conformance.outcome import Reason, SpecOutcome, State
from chaos.conformance.process import ClusterUnderTest, EndedError, NotStartedError, ProgramProcess
from chaos.conformance.program import E2eProgram
from chaos.conformance.spec import Spec
from chaos.conformance.verdicts import outcome, unknown
from chaos.errors import OrdealError

OnOutcome = Callable[[SpecOutcome], None]
TIMEOUT_S = 900.0
API_BACK_WITHIN_S = 60.0
STARTS = 2  # so often in a row it may not start before the rest is given up
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """How specs are run: each spec's time, how many side by side, and how often one that failed is run again.

    `lock`: a file through which several programs that test one cluster keep serial specs alone.
    """

    timeout_s: float = TIMEOUT_S
    processes: int = 1
    retries: int = 0
    flags: tuple[str, ...] = ()
    lock: Path | None = None


def run(
    program: E2eProgram,
    specs: Sequence[Spec],
    kubeconfig: Path,
    on_outcome: OnOutcome,
    workdir: Path,
    *,
    context: str = "",
    timeout_s: float = TIMEOUT_S,
    processes: int = 1,
    flags: Sequence[str] = (),
) -> tuple[SpecOutcome, ...]:
    """Run the specs on the cluster of that kubeconfig; one outcome each, in the order of `specs`.

    `on_outcome` is called as each spec ends, from another thread, one call at a time. Up to `processes` specs run side
    by side; those that are serial come last, alone. `timeout_s` is for each spec, `flags` are further ones of e2e.test.
    A crash or a hang is laid to the spec in flight, and the rest goes on in a new process; `workdir` takes the
    processes' own output. Raises OrdealError only for what is wrong before the first spec: a spec that e2e.test does
    not have, a kubeconfig that can't be read.
    """
    settings = RunnerSettings(timeout_s, processes, flags=tuple(flags))
    with Runner(program, listing(program), kubeconfig, on_outcome, workdir, settings, context=context) as runner:
        runner.submit(specs)
        return tuple(runner.outcome_of(spec) for spec in specs)


class Runner:
    """Runs what is submitted, and keeps each outcome for who asks for it. A context manager: its end stops all."""

    def __init__(
        self,
        program: E2eProgram,
        known: Listing,
        kubeconfig: Path,
        on_outcome: OnOutcome,
        workdir: Path,
        settings: RunnerSettings,
        *,
        context: str = "",
        planned: Sequence[Spec] = (),
        report: Report = silent,
    ) -> None:
        """`planned`: serial specs that may be submitted one by one later; one process serves them all.

        Raises OrdealError where the kubeconfig can't be used.
        """
        self._program, self._listing, self._on_outcome, self._work = program, known, on_outcome, workdir
        self._settings, self._report = settings, report
        self._target = ClusterUnderTest(kubeconfig, context, settings.flags)
        self._planned = [s for s in known.in_order(planned) if known.serial(s)]
        self._watch = ApiWatch(kubeconfig, context)
        self._state = threading.Condition()
        self._side_by_side: deque[Spec] = deque()
        self._serial: deque[Spec] = deque()
        self._running = 0
        self._outcomes: dict[str, SpecOutcome] = {}
        self._submitted: set[str] = set()
        self._over = False
        self._not_started = 0
        self._gave_up = ""
        self._default_class: bool | None = None
        self._names = itertools.count(1)
        self._live: set[ProgramProcess] = set()
        self._threads = [
            threading.Thread(target=self._work_off, args=(n == 0,), name=f"e2e-{n}", daemon=True)
            for n in range(max(1, settings.processes))
        ]

    def __enter__(self) -> Self:
        self._watch.__enter__()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Specs in flight are interrupted, and take away what they have made."""
        with self._state:
            self._over = True
            live = tuple(self._live)
            self._state.notify_all()
        for process in live:
            process.interrupt()
        for thread in self._threads:
            thread.join()
        self._watch.__exit__(kind, error, at)

    def submit(self, specs: Sequence[Spec]) -> None:
        """Have them run, in that order, the serial ones after the others. Raises OrdealError for an unknown spec."""
        ordered = self._listing.in_order(specs)
        with self._state:
            for spec in ordered:
                if spec.id not in self._submitted:
                    self._submitted.add(spec.id)
                    (self._serial if self._listing.serial(spec) else self._side_by_side).append(spec)
            self._planned = [s for s in self._listing.in_order([*self._planned, *ordered]) if self._listing.serial(s)]
            self._state.notify_all()

    def outcome_of(self, spec: Spec) -> SpecOutcome:
        """What became of a spec that was submitted; waits for its end."""
        with self._state:
            self._state.wait_for(lambda: spec.id in self._outcomes or self._over)
            found = self._outcomes.get(spec.id)
        return found or unknown(spec, Reason.NOT_STARTED, "The run was ended before this spec.")

    @property
    def left(self) -> tuple[Spec, ...]:
        """Those that were submitted and have no outcome yet, but for those in flight."""
        with self._state:
            return (*self._side_by_side, *self._serial)

    # --- each thread

    def _work_off(self, first: bool) -> None:
        process: ProgramProcess | None = None
        try:
            while (spec := self._next(first, idle=process is None)) is not None or process is not None:
                if spec is None:  # nothing more for now: what it has made is taken away, and its memory given back
                    self._end(process)
                    process = None
                    continue
                process = self._take(spec, process)
        except BaseException as error:
            with self._state:  # nobody may wait for ever
                self._over, self._gave_up = True, f"the runner itself failed: {error!r}"
                self._state.notify_all()
            raise
        finally:
            self._end(process)

    def _next(self, first: bool, *, idle: bool) -> Spec | None:
        """The next spec for this thread; None where it is to end its process, or, being idle, itself.

        Serial ones are the first thread's, once nothing else is left or running.
        """

        def ready() -> bool:
            if self._over or self._side_by_side:
                return True
            return bool(first and self._serial and not self._running)

        with self._state:
            if not ready() and not idle and not self._submitting_one_by_one:
                return None
            self._state.wait_for(ready)
            if self._over:
                return None
            self._running += 1
            return (self._side_by_side or self._serial).popleft()

    @property
    def _submitting_one_by_one(self) -> bool:
        """Whether more may come: then a process is kept."""
        return len(self._threads) == 1

    def _take(self, spec: Spec, process: ProgramProcess | None) -> ProgramProcess | None:
        """Run a spec, in the process there is or in a new one; returns the process that can take the next."""
        serial = self._listing.serial(spec)
        if process is not None and not process.can_run(spec):
            self._end(process)
            process = None
        try:
            with self._alone(serial):
                if process is None:
                    process = self._new(spec if serial else None)
                found, process = self._run(spec, process)
                if found[spec.id].state is State.FAILED and self._settings.retries:
                    found[spec.id], process = self._again(spec, found[spec.id], process)
        finally:
            with self._state:
                self._running -= 1
                self._state.notify_all()
        self._tell(found)
        return process

    def _again(
        self, spec: Spec, failed: SpecOutcome, process: ProgramProcess | None
    ) -> tuple[SpecOutcome, ProgramProcess | None]:
        """Run a failed spec again. One that passes then is flaky, and says what the first failure was."""
        last = failed
        for attempt in range(2, self._settings.retries + 2):
            serial = self._listing.serial(spec)
            if serial or process is None or not process.can_run(spec):
                self._end(process)
                process = self._new(spec if serial else None)
            found, process = self._run(spec, process)
            last = replace(found[spec.id], attempts=attempt)
            if last.state is not State.FAILED:
                break
        if last.state is State.PASSED:
            last = replace(last, message=f"Passed at attempt {last.attempts}; the first said: {failed.message}")
        return last, process

    def _run(self, spec: Spec, process: ProgramProcess) -> tuple[dict[str, SpecOutcome], ProgramProcess | None]:
        """Outcomes by spec id, and the process if it is still there."""
        if self._gave_up:
            return {spec.id: unknown(spec, Reason.NOT_STARTED, self._gave_up)}, process
        if not self._watch.answers(0.0 if self._not_started else API_BACK_WITHIN_S):
            self._not_started += 1
            return {spec.id: unknown(spec, Reason.API_AWAY, self._away(None))}, process
        began = time.monotonic()
        try:
            reports = process.run(spec, self._settings.timeout_s)
        except NotStartedError as error:
            return {spec.id: self._unstarted(spec, error, began)}, None
        except EndedError as error:
            return {spec.id: self._ended(spec, error, process, began)}, None
        self._not_started = 0
        by_text = {r.text: r for r in reports}
        members = [s for s in self._listing.group(spec) if s.text in by_text]
        found = {s.id: outcome(s, by_text[s.text], default_class=self._has_default_class()) for s in members}
        away_s = self._watch.away_s(began, time.monotonic())
        if away_s:
            found = {key: self._while_away(each, away_s) for key, each in found.items()}
        return {spec.id: unknown(spec, Reason.CRASHED, "e2e.test said nothing of it."), **found}, process

    def _unstarted(self, spec: Spec, error: NotStartedError, began: float) -> SpecOutcome:
        away_s = self._watch.away_s(began, time.monotonic())
        self._not_started += 1
        if self._not_started >= STARTS and not away_s:
            self._gave_up = str(error)
        reason = Reason.API_AWAY if away_s else Reason.NOT_STARTED
        return unknown(spec, reason, f"{self._away(away_s)} {error}" if away_s else str(error))

    def _ended(self, spec: Spec, error: EndedError, process: ProgramProcess, began: float) -> SpecOutcome:
        """The process is gone: what it made is taken away from here."""
        until = time.monotonic()
        away_s = self._watch.away_s(began, until)
        report = next((r for r in error.reports if r.text == spec.text), None)
        said = f"{error}" + (f"\n{report.message}" if report and report.message else "")
        if away_s:
            reason, said = Reason.API_AWAY, f"{self._away(away_s)} {said}"
        else:
            reason = Reason.HUNG if error.hung else Reason.CRASHED
        left = leftovers.remove(self._target.kubeconfig, self._target.context, process.manager)
        if left:
            self._report(f"took away what the ended e2e.test had left: {', '.join(left)}")
        return unknown(spec, reason, said, took_s=until - began, output=report.output if report else "")

    def _while_away(self, each: SpecOutcome, away_s: float) -> SpecOutcome:
        """One that failed while the API server was away says nothing of what it tests; one that passed has passed."""
        if each.state is not State.FAILED:
            return each
        return replace(
            each, state=State.UNKNOWN, reason=Reason.API_AWAY, message=f"{each.message}\n{self._away(away_s)}"
        )

    def _away(self, away_s: float | None) -> str:
        span = f" for {away_s:.0f} s while it ran" if away_s else ""
        return f"The API server did not answer{span} ({self._watch.why})."

    def _new(self, serial: Spec | None) -> ProgramProcess:
        rest: Sequence[Spec] = ()
        if serial is not None:
            with self._state:
                rest = self._planned[self._planned.index(serial) :]
        name = f"{int(time.time()) % 10**6:06d}-{next(self._names)}"
        process = ProgramProcess(self._program, self._listing, self._target, self._work / name, rest)
        with self._state:
            self._live.add(process)
        return process

    def _end(self, process: ProgramProcess | None) -> None:
        if process is not None:
            with self._state:
                self._live.discard(process)
            process.end()

    def _tell(self, found: dict[str, SpecOutcome]) -> None:
        with self._state:
            if self._over:  # it was interrupted: that says nothing of the spec
                return
            for spec_id, each in found.items():
                if spec_id in self._submitted and spec_id not in self._outcomes:
                    self._outcomes[spec_id] = each
                    self._on_outcome(each)
            self._drop_known()
            self._state.notify_all()

    def _drop_known(self) -> None:
        """Those that were run together with another one need not be run again."""
        for waiting in (self._side_by_side, self._serial):
            for spec in [s for s in waiting if s.id in self._outcomes]:
                waiting.remove(spec)

    @contextmanager
    def _alone(self, serial: bool) -> Iterator[None]:
        """Serial: while no other program runs a spec on this cluster; else: while none runs a serial one."""
        if self._settings.lock is None:
            yield
            return
        self._settings.lock.parent.mkdir(parents=True, exist_ok=True)
        with appended(self._settings.lock) as held:
            fcntl.flock(held, fcntl.LOCK_EX if serial else fcntl.LOCK_SH)
            yield

    def _has_default_class(self) -> bool:
        if self._default_class is None:
            self._default_class = has_default_class(self._target.kubeconfig, self._target.context)
        return self._default_class


def has_default_class(kubeconfig: Path, context: str = "") -> bool:
    """Whether the cluster has a default StorageClass; True where it does not say."""
    client = api_client(kubeconfig, context)
    try:
        classes = raw_list(client, "/apis/storage.k8s.io/v1/storageclasses")
        return any((each["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true" for each in classes)
    except (ApiException, HTTPError, OSError, AttributeError):
        return True
    finally:
        client.close()  # type: ignore[no-untyped-call]


__all__ = ["OrdealError", "Runner", "RunnerSettings", "has_default_class", "run"]
