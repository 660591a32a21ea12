"""What the activities of one `chaos run` share: the lab, the recording, the faults in place, the first problem.

Chaos Toolkit calls one plain function after another and hands nothing from one to the next. What must live between
them is therefore kept in this one place, `SESSION`, and nowhere else. A module's variable is right for it, because
Chaos Toolkit runs one experiment a process, in the main thread. It is safe, because nothing that must survive the
process is in it: that is in the journal on disk, and the next start undoes it from there.
"""

import atexit
import logging
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, Final, ParamSpec, TypeVar

from chaos.basics.files import PRIVATE
from chaos.basics.scrub import scrub
from chaos.basics.visible import line, lines
from chaos.clusters.base import EXISTING, KIND, SIMULATED, Cluster, Node
from chaos.clusters.existing import cluster as existing
from chaos.clusters.shape import Shape
from chaos.clusters.way import kubeconfig_files
from chaos.errors import OrdealError
from chaos.harm import load_all
from chaos.harm.base import Fault, Plan, inject
from chaos.hosts.bundles import DEFAULT_KUBERNETES, normal_version
from chaos.hosts.ownership import hand_back
from chaos.hosts.places import journals_dir
from chaos.judge.base import Verdict
from chaos.judge.catalogue import Incident
from chaos.judge.catalogue import find as find_incident
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.results.results import Outcome, Results
from chaos.run import undo
from chaos.run.claim import claimed
from chaos.run.lab import Lab, Workload
from chaos.run.pool import Pool, Wishes, check_name
from chaos.run.profile import find as find_profile
from chaos.run.verdict import outcome_of
from chaos.setup import room
from chaos.workloads.web import Deployed

P = ParamSpec("P")
R = TypeVar("R")
Configuration = Mapping[str, object]

HARDENED = "hardened"
YES, NO = ("true", "yes", "1"), ("", "false", "no", "0")  # what an environment's variable may say of a switch
logger = logging.getLogger("chaostoolkit")  # so that our lines stand among Chaos Toolkit's own


def say(told: str) -> None:
    """A line among them, whatever is in it."""
    logger.info("%s", line(told))


def shown(record: logging.LogRecord) -> bool:
    """A filter for Chaos Toolkit's log: what clusters and programs said is visible in it, without secrets.

    Chaos Toolkit itself writes there what activities raise, with tracebacks.
    """
    record.msg, record.args = lines(scrub(record.getMessage())), ()
    if record.exc_info and not record.exc_text:
        record.exc_text = lines(scrub(logging.Formatter().formatException(record.exc_info)))
    return True


logger.addFilter(shown)


def close_log() -> None:
    """Let only their owner read the files of that log: Chaos Toolkit made them before anything of ours was there."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            os.fchmod(handler.stream.fileno(), PRIVATE)


# For the experiments that a user writes: our faults and probes, without a claim of ours.
OWN = Incident("own-experiment", "An experiment of your own", "", "", "", "", "", controls=())


@dataclass(frozen=True, slots=True)
class Settings:
    """The keys of an experiment's `configuration` that are ours; each may be missing or empty."""

    incident: str = ""
    control: str = ""
    cluster: str = EXISTING
    kubeconfig: str = ""
    context: str = ""
    profile: str = "smoke"
    kubernetes: str = DEFAULT_KUBERNETES
    cluster_name: str = ""
    keep_cluster: str = ""
    busybox_image: str = ""
    results: str = "results"
    eviction_deadline_s: str = ""
    undo: str = ""

    @classmethod
    def of(cls, configuration: Configuration | None) -> "Settings":
        """From what Chaos Toolkit hands over; other keys are the user's own. Raises OrdealError."""
        given = {f.name: (configuration or {}).get(f.name) for f in fields(cls)}
        found = cls(**{name: str(value) for name, value in given.items() if value not in (None, "")})
        if found.cluster not in {EXISTING, KIND, SIMULATED}:
            raise OrdealError(
                f"the configuration's `cluster` is {found.cluster!r}; it may be {EXISTING}, {KIND} or {SIMULATED}"
            )
        for name in ("keep_cluster", "undo"):
            if getattr(found, name).lower() not in {*YES, *NO}:
                value = getattr(found, name)
                raise OrdealError(f"the configuration's `{name}` is {value!r}; it may be true or false")
        return found

    @property
    def keeps(self) -> bool:
        """Whether a cluster that is made here is there for the next run too."""
        return self.keep_cluster.lower() in YES

    def wishes(self) -> Wishes:
        """What the pool of clusters wants to know. An existing cluster is found as kubectl finds it."""
        used, context = None, ""
        if self.cluster == EXISTING:  # experiments have their `kubeconfig` from the variable, which may name several
            named = {kubeconfig_files.VARIABLE: self.kubeconfig} if self.kubeconfig else {}
            used, context = kubeconfig_files.find(None, self.context, {**os.environ, **named})
        else:
            check_name(self.cluster_name)
        return Wishes(
            kubernetes=normal_version(self.kubernetes),
            name=self.cluster_name,
            keep=self.keeps,
            kubeconfig=used,
            context=context,
            busybox_image=self.busybox_image,
        )

    def replayed(self) -> Incident:
        """The incident that the experiment replays. Raises OrdealError where it, or its control, is not known."""
        incident = find_incident(self.incident) if self.incident else OWN
        known = [c.id for c in incident.controls]
        if self.control and self.control not in known:
            raise OrdealError(
                f"{incident.id} has no control {self.control!r}; it has {', '.join(known) if known else 'none'}"
            )
        return incident


