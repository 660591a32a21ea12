"""An upgrade in place: what it may delete, when each node is back, whether it can be resumed, what starts meanwhile."""

from collections.abc import Mapping, Sequence, Set

from chaos.judge.base import Figure, Invariant, Judgement, Verdict, bounds, held, promise, unknown, violated
from chaos.judge.pods import TAINT_EVICTION, TAINT_EVICTION_REASON
from chaos.judge.sight import WHOLE, Span, last_sight, names, never_landed, overlapping, unseen
from chaos.record.history import History, Window
from chaos.record.records import FaultStep, NodeChange, PodChange, Sample
from chaos.subjects.upgrade.records import (
    ASKED,
    ApplyBegun,
    ApplyEnded,
    CommandEnded,
    ControlPlaneVersion,
    KubeletReplaced,
    ManifestPlaced,
    PodNeverRan,
)

NOT_DRAINED, NOT_BY_EVICTION, FAILED = "not-drained", "not-by-eviction", "failed"
NOT_READY, OLD_VERSION, CORDONED, LATE = "not-ready", "old-version", "cordoned", "late"
NOT_RESUMED, WRONG_VERSION, NO_START = "not-resumed", "wrong-version", "no-start"

BY_EVICTION = "EvictionByEvictionAPI"  # the DisruptionTarget condition's reason (staging/src/k8s.io/api/core/v1)
SYSTEM = "kube-system"
# What `kubeadm upgrade` itself replaces or makes: static pods, its two addons, the Job of its own check of the cluster.
STATIC = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
ADDONS = ("kube-proxy-", "coredns-")
OWN_CHECK = "upgrade-health-check-"
# A node and its pods come over two watches, so one may be seen a little before the other.
WATCHES_DIFFER_S = 1.0
AT_LEAST_ASKED = 3


@promise
def only_drained_pods_evicted(*, apart: Sequence[str] = (), ours: Sequence[str] | None = None) -> Invariant:
    """Whatever pod went, of whatever namespace, was evicted from a node that was cordoned, or is kubeadm's to replace.

    `apart`: workloads whose pods come and go anyway. `ours`: on a cluster of the user's, the workloads whose pods are
    held to it; of all others only that no pod was deleted because its node was lost: what else becomes of them is their
    owners' affair. Reasons: "taint-eviction", "not-drained" (evicted from a node
    that was not cordoned), "not-by-eviction" (deleted otherwise), "failed".
    """

    def judge(history: History) -> Judgement:
        pods: dict[str, list[PodChange]] = {}
        for change in history.of(PodChange):
            pods.setdefault(change.uid, []).append(change)
        nodes: dict[str, list[NodeChange]] = {}
        for node in history.of(NodeChange):
            nodes.setdefault(node.name, []).append(node)
        wrong: list[tuple[str, PodChange]] = []
        evicted = replaced = others = 0
        for changes in pods.values():
            ended = next((c for c in changes if _ending(c)), None)
            if ended is None or ended.change == "listed" or ended.workload in apart:
                continue
            said = {c.reason for c in changes if c.at >= ended.at - WATCHES_DIFFER_S}
            is_others = ours is not None and ended.workload not in ours
            if is_others and TAINT_EVICTION_REASON not in said:
                others += 1
                continue
            if _is_kubeadms(ended):
                replaced += 1
                continue
            why = _why_wrong(ended, said, nodes.get(ended.node, []))
            if why:
                wrong.append((why, ended))
            else:
                evicted += 1
        if not pods:
            return unknown("no pod was seen")
        figures: dict[str, Figure] = {"pods": len(pods), "evicted": evicted, "replaced_by_kubeadm": replaced}
        no_other = "no other went"
        if ours is not None:
            figures["of_others"] = others
            no_other = f"no other of ours went; {others} of others went by no taint"
        if wrong:
            wrong.sort(key=lambda each: each[1].at)
            reasons = {why for why, _ in wrong}
            reason = next(r for r in (TAINT_EVICTION, NOT_BY_EVICTION, NOT_DRAINED, FAILED) if r in reasons)
            first = next(pod for why, pod in wrong if why == reason)
            return violated(
                f"{len(wrong)} pods went that no drain asked to go ({', '.join(sorted(reasons))}), "
                f"such as {first.object} on {first.node or 'no node'} at {first.at:.1f} s",
                [pod for _, pod in wrong],
                reason=reason,
                wrong=len(wrong),
                **figures,
            )
        blind = unseen(history, "pods", WHOLE) or unseen(history, "nodes", WHOLE)
        return blind or held(
            f"{evicted} pods were evicted from drained nodes, {replaced} were replaced by kubeadm, {no_other}",
            **figures,
        )

    return Invariant("only-drained-pods-evicted", judge)


