"""A restarted kubelet leaves what runs on its node alone, and does its work again.

What is judged of the restart begins when it is planned and ends when containers are killed, or with the recording. It
had its chance where the new kubelet had all pods of the workload for as long as a probe may take to come.
"""

from collections.abc import Sequence

from chaos.judge.base import Figure, Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import names, overlapping, unseen
from chaos.record.history import History, Window
from chaos.record.records import FaultStep, NodeChange, PodChange
from chaos.subjects.kubelets.records import (
    SOURCE,
    ContainerKilled,
    KubeletPods,
    KubeletProcess,
    NodeContainers,
    RunningContainer,
)

CRASH = "crash-containers"  # the fault that ends what is judged of the restart

NOT_READY, RESTARTED, NODE_AFFINITY, REJECTED, NOT_STARTED = (
    "not-ready",
    "restarted",
    "node-affinity",
    "rejected",
    "not-started",
)
# PredicateName of a pod whose node does not match (pkg/kubelet/lifecycle/predicate.go, Admit): the pod's reason.
AFFINITY_REASON = "NodeAffinity"


@promise
@for_good
def pods_stay_ready(workload: str, node: str, *, fault: str, seen_s: float) -> Invariant:
    """No pod of the workload on the node that was Ready when the kubelet was restarted became not Ready.

    `fault`: the kind by which it was restarted; `seen_s`: how long the new kubelet has to have had all pods before
    anything can be called held. Reason: "not-ready". Unknown also where the node was not Ready before the first pod:
    then the node controller says so of all its pods (MarkPodsNotReady, pkg/controller/util/node/controller_utils.go).
    """

    def judge(history: History) -> Judgement:
        window = _window(history, fault)
        if window is None:
            return _not_restarted(fault)
        pods = {uid: p for uid, p in _pods(history, workload, node).items() if _before(p, window)}
        ready = {uid: p for uid, p in pods.items() if _before(p, window)[-1].ready}
        if not ready:
            return unknown(f"no pod of {workload} was Ready on {node} before its kubelet was restarted")
        away = [next((c for c in p if c.at in window and not c.ready), None) for p in ready.values()]
        lost = sorted((c for c in away if c is not None), key=lambda c: c.at)
        if lost:
            away_too = [
                each
                for each in history.of(NodeChange)
                if each.name == node and each.at in window and each.at <= lost[0].at and each.ready != "True"
            ]
            if away_too:
                return unknown(f"{node} itself was not Ready before the first of its pods", [away_too[0], lost[0]])
            return violated(
                f"{len(lost)} of {len(ready)} Ready pods of {workload} were not Ready when the kubelet of {node} was "
                f"restarted ({names([c.name for c in lost])}), for {_longest_s(ready, window):.1f} s at most",
                lost,
                reason=NOT_READY,
                pods=len(ready),
                not_ready=len(lost),
                first_s=round(lost[0].at - window.start, 3),
                longest_s=round(_longest_s(ready, window), 3),
            )
        doubt = unseen(history, "pods", window) or _no_chance(history, workload, node, window, seen_s)
        return doubt or held(f"all {len(ready)} pods of {workload} stayed Ready", pods=len(ready), not_ready=0)

    return Invariant("pods-stay-ready", judge)


@promise
@for_good
def no_pod_rejected(workload: str, node: str, *, fault: str, seen_s: float) -> Invariant:
    """No pod of the workload on the node failed after the kubelet was restarted.

    Reasons: "node-affinity" where a kubelet refused one that ran because its Node does not match, else "rejected".
    Unknown as in `pods_stay_ready`.
    """

    def judge(history: History) -> Judgement:
        window = _window(history, fault)
        if window is None:
            return _not_restarted(fault)
        pods = {uid: p for uid, p in _pods(history, workload, node).items() if _before(p, window)}
        running = {uid: p for uid, p in pods.items() if _before(p, window)[-1].phase == "Running"}
        if not running:
            return unknown(f"no pod of {workload} ran on {node} before its kubelet was restarted")
        after = [next((c for c in p if c.at in window and c.phase == "Failed"), None) for p in running.values()]
        failed = sorted((c for c in after if c is not None), key=lambda c: c.at)
        if failed:
            refused = [c for c in failed if c.reason == AFFINITY_REASON]
            first = (refused or failed)[0]
            return violated(
                f"{len(failed)} of {len(running)} pods of {workload} that ran were refused when the kubelet of {node} "
                f"was restarted ({names([c.name for c in failed])}: {first.reason or 'Failed'})",
                failed,
                reason=NODE_AFFINITY if refused else REJECTED,
                pods=len(running),
                rejected=len(failed),
            )
        doubt = unseen(history, "pods", window) or _no_chance(history, workload, node, window, seen_s)
        return doubt or held(f"none of {len(running)} pods of {workload} was refused", pods=len(running), rejected=0)

    return Invariant("no-pod-rejected", judge)


