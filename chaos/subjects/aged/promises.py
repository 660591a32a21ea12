"""After an upgrade the control plane runs, nothing is replaced that nobody changed, and what selects still finds."""

from collections.abc import Collection, Sequence

from chaos.judge.base import Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import Span, names, never_landed, overlapping, unseen
from chaos.record.history import History, Window
from chaos.record.records import ClusterEvent, FaultStep, PodChange
from chaos.subjects.aged.records import AgedStored, ComponentSeen, Followed, Selected, Touched

FAILED = "Failed"  # the event by which a kubelet tells that it can't make a container
COMPONENTS, MUSEUM = "components", "museum"  # sources, as their Blinds name them
ENDED, NOT_STARTED = "ended", "not-started"
REPLACED, NOT_UPDATED = "replaced", "not-updated"
LABEL_GONE, PODS_GONE = "label-gone", "pods-gone"
STALE, NOT_CREATED = "stale-endpoints", "not-created"


@promise
@for_good
def components_keep_running(components: Sequence[str], *, fault: str, for_s: float) -> Invariant:
    """The process of each component that the fault started is there until `for_s` after the last object was touched.

    Which process it is says the kernel: its pid and its start time. Reasons: "not-started" where the one of before is
    the last that there was, "ended" where it is gone, or another has taken its place. Unknown where no object was
    touched, the processes were not looked at for as long, or one ended because it had lost its lease: so does a leader
    on a machine that stands still, whatever the objects are.
    """

    def judge(history: History) -> Judgement:
        window = _until_undoing(history, fault)
        if window is None:
            return never_landed(Span(fault=fault))
        touched, last, planned = history.of(Touched, window), [], _planned(history, fault)
        for component in components:
            seen = [s for s in history.of(ComponentSeen, window) if s.component == component]
            if not seen:
                return unknown(f"nobody looked at the process of {component}")
            before = {s.process for s in history.of(ComponentSeen) if s.component == component and s.at < planned}
            if ended := _not_kept(seen, before, touched, fault):
                return ended
            last.append(seen[-1])
        until, ran_s = min(s.at for s in last), min(s.at for s in last) - window.start
        if not touched:
            return unknown("no object was touched, so that no controller had to look at one")
        if until < touched[-1].at + for_s or overlapping(history, COMPONENTS, window):
            return unknown(f"the processes were not looked at for {for_s:g} s after the last object was touched", last)
        said = f"each of {len(components)} components ran for {ran_s:.0f} s as one process"
        return held(said, ran_s=round(ran_s, 1))

    return Invariant("components-keep-running", judge)


@promise
@for_good
def only_changed_pods_replaced(workloads: Sequence[str], *, changed: str, fault: str) -> Invariant:
    """No pod of the workloads, which nobody changed, is deleted or new from when the fault was planned until its undo.

    Reason: "replaced". Unknown where their revisions were not stored as an older version wrote them, or no pod of
    `changed`, which somebody did change, was replaced meanwhile: then nobody knows whether the controllers were at it.
    """

    def judge(history: History) -> Judgement:
        window = _until_undoing(history, fault)
        if window is None:
            return never_landed(Span(fault=fault))
        whole = Window(_planned(history, fault), window.end)
        pods = 0
        for workload in workloads:
            first, new, gone = _replaced(history, workload, whole)
            pods += len(first)
            if not first:
                return unknown(f"no pod of {workload} was there before")
            if new or gone:
                shown = gone[:1] or new[:1]
                said = (
                    f"of {len(first)} pods of {workload}, which nobody changed, {len(gone)} were deleted and "
                    f"{len(new)} are new, first {shown[0].name} at {shown[0].at:.1f} s"
                )
                return violated(said, [*gone, *new], reason=REPLACED, pods=len(first), deleted=len(gone), new=len(new))
        if not any(s.aged for s in history.of(AgedStored) if "/controllerrevisions/" in s.key):
            return unknown(
                "no revision was stored as an older version wrote it, so that nothing could be taken for new"
            )
        _, new, gone = _replaced(history, changed, whole)
        if not (new and gone):
            return unknown(
                f"no pod of {changed} was replaced, which was changed: nobody knows if a controller was at it"
            )
        blind = unseen(history, "pods", window)
        return blind or held(f"all {pods} pods of {names(list(workloads))} are those of before", pods=pods)

    return Invariant("only-changed-pods-replaced", judge)


