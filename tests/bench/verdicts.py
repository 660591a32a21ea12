"""Hardened replays on a shipped version over and over: how many were held, violated (a false alarm), unknown, and why?

python -m tests.bench.verdicts [--ways quiet|beside|both] [--replays N] [--cluster simulated|kind] [--minutes M]
python -m tests.bench.verdicts --count DIR...

`quiet`: one after the other; `beside`: the same beside a load of 8 (tests/bench/load.py). On kind clusters it is the
tour's, on simulated ones the tour's and the small ones of suites/control_plane. Long: `make bench-verdicts` runs it.

Each replay is a line of results/verdicts.jsonl, so that a later session can go on counting. `--count` runs nothing: it
counts the hardened replays of results that are there, of folders of runs and of files of `make bench-tours`.
"""

import argparse
import os
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from scipy.stats import binomtest

from chaos.clusters.base import KIND, SIMULATED
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.judge.base import Verdict
from chaos.results.results import machine_facts
from chaos.results.saved import RESULTS, SavedRun
from tests.bench.child import Ended, run_to_end
from tests.bench.load import beside
from tests.bench.runs import newest, read_run, replay_of, runs_in
from tests.bench.told import aligned, append, read
from tests.bench.tours import commit_of

ROOT = Path(__file__).parents[2]
KEPT = "verdicts.jsonl"
QUIET, BESIDE, COUNTED = "quiet", "beside", "counted"
NAMES = {QUIET: "one after the other", BESIDE: "beside a load of 8", COUNTED: "counted"}
LOAD = 8
REPLAYS = 100
HARDENED, NUMBER = "hardened]", re.compile(r"\d+(?:\.\d+)?")
# What pytest is to replay. A thousand simulated nodes are a load of their own, and mutants are no shipped version.
CHOSEN = {
    KIND: ("suites/", "--ordeal-tour", "-k", "kind and hardened"),
    SIMULATED: ("suites/control_plane", "-k", "hardened and not zones and not bugs and not protects"),
}
ALL_HELD, NOT_ALL, NOTHING, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, slots=True)
class Replayed:
    """A hardened replay. `why`: the sentence of its verdict; `load_before` and `load_after` of its round: load averages
    of the last minute; `niceness`: that of the bench, and so of the replay and of the load.
    """

    commit: str
    way: str
    cluster: str
    began: str
    replay: str
    verdict: str
    why: str
    took_s: float
    load_before: float = 0.0
    load_after: float = 0.0
    niceness: int = 0
    results: str = ""


def replayed(saved: SavedRun, commit: str, way: str, ended: Ended | None = None) -> list[Replayed]:
    """The hardened replays of a run; one that has no end is none, as the run may go on, or was broken off."""
    load = (round(ended.load[0], 2), round(ended.load[1], 2)) if ended else (0.0, 0.0)
    return [
        Replayed(
            commit=commit,
            way=way,
            cluster=each.cluster,
            began=each.started,
            replay=replay_of(each.test),
            verdict=each.verdict,
            why=each.why,
            took_s=round(each.duration_s, 1),
            load_before=load[0],
            load_after=load[1],
            niceness=os.getpriority(os.PRIO_PROCESS, 0) if ended else 0,
            results=str(saved.path),
        )
        for each in saved.outcomes
        if each.ended and not each.control
    ]


def counted(places: Iterable[Path]) -> Iterator[Replayed]:
    """Those of runs' folders, of folders with runs, and of tours.jsonl; a run that is named twice counts once."""
    seen: set[Path] = set()
    for place in places:
        if place.is_file():
            yield from _of_tours(place, seen)
            continue
        for folder in [place] if (place / RESULTS).is_file() else sorted(runs_in(place)):
            saved = read_run(folder)
            if saved is not None and folder.resolve() not in seen:
                seen.add(folder.resolve())
                yield from replayed(saved, "", COUNTED)


def _of_tours(file: Path, seen: set[Path]) -> Iterator[Replayed]:
    for tour in read(file):
        folder = Path(tour["results"]).resolve() if tour["results"] else None
        if folder in seen:
            continue
        if folder is not None:
            seen.add(folder)
        why = {red["replay"]: red["why"] for red in tour["reds"]}
        for name, verdict in tour["verdicts"].items():
            if name.endswith(HARDENED):
                cluster = name.rpartition("[")[2].partition("-")[0]
                said = (verdict, why.get(name, ""), 0.0, tour["load_before"], tour["load_after"])
                yield Replayed(tour["commit"], COUNTED, cluster, tour["began"], name, *said, results=tour["results"])


def answer(all_of_them: Sequence[Replayed], ways: Sequence[str]) -> list[str]:
    """For each way how many of each verdict, with the interval in which its share lies; of each replay; each cause."""
    rows = [("way", "replays", *Verdict)]
    for way in ways:
        mine = [each for each in all_of_them if each.way == way]
        had = Counter(each.verdict for each in mine)
        rows.append((NAMES[way], str(len(mine)), *(share(had[verdict], len(mine)) for verdict in Verdict)))
    said = aligned(rows)
    for way in ways:
        mine = [each for each in all_of_them if each.way == way]
        loads = [load for each in mine for load in (each.load_before, each.load_after) if load]
        if loads and way != COUNTED:
            nice = ", ".join(str(each) for each in sorted({each.niceness for each in mine}))
            loaded = f"load averages of {min(loads):.1f} to {max(loads):.1f}"
            said.append(f"{NAMES[way]}: {loaded}, replays at niceness {nice}")
        said += _by_replay(mine)
        said += _causes(mine, NAMES[way])
    return said


