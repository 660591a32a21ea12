"""pleg-churn: hundreds of pods of one node come and go at once, again and again, with maxPods=600."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from kubernetes import client as k8s

from chaos.clusters.abilities import NodeExec, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape, dense_shape
from chaos.harm.kubelet import SetKubeletConfig
from chaos.harm.program import SwapProgram
from chaos.hosts import mutants
from chaos.hosts.mutants import PLEG_SCALED_THRESHOLD_S
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.report.mutants import killed_row
from chaos.run.fit import fit_workers
from chaos.run.incident import DENSE, HARDENED, Load, incident
from chaos.run.lab import Lab
from chaos.run.profile import Profile
from chaos.run.promised import Conditions, Judged, Promise, judged, node_of, says
from chaos.subjects.pleg import promises as pleg
from chaos.subjects.pleg.faults import DeletePods, StallRuntime
from chaos.subjects.pleg.promises import node_stays_ready, pleg_last_seen, pleg_recovers, pods_converge
from chaos.subjects.pleg.records import KUBELET_GOROUTINES, KUBELET_HANDLES, RELIST, RUNTIME_HANDLES, Wave, WaveOver
from chaos.subjects.pleg.sampler import PlegSamples
from chaos.subjects.pleg.workload import Churn, check_room, pods_left, ready_within_s, scale
from chaos.workloads.base import WORKLOAD_LABEL
from chaos.workloads.web import Deployed

NEEDS = (RunsContainers, NodeExec)
WAVES = {"smoke": (150, 2), "full": (580, 5)}  # pods, and how often all of them are deleted at once
SMALL_WAVE = 60  # of the 110 pods that a node takes as shipped
FEW = 10
RUNTIME_TIMEOUT_S = 10
SCALED, BLOCKING_SEND = "pleg-scaled", "pleg-blocking-send"  # mutants
# A node that is NotReady for its PLEG is Ready again with the next status update after a relist, 10 s at most
# (nodeStatusUpdateFrequency); a relist that was cut short by the runtime's request timeout takes 120 s.
BACK_WITHIN_S = 150.0
QUICK_WITHIN_S = 120.0
REPORTED_WITHIN_S = 120.0  # past the threshold: the next status update, 10 s, and something for a busy machine


def promises_of_waves(told: Conditions) -> tuple[Judged, ...]:
    return promises_of_stall(told.profile) if told.control else promises_of_churn(WAVES[told.profile.name][0])


def promises_of_small(told: Conditions) -> tuple[Judged, ...]:
    return promises_of_stall(told.profile) if told.control else promises_of_churn(SMALL_WAVE)


def promises_of_scaled(told: Conditions) -> tuple[Judged, ...]:
    """Only whether it recovers: it is late on purpose."""
    return judged(*_recovers(PLEG_SCALED_THRESHOLD_S, least=WAVES[told.profile.name][0]), harm=(DeletePods,))


def promises_of_churn(pods: int) -> tuple[Judged, ...]:
    limit_s = pleg.SHIPPED_THRESHOLD_S
    seen = says(pleg_last_seen, node_of("churn"), limit_s=limit_s)
    return judged(seen, *_recovers(limit_s, least=pods), harm=(DeletePods,))


def promises_of_stall(profile: Profile) -> tuple[Judged, ...]:
    limit_s = stall_limit_s(profile)
    seen = says(pleg_last_seen, node_of("churn"), limit_s=limit_s)
    return judged(seen, *_recovers(limit_s, least=FEW), harm=(DeletePods, StallRuntime))


def stall_limit_s(profile: Profile) -> float:
    """With the shipped threshold, or in `smoke` with the twin's short one."""
    return pleg.SHIPPED_THRESHOLD_S if profile.name == "full" else PLEG_SCALED_THRESHOLD_S


def _recovers(limit_s: float, *, least: int) -> tuple[Promise, ...]:
    node = node_of("churn")
    return (
        says(node_stays_ready, node, back_within_s=BACK_WITHIN_S),
        says(pleg_recovers, node, limit_s=limit_s, within_s=QUICK_WITHIN_S),
        says(pods_converge, "churn", least=least),
    )


