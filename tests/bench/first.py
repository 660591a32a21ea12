"""From a clone to a verdict, on a machine that is made as bare as it can be.

python -m tests.bench.first [--yes] [--only-setup] [--fresh-modules]. Long: `make bench-first` runs it.

The machine's caches are removed first (`kube-ordeal teardown --cache`), then `make run` of a fresh clone of HEAD is
timed, with caches and a state folder of its own, which are gone at the end. Debian's packages that were installed
stay. The output and the results are kept in results/first/.
"""

import argparse
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from chaos.errors import OrdealError
from chaos.hosts import engine, image
from chaos.results.results import machine_facts
from chaos.results.saved import SavedOutcome, load
from tests.bench.child import Ended, Line, run_to_end
from tests.bench.told import aligned

ROOT = Path(__file__).parents[2]
CLONE = "clone"
SETUP_TO_REACH, VERDICT_TO_REACH = 1.5, 1.0
# What a fresh clone must not see of the checkout, or of an environment that is active.
NOT_ITS_OWN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "GOCACHE")
BUILT = re.compile(r"\bbuilt (control-plane|kubernetes) (\S+) in (\d+(?:\.\d+)?) s")
DONE = re.compile(r"\bdone: (.+), \d+(?:\.\d+)? s$")
SET_UP = re.compile(r"take it back with: |nothing was changed on this machine but|nothing is missing: ")
VERDICT = re.compile(r"=== \S+: [\w ]+, (?:passed|FAILED): ")
# The first words of what only runs where the packages are there.
IN_PYTHON = re.compile(r"test session starts|\bset-up\b|\bstart: |\bdone: |nothing is missing: ")


@dataclass(frozen=True, slots=True)
class Marks:
    """What the output of `make run` says of its way: seconds since its start; None where that was not seen.

    `kubernetes_s`: how long the builds of Kubernetes' own programs took, all together.
    """

    environment_s: float | None
    control_plane_s: float | None
    first_verdict_s: float | None
    setup_s: float | None
    kubernetes_s: float | None


def marks(lines: Sequence[Line]) -> Marks:
    """Read the output. A line that tells how far the run is may say again what was said before: the first counts."""
    built: dict[tuple[str, str], tuple[float, float]] = {}
    steps: dict[str, float] = {}
    for line in lines:
        for name, version, took_s in BUILT.findall(line.text):
            built.setdefault((name, version), (line.at_s, float(took_s)))
        for title in DONE.findall(line.text):
            steps.setdefault(title, line.at_s)
        if ends := SET_UP.search(line.text):
            steps.setdefault(ends[0], line.at_s)
    control_planes = [at_s for (name, _), (at_s, _) in built.items() if name == "control-plane"]
    return Marks(
        _first(IN_PYTHON, lines),
        min(control_planes or [at_s for at_s, _ in built.values()], default=None),
        _first(VERDICT, lines),
        max(steps.values(), default=None),
        sum(took_s for _, took_s in built.values()) if built else None,
    )


def table(seen: Marks, ended: Ended) -> list[str]:
    """The figures: seconds, and as multiples of building Kubernetes itself, against what is to be reached."""
    kubernetes = seen.kubernetes_s

    def row(what: str, at_s: float | None, to_reach: float | None = None) -> tuple[str, str, str, str]:
        times = "" if at_s is None or not kubernetes else f"{at_s / kubernetes:.2f} x"
        return what, "not seen" if at_s is None else f"{at_s:.0f} s", times, f"{to_reach} x" if to_reach else ""

    rows = [
        ("", "after", "of Kubernetes", "to reach"),
        row("Python environment ready", seen.environment_s),
        row("control plane's programs built", seen.control_plane_s),
        row("first verdict", seen.first_verdict_s, VERDICT_TO_REACH),
        row("set-up over", seen.setup_s, SETUP_TO_REACH),
        row("the run over", ended.took_s),
    ]
    took = "was not built" if kubernetes is None else f"{kubernetes:.0f} s"
    return [*aligned(rows), f"building Kubernetes itself: {took}"]


def verdicts(outcomes: Sequence[SavedOutcome]) -> list[str]:
    """Each replay's verdict."""
    return aligned(
        [
            (o.test.rpartition("::")[2], o.verdict, "passed" if o.passed else "FAILED", f"{o.duration_s:.0f} s", o.why)
            for o in outcomes
        ]
    )


