"""Set-up as a list of small steps: each has a title, says whether it is needed, and is shown with its elapsed time.

Steps that fetch and unpack (engine, packages, a root file system) go on beside those that compile. Two that compile
never do.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import Progress as Live
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from chaos.basics.progress import EVERY_IN_A_LOG_S, EVERY_S, Progress, Report
from chaos.basics.progress import shown as telling
from chaos.basics.scrub import scrub
from chaos.basics.visible import line
from chaos.errors import OrdealError
from chaos.hosts import (
    binaries,
    bundles,
    daemon,
    engine,
    image,
    image_programs,
    image_rootfs,
    kubectl,
    packages,
    parts,
    preparations,
    registry,
)
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.run import durations
from chaos.setup import facts

_VERSION = re.compile(r" v?\d\S*$")


class Lane(StrEnum):
    """What a step goes on beside. MACHINE: beside those of COMPILE, in order. ALONE: after all that come before it."""

    COMPILE = "compile"
    MACHINE = "machine"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One thing that set-up does. `needed` only reads; `do` may be repeated and is told where to report progress.

    Both are called in the lane: `needed` of a step ALONE sees what the ones before it did.
    """

    title: str
    needed: Callable[[], bool]
    do: Callable[[Report], None]
    lane: Lane = Lane.COMPILE

    @property
    def what(self) -> str:
        """Under what its durations are kept (chaos.run.durations.build_key): the version makes no difference."""
        return _VERSION.sub("", self.title)


def kind_steps(
    versions: Sequence[str] = (DEFAULT_KUBERNETES,), components: Mapping[str, Path] | None = None, kind_image: str = ""
) -> tuple[SetupStep, ...]:
    """What a kind cluster of each of these Kubernetes versions needs: engine, host, programs, node images.

    `kind_image`: the user's own node image, of the one version. A published one is taken where its digest is known, a
    registry is in reach and no component is swapped in; what our own is made of is then not built.
    """
    images = [_NodeImage(version, components or {}, kind_image) for version in versions]

    def ours() -> bool:
        return any(each.is_built_here() for each in images)

    def prepare(report: Report) -> None:
        preparations.prepare(engine.require(), report)

    def make_rootfs(report: Report) -> None:
        image_rootfs.make_rootfs(report)

    return (
        SetupStep("container engine", lambda: engine.find() is None, _engine, Lane.MACHINE),
        SetupStep("packages for faults", _faults_lack, _for_faults, Lane.MACHINE),
        SetupStep("limits and routes", _host_lacks, prepare, Lane.MACHINE),
        SetupStep("root file system", lambda: not image_rootfs.has_rootfs() and ours(), make_rootfs, Lane.MACHINE),
        programs("kind"),
        *(programs(bundles.KUBERNETES, each.version, each.is_built_here) for each in images),
        *(programs(bundles.CONTROL_PLANE, each.version, each.is_built_here) for each in images),
        *(programs(bundle, None, ours) for bundle in image_programs.OTHER_BUNDLES),
        *(SetupStep(f"node image {each.version}", each.is_missing, each.make, Lane.ALONE) for each in images),
        *(SetupStep(f"kubectl {each.version}", each.lacks_kubectl, each.take_kubectl, Lane.ALONE) for each in images),
    )


def simulated_steps(version: str = DEFAULT_KUBERNETES) -> tuple[SetupStep, ...]:
    """What a simulated cluster of this Kubernetes version needs: programs only."""
    return (programs(bundles.CONTROL_PLANE, version), programs("etcd"), programs("kwok"))


def perform(
    steps: Sequence[SetupStep], console: Console | None = None, *, progress: bool = True
) -> tuple[SetupStep, ...]:
    """Do what is needed, showing each step with its elapsed time; what was done is returned, in the steps' order.

    `progress`: say again and again how far all of it is.

    Raises OrdealError at the first step that fails, with the step's title and what went wrong in it (the command and
    its last output, where it was a command). What goes on beside it is waited for, and what was done stays done: the
    next call goes on from there.
    """
    console = console or Console(stderr=True)
    done: list[SetupStep] = []
    at_work: list[SetupStep] = []
    beside: list[Future[None]] = []
    with _Shown(console, _progress(steps) if progress else None) as shown, ThreadPoolExecutor(max_workers=1) as machine:

        def do(step: SetupStep) -> None:
            if any(each.done() and each.exception() is not None for each in beside):
                return  # what the machine lacks is said at once, not after minutes of building for it
            if step.needed():
                at_work.append(step)
                try:
                    shown.do(step)
                finally:
                    at_work.remove(step)
                done.append(step)

        try:
            for step in steps:
                if step.lane is Lane.MACHINE:
                    beside.append(machine.submit(do, step))
                    continue
                if step.lane is Lane.ALONE:
                    _join(beside)
                do(step)
            _join(beside)
        except KeyboardInterrupt:
            shown.waiting(at_work)
            raise
        finally:
            machine.shutdown(cancel_futures=True)
    return tuple(step for step in steps if step in done)


def programs(bundle: str, version: str | None = None, wanted: Callable[[], bool] | None = None) -> SetupStep:
    """The step that builds a bundle; with `wanted`, only where that says so once all before it is done."""

    def needed() -> bool:
        return binaries.built(bundle, version) is None and (wanted is None or wanted())

    def do(report: Report) -> None:
        binaries.build(bundle, version, report=report)

    title = f"{bundle} {version or bundles.BUNDLES[bundle].default}"
    return SetupStep(title, needed, do, Lane.COMPILE if wanted is None else Lane.ALONE)