class _Run:
    """A session that is open: what pytest's plugin has for a run and a test, for one `chaos run`."""

    def __init__(self, settings: Settings) -> None:
        profile, incident, wishes = find_profile(settings.profile), settings.replayed(), settings.wishes()
        load_all()
        if wishes.kubeconfig is not None:
            existing.check(wishes.kubeconfig, wishes.context)
        run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
        if settings.undo.lower() not in YES:
            undo.require_nothing_left(run, "say `undo: true` in the configuration")
        undo.undo_all(say, undo.Allowed(existing=True, run=run))
        close_log()
        self.id, self.settings = run, settings
        self.results = Results(
            Path(settings.results),
            run,
            {"cluster": settings.cluster, "profile": profile.name, "kubernetes": wishes.kubernetes, "by": "chaos run"},
        )
        room.check(room.look(Path(settings.results), {settings.cluster}, replays=1), say)
        self.journal = Journal(journals_dir() / f"{run}.jsonl")
        self.pool = Pool(wishes, self.journal, run, say)
        self.lab = Lab(
            incident,
            settings.control or None,
            settings.cluster,
            profile,
            needs=(),
            pool=self.pool,
            journal=self.journal,
            run=run,
            directory=self.results.directory / incident.id,
            report=say,
        )
        self.lost = ""  # who has the cluster now, where another run took it
        self.claim = ExitStack()
        if wishes.kubeconfig is not None:
            self.claim.enter_context(claimed(wishes.kubeconfig, wishes.context, run, self._note_loss))
        self.test = f"chaos run {incident.id}"
        self.results.begin(
            self.test, incident.id, cluster=settings.cluster, profile=profile.name, control=settings.control
        )
        self.history: History | None = None
        self.recording: ExitStack | None = None
        self.faults: dict[str, list[ExitStack]] = {}
        self.begun: dict[str, ExitStack] = {}
        self.deployed: list[Deployed] = []
        self.outcome: Outcome | None = None
        self.nodes: tuple[Node, ...] = ()

    def _note_loss(self, to: str) -> None:
        self.lost = f"the cluster was claimed by {to} in the middle"