@promise
@for_good
def containers_kept(workload: str, node: str, *, fault: str, seen_s: float) -> Invariant:
    """Each container of the node, those of sidecars and sandboxes too, is the one that ran before the kubelet was
    restarted, as the node's kernel has it. Reason: "restarted". Unknown as in `pods_stay_ready`.

    A container that has no pod of the workload is looked at as well; one that stopped for good counts like one that
    was restarted.
    """

    def judge(history: History) -> Judgement:
        window = _window(history, fault)
        if window is None:
            return _not_restarted(fault)
        looks = [look for look in history.of(NodeContainers) if look.node == node]
        before = [look for look in looks if look.at < window.start]
        during = [look for look in looks if look.at in window]
        if not before or not before[-1].containers:
            return unknown(f"no container was seen on {node} before its kubelet was restarted")
        there = {each.id for each in before[-1].containers}
        gone = [look for look in during if there - {each.id for each in look.containers}]
        if gone:
            lost = there - {each.id for each in gone[-1].containers}
            return violated(
                f"{len(lost)} of {len(there)} containers of {node} were ended when its kubelet was restarted, the "
                f"first {gone[0].at - window.start:.1f} s after",
                [before[-1], gone[0]],
                reason=RESTARTED,
                containers=len(there),
                ended=len(lost),
                first_s=round(gone[0].at - window.start, 3),
            )
        doubt = _node_unseen(history, node, window) or _no_chance(history, workload, node, window, seen_s)
        return doubt or held(f"all {len(there)} containers of {node} are those that ran before", containers=len(there))

    return Invariant("containers-kept", judge)


@promise
@bounds(within_s="longest_s")
def crashed_starts_again(node: str, *, within_s: float) -> Invariant:
    """For each container that was killed on the node a new one of its pod ran `within_s` later.

    Reason: "not-started". Unknown where none was killed, it was not looked for that long, or a gap that began in time
    hides when the new one was started.
    """

    def judge(history: History) -> Judgement:
        killed = [each for each in history.of(ContainerKilled) if each.node == node]
        if not killed:
            return unknown(f"no container was killed on {node}")
        looks = [look for look in history.of(NodeContainers) if look.node == node]
        end = _seen_until(history, node)
        shown = [(each, _shown(history, each, looks)) for each in killed]
        took = [(each, None if look is None else max(look.at - each.at, 0.0)) for each, look in shown]
        over = [each for each, after_s in took if (end - each.at if after_s is None else after_s) > within_s]
        hidden = {
            each.id: gap
            for each, look in shown
            for gap in overlapping(history, f"{SOURCE}:{node}", Window(0.0, each.at + within_s))
            if look is not None and gap.until >= look.at
        }
        late = [each for each in over if each.id not in hidden]
        figures: dict[str, Figure] = {"killed": len(killed), "not_started": len(late)}
        if late:
            return violated(
                f"{len(late)} of {len(killed)} containers that were killed had no other in their place {within_s:g} s "
                f"later ({names([each.name for each in late])})",
                late,
                reason=NOT_STARTED,
                **figures,
            )
        if over:
            gap = hidden[over[0].id]
            return unknown(f"{over[0].name} was started again while {node} was not seen", [over[0], gap])
        open_ = [each for each, after_s in took if after_s is None]
        if open_:
            return unknown(f"{open_[0].name} was looked for only {end - open_[0].at:.1f} s after it was killed", open_)
        longest_s = max(after_s for _, after_s in took if after_s is not None)
        return held(
            f"each of {len(killed)} containers that were killed was started again, at the latest {longest_s:.1f} s "
            "later",
            longest_s=round(longest_s, 3),
            **figures,
        )

    return Invariant("crashed-starts-again", judge)


def chance_s(history: History, workload: str, node: str, fault: str) -> float | None:
    """For how long, until now, the new kubelet of a node has had all pods of the workload; None where it has not."""
    window = _window(history, fault)
    if window is None:
        return None
    since = _has_all_since(history, workload, node, Window(window.start, min(window.end, history.now())))
    return None if since is None else history.now() - since


