"""How many mutants of our own judges do their unit tests find?

python -m tests.bench.judges [--mutants N] [--seed N] [--jobs N] [MODULE...]. Long: `make bench-judges` runs it.

Mutants (tests/bench/mutations.py) of the code that makes verdicts, drawn by a seed that is told. The tests of the
module's own room are collected once, in a process that has a fork for each mutant: it gets the mutant's code, and those
tests that reach what is changed, the quickest first, until one fails. What runs at the import is changed before it:
then these tests are collected anew. A mutant that no test reaches has survived. One that takes many times what its
tests take is told beside those that were killed, and not counted as killed. Which are equivalent, and why, says
`equivalent.toml`.
"""

import argparse
import gc
import importlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.bench.mutations import (
    ROOT,
    Change,
    Mutant,
    Place,
    Reach,
    changed_places,
    changes,
    code_of,
    functions_of,
    import_instead,
    mutant,
    put_into,
    runs_at_import,
)
from tests.bench.told import aligned

JUDGES = (
    "chaos/judge/*.py",
    "chaos/run/verdict.py",
    "chaos/record/history.py",
    "chaos/harm/base.py",
    "chaos/harm/lasting.py",
    "chaos/subjects/*/promises.py",
)
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
KILLED, SURVIVED, TIMED_OUT, NO_PROGRAM = "killed", "survived", "timed out", "no program"
PROCESSOR_S, LONGEST_S = 30, 900  # of a processor, beside ten times what the tests took; and by the clock
# Not kept: what a mutant does that never ends, and examples that only a mutant fails with.
PYTEST = ("-s", "-q", "-p", "no:cacheprovider", "--hypothesis-seed", "0", "-m", "not timed")
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a mutant: one of the four words above, and the test that failed, or why it is no program."""

    mutant: Mutant
    end: str
    by: str = ""
    equivalent: str = ""

    def __str__(self) -> str:
        return f"{self.end}: {self.mutant}" + (f"\n    equivalent: {self.equivalent}" if self.equivalent else "")


def modules(named: Sequence[str]) -> list[str]:
    """The modules where verdicts are made: all, or those whose paths begin with what is named."""
    found = sorted(path.relative_to(ROOT).as_posix() for each in JUDGES for path in ROOT.glob(each))
    return [each for each in found if not named or each.startswith(tuple(named))]


def tests_of(module: str) -> str:
    """Where the unit tests of a module are: its room, or its own file where it is one of a room of other things."""
    _, room, *_, name = Path(module).parts
    return f"tests/run/test_{name}" if room == "run" else f"tests/{room}"


def equivalent(path: Path = EQUIVALENT) -> dict[tuple[str, str, str], str]:
    """The mutants that are known to be equivalent: by module, line before and line after, the reason."""
    named = tomllib.loads(path.read_text()).get("mutant", [])
    return {(each["module"], each["before"], each["after"]): each["because"] for each in named}


@dataclass(slots=True)
class _Collected:
    """What a run of pytest without mutants found: each test's seconds, and what it reaches."""

    taken_s: dict[str, float] = field(default_factory=dict)
    tests: dict[tuple[str, Place], set[str]] = field(default_factory=lambda: defaultdict(set))
    at_import: set[tuple[str, Place]] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)

    def reach(self) -> Reach:
        return Reach({key: frozenset(tests) for key, tests in self.tests.items()}, frozenset(self.at_import))


class _Watch:
    """Notes each function of some modules that is called, for the test that goes on or for the import."""

    def __init__(self, paths: Iterable[str], collected: _Collected) -> None:
        self._modules = {str(ROOT / each): each for each in paths}
        self._collected = collected
        self.test = ""

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        code: CodeType = frame.f_code
        module = self._modules.get(code.co_filename)
        if module is not None:
            key = (module, (code.co_qualname, code.co_firstlineno))
            if self.test:
                self._collected.tests[key].add(self.test)
            else:
                self._collected.at_import.add(key)

    def start(self) -> None:
        threading.settrace(self)
        sys.settrace(self)

    @staticmethod
    def stop() -> None:
        threading.settrace(None)
        sys.settrace(None)


