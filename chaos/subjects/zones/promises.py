"""Protections that were tried again and again: each holds every time, or is none; pods stay for what they tolerate."""

from collections.abc import Sequence

from chaos.judge.base import Invariant, Judgement, Verdict, held, promise, unknown, violated
from chaos.judge.pods import TAINT_EVICTION_REASON
from chaos.judge.sight import Span, at_earliest, names, never_landed, unseen
from chaos.record.history import History
from chaos.record.records import NodeChange, PodChange
from chaos.subjects.zones.records import Trial

TOO_EARLY = "too-early"
# Of what is tolerated: who is told of a taint that late, on a busy machine, takes the time since for a shorter one.
EARLY_SHARE, IN_TIME_SHARE = 0.5, 0.8


@promise
def protection_holds(protections: Sequence[str], *, times: int) -> Invariant:
    """Each protection was tried `times` times, and nothing was terminated in any of them.

    Reason: that of the first trial in which it did not hold (such as "taint-eviction"). A trial that is unknown, or
    missing, makes it unknown.
    """

    def judge(history: History) -> Judgement:
        trials = {name: [t for t in history.of(Trial) if t.protection == name] for name in protections}
        broken = [t for of in trials.values() for t in of if t.verdict is Verdict.VIOLATED]
        if broken:
            first = broken[0]
            which = sorted({t.protection for t in broken})
            return violated(
                f"{names(which)} did not hold in {len(broken)} of {sum(map(len, trials.values()))} trials",
                broken,
                reason=first.reason,
                violated=len(broken),
                trials=sum(map(len, trials.values())),
            )
        short = [name for name, of in trials.items() if sum(t.verdict is Verdict.HELD for t in of) < times]
        if short or not trials:
            return unknown(f"not every one of {times} trials of {names(short)} could be judged")
        return held(f"{names(sorted(trials), 5)} held in each of {times} trials", trials=times * len(trials))

    return Invariant("protection-holds", judge)


@promise
def tolerations_waited_out(workload: str, *, tolerated_s: float, fault: str) -> Invariant:
    """Each pod of the workload that the taint eviction controller deleted while the fault lasted had stayed for as long
    as it tolerates: `tolerated_s` seconds after its node was tainted NoExecute.

    Reason: "too-early", in less than half of that time. Unknown where no pod was deleted, one was that had no tainted
    node, the recording has a hole, or the time is a little short: the recorder may have been told of the taint late.
    Source: getMinTolerationTime in pkg/controller/tainteviction/taint_eviction.go.
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history)
        if window is None:
            return never_landed(span)
        gone: dict[str, PodChange] = {}
        for each in history.of(PodChange, window):
            if each.workload == workload and each.deleting and each.reason == TAINT_EVICTION_REASON:
                gone.setdefault(each.uid, each)
        stayed_s = {uid: _tainted_for_s(history, pod) for uid, pod in gone.items()}
        longest_s = {uid: _tainted_for_s(history, pod, at_most=True) for uid, pod in gone.items()}
        early = [gone[uid] for uid, s in longest_s.items() if s is not None and s < EARLY_SHARE * tolerated_s]
        if early:
            shortest_s = min(s for s in longest_s.values() if s is not None)
            return violated(
                f"{len(early)} of {len(gone)} pods of {workload} were deleted before the {tolerated_s:g} s that they "
                f"tolerate were over, {early[0].name} {longest_s[early[0].uid]:.1f} s after its node was tainted",
                early,
                reason=TOO_EARLY,
                early=len(early),
                shortest_s=round(shortest_s, 3),
            )
        if doubt := unseen(history, "pods", window) or unseen(history, "nodes", window):
            return doubt
        if not gone:
            return unknown(
                f"no pod of {workload} was deleted for its node's taint, so that none was able to go too early"
            )
        short = [gone[uid] for uid, s in stayed_s.items() if s is None or s < IN_TIME_SHARE * tolerated_s]
        if short:
            seen = "no taint of its node was seen" if (s := stayed_s[short[0].uid]) is None else f"{s:.1f} s after it"
            return unknown(f"when the node of {short[0].name} was tainted is not known well enough: {seen}", short)
        least_s = min(s for s in stayed_s.values() if s is not None)
        return held(
            f"{len(gone)} pods of {workload} were deleted for their nodes' taints, none before {least_s:.1f} s",
            pods=len(gone),
            shortest_s=round(least_s, 3),
        )

    return Invariant("tolerations-waited-out", judge)


def _tainted_for_s(history: History, gone: PodChange, *, at_most: bool = False) -> float | None:
    """For how long the pod's node had been tainted NoExecute when it went; None where it was not.

    By default the least that it may have been, `at_most` the most: who was blind, or held up, heard of either late.
    """
    since: float | None = None
    for change in history.of(NodeChange):
        if change.name != gone.node or change.at > gone.at:
            continue
        tainted = any(taint.endswith(":NoExecute") for taint in change.taints)
        since = (change.at if since is None else since) if tainted else None
    if since is None:
        return None
    if at_most:
        return gone.at - at_earliest(history, "nodes", since)
    return max(0.0, at_earliest(history, "pods", gone.at) - since)
