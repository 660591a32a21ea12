"""What the activities of one `chaos run` share: run, lab, recording, the faults in place, the first problem.

Chaos Toolkit calls one plain function after another and hands nothing from one to the next. What must live between
them is therefore kept in this one place, `SESSION`, and nowhere else. A module's variable is right for it, because
Chaos Toolkit runs one experiment a process, in the main thread. It is safe, because nothing that must survive the
process is in it: that is in the journal on disk, and the next start undoes it from there.
"""

import atexit
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial, wraps
from pathlib import Path
from types import FrameType
from typing import Any, Final, ParamSpec, TypeVar

from chaos.clusters.base import EXISTING, Cluster, Node
from chaos.clusters.shape import Shape
from chaos.clusters.way import kubeconfig_files
from chaos.errors import OrdealError
from chaos.exports.exports import exports_of
from chaos.harm.base import Fault, Plan, inject
from chaos.hosts import places
from chaos.hosts.ownership import hand_back
from chaos.judge.base import Verdict
from chaos.record.history import History
from chaos.results.results import Outcome
from chaos.run import case, suites, undo
from chaos.run.case import AUTO, Case
from chaos.run.incident import Replay
from chaos.run.lab import Lab
from chaos.run.stage import Workload
from chaos.run.verdict import outcome_of
from chaos.session.run import Concluded, Run, claim, settle, wish_of
from chaos.toolkit.log import close_log, logger, say
from chaos.toolkit.settings import OWN, Configuration, Settings, settings
from chaos.workloads.web import Deployed

P = ParamSpec("P")
R = TypeVar("R")

HARDENED = "hardened"
HOW_TO_UNDO = "say `undo: true` in the configuration"


class _Open:
    """A session that is open: a run, and the one story that is told in it, by a suite or by the experiment itself."""

    def __init__(self, asked: Settings) -> None:
        run, self.lost = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}", ""
        places.check()
        with ExitStack() as claims:
            self.exports = exports_of(asked.options, os.environ)
            settle(asked.options, run, say, HOW_TO_UNDO)
            claims.enter_context(claim(asked.options, run, self._note_loss))
            how = {"how_to_undo": HOW_TO_UNDO}
            self.run = Run(asked.options, run, say, **how, stopped=self._note_stop, facts={"by": "chaos run"})
            self.run.require_consent()
            self.run.require_power()
            self.run.require_room({asked.options.cluster}, 1, say)
            close_log()
            self.claims = claims.pop_all()
        self.asked = asked
        self.test = ""  # what the story is called in the results, once it is told
        self.lab: Lab | None = None  # of a story that the experiment itself tells
        self.history: History | None = None
        self.recording: ExitStack | None = None
        self.faults: dict[str, list[ExitStack]] = {}
        self.deployed: list[Deployed] = []
        self.outcome: Outcome | None = None
        self.nodes: tuple[Node, ...] = ()

    def begin(self) -> Lab:
        """Begin a story that the experiment tells. Raises OrdealError where a suite's is told already."""
        if self.test:
            raise OrdealError("this experiment replays an incident, which is all of its story: take other steps out")
        incident, control = self.asked.incident, self.asked.control
        self.test = f"chaos run {incident.id}"
        story, this = Replay(incident, (), (), (), ""), Case(self.asked.options.cluster, control or None)
        profile = self.run.profile.name
        self.run.results.begin(self.test, incident.id, cluster=this.cluster, profile=profile, control=control)
        return self.run.lab(story, this, incident.id, is_suite=False)

    def _note_stop(self, why: str) -> None:
        self.lost = f"stopped: {why}"

    def _note_loss(self, to: str) -> None:
        self.lost = f"the cluster was claimed by {to} in the middle"


