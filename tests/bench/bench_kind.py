"""How long a real kind cluster takes, and how exactly a known outage of a real Service is measured on it.

python -m tests.bench.bench_kind
"""

import time
import uuid

from chaos.clusters.base import KIND, Shape
from chaos.clusters.kind import KindCluster
from chaos.clusters.pool import Pool, Wishes
from chaos.faults import load_all
from chaos.history import History, Probe, Window
from chaos.hosts.binaries import DEFAULT_KUBERNETES
from chaos.hosts.command import run
from chaos.hosts.places import journals_dir
from chaos.invariants.availability import outage_at_most
from chaos.invariants.base import judge
from chaos.journal import Journal
from chaos.probing import ServiceProbes, steady
from chaos.profile import PROFILES
from chaos.report.results import machine_facts
from chaos.waiting import eventually, hold
from chaos.workloads.web import Deployed, Web

# Before the packet gets a pod's address from kube-proxy (nat comes after mangle), so that the Service's is still in it.
RULE = ("OUTPUT", "-p", "tcp", "--dport", "80", "-m", "comment", "--comment", "kube-ordeal-bench", "-j", "DROP")


def main() -> None:
    load_all()
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    with Journal(journals_dir() / f"bench-{uuid.uuid4().hex[:8]}.jsonl") as journal:
        pool = Pool(Wishes(kubernetes=DEFAULT_KUBERNETES, name="bench"), journal, uuid.uuid4().hex, lambda _: None)
        try:
            began = time.monotonic()
            cluster = pool.acquire(KIND, Shape(workers=2, timers=PROFILES["smoke"].kind_timers))
            took_s = time.monotonic() - began
            print(f"kind cluster of 3 nodes, all Ready, CoreDNS serving: {took_s:.1f} s (to reach: 30 s)")
            assert isinstance(cluster, KindCluster)
            web = Web(replicas=4).deploy(cluster, "bench", "ordeal-bench")
            for length_s in (1.0, 10.0):
                measure(cluster, web, length_s)
        finally:
            pool.close()


def measure(cluster: KindCluster, web: Deployed, length_s: float) -> None:
    """Drop what one worker sends to the Service for a known time, and compare with what the invariant measured."""
    node = cluster.workers[0]
    history = History()
    with ServiceProbes(cluster, history, target=web.name, url=web.url, nodes=cluster.workers):
        eventually(lambda: steady(history, cluster.workers), within_s=60, what="the Service to answer every worker")
        run(cluster.in_network_of(node, ["iptables", "-w", "-t", "mangle", "-I", *RULE]))
        dropped_at = history.now()
        try:
            hold(length_s)
        finally:
            run(cluster.in_network_of(node, ["iptables", "-w", "-t", "mangle", "-D", *RULE]))
        restored_at = history.now()
        hold(3.0)
    finding = judge(outage_at_most(0.0, window=Window(dropped_at - 1.0, history.now())), history)
    known_s = restored_at - dropped_at
    measured_s = float(finding.figures.get("longest_outage_ms", 0)) / 1000
    failed = sum(not p.ok for p in history.of(Probe))
    print(
        f"outage of {known_s:.3f} s: measured {measured_s:.3f} s, off by {abs(measured_s - known_s):.3f} s "
        f"(to reach: 0.15 s), {failed} failed probes; {finding.sentence}"
    )


if __name__ == "__main__":
    main()
