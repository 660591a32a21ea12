"""What one run has, whoever began it: journal, clusters, results; and what is done around each replay in it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from os import environ, pathsep
from pathlib import Path

import pytest

from chaos.basics.files import file_name
from chaos.clusters.base import EXISTING, KIND, PowerRef
from chaos.clusters.existing import cluster as existing
from chaos.clusters.power import drivers
from chaos.clusters.way import kubeconfig_files
from chaos.clusters.way.client import FAILURES, Access, told
from chaos.conformance import around, program, rounds
from chaos.conformance.rounds import Wish
from chaos.errors import OrdealError
from chaos.harm import load_all
from chaos.harm.base import FaultError
from chaos.hosts import places
from chaos.hosts.bundles import normal_version
from chaos.hosts.places import journals_dir
from chaos.record.journal import Journal
from chaos.results.results import Outcome, Results
from chaos.run import undo
from chaos.run.case import AUTO, Case
from chaos.run.claim import claimed
from chaos.run.deadline import beneath, is_nothing_else
from chaos.run.guard import Anything, Consents, Guard, RefusedError
from chaos.run.incident import Replay
from chaos.run.lab import Lab
from chaos.run.means import Means
from chaos.run.options import Options
from chaos.run.own import own_of
from chaos.run.pool import Pool, Wishes
from chaos.run.profile import find as find_profile
from chaos.run.stage import LacksAbilityError, LeftOutError
from chaos.run.stop_command import StopCommand
from chaos.run.turn import Turn
from chaos.run.verdict import outcome_of
from chaos.session.prospect_text import beforehand
from chaos.setup import room

Report = Callable[[str], None]
NOT_WISHED = Wish()
HOW_TO_UNDO = "give --ordeal-undo"  # how a user of pytest allows it


@dataclass(slots=True)
class Concluded:
    """What became of a replay: its outcome, or why it can't be done here (`not_here`), or not be told (`unwritten`).

    `specs_s`: how long upstream's specs took after it, in seconds.
    """

    outcome: Outcome | None = None
    not_here: BaseException | None = None
    unwritten: str = ""
    specs_s: float = 0.0


class Run:
    """The run: journal, clusters, results. What earlier runs left behind is undone first."""

    def __init__(
        self,
        asked: Options,
        run: str,
        report: Report,
        *,
        how_to_undo: str,
        stopped: Callable[[str], None] = lambda _: None,
        worker: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> None:
        """`worker`: which of several processes of the run this is; its clusters are its own. `facts`: what else the
        results say of it. `how_to_undo`: how a user allows it to undo what was left on an existing cluster.
        `stopped`: told why where the owner of an existing cluster ends all harm.

        Raises OrdealError where the machine, or the cluster that was named, does not allow for it.
        """
        load_all()
        self.options, self.id, self.report = asked, run, report
        self.profile = find_profile(asked.profile)
        wishes, own = wishes_of(asked), own_of(asked)
        if worker:
            wishes = replace(wishes, name=f"{wishes.name or 'ordeal'}-{worker}")
        _check(wishes)  # no use in going on with one that can't be used
        consents: Consents = Anything()
        command = stop_command_of(asked)
        if wishes.kubeconfig is not None:
            consents = Guard(Access(wishes.kubeconfig, wishes.context).client, stopped, command)
        undo.require_nothing_left(self.id, how_to_undo)
        undo.undo_all(self.report, undo.Permission(run=self.id))
        about = {"cluster": asked.cluster, "profile": self.profile.name, "kubernetes": wishes.kubernetes}
        self.results = Results(asked.results, self.id, {**about, **(facts or {})})
        self.journal = Journal(journals_dir() / f"{self.id}{'-' if worker else ''}{worker}.jsonl")
        self.pool = Pool(wishes, self.journal, self.id, self.report, consents)
        self.turn = Turn(self.results.directory) if worker else None
        self.means = Means(
            self.id,
            self.profile,
            self.pool,
            self.journal,
            self.report,
            images=asked.images,
            storage_class=asked.storage_class,
            upgrade_to=asked.upgrade_to,
            own=own,
            turn=self.turn,
            consents=consents,
        )

    def close(self) -> None:
        """Take the clusters down and let go of the journal."""
        try:
            self.pool.close()
        finally:
            self.journal.close()
            if self.turn is not None:
                self.turn.give_back()

    def require_room(self, clusters: set[str], replays: int, report: Report) -> None:
        """Raise OrdealError where the disks have no room for so many replays; the run is closed then."""
        try:
            room.check(room.look(self.options.results, clusters, replays), report)
        except BaseException:
            self.close()
            raise

    def require_consent(self) -> None:
        """Raise OrdealError where the owner of an existing cluster lets nothing be harmed now; the run is closed."""
        try:
            self.means.consents.require()
        except BaseException:
            self.close()
            raise

    def require_power(self) -> None:
        """Raise OrdealError where what was named to switch nodes can't be asked for one; the run is closed then."""
        try:
            self.pool.check_power()
        except BaseException:
            self.close()
            raise

    def waited_s(self) -> tuple[float, float]:
        """For how many seconds this process has waited so far: for clusters to be made, and for its turn."""
        return self.pool.waited_s, self.turn.waited_s if self.turn is not None else 0.0

    def lab(
        self,
        story: Replay,
        this: Case,
        folder: str,
        *,
        is_suite: bool = True,
        conform: Wish = NOT_WISHED,
        too_late: Callable[[], str] = str,
    ) -> Lab:
        """The lab of one story, which keeps what it finds in `folder` of the results.

        `is_suite`: a suite's function tells it, and is held to what its mark declares. `conform`: when upstream's specs
        are run around it, but around a control. `too_late`: as in Lab.
        """
        return Lab(
            story,
            this,
            self.results.directory / file_name(folder),
            self.means,
            is_suite=is_suite,
            around=around.hook(conform, self.report, control=this.control),
            too_late=too_late,
        )

    @contextmanager
    def replaying(
        self, story: Replay, this: Case, test: str, *, conform: Wish, too_late: Callable[[], str] = str
    ) -> Iterator[Lab]:
        """Around a replay: the results say that it has begun; at the end its workloads are removed.

        `test`: its pytest node id, which is its name in the results.
        """
        made = self.lab(story, this, test.rpartition("::")[2], conform=conform, too_late=too_late)
        self.results.begin(
            test,
            story.incident.id,
            cluster=this.cluster,
            profile=self.profile.name,
            control=this.control or "",
            replay=story.variant,
        )
        self.report(f"=== {story.incident.id} [{this}]")
        self.report(f"  {beforehand(story, made.conditions)}")
        try:
            yield made
        finally:
            made.clean_up()

    @contextmanager
    def judging(
        self, lab: Lab, test: str, *around: AbstractContextManager[object], judged: Concluded
    ) -> Iterator[None]:
        """Around a suite's function: what it found, or its failure, becomes an outcome, in `judged` and in the results.

        `around` is entered inside. What is neither a finding nor a failure of the cluster, such as a mistake in the
        suite or an interrupt, is raised again, once its outcome, which is unknown, is written.
        """
        problem = ""
        try:
            with ExitStack() as stack:
                for each in around:
                    stack.enter_context(each)
                yield
                told_s, specs = lab.duration_s, len(lab.specs.results)
                lab.conform_after()
                if len(lab.specs.results) > specs:
                    judged.specs_s = lab.duration_s - told_s
        except (LeftOutError, LacksAbilityError, RefusedError, pytest.skip.Exception) as error:
            self.results.skip(test, str(error))
            judged.not_here = error
            return
        except FAILURES as error:
            problem = told(error)
        except KeyboardInterrupt as error:
            lab.stage.interrupted()
            stays = "".join(f"; {each}" for each in beneath(error) if isinstance(each, FaultError))
            if not is_nothing_else(error):
                judged.outcome = self._conclude(lab, test, f"the run was interrupted{stays}")
                raise
            problem = f"{error}, in the phase {lab.now.phase}{stays}"
        except (Exception, SystemExit, pytest.fail.Exception) as error:
            problem = places.unwritten(error)
            if not problem:
                judged.outcome = self._conclude(lab, test, f"the suite itself failed: {error!r}")
                raise
        try:
            judged.outcome = self._conclude(lab, test, problem)
        except OrdealError as error:
            judged.unwritten = str(error)

    def _conclude(self, lab: Lab, test: str, problem: str) -> Outcome:
        outcome = outcome_of(lab, test, problem)
        self.results.add_specs([replace(each, test=test) for each in lab.specs.results])
        self.results.add(outcome)
        self.report(f"=== {outcome.id}: {outcome.verdict}, {'passed' if outcome.passed else 'FAILED'}: {outcome.why}")
        return outcome


