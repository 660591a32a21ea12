"""Afterwards every node can still start a pod."""

from chaos.judge.base import Invariant, Judgement, bounds, held, promise, unknown, violated
from chaos.record.history import History
from chaos.record.records import Observation, Sample

STARTED = "pod-start-s"  # Sample: seconds from the request to Ready, by node
NOT_STARTED = "pod-not-started"  # Observation, by node


@promise
@bounds(within_s="slowest_s")
def new_pods_start(*, within_s: float) -> Invariant:
    """On every node that was tried after the fault a new pod was Ready within `within_s` seconds."""

    def judge(history: History) -> Judgement:
        starts = [s for s in history.of(Sample) if s.name == STARTED]
        failed = [o for o in history.of(Observation) if o.name == NOT_STARTED]
        if not starts and not failed:
            return unknown("no new pod was tried")
        slow = [s for s in starts if s.value > within_s]
        if failed or slow:
            where = ", ".join(sorted({o.subject for o in failed} | {s.subject for s in slow}))
            return violated(
                f"no new pod was Ready within {within_s:g} s on {where}",
                [*failed, *slow],
                reason="no-start",
                nodes_failed=len(failed) + len(slow),
            )
        slowest = max(starts, key=lambda s: s.value)
        sentence = f"a new pod started on each of {len(starts)} nodes, the slowest in {slowest.value:.1f} s"
        return held(sentence, nodes=len(starts), slowest_s=round(slowest.value, 3))

    return Invariant("new-pods-start", judge)