def _window(history: History, fault: str) -> Window | None:
    """From when the restart was planned until containers are killed; None where it did not land."""
    steps = history.of(FaultStep)
    if not any(step.fault == fault and step.step == "landed" for step in steps):
        return None
    start = next(step.at for step in steps if step.fault == fault and step.step == "planned")
    ends = [step.at for step in steps if step.at > start and step.fault == CRASH and step.step == "planned"]
    return Window(start, min(ends, default=float("inf")))


def _not_restarted(fault: str) -> Judgement:
    return unknown(f"the fault {fault} never landed: no kubelet was restarted")


def _pods(history: History, workload: str, node: str) -> dict[str, list[PodChange]]:
    """By uid each pod's changes in the order of time."""
    pods: dict[str, list[PodChange]] = {}
    for change in history.of(PodChange):
        if change.workload == workload and change.node == node:
            pods.setdefault(change.uid, []).append(change)
    return pods


def _before(changes: Sequence[PodChange], window: Window) -> list[PodChange]:
    return [c for c in changes if c.at < window.start]


def _longest_s(pods: dict[str, list[PodChange]], window: Window) -> float:
    """The longest time in the window that one of the pods was not Ready; one that was not at its end, until there."""
    longest_s = 0.0
    for changes in pods.values():
        since: float | None = None
        for c in [c for c in changes if c.at in window]:
            if c.ready and since is not None:
                longest_s, since = max(longest_s, c.at - since), None
            elif not c.ready and since is None:
                since = c.at
        if since is not None:
            end = changes[-1].at if window.end == float("inf") else window.end
            longest_s = max(longest_s, end - since)
    return longest_s


def _no_chance(history: History, workload: str, node: str, window: Window, seen_s: float) -> Judgement | None:
    """Unknown, where the new kubelet had not all pods of the workload, or not for long enough; else None."""
    since = _has_all_since(history, workload, node, window)
    if since is None:
        had = [each for each in history.of(KubeletPods) if each.node == node and each.at in window]
        return unknown(f"the new kubelet of {node} was not seen to have all pods of {workload}", had)
    end = _seen_until(history, node) if window.end == float("inf") else window.end
    if end - since < seen_s:
        return unknown(f"the new kubelet of {node} had all pods of {workload} for {end - since:.1f} s only")
    return None


def _has_all_since(history: History, workload: str, node: str, window: Window) -> float | None:
    """Since when another kubelet than that before the window has said that it has all pods of the workload."""
    processes = [each for each in history.of(KubeletProcess) if each.node == node]
    old = {each.start for each in processes if each.at < window.start}
    pods = _pods(history, workload, node).values()
    wanted = {changes[0].object for changes in pods if _before(changes, window)}
    for said in history.of(KubeletPods):
        if said.node == node and said.at in window and said.start not in old and wanted <= set(said.pods):
            return said.at
    return None


def _node_unseen(history: History, node: str, window: Window) -> Judgement | None:
    gaps = overlapping(history, f"{SOURCE}:{node}", window)
    if not gaps:
        return None
    first = gaps[0]
    return unknown(f"the containers of {node} could not be seen from {first.at:.1f} to {first.until:.1f} s", gaps)


def _seen_until(history: History, node: str) -> float:
    """Until when the node was looked at: the last record of all, or the beginning of a gap that lasted to the end."""
    last = max((each.at for each in history), default=0.0)
    gaps = [gap for gap in overlapping(history, f"{SOURCE}:{node}", Window(0.0, last)) if gap.until >= last]
    return min([gap.at for gap in gaps], default=last)


def _shown(history: History, killed: ContainerKilled, looks: Sequence[NodeContainers]) -> NodeContainers | None:
    """The first look that shows a container of its pod that was not there when the kill was planned; None where none
    does. One that came before the kill was known to have landed counts.
    """
    steps = (step for step in history.of(FaultStep) if step.fault == CRASH and step.step == "planned")
    planned = max((step.at for step in steps if step.at <= killed.at), default=killed.at)
    old = {killed.id} | {each.id for look in looks if look.at <= planned for each in look.containers}

    def is_new(each: RunningContainer) -> bool:
        return each.pod == killed.pod and each.id not in old

    return next((look for look in looks if look.at > planned and any(map(is_new, look.containers))), None)