def settle(
    asked: Options, run: str, report: Report, how_to_undo: str, agreed: Callable[[str], bool] = lambda _: False
) -> None:
    """What earlier runs left on clusters that are not ours to make is undone where the user says so, in the options or
    when asked (`agreed`). Raises OrdealError where they have not.
    """
    if left := undo.left_on_existing(run):
        if asked.undo or agreed(f"earlier runs have left behind: {', '.join(left)}. Undo it now?"):
            undo.undo_all(report, undo.Permission(existing=True, run=run))
        undo.require_nothing_left(run, how_to_undo)


def claim(asked: Options, run: str, lost: Callable[[str], None]) -> AbstractContextManager[object]:
    """Within it an existing cluster is this run's. `lost` is called with who has taken it. Raises OrdealError where it
    is another's, or can't be used.
    """
    wishes = wishes_of(asked)
    if wishes.kubeconfig is None:
        return nullcontext()
    _check(wishes)
    return claimed(wishes.kubeconfig, wishes.context, run, lost)


def _check(wishes: Wishes) -> None:
    if wishes.kubeconfig is not None:
        existing.check(wishes.kubeconfig, wishes.context, agents=bool(wishes.agent_image))


def wishes_of(asked: Options) -> Wishes:
    """What the options say of clusters. Raises OrdealError where an existing one is not found."""
    used, context = _found(asked) if asked.cluster == EXISTING else (None, "")
    return Wishes(
        kubernetes=normal_version(asked.kubernetes),
        name=asked.cluster_name,
        keep=asked.keep_cluster,
        kubeconfig=used,
        context=context,
        kind_image=asked.kind_image,
        kind_bin=asked.kind_bin and asked.kind_bin.absolute(),
        kubectl_bin=asked.kubectl_bin and asked.kubectl_bin.absolute(),
        busybox_image=asked.busybox_image,
        agent_image=asked.agent_image,
        agent_privileged=asked.agent_privileged,
        power=power_of(asked),
    )


