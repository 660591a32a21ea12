"""The score of the suites: how many of the historical bugs that there are they find, each put back once."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from chaos.cli import child
from chaos.cli.output import INTERRUPTED
from chaos.errors import OrdealError
from chaos.hosts import mutants
from chaos.hosts.mutants import Mutant
from chaos.hosts.places import suites_dir
from chaos.results.saved import SavedRun, load, named
from chaos.run import old_names
from chaos.run.case import Case, kinds
from chaos.run.incident import HARDENED
from chaos.run.suites import Suite, suites
from chaos.session import running

OURS = ("--ordeal-kubernetes", "--ordeal-results")  # what it sets itself


class Became(StrEnum):
    """What became of a mutant. Only a killed one is found; a twin, which has no bug, has to survive."""

    KILLED = "killed"
    SURVIVED = "survived"
    UNKNOWN = "unknown"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Scored:
    """A mutant, what became of it, the invariant that judged it, and the reason in a few words."""

    mutant: Mutant
    fate: Became
    judged_by: str = ""
    why: str = ""

    @property
    def is_as_it_must_be(self) -> bool:
        """A bug is found; a twin is not taken for one."""
        return self.fate is (Became.KILLED if self.mutant.pull_request else Became.SURVIVED)


@dataclass(frozen=True, slots=True)
class Score:
    """All that were asked for, in the order of the register; `cut_short`: why it is not all of it, "" where it is."""

    scored: tuple[Scored, ...]
    cut_short: str = ""
    interrupted: bool = False

    @property
    def sentence(self) -> str:
        """How many were killed, and how many of each other fate there are; twins beside."""
        bugs = [each for each in self.scored if each.mutant.pull_request]
        twins = [each for each in self.scored if not each.mutant.pull_request]
        parts = [f"{sum(each.fate is Became.KILLED for each in bugs)} of {len(bugs)} mutants were killed"]
        parts += [f"{count} {fate}" for fate in list(Became)[1:] if (count := sum(each.fate is fate for each in bugs))]
        if twins:
            parts.append(f"{sum(each.is_as_it_must_be for each in twins)} of {len(twins)} twins passed")
        return ", ".join(parts)

    @property
    def exit_code(self) -> int:
        """0: each is as it must be; 1: one survived, or a twin was blamed; 2: nobody can say, or it was cut short."""
        if self.interrupted:
            return INTERRUPTED
        if any(each.fate is Became.SURVIVED and each.mutant.pull_request for each in self.scored):
            return 1
        if any(each.fate is Became.KILLED and not each.mutant.pull_request for each in self.scored):
            return 1
        return 0 if not self.cut_short and all(each.is_as_it_must_be for each in self.scored) else 2


def chosen(names: Sequence[str], incident: str) -> tuple[Mutant, ...]:
    """The mutants of those names (all where there are none) whose incident it is ("": any), with their twins.

    Raises OrdealError where there is no such mutant, or none is left.
    """
    wanted = [mutants.find(name) for name in names] or list(mutants.MUTANTS)
    wanted = [each for each in wanted if incident in {"", each.incident}]
    if not wanted:
        there = ", ".join(sorted({each.incident for each in mutants.MUTANTS}))
        raise OrdealError(f"no mutant is there for {incident or 'it'}; there are some for {there}")
    twins = [mutants.find(each.twin) for each in wanted if each.twin]
    return tuple(each for each in mutants.MUTANTS if each in wanted or each in twins)


def replays_of(wanted: Sequence[Mutant], there: Sequence[Suite]) -> Mapping[str, tuple[str, ...]]:
    """The tests, by pytest node id, that run one of these mutants, and which of them."""
    names = {each.name for each in wanted}
    found = {}
    for suite in there:
        for variant, declared in suite.replay.mutants.items():
            mine = tuple(name for name in declared if name in names)
            for kind in kinds(suite.replay, "auto") if mine else ():
                case = Case(kind, None if variant == HARDENED else variant)
                found[f"{suites_dir() / suite.test}[{case}]"] = mine
    return found


def run(
    wanted: Sequence[Mutant],
    *,
    kubernetes: str,
    arguments: Sequence[str],
    results: Path,
    report: Callable[[str], None],
    pytest: Sequence[str] = (),
) -> Score:
    """Build these mutants, replay only what must find each, and count. `arguments` are further ones for pytest;
    `pytest`: another command than that of chaos.session.running. A mutant whose source no longer fits is unknown, and
    the others are tried. Raises OrdealError where none can be tried.
    """
    theirs = [each.split("=", 1)[0] for each in arguments]
    if ours := [each for each in theirs if old_names.NEW.get(each, each) in OURS]:
        raise OrdealError(f"{', '.join(ours)}: the score sets {', '.join(OURS)} itself; leave it out")
    told: dict[str, Scored] = {}
    for each in wanted:
        try:
            mutants.build(each.name, kubernetes, report=report)
        except OrdealError as error:
            told[each.name] = Scored(each, Became.UNKNOWN, why=str(error))
    tests = replays_of([each for each in wanted if each.name not in told], suites())
    tried = {name for names in tests.values() for name in names}
    for each in wanted:
        if each.name not in tried:
            told.setdefault(each.name, Scored(each, Became.NOT_TRIED, why="no suite runs it"))
    if not tests:
        raise OrdealError(f"none of the mutants can be tried: {'; '.join(f'{n}: {s.why}' for n, s in told.items())}")
    folder = results / f"score-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    command = [
        *(pytest or running.pytest(Path.cwd())),
        *tests,
        "--ordeal-kubernetes",
        kubernetes,
        "--ordeal-results",
        str(folder),
        *arguments,
    ]
    report(f"{len(tests)} replays for {len(tried)} mutants")
    code, interrupted = child.run(command)
    runs = [load(results, each) for each in named(str(folder))] if any(folder.glob("*/results.json")) else []
    cut_short = "it was interrupted" if interrupted else "" if code in {0, 1} else f"pytest ended with {code}"
    scored = tuple(told.get(each.name) or _scored(each, runs) for each in wanted)
    return Score(scored, cut_short, interrupted)


def _scored(mutant: Mutant, runs: Sequence[SavedRun]) -> Scored:
    """What the runs say of it: found in any of its replays is found; unknown only where none of them knows more."""
    rows = [row for run in runs for row in run.mutants if row.get("mutant") == mutant.name]
    fates = [_fate(str(row.get("verdict", ""))) for row in rows]
    if not rows:
        failed = [o.why for run in runs for o in run.outcomes if o.id == mutant.incident and not o.passed]
        return Scored(mutant, Became.UNKNOWN, why=failed[0] if failed else "its replay said nothing of it")
    best = next(fate for fate in Became if fate in fates)
    row = rows[fates.index(best)]
    said = Scored(mutant, best, str(row.get("judged by", "")), str(row.get("reason", "")))
    return said if said.judged_by else replace(said, judged_by=mutant.killed_by)


def _fate(verdict: str) -> Became:
    return {"violated": Became.KILLED, "held": Became.SURVIVED}.get(verdict, Became.UNKNOWN)
