"""Hundreds of pods on one node: our churn workload beside the same Deployment by kubectl, on the same cluster.

python -m tests.bench.pods [PODS [ROUNDS]]. Long: `make bench-node` runs it.
"""

import json
import statistics
import sys
import time
import uuid
from dataclasses import dataclass

from chaos.basics.waiting import eventually
from chaos.clusters.base import KIND
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.shape import dense_shape
from chaos.harm import load_all
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.command import run
from chaos.hosts.places import journals_dir
from chaos.record.journal import Journal
from chaos.results.results import machine_facts
from chaos.run.pool import Pool, Wishes
from chaos.run.profile import PROFILES
from chaos.subjects.pleg.workload import Churn, ready_within_s, scale
from chaos.workloads.web import Deployed, remove_namespace
from tests.bench.told import times

PODS, ROUNDS = 580, 3
TO_REACH = 1.1
AT_REST_WITHIN_S = 600.0


def main(pods: int, rounds: int) -> None:
    load_all()
    print("machine: " + ", ".join(f"{k} {v}" for k, v in machine_facts().items()))
    with Journal(journals_dir() / f"bench-{uuid.uuid4().hex[:8]}.jsonl") as journal:
        pool = Pool(Wishes(kubernetes=DEFAULT_KUBERNETES, name="pods"), journal, uuid.uuid4().hex, print)
        try:
            cluster = pool.acquire(KIND, dense_shape(PROFILES["smoke"].kind_timers))
            assert isinstance(cluster, KindCluster)
            ours: list[Took] = []
            theirs: list[Took] = []
            node = cluster.workers[1]
            by_us(cluster, node, 10)  # what is made once, such as the image's first layers
            for number in range(rounds):  # in turns, so that neither has the fresher node
                if number % 2:
                    ours.append(by_us(cluster, node, pods))
                    theirs.append(by_kubectl(cluster, node, pods))
                else:
                    theirs.append(by_kubectl(cluster, node, pods))
                    ours.append(by_us(cluster, node, pods))
            for took, who in ((ours, "us"), (theirs, "kubectl apply")):
                print(f"{pods} pods on one node Ready, by {who}: {times(each.all_s for each in took)}")
                print(f"  of that until they were asked for: {times(each.asked_s for each in took)}")
            ratio = statistics.median(each.all_s for each in ours) / statistics.median(each.all_s for each in theirs)
            print(f"medians by turns: {ratio:.2f} times (to reach: {TO_REACH})")
        finally:
            pool.close()


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds until the pods were asked for, and until every one was Ready."""

    asked_s: float
    all_s: float


def by_us(cluster: KindCluster, node: str, pods: int) -> Took:
    """With our workload."""
    namespace, there = f"bench-ours-{uuid.uuid4().hex[:6]}", containers(cluster, node)
    began = time.monotonic()
    deployed = Churn(node, pods).deploy(cluster, "bench", namespace)
    scale(deployed, pods)
    asked = time.monotonic()
    wait(deployed)
    took = Took(asked - began, time.monotonic() - began)
    remove(cluster, namespace)
    come_to_rest(cluster, node, there)
    return took


def by_kubectl(cluster: KindCluster, node: str, pods: int) -> Took:
    """With `kubectl apply`."""
    churn, namespace = Churn(node, pods), f"bench-kubectl-{uuid.uuid4().hex[:6]}"
    there = containers(cluster, node)
    kubectl = ["docker", "exec", "-i", cluster.control_plane, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"]
    began = time.monotonic()
    run([*kubectl, "create", "namespace", namespace], timeout_s=60)
    manifest = churn.manifest(cluster)
    manifest["spec"]["replicas"] = pods
    run([*kubectl, "apply", "--namespace", namespace, "-f", "-"], timeout_s=60, stdin=json.dumps(manifest))
    asked = time.monotonic()
    wait(Deployed(churn.name, namespace, "", pods, cluster))
    took = Took(asked - began, time.monotonic() - began)
    remove(cluster, namespace)
    come_to_rest(cluster, node, there)
    return took


def wait(deployed: Deployed) -> None:
    """Until every pod is Ready: asked alike for both."""
    pods = deployed.replicas
    eventually(deployed.ready, within_s=ready_within_s(pods), what=f"{pods} pods to be Ready", every_s=1.0)


def remove(cluster: KindCluster, namespace: str) -> None:
    """The pods of hundreds take longer to be gone than one wait for a namespace allows."""
    for attempt in range(10):
        try:
            remove_namespace(cluster, namespace)
        except Exception:
            if attempt == 9:
                raise
        else:
            return


def containers(cluster: KindCluster, node: str) -> int:
    """How many the runtime keeps, those of pods that are gone included."""
    return len(cluster.node_exec(node, ["ctr", "--namespace", "k8s.io", "containers", "list", "-q"]).out.split())


def come_to_rest(cluster: KindCluster, node: str, there: int) -> None:
    """The kubelet collects what pods left once a minute: whoever comes next must not pay for it."""
    what = f"{node} to have no containers of pods that are gone"
    eventually(lambda: containers(cluster, node) <= there, within_s=AT_REST_WITHIN_S, what=what, every_s=5.0)


if __name__ == "__main__":
    numbers = [int(a) for a in sys.argv[1:]]
    main(*(numbers + [PODS, ROUNDS][len(numbers) :]))
