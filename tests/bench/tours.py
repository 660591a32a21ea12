"""Tours in a row, side by side and one after the other by turns: is each green, and are the verdicts the same?

python -m tests.bench.tours [--tours N] [--ways both|side|one] [--all]. Long: `make bench-tours` runs it.

Each run is a line of results/tours.jsonl, so that a later session can go on counting: the answer at the end counts all
runs of this commit that are there. `--tours 0` only counts. Results and outputs are kept.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from chaos.results.results import machine_facts
from tests.bench.child import Ended, run_to_end
from tests.bench.runs import newest, read_run, replay_of, runs_in
from tests.bench.told import aligned, append, read

ROOT = Path(__file__).parents[2]
# For each way, what the Makefile takes for it.
WAYS = {"side": "auto", "one": "0"}
NAMES = {"side": "side by side", "one": "one after the other"}
GOALS = {"tour": ("run", 20), "all": ("run-all", 3)}


@dataclass(frozen=True, slots=True)
class Red:
    """A replay that did not pass, and the sentence that says why."""

    replay: str
    why: str


@dataclass(frozen=True, slots=True)
class Tour:
    """One run. `results` is its folder, empty where there is none; `idle` a share, `busy_s` seconds of one processor.

    `verdicts`: of each replay, by its name.
    """

    commit: str
    what: str
    way: str
    began: str
    code: int
    took_s: float
    idle: float
    busy_s: float
    load_before: float
    load_after: float
    results: str
    output: str
    verdicts: Mapping[str, str] = field(default_factory=dict)
    reds: Sequence[Red] = ()

    @property
    def green(self) -> bool:
        return self.code == 0


def toured(commit: str, what: str, way: str, began: datetime, ended: Ended, folder: Path | None, log: Path) -> Tour:
    """What came out of a run that ended; `folder` has its results, where it has any."""
    saved = read_run(folder)
    outcomes = saved.outcomes if saved else ()
    return Tour(
        commit=commit,
        what=what,
        way=way,
        began=began.isoformat(timespec="seconds"),
        code=ended.exit_code,
        took_s=round(ended.took_s, 1),
        idle=round(ended.idle, 3),
        busy_s=round(ended.busy_s, 1),
        load_before=round(ended.load[0], 2),
        load_after=round(ended.load[1], 2),
        results=str(folder or ""),
        output=str(log),
        verdicts={replay_of(o.test): o.verdict for o in outcomes},
        reds=[Red(replay_of(o.test), o.why) for o in outcomes if not o.passed],
    )


def line(tour: Tour) -> list[str]:
    """A run as it is told when it ends: the run, each replay's verdict, what was red."""
    how = f"{NAMES[tour.way]}: {'green' if tour.green else 'RED'}, exit code {tour.code}, {tour.took_s:.0f} s"
    load = f"load average {tour.load_before:.1f} before, {tour.load_after:.1f} after"
    said = [f"  {row}" for row in aligned(list(tour.verdicts.items()))]
    return [f"{how}, processors idle {tour.idle:.0%}, {load}", *said, *(f"  {red}" for red in _reds(tour))]


def answer(tours: Sequence[Tour], ways: Sequence[str]) -> list[str]:
    """How many were green each way, whether the verdicts are equal, what was red, and how long it took."""
    said = []
    for way in ways:
        of_way = [t for t in tours if t.way == way]
        if not of_way:
            said.append(f"{NAMES[way]}: none")
            continue
        took_s, busy_s = statistics.median(t.took_s for t in of_way), statistics.median(t.busy_s for t in of_way)
        idle = statistics.median(t.idle for t in of_way)
        said.append(
            f"{NAMES[way]}: {sum(t.green for t in of_way)} of {len(of_way)} green, the last {_in_a_row(of_way)} in a "
            f"row; median {took_s:.0f} s, {busy_s:.0f} s of processor time, processors idle {idle:.0%}"
        )
    said += _compared(tours, ways)
    for tour in tours:
        if not tour.green:
            said.append(f"red: {NAMES[tour.way]}, began {tour.began}, exit code {tour.code}")
            said += [f"  {red}" for red in _reds(tour)]
    return said


