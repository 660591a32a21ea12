"""`make test` in a row: is each green, which tests were not, and how long did it take?

python -m tests.bench.tests [--times N]. Long: `make bench-tests` runs it.

Each is a line of results/tests.jsonl; outputs and the results of each part are kept in results/tests/.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from chaos.results.results import machine_facts
from tests.bench.child import Ended, run_to_end
from tests.bench.told import append, read, times
from tests.bench.tours import commit_of

ROOT = Path(__file__).parents[2]
TIMES = 10
LAST_LINES = 5


@dataclass(frozen=True, slots=True)
class Round:
    """One `make test`: how many tests ran in all its parts, and those that failed."""

    commit: str
    began: str
    code: int
    took_s: float
    load_before: float
    load_after: float
    ran: int
    failed: Sequence[str]
    output: str

    @property
    def green(self) -> bool:
        return self.code == 0


def failed_in(document: str) -> tuple[int, list[str]]:
    """How many tests a JUnit file of pytest has, without those that were skipped, and those that failed."""
    ran, failed = 0, []
    for case in ET.fromstring(document).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        ran += 1
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{case.get('classname', '')}::{case.get('name', '')}")
    return ran, failed


def line(done: Round) -> list[str]:
    """A round as it is told when it ends."""
    how = f"{'green' if done.green else 'RED'}, exit code {done.code}, {done.took_s:.0f} s, {done.ran} tests"
    load = f"load average {done.load_before:.1f} before, {done.load_after:.1f} after"
    return [f"{how}; {load}", *(f"  failed: {each}" for each in done.failed)]


def answer(rounds: Sequence[Round]) -> list[str]:
    """How many were green, which tests were not, how long it took."""
    if not rounds:
        return ["none"]
    said = [f"make test: {sum(r.green for r in rounds)} of {len(rounds)} green; {times(r.took_s for r in rounds)}"]
    names = sorted({name for r in rounds for name in r.failed})
    said += [f"  failed in {sum(name in r.failed for r in rounds)} of {len(rounds)}: {name}" for name in names]
    unsaid = [r for r in rounds if not r.green and not r.failed]
    return said + [f"  red without a failed test, began {r.began}: {r.output}" for r in unsaid]


def go(root: Path, number: int, tell: Callable[[str], None]) -> int:
    """Run them; 0 where all of this commit were green, 130 where it was interrupted."""
    results, commit = root / "results", commit_of(root)
    interrupted = False
    tell("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    for turn in range(number):
        began = datetime.now(UTC)
        kept = results / "tests" / f"{began:%Y%m%d-%H%M%S}"
        log = kept / "output.log"
        tell(f"{turn + 1} of {number}, began {began.astimezone():%H:%M:%S}; output: {log}")
        # $$$$ is $$ for the shell, and that the number of its process: each part writes a file of its own.
        ended = run_to_end(["make", "test", f'ARGS=--junitxml="{kept}/$$$$.xml"'], cwd=root, log=log)
        if ended.interrupted:
            tell("interrupted: this round does not count")
            interrupted = True
            break
        done = _round(commit, began, ended, kept)
        append(results / "tests.jsonl", asdict(done))
        for each in line(done):
            tell(each)
        if not done.green and not done.failed:
            for last in ended.lines[-LAST_LINES:]:
                tell(f"  {last.text}")
    tell(f"--- all rounds of commit {commit} that are in {results / 'tests.jsonl'}:")
    there = [Round(**record) for record in read(results / "tests.jsonl") if record.get("commit") == commit]
    for each in answer(there):
        tell(each)
    if interrupted:
        return 130
    return 0 if there and all(r.green for r in there) else 1


def _round(commit: str, began: datetime, ended: Ended, kept: Path) -> Round:
    ran, failed = 0, []
    for path in sorted(kept.glob("*.xml")):
        try:
            of_part = failed_in(path.read_text())
        except ET.ParseError:  # of a part that was killed
            continue
        ran += of_part[0]
        failed += of_part[1]
    return Round(
        commit=commit,
        began=began.isoformat(timespec="seconds"),
        code=ended.exit_code,
        took_s=round(ended.took_s, 1),
        load_before=round(ended.load[0], 2),
        load_after=round(ended.load[1], 2),
        ran=ran,
        failed=failed,
        output=str(kept),
    )


def _say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.tests", description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES, metavar="N", help=f"how many in a row (default {TIMES})")
    try:
        return go(ROOT, parser.parse_args(arguments).times, _say)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
