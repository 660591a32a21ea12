"""Each fault applied and undone again and again: the node must be as it was. Long: `make bench-node` runs it.

python -m tests.bench.repeats [TIMES [CASE...]]

A case is a fault's kind, or one of several that are tried of a fault; a name that is none says which there are.
"""

import sys
import time
import uuid
from typing import Any

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.base import KIND
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.shape import dense_shape
from chaos.errors import OrdealError
from chaos.harm import load_all
from chaos.harm.base import inject
from chaos.harm.program import SwapProgram
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.places import journals_dir
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.results.results import machine_facts
from chaos.run.pool import Pool, Wishes
from chaos.run.profile import PROFILES
from chaos.subjects.pleg.faults import StallRuntime
from tests.comparing import differences
from tests.integration.harm import fault_of
from tests.integration.picture import Picture, picture
from tests.integration.test_kind_faults import faults_of
from tests.integration.test_node_faults import cases
from tests.integration.test_program_faults import given

TIMES = 50
AS_BEFORE_WITHIN_S = 180.0
Case = tuple[str, dict[str, Any]]


def main(times: int, chosen: list[str]) -> int:
    load_all()
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    with Journal(journals_dir() / f"repeats-{uuid.uuid4().hex[:8]}.jsonl") as journal:
        pool = Pool(Wishes(kubernetes=DEFAULT_KUBERNETES, name="repeats"), journal, uuid.uuid4().hex, print)
        try:
            cluster = pool.acquire(KIND, dense_shape(PROFILES["smoke"].kind_timers))
            assert isinstance(cluster, KindCluster)
            there = all_cases(cluster)
            if unknown := set(chosen) - set(there):
                print(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(sorted(there))}")
                return 2
            return sum(not repeat(cluster, journal, name, there[name], times) for name in chosen or sorted(there))
        finally:
            pool.close()


def all_cases(cluster: KindCluster) -> dict[str, Case]:
    """Every fault of nodes that the integration tests try, by a name: its kind, and what it is made of."""
    programs = {kind: (kind, given(cluster, kind)) for kind in (SwapProgram.kind, StallRuntime.kind)}
    return {kind: (kind, made_of) for kind, made_of in faults_of(cluster).items()} | cases(cluster) | programs


def repeat(cluster: KindCluster, journal: Journal, name: str, case: Case, times: int) -> bool:
    """Whether the nodes are afterwards as they were; says so."""
    harm = fault_of(*case)
    before, began = picture(cluster), time.monotonic()
    done = 0
    try:
        for _ in range(times):
            eventually(lambda: ready(cluster), within_s=AS_BEFORE_WITHIN_S, what="every node to be Ready", every_s=0.5)
            with inject(harm, cluster, journal, History()):
                pass
            done += 1
    except OrdealError as error:
        print(f"{name}: FAILED in round {done + 1}: {error}")
        return False
    took_s = time.monotonic() - began
    seen: list[Picture] = []

    def as_before() -> bool:
        seen[:] = [picture(cluster)]
        return seen[0] == before

    try:
        eventually(as_before, within_s=AS_BEFORE_WITHIN_S, what="every node to be as before", every_s=1.0)
    except WaitedInVainError:
        print(f"{name}: NOT as before after {times} times: {differences(before, seen[0])}")
        return False
    print(f"{name}: {times} times applied and undone, every node as before; {took_s / times:.1f} s each", flush=True)
    return True


def ready(cluster: KindCluster) -> bool:
    return all(n.ready == "True" for n in cluster.nodes())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else TIMES, sys.argv[2:]))
