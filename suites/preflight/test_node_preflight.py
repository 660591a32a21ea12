"""node-preflight: what the nodes are made of, read before any harm."""

from contextlib import ExitStack
from typing import Any

from kubernetes import client as k8s

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import count
from chaos.harm.kubelet import SetKubeletConfig
from chaos.record import nodefacts
from chaos.record.history import History
from chaos.record.nodefacts import KUBELET
from chaos.record.records import Observation, Sample, Unreadable
from chaos.results.results import Row
from chaos.run.fit import fit_workers
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.handles.faults import LowerHandleLimit
from chaos.subjects.preflight.promises import (
    AFFECTED,
    Affected,
    clocks_agree,
    handle_limits,
    inotify_instances,
    versions_not_affected,
)

POST_MORTEM_LIMIT = 1024
MAX_PODS = 60_000  # as no node has inotify instances; with more than 65,535 a kubelet does not start (user namespaces)
STRICT, TOO_MANY_PODS = "strict-limits", "too-many-pods"
NOBODYS = (Affected(KUBELET, "v", (1000, 0), "node-preflight", "no kubelet of any version is new enough"),)


def affected_of(control: str | None) -> tuple[Affected, ...]:
    return NOBODYS if control == STRICT else AFFECTED


def differ_by_s(control: str | None) -> float:
    """Two clocks that are asked one after the other never agree to the last digit."""
    return 0.0 if control == STRICT else 0.5


def promises(told: Conditions) -> tuple[Judged, ...]:
    """An existing cluster's nodes may be known by the API alone."""
    return judged(
        says(versions_not_affected, affected_of(told.control)),
        says(handle_limits, where=were_entered),
        says(inotify_instances, where=were_entered),
        says(clocks_agree, within_s=differ_by_s(told.control), where=were_entered),
    )


def were_entered(history: History) -> bool:
    """Whether the nodes themselves were asked, and not the API alone."""
    unreadable = bool(history.of(Unreadable))
    return unreadable or any(sample.name == nodefacts.CLOCK for sample in history.of(Sample))


@incident(
    "node-preflight",
    on=("kind",),
    controls=("low-handle-limit", TOO_MANY_PODS, STRICT),
    faults={"low-handle-limit": (LowerHandleLimit,), TOO_MANY_PODS: (SetKubeletConfig,)},
    promises=promises,
)
def test_nodes_are_made_of_what_the_incidents_were_not(lab: Lab) -> None:
    """No node SHOULD be of a version that an incident was due to; its limits and clock SHOULD fit its work."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    with lab.record() as history, ExitStack() as configured:
        if lab.control == "low-handle-limit":
            node = fit_workers(cluster)[0].name
            configured.enter_context(lab.configured(LowerHandleLimit(node, "containerd", limit=POST_MORTEM_LIMIT)))
        if lab.control == TOO_MANY_PODS:
            node = fit_workers(cluster)[0].name
            configured.enter_context(lab.configured(SetKubeletConfig(node, {"maxPods": MAX_PODS})))
            lab.recover(lambda: shows_max_pods(cluster, node), within_s=60, what=f"{node} to show its new maxPods")
        nodefacts.read_all(cluster, history)
    lab.table("nodes", nodes_table(history))
    lab.expect(history, versions_not_affected(affected_of(lab.control)))
    if isinstance(cluster, NodeExec):
        clocks = clocks_agree(within_s=differ_by_s(lab.control))
        lab.expect(history, handle_limits(), inotify_instances(), clocks)


def shows_max_pods(cluster: Cluster, node: str) -> bool:
    """Whether the Node shows so many pods as its capacity: the kubelet tells it with its next status."""
    with cluster.api() as client:
        shown: Any = k8s.CoreV1Api(client).read_node(node)
    return count(shown.status.capacity["pods"]) == MAX_PODS


def nodes_table(history: History) -> list[Row]:
    """A row a node: what was read of it."""
    texts = {(o.subject, o.name): o.seen for o in history.of(Observation)}
    numbers = {(s.subject, s.name): s.value for s in history.of(Sample)}
    rows: list[Row] = []
    for node in sorted({subject for subject, name in texts if name == nodefacts.KERNEL}):
        handles = numbers.get((f"{node}/containerd", nodefacts.SOFT_HANDLES))
        clock_s = numbers.get((node, nodefacts.CLOCK))
        rows.append(
            {
                "node": node,
                "kernel": texts[node, nodefacts.KERNEL],
                "kubelet": texts[node, nodefacts.KUBELET],
                "runtime": texts[node, nodefacts.RUNTIME],
                "storage": texts.get((node, nodefacts.STORAGE), "not read"),
                "on": texts.get((node, nodefacts.BACKING), "not read"),
                "handles of containerd": "not read" if handles is None else int(handles),
                "clock ms": "not read" if clock_s is None else round(1000 * clock_s, 1),
            }
        )
    return rows