class Session:
    """The one `chaos run` of this process. Closed it costs nothing; the first activity opens it."""

    def __init__(self) -> None:
        self.problem = ""  # the first thing that went wrong: the verdict is unknown from then on
        self._open: _Open | None = None

    # --- opening and closing

    def open(self, configuration: Configuration | None = None) -> "Session":
        """Open it, if it is not: undo what earlier runs left behind, begin results and journal. Raises OrdealError."""
        if self._open is None:
            self._open = _Open(settings(configuration))
        return self

    @property
    def is_open(self) -> bool:
        """Whether an activity has opened it."""
        return self._open is not None

    def note(self, problem: str) -> None:
        """Something went wrong. The first problem is kept, because it explains the others."""
        self.problem = self.problem or problem

    def close(self, problem: str = "") -> tuple[Outcome | None, str]:
        """Take back all that is still there, write the results, forget everything.

        Returns the outcome, None where nothing was to be judged, and the first problem. Nothing is raised: what could
        not be taken back is the problem, makes the outcome unknown, and stays in the journal.
        """
        self.note(problem)
        opened = self._open
        try:
            outcome = None if opened is None else self._wind_up(opened)
            return outcome, self.problem
        finally:
            self._open, self.problem = None, ""
            kubeconfig_files.sweep(ended=True)
            hand_back()

    def _wind_up(self, opened: _Open) -> Outcome | None:
        run = opened.run
        for step in (self.take_back_all, self.stop_recording, self.clean_up, run.close):
            self._tried(step)
        if run.journal.path.exists():  # something stayed; now that the journal is free, it is tried once more
            self._tried(lambda: undo.undo_all(say, undo.Permission(run=run.id)))
        self._tried(opened.claims.close)
        self.note(opened.lost)
        outcome = opened.outcome
        if outcome is not None:
            outcome = told = self._unless_failed(outcome)
            self._tried(lambda: run.results.add(told, instead=True))  # that of a replay is there already
        elif opened.lab is not None:
            self._tried(lambda: run.results.skip(opened.test, "nothing was to be judged"))
        opened.history = None  # the page reads it from disk: a large one is not to be in memory twice
        from chaos.report.close import close  # noqa: PLC0415  (the page's libraries are not for what only lists)

        close(run.results.directory, say)
        for each in opened.exports.run_ended(run.results.directory):
            say(each)
        return outcome

    # --- an incident

    def replay(self, incident: str, variant: str | None, asked: Settings) -> Outcome:
        """Replay an incident by its suite's own function, as pytest does. Raises OrdealError where there is no such
        function, or it can't be told here.
        """
        suite = suites.find(incident, variant, asked.control)
        there = case.kinds(suite.replay, asked.cluster or AUTO)
        if not there:
            raise OrdealError(case.why_not(suite.replay, asked.cluster))
        this = Case(there[0], asked.control or None)
        if self._open is not None:
            raise OrdealError("an experiment that replays an incident has that one step, before any other of ours")
        options = replace(asked.options, cluster=this.cluster)
        opened = self._open = _Open(replace(asked, options=options))
        opened.test = f"suites/{suite.test}[{this}]"
        run, judged = opened.run, Concluded()
        try:
            with (
                run.replaying(suite.replay, this, opened.test, conform=wish_of(options)) as lab,
                run.judging(lab, opened.test, judged=judged),
            ):
                suite.function(lab)
        finally:
            opened.outcome = judged.outcome
        if judged.outcome is None:
            raise OrdealError(f"{incident} [{this}] was not replayed: {judged.not_here or judged.unwritten}")
        return judged.outcome

    # --- what activities use

    @property
    def results(self) -> Path:
        """The folder of the results. Raises OrdealError where no activity has opened the session."""
        return self._opened.run.results.directory

    @property
    def lab(self) -> Lab:
        """The lab of the experiment's own story. Raises OrdealError where no activity has opened the session."""
        opened = self._opened
        opened.lab = opened.lab or opened.begin()
        return opened.lab

    @property
    def settings(self) -> Settings:
        """The experiment's settings. Raises OrdealError where no activity has opened the session."""
        return self._opened.asked

    @property
    def history(self) -> History:
        """What was recorded, or is being. Raises OrdealError where nothing was."""
        history = self._opened.history
        if history is None:
            raise OrdealError("nothing was recorded: run the action start_recording before the faults")
        return history

    def cluster(self) -> Cluster:
        """The cluster in use; where no activity chose one, the one that the configuration names."""
        return self.lab.stage.used or self.lab.cluster(Shape(timers=self.lab.timers))

    def nodes(self) -> tuple[Node, ...]:
        """The nodes as they were when they were first asked for: their names are needed while no API server answers."""
        opened = self._opened
        opened.nodes = opened.nodes or self.cluster().nodes()
        return opened.nodes

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
        if self._open is None or self._open.lab is None:
            return 0
        self._open.deployed.clear()
        return self._open.lab.remove_workloads()

    def start_recording(self, probe: Deployed | None) -> None:
        """Record nodes, pods and events, and probe the Service where one is given, until `stop_recording`."""
        opened = self._opened
        if opened.recording is not None:
            raise OrdealError("it is being recorded already: run the action stop_recording first")
        opened.recording = ExitStack()
        try:
            opened.history = opened.recording.enter_context(self.lab.record(probe))
        except Exception:
            opened.recording = None
            raise

    def while_recording(self, context: AbstractContextManager[object]) -> None:
        """Enter a context that lasts as long as the recording. Raises OrdealError where there is none."""
        if self._opened.recording is None:
            raise OrdealError("nothing is being recorded: run the action start_recording first")
        self._opened.recording.enter_context(context)

    @property
    def is_recording(self) -> bool:
        """Whether a recording is on."""
        return self._open is not None and self._open.recording is not None

    def stop_recording(self) -> bool:
        """End the recording once all is seen. False where nothing was being recorded."""
        if self._open is None or self._open.recording is None:
            return False
        recording, self._open.recording = self._open.recording, None
        recording.close()
        return True

    def inject(self, fault: Fault[Plan]) -> Plan:
        """Do harm that lasts until it is taken back. Returns what undo will use. Raises FaultError, OrdealError."""
        opened = self._opened
        cluster = self.cluster()
        stack = ExitStack()  # kept before it is entered: whatever interrupts this, what was done is found again
        opened.faults.setdefault(fault.kind, []).append(stack)
        # Without a recording the experiment measures by its own means; our invariants would find nothing to judge.
        consent = partial(opened.run.means.consents.harming, opened.asked.incident.id)
        unrecorded = inject(fault, cluster, opened.run.journal, History(), watched=False, consent=consent)
        try:
            return stack.enter_context(unrecorded if opened.recording is None else self.lab.inject(fault))
        except Exception:
            opened.faults[fault.kind].remove(stack)  # it was taken back, or stays in the journal
            raise

    def take_back(self, kind: str) -> int:
        """Undo every fault of that kind, the last one first; harmless where there is none. Returns how many there were.

        Each is tried. Raises FaultError where one could not be undone; it then stays in the journal.
        """
        stacks = self._open.faults.pop(kind, []) if self._open is not None else []
        with ExitStack() as all_of_them:
            for stack in stacks:
                all_of_them.callback(stack.close)
        return len(stacks)

    def take_back_all(self) -> None:
        """Undo every fault that is in place. Each is tried; the first error is raised at the end."""
        kinds = list(self._open.faults) if self._open is not None else []
        with ExitStack() as stack:
            for kind in kinds:
                stack.callback(self.take_back, kind)

    @property
    def in_place(self) -> tuple[str, ...]:
        """The kinds of the faults that are in place now."""
        return tuple(kind for kind, stacks in self._open.faults.items() if stacks) if self._open is not None else ()

    def verdict(self) -> Outcome | None:
        """The verdict of the replay, or by all that the experiment judged so far; None where no story was told. Unknown
        where anything went wrong, or harm is still in place.
        """
        opened = self._open
        if self.in_place:
            self.note(f"the verdict was asked for while {', '.join(self.in_place)} was in place")
        if opened is not None and opened.lab is not None:
            opened.outcome = self._concluded()
        return None if opened is None or opened.outcome is None else self._unless_failed(opened.outcome)

    def clean_up(self) -> None:
        """Remove workloads, and delete the cluster that was made for this run, unless it is to be kept and is sound.

        Raises the first error at the end.
        """
        opened = self._open
        if opened is None:
            return
        lab, options = opened.lab, opened.asked.options
        if lab is not None and opened.outcome is None and (lab.incident is not OWN or lab.findings or self.problem):
            opened.outcome = self._concluded()  # while the cluster can still be asked for its facts
        with ExitStack() as stack:
            stack.callback(opened.run.pool.close)
            if lab is None or options.cluster == EXISTING:
                stack.callback(self.remove_workloads)
                return
            opened.deployed.clear()
            if options.keep_cluster:
                stack.callback(lab.clean_up)
            else:
                lab.stage.leave_workloads_to_their_cluster()  # they go with their cluster

    @property
    def _opened(self) -> _Open:
        if self._open is None:
            raise OrdealError("no cluster was chosen: run the action use_cluster first")
        return self._open

    def _concluded(self) -> Outcome:
        return outcome_of(self.lab, self._opened.test, self.problem)

    def _unless_failed(self, outcome: Outcome) -> Outcome:
        if not self.problem or (outcome.verdict is Verdict.UNKNOWN and self._opened.lab is None):
            return outcome  # as it is: of a replay that is unknown the outcome tells why
        return replace(outcome, verdict=Verdict.UNKNOWN, passed=False, why=self.problem)

    def _tried(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001  (the other steps must be tried too; the problem is in the outcome)
            logger.error("%s", error)
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
    return _kept(function, whatever_failed=False)


def always(function: Callable[P, R]) -> Callable[P, R]:
    """Make an activity of a function that puts something right: it is done whatever failed before."""
    return _kept(function, whatever_failed=True)


def _kept(function: Callable[P, R], *, whatever_failed: bool) -> Callable[P, R]:
    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        name = function.__name__
        if SESSION.problem and not whatever_failed:
            raise OrdealError(f"{name} was not done, because something failed before: {SESSION.problem}")
        with _watched(name):
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
        SESSION.note(f"{name}: {error if str(error) else repr(error)}")
        raise
    except BaseException:
        SESSION.note(f"the run was interrupted in {name}")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