class _Room:
    """A plugin of pytest: when the tests are collected it tries mutants instead of running them."""

    def __init__(self, tried: Sequence[Mutant], jobs: int, tell: Callable[[object], None]) -> None:
        self._tried, self._jobs, self._tell = tried, jobs, tell
        self._collected = _Collected()
        self._watch = _Watch({each.module for each in tried}, self._collected)

    def pytest_sessionstart(self) -> None:
        once = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", settings(), phases=once, database=None)
        settings.load_profile("mutants")
        self._watch.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._watch.stop()
        if session.testsfailed:
            raise session.Failed("tests could not be collected")
        found: _Collected = next(each_in_a_fork([lambda: self._without_mutant(session.items)], 1))[1]
        self._tell(found)
        if found.failed:
            raise session.Failed(f"failed without a mutant: {', '.join(found.failed)}")
        by_id = {item.nodeid: item for item in session.items}
        reach, todo = found.reach(), list[tuple[Mutant, list[pytest.Item]]]()
        for each in self._tried:
            tests = tests_for(each, reach)
            if tests is not None:
                todo.append((each, [by_id[test] for test in sorted(tests, key=found.taken_s.__getitem__)]))
        functions = functions_of({each.module for each in self._tried})
        gc.freeze()  # what a fork only looks at it need not copy
        work = [self._job(each, items, found, functions[each.module]) for each, items in todo]
        for which, end in each_in_a_fork(work, self._jobs):
            self._tell(Tried(todo[which][0], *end))
        return True

    def _without_mutant(self, items: Sequence[pytest.Item]) -> _Collected:
        self._watch.start()
        for item in items:
            self._watch.test, began = item.nodeid, time.monotonic()
            failed = item.session.testsfailed
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            self._collected.taken_s[item.nodeid] = time.monotonic() - began
            if item.session.testsfailed > failed:
                self._collected.failed.append(item.nodeid)
        self._watch.stop()
        return self._collected

    @staticmethod
    def _job(
        tried: Mutant, items: Sequence[pytest.Item], found: _Collected, functions: Sequence[FunctionType]
    ) -> Callable[[], tuple[str, str]]:
        def job() -> tuple[str, str]:
            if not items:
                return SURVIVED, "no test reaches it"
            _limit(sum(found.taken_s[item.nodeid] for item in items))
            put_into(functions, code_of((ROOT / tried.module).read_text()), code_of(tried.source))
            for item in items:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                if item.session.testsfailed:
                    return KILLED, item.nodeid
            return SURVIVED, f"{len(items)} tests reach it"

        return job


def tests_for(tried: Mutant, reach: Reach) -> frozenset[str] | None:
    """The tests that reach what is changed; None where it has to be imported to see it."""
    before = code_of((ROOT / tried.module).read_text())
    places = changed_places(before, code_of(tried.source))
    if runs_at_import(places, before) or any((tried.module, place) in reach.at_import for place in places):
        return None
    return reach.of(tried.module, places)


def _limit(usual_s: float) -> None:
    seconds = PROCESSOR_S + int(10 * usual_s)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))


def each_in_a_fork(work: Sequence[Callable[[], Any]], jobs: int) -> Iterator[tuple[int, Any]]:
    """Do each in a process and a folder of its own, some at a time. Yields its number, and what it returned.

    What did not return is told as timed out. Nothing that it started goes on.
    """
    waiting, running = list(enumerate(work))[::-1], dict[Any, tuple[int, Any, Connection, Path, float]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            which, job = waiting.pop()
            ours, theirs = FORK.Pipe(duplex=False)
            folder = Path(tempfile.mkdtemp(prefix="kube-ordeal-judges-"))
            child = FORK.Process(target=_do, args=(job, theirs, folder))
            child.start()
            theirs.close()
            running[ours] = (which, child, ours, folder, time.monotonic() + LONGEST_S)
        first = min(until for *_, until in running.values())
        ready = wait(list(running), max(0.0, first - time.monotonic()))
        late = [each for each, (*_, until) in running.items() if until <= time.monotonic()]
        for each in {*ready, *late}:
            which, child, ours, folder, _ = running.pop(each)
            answer: Any = (TIMED_OUT, "")
            if each in ready:
                with suppress(EOFError):
                    answer = ours.recv()
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.join()
            ours.close()
            shutil.rmtree(folder, ignore_errors=True)
            yield which, answer


def _do(job: Callable[[], Any], answer: Connection, folder: Path) -> None:
    """In the fork: silent, with temporary files in the folder alone; it ends without pytest's own end."""
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):
        os.dup2(nothing, each)
    os.environ |= {"TMPDIR": str(folder), "HYPOTHESIS_STORAGE_DIRECTORY": str(folder), "XDG_STATE_HOME": str(folder)}
    tempfile.tempdir = None
    try:
        answer.send(job())
    finally:
        os._exit(0)