class Session:
    """The one `chaos run` of this process. Closed it costs nothing; the first activity opens it."""

    def __init__(self) -> None:
        self.problem = ""  # the first thing that went wrong: the verdict is unknown from then on
        self._run: _Run | None = None
        self._lock = threading.Lock()

    # --- opening and closing

    def open(self, configuration: Configuration | None = None) -> "Session":
        """Open it, if it is not: undo what earlier runs left behind, begin results and journal. Raises OrdealError."""
        with self._lock:
            if self._run is None:
                self._run = _Run(Settings.of(configuration))
        return self

    @property
    def is_open(self) -> bool:
        """Whether an activity has opened it."""
        return self._run is not None

    def note(self, problem: str) -> None:
        """Something went wrong. The first problem is kept, because it explains the others."""
        self.problem = self.problem or problem

    def close(self, problem: str = "") -> tuple[Outcome | None, str]:
        """Take back all that is still there, write the results, forget everything.

        Returns the outcome, None where nothing was to be judged, and the first problem. Nothing is raised: what could
        not be taken back is the problem, makes the outcome unknown, and stays in the journal.
        """
        self.note(problem)
        run = self._run
        try:
            outcome = None if run is None else self._wind_up(run)
            return outcome, self.problem
        finally:
            self._run, self.problem = None, ""
            kubeconfig_files.sweep(ended=True)
            hand_back()

    def _wind_up(self, run: "_Run") -> Outcome | None:
        self._tried(self.take_back_all)
        self._tried(self.stop_recording)
        self._tried(self.clean_up)
        self._tried(run.journal.close)
        if run.journal.path.exists():  # something stayed; now that the journal is free, it is tried once more
            self._tried(lambda: undo.undo_all(say, undo.Allowed(run=run.id)))
        self._tried(run.claim.close)
        self.note(run.lost)
        outcome = run.outcome
        if outcome is None:
            self._tried(lambda: run.results.skip(run.test, "nothing was to be judged"))
        else:
            if self.problem:
                outcome = replace(outcome, verdict=Verdict.UNKNOWN, passed=False, why=self.problem)
            told = outcome
            self._tried(lambda: run.results.add(told))
        run.history = None  # the page reads it from disk: a large one is not to be in memory twice
        from chaos.report.close import close  # noqa: PLC0415  (the page's libraries are not for what only lists)

        close(run.results.directory, say)
        return outcome

    # --- what activities use

    @property
    def lab(self) -> Lab:
        """The lab. Raises OrdealError where no activity has opened the session."""
        return self._opened.lab

    @property
    def settings(self) -> Settings:
        """The experiment's settings. Raises OrdealError where no activity has opened the session."""
        return self._opened.settings

    @property
    def history(self) -> History:
        """What was recorded, or is being. Raises OrdealError where nothing was."""
        history = self._opened.history
        if history is None:
            raise OrdealError("nothing was recorded: run the action start_recording before the faults")
        return history

    def cluster(self) -> Cluster:
        """The cluster in use; where no activity chose one, the one that the configuration names."""
        return self.lab.used_cluster or self.lab.cluster(Shape(timers=self.lab.timers))

    def nodes(self) -> tuple[Node, ...]:
        """The nodes as they were when they were first asked for: their names are needed while no API server answers."""
        run = self._opened
        run.nodes = run.nodes or self.cluster().nodes()
        return run.nodes

    def deploy(self, workload: Workload) -> Deployed:
        """Put a workload on the cluster and wait until it is Ready."""
        deployed = self.lab.deploy(workload)
        self._opened.deployed.append(deployed)
        return deployed

    def workload(self, name: str = "") -> Deployed:
        """The workload of that name, or the last one. Raises OrdealError where there is none."""
        found = [d for d in self._opened.deployed if name in {"", d.name}]
        if not found:
            raise OrdealError(f"no workload {name!r} was deployed: run the action deploy_web first")
        return found[-1]

    @property
    def has_workload(self) -> bool:
        """Whether one was deployed and not removed since."""
        return bool(self._opened.deployed)

    def remove_workloads(self) -> int:
        """Remove what was deployed; harmless where nothing is. Returns how many."""
        if self._run is None:
            return 0
        self._run.deployed.clear()
        return self._run.lab.remove_workloads()

    def start_recording(self, probe: Deployed | None) -> None:
        """Record nodes, pods and events, and probe the Service where one is given, until `stop_recording`."""
        run = self._opened
        if run.recording is not None:
            raise OrdealError("it is being recorded already: run the action stop_recording first")
        run.recording = ExitStack()
        try:
            run.history = run.recording.enter_context(self.lab.record(probe))
        except Exception:
            run.recording = None
            raise

    def while_recording(self, context: AbstractContextManager[object]) -> None:
        """Enter a context that lasts as long as the recording. Raises OrdealError where there is none."""
        if self._opened.recording is None:
            raise OrdealError("nothing is being recorded: run the action start_recording first")
        self._opened.recording.enter_context(context)

    def begin(self, name: str, context: AbstractContextManager[object]) -> None:
        """Enter a context that lasts until `end` of that name, or as long as the recording. Raises OrdealError."""
        if name in self._opened.begun:
            raise OrdealError(f"{name} has begun already")
        inner = ExitStack()
        inner.enter_context(context)
        self.while_recording(inner)
        self._opened.begun[name] = inner

    def end(self, name: str) -> bool:
        """Leave the context that `begin` entered; False where there is none."""
        inner = self._run.begun.pop(name, None) if self._run is not None else None
        if inner is not None:
            inner.close()
        return inner is not None

    @property
    def is_recording(self) -> bool:
        """Whether a recording is on."""
        return self._run is not None and self._run.recording is not None

    def stop_recording(self) -> bool:
        """End the recording once all is seen. False where nothing was being recorded."""
        if self._run is None or self._run.recording is None:
            return False
        recording, self._run.recording = self._run.recording, None
        self._run.begun.clear()  # they end with it
        recording.close()
        return True

    def inject(self, fault: Fault[Plan]) -> Plan:
        """Do harm that lasts until it is taken back. Returns what undo will use. Raises FaultError, OrdealError."""
        run = self._opened
        cluster = self.cluster()
        stack = ExitStack()  # kept before it is entered: whatever interrupts this, what was done is found again
        run.faults.setdefault(fault.kind, []).append(stack)
        # Without a recording the experiment measures by its own means; our invariants would find nothing to judge.
        unrecorded = inject(fault, cluster, run.journal, History())
        try:
            return stack.enter_context(unrecorded if run.recording is None else self.lab.inject(fault))
        except Exception:
            run.faults[fault.kind].remove(stack)  # it was taken back, or stays in the journal
            raise

    def take_back(self, kind: str) -> int:
        """Undo every fault of that kind, the last one first; harmless where there is none. Returns how many there were.

        Each is tried. Raises FaultError where one could not be undone; it then stays in the journal.
        """
        stacks = self._run.faults.pop(kind, []) if self._run is not None else []
        with ExitStack() as all_of_them:
            for stack in stacks:
                all_of_them.callback(stack.close)
        return len(stacks)

    def take_back_all(self) -> None:
        """Undo every fault that is in place. Each is tried; the first error is raised at the end."""
        kinds = list(self._run.faults) if self._run is not None else []
        with ExitStack() as stack:
            for kind in kinds:
                stack.callback(self.take_back, kind)

    @property
    def in_place(self) -> tuple[str, ...]:
        """The kinds of the faults that are in place now."""
        return tuple(kind for kind, stacks in self._run.faults.items() if stacks) if self._run is not None else ()

    def verdict(self) -> Outcome:
        """The verdict by all that was judged so far. Unknown where anything went wrong, or harm is still in place."""
        run = self._opened
        if self.in_place:
            self.note(f"the verdict was asked for while {', '.join(self.in_place)} was in place")
        run.outcome = self._concluded()
        return run.outcome

    def clean_up(self) -> None:
        """Remove workloads, and delete the cluster that was made for this run, unless it is to be kept and is sound.

        Raises the first error at the end.
        """
        run = self._run
        if run is None:
            return
        if run.outcome is None and (run.lab.incident is not OWN or run.lab.findings or self.problem):
            run.outcome = self._concluded()  # while the cluster can still be asked for its facts
        with ExitStack() as stack:
            stack.callback(run.pool.close)
            if run.settings.cluster == EXISTING:
                stack.callback(self.remove_workloads)
                return
            run.deployed.clear()
            if run.settings.keeps:
                stack.callback(run.lab.clean_up)
            else:
                run.lab.forget_workloads()  # they go with their cluster

    def results_path(self) -> Path:
        """The results file of this run."""
        return self._opened.results.path

    @property
    def _opened(self) -> _Run:
        if self._run is None:
            raise OrdealError("no cluster was chosen: run the action use_cluster first")
        return self._run

    def _concluded(self) -> Outcome:
        return outcome_of(self.lab, self._opened.test, self.problem)

    def _tried(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001  (the other steps must be tried too; the problem is in the outcome)
            logger.error("%s", error)  # noqa: TRY400  (a sentence, no traceback)
            self.note(str(error))


SESSION: Final = Session()
atexit.register(SESSION.close)


def by_variant(value: object, control: str | None) -> Any:
    """A mapping with the key "hardened" is a choice: the value of the control that is on, else the hardened one."""
    if isinstance(value, Mapping) and HARDENED in value:
        return value.get(control or HARDENED, value[HARDENED])
    return value


def activity(function: Callable[P, R]) -> Callable[P, R]:
    """Make an activity of a function: it is not begun after an earlier one failed, and its own failure is kept.

    Chaos Toolkit goes on with the method after a failed action; a fault that did not land must not be held, nor judged.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        name = function.__name__
        if SESSION.problem:
            raise OrdealError(f"{name} was not done, because something failed before: {SESSION.problem}")
        with _watched(name):
            return function(*args, **kwargs)

    return run


def always(function: Callable[P, R]) -> Callable[P, R]:
    """Make an activity of a function that puts something right: it is done whatever failed before."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with _watched(function.__name__):
            return function(*args, **kwargs)

    return run


@contextmanager
def _watched(name: str) -> Iterator[None]:
    """Note a failure. SIGTERM ends the activity: Chaos Toolkit's own handler raises what counts as a failure there."""
    if threading.current_thread() is not threading.main_thread():
        SESSION.note(f"{name} was started in the background")
        raise OrdealError(f"{name} can't run in the background: take `background: true` out of the experiment")

    def ended(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    except Exception as error:
        SESSION.note(f"{name}: {error}")
        raise
    except BaseException:
        SESSION.note(f"the run was interrupted in {name}")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