@promise
@bounds(within_s="ready_s")
def nodes_upgraded(nodes: Sequence[str], versions: Sequence[str], *, within_s: float) -> Invariant:
    """Each node was Ready for good with each version's kubelet within `within_s` seconds after it was started.

    At the end none is cordoned. Reasons: "not-ready", "old-version", "cordoned", "late". The figure `ready_s_NODE` is
    the longest that the node took.
    """

    def judge(history: History) -> Judgement:
        figures: dict[str, Figure] = {"nodes": len(nodes), "versions": len(versions)}
        everything = history.of(NodeChange)
        bad: list[tuple[str, str, NodeChange]] = []
        unsure: list[str] = []
        slowest = 0.0
        for node in nodes:
            changes = [c for c in everything if c.name == node]
            begun = {each.to: each.at for each in history.of(KubeletReplaced) if each.node == node}
            missing = [v for v in versions if v not in begun]
            if missing or not changes:
                return unknown(f"the kubelet of {node} was not replaced by that of {', '.join(missing) or 'any'}")
            for version in versions:
                at = begun[version]
                until = min((later for later in begun.values() if later > at), default=float("inf"))
                found = _back(changes, at, until, f"v{version}")
                if isinstance(found, str):
                    bad.append((found, f"{node} ({version})", changes[-1]))
                    continue
                took_s = found.at - at
                figures[f"ready_s_{node}"] = max(round(took_s, 3), float(figures.get(f"ready_s_{node}", 0)))
                slowest = max(slowest, took_s)
                if took_s > within_s:
                    if overlapping(history, "watch:nodes", Window(at, found.at)):
                        unsure.append(node)
                    else:
                        bad.append((LATE, f"{node} ({version}, {took_s:.1f} s)", found))
            if changes[-1].unschedulable:
                bad.append((CORDONED, node, changes[-1]))
        if bad:
            reason = next(r for r in (NOT_READY, OLD_VERSION, LATE, CORDONED) if any(r == why for why, _, _ in bad))
            which = names([who for why, who, _ in bad if why == reason])
            doubt = None if reason == LATE else last_sight(history, "nodes", min(change.at for _, _, change in bad))
            return doubt or violated(
                f"{which}: {reason}, allowed were {within_s:g} s after the new kubelet was started",
                [change for _, _, change in bad],
                reason=reason,
                **figures,
            )
        if unsure or not nodes or not versions:
            return unknown(f"whether {names(unsure) or 'any node'} was Ready in time could not be seen")
        sentence = f"each of {len(nodes)} nodes was Ready with its new kubelet after {slowest:.1f} s at the most"
        return unseen(history, "nodes", WHOLE) or held(sentence, **figures)

    return Invariant("nodes-upgraded", judge)


