"""How exactly a known outage is measured, without a cluster: a network namespace, a server in it, and a DROP rule.

python -m tests.bench.bench_outage        (as root)
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import psutil

from chaos.basics.waiting import hold
from chaos.hosts.command import run
from chaos.judge.availability import outage_at_most
from chaos.judge.base import judge
from chaos.record.history import History
from chaos.record.probing import ServiceProbes
from chaos.record.records import Probe
from chaos.results.results import machine_facts

LENGTHS_S = (1.0, 1.0, 1.0, 10.0)
TO_REACH_S = 0.15
RULE = ("INPUT", "-p", "tcp", "--dport", "80", "-j", "DROP")


class Namespace:
    """A network namespace that stands for a node."""

    def __init__(self, name: str) -> None:
        self.name = name

    def in_network_of(self, _node: str, argv: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv]

    def addresses(self, _node: str) -> tuple[str, ...]:
        return ("127.0.0.1",)


def main() -> int:
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    with namespace(f"ko-bench-{os.getpid()}") as node:
        history = History()
        outages: list[tuple[float, float]] = []
        with ServiceProbes(node, history, target="web", url="http://127.0.0.1:80/", nodes=[node.name]):
            prober = next(p for p in psutil.Process().children() if "prober" in " ".join(p.cmdline()))
            began = history.now()
            for length_s in LENGTHS_S:
                hold(1.53)  # so that the outages begin at different places between two probes
                outages.append(drop(node, history, length_s))
            hold(1.5)
            cpu = prober.cpu_times()
            took_s = history.now() - began
    worst_s = max(compare(history, start, end) for start, end in outages)
    print(f"the prober took {100 * (cpu.user + cpu.system) / took_s:.1f} % of a core at 10 probes a second")
    print(f"worst difference: {worst_s:.3f} s (to reach: {TO_REACH_S} s)")
    return 0 if worst_s <= TO_REACH_S else 1


def drop(node: Namespace, history: History, length_s: float) -> tuple[float, float]:
    """Drop all requests for a while; when the rule was there, and when it was gone again."""
    run(node.in_network_of(node.name, ["iptables", "-w", "-I", *RULE]))
    start = history.now()
    try:
        hold(length_s)
    finally:
        end = history.now()
        run(node.in_network_of(node.name, ["iptables", "-w", "-D", *RULE]))
    return start, end


def compare(history: History, start: float, end: float) -> float:
    """Print one outage as it was and as it was measured; the difference in seconds."""
    around = [p for p in history.of(Probe) if start - 0.7 <= p.at <= end + 0.7]
    finding = judge(outage_at_most(0.0), History.of_records(around))
    measured_s = float(finding.figures.get("longest_outage_ms", 0)) / 1000
    off_s = abs(measured_s - (end - start))
    print(f"outage of {end - start:.3f} s: measured {measured_s:.3f} s, off by {off_s:.3f} s; {finding.sentence}")
    return off_s


@contextmanager
def namespace(name: str) -> Iterator[Namespace]:
    """A network namespace with a web server on its loopback."""
    node = Namespace(name)
    run(["ip", "netns", "add", name])
    try:
        run(node.in_network_of(name, ["ip", "link", "set", "lo", "up"]))
        with TemporaryDirectory() as empty:
            serve = [sys.executable, "-m", "http.server", "80", "--bind", "127.0.0.1", "--directory", empty]
            argv = node.in_network_of(name, serve)
            with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
                try:
                    yield node
                finally:
                    server.kill()
    finally:
        run(["ip", "netns", "delete", name])


if __name__ == "__main__":
    sys.exit(main())
