"""How long the 25 specs of the profile smoke take as pytest runs them, and by e2e.test alone, on the same cluster.

python -m tests.bench.bench_conformance [KUBERNETES [ROUNDS]]

Both run one spec at a time, by turns: alone, by us; then by us, alone; and so on. Each turn is a process of its own.
"""

import re
import statistics
import sys
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos.basics.waiting import eventually
from chaos.clusters.base import KIND, Cluster
from chaos.clusters.shape import Shape
from chaos.conformance import choice, images, runner
from chaos.conformance.outcome import SpecOutcome
from chaos.conformance.podlogs import PodLogs, upstreams_namespaces
from chaos.conformance.program import E2eProgram, require
from chaos.conformance.spec import Spec
from chaos.harm import load_all
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.command import run
from chaos.hosts.places import journals_dir
from chaos.record.journal import Journal
from chaos.results.results import machine_facts
from chaos.run.pool import Pool, Wishes
from chaos.run.profile import PROFILES

TO_REACH = 1.15
TIMEOUT_S = 1200.0
TURNS = ("alone", "ours")


def main(version: str, rounds: int) -> int:
    """Measure; 0 where the goal was reached and all specs passed in each turn."""
    load_all()
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    program, specs = require(version), choice.smoke()
    with Journal(journals_dir() / f"bench-{uuid.uuid4().hex[:8]}.jsonl") as journal, TemporaryDirectory() as work:
        pool = Pool(Wishes(kubernetes=version, name="bench"), journal, uuid.uuid4().hex, lambda _: None)
        try:
            cluster = pool.acquire(KIND, Shape(workers=2, timers=PROFILES["smoke"].kind_timers))
            began = time.monotonic()
            images.provide(cluster, program, only=choice.smoke_images())
            print(f"images for specs put onto the workers: {time.monotonic() - began:.1f} s")
            return measure(program, specs, cluster, Path(work), rounds)
        finally:
            pool.close()


def measure(program: E2eProgram, specs: tuple[Spec, ...], cluster: Cluster, work: Path, rounds: int) -> int:
    """Each turn by its wall clock time, from the start of e2e.test to its end."""
    took: dict[str, list[float]] = {"alone": [], "ours": []}
    passed_all = True
    turns = [turn for n in range(rounds) for turn in (TURNS if n % 2 == 0 else TURNS[::-1])]
    for number, turn in enumerate(turns):
        eventually(lambda: not upstreams_namespaces(cluster), within_s=180, what="specs' namespaces to go")
        began = time.monotonic()
        by = alone if turn == "alone" else ours
        passed = by(program, specs, cluster, work / f"{turn}-{number}")
        took[turn].append(time.monotonic() - began)
        passed_all = passed_all and passed == len(specs)
        print(f"{turn}: {passed} of {len(specs)} specs passed in {took[turn][-1]:.1f} s", flush=True)
    ratio = statistics.fmean(took["ours"]) / statistics.fmean(took["alone"])
    print(f"ours by e2e.test alone: {ratio:.3f} (to reach: {TO_REACH})")
    return 0 if ratio <= TO_REACH and passed_all else 1


def alone(program: E2eProgram, specs: tuple[Spec, ...], cluster: Cluster, work: Path) -> int:
    """e2e.test as anybody calls it; how many passed."""
    work.mkdir()
    focus = "|".join(f"{re.escape(spec.text)}$" for spec in specs)
    said = run(
        [
            str(program.path),
            f"--ginkgo.focus={focus}",
            "--ginkgo.no-color",
            f"--kubeconfig={Path(cluster.ref.kubeconfig).absolute()}",
            "--provider=skeleton",
            *([f"--kubectl-path={program.kubectl}"] if program.kubectl else []),
        ],
        timeout_s=TIMEOUT_S,
        check=False,
        cwd=work,
    )
    (work / "output").write_text(said.out + said.err)
    found = re.search(r"(\d+) Passed", said.out)
    return int(found[1]) if found else 0


def ours(program: E2eProgram, specs: tuple[Spec, ...], cluster: Cluster, work: Path) -> int:
    """As pytest runs them, with the logs of their pods; how many passed."""
    outcomes: list[SpecOutcome] = []
    with PodLogs(cluster) as logs:

        def ended(outcome: SpecOutcome) -> None:
            logs.take(outcome.output, None)
            outcomes.append(outcome)

        runner.run(program, specs, Path(cluster.ref.kubeconfig), ended, work)
    for each in outcomes:
        if not each.passed:
            print(f"  {each.shown}: {each.text}: {each.message.splitlines()[0] if each.message else ''}")
    return sum(each.passed for each in outcomes)


if __name__ == "__main__":
    given = [*sys.argv[1:], *(DEFAULT_KUBERNETES, "1")[len(sys.argv) - 1 :]]
    sys.exit(main(given[0], int(given[1])))