def _progress(steps: Sequence[SetupStep]) -> Progress:
    """What is to be done, as far as it can be told now, with how long it took before."""
    progress, known = Progress(), durations.load()
    for step in steps:
        if step.needed():
            progress.expect(step.title, known.build_s(step.what))
    return progress


def _join(futures: Sequence[Future[None]]) -> None:
    for each in futures:
        each.result()


class _Shown:
    """How far all is, and in a terminal a live line for each step, with its time and the last thing reported; elsewhere
    lines.
    """

    def __init__(self, console: Console, all_of_it: Progress | None) -> None:
        self._console, self._all = console, all_of_it
        columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
        self._live = Live(*columns, console=console, transient=True) if console.is_terminal else None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        live = self._live
        if live is not None:
            self._open.enter_context(live)
        if self._all is not None:
            first = live.add_task(self._all.line()) if live is not None else None

            def tell(text: str) -> None:
                if live is None or first is None:
                    self._line(text)
                else:
                    live.update(first, description=text)

            every_s = EVERY_IN_A_LOG_S if live is None else EVERY_S
            self._open.enter_context(telling(self._all, tell, every_s=every_s))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def do(self, step: SetupStep) -> None:
        started = time.monotonic()
        if self._all is not None:
            self._all.begin(step.title)
        try:
            with self._reporting(step.title) as report:
                step.do(report)
        except OrdealError as error:
            took_s = time.monotonic() - started
            self._line(f"failed: {step.title}, after {took_s:.0f} s")
            raise OrdealError(
                f"set-up failed at {step.title!r}: {error}\nMend this and run it again; it goes on from here."
            ) from error
        except KeyboardInterrupt:
            self._line(f"interrupted: {step.title}, after {time.monotonic() - started:.0f} s")
            raise
        took_s = time.monotonic() - started
        if self._all is not None:
            self._all.end(step.title)
        durations.record(durations.build_key(step.what), took_s)
        self._line(f"done: {step.title}, {took_s:.1f} s")

    @contextmanager
    def _reporting(self, title: str) -> Iterator[Report]:
        live = self._live
        if live is None:
            self._line(f"start: {title}")
            yield lambda text: self._line(f"  {text}")
            return
        task = live.add_task(title)
        try:
            yield lambda text: live.update(task, description=line(f"{title}: {text}"))
        finally:
            live.remove_task(task)

    def waiting(self, at_work: Sequence[SetupStep]) -> None:
        """Say what an interrupted set-up waits for: what installs is not cut, as a half-installed package is worse."""
        for step in at_work:
            if step.lane is Lane.MACHINE:
                self._line(f"interrupted: waiting for {step.title}, which is not cut")

    def _line(self, text: str) -> None:
        """What programs said is in it: their command lines, too."""
        stamp = "" if self._console.is_terminal else f"{datetime.now().astimezone():%H:%M:%S} "
        self._console.print(Text(f"{stamp}{line(scrub(text))}"), soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _NodeImage:
    """The node image of a version: the user's (`given`), or the published one where its digest is known and a registry
    has it, with the busybox that workloads run.
    """

    version: str
    components: Mapping[str, Path]
    given: str = ""
    _published_by: dict[str, bool] = field(default_factory=dict)  # the engine's version: what its registry answered

    def is_missing(self) -> bool:
        running = engine.find()
        if running is None:
            return True
        if self.components:
            return image.find(running, self.version, self.components) is None
        return not facts.node_image(running, self.version, self.given)

    def is_built_here(self) -> bool:
        """Whether it is missing, and the user named none, nor has a registry one that is known."""
        return self.is_missing() and not self._is_published()

    def make(self, report: Report) -> None:
        running = engine.require()
        if not self._is_published():
            image.ensure(self.version, self.components, report=report, engine=running)
            return
        if not self.given:  # else the user's busybox may go with it, which is brought with the cluster
            registry.bring(running, registry.busybox(), report)
        registry.bring(running, self._published, report)  # last: it is what `is_missing` asks for

    def lacks_kubectl(self) -> bool:
        """Whether there is none of its version, nor is one built: then the image has it."""
        return kubectl.find(self.version) is None and not self.is_built_here()

    def take_kubectl(self, report: Report) -> None:
        running = engine.require()
        kubectl.take(self.version, facts.node_image(running, self.version, self.given), running, report=report)

    @property
    def _published(self) -> str:
        return self.given or registry.published_node(self.version)

    def _is_published(self) -> bool:
        running = engine.find()
        if self.components or running is None or not self._published:
            return False
        if self.given:
            return True
        if running.version not in self._published_by:  # without a registry the answer takes seconds
            self._published_by[running.version] = registry.ask(running, self._published).there
        return self._published_by[running.version]


def _engine(report: Report) -> None:
    daemon.install_and_start(report)


def _faults_lack() -> bool:
    """Whether packages lack that can be installed; where they can't be, the replays that need them are skipped."""
    return os.geteuid() == 0 and packages.can_install() and bool(parts.lacking_packages())


def _for_faults(report: Report) -> None:
    packages.install(parts.lacking_packages(), report)


def _host_lacks() -> bool:
    running = engine.find()
    return running is None or bool(preparations.missing(running))