def differences(tours: Sequence[Tour], ways: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """The replays that had more than one verdict: for each way what they had, "none" where they were not replayed."""
    found = {}
    for replay in sorted({name for t in tours for name in t.verdicts}):
        had = {way: _had(replay, [t for t in tours if t.way == way]) for way in ways}
        if len({verdict for verdicts in had.values() for verdict in verdicts}) > 1:
            found[replay] = had
    return found


def of_file(path: Path, commit: str, what: str) -> list[Tour]:
    """The runs of a commit that are in the file."""
    found = []
    for record in read(path):
        if (record.get("commit"), record.get("what")) == (commit, what):
            reds = [Red(**red) for red in record.pop("reds")]
            found.append(Tour(**record, reds=reds))
    return found


def go(root: Path, what: str, ways: Sequence[str], number: int, tell: Callable[[str], None]) -> int:
    """Run them by turns; 0 where all of this commit were green with equal verdicts, 130 where it was interrupted."""
    goal = GOALS[what][0]
    results, commit = root / "results", commit_of(root)
    interrupted = False
    tell("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    for turn in range(number * len(ways)):
        # the way that begins changes with each pair, so that neither has always the warmer machine
        pair, at = divmod(turn, len(ways))
        way = ways[(at + pair) % len(ways)]
        began, before = datetime.now(UTC), runs_in(results)
        log = results / "tours" / f"{began:%Y%m%d-%H%M%S}-{what}-{way}.log"
        tell(f"{turn + 1} of {number * len(ways)}, {NAMES[way]}, began {began.astimezone():%H:%M:%S}; output: {log}")
        ended = run_to_end(["make", goal, f"SIDE_BY_SIDE={WAYS[way]}"], cwd=root, log=log)
        if ended.interrupted:
            tell("interrupted: this run does not count")
            interrupted = True
            break
        tour = toured(commit, what, way, began, ended, newest(results, before), log)
        append(results / "tours.jsonl", asdict(tour))
        for each in line(tour):
            tell(each)
    there = of_file(results / "tours.jsonl", commit, what)
    tell(f"--- all runs of commit {commit} that are in {results / 'tours.jsonl'}:")
    for each in answer(there, ways):
        tell(each)
    if interrupted:
        return 130
    counted = [t for t in there if t.way in ways]
    return 0 if counted and all(t.green for t in counted) and not differences(counted, ways) else 1


def commit_of(root: Path) -> str:
    """The commit that is checked out, and whether files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


def _compared(tours: Sequence[Tour], ways: Sequence[str]) -> list[str]:
    of_ways = [t for t in tours if t.way in ways]
    if len(of_ways) < 2:
        return []
    different = differences(of_ways, ways)
    if not different:
        return ["the verdicts are equal in all of them"]
    said = ["verdicts that are NOT equal:"]
    for replay, had in different.items():
        said += [f"  {replay}: " + "; ".join(f"{NAMES[way]} {', '.join(of)}" for way, of in had.items() if of)]
    return said


def _had(replay: str, tours: Sequence[Tour]) -> tuple[str, ...]:
    return tuple(sorted({t.verdicts.get(replay, "none") for t in tours}))


def _in_a_row(tours: Sequence[Tour]) -> int:
    """How many at the end are green without a red between."""
    return next((at for at, t in enumerate(reversed(tours)) if not t.green), len(tours))


def _reds(tour: Tour) -> list[str]:
    if tour.green:
        return []
    said = [f"{red.replay}: {red.why}" for red in tour.reds]
    return [*said, f"results: {tour.results or 'none'}; output: {tour.output}"]


def _say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.tours", description=__doc__)
    parser.add_argument("--tours", type=int, metavar="N", help="how many each way (default 20; with --all 3)")
    parser.add_argument("--ways", choices=("both", *WAYS), default="both", help="side by side, one after the other")
    parser.add_argument("--all", action="store_true", help="`make run-all` instead of the tour")
    options = parser.parse_args(arguments)
    what = "all" if options.all else "tour"
    number = GOALS[what][1] if options.tours is None else options.tours
    ways = tuple(WAYS) if options.ways == "both" else (options.ways,)
    try:
        return go(ROOT, what, ways, number, _say)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