@promise
@bounds(within_s="ready_s")
def each_node_upgraded(*, within_s: float, fault: str) -> Invariant:
    """After a command of the user's own each node has another kubelet than before it, also where other nodes took the
    place of the old ones, and was Ready with it for good within `within_s` seconds after it was first seen.

    At the end none is cordoned that was not before. Reasons: "not-ready", "old-version", "cordoned", "late". Unknown
    where the command failed, or no node has another kubelet. The figure `ready_s_NODE` is how long the node took.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window(fault)
        ended = history.of(CommandEnded)
        if window is None:
            return never_landed(Span(fault=fault))
        if not ended or not ended[-1].succeeded:
            how = f"did not succeed: {ended[-1].told()}" if ended else "was not seen to end"
            return unknown(f"the command {how}", ended[-1:])
        changes: dict[str, list[NodeChange]] = {}
        for change in history.of(NodeChange):
            changes.setdefault(change.name, []).append(change)
        before = _there({name: [c for c in of if c.at <= window.start] for name, of in changes.items()})
        now, old = _there(changes), {c.kubelet for c in before.values()}
        upgraded = {
            name: change
            for name, change in now.items()
            if (before[name].kubelet != change.kubelet if name in before else change.kubelet not in old)
        }
        if not upgraded:
            return unknown(f"no node has another kubelet than before ({', '.join(sorted(old))}): nothing was upgraded")
        new = {change.kubelet for change in upgraded.values()}
        took = {
            name: _until_ready(changes[name], window.start, change)
            for name, change in upgraded.items()
            if change.ready == "True"
        }
        late = {name: span for name, span in took.items() if span.length_s > within_s}
        unsure = sorted(name for name, span in late.items() if overlapping(history, "watch:nodes", span))
        bad = [
            (why, change)
            for name, change in sorted(now.items())
            if (why := _why_bad(change, before.get(name), new, late=name in late and name not in unsure))
        ]
        figures: dict[str, Figure] = {"nodes": len(now), "upgraded": len(upgraded), "gone": len(before.keys() - now)}
        figures |= {f"ready_s_{name}": round(span.length_s, 3) for name, span in sorted(took.items())}
        if bad:
            reason = next(r for r in (NOT_READY, OLD_VERSION, LATE, CORDONED) if any(r == why for why, _ in bad))
            which = names([f"{change.name} ({change.kubelet})" for why, change in bad if why == reason])
            doubt = None if reason == LATE else last_sight(history, "nodes", min(change.at for _, change in bad))
            said = f"{which}: {reason}, allowed were {within_s:g} s after the new kubelet was first seen"
            return doubt or violated(said, [change for _, change in bad], reason=reason, **figures)
        if unsure:
            return unknown(f"whether {names(unsure)} was Ready in time could not be seen")
        slowest = max(span.length_s for span in took.values())
        return unseen(history, "nodes", WHOLE) or held(
            f"each of {len(now)} nodes has the new kubelet ({', '.join(sorted(old))} before, {', '.join(sorted(new))} "
            f"now) and was Ready with it after {slowest:.1f} s at the most",
            **figures,
        )

    return Invariant("each-node-upgraded", judge)


@promise
def upgrade_resumed(versions: Sequence[str], *, fault: str) -> Invariant:
    """For each version `kubeadm upgrade apply` was cut short by the fault in the middle, and run again it succeeded.

    In the middle: after a component's new manifest was in place, and before it ended. After it the API server is of
    that version. Reasons: "not-resumed", "wrong-version". The figure `resumed_s_VERSION` is from the fault's undo to
    its success.
    """

    def judge(history: History) -> Judgement:
        figures: dict[str, Figure] = {"versions": len(versions)}
        for version in versions:
            undone = _cut_short(history, version, fault)
            one = undone if isinstance(undone, Judgement) else _done_after(history, version, undone)
            if one.verdict is not Verdict.HELD:
                return one
            figures |= one.figures
        if not versions:
            return unknown("no version was named")
        longest = max(float(v) for k, v in figures.items() if k.startswith("resumed_s_"))
        return held(
            f"cut short in the middle, the upgrade to {' and '.join(versions)} was run again and done {longest:.0f} s "
            "after the control plane's node was back",
            **figures,
        )

    return Invariant("upgrade-resumed", judge)


@promise
@bounds(within_s="slowest_s")
def pods_run_throughout(*, within_s: float) -> Invariant:
    """Each pod that was asked for, all the time through, had run within `within_s` seconds."""

    def judge(history: History) -> Judgement:
        ran = [s for s in history.of(Sample) if s.name == ASKED]
        never = history.of(PodNeverRan)
        slow = [s for s in ran if s.value > within_s]
        if never or slow:
            worst = max((s.value for s in slow), default=0.0)
            return violated(
                f"of {len(ran) + len(never)} pods asked for {len(never)} never ran and {len(slow)} took longer than "
                f"{within_s:g} s",
                [*never, *slow],
                reason=NO_START,
                never=len(never),
                slow=len(slow),
                slowest_s=round(worst, 3),
            )
        if len(ran) < AT_LEAST_ASKED:
            return unknown(f"only {len(ran)} pods were asked for")
        slowest = max(s.value for s in ran)
        return held(
            f"each of {len(ran)} pods asked for meanwhile ran, the slowest after {slowest:.1f} s",
            pods=len(ran),
            slowest_s=round(slowest, 3),
        )

    return Invariant("pods-run-throughout", judge)


def _cut_short(history: History, version: str, fault: str) -> Judgement | FaultStep:
    """The undo of the fault that cut the upgrade to a version short in its middle; else why nobody can say so."""
    ended = [each for each in history.of(ApplyEnded) if each.to == version][:1]
    middle = [each for each in history.of(ManifestPlaced) if each.to == version]
    if not ended or not middle:
        return unknown(f"no upgrade to {version} was seen in its middle", ended)
    steps = [s for s in history.of(FaultStep) if s.fault == fault and s.at > middle[0].at]
    at = {s.step: s for s in reversed(steps)}  # the first of each
    if not {"planned", "landed", "undone"} <= set(at):
        return unknown(f"the fault {fault} did not land in the upgrade to {version}, or was not undone", steps)
    if not at["planned"].at <= ended[0].at <= at["undone"].at or ended[0].succeeded:
        return unknown(f"the upgrade to {version} was not cut short by {fault}: {ended[0].told()}", ended)
    return at["undone"]


def _done_after(history: History, version: str, undone: FaultStep) -> Judgement:
    """Whether the upgrade to a version succeeded after a fault was undone, and the API server is of that version."""
    tries = [each for each in history.of(ApplyBegun) if each.at > undone.at and each.to == version]
    ended = [each for each in history.of(ApplyEnded) if each.at > undone.at and each.to == version]
    done = [each for each in ended if each.succeeded]
    if not tries or not ended:
        return unknown(f"the upgrade to {version} was not tried again, or that was not seen to end")
    if not done:
        said = f"the upgrade to {version} was cut short and could not be resumed: {ended[-1].told()}"
        return violated(said, ended, reason=NOT_RESUMED, tries=len(tries))
    after = [each for each in history.of(ControlPlaneVersion) if each.at >= done[0].at][:1]
    if not after:
        return unknown(f"the API server was not asked for its version after the upgrade to {version}")
    if after[0].runs != version:
        said = f"after the upgrade to {version} the API server is {after[0].runs}"
        return violated(said, after, reason=WRONG_VERSION, tries=len(tries))
    figures: dict[str, Figure] = {
        f"resumed_s_{version}": round(done[0].at - undone.at, 3),
        f"tries_{version}": len([each for each in tries if each.at <= done[0].at]),
    }
    return held("", **figures)


def _there(changes: Mapping[str, Sequence[NodeChange]]) -> dict[str, NodeChange]:
    """Each node that is there after the last of its changes, as that shows it."""
    return {name: of[-1] for name, of in changes.items() if of and of[-1].change != "deleted"}


def _until_ready(changes: Sequence[NodeChange], since: float, now: NodeChange) -> Window:
    """From when a node was first seen with the kubelet that it has `now`, until it was Ready with it for good."""
    first = next(c for c in changes if c.at > since and c.kubelet == now.kubelet)
    back = _back(changes, first.at, float("inf"), now.kubelet)
    return Window(first.at, now.at if isinstance(back, str) else back.at)


def _why_bad(now: NodeChange, before: NodeChange | None, new: Set[str], *, late: bool) -> str:
    """What is wrong with a node after an upgrade; "" where nothing is. Who was cordoned before may be so still."""
    if now.ready != "True":
        return NOT_READY
    if now.kubelet not in new:
        return OLD_VERSION
    if late:
        return LATE
    return CORDONED if now.unschedulable and not (before is not None and before.unschedulable) else ""


def _back(changes: Sequence[NodeChange], at: float, until: float, kubelet: str) -> NodeChange | str:
    """The change by which a node was Ready for good with that kubelet, in the span; else the reason why not."""
    inside = [c for c in changes if at <= c.at < until]
    back: NodeChange | None = None
    for change in inside:
        if change.change == "deleted" or change.ready != "True":
            back = None
        elif back is None and change.kubelet == kubelet:
            back = change
    if back is not None:
        return back
    last = (inside or [c for c in changes if c.at < at] or list(changes))[-1]
    return OLD_VERSION if last.ready == "True" and last.change != "deleted" else NOT_READY


def _ending(c: PodChange) -> bool:
    return c.deleting or c.change == "deleted" or c.phase == "Failed"


def _is_kubeadms(pod: PodChange) -> bool:
    if pod.namespace != SYSTEM:
        return False
    static = {f"{component}-{pod.node}" for component in STATIC}
    return pod.name in static or pod.name.startswith((*ADDONS, OWN_CHECK))


def _why_wrong(ended: PodChange, said: set[str], node: Sequence[NodeChange]) -> str:
    """Why the pod's end is none that a drain asks for; empty where it is one."""
    if TAINT_EVICTION_REASON in said:
        return TAINT_EVICTION
    if BY_EVICTION not in said:
        return NOT_BY_EVICTION if ended.deleting or ended.change == "deleted" else FAILED
    before = [c for c in node if c.at <= ended.at][-1:]
    around = [c for c in node if abs(c.at - ended.at) <= WATCHES_DIFFER_S]
    return "" if any(c.unschedulable for c in (*before, *around)) else NOT_DRAINED
