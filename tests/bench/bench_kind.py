"""How long a real kind cluster takes, beside kind's own command, and how exactly a known outage of a real Service is
measured on it.

python -m tests.bench.bench_kind [ROUNDS]
"""

import statistics
import sys
import time
import uuid
from dataclasses import dataclass

from chaos.basics.waiting import eventually, hold
from chaos.clusters.base import KIND, ClusterRef
from chaos.clusters.kind import ready
from chaos.clusters.kind.cluster import READY_WITHIN_S, KindCluster
from chaos.clusters.kind.config import kind_config
from chaos.clusters.kind.home import home_of
from chaos.clusters.shape import Shape
from chaos.harm import load_all
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.command import run
from chaos.hosts.places import journals_dir
from chaos.judge.availability import outage_at_most
from chaos.judge.base import judge
from chaos.record.history import History, Window
from chaos.record.journal import CLUSTER, Journal
from chaos.record.probing import ServiceProbes, steady
from chaos.record.records import Probe
from chaos.results.results import machine_facts
from chaos.run.pool import Pool, Wishes
from chaos.run.profile import PROFILES
from chaos.workloads.web import Deployed, Web
from tests.bench.told import times

SHAPE = Shape(workers=2, timers=PROFILES["smoke"].kind_timers)
ROUNDS = 3
TO_REACH = 1.15
CREATE_TIMEOUT_S = 600.0
# Before the packet gets a pod's address from kube-proxy (nat comes after mangle), so that the Service's is still in it.
RULE = ("OUTPUT", "-p", "tcp", "--dport", "80", "-m", "comment", "--comment", "kube-ordeal-bench", "-j", "DROP")


@dataclass(frozen=True, slots=True)
class Made:
    """How long a cluster took, in seconds. Ours: `before` kind was called, in kind, and `after` it.

    Kind's own command waits for the control plane only: `after` is how long it then took until every node was Ready
    and CoreDNS served, and is no part of `took_s`.
    """

    took_s: float
    before_s: float
    after_s: float


def main(rounds: int) -> None:
    load_all()
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    with Journal(journals_dir() / f"bench-{uuid.uuid4().hex[:8]}.jsonl") as journal:
        said: list[tuple[float, str]] = []
        pool = Pool(
            Wishes(kubernetes=DEFAULT_KUBERNETES, name="bench"),
            journal,
            uuid.uuid4().hex,
            lambda text: said.append((time.monotonic(), text)),
        )
        try:
            ours, theirs = [], []
            for number in reversed(range(rounds)):  # by turns; a cluster of ours is the last one, and kept
                if number % 2:
                    ours.append(by_us(pool, said))
                    theirs.append(by_kind(pool, journal))
                else:
                    theirs.append(by_kind(pool, journal))
                    ours.append(by_us(pool, said))
            tell(ours, theirs)
            cluster = pool.acquire(KIND, SHAPE)
            assert isinstance(cluster, KindCluster)
            web = Web(replicas=4).deploy(cluster, "bench", "ordeal-bench")
            for length_s in (1.0, 10.0):
                measure(cluster, web, length_s)
        finally:
            pool.close()


def by_us(pool: Pool, said: list[tuple[float, str]]) -> Made:
    """A new cluster from the pool, every node Ready and CoreDNS serving. It stays until the next one is made."""
    pool.take_down(KIND)
    said.clear()
    began = time.monotonic()
    pool.acquire(KIND, SHAPE)
    ended = time.monotonic()
    in_kind, after = (next(at for at, text in said if text.startswith(words)) for words in ("kind creates", "waiting"))
    return Made(ended - began, in_kind - began, ended - after)


def by_kind(pool: Pool, journal: Journal) -> Made:
    """The same cluster by `kind create cluster --wait`, of the same image and config; it is deleted again."""
    pool.take_down(KIND)
    setup = ready.kind_setup(DEFAULT_KUBERNETES)
    name = f"bench-by-kind-{uuid.uuid4().hex[:4]}"
    home = home_of(name)
    home.mkdir(parents=True)
    config, kubeconfig = home / "kind.yaml", home / "kubeconfig"
    config.write_text(kind_config(SHAPE, setup))
    ref = ClusterRef(KIND, name, str(kubeconfig))
    cluster = KindCluster(ref, SHAPE, setup.images, setup.tools)
    entry = journal.planned(CLUSTER, ref, {})
    try:
        argv = [str(setup.tools.kind), "create", "cluster", "--name", name, "--config", str(config), "--wait", "5m"]
        argv += ["--kubeconfig", str(kubeconfig), *(["--image", setup.node_image] if setup.node_image else [])]
        began = time.monotonic()
        run(argv, timeout_s=CREATE_TIMEOUT_S)
        waited = time.monotonic()
        cluster.wait_ready(READY_WITHIN_S)
        return Made(waited - began, 0.0, time.monotonic() - waited)
    finally:
        cluster.delete()
        journal.undone(entry)


def tell(ours: list[Made], theirs: list[Made]) -> None:
    """Both ways, and where the time goes."""
    print(f"kind cluster of 3 nodes, all Ready, CoreDNS serving: {times(m.took_s for m in ours)}")
    print(f"  of that before kind was called: {times(m.before_s for m in ours)}")
    print(f"  of that after kind had ended: {times(m.after_s for m in ours)}")
    print(f"kind's own `create cluster --wait` of the same image: {times(m.took_s for m in theirs)}")
    print(f"  until every node was Ready and CoreDNS served then: {times(m.after_s for m in theirs)}")
    by_us_s, by_kind_s = statistics.median(m.took_s for m in ours), statistics.median(m.took_s for m in theirs)
    print(f"ours against kind's own, medians by turns: {by_us_s / by_kind_s:.2f} times (to reach: {TO_REACH})")
    as_ready_s = statistics.median(m.took_s + m.after_s for m in theirs)
    print(f"  against kind's own until its cluster is as ready as ours: {by_us_s / as_ready_s:.2f} times")


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
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