@incident(
    "pleg-churn",
    on=("kind",),
    needs=NEEDS,
    controls=("runtime-stalled",),
    shape=DENSE,
    load=Load.ALONE,
    mutants={"runtime-stalled": (SCALED,)},
    faults={"runtime-stalled": (SwapProgram, SetKubeletConfig)},
    promises=promises_of_waves,
)
def test_a_node_outlives_waves_of_pods(lab: Lab) -> None:
    """When hundreds of pods of a node are deleted at once, and as many start in their place, again and again, the node
    MUST stay Ready or be so again soon, its PLEG MUST NOT be away for longer than its threshold and MUST be quick again
    afterwards, and every pod MUST converge.
    """
    cluster, node = _node(lab)
    if lab.control == "runtime-stalled":
        _stall(lab, cluster, node)
        return
    pods, rounds = WAVES[lab.profile.name]
    history = _churn(lab, cluster, node, pods, rounds, limit_s=pleg.SHIPPED_THRESHOLD_S)
    lab.expect(history, pleg_last_seen(node, limit_s=pleg.SHIPPED_THRESHOLD_S))
    _judge(lab, history, node, pleg.SHIPPED_THRESHOLD_S, least=pods)


@incident(
    "pleg-churn",
    on=("kind",),
    needs=NEEDS,
    controls=("blocking-send",),
    variant="scaled kubelet",
    shape=DENSE,
    load=Load.ALONE,
    mutants={HARDENED: (SCALED,), "blocking-send": (BLOCKING_SEND,)},
    faults={HARDENED: (SwapProgram,), "blocking-send": (SwapProgram,)},
    promises=promises_of_scaled,
)
def test_a_full_event_channel_holds_nothing_up(lab: Lab) -> None:
    """When PLEG has more events than its channel takes, and is late, it MUST recover all the same: a kubelet scaled to
    this machine must, and in the control the same one with the historical bug must not.
    """
    cluster, node = _node(lab)
    name = BLOCKING_SEND if lab.control == "blocking-send" else SCALED
    pods, _ = WAVES[lab.profile.name]
    with _swapped(lab, node, name):
        history = _churn(lab, cluster, node, pods, 1, limit_s=PLEG_SCALED_THRESHOLD_S)
    # With the node's own kubelet again, what the mutant left hanging comes to its end.
    lab.recover(lambda: _pods_on(cluster, node) == 0, within_s=ready_within_s(pods), what="all pods gone")
    _judge(lab, history, node, PLEG_SCALED_THRESHOLD_S, least=pods)
    lab.table("mutants", [killed_row(mutants.find(name), lab.findings, judged_by="pleg-recovers")])


@incident(
    "pleg-churn",
    on=("kind",),
    needs=NEEDS,
    controls=("runtime-stalled",),
    variant="small",
    load=Load.WORKS,
    mutants={"runtime-stalled": (SCALED,)},
    faults={"runtime-stalled": (SwapProgram, SetKubeletConfig)},
    tour=(HARDENED, "runtime-stalled"),
    promises=promises_of_small,
)
def test_a_node_outlives_one_small_wave(lab: Lab) -> None:
    """The same MUST hold of one wave of a few dozen pods, on nodes with the shipped maxPods: it takes a fifth of the
    time, and tells whether PLEG goes on at all, not what it does under the post-mortem's load.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    node = _last_worker(cluster)
    if lab.control == "runtime-stalled":
        _stall(lab, cluster, node)
        return
    history = _churn(lab, cluster, node, SMALL_WAVE, 1, limit_s=pleg.SHIPPED_THRESHOLD_S)
    lab.expect(history, pleg_last_seen(node, limit_s=pleg.SHIPPED_THRESHOLD_S))
    _judge(lab, history, node, pleg.SHIPPED_THRESHOLD_S, least=SMALL_WAVE)


def _node(lab: Lab) -> tuple[Cluster, str]:
    """The cluster, and its last worker, whose file systems are the machine's: the small ones are the first one's."""
    cluster = lab.cluster(dense_shape(lab.timers))
    return cluster, _last_worker(cluster)


def _last_worker(cluster: Cluster) -> str:
    return fit_workers(cluster)[-1].name


def _churn(lab: Lab, cluster: Cluster, node: str, pods: int, rounds: int, *, limit_s: float) -> History:
    """The incident's story: all pods are asked for, and deleted at once again and again."""
    check_room(cluster, node, pods)
    with _recorded(lab, cluster, node, limit_s) as history:
        deployed = lab.deploy(Churn(node, pods))
        well = _wave(lab, history, deployed, node, f"{pods} pods")
        for number in range(rounds):
            with lab.inject(DeletePods(deployed.namespace, deployed.name)):
                well = _wave(lab, history, deployed, node, f"{pods} replacements, round {number + 1}") and well
            if not well:
                break
        if not pleg.deadlock_seen(history, node):
            _last_wave(lab, history, deployed, node, limit_s)
    scale(deployed, 0)  # where there was no last wave, nothing would come to its end
    lab.fact("pods", pods)
    lab.fact("rounds", rounds)
    return history