def _imported(tried: Mutant | None, tests: Sequence[str], usual_s: float) -> tuple[str, str]:
    """In a process that has nothing of ours yet: import the mutant, and run tests until one fails."""
    _limit(usual_s)
    if tried is not None:
        try:
            importlib.import_module(import_instead(tried))
        except Exception as error:  # noqa: BLE001  (whatever it is: nobody could have run such a program)
            return NO_PROGRAM, repr(error)
    first = _First(tests)
    files = {each.split("::")[0] for each in tests}
    code = pytest.main([*PYTEST, "-x", *(str(ROOT / each) for each in sorted(files))], plugins=[first])
    return (SURVIVED, f"{len(tests)} tests of the room") if code == 0 else (KILLED, first.failed or f"pytest: {code}")


class _First:
    """A plugin of pytest: only some tests, in their order, and the first one that fails."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {each: number for number, each in enumerate(tests)}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [each for each in items if each.nodeid in self._order]
        items[:] = sorted(chosen, key=lambda each: self._order[each.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def try_room(room: str, drawn: Sequence[Mutant], jobs: int) -> Iterator[Tried]:
    """Try mutants of modules whose tests are there. Raises RuntimeError where a test fails without any."""
    ours, theirs = FORK.Pipe(duplex=False)

    def all_in_one() -> object:
        return pytest.main([*PYTEST, room], plugins=[_Room(drawn, jobs, theirs.send)])

    child = FORK.Process(target=_do_room, args=(all_in_one, theirs))
    child.start()
    theirs.close()
    found, done = _Collected(), set[int]()
    with suppress(EOFError):
        while True:
            said = ours.recv()
            if isinstance(said, Tried):
                done.add(drawn.index(said.mutant))
                yield said
            else:
                found = said
    child.join()
    if found.failed or not found.taken_s:
        raise RuntimeError(f"{room}: {', '.join(found.failed) or 'no test ran'}, before there was any mutant")
    reach = found.reach()
    later = [each for number, each in enumerate(drawn) if number not in done]
    if any(tests_for(each, reach) is not None for each in later):
        raise RuntimeError(f"{room}: the process that tried the mutants ended too early")

    def job(one: Mutant | None, module: str) -> Callable[[], tuple[str, str]]:
        near = reach.of_all(module)  # what a module does when it is imported may show in any test of the room
        tests = sorted(found.taken_s, key=lambda each: (each not in near, found.taken_s[each]))
        usual_s = sum(found.taken_s[each] for each in tests)
        return lambda: _imported(one, tests, usual_s)

    unchanged = [job(None, later[0].module)] if later else []
    for _, (end, by) in each_in_a_fork(unchanged, jobs):
        if end != SURVIVED:
            raise RuntimeError(f"{room}: {end} without a mutant: {by}")
    for which, end in each_in_a_fork([job(each, each.module) for each in later], jobs):
        yield Tried(later[which], *end)


def _do_room(work: Callable[[], object], answers: Connection) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):
        os.dup2(nothing, each)
    try:
        work()
    finally:
        answers.close()
        os._exit(0)


def table(all_of: Mapping[str, int], tried: Sequence[Tried]) -> list[str]:
    """A line for each module and one for all: its mutants, and what became of those that were tried."""

    def row(name: str, there: int, of: Sequence[Tried]) -> tuple[str, ...]:
        same = sum(bool(each.equivalent) for each in of)
        counted = [each for each in of if not each.equivalent]
        ends = [sum(each.end == end for each in counted) for end in (KILLED, TIMED_OUT, SURVIVED)]
        share = f"{100 * ends[0] / len(counted):.1f} %" if counted else ""
        return (name, *map(str, (there, len(of), *ends, same)), share)

    heads = (
        "module",
        "places",
        "tried",
        "killed",
        "timed out",
        "survived",
        "equivalent",
        "killed of those that differ",
    )
    rows = [row(name, there, [each for each in tried if each.mutant.module == name]) for name, there in all_of.items()]
    return aligned([heads, *(each for each in rows if each[2] != "0"), row("all", sum(all_of.values()), tried)])


def go_on(named: Sequence[str], number: int, seed: int, jobs: int, tell: Callable[[str], None]) -> int:
    """Draw, try and tell; 0 where no mutant that is named as equivalent was killed."""
    known = equivalent()
    all_of = {module: changes(module) for module in modules(named)}
    drawn = draw([each for found in all_of.values() for each in found], number, seed)
    tell(f"{len(drawn)} mutants of {sum(map(len, all_of.values()))} places in {len(all_of)} modules, seed {seed}")
    rooms = defaultdict[str, list[Mutant]](list)
    for each in drawn:
        rooms[tests_of(each.module)].append(each)
    _import_others()
    tried: list[Tried] = []
    for room, those in sorted(rooms.items()):
        for one in try_room(room, those, jobs):
            why = known.get((one.mutant.module, one.mutant.before, one.mutant.after), "")
            tried.append(replace(one, equivalent=why))
            tell(f"{len(tried)} of {len(drawn)}: {tried[-1]}\n    {one.by}")
    ran = [one for one in tried if one.end != NO_PROGRAM]
    for one in sorted(ran, key=lambda each: (each.mutant.module, each.mutant.line)):
        if one.end != KILLED:
            tell(str(one))
    for line in table({module: len(places) for module, places in all_of.items()}, ran):
        tell(line)
    tell(f"seed {seed}; {len(tried) - len(ran)} more could not be imported and are not counted")
    wrong = [one for one in ran if one.equivalent and one.end == KILLED]
    for one in wrong:
        tell(f"named as equivalent, and killed by {one.by}: {one.mutant}")
    return 1 if wrong else 0


def draw(places: Sequence[Change], number: int, seed: int) -> list[Mutant]:
    """So many different mutants, or as many as there are; 0: all."""
    pool, drawn = list(places), dict[str, Mutant]()
    random.Random(seed).shuffle(pool)
    for each in pool:
        made = mutant(each)
        if made is not None:
            drawn.setdefault(made.source, made)
        if len(drawn) == number:
            break
    return list(drawn.values())


def _import_others() -> None:
    """What everybody else wrote and the tests import, once for all processes to come."""
    for each in ("kubernetes", "requests", "yaml", "numpy", "scipy.stats", "rich.console", "typer", "jinja2", "psutil"):
        importlib.import_module(each)
    gc.collect()
    gc.freeze()


def main() -> int:
    """Ask what is wanted, and do it."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    asked.add_argument("modules", nargs="*", metavar="MODULE", help="their paths, or how these begin (default: all)")
    asked.add_argument(
        "--mutants", type=int, default=300, metavar="N", help="how many are drawn; 0: all (default: 300)"
    )
    asked.add_argument("--seed", type=int, metavar="N", help="what an earlier run has told (default: a new one)")
    asked.add_argument("--jobs", type=int, default=2, metavar="N", help="how many at the same time (default: 2)")
    given = asked.parse_args()
    if not modules(given.modules):
        asked.error(f"no module where verdicts are made is named so; there are {', '.join(modules(()))}")
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10_000)
    try:
        return go_on(given.modules, given.mutants, seed, given.jobs, lambda text: print(text, flush=True))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