@promise
@bounds(within_s="took_s")
def changed_workload_follows(workload: str, *, replicas: int, fault: str, within_s: float) -> Invariant:
    """Within `within_s` of its change a StatefulSet has `replicas` Ready pods that are all new.

    Reason: "not-updated". Unknown where nobody changed it, that time was not over, or a component had lost its lease.
    """

    def judge(history: History) -> Judgement:
        window = _until_undoing(history, fault)
        if window is None:
            return never_landed(Span(fault=fault))
        touched = [t for t in history.of(Touched, window) if t.name == f"StatefulSet/{workload}"]
        if not touched:
            return unknown(f"nobody changed {workload}")
        changes = [c for c in history.of(PodChange) if c.workload == workload and c.at <= window.end]
        old = {c.uid for c in changes if c.at < touched[0].at}
        ready: dict[str, PodChange] = {}
        for change in changes:
            if change.uid not in old and change.ready and not change.deleting:
                ready.setdefault(change.uid, change)
        took_s = sorted(c.at - touched[0].at for c in ready.values())
        if len(took_s) >= replicas and took_s[replicas - 1] <= within_s:
            last_s = took_s[replicas - 1]
            return held(
                f"all {replicas} pods of {workload} were new and Ready {last_s:.1f} s later", took_s=round(last_s, 3)
            )
        if blind := unseen(history, "pods", window) or _leaderless(history, window):
            return blind
        if window.end < touched[0].at + within_s:
            return unknown(f"the time was over before {within_s:g} s had passed since {workload} was changed", touched)
        said = f"{len(took_s)} of {replicas} pods of {workload} were new and Ready {within_s:g} s after its change"
        return violated(said, [*touched, *changes[-replicas:]], reason=NOT_UPDATED, updated=len(took_s))

    return Invariant("changed-workload-follows", judge)


@promise
def selected_nodes_stay(workload: str, *, fault: str) -> Invariant:
    """A DaemonSet that was on nodes by a label of theirs still finds each of them, and has a Ready pod there.

    Reasons: "label-gone" where a node is no longer found, "pods-gone" where it is and has no pod. Judged by what was
    seen last, after its controller had observed a change of it; unknown where that was never seen.
    """

    def judge(history: History) -> Judgement:
        window = _until_undoing(history, fault)
        if window is None:
            return never_landed(Span(fault=fault))
        before = [s for s in history.of(Selected) if s.workload == workload and s.until < _planned(history, fault)]
        if not before or not before[-1].found or before[-1].served != before[-1].found:
            return unknown(f"{workload} was not on its nodes before", before[-1:])
        touched = [t.at for t in history.of(Touched, window) if t.name == f"DaemonSet/{workload}"]
        seen = [s for s in history.of(Selected, window) if s.workload == workload and s.until <= window.end]
        after = [s for s in seen if touched and s.at > touched[-1]]
        nodes = before[-1].found
        if after and (lost := [each for each in nodes if each not in after[-1].found]):
            said = f"{workload} finds {names(lost)} no longer: the label is gone, by which it found {len(nodes)} nodes"
            return violated(said, [before[-1], after[-1]], reason=LABEL_GONE, nodes=len(nodes), lost=len(lost))
        if not after or not after[-1].observed:
            return unknown(f"the controller of {workload} was not seen to observe a change of it", after[-1:])
        if bare := [each for each in nodes if each not in after[-1].served]:
            said = f"{workload} finds {names(bare)}, and has no Ready pod there"
            return violated(said, [before[-1], after[-1]], reason=PODS_GONE, nodes=len(nodes), lost=len(bare))
        blind = unseen(history, "pods", window)
        return blind or held(f"{workload} is on each of {len(nodes)} nodes that its label finds", nodes=len(nodes))

    return Invariant("selected-nodes-stay", judge)


@promise
@bounds(within_s="slowest_s")
def endpoints_follow(services: Sequence[str], *, fault: str, within_s: float) -> Invariant:
    """Within `within_s` of its touch both Endpoints and EndpointSlices of each Service name the Ready pods it selects.

    Reason: "stale-endpoints". Unknown where a Service was not touched, selects what it did before, or was not looked at
    after that time, or a component had lost its lease.
    """

    def judge(history: History) -> Judgement:
        window = _until_undoing(history, fault)
        if window is None:
            return never_landed(Span(fault=fault))
        took: dict[str, float] = {}
        for service in services:
            touched = [t for t in history.of(Touched, window) if t.name == f"Service/{service}"]
            if not touched:
                return unknown(f"nobody touched the Service {service}")
            at = touched[-1].at
            seen = [s for s in history.of(Followed) if s.service == service and s.until <= window.end]
            before, after = [s for s in seen if s.until < at], [s for s in seen if s.at >= at]
            right = next((s for s in after if s.is_right and before and s.pods != before[-1].pods), None)
            if right is not None and right.at - at <= within_s:
                took[service] = right.at - at
                continue
            late = [s for s in after if s.at > at + within_s]
            if doubt := _leaderless(history, window):
                return doubt
            if late and not late[0].is_right:
                named = f"its Endpoints name {len(late[0].endpoints)}, its EndpointSlices {len(late[0].slices)}"
                said = f"{service} selects {len(late[0].pods)} Ready pods {within_s:g} s after it was touched; {named}"
                return violated(said, [touched[-1], late[0]], reason=STALE, services=len(services))
            # Those that are right now may have been so for as long as nobody looked.
            return unknown(
                f"what {service} selects was not seen to change, or not looked at when {within_s:g} s were over", after
            )
        slowest_s = max(took.values(), default=0.0)
        said = f"the endpoints of all {len(services)} Services followed, the slowest in {slowest_s:.1f} s"
        return held(said, services=len(services), slowest_s=round(slowest_s, 3))

    return Invariant("endpoints-follow", judge)


