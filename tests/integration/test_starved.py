"""An outage of the cluster, and one of a machine that has no processor for its pods: the first is measured, also beside
other work, and the second is nobody's.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chaos.basics.waiting import eventually, hold
from chaos.clusters.kind.cluster import KindCluster
from chaos.hosts.command import run
from chaos.judge.availability import outage_at_most
from chaos.judge.base import Finding, Verdict, judge
from chaos.record.history import History
from chaos.record.probing import steady
from chaos.record.recorder import Recorder
from chaos.record.records import Probe, ProcessorWait
from chaos.run.steady import measuring
from chaos.workloads.web import Deployed, Web, remove_namespace

pytestmark = pytest.mark.nightly("a kind cluster whose pods get no processor for half a minute: two minutes")

NAMESPACE = "ordeal-starved"
LIMIT_S, AWAY_S, STARVED_S = 2.0, 6.0, 20
MANY, FEW = 30, 1  # processes beside the pods of each worker
SPIN = "for i in $(seq {n}); do timeout {s} sh -c 'while :; do :; done' & done; wait"


@pytest.fixture(scope="module")
def web(kind_cluster: KindCluster) -> Iterator[Deployed]:
    yield Web(replicas=4, publish_not_ready=True).deploy(kind_cluster, "starved", NAMESPACE)
    remove_namespace(kind_cluster, NAMESPACE)


@contextmanager
def busy(cluster: KindCluster, processes: int, for_s: int) -> Iterator[None]:
    """So many processes on each worker that compute, for so long; they are waited for."""
    spin = SPIN.format(n=processes, s=for_s)
    load = [subprocess.Popen(cluster.on_node(worker, ["sh", "-c", spin])) for worker in cluster.workers]
    try:
        yield
    finally:
        for each in load:
            each.wait(for_s + 60)


@contextmanager
def cut_off(cluster: KindCluster, web: Deployed) -> Iterator[None]:
    """What the first worker sends to the Service is dropped."""
    address = web.url.removeprefix("http://").strip("/")
    rule = ["iptables", "-w", "-t", "raw", "{}", "OUTPUT", "-d", address, "-p", "tcp", "-j", "DROP"]
    argv = {how: [how if each == "{}" else each for each in rule] for how in ("-I", "-D")}
    run(cluster.in_network_of(cluster.workers[0], argv["-I"]))
    try:
        yield
    finally:
        run(cluster.in_network_of(cluster.workers[0], argv["-D"]))


@contextmanager
def recorded(cluster: KindCluster, web: Deployed) -> Iterator[History]:
    history = History()
    with Recorder(history, cluster.api), measuring(cluster, web, history):
        eventually(lambda: steady(history, cluster.workers), within_s=120, what="the Service to answer", every_s=0.1)
        yield history
        eventually(lambda: steady(history, cluster.workers), within_s=120, what="the Service to answer", every_s=0.1)
        hold(2.0)  # what was waited for last is counted
    print(f"{len(history.of(ProcessorWait))} records of waits, {len(history.of(Probe))} probes")


def told(history: History) -> Finding:
    finding = judge(outage_at_most(LIMIT_S), history)
    print(f"{finding.verdict}: {finding.sentence}")
    last = {wait.uid: wait for wait in history.of(ProcessorWait)}
    print(", ".join(f"{wait.who} waited {wait.waited_s:.1f} s by {wait.at:.1f} s" for wait in last.values()))
    return finding


@pytest.mark.parametrize("processes", [0, FEW])
def test_an_outage_of_the_cluster_is_measured_also_beside_other_work(
    kind_cluster: KindCluster, web: Deployed, processes: int
) -> None:
    with recorded(kind_cluster, web) as history, busy(kind_cluster, processes, round(AWAY_S) + 4):
        hold(2.0)
        with cut_off(kind_cluster, web):
            hold(AWAY_S)
    finding = told(history)
    assert (finding.verdict, finding.reason) == (Verdict.VIOLATED, "outage")
    measured_s = float(finding.figures[f"longest_outage_ms_{kind_cluster.workers[0]}"]) / 1000
    assert measured_s > AWAY_S - 0.5


def test_pods_that_get_no_processor_are_no_outage_of_the_cluster(kind_cluster: KindCluster, web: Deployed) -> None:
    with recorded(kind_cluster, web) as history, busy(kind_cluster, MANY, STARVED_S):
        hold(STARVED_S)
    finding = told(history)
    assert finding.verdict is not Verdict.VIOLATED
    failed = [probe for probe in history.of(Probe) if not probe.ok]
    assert failed, "nothing was starved"