def _wave(lab: Lab, history: History, deployed: Deployed, node: str, what: str) -> bool:
    """Ask for all pods, and wait until they are Ready; False where they are not, or PLEG is seen to be deadlocked."""
    history.add(Wave(history.now(), node, what))
    scale(deployed, deployed.replicas)
    lab.recover(
        lambda: deployed.ready() or pleg.deadlock_seen(history, node),
        within_s=ready_within_s(deployed.replicas),
        what=f"{what} Ready",
    )
    history.add(WaveOver(history.now(), node, what))
    return deployed.ready()


def _last_wave(lab: Lab, history: History, deployed: Deployed, node: str, limit_s: float) -> None:
    """Ask for no pods any more, wait until all are gone, and then until PLEG is quick again."""
    history.add(Wave(history.now(), node, "no pods"))
    scale(deployed, 0)
    within_s = ready_within_s(deployed.replicas)
    lab.recover(lambda: pods_left(deployed) == 0, within_s=within_s, what="all pods gone after the last wave")
    history.add(WaveOver(history.now(), node, "no pods"))
    lab.recover(lambda: pleg.quick(history, node, limit_s), within_s=QUICK_WITHIN_S + 5, what="PLEG quick again")


def _stall(lab: Lab, cluster: Cluster, node: str) -> None:
    """The runtime answers nothing any more."""
    limit_s = stall_limit_s(lab.profile)
    twin = None if lab.profile.name == "full" else SCALED
    with _swapped(lab, node, twin), _impatient(lab, node, twin), _recorded(lab, cluster, node, limit_s) as history:
        deployed = lab.deploy(Churn(node, FEW))
        _wave(lab, history, deployed, node, f"{FEW} pods")
        with lab.inject(DeletePods(deployed.namespace, deployed.name)), lab.inject(StallRuntime(node)):
            lab.hold_until_shown(pleg_last_seen(node, limit_s=limit_s), within_s=limit_s + REPORTED_WITHIN_S)
        lab.recover(lambda: lab.nodes_ready() and deployed.ready(), within_s=BACK_WITHIN_S, what="the node is back")
        _last_wave(lab, history, deployed, node, limit_s)
    lab.expect(history, pleg_last_seen(node, limit_s=limit_s))
    _judge(lab, history, node, limit_s, least=FEW)


@contextmanager
def _swapped(lab: Lab, node: str, mutant: str | None) -> Iterator[None]:
    """The node's kubelet is the mutant for the block's length; without one it is the shipped one."""
    if mutant is None:
        yield
        return
    program = lab.mutant(mutant)
    with lab.configured(SwapProgram(node, "kubelet", str(program.path))):
        lab.recover(lab.nodes_ready, within_s=60, what=f"{node} Ready with {mutant}")
        yield


@contextmanager
def _impatient(lab: Lab, node: str, mutant: str | None) -> Iterator[None]:
    """A scaled kubelet gives a call of its runtime up after seconds, not after 2 min: before that it does not tell its
    Node's condition either, for it asks the runtime's version first (VersionInfo, pkg/kubelet/nodestatus/setters.go).
    """
    if mutant is None:
        yield
        return
    with lab.configured(SetKubeletConfig(node, {"runtimeRequestTimeout": f"{RUNTIME_TIMEOUT_S}s"})):
        lab.recover(lab.nodes_ready, within_s=60, what=f"{node} Ready with runtimeRequestTimeout {RUNTIME_TIMEOUT_S} s")
        yield


def _recorded(lab: Lab, cluster: Cluster, node: str, limit_s: float) -> AbstractContextManager[History]:
    return lab.record(samplers=(lambda history: PlegSamples(history, cluster, node, limit_s=limit_s),))


def _pods_on(cluster: Cluster, node: str) -> int:
    """How many pods of the churn the API shows on the node."""
    with cluster.api() as client:
        label = f"{WORKLOAD_LABEL}=churn"
        on = f"spec.nodeName={node}"
        found: Any = k8s.CoreV1Api(client).list_pod_for_all_namespaces(field_selector=on, label_selector=label)
        return len(found.items)


def _judge(lab: Lab, history: History, node: str, limit_s: float, *, least: int) -> None:
    lab.fact("PLEG threshold of the kubelet", f"{limit_s:g} s")
    lab.expect(
        history,
        node_stays_ready(node, back_within_s=BACK_WITHIN_S),
        pleg_recovers(node, limit_s=limit_s, within_s=QUICK_WITHIN_S),
        pods_converge("churn", least=least),
    )
    for name in (RELIST, KUBELET_GOROUTINES, KUBELET_HANDLES, RUNTIME_HANDLES):
        values = [s.value for s in history.of(Sample) if s.name == name]
        if values:
            lab.fact(f"{name} p50", round(pleg.percentile(values, 50), 3))
            lab.fact(f"{name} max", max(values))