def power_of(asked: Options) -> PowerRef | None:
    """What the options name to switch the nodes of an existing cluster; of today's folder. Raises OrdealError."""
    return drivers.named(asked.power, asked.power_command, Path.cwd())


def stop_command_of(asked: Options) -> StopCommand | None:
    """What ends all harm on an existing cluster; None where nothing was named. Raises OrdealError."""
    if not asked.stop_command:
        return None
    if asked.cluster != EXISTING:
        raise OrdealError(
            "--ordeal-stop-command ends harm on a cluster that is somebody's, and without --ordeal-cluster existing "
            "none but our own are used"
        )
    return StopCommand.of(asked.stop_command)


def wish_of(asked: Options) -> Wish:
    """When specs are to be run. Raises OrdealError where it can be told now that they can't be."""
    wish = rounds.parse(asked.conform or (rounds.NONE if asked.tour else ""))
    if wish.asked and wish.rounds and asked.cluster in {AUTO, KIND}:
        program.require(normal_version(asked.kubernetes))
    return wish


def _found(asked: Options) -> tuple[Path, str]:
    """The kubeconfig and its context; several files, named as KUBECONFIG names them, are merged as kubectl does it."""
    given = asked.kubeconfig
    if given is not None and pathsep in str(given):
        return kubeconfig_files.find(None, asked.context, {**environ, kubeconfig_files.VARIABLE: str(given)})
    return kubeconfig_files.find(given, asked.context)