def share(number: int, of: int) -> str:
    """So many of so many, and between which shares the true one lies with 95 % (Clopper and Pearson)."""
    if not of:
        return "0"
    interval = binomtest(number, of).proportion_ci(confidence_level=0.95, method="exact")
    return f"{number} ({100 * number / of:.1f} %; 95 %: {100 * interval.low:.1f} to {100 * interval.high:.1f} %)"


def _by_replay(mine: Sequence[Replayed]) -> list[str]:
    had: dict[str, Counter[str]] = defaultdict(Counter)
    for each in mine:
        had[each.replay][each.verdict] += 1
    return [
        f"  {line}"
        for line in aligned(
            [
                (name, ", ".join(f"{of[verdict]} {verdict}" for verdict in Verdict if of[verdict]))
                for name, of in sorted(had.items())
            ]
        )
    ]


def _causes(mine: Sequence[Replayed], way: str) -> list[str]:
    """What was not held, grouped by sentences that are alike but for their numbers; the first of each is told."""
    alike: dict[tuple[str, str], list[Replayed]] = defaultdict(list)
    for each in mine:
        if each.verdict != Verdict.HELD:
            alike[each.verdict, NUMBER.sub("#", each.why)].append(each)
    said = []
    for (verdict, _), them in sorted(alike.items(), key=lambda group: -len(group[1])):
        said.append(f"{verdict} {way}, {len(them)} of {len(mine)}: {them[0].why or 'no sentence'}")
        said += [f"  {each.replay}, began {each.began}: {each.results or 'no results'}" for each in them]
    return said


def of_file(path: Path, commit: str) -> list[Replayed]:
    """The replays of a commit that are in the file."""
    return [Replayed(**each) for each in read(path) if each.get("commit") == commit]


def go(
    root: Path, argv: Sequence[str], ways: Sequence[str], number: int, minutes: float, tell: Callable[[str], None]
) -> int:
    """Rounds by turns until each way has so many replays more, or no round may begin any more.

    0 where all of this commit that are in the file were held, 2 where a round replayed nothing, 130 where it was
    interrupted.
    """
    results, commit, until = root / "results", commit_of(root), time.monotonic() + 60 * minutes
    done: Counter[str] = Counter()
    end = ALL_HELD
    while end == ALL_HELD and (left := [way for way in ways if done[way] < number]) and time.monotonic() < until:
        way = min(left, key=lambda each: (done[each], ways.index(each)))
        found, end = _round(results, argv, way, commit, tell)
        done[way] += len(found)
    there = of_file(results / KEPT, commit)
    tell(f"--- all hardened replays of commit {commit} that are in {results / KEPT}:")
    for each in answer(there, [way for way in NAMES if any(of.way == way for of in there)] or ways):
        tell(each)
    if end != ALL_HELD:
        return end
    return ALL_HELD if there and all(each.verdict == Verdict.HELD for each in there) else NOT_ALL


def _round(
    results: Path, argv: Sequence[str], way: str, commit: str, tell: Callable[[str], None]
) -> tuple[list[Replayed], int]:
    """Replay them once: what became of them, and whether to go on (0)."""
    began, before = datetime.now(UTC), runs_in(results)
    log = results / "verdicts" / f"{began:%Y%m%d-%H%M%S}-{way}.log"
    with beside(LOAD) if way == BESIDE else nullcontext():
        ended = run_to_end(argv, cwd=results.parent, log=log)
    if ended.interrupted:
        tell("interrupted: this round does not count")
        return [], INTERRUPTED
    saved = read_run(newest(results, before))
    found = replayed(saved, commit, way, ended) if saved else []
    load = f"load average {ended.load[0]:.1f} before, {ended.load[1]:.1f} after"
    tell(f"{NAMES[way]}, began {began.astimezone():%H:%M:%S}: {ended.took_s:.0f} s, {load}; output: {log}")
    for each in found:
        append(results / KEPT, asdict(each))
    for line in aligned([(of.replay, of.verdict, f"{of.took_s:.0f} s", of.why) for of in found]):
        tell(f"  {line}")
    if not found:
        tell(f"no hardened replay ended in that round (exit code {ended.exit_code})")
    return found, ALL_HELD if found else NOTHING


def _tell(said: str) -> None:
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.verdicts", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--ways", choices=(QUIET, BESIDE, "both"), default="both")
    parser.add_argument("--replays", type=int, default=REPLAYS, metavar="N", help="more of each way, 100")
    parser.add_argument("--cluster", choices=tuple(CHOSEN), default=SIMULATED)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no round later than that")
    parser.add_argument("--count", nargs="+", type=Path, metavar="DIR", help="run nothing, count what is there")
    asked = parser.parse_args(arguments)
    if asked.count:
        found = list(counted(asked.count))
        for each in answer(found, [COUNTED]):
            _tell(each)
        return ALL_HELD if found and all(each.verdict == Verdict.HELD for each in found) else NOT_ALL
    _tell("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    how = ("--ordeal-profile", "smoke", "--ordeal-kubernetes", DEFAULT_KUBERNETES, "-n", "0", "--no-header")
    argv = [sys.executable, "-m", "pytest", *CHOSEN[asked.cluster], "--ordeal-cluster", asked.cluster, *how]
    ways = (QUIET, BESIDE) if asked.ways == "both" else (asked.ways,)
    return go(ROOT, [*argv, "--ordeal-no-controls"], ways, asked.replays, asked.minutes, _tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
