"""kubelet-restart: a kubelet is restarted or killed under running pods, and containers crash afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from chaos.clusters.abilities import NodeExec, NodeNetwork, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape, Timers
from chaos.harm.daemon import StopDaemon
from chaos.harm.network import CutOff
from chaos.harm.static_pod import PlaceStaticPod
from chaos.hosts.parts import FIREWALL
from chaos.judge.base import Invariant
from chaos.record.history import History
from chaos.run.fit import fit_workers
from chaos.run.incident import HARDENED, Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, node_of, says
from chaos.subjects.kubelets.faults import KILL, CrashContainers, CrashContainersPlan, RestartKubelet, SetNodeLabel
from chaos.subjects.kubelets.promises import (
    chance_s,
    containers_kept,
    crashed_starts_again,
    no_pod_rejected,
    pods_stay_ready,
)
from chaos.subjects.kubelets.records import ContainerKilled
from chaos.subjects.kubelets.sampler import KubeletSamples
from chaos.subjects.kubelets.workload import LABEL, PROBE_PERIOD_S, VALUE, Shapes
from chaos.workloads.web import Deployed

NEEDS = (RunsContainers, NodeExec)
SHAPES, KIND = "shapes", RestartKubelet.kind
SET_UP = (SetNodeLabel, PlaceStaticPod)
PROBED = ("as-shipped",)  # controls in which the kubelet's probes say what is Ready
# Until then each probe has come: the first one waits for a random part of its period (pkg/kubelet/prober/worker.go).
SEEN_S = PROBE_PERIOD_S + 2.0
BACK_WITHIN_S = 90.0  # ends when it is seen: the new kubelet has all pods
SHOWN_WITHIN_S = 90.0
AWAY_S = 20.0
# A container that ran for long is started again without a back-off, with the next look of PLEG, 1 s.
STARTED_WITHIN_S = 30.0
# A kubelet that is slow to start, or has no API server, loses heartbeats: no reason for a pod not to be Ready.
PATIENT = Timers(monitor_grace_s=150)


def promises(told: Conditions) -> tuple[Judged, ...]:
    stopped = (StopDaemon,) if told.control == "runtime-stopped" else ()
    return _declared((RestartKubelet, CrashContainers, *stopped))


def promises_cut_off(_: Conditions) -> tuple[Judged, ...]:
    return _declared((CutOff, RestartKubelet, CrashContainers))


def _declared(harm: tuple[type, ...]) -> tuple[Judged, ...]:
    node = node_of(SHAPES)
    return judged(
        says(pods_stay_ready, SHAPES, node, fault=KIND, seen_s=SEEN_S),
        says(no_pod_rejected, SHAPES, node, fault=KIND, seen_s=SEEN_S),
        says(containers_kept, SHAPES, node, fault=KIND, seen_s=SEEN_S),
        says(crashed_starts_again, node, within_s=STARTED_WITHIN_S),
        harm=harm,
    )


@incident(
    "kubelet-restart",
    on=("kind",),
    needs=NEEDS,
    controls=("as-shipped", "label-gone", "runtime-stopped"),
    load=Load.WORKS,
    faults=dict.fromkeys((HARDENED, "as-shipped", "label-gone", "runtime-stopped"), SET_UP),
    promises=promises,
)
def test_a_restarted_kubelet_leaves_pods_alone(lab: Lab) -> None:
    """When a node's kubelet is restarted under running pods, no Ready pod MUST become not Ready, no container
    MUST be ended, no running pod MUST be refused, and a container that crashes afterwards MUST be started again.
    """
    cluster = lab.cluster(Shape(workers=2, timers=PATIENT))
    node = _node(cluster)
    with _running(lab, cluster, node) as (shapes, history):
        gone = lab.configured(SetNodeLabel(node, LABEL, None)) if lab.control == "label-gone" else nullcontext()
        with gone, lab.inject(RestartKubelet(node)):
            _hold(lab, history, node)
            stopped = lab.inject(StopDaemon(node, "containerd")) if lab.control == "runtime-stopped" else nullcontext()
            with stopped:
                _crash(lab, history, node)
        lab.recover(lab.nodes_ready, within_s=BACK_WITHIN_S, what="the node Ready")
        lab.fact("pods", len(shapes.pods()))
    _judge(lab, history, node)


@incident(
    "kubelet-restart",
    on=("kind",),
    needs=(*NEEDS, NodeNetwork),
    variant="killed without the API server",
    host=(FIREWALL,),
    faults={HARDENED: SET_UP},
    promises=promises_cut_off,
)
def test_a_kubelet_that_starts_without_the_api_server_leaves_pods_alone(lab: Lab) -> None:
    """The same MUST hold where the kubelet is killed, and can't reach the API server for 20 s when it starts."""
    cluster = lab.cluster(Shape(workers=2, timers=PATIENT))
    node = _node(cluster)
    control_planes = tuple(each.name for each in cluster.nodes() if each.control_plane)
    with _running(lab, cluster, node) as (_, history):
        with lab.inject(CutOff((node,), control_planes)), lab.inject(RestartKubelet(node, KILL)):
            lab.hold(AWAY_S, "the new kubelet has no API server")
        _hold(lab, history, node)
        _crash(lab, history, node)
        lab.recover(lab.nodes_ready, within_s=BACK_WITHIN_S, what="the node Ready")
    _judge(lab, history, node)


