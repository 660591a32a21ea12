"""What goes on while the backend of a webhook is away or slow, and what does so again once it is back."""

from collections.abc import Sequence

from chaos.judge.base import Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import Span, never_landed, overlapping, unseen
from chaos.record.history import History, Window
from chaos.record.records import ClusterEvent, FaultStep, HarmLook, NodeChange, PodChange
from chaos.subjects.webhooks.records import Admission, Request

LEASE_REFUSED, POD_REFUSED, CONFIGURATION_REFUSED = "lease-refused", "pod-refused", "configuration-refused"
NODE_REFUSED = "node-refused"
ASKED_ITSELF, NOT_BACK, NOT_REPLACED = "asked-itself", "not-back", "not-replaced"
FAILED_CREATE = "FailedCreate"  # an event of whoever could not create a pod, such as a ReplicaSet
WAITED_FOR_S = 30.0  # the most that timeoutSeconds of a webhook allows


@promise
@for_good
def nodes_stay_ready(*, fault: str, lapse_s: float) -> Invariant:
    """No node ceased to be Ready while the fault lasted.

    `lapse_s`: after so many seconds without a heartbeat a node is taken for lost; a fault that did not last for longer
    is unknown. Reason: "lease-refused", where a change of a node's lease was refused for the webhook's sake before, or
    so soon after that it may have been asked before. One that was lost without that is unknown: a slow machine loses
    nodes too.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        changes = history.of(NodeChange, window)
        lost = [c for c in changes if c.ready != "True" or c.change == "deleted"]
        nodes = {c.name for c in history.of(NodeChange) if c.at <= window.end}
        if lost:
            first = lost[0]
            # What was asked before the loss may be refused after it: a webhook may be waited for that long.
            leases = _asked(history, Request.NODE_LEASE, Window(window.start, first.at + WAITED_FOR_S))
            no = [a for a in leases if not a.admitted]
            if not no:
                return unknown(
                    f"{first.name} was not Ready at {first.at:.1f} s, and no change of a lease was refused", lost
                )
            return violated(
                f"{len({c.name for c in lost})} of {len(nodes)} nodes were not Ready while changes of leases were "
                f"refused, first {first.name} {first.at - window.start:.1f} s after the fault",
                [first, no[0]],
                reason=LEASE_REFUSED,
                nodes=len(nodes),
                not_ready=len({c.name for c in lost}),
            )
        if not nodes:
            return unknown("no node was seen")
        if window.length_s <= lapse_s:
            return unknown(f"the fault lasted {window.length_s:.1f} s, and a node may be silent for {lapse_s:g} s")
        return unseen(history, "nodes", window) or held(
            f"{len(nodes)} nodes stayed Ready for the {window.length_s:.1f} s of the fault", nodes=len(nodes)
        )

    return Invariant("nodes-stay-ready", judge)


@promise
@for_good
def system_pods_admitted(*, fault: str) -> Invariant:
    """Each pod of kube-system that was asked for while the fault lasted was admitted. Reason: "pod-refused"."""
    return _each_admitted("system-pods-admitted", Request.SYSTEM_POD, "pods of the system", POD_REFUSED, fault)


@promise
@for_good
def way_out_stays(*, fault: str) -> Invariant:
    """Each change of the webhook's own configuration that was asked for while the fault lasted was admitted: so whoever
    has to can take it away. Reason: "configuration-refused".
    """
    return _each_admitted(
        "way-out-stays", Request.CONFIGURATION, "changes of its configuration", CONFIGURATION_REFUSED, fault
    )


@promise
@for_good
def nodes_admitted(*, fault: str) -> Invariant:
    """Each pod that a node asked for while the fault lasted was admitted. Reason: "node-refused"."""
    return _each_admitted("nodes-admitted", Request.NODE_POD, "pods that a node asked for", NODE_REFUSED, fault)


@promise
@bounds(within_s="back_after_s")
def webhook_comes_back(workload: str, replicas: int, *, within_s: float, fault: str) -> Invariant:
    """So many new pods of the webhook are Ready `within_s` seconds after the fault landed, which deleted the others.

    Reasons: "asked-itself" where somebody could not create pods in its namespace meanwhile, else "not-back". Unknown
    where its pods were not deleted, or the fault was undone before that time was over.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        planned = [s.at for s in history.of(FaultStep) if s.fault == fault and s.step == "planned"]
        begun = min(planned, default=window.start)
        pods = [c for c in history.of(PodChange) if c.workload == workload and c.at <= window.end]
        old = {c.uid for c in pods if c.at < begun}
        gone = {c.uid for c in pods if c.uid in old and _is_going(c)}
        if not old or gone != old:
            return unknown(f"of {len(old)} pods of {workload} {len(gone)} were deleted by the fault", pods)
        back_s = _whole_at([c for c in pods if c.uid not in old], replicas)
        due = window.start + within_s
        if back_s is not None and back_s <= due:
            took_s = max(0.0, back_s - window.start)
            return unseen(history, "pods", window) or held(
                f"{replicas} new pods of {workload} were Ready {took_s:.1f} s after the fault",
                back_after_s=round(took_s, 3),
            )
        if _seen_until(history, fault, window) < due:
            return unknown(f"the fault was undone, or not seen any more, before {within_s:g} s were over")
        spaces = {c.namespace for c in pods}
        failed = [e for e in history.of(ClusterEvent, window) if e.reason == FAILED_CREATE and _space(e) in spaces]
        why = ", and none could be created" if failed else ""
        return violated(
            f"the pods of {workload} were deleted, and no {replicas} new ones were Ready {within_s:g} s later{why}",
            failed[:1],
            reason=ASKED_ITSELF if failed else NOT_BACK,
        )

    return Invariant("webhook-comes-back", judge)


