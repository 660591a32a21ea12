"""The upgrade gate: the suites are run on two versions in turn, so that their results can be compared."""

import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.basics.files import file_name
from chaos.cli import child
from chaos.conformance import program
from chaos.errors import OrdealError
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.places import APP, suites_dir
from chaos.hosts.target import Target
from chaos.run import old_names
from chaos.session import running
from chaos.setup import doctor

if TYPE_CHECKING:  # it counts with what only some installations have
    from chaos.report.looks import Standing

RAN = (0, 1)  # pytest's exit codes: all passed, something failed; with any other one there are no whole results
# Options that say which version is run, and where the results go: they are the gate's.
OURS = ("--ordeal-kubernetes", "--ordeal-kind-image", "--ordeal-results", "--ordeal-upgrade-to")
# An upgrade in place begins with the one version and ends with another: it has no other side to be compared with.
NO_UPGRADE = ("--ordeal-upgrade-to", "none")
CONFORMANCE = "conformance"  # the folder of its suites


@dataclass(frozen=True, slots=True)
class Version:
    """What one side of the gate runs: a Kubernetes version, a node image for kind clusters, or both."""

    kubernetes: str = ""
    image: str = ""

    def __str__(self) -> str:
        return " ".join(
            [*([f"Kubernetes {self.kubernetes}"] if self.kubernetes else []), *([self.image] if self.image else [])]
        )

    @property
    def options(self) -> tuple[str, ...]:
        """The options of a run."""
        return (
            *(("--ordeal-kubernetes", self.kubernetes) if self.kubernetes else ()),
            *(("--ordeal-kind-image", self.image) if self.image else ()),
        )


Known = Callable[[Path, Path], "Standing"]  # of the folders of both sides


@dataclass(frozen=True, slots=True)
class Ran:
    """The folders that hold the runs of each side, and why it is not all of them; "" where it is.

    `over`: why no more runs were needed; `alpha`: the error that is left for the comparison then.
    """

    base: Path
    candidate: Path
    cut_short: str = ""
    interrupted: bool = False
    over: str = ""
    alpha: float | None = None


def check_ready(versions: Sequence[Version], arguments: Sequence[str]) -> None:
    """Raise OrdealError where this machine is not ready for one of them: hours later would be late."""
    wanted = tuple(dict.fromkeys(v.kubernetes for v in versions if v.kubernetes))
    if not wanted:
        return
    missing = [c for c in doctor.examine(wanted, _target(arguments)) if c.status is doctor.Status.MISSING]
    if missing:
        options = " ".join(f"--kubernetes {v}" for v in wanted)
        found = "; ".join(f"{c.title}: {c.found}" for c in missing)
        raise OrdealError(f"this machine is not ready for the gate ({found}): run {APP} setup {options}")


def run(
    base: Version,
    candidate: Version,
    *,
    repeats: int,
    arguments: Sequence[str],
    results: Path,
    report: Callable[[str], None],
    pytest: Sequence[str] = (),
    known: Known | None = None,
) -> Ran:
    """Run the suites on both versions in turn, `repeats` times each, so that a drift of the machine hits both alike.

    `known` is asked after each repeat of both: it may say that it is over, and which tests need no more repeats.
    `arguments` are further ones for pytest; `pytest`: another command than that of chaos.session.running. Each run is
    a process of its own; Ctrl-C and SIGTERM are handed to it once, and it is waited for, since it has faults and
    clusters to take back. Raises OrdealError for arguments that are the gate's own, and where a run came to nothing
    before there was anything to compare.
    """
    ours = [a for a in arguments if old_names.NEW.get(a.split("=", 1)[0], a.split("=", 1)[0]) in OURS]
    if ours:
        raise OrdealError(f"{', '.join(ours)}: the gate sets {', '.join(OURS)} itself; leave it out")
    folder = results / f"gate-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    sides = {"from": base, "to": candidate}
    folders = {
        name: folder / f"{name}-{file_name(version.kubernetes or version.image)}" for name, version in sides.items()
    }
    total = repeats * len(sides)
    turns = [(name, version) for _ in range(repeats) for name, version in sides.items()]
    cut_short, interrupted = "", False
    seen: Standing | None = None
    without_specs = _without_specs(sides.values(), report)

    def command(name: str, *tests: str) -> list[str]:
        return [
            *(pytest or running.pytest(Path.cwd())),
            *(tests or (str(suites_dir()),)),
            *sides[name].options,
            "--ordeal-results",
            str(folders[name]),
            *NO_UPGRADE,
            *without_specs,
            *(f"--deselect={test}" for test in (seen.closed if seen else ())),
            *arguments,
        ]

    for number, (name, version) in enumerate(turns, start=1):
        report(f"run {number} of {total}: {version}")
        code, interrupted = child.run(command(name))
        if interrupted:
            cut_short = f"run {number} of {total} ({version}) was interrupted"
        elif code not in RAN or not _has_runs(folders[name]):
            cut_short = f"run {number} of {total} ({version}) came to nothing, pytest ended with {code}"
        if cut_short:
            break
        if known is not None and number % len(sides) == 0 and number < total:
            try:
                seen = known(folders["from"], folders["to"])
            except OrdealError as error:
                cut_short = f"what there is after run {number} of {total} can't be compared: {error}"
                break
            if seen.over:
                report(f"over after run {number} of {total}: {seen.over}")
                break
            if seen.closed:
                report(f"{len(seen.closed)} tests need no more repeats")
    again = [running.located(test) or test for test in seen.again] if seen else []
    times = seen.times if seen and again else 0
    for more in range(times):
        report(f"{base} once more, {more + 1} of {times}: does it break that too?")
        code, interrupted = child.run(command("from", *again))
        if interrupted or code not in RAN:
            cut_short = f"whether {base} breaks that too was not tried to the end"
            break
    without = [str(version) for name, version in sides.items() if not _has_runs(folders[name])]
    if without:
        raise OrdealError(f"{cut_short}; there are no results of {' and '.join(without)}, nothing can be compared")
    over = seen.over if seen else ""
    return Ran(folders["from"], folders["to"], cut_short, interrupted, over, seen.alpha if seen and over else None)


def _without_specs(sides: Iterable[Version], report: Callable[[str], None]) -> tuple[str, ...]:
    """Options that leave upstream's specs out, where e2e.test of one side is not built: there is nothing to compare."""
    lacking = [v for v in dict.fromkeys(s.kubernetes or DEFAULT_KUBERNETES for s in sides) if program.find(v) is None]
    if not lacking:
        return ()
    report(f"upstream's specs are left out on both sides: {'; '.join(program.not_built(v) for v in lacking)}")
    return ("--ordeal-conform", "none", "--ignore", str(suites_dir() / CONFORMANCE))


def _has_runs(folder: Path) -> bool:
    return any(folder.glob("*/results.json"))


def _target(arguments: Sequence[str]) -> Target:
    """The kind of cluster that pytest's arguments ask for."""
    joined = " ".join(arguments)
    asked = re.search(r"--(?:ordeal-)?cluster[ =](\S+)", joined)
    return Target(asked[1]) if asked and asked[1] in {Target.KIND, Target.SIMULATED} else Target.ALL
