"""Set-up as a list of small steps: each has a title, says whether it is needed, and is shown with its elapsed time."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from chaos.errors import OrdealError
from chaos.hosts import binaries, engine, image
from chaos.hosts.binaries import DEFAULT_KUBERNETES, Report


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that set-up does. `needed` only reads; `do` may be repeated and is told where to report progress."""

    title: str
    needed: Callable[[], bool]
    do: Callable[[Report], None]


def kind_steps(
    versions: Sequence[str] = (DEFAULT_KUBERNETES,), components: Mapping[str, Path] | None = None
) -> tuple[Step, ...]:
    """What a kind cluster of each of these Kubernetes versions needs: engine, host, programs, node images."""
    steps = [
        Step("container engine", lambda: engine.find() is None, _engine),
        Step("limits, network and routes", _host_lacks, lambda report: engine.prepare_host(engine.require(), report)),
        _programs("kind"),
    ]
    for version in versions:
        steps.append(_programs("kubernetes", version))
        steps.append(_node_image(version, components or {}))
    return tuple(steps)


def simulated_steps(version: str = DEFAULT_KUBERNETES) -> tuple[Step, ...]:
    """What a simulated cluster of this Kubernetes version needs: programs only."""
    return (_programs("kubernetes", version), _programs("etcd"), _programs("kwok"))


def perform(steps: Sequence[Step], console: Console | None = None) -> tuple[Step, ...]:
    """Do in order what is needed, showing each with its elapsed time; what was done is returned.

    Raises OrdealError at the first step that fails, with the step's title and what went wrong in it (the command and
    its last output, where it was a command). What was done before stays done: the next call goes on from there.
    """
    console = console or Console(stderr=True)
    done: list[Step] = []
    for step in steps:
        if not step.needed():
            continue
        started = time.monotonic()
        try:
            with _shown(step.title, console) as report:
                step.do(report)
        except OrdealError as error:
            took_s = time.monotonic() - started
            _line(console, f"failed: {step.title}, after {took_s:.0f} s")
            raise OrdealError(
                f"set-up failed at {step.title!r}: {error}\nMend this and run it again; it goes on from here."
            ) from error
        except KeyboardInterrupt:
            _line(console, f"interrupted: {step.title}, after {time.monotonic() - started:.0f} s")
            raise
        _line(console, f"done: {step.title}, {time.monotonic() - started:.1f} s")
        done.append(step)
    return tuple(done)


@contextmanager
def _shown(title: str, console: Console) -> Iterator[Report]:
    """In a terminal a live line with the time that passes and the last thing reported; elsewhere a line for each."""
    if not console.is_terminal:
        _line(console, f"start: {title}")
        yield lambda text: _line(console, f"  {text}")
        return
    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title)
        yield lambda text: progress.update(task, description=f"{title}: {text}")


def _line(console: Console, text: str) -> None:
    stamp = "" if console.is_terminal else f"{datetime.now().astimezone():%H:%M:%S} "
    console.print(f"{stamp}{text}", markup=False, highlight=False, soft_wrap=True)


def _engine(report: Report) -> None:
    engine.install_and_start(report)


def _host_lacks() -> bool:
    running = engine.find()
    return running is None or bool(engine.missing_preparations(running))


def _programs(bundle: str, version: str | None = None) -> Step:
    def do(report: Report) -> None:
        binaries.build(bundle, version, report=report)

    name = f"{bundle} {version or binaries.BUNDLES[bundle].default}"
    return Step(name, lambda: binaries.built(bundle, version) is None, do)


def _node_image(version: str, components: Mapping[str, Path]) -> Step:
    def needed() -> bool:
        running = engine.find()
        return running is None or image.find(running, version, components) is None

    def do(report: Report) -> None:
        image.ensure(version, components, report=report)

    return Step(f"node image {version}", needed, do)
