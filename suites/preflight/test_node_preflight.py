"""node-preflight: what the nodes are made of, read before any harm."""

from contextlib import ExitStack

from chaos.clusters.abilities import NodeExec
from chaos.clusters.shape import Shape
from chaos.record import nodefacts
from chaos.record.history import History
from chaos.record.records import Observation, Sample, Unreadable
from chaos.results.results import Row
from chaos.run.fit import fit_workers
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.handles.faults import LowerHandleLimit
from chaos.subjects.preflight.promises import clocks_agree, handle_limits, inotify_instances, versions_not_affected

POST_MORTEM_LIMIT = 1024


def promises(_: Conditions) -> tuple[Judged, ...]:
    """An existing cluster's nodes may be known by the API alone."""
    return judged(
        says(versions_not_affected),
        says(handle_limits, where=were_entered),
        says(inotify_instances, where=were_entered),
        says(clocks_agree, within_s=0.5, where=were_entered),
    )


def were_entered(history: History) -> bool:
    """Whether the nodes themselves were asked, and not the API alone."""
    unreadable = bool(history.of(Unreadable))
    return unreadable or any(sample.name == nodefacts.CLOCK for sample in history.of(Sample))


@incident(
    "node-preflight",
    on=("kind",),
    controls=("low-handle-limit",),
    faults={"low-handle-limit": (LowerHandleLimit,)},
    promises=promises,
)
def test_nodes_are_made_of_what_the_incidents_were_not(lab: Lab) -> None:
    """No node SHOULD be of a version that an incident was due to; its limits and clock SHOULD fit its work."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    with lab.record() as history, ExitStack() as configured:
        if lab.control == "low-handle-limit":
            node = fit_workers(cluster)[0].name
            configured.enter_context(lab.configured(LowerHandleLimit(node, "containerd", limit=POST_MORTEM_LIMIT)))
        nodefacts.read_all(cluster, history)
    lab.table("nodes", nodes_table(history))
    lab.expect(history, versions_not_affected())
    if isinstance(cluster, NodeExec):
        lab.expect(history, handle_limits(), inotify_instances(), clocks_agree(within_s=0.5))


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
