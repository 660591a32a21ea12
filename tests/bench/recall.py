"""Which of the regressions that Kubernetes named itself are found, and by what? `make bench-recall`.

python -m tests.bench.recall [--regressions 138736,139629] [--count RESULTS...] [OPTIONS OF PYTEST]

Each is replayed as a version has it that is shipped, by a feature gate that brings it back, or as a mutant: only those
replays are run. `--count` runs nothing and reads results that are there. It ends with 1 where one that is said to be
found was not. docs/recall.md has the table.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from chaos.cli.score import replays_of
from chaos.hosts import mutants
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.places import suites_dir
from chaos.results.results import machine_facts
from chaos.results.saved import SavedRun, load, named
from chaos.run.case import Case, kinds
from chaos.run.suites import suites
from chaos.session import running
from tests.bench.child import run_to_end
from tests.bench.told import aligned

ROOT = Path(__file__).parents[2]
COLUMNS = ("pull request", "what", "versions with it", "by", "incident, invariant", "found", "s", "sentence")
NOT_SOUGHT, NOT_REPLAYED, NOT_IN = "not sought", "not replayed", "not in this version"


class By(StrEnum):
    """How a regression is there in a replay."""

    SHIPPED = "as shipped"
    GATE = "feature gate"
    MUTANT = "mutant"


@dataclass(frozen=True, slots=True)
class Way:
    """One of an incident's controls that has the regression, or a mutant: its id."""

    by: By
    incident: str
    id: str


@dataclass(frozen=True, slots=True)
class Regression:
    """What upstream's release notes call a regression, by the pull request that mended it or, where it has an issue of
    its own, by that; the versions that have it, as the notes and the pull request say.
    """

    number: int
    what: str
    versions: str
    way: Way | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a replay said of a regression: the invariant, whether it was violated, the sentence, how long it took.

    `not_in`: the version that was replayed has no such bug.
    """

    invariant: str
    found: bool
    sentence: str
    took_s: float
    not_in: bool = False


REGRESSIONS = (
    Regression(
        135017,
        "StatefulSets roll when the controller manager is upgraded",
        "1.34.0-1",
        Way(By.GATE, "aged-objects", "rolled"),
    ),
    Regression(
        138736,
        "the endpoints controller ends the controller manager at a Service from before dual stack",
        "1.33.0-12, 1.34.0-8, 1.35.0-5, 1.36.0-1",
        Way(By.SHIPPED, "aged-objects", "as-shipped"),
    ),
    Regression(
        139168,
        "a Secret with bytes that are no UTF-8 in env",
        "1.34.0-8, 1.35.0-5, 1.36.0-1",
        Way(By.SHIPPED, "aged-objects", "as-shipped-binary"),
    ),
    Regression(
        136325,
        "env with $ before a character of several bytes",
        "1.34.0-3, 1.35.0",
        Way(By.MUTANT, "aged-objects", "dollar-sign-cut"),
    ),
    Regression(
        137904,
        "a Parallel StatefulSet whose first revision fails is never updated",
        "1.35.0-3",
        Way(By.GATE, "aged-objects", "unavailable-counted"),
    ),
    Regression(134652, "a DaemonSet and orphaned pods", "1.33.0-5"),
    Regression(139850, "the kubelet keeps a context of each sync", "1.36.0-2"),
    Regression(
        133873,
        "the sizes of events are reckoned for ever",
        "1.34.0",
        Way(By.MUTANT, "component-soak", "event-sizes-reckoned"),
    ),
    Regression(132244, "LISTs in pages go to etcd", "1.33.0-2", Way(By.MUTANT, "stale-watch-cache", "pages-from-etcd")),
    Regression(134401, "SchedulerAsyncAPICalls", "1.34.0-1, 1.35.0"),
    Regression(
        130484,
        "conntrack entries of other ports are deleted",
        "1.32.0-2",
        Way(By.MUTANT, "udp-blackhole", "conntrack-port-ignored"),
    ),
    Regression(129982, "conntrack entries take gigabytes", "1.32.0-2"),
    Regression(
        139629,
        "a UDP Service without endpoints keeps its conntrack entries",
        "1.32 on",
        Way(By.SHIPPED, "udp-blackhole", "as-shipped-no-endpoint"),
    ),
)


def replays_for(wanted: Sequence[Regression]) -> tuple[str, ...]:
    """The tests, by pytest node id, that replay these regressions."""
    there = suites()
    found: dict[str, object] = {}
    for way in (each.way for each in wanted if each.way is not None):
        if way.by is By.MUTANT:
            found |= dict.fromkeys(replays_of([mutants.find(way.id)], there))
            continue
        for suite in there:
            if suite.replay.incident.id == way.incident and way.id in suite.replay.controls:
                for kind in kinds(suite.replay, "auto"):
                    found[f"{suites_dir() / suite.test}[{Case(kind, way.id)}]"] = None
    return tuple(found)


def found_in(way: Way, runs: Sequence[SavedRun]) -> Found | None:
    """What the runs say of it: found where any replay of it found it. None where none was judged by what must."""
    said = [each for run in runs for each in _said(way, run)]
    return next((each for each in said if each.found), said[0] if said else None)


def _said(way: Way, run: SavedRun) -> list[Found]:
    if way.by is By.MUTANT:
        return [_of_mutant(row, run) for row in run.mutants if row.get("mutant") == way.id]
    found = []
    for o in run.outcomes:
        if (o.id, o.control) != (way.incident, way.id):
            continue
        control = next(c for c in run.incident(o.id).controls if c.id == way.id)
        for f in o.findings:
            if f.invariant == control.breaks:
                is_found = o.passed and f.verdict == "violated" and f.reason == control.because
                not_in = o.passed and not control.must_break(o.kubernetes)
                found.append(Found(f.invariant, is_found, f.sentence, o.duration_s, not_in))
    return found


def _of_mutant(row: Mapping[str, object], run: SavedRun) -> Found:
    """What a mutant's line says. Where its replay is of it alone, there is a sentence to it, else its reason."""
    invariant = str(row.get("judged by", ""))
    replays = [o for o in run.outcomes if o.test == row.get("test")]
    said = [f.sentence for o in replays for f in o.findings if f.invariant == invariant]
    sentence = said[0] if said else str(row.get("reason", ""))
    return Found(invariant, row.get("verdict") == "violated", sentence, sum(o.duration_s for o in replays))


