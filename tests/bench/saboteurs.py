"""Saboteurs of what replays are made of, each in each hardened replay: does any end as held? `make bench-saboteurs`.

python -m tests.bench.saboteurs [--cluster simulated|kind|both] [--saboteurs A,B] [--replays X,Y]

A saboteur's replays on one kind of cluster are one run of pytest, so that they share clusters. A cell is a line of
results/saboteurs.jsonl, so that a later session can go on. At the end the newest line of each cell of this commit is in
the table; it ends with 1 where one is HELD, or is not what it is declared to be. `--replays ""` only counts.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from chaos.errors import OrdealError
from chaos.results.results import machine_facts
from chaos.results.saved import SavedOutcome, load
from tests.bench.child import run_to_end
from tests.bench.told import aligned, append, read
from tests.bench.tours import commit_of
from tests.saboteurs import NAMED_BY, PARTS, SAME, name_of
from tests.saboteurs.cells import COLUMNS, KIND, SIMULATED, Column, no_part
from tests.saboteurs.putting import ACTS_IN, acts_in

ROOT = Path(__file__).parents[2]
KEPT = "saboteurs.jsonl"
NOBODY = "nobody"
# What becomes of a cell. The first four are as it must be.
UNKNOWN, VIOLATED, ALIKE, NO_PART = "unknown", "violated", "same", "no part"
HELD, IDLE, LOST, UNDISTURBED = "HELD", "IDLE", "LOST", "undisturbed"
GOOD = (UNKNOWN, VIOLATED, ALIKE, NO_PART)


@dataclass(frozen=True, slots=True)
class Cell:
    """A replay with a saboteur, or with none (NOBODY). `findings`: name, verdict and reason of each."""

    commit: str
    saboteur: str
    replay: str
    began: str
    outcome: str
    why: str
    took_s: float
    findings: tuple[tuple[str, str, str], ...] = ()


def findings_of(outcome: SavedOutcome) -> tuple[tuple[str, str, str], ...]:
    """What is compared with a replay that nobody disturbed."""
    return tuple(sorted((f.invariant, f.verdict, f.reason) for f in outcome.findings))


def told(
    saboteur: str, column: Column, outcome: SavedOutcome | None, acted: bool, undisturbed: Cell | None
) -> tuple[str, str]:
    """What became of a cell, and the sentence that says why."""
    if outcome is None:
        return LOST, "the replay has no result"
    if saboteur == NOBODY:
        return (UNDISTURBED if outcome.passed else LOST), outcome.why
    declared = no_part(saboteur, column.name)
    if not acted and not declared:
        return IDLE, f"it did nothing here, and nobody says why; the replay: {outcome.why}"
    if not outcome.passed:
        return (
            (LOST, f"it is to have no part ({declared}): {outcome.why}") if declared else (outcome.verdict, outcome.why)
        )
    return _held(saboteur, declared, outcome, undisturbed)


def _held(saboteur: str, declared: str, outcome: SavedOutcome, undisturbed: Cell | None) -> tuple[str, str]:
    """Where a replay held: whether that is as it must be, for which it has to be what it is undisturbed."""
    if not declared and saboteur not in SAME:
        return HELD, outcome.why
    if undisturbed is None or undisturbed.outcome != UNDISTURBED:
        return LOST, "there is nothing to compare it with: run it with nobody first"
    if (found := findings_of(outcome)) != undisturbed.findings:
        return HELD, f"other findings than undisturbed: {found}, {undisturbed.findings}"
    if declared:
        return NO_PART, declared
    return ALIKE, f"the {len(found)} findings are those of the replay that nobody disturbed"


def of_file(path: Path, commit: str) -> dict[tuple[str, str], Cell]:
    """The newest cell of each saboteur and replay of a commit that is in the file."""
    cells = (
        Cell(**{**each, "findings": tuple((str(n), str(v), str(r)) for n, v, r in each["findings"])})
        for each in read(path)
        if each.get("commit") == commit
    )
    return {(each.saboteur, each.replay): each for each in cells}


def table(cells: Mapping[tuple[str, str], Cell]) -> list[str]:
    """Saboteurs and replays, as Markdown; empty where a cell was not run."""
    columns = [each.name for each in COLUMNS if any(replay == each.name for _, replay in cells)]
    names = [name for name in map(name_of, PARTS) if any(saboteur == name for saboteur, _ in cells)]
    rows = [["saboteur", *columns], ["---"] * (len(columns) + 1)]
    rows += [
        [name, *(cells[name, column].outcome if (name, column) in cells else "" for column in columns)]
        for name in names
    ]
    return ["| " + " | ".join(row) + " |" for row in rows]


def sentences(cells: Mapping[tuple[str, str], Cell]) -> list[str]:
    """What each cell says, by saboteur."""
    order = [(name, column.name) for name in map(name_of, PARTS) for column in COLUMNS]
    there = [cells[key] for key in order if key in cells]
    return aligned([[each.saboteur, each.replay, each.outcome, each.why] for each in there])


def run(saboteur: str, columns: Sequence[Column], tell: Callable[[str], None]) -> int:
    """Run one saboteur's replays on one kind of cluster; pytest's exit code, or 130 where it was interrupted."""
    began, results, commit = datetime.now(UTC), ROOT / "results", commit_of(ROOT)
    cluster, kept = columns[0].cluster, results / KEPT
    log = results / "saboteurs" / f"{began:%Y%m%d-%H%M%S}-{saboteur}-{cluster}.log"
    with tempfile.TemporaryDirectory() as folder:
        acts, written = Path(folder) / "acts", Path(folder) / "results"
        argv = [sys.executable, "-m", "pytest", *(each.id for each in columns), "-p", "no:cacheprovider"]
        argv += ["--ordeal-cluster", cluster, "--ordeal-cluster-name", f"sab{saboteur[:3]}"]
        argv += ["--ordeal-results", str(written)]
        env = {ACTS_IN: str(acts)}
        if saboteur != NOBODY:
            argv += ["-p", "tests.saboteurs"]
            env[NAMED_BY] = saboteur
        ended = run_to_end(argv, cwd=ROOT, log=log, env=env)
        if ended.interrupted:
            return 130
        outcomes = _outcomes(written)
        acted = {test for _, test in acts_in(acts)}
    before = of_file(kept, commit)
    for column in columns:
        outcome = outcomes.get(column.id)
        what, why = told(saboteur, column, outcome, column.id in acted, before.get((NOBODY, column.name)))
        found = findings_of(outcome) if outcome else ()
        took_s = outcome.duration_s if outcome else 0.0
        at = began.isoformat(timespec="seconds")
        append(kept, asdict(Cell(commit, saboteur, column.name, at, what, why, round(took_s, 1), found)))
        tell(f"{saboteur} in {column.name}: {what}, {took_s:.0f} s: {why}")
    return ended.exit_code


def _outcomes(results: Path) -> Mapping[str, SavedOutcome]:
    try:
        return {each.test: each for each in load(results).outcomes}
    except OrdealError:
        return {}


def _chosen(said: str | None, there: Sequence[str]) -> list[str]:
    """Of a list parted by commas. Raises OrdealError where one is not there."""
    names = list(there) if said is None else [name for name in said.split(",") if name]
    unknown = [name for name in names if name not in there]
    if unknown:
        raise OrdealError(f"there is no {unknown[0]}; there are: {', '.join(there)}")
    return names


def _tell(said: str) -> None:
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.saboteurs", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--cluster", choices=(SIMULATED, KIND, "both"), default="both")
    parser.add_argument("--saboteurs", help="only these, parted by commas; nobody: the replays undisturbed")
    parser.add_argument("--replays", help="only these, parted by commas")
    asked = parser.parse_args(arguments)
    try:
        saboteurs = _chosen(asked.saboteurs, [NOBODY, *map(name_of, PARTS)])
        replays = _chosen(asked.replays, [each.name for each in COLUMNS])
    except OrdealError as error:
        parser.error(str(error))
    _tell("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    for cluster in (SIMULATED, KIND) if asked.cluster == "both" else (asked.cluster,):
        columns = [each for each in COLUMNS if each.cluster == cluster and each.name in replays]
        for saboteur in saboteurs if columns else ():
            if run(saboteur, columns, _tell) == 130:
                return 130
    cells = of_file(ROOT / "results" / KEPT, commit_of(ROOT))
    _tell(f"--- all cells of this commit that are in results/{KEPT}:")
    for each in (*table(cells), *sentences(cells)):
        _tell(each)
    bad = [each for each in cells.values() if each.outcome not in (*GOOD, UNDISTURBED)]
    good = [each for each in cells.values() if each.outcome in GOOD]
    _tell(f"{len(good)} of {len(good) + len(bad)} cells are as they must be")
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