def measure(checkout: Path, goal: str, *, fresh_modules: bool, tell: Callable[[str], None]) -> int:
    """Time `make` of that goal in a fresh clone of the checkout's HEAD; its exit code, 130 where it was interrupted.

    Raises OrdealError where there can be no clone.
    """
    began = datetime.now(UTC)
    kept = checkout / "results" / "first" / f"{began:%Y%m%d-%H%M%S}"
    with _home(tell) as folder:
        clone, env = folder / CLONE, _environment(folder)
        _clone(checkout, clone)
        env |= {"GOMODCACHE": str(folder / "modules")} if fresh_modules else {}
        ended = run_to_end(["make", goal], cwd=clone, log=kept / "output.log", env=env, without=NOT_ITS_OWN, tell=tell)
        if (clone / "results").is_dir():
            shutil.copytree(clone / "results", kept / "results", symlinks=True)
    tell("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    modules = "fetched anew" if fresh_modules else "as they were there"
    tell(f"`make {goal}` of a fresh clone; Go's modules {modules}; {beside(ended)}")
    for line in table(marks(ended.lines), ended):
        tell(line)
    with suppress(OrdealError):  # it did not come as far as that
        for line in verdicts(load(kept / "results").outcomes):
            tell(line)
    how = "interrupted" if ended.interrupted else f"exit code {ended.exit_code}"
    tell(f"{how}; output and results: {kept}")
    return 130 if ended.interrupted else ended.exit_code


def beside(ended: Ended) -> str:
    """What else ran, as far as the machine tells."""
    start, end = ended.load
    return f"load average {start:.1f} at the start, {end:.1f} at the end; {ended.idle:.0%} of the processors' time idle"


def bare(checkout: Path, tell: Callable[[str], None]) -> None:
    """Remove what set-up has put into caches. Raises OrdealError where images of ours would be left, and be found."""
    _teardown(checkout, {})
    running = engine.find()
    if running is not None and (there := image.list_images(running)):
        raise OrdealError(
            f"the container engine that runs was not started by kube-ordeal, and has {len(there)} node images of it: "
            f"remove them with `kube-ordeal image remove`, or stop that engine."
        )
    tell("the caches of programs and images are gone")


def _clone(checkout: Path, clone: Path) -> None:
    argv = ["git", "clone", "--quiet", str(checkout), str(clone)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OrdealError(f"{checkout} can't be cloned: {done.stderr.strip()}")


def _command(checkout: Path) -> Path:
    return checkout / ".venv" / "bin" / "kube-ordeal"


def _teardown(where: Path, env: Mapping[str, str]) -> None:
    """Take back what the set-up of a checkout has changed, then its caches. Nothing where it has no such command yet.

    Raises OrdealError where that did not reach its end, or an engine that it did not start runs on the engine's data.
    """
    command = _command(where)
    if not command.is_file():
        return
    for options in (["--yes"], ["--cache", "--yes"]):
        if "--cache" in options and (users := _users_of_data()):
            raise OrdealError(
                f"the container engine of process {users[0]} was started with another state folder, and its data is "
                f"{engine.DATA_ROOT}: end it with `kube-ordeal teardown` and that XDG_STATE_HOME."
            )
        argv = [str(command), "teardown", *options]
        if subprocess.run(argv, cwd=where, env={**os.environ, **env}, check=False).returncode:
            raise OrdealError(f"`{command} teardown` did not reach its end; what it says above tells why.")


def _users_of_data() -> list[int]:
    """The processes that were started with the data of the engine that set-up starts."""
    option = f"--data-root={engine.DATA_ROOT}"
    return [p.pid for p in psutil.process_iter(["cmdline"]) if option in (p.info["cmdline"] or ())]


def _require_unmounted(folder: Path) -> None:
    if f" {folder}/" in Path("/proc/mounts").read_text():
        raise OrdealError("something is still mounted below it; unmount that, then remove the folder.")


def _environment(folder: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_STATE_HOME": str(folder / "state")}


@contextmanager
def _home(tell: Callable[[str], None]) -> Iterator[Path]:
    """A folder for a clone, its caches and its state. At its end what the clone has changed is taken back, and it goes.

    Where that fails it stays, and that is told: its state knows the way back.
    """
    folder = Path(tempfile.mkdtemp(prefix="kube-ordeal-first-"))
    try:
        yield folder
    finally:
        tell("--- taking back what this run has changed on the machine")
        try:
            _teardown(folder / CLONE, _environment(folder))
            _require_unmounted(folder)
        except OrdealError as error:  # the figures are worth as much all the same
            tell(f"{folder} stays: {error}")
        else:
            for where, _, _ in os.walk(folder):  # Go writes its modules so that nobody can change them
                Path(where).chmod(stat.S_IRWXU)
            shutil.rmtree(folder)


def _first(pattern: re.Pattern[str], lines: Sequence[Line]) -> float | None:
    return next((line.at_s for line in lines if pattern.search(line.text)), None)


def _say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.first", description=__doc__)
    parser.add_argument("--yes", action="store_true", help="do not ask before the caches are removed")
    parser.add_argument("--only-setup", action="store_true", help="`make setup` instead of `make run`")
    parser.add_argument("--fresh-modules", action="store_true", help="fetch Go's modules anew too")
    options = parser.parse_args(arguments)
    if not options.yes:
        _say("This removes every program and image that kube-ordeal has built here, and stops the engine it started.")
        if not sys.stdin.isatty():
            _say("Nobody can be asked here: give --yes (make bench-first ARGS=--yes).")
            return 2
        if input("Go on? [y/N] ").strip().lower() not in {"y", "yes"}:
            return 1
    try:
        bare(ROOT, _say)
        return measure(ROOT, "setup" if options.only_setup else "run", fresh_modules=options.fresh_modules, tell=_say)
    except OrdealError as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