@promise
@bounds(within_s="slowest_s")
def containers_start(workloads: Sequence[str], *, within_s: float) -> Invariant:
    """A container of each workload's pod runs within `within_s` of the first sight of the pod.

    Reason: "not-created", where its kubelet told that it could not make one. Unknown where it told nothing, as one that
    is slow, where no pod was seen, or not for as long.
    """

    def judge(history: History) -> Judgement:
        took: list[float] = []
        untold: list[PodChange] = []
        for workload in workloads:
            changes = [c for c in history.of(PodChange) if c.workload == workload]
            if not changes:
                return unknown(f"no pod of {workload} was seen")
            due = changes[0].at + within_s
            started = next((c for c in changes if c.containers and c.at <= due), None)
            if started is not None:
                took.append(started.at - changes[0].at)
                continue
            if blind := unseen(history, "pods", Window(changes[0].at, due)):
                return blind
            told = [
                e for e in history.of(ClusterEvent) if e.regarding == f"Pod/{changes[0].object}" and e.reason == FAILED
            ]
            if not told:
                untold.append(changes[0])
                continue
            said = f"no container of {changes[0].name} ran {within_s:g} s after it was made"
            return violated(said, [changes[0], *told[:1]], reason=NOT_CREATED)
        if untold:
            return unknown(f"no container of {untold[0].name} ran, and no kubelet said why", untold)
        slowest_s = max(took, default=0.0)
        said = f"a container of each of {len(workloads)} workloads ran, the slowest after {slowest_s:.1f} s"
        return held(said, workloads=len(workloads), slowest_s=round(slowest_s, 3))

    return Invariant("containers-start", judge)


def _not_kept(
    seen: Sequence[ComponentSeen], before: Collection[tuple[int, int]], touched: Sequence[Touched], fault: str
) -> Judgement | None:
    """Violated, where a component's process of the first sight is not there in all others, unknown where that lost its
    lease; else None.
    """
    first, component = seen[0], seen[0].component
    if not first.runs and first.process in before:
        said = f"{component} was not started: since the fault {fault} there was no process of it"
        return violated(said, seen[:1], reason=NOT_STARTED)
    over = next((s for s in seen if not s.runs or s.process != first.process), None)
    if over is None:
        return None
    if over.lost_lease:
        return unknown(f"{component} ended at {over.at:.1f} s because it had lost its lease as a leader", [over])
    how, when = "ended" if not over.runs else "was started again", [t for t in touched if t.at <= over.at][-1:]
    after = "".join(f", {over.at - t.at:.1f} s after {t.name} was touched ({t.what})" for t in when)
    said = f"{component} {how} at {over.at:.1f} s{after}"
    return violated(said, [*when, over], reason=ENDED, ran_s=round(over.at - first.at, 3))


def _leaderless(history: History, window: Window) -> Judgement | None:
    """Unknown, where a component ended because it had lost its lease: nobody does its work, old objects or not."""
    lost = [s for s in history.of(ComponentSeen, window) if s.lost_lease]
    return (
        unknown(f"{lost[0].component} had lost its lease as a leader at {lost[0].at:.1f} s", lost[:1]) if lost else None
    )


def _until_undoing(history: History, fault: str) -> Window | None:
    """From when the fault landed until somebody began to take it back; None where it never landed."""
    window = history.fault_window(fault)
    if window is None:
        return None
    undoing = [s.at for s in history.of(FaultStep) if s.fault == fault and s.step == "undoing" and s.at >= window.start]
    return Window(window.start, min(undoing, default=window.end))


def _planned(history: History, fault: str) -> float:
    return min((s.at for s in history.of(FaultStep) if s.fault == fault and s.step == "planned"), default=0.0)


def _replaced(
    history: History, workload: str, window: Window
) -> tuple[dict[str, PodChange], list[PodChange], list[PodChange]]:
    """The workload's pods before the window, by uid; of those in it the first sight of each new one, and of each old
    one that was deleted.
    """
    changes = [c for c in history.of(PodChange) if c.workload == workload and c.at <= window.end]
    before = {c.uid: c for c in changes if c.at < window.start}
    first = {uid: c for uid, c in before.items() if not c.deleting and c.change != "deleted"}
    new: dict[str, PodChange] = {}
    gone: dict[str, PodChange] = {}
    for change in changes:
        if change.at < window.start:
            continue
        if change.uid not in before:
            new.setdefault(change.uid, change)
        elif change.uid in first and (change.deleting or change.change == "deleted"):
            gone.setdefault(change.uid, change)
    return first, [*new.values()], [*gone.values()]