@promise
@bounds(within_s="replaced_after_s")
def replaced_once_back(workload: str, replicas: int, *, within_s: float, fault: str) -> Invariant:
    """A workload that lacked pods when the fault was undone has all its replicas Ready `within_s` seconds later, or as
    long again as the fault lasted, if that is longer: who could not create a pod tries again after twice the time each
    time (client-go's util/workqueue, DefaultTypedControllerRateLimiter: 5 ms to 1,000 s).

    Reason: "not-replaced". Unknown where it lacked none, or the recording ended earlier.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        if window.end == float("inf"):
            return unknown("the fault was not undone, so there is no moment from which to count")
        pods = [c for c in history.of(PodChange) if c.workload == workload]
        if not pods or _ready_until(pods, window.end) >= replicas:
            return unknown(f"no pod of {workload} was missing when the fault was undone")
        back_s = _whole_at(pods, replicas, since=window.end)
        may_s = allowed_s(history, within_s=within_s, fault=fault)
        due = window.end + may_s
        after = Window(window.end, due)
        if back_s is not None and back_s <= due:
            took_s = back_s - window.end
            return held(
                f"{replicas} pods of {workload} were Ready {took_s:.1f} s after the webhook was back",
                replaced_after_s=round(took_s, 3),
            )
        doubt = unseen(history, "pods", after)
        return doubt or violated(
            f"{workload} had fewer than {replicas} Ready pods {may_s:g} s after the webhook was back",
            [c for c in pods if c.at <= due][-1:],
            reason=NOT_REPLACED,
        )

    return Invariant("replaced-once-back", judge)


def allowed_s(history: History, *, within_s: float, fault: str) -> float:
    """For how long replaced_once_back has to be watched from the undo on, to see what never comes."""
    window = history.fault_window(fault)
    if window is None or window.end == float("inf"):
        return within_s
    return max(within_s, window.length_s)


def _each_admitted(name: str, request: Request, what: str, reason: str, fault: str) -> Invariant:
    """Each such request that was made while the fault lasted was admitted."""
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        tried = _asked(history, request, window)
        no = [a for a in tried if not a.admitted]
        if no:
            said = f"{len(no)} of {len(tried)} {what} were refused because the webhook could not be called"
            return violated(said, no, reason=reason, asked=len(tried), refused=len(no))
        if not tried:
            return unknown(f"none of the {what} was asked for while the fault lasted")
        if blind := overlapping(history, Admission.kind, window):
            return unknown(f"nobody asked from {blind[0].at:.1f} to {blind[0].until:.1f} s: {blind[0].why}", blind)
        return held(f"each of {len(tried)} {what} was admitted", asked=len(tried))

    return Invariant(name, judge)


def _seen_until(history: History, fault: str, window: Window) -> float:
    """When the fault was undone; while it lasts, when it was last looked at."""
    if window.end != float("inf"):
        return window.end
    return max((look.at for look in history.of(HarmLook) if look.fault == fault), default=window.start)


def _asked(history: History, request: Request, window: Window) -> list[Admission]:
    return [a for a in history.of(Admission, window) if a.request is request]


def _is_going(c: PodChange) -> bool:
    return c.deleting or c.change == "deleted"


def _ready_until(pods: Sequence[PodChange], at: float) -> int:
    """How many pods were Ready then."""
    last = {c.uid: c for c in pods if c.at <= at}
    return sum(c.ready and not _is_going(c) for c in last.values())


def _whole_at(pods: Sequence[PodChange], replicas: int, since: float = float("-inf")) -> float | None:
    """When so many pods were Ready at once for the first time since then; None where they never were."""
    return next((c.at for c in pods if c.at >= since and _ready_until(pods, c.at) >= replicas), None)


def _space(event: ClusterEvent) -> str:
    return event.regarding.split("/")[1] if event.regarding.count("/") > 1 else ""