def row(each: Regression, runs: Sequence[SavedRun]) -> tuple[str, ...]:
    """A regression's line of the table."""
    head = (f"#{each.number}", each.what, each.versions)
    if each.way is None:
        return (*head, NOT_SOUGHT, "", "no", "", "")
    said = found_in(each.way, runs)
    by = f"{each.way.by} {each.way.id}"
    if said is None:
        return (*head, by, each.way.incident, NOT_REPLAYED, "", "")
    where = f"{each.way.incident}, {said.invariant}"
    is_found = "yes" if said.found else NOT_IN if said.not_in else "NO"
    return (*head, by, where, is_found, f"{said.took_s:.0f}", said.sentence)


def sentence(rows: Sequence[Sequence[str]]) -> str:
    """The recall, and what it leaves out."""
    found = [each[5] for each in rows]
    sought = sum(each[3] != NOT_SOUGHT for each in rows)
    return f"recall: {found.count('yes')} of {len(rows)} found; {sought} were sought"


def main(given: Sequence[str]) -> int:
    """Replay, and print. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regressions", default="", help="by number, joined by commas; all by default")
    parser.add_argument("--count", nargs="*", type=Path, help="only read these results")
    parser.add_argument("--kubernetes", default=DEFAULT_KUBERNETES)
    asked, more = parser.parse_known_args(given)
    numbers = {int(each) for each in asked.regressions.split(",") if each}
    wanted = [each for each in REGRESSIONS if not numbers or each.number in numbers]
    if asked.count is None:
        folder = ROOT / "results" / "recall" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
        options = ("--ordeal-kubernetes", asked.kubernetes, "--ordeal-results", str(folder))
        command = (*running.pytest(ROOT), *replays_for(wanted), *options, *more)
        run_to_end(command, cwd=ROOT, log=folder.with_suffix(".log"), tell=print)
        asked.count = [folder]
    runs = [load(ROOT, each) for given in asked.count for each in named(str(given))]
    rows = [row(each, runs) for each in wanted]
    facts = ", ".join(f"{name} {value}" for name, value in machine_facts().items())
    sys.stdout.write("\n".join([facts, *aligned([COLUMNS, *rows]), sentence(rows), ""]))
    return int(any(each[5] in {"NO", NOT_REPLAYED} for each in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
