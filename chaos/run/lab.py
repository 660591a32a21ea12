"""The lab: what a suite function is handed. It deploys, records, injects, holds, and takes findings."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from chaos.basics.clock import unix_s
from chaos.basics.waiting import WaitedInVainError, eventually, hold
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape, Timers
from chaos.errors import OrdealError
from chaos.harm.base import Fault, NotUndoneError, Plan, inject
from chaos.hosts import mutants
from chaos.judge.base import Figure, Finding, Invariant, Verdict, judge
from chaos.judge.conformance import AFTER, BEFORE
from chaos.judge.heartbeats import reporting
from chaos.record import evidence
from chaos.record.evidence import Piece
from chaos.record.history import History
from chaos.record.recorder import Recorder
from chaos.record.records import FaultStep, Observation, Phase
from chaos.results.results import Row
from chaos.run.case import Case
from chaos.run.fit import set_aside
from chaos.run.holding import SEEN, how_it_ended
from chaos.run.hook import CantRunSpecsError, Hook, Nothing
from chaos.run.incident import Replay
from chaos.run.judging import Judging
from chaos.run.live import Now
from chaos.run.means import Means
from chaos.run.promised import Conditions, Register, beginning
from chaos.run.stage import LacksAbilityError, Stage, Workload
from chaos.run.steady import measuring, probes_of, start_on_workers, steady_services, wait_steady
from chaos.workloads.web import Deployed

LATE_S = 180.0  # so much longer than what is promised a recovery is waited for: late is not the same as never
CONFORMANCE, NOT_RUN = "conformance", "not run: "  # the name of a fact, and how it begins

# What is measured beside, for as long as a recording lasts: most of them have a chaos.record.sampler.Sampler.
Sampling = Callable[[History], AbstractContextManager[object]]


class Lab:
    """One replay of one incident in one variant. `control` is None when hardened, else the control's id."""

    def __init__(
        self,
        story: Replay,
        this: Case,
        directory: Path,
        means: Means,
        *,
        is_suite: bool = True,
        around: Hook = Nothing,
        too_late: Callable[[], str] = str,
    ) -> None:
        """`directory`: its own, for what it records and collects.

        `is_suite`: a suite's function tells the story, and is held to what its mark declares; Chaos Toolkit's has none.
        `around`: what goes on around it, such as upstream's specs.
        `too_late`: asked after it waited for its turn: why it is left out after all; empty where it goes on.
        """
        self.incident, self.replay = story.incident, story.variant
        self.cluster_kind, self.control = this.cluster, this.control
        self.means, self.profile = means, means.profile
        self.conditions = Conditions(this.control, this.cluster, means.profile)
        self.findings: list[Finding] = []
        self.broken: list[Finding] = []  # in a recording that the story did not come to judge
        self.facts: dict[str, Figure] = {}
        self.not_run_controls: dict[str, str] = {}
        self.tables: dict[str, Sequence[Row]] = {}
        self.histories: list[Path] = []
        self.evidence: list[Piece] = []
        self._story, self._this, self.directory = story, this, directory
        declared = story if is_suite else None
        self._beginning = beginning(
            story.incident.id,
            story.variant,
            control=this.control or "",
            cluster=this.cluster,
            profile=self.profile.name,
        )
        self.specs = around(directory, self._beginning)
        self.stage = Stage(
            story,
            this,
            means,
            timers=self.timers,
            declared=declared,
            too_late=too_late,
            phase=self.phase,
            lacking_specs=self.specs.lacking,
        )
        self._history: History | None = None
        self._recorder: Recorder | None = None
        self._began = time.monotonic()
        self.now = Now("start", "", self._began)
        promises = declared.promises if declared is not None else None
        register = Register(promises(self.conditions), hardened=this.control is None) if promises else None
        self._judging = Judging(
            story, self._beginning, register, self.findings, self.histories, directory, means.report, means.own.limits
        )

    # --- the cluster

    def cluster(self, shape: Shape) -> Cluster:
        """The cluster of that shape, made where there is none. Raises OrdealError, LacksAbilityError."""
        cluster = self.stage.cluster(shape)
        self.stage.aside = aside = set_aside(cluster)  # now: what befalls nodes later may be the replay's own doing
        self.facts |= {f"{name} is set aside": f"it {why}" for name, why in aside.items()}
        return cluster

    @property
    def current(self) -> Cluster:
        """The cluster in use. Raises OrdealError before the suite asked for one."""
        return self.stage.current

    def change_for_good(self, why: str, version: str) -> None:
        """As Stage.change_for_good; `version` is the Kubernetes version that the cluster has then.

        Raises LacksAbilityError for an existing cluster; CantRunSpecsError where specs are to be run after it, and
        there is no e2e.test of that version.
        """
        self.stage.refuse_existing(why)
        self.specs.check(version)
        self.stage.change_for_good(why)

    @contextmanager
    def apart(self, tag: str) -> Iterator["Lab"]:
        """A lab with a cluster of its own, to be used in a thread of its own; deleted at the block's end.

        What is recorded and collected there is kept with this replay; its findings are the caller's to use. No specs
        are run there.
        """
        pool = self.means.pool.apart(tag)
        means = replace(self.means, pool=pool, report=lambda _: None, turn=None)
        lab = Lab(self._story, self._this, self.directory / tag, means, is_suite=False)
        try:
            yield lab
        finally:
            self.histories.extend(lab.histories)
            self.evidence.extend(lab.evidence)
            lab.stage.leave_workloads_to_their_cluster()
            pool.close()

    @property
    def timers(self) -> Timers:
        """The profile's timers for this kind of cluster."""
        return self.conditions.timers

    def deploy(self, workload: Workload) -> Deployed:
        """Put a workload on the cluster and wait until it is Ready. It is removed after the replay.

        Where it does not become so, evidence of why is taken, and what it raised is raised.
        """
        since_wall = unix_s()
        try:
            return self.stage.deploy(workload)
        except OrdealError:
            self._evidence_of_failure(f"deploy-{workload.name}", since_wall)
            raise

    def image(self, name: str, given: str = "") -> str:
        """The image to run for a workload, on every node of the cluster: see Stage.image. Raises OrdealError."""
        return self.stage.image(name, given)

    def mutant(self, name: str) -> mutants.BuiltMutant:
        """The program of a mutant for the current cluster's version: see Stage.mutant. Raises OrdealError."""
        return self.stage.mutant(name)

    def removing_workloads(self) -> AbstractContextManager[None]:
        """Within it workloads may stand on what is configured around it: they are removed first. See Stage."""
        return self.stage.removing_workloads()

    def remove_workloads(self) -> int:
        """Remove what was deployed; returns how many. Raises OrdealError; what stays then is in the journal."""
        return self.stage.remove_workloads()

    # --- the story

    @contextmanager
    def configured(self, change: Fault[Plan]) -> Iterator[Plan]:
        """Set the cluster up for this replay (a threshold, a program, a priority): journalled and taken back like a
        fault, but part of the configuration, so nothing is recorded, and evidence is taken only where it does not land.
        """
        self.stage.configure(change)
        why = partial(self._evidence_of_failure, change.kind, unix_s())
        with self._injected(change, History(), why, watched=False) as saved:
            yield saved

    @contextmanager
    def record(self, probe: Deployed | None = None, samplers: Sequence[Sampling] = ()) -> Iterator[History]:
        """Record nodes, pods and events for the block's length, and probe a workload's Service from every worker, and
        beside it the Services of the user's own that are watched.

        `samplers` are entered with the history after the probes, and left before them: what else is measured.
        """
        if probe is not None:
            self.phase("steady state", f"{probe.name} answers every node")
            wait_steady(self.current, probe, self._judging)
        watched = steady_services(self.current, self.means.own.watched)
        self._conform(BEFORE)
        self._history = history = self._judging.recording(self.stage.aside)
        cluster = self.current
        self._recorder = Recorder(history, cluster.api)
        try:
            with self._recorder, ExitStack() as also:
                if probe is not None:
                    also.enter_context(measuring(cluster, probe, history))
                for service in watched:
                    also.enter_context(probes_of(cluster, service, history))
                for sampler in samplers:
                    also.enter_context(sampler(history))
                yield history
        except Exception:
            self.broken += self._judging.broken(history)
            raise
        finally:
            history.close()
            self._history = None
            self._recorder = None
        if history.unwritten:
            raise OrdealError(f"the history can't be written to {history.path} ({history.unwritten}): free the disk")

    @property
    def recorder(self) -> Recorder:
        """The recorder that is on. Raises OrdealError outside `record`."""
        if self._recorder is None:
            raise OrdealError("nothing is being recorded: use lab.record(...) around it")
        return self._recorder

    @contextmanager
    def inject(self, fault: Fault[Plan], nodes: Sequence[str] = ()) -> Iterator[Plan]:
        """Do harm for the length of the block. Evidence is taken at its end, before the harm is undone.

        `nodes`: of which it is taken; all, where none are named, and then the API server has to answer now.
        """
        if self._history is None:
            raise OrdealError("a fault without a recording proves nothing: use lab.record(...) around it")
        history = self._history
        nodes = tuple(nodes) or tuple(n.name for n in self.current.nodes())
        since_wall = unix_s()
        with self.specs.during(fault, self.current, history, self.deploy):
            self.phase("fault", fault.kind)
            why = partial(self._evidence_of_failure, fault.kind, since_wall, nodes)
            with self._injected(fault, history, why) as saved:
                yield saved
                self.take_evidence(fault.kind, since_wall=since_wall, nodes=nodes)
                self.phase("heal", fault.kind)

    @contextmanager
    def _injected(
        self, fault: Fault[Plan], history: History, not_landed: Callable[[], None], *, watched: bool = True
    ) -> Iterator[Plan]:
        """A cluster whose harm stays is no other replay's, also where its nodes are Ready."""
        try:
            cluster, journal = self.current, self.means.journal
            consent = partial(self.means.consents.harming, self.incident.id)
            with inject(
                fault, cluster, journal, history, not_landed=not_landed, watched=watched, consent=consent
            ) as saved:
                yield saved
        except NotUndoneError as error:
            self.stage.do_not_reuse(str(error))
            raise

    def take_evidence(self, of: str, *, since_wall: float, nodes: Sequence[str] = ()) -> None:
        """Collect evidence now; `since_wall`: the Unix time from which on logs are wanted. `inject` does it by itself:
        this is for harm that is no fault but comes of the load. `nodes`: all of them, where none are named.
        """
        self.phase("evidence")
        name = f"{max(0, len(self.histories) - 1)}-{of}"
        where = evidence.new_folder(self.directory / "evidence", name)
        named = tuple(nodes) or tuple(n.name for n in self.current.nodes())
        self.evidence.extend(evidence.collect(self.current, named, where, since_wall=since_wall))

    def _evidence_of_failure(self, of: str, since_wall: float, nodes: Sequence[str] = ()) -> None:
        """The same of why something did not come to be, which is told also where nothing can be collected."""
        with suppress(OrdealError, OSError):
            self.take_evidence(of, since_wall=since_wall, nodes=nodes)

    def hold(self, for_s: float, because: str) -> None:
        """Let the fault last on purpose."""
        self.phase("hold", f"{for_s:g} s: {because}", lasts_s=for_s)
        hold(for_s)

    def hold_past(self, deadline_s: float, because: str, *, margin_s: float = 5.0) -> None:
        """Let the fault last until `deadline_s` + `margin_s` after it was applied; landing took some of that."""
        history = self._history
        applied = [s.at for s in history.of(FaultStep) if s.step == "applied"] if history else []
        if history is None or not applied:
            raise OrdealError("no fault is applied that could last: use lab.inject(...) around it")
        left_s = applied[-1] + deadline_s + margin_s - history.now()
        if left_s > 0:
            self.hold(round(left_s, 1), because)

    def hold_until(self, condition: Callable[[], bool], *, within_s: float, because: str, every_s: float = 0.5) -> bool:
        """Let the fault last until `condition` is seen, at most `within_s` seconds. `because` finishes "until ...".

        Where it is not seen, or the harm is gone before, this returns False and the history says so.
        """
        self.phase("hold", f"until {because}, at most {within_s:g} s", lasts_s=within_s)
        came = how_it_ended(condition, self._history, within_s=within_s, because=because, every_s=every_s)
        self._observe("hold", because, came)
        return came == SEEN

    def hold_until_shown(self, invariant: Invariant, *, within_s: float) -> bool:
        """Let a control's fault last until it has shown what it is there for: the invariant is violated by now, for the
        control's reason where it is the one that the control breaks. At most `within_s` seconds.
        """
        control = self.incident.control(self.control) if self.control else None
        reason = control.because if control is not None and control.breaks == invariant.name else None

        def shown() -> bool:
            finding = self.finding_now(invariant)
            return finding.verdict is Verdict.VIOLATED and reason in {None, finding.reason}

        return self.hold_until(shown, within_s=within_s, because=f"{invariant.name} is violated", every_s=1.0)

    def finding_now(self, invariant: Invariant) -> Finding:
        """What is to be said of what was recorded by now, for a hold that lasts until there is enough of it."""
        if self._history is None:
            raise OrdealError("nothing is being recorded: use lab.record(...) around it")
        return judge(invariant, self._history)

    def recover(self, condition: Callable[[], bool], *, within_s: float, what: str) -> bool:
        """Wait for recovery. Where it does not come this returns False and the history says so; invariants judge it.

        `within_s` is what is promised. It is waited for longer, so that invariants can tell late from never, and the
        next replay has a sound cluster; not in a control, whose recovery may never come.
        """
        self.phase("recover", what, lasts_s=within_s)
        began = time.monotonic()
        try:
            eventually(condition, within_s=self._patience_s(within_s), what=what)
        except WaitedInVainError as error:
            self._observe("recovery", what, str(error))
            return False
        took_s = time.monotonic() - began
        late = f", late: after {took_s:.0f} s of waiting, {within_s:g} s were given" if took_s > within_s else ""
        self._observe("recovery", what, f"recovered{late}")
        return True

    def _patience_s(self, within_s: float) -> float:
        within_s = max(within_s, self.means.own.longest_s)
        known = self.incident.control(self.control) if self.control else None
        # A version without the bug that it shows recovers, and late is to be told from never there too.
        return within_s if known is not None and known.shipped is None else within_s + LATE_S

    def nodes_ready(self) -> bool:
        """As Stage.nodes_ready. Raises OrdealError where the API server does not answer."""
        return self.stage.nodes_ready()

    def kubelets_report(self) -> bool:
        """Whether, since the last fault was undone, every kubelet has renewed its lease. Needs `record(probe=...)`."""
        nodes = [n.name for n in self.current.nodes() if n.name not in self.stage.aside]
        return self._history is not None and reporting(self._history, nodes)

    def start_new_pods(self, *, within_s: float = 60.0) -> None:
        """Try to start a pod on every fit worker, and record how long it took, or that it failed. See `recover`."""
        self.phase("recover", "starting a new pod on every worker")
        if (history := self._history) is None:
            raise OrdealError("nothing is being recorded: use lab.record(...) around it")
        start_on_workers(self.current, self.stage.namespace(), history, self._patience_s(within_s))

    def expect(self, history: History, *invariants: Invariant) -> None:
        """Judge the history by each invariant. The verdict of the replay is made of all findings at its end.

        Raises OrdealError where the suite's mark declares its promises, and this is none of them.
        """
        self._judging.judge(history, invariants)

    def fact(self, name: str, value: Figure) -> None:
        """Put a measured figure or a setting into the results."""
        self.facts[name] = value

    def not_run(self, control: str, why: str) -> None:
        """Say, in the results and in the verdict's sentence, that a control of this incident could not be run."""
        self.not_run_controls[control] = why
        self.fact(f"control {control}", f"not run: {why}")

    def table(self, name: str, rows: Sequence[Row]) -> None:
        """Put a table into the results and the summary."""
        self.tables[name] = rows

    def phase(self, name: str, detail: str = "", *, lasts_s: float | None = None) -> None:
        """Say, and record, what is going on now; `lasts_s`: how long it is to last, or may last at the most."""
        self.now = Now(name, detail, time.monotonic(), lasts_s)
        self.means.report(f"{name}{': ' if detail else ''}{detail}")
        if self._history is not None:
            self._history.add(Phase(self._history.now(), name, detail))

    @property
    def recording(self) -> History | None:
        """What is being recorded; None outside `record`."""
        return self._history

    # --- upstream's specs

    def run_specs(self, when: str, history: History) -> tuple[str, ...]:
        """Run a few of upstream's quick specs now, into a history; returns their names. `when`: a round of
        chaos.judge.conformance. Of a replay that does this itself none are run around it.

        Raises LacksAbilityError where they can't be run here, OrdealError for what is wrong before the first spec.
        """
        self.phase("conform", when)
        try:
            return self.specs.in_story(self.current, when, history)
        except CantRunSpecsError as error:
            raise LacksAbilityError(str(error)) from error

    def conform_after(self) -> None:
        """The story is told: run the specs that were wished after it, and judge by them. Raises OrdealError where the
        suite's mark declares a promise that was not judged.
        """
        specs = self.specs
        if self.stage.used is None:
            specs.not_run = specs.not_run or "the replay leaves no cluster to run them on"
        self._conform(AFTER)
        for history, invariant in specs.judged_by():
            self.expect(history, invariant)
        path = specs.close()
        if path is not None:
            self.histories.append(path)
        if specs.not_run and specs.wished:
            self.fact(CONFORMANCE, f"{NOT_RUN}{specs.not_run}")
        self._judging.check_complete()

    def _conform(self, when: str) -> None:
        if self.specs.due(when):
            self.phase("conform", when)
            self.specs.around(self.current, when)

    # --- the end

    def clean_up(self) -> None:
        """Remove what was deployed; a cluster that is not sound afterwards is not used again."""
        self.stage.clean_up(self.specs.left)

    @property
    def duration_s(self) -> float:
        """Seconds since the replay began."""
        return time.monotonic() - self._began

    def _observe(self, name: str, subject: str, seen: str) -> None:
        if self._history is not None:
            self._history.add(Observation(self._history.now(), name, subject, seen))
