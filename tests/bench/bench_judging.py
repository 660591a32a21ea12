"""How long it takes to judge a history of a million events, read from disk, and how much memory.

python -m tests.bench.bench_judging [EVENTS]

The events are what a run of an hour on 5,000 nodes has: pods, probes, nodes, samples. Needs no cluster.
"""

import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from chaos.judge.availability import answered_throughout, outage_at_most
from chaos.judge.base import judge
from chaos.judge.nodes_ready import nodes_ready_again
from chaos.judge.pods import no_container_restarted, nothing_terminated, same_pods
from chaos.record.history import History
from chaos.record.records import IN_SYNC, FaultStep, NodeChange, PodChange, Probe, Sample
from chaos.record.registry import Record
from chaos.results.results import machine_facts

TIME_TO_REACH_S, MEMORY_TO_REACH_BYTES = 10.0, 10**9
NODES, PROBED, PODS = 5_000, 20, 20_000
LENGTH_S = 3_600.0


def main(events: int) -> int:
    """Write the history, read it again, judge it; 0 where both goals were reached."""
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    with TemporaryDirectory() as directory:
        path = Path(directory) / "history.jsonl"
        written = History(path, began=0.0)
        count = 0
        for record in records(events):
            written.add(record)
            count += 1
        written.close()
        del written
        print(f"{count} events, {path.stat().st_size / 1e6:.0f} MB on disk")
        return measure(path)


def measure(path: Path) -> int:
    """In a process of its own, so that its memory is that of the judging alone."""
    return subprocess.run([sys.executable, "-m", __spec__.name, "--judge", str(path)], check=False).returncode


def judged(path: Path) -> int:
    """Read and judge; prints the figures."""
    began = _Clock()
    history = History.load(path)
    loaded = began.told()
    invariants = [
        nothing_terminated("web"),
        no_container_restarted("web"),
        same_pods("web"),
        outage_at_most(2.0),
        answered_throughout(),
        nodes_ready_again([f"node-{n}" for n in range(NODES)], within_s=60.0),
    ]
    for invariant in invariants:
        each = _Clock()
        found = judge(invariant, history)
        print(f"  {each.told()}: {found.invariant} {found.verdict}: {found.sentence[:90]}")
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{len(history)} events read in {loaded}, read and judged by {len(invariants)} invariants in {began.told()}")
    print(f"(to reach: {TIME_TO_REACH_S:.0f} s), at most {peak_bytes / 1e6:.0f} MB (to reach: 1000 MB)")
    return 0 if began.cpu_s() <= TIME_TO_REACH_S and peak_bytes <= MEMORY_TO_REACH_BYTES else 1


class _Clock:
    """Time since it was made: of the processor, which a busy machine does not change much, and of the wall."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def cpu_s(self) -> float:
        return time.process_time() - self._cpu

    def told(self) -> str:
        return f"{self.cpu_s():.2f} s of CPU ({time.monotonic() - self._wall:.1f} s by the clock)"


def records(events: int) -> Iterator[Record]:
    """Half of them pods, three in ten probes, one in ten nodes and one in ten samples; a fault in the middle."""
    lot = random.Random(1)
    uids = [str(UUID(int=lot.getrandbits(128))) for _ in range(min(PODS, events // 5))]
    containers = [f"containerd://{lot.getrandbits(256):064x}" for _ in uids]

    def pod(at: float, number: int, change: str, version: int) -> PodChange:
        return PodChange(
            at,
            "ordeal-web-1",
            f"web-{number}",
            uids[number],
            change,
            workload="web",
            phase="Running",
            node=f"node-{number % NODES}",
            ready=True,
            containers=(containers[number],),
            resource_version=str(version),
        )

    for number in range(len(uids)):
        yield pod(0.0, number, "listed", 1)
    left = events - len(uids)
    every_s = LENGTH_S / left
    for number in range(left):
        at, kind, turn = number * every_s, number % 10, number // 10
        if kind < 5:
            yield pod(at, (turn * 5 + kind) % len(uids), "modified", number)
        elif kind < 8:
            yield Probe(at, f"node-{(turn * 3 + kind) % PROBED}", "web", ok=True, took_s=0.004, answered_by="web-1")
        elif kind < 9:
            yield NodeChange(at, f"node-{turn % NODES}", "modified", "True", zone="a", resource_version=str(number))
        else:
            yield Sample(at, "lease-age-s", f"node-{turn % NODES}", round(lot.random(), 3))
        if number == left // 2:
            yield FaultStep(at, "cut", "landed")
            yield FaultStep(at + every_s / 2, "cut", "undone")
    for source in ("nodes", "pods", "events"):
        yield Sample(LENGTH_S, IN_SYNC, f"watch:{source}", 1.0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--judge"]:
        sys.exit(judged(Path(sys.argv[2])))
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
