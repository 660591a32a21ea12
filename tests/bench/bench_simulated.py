"""How long a simulated cluster takes: its control plane, and 1,000 and 5,000 nodes.

python -m tests.bench.bench_simulated [NODES ...]
"""

import sys
import time
import uuid
from dataclasses import dataclass

from chaos.clusters.shape import Shape, Zone
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.results.results import machine_facts

TARGETS_S = {1000: 12.0, 5000: 60.0}
CONTROL_PLANE_TARGET_S = 6.0


@dataclass(frozen=True)
class Start:
    """How long a start took: the control plane until it answers, then all nodes until they are Ready."""

    nodes: int
    control_plane_s: float
    nodes_s: float
    deleted_s: float


def main() -> None:
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    for nodes in [int(arg) for arg in sys.argv[1:]] or list(TARGETS_S):
        took = measure(nodes)
        target = f" (to reach: {TARGETS_S[nodes]:g} s)" if nodes in TARGETS_S else ""
        print(
            f"simulated control plane: {took.control_plane_s:.1f} s (to reach: {CONTROL_PLANE_TARGET_S:g} s); "
            f"{took.nodes:,} nodes in 3 zones Ready: {took.nodes_s:.1f} s after it{target}; "
            f"deleted in {took.deleted_s:.1f} s",
            flush=True,
        )


def measure(nodes: int) -> Start:
    """Start a cluster with the shipped timers and so many nodes, the control plane's among them; delete it."""
    marks: list[float] = []

    def said(line: str) -> None:
        if "simulated nodes" in line or "simulated control plane" in line:
            marks.append(time.monotonic())

    zone, rest = divmod(nodes - 1, 3)
    shape = Shape(zones=(Zone("a", zone), Zone("b", zone), Zone("c", zone + rest)))
    name = f"bench-{uuid.uuid4().hex[:6]}"
    try:
        cluster = SimulatedCluster.create(name, shape, report=said)
        ready = time.monotonic()
        assert len(cluster.nodes()) == nodes
    finally:
        began_delete = time.monotonic()
        SimulatedCluster(name).delete()
    begun, planes_up = marks
    return Start(nodes, planes_up - begun, ready - planes_up, time.monotonic() - began_delete)


if __name__ == "__main__":
    main()
