"""Runs killed at random moments, of every fault: is anything left behind? Long: `make bench-crash` runs it.

python -m tests.bench.crash [--kills N] [--seed N] [--where made|theirs|both] [FAULT...]

On clusters that are made here each fault's run is killed at N moments: from its plan on, in its harm, while it takes it
back, and one time of some the undo that follows is killed, too. On nodes that somebody else made (`theirs`) N runs are
killed with the agent, its pod, the kubelet or the node, and the node takes it back by itself. After each one the nodes
are compared with before. A kill is a line of results/crashes.jsonl, so that a later session can go on counting.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from chaos.results.results import machine_facts
from tests.bench.child import run_to_end
from tests.bench.told import append, read
from tests.bench.tours import commit_of
from tests.moments import SEEDS

ROOT = Path(__file__).parents[2]
KEPT = "crashes.jsonl"
MADE, THEIRS = "made", "theirs"
TESTS = {MADE: "test_a_killed_run_is_undone", THEIRS: "test_a_killed_run_leaves_nothing_on_the_nodes"}
KILLS = {MADE: 7, THEIRS: 200}  # of some thirty cases on the one, so that both are more than 200
INTERRUPTED, NOTHING_FAILED, SOME_FAILED = 130, 0, 1


@dataclass(frozen=True, slots=True)
class Crash:
    """A run that was killed. `test`: its name without its file; `why`: what was left, or why it can't be told; "" where
    nothing was.
    """

    commit: str
    where: str
    began: str
    seed: int
    test: str
    took_s: float
    why: str


def crashes_of(report: Path, commit: str, where: str, began: str, seed: int) -> list[Crash]:
    """What pytest's JUnit file says of each kill; a test that was skipped killed nothing. Raises OSError."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        bad = [each.get("message", "") for tag in ("failure", "error") for each in case.iter(tag)]
        took_s = float(case.get("time", "0"))
        found.append(Crash(commit, where, began, seed, case.get("name", ""), took_s, "; ".join(bad)))
    return found


def answer(crashes: Sequence[Crash]) -> list[str]:
    """How many there were, of what, and each after which something was not as before."""
    said = []
    for where in TESTS:
        mine = [each for each in crashes if each.where == where]
        bad = [each for each in mine if each.why]
        said.append(f"{where}: {len(bad)} of {len(mine)} killed runs left something, or it can't be told")
        said += [f"  {each.test}, seed {each.seed}: {each.why[:300]}" for each in bad]
    of = Counter(_case(each.test) for each in crashes if each.where == MADE)
    if of:
        fewest = min(of.values())
        said.append(f"{len(of)} cases of faults on clusters made here, each killed {fewest} times at least")
    return said


def of_file(path: Path, commit: str) -> list[Crash]:
    """The kills of a commit that are in the file."""
    return [Crash(**each) for each in read(path) if each.get("commit") == commit]


def go(root: Path, where: str, kills: int, seed: int, faults: Sequence[str], tell: Callable[[str], None]) -> int:
    """Kill them; pytest's exit code, or 130 where it was interrupted."""
    began, results = datetime.now(UTC), root / "results"
    name = f"{began:%Y%m%d-%H%M%S}-{where}"
    chosen = f"{TESTS[where]} and ({' or '.join(faults)})" if faults else TESTS[where]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        asked = ["-k", chosen, "--kills", str(kills), "--kill-seed", str(seed), "--junitxml", str(report)]
        argv = [sys.executable, "-m", "pytest", "tests/integration", *asked, "-v", "-p", "no:cacheprovider"]
        log = results / "crashes" / f"{name}.log"
        tell(f"{where}: {kills} kills of each test, seed {seed}; output: {log}")
        ended = run_to_end([*argv, "--timeout", "1800"], cwd=root, log=log)
        found = crashes_of(report, commit_of(root), where, began.isoformat(timespec="seconds"), seed)
    for each in found:
        append(results / KEPT, asdict(each))
    tell(f"{where}: {len(found)} runs killed in {ended.took_s:.0f} s")
    return INTERRUPTED if ended.interrupted else ended.exit_code


def _case(test: str) -> str:
    """A test's name without the number of the moment."""
    return test.rpartition("-")[0]


def _tell(said: str) -> None:
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crash", description=str(__doc__).partition("\n")[0])
    parser.add_argument(
        "--kills", type=int, help="of each fault where clusters are made, 7; in all on somebody's nodes, 200"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(SEEDS))
    parser.add_argument("--where", choices=(MADE, THEIRS, "both"), default="both")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="only those of these kinds")
    asked = parser.parse_args(arguments)
    _tell("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    for where in TESTS if asked.where == "both" else (asked.where,):
        code = go(ROOT, where, asked.kills or KILLS[where], asked.seed, asked.faults, _tell)
        if code not in {NOTHING_FAILED, SOME_FAILED}:
            return code
    there = of_file(ROOT / "results" / KEPT, commit_of(ROOT))
    _tell(f"--- all kills of this commit that are in results/{KEPT}:")
    for each in answer(there):
        _tell(each)
    return SOME_FAILED if not there or any(each.why for each in there) else NOTHING_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
