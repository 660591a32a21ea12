"""Whether the recorder loses an event of many pods created and deleted at full speed, and what it costs.

python -m tests.bench.bench_recorder [NODES [PODS]]

etcd is the witness: each of its revisions of a pod must be in the history once.
"""

import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos.basics.waiting import eventually
from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape, Zone
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.harm import load_all
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.places import journals_dir
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.record.recorder import Recorder
from chaos.record.records import Blind, ClusterEvent, NodeChange, PodChange
from chaos.results.results import machine_facts
from chaos.run.pool import Pool, Wishes
from tests.churn import churn, request, witnessed

CPU_TO_REACH = 0.5  # of a core


def main(nodes: int, pods: int) -> int:
    load_all()
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    with Journal(journals_dir() / f"bench-{uuid.uuid4().hex[:8]}.jsonl") as journal:
        pool = Pool(Wishes(kubernetes=DEFAULT_KUBERNETES, name="bench-rec"), journal, uuid.uuid4().hex, print)
        try:
            shape = Shape(workers=0, zones=tuple(Zone(name, nodes // 2) for name in "ab"))
            cluster = pool.acquire(SIMULATED, shape)
            assert isinstance(cluster, SimulatedCluster)
            with TemporaryDirectory() as directory:
                return measure(cluster, pods, Path(directory))
        finally:
            pool.close()


def measure(cluster: SimulatedCluster, pods: int, directory: Path) -> int:
    """Record the churn, compare with etcd, print the figures; 0 where both goals were reached."""
    history = History(directory / "history.jsonl")
    with witnessed(cluster, directory / "witness") as told, Recorder(history, cluster.api) as recorder:
        cpu_s, began = recorder_cpu_s(), time.monotonic()
        churn(cluster, "create", pods)
        created_s = time.monotonic() - began
        churn(cluster, "delete", pods)
        eventually(lambda: deleted(told) == pods, within_s=600, what="etcd to have seen every pod deleted", every_s=2.0)
        took_s = time.monotonic() - began
        cpu_s = recorder_cpu_s() - cpu_s
        in_sync = recorder.catch_up()
        left_over = compare_with_full_lists(cluster, history)
    history.close()
    by_etcd = [revision for _, revision in told()]
    recorded = [p.resource_version for p in history.of(PodChange)]
    missing = Counter(by_etcd) - Counter(recorded)
    extra = Counter(recorded) - Counter(by_etcd)
    reread = len(History.load(directory / "history.jsonl"))
    share = cpu_s / took_s
    print(f"{pods} pods created in {created_s:.1f} s, all gone after {took_s:.1f} s: {len(by_etcd)} changes in etcd,")
    print(f"  {len(by_etcd) / took_s:.0f} a second; in order: {recorded == by_etcd}")
    others = f"{len(history.of(NodeChange))} changes of nodes, {len(history.of(ClusterEvent))} events"
    print(f"recorded: {len(recorded)} changes of pods, {others}")
    print(f"lost: {missing.total()}, doubled or made up: {extra.total()}, in sync: {in_sync}, {left_over}")
    print(f"breaks that were mended: {[b.why for b in history.of(Blind)]}; {reread} of {len(history)} records on disk")
    print(f"the recorder's threads took {cpu_s:.1f} s of CPU: {share:.2f} of a core (to reach: {CPU_TO_REACH}),")
    print(f"  {1e6 * cpu_s / len(history):.0f} microseconds a record")
    return 0 if not missing and not extra and in_sync and share < CPU_TO_REACH and reread == len(history) else 1


def deleted(told: Callable[[], list[tuple[str, str]]]) -> int:
    return sum(word == "delete" for word, _ in told())


def recorder_cpu_s() -> float:
    """CPU time that the recorder's threads have taken until now."""
    idents = [t.ident for t in threading.enumerate() if t.name.startswith("recorder") and t.ident is not None]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(ident)) for ident in idents)


def compare_with_full_lists(cluster: SimulatedCluster, history: History) -> str:
    """Whether the history ends with the nodes that the API server lists now, at the versions it lists."""
    with cluster.api() as client:
        items = request(client, "GET", "/api/v1/nodes")["items"]
    now = {i["metadata"]["name"]: int(i["metadata"]["resourceVersion"]) for i in items}
    seen = {n.name: int(n.resource_version) for n in history.of(NodeChange)}
    behind = [name for name, version in now.items() if seen.get(name, 0) < version]
    return f"nodes listed: {len(now)}, not yet recorded at that version: {len(behind)}"


if __name__ == "__main__":
    numbers = [int(n) for n in sys.argv[1:]]
    sys.exit(main(*(numbers + [1000, 10_000][len(numbers) :])))
