"""What an agent costs a node while a replay with samples goes through it. Long: `make bench-agent` runs it.

python -m tests.bench.agent [--replay SUITE] [--only WORDS]

On a cluster that somebody else made, looked at from outside once a second: the agent's process on each node and all
that it starts there, a fault's commands and the probes among them.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from chaos.clusters.kind import docker
from chaos.record.sampler import Sampler
from chaos.results.results import machine_facts
from tests.bench.told import aligned
from tests.integration.test_agent import their_cluster

REPLAY = "suites/node/test_hostname_change.py"
ONLY = "hardened"
EVERY_S = 1.0
MEMORY_BYTES, CORE = 60e6, 0.05  # to reach, in a replay with samples


@dataclass(slots=True)
class Cost:
    """Of one node's agent: what it had of memory at each look, and seconds of one processor, its children's included.

    `used_s`: by process, where it was when it was last seen; `at`: when it was looked at first and last.
    """

    resident_bytes: list[int] = field(default_factory=list)
    used_s: dict[int, float] = field(default_factory=dict)
    at: list[float] = field(default_factory=list)

    @property
    def core(self) -> float:
        """The share of one processor, over all the time that there was an agent."""
        return sum(self.used_s.values()) / max(self.at[-1] - self.at[0], EVERY_S)


@contextmanager
def looked_at(containers: Mapping[str, str]) -> Iterator[Mapping[str, Cost]]:
    """For the block's length, what agents cost on the nodes, which are containers of this machine's engine.

    `containers`: the id of each node's, by the node's name.
    """
    costs = {name: Cost() for name in containers}

    def look() -> None:
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):  # it is gone
                _look(process, containers, costs)

    with Sampler("agent-cost", look, every_s=EVERY_S):
        yield costs


def _look(process: psutil.Process, containers: Mapping[str, str], costs: Mapping[str, Cost]) -> None:
    if not is_agent(process.cmdline()):
        return
    where = Path(f"/proc/{process.pid}/cgroup").read_text()
    for name, container in containers.items():
        if container in where:
            cost = costs[name]
            used = process.cpu_times()
            cost.used_s[process.pid] = used.user + used.system + used.children_user + used.children_system
            there = [process, *process.children(recursive=True)]
            cost.resident_bytes.append(sum(each.memory_info().rss for each in there))
            cost.at.append(time.monotonic())


def is_agent(argv: Sequence[str]) -> bool:
    """Whether it is the process that stays on the node, and not one of the pod's containers."""
    return any(part == "chaos.agent" and argv[at + 1 : at + 2] == ["serve"] for at, part in enumerate(argv))


def answer(costs: Mapping[str, Cost]) -> list[str]:
    """A line for each node that had an agent."""
    rows = [("node", "memory, most", "in the middle", "of a core", "looked at for")]
    for name, cost in sorted(costs.items()):
        if cost.at:
            most, middle = max(cost.resident_bytes), statistics.median(cost.resident_bytes)
            took = cost.at[-1] - cost.at[0]
            rows.append((name, f"{most / 1e6:.1f} MB", f"{middle / 1e6:.1f} MB", f"{cost.core:.2%}", f"{took:.0f} s"))
    return [*aligned(rows), f"to reach: {MEMORY_BYTES / 1e6:.0f} MB, {CORE:.0%} of a core"]


def is_reached(costs: Mapping[str, Cost]) -> bool:
    """Whether every agent cost no more than that, and there was one."""
    seen = [cost for cost in costs.values() if cost.at]
    return bool(seen) and all(max(c.resident_bytes) <= MEMORY_BYTES and c.core <= CORE for c in seen)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.agent", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--replay", default=REPLAY)
    parser.add_argument("--only", default=ONLY, help="as pytest's -k")
    asked = parser.parse_args(arguments)
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()), flush=True)
    with tempfile.TemporaryDirectory() as folder, their_cluster("agentcost", Path(folder)) as theirs:
        owner = ("guard", "init", "--kubeconfig", str(theirs.kubeconfig), "--nodes", "", "--control-plane")
        code, said = theirs.ended(theirs.command("chaos", *owner, "--most-nodes", "100%"))
        if code == 0:
            nodes = docker.names_in_cluster(theirs.outside.ref.name)
            with looked_at({name: docker.inspect(name).id for name in nodes}) as costs:
                replay = theirs.replay(Path(folder) / "results", asked.replay, "-k", asked.only)
                code, said = theirs.ended(replay, within_s=1500)
    if code:
        print(said[-3000:])
        return 1
    print(said.splitlines()[-1])
    for each in answer(costs):
        print(each)
    return 0 if is_reached(costs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