def _node(cluster: Cluster) -> str:
    return fit_workers(cluster)[-1].name


@contextmanager
def _running(lab: Lab, cluster: Cluster, node: str) -> Iterator[tuple[Deployed, History]]:
    """The node has its label, and pods of each shape, one of them static, and is recorded."""
    label, static = SetNodeLabel(node, LABEL, VALUE), PlaceStaticPod(node, workload=SHAPES)
    with lab.configured(label), lab.configured(static), lab.removing_workloads():
        shapes = lab.deploy(Shapes(node, probes=lab.control in PROBED))
        with lab.record(samplers=(lambda history: KubeletSamples(history, cluster, node),)) as history:
            yield shapes, history


def _hold(lab: Lab, history: History, node: str) -> None:
    """Until the control has shown its failure, and the new kubelet has had the pods for as long as a probe may take."""
    control = lab.incident.control(lab.control) if lab.control else None
    shown = {made.name: made for made in _made(node)}.get(control.breaks) if control else None
    if shown is not None:
        lab.hold_until_shown(shown, within_s=SHOWN_WITHIN_S)
    lab.hold_until(
        lambda: (chance_s(history, SHAPES, node, KIND) or 0.0) >= SEEN_S,
        within_s=BACK_WITHIN_S,
        because=f"the new kubelet has had all pods for {SEEN_S:g} s",
    )


def _crash(lab: Lab, history: History, node: str) -> None:
    """Kill a container of each pod, and wait until all are started again."""
    again = crashed_starts_again(node, within_s=STARTED_WITHIN_S)
    with lab.inject(CrashContainers(node, SHAPES)) as saved:
        for record in _killed(history.now(), saved):
            history.add(record)
        if lab.control == "runtime-stopped":
            lab.hold_until_shown(again, within_s=STARTED_WITHIN_S + SHOWN_WITHIN_S)
        else:
            lab.hold_until(
                lambda: lab.finding_now(again).verdict != "unknown",
                within_s=STARTED_WITHIN_S + BACK_WITHIN_S,
                because="each killed container is started again, or late",
            )


def _killed(at: float, saved: CrashContainersPlan) -> Iterator[ContainerKilled]:
    for victim in saved.victims:
        container = victim.container
        yield ContainerKilled(at, saved.node, victim.name, container.pod, container.id)


def _made(node: str) -> tuple[Invariant, ...]:
    """What is judged of the restart itself."""
    return (
        pods_stay_ready(SHAPES, node, fault=KIND, seen_s=SEEN_S),
        no_pod_rejected(SHAPES, node, fault=KIND, seen_s=SEEN_S),
        containers_kept(SHAPES, node, fault=KIND, seen_s=SEEN_S),
    )


def _judge(lab: Lab, history: History, node: str) -> None:
    lab.expect(history, *_made(node), crashed_starts_again(node, within_s=STARTED_WITHIN_S))
